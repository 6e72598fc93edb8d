"""A verdict's pages show all and run nothing."""

from __future__ import annotations

import base64
import io
import json
import re
from html import escape
from types import SimpleNamespace

import numpy as np
import pytest
from inference_models import picture
from PIL import Image

from pasam.masks.images import write_png
from pasam.masks.prompts import tight_box
from pasam.registry import evidence, verdict_page
from pasam.registry.decision_log import Entry, Standing, VersionStanding
from pasam.registry.evidence import MOST_CORRECTED, CorrectedImage, corrected_images
from pasam.registry.promotion import promote
from pasam.registry.upkeep import champion_history
from pasam.registry.upkeep.backup import Backup, described
from pasam.registry.upkeep.champion_history import (
    how_begun,
    how_ended,
    reigns,
    verdict_behind,
)
from pasam.registry.verdict_page import html_page, markdown_page, verdict_pages
from pasam.serving.feedback import FeedbackStore
from pipelines.flows.decision_tables import _decided, _gate, _verdict, _versions, _way_back

DECISION = {
    "version": 4,
    "champion": 3,
    "decision": "reject",
    "accepted": False,
    "checks": [
        {"name": "gain", "passed": False, "reason": "mean: gain +0.10 <script>alert(1)</script>"},
        {"name": "tree", "passed": True, "reason": "clean"},
    ],
    "mean_score": 61.5,
    "scores": {"dis": 50.25, "mean": 7.0},
    "mean_gain": {"mean": 0.1, "low": -0.4, "std": 6.25, "images": 9},
    "gains": {},
    "lineage": {"git.commit": "abc", "seed": "42", "other": "not shown"},
}


def entry_of(**changes):
    by = {"who": "Ada <ada@example.org>"}
    time = "2026-11-28T19:00:00+00:00"
    return Entry(
        event="verdict", version=4, number=10, time=time, by=by, details={**DECISION, **changes}
    )


def test_the_html_page_shows_all_and_runs_nothing():
    page = html_page(entry_of())
    assert "<script" not in page
    assert page.count('<div class="wide" tabindex="0">') == 3, "what scrolls is reached by keys"
    assert "http" not in page
    for text in (
        "Version 4",
        "reject",
        "61.50",
        "50.25",
        "+0.10",
        "-0.40",
        "6.25",
        "abc",
        "version 3",
    ):
        assert text in page
    assert "not shown" not in page


def test_the_markdown_page_marks_what_failed():
    page = markdown_page(entry_of())
    assert page.startswith("# Version 4: reject\n")
    assert "Scores are of this version's seed 42 alone; Table 1 has the mean over seeds." in page
    assert "| gain | **no** |" in page
    assert "| dis | 50.25 |  |  |  |" in page


def test_a_first_version_says_that_nothing_was_compared():
    page = markdown_page(entry_of(champion=None, mean_gain=None))
    assert "There is no champion yet" in page
    assert "| Benchmark | Candidate |\n" in page, "columns of a comparison that nothing is in"
    assert "| dis | 50.25 |\n" in page
    again = markdown_page(entry_of(mean_gain=None))  # the champion has to be measured again
    assert "| mean | 61.50 |  |  |  |\n" in again


def test_both_pages_begin_with_what_came_of_it_why_when_and_who_asked():
    line = (
        "Refused: 1 of 2 checks fail (gain); mean boundary IoU 61.50, gain +0.10 points (at least "
        "-0.40). It is entry 10 of the log, 2026-11-28 19:00 UTC, asked by Ada <ada@example.org>."
    )
    assert markdown_page(entry_of()).splitlines()[2] == line
    page = html_page(entry_of())
    assert page.index(f"<strong>{escape(line, quote=False)}</strong>") < page.index("<h2>")
    checks = [{"name": "tree", "passed": True, "reason": "clean"}]
    good = markdown_page(entry_of(accepted=True, checks=checks, mean_gain=None)).splitlines()[2]
    assert good.startswith("Accepted: all 1 checks hold; mean boundary IoU 61.50. It is entry 10")


def test_an_entry_makes_a_page_for_each_reader():
    pages = verdict_pages(entry_of())
    assert set(pages) == {"verdict.json", "verdict.md", "verdict.html"}
    assert json.loads(pages["verdict.json"])["mean_score"] == 61.5


SIDE = 64


def square(left):
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[16:48, left : left + 24] = True
    return mask


@pytest.fixture
def store(project):
    """Five images whose masks were corrected and accepted."""
    made = FeedbackStore(project.folder / "feedback")
    for number in range(5):
        image = np.ascontiguousarray(np.roll(picture(SIDE, SIDE), number, axis=1))
        about = {
            "who": "ada", "why": f"<b>hair</b> {number}", "prompt": [{"box": [8, 16, 40, 48]}],
            "model": "pa_sam",
        }  # fmt: skip
        before = square(24) if number else None
        made.put(image, square(8), before=before, about=about)
    made.accept([each.identity for each in made.waiting()], reviewer="ben")
    made.write_set(project.folder / "data/own")
    return made


@pytest.mark.long
def test_the_page_shows_them_before_and_after_beside_the_champion_and_forgets_what_is_forgotten(
    store, project
):
    first = promote(project.folder, allow_local=True).page
    page = first.read_text()
    assert page.count("<figure>") == 5
    assert page.count("candidate: IoU") == 5
    assert "champion: IoU" not in page, "there was none"
    assert page.count("before: the model&#39;s mask then: IoU 20.0") == 4
    assert "<b>hair" not in page
    assert "&lt;b&gt;hair" in page
    sources = {src for src in re.findall(r'src="([^"]+)"', page) if not src.startswith("data:")}
    assert len(sources) == 5
    for source in sources:
        image = (first.parent / source).resolve()
        assert image.is_file(), source
        assert base64.b64encode(image.read_bytes())[:200].decode() not in page

    project.change("gate", model="hq_sam", minimum_gain=0.0)
    found = promote(project.folder, allow_local=True)
    page = found.page.read_text()
    assert page.count("champion: IoU") == page.count("candidate: IoU") == 5
    again = promote(project.folder, found.version, allow_local=True)
    assert again.page.read_text() == page

    store.forget(lambda each: True)
    assert store.write_set(project.folder / "data/own") is None
    assert not any((first.parent / source).resolve().exists() for source in sources)
    assert corrected_images(project.folder / "data/own", {}) == []  # so that no later page has one


def test_what_cannot_be_read_is_left_out(store, project):
    place = project.folder / "data/own/corrections"
    images = sorted((place / "im").iterdir())
    images[0].write_bytes(b"no image")
    images[1].unlink()
    found = corrected_images(project.folder / "data/own", {})
    assert len(found) == 3 <= MOST_CORRECTED
    assert found[0].iou("corrected") == 100.0
    (place / "provenance.json").write_text("{")
    assert corrected_images(project.folder / "data/own", {}) == []


def test_the_latest_corrections_are_answered_by_the_prompt_that_was_recorded_with_each(
    tmp_path, monkeypatch
):
    folder = tmp_path / "corrections"
    label = np.zeros((20, 30), np.uint8)
    label[4:10, 5:20] = 255
    origins = {}
    for number in range(5):
        write_png(folder / f"{number}.png", np.full((20, 30, 3), number, np.uint8))
        write_png(folder / f"{number}_mask.png", label)
        origins[str(number)] = {
            "image": f"{number}.png", "mask": f"{number}_mask.png", "who": f"who {number}",
            "why": f"why {number}", "when": f"2026-01-0{5 - number}",
        }  # fmt: skip
    write_png(folder / "before.png", np.full((20, 30), 255, np.uint8))
    clicks = {"points": [[7.0, 6.0], [2.0, 2.0]], "labels": [1, 0]}
    origins["2"]["prompt"] = [{"points": [[2, 2]], "labels": [0]}]  # says too little by itself
    origins["1"]["prompt"] = [clicks]
    origins["0"] |= {
        "before": "before.png",
        "prompt": [{"box": [1.0, 2.0, 9.0, 9.0]}, {"box": [0, 0, 5, 5]}],
    }
    (folder / "provenance.json").write_text(json.dumps(origins))
    monkeypatch.setattr(evidence, "MOST_CORRECTED", 4)

    class Model:
        mask_side = 8

        def __init__(self, value):
            self.value, self.asked = value, []

        def embed(self, image):
            self.asked.append(int(image[0, 0, 0]))
            return SimpleNamespace(transform=None)

        def predict_many(self, requests):
            for _, prompt in requests:
                given = {name: getattr(prompt, name) for name in ("box", "points", "labels")}
                self.asked.append({k: v.tolist() for k, v in given.items() if v is not None})
            return [SimpleNamespace(masks=np.full((1, 20, 30), self.value))]

    one, other = Model(True), Model(False)
    found = corrected_images(tmp_path, {"champion": one, "candidate": other})
    tight = [float(edge) for edge in tight_box(label)]
    wanted = [3, {"box": tight}, 2, {"box": tight}, 1, clicks, 0, {"box": [1.0, 2.0, 9.0, 9.0]}]
    assert one.asked == other.asked == wanted
    assert [(each.identity, each.who, each.why) for each in found] == [
        (str(number), f"who {number}", f"why {number}") for number in (3, 2, 1, 0)
    ]
    named = ["corrected", "champion", "candidate"]
    assert [list(each.masks) for each in found] == [named, named, named, ["before", *named]]
    assert found[3].masks["before"].all()
    assert found[3].masks["corrected"].sum() == 90
    assert found[3].iou("champion") == pytest.approx(100 * 90 / 600)
    assert found[3].iou("candidate") == 0


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '{"a": {"image": 3, "mask": 4}}', "{"])
def test_damaged_provenance_shows_no_corrections_and_stops_no_judgement(content, tmp_path):
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections" / "provenance.json").write_text(content)
    assert corrected_images(tmp_path, {}) == []


def judged(number, accepted, gate="g"):
    return Entry(event="verdict", version=2, number=number, gate=gate,
                 details={"accepted": accepted})  # fmt: skip


def promoted(number, gate="g"):
    return Entry(event="promote", version=2, number=number, gate=gate)


@pytest.mark.parametrize(
    ("entries", "number"),
    [
        ([judged(2, True), promoted(3)], 2),
        ([judged(2, False), promoted(3)], None),  # by hand, with the gate off
        ([promoted(3)], None),
        ([judged(2, True), promoted(9)], 2),  # of a dry run, under the same settings
        ([judged(2, True, "before"), promoted(9)], None),
        ([judged(2, True, "before"), promoted(3)], 2),
        ([judged(2, True), promoted(3), judged(5, False)], 2),  # judged again while in use
        ([judged(2, True), judged(4, True), promoted(5)], 4),
        ([judged(2, True), promoted(3), judged(5, False), promoted(6)], None),
    ],
)
def test_a_promotion_is_told_with_the_verdict_that_led_to_it_and_no_other(entries, number):
    begun = Entry(event="register", version=2, number=1)
    standing = VersionStanding(number=2, registered=begun, status="", entries=(begun, *entries))
    found = verdict_behind(standing)
    assert (None if found is None else found.number) == number


def test_reigns_end_when_the_next_begins_and_rollbacks_are_told_as_such():
    def entry(number, event, version, before, after):
        return Entry(event=event, version=version, before=before, after=after, number=number,
                     time=f"2026-01-0{number}T10:00:00", by={"who": "ada", "host": "h"},
                     why="w")  # fmt: skip

    entries = [
        entry(1, "promote", 1, None, 1), entry(2, "verdict", 2, 1, 1),
        entry(3, "promote", 2, 1, 2), entry(4, "rollback", 2, 2, 1),
    ]  # fmt: skip
    found = reigns(entries)
    assert [(each.version, each.begun.number) for each in found] == [(1, 1), (2, 3), (1, 4)]
    assert [each.ended and each.ended.number for each in found] == [3, 4, None]
    said = "entry 4 of the log, 2026-01-04 10:00 UTC, ada on h: w"
    assert how_ended(found[1]) == f"rolled back; {said}"
    assert how_ended(found[0]).startswith("version 2 took its place; entry 3 of the log")
    assert how_ended(found[2]) == "still in use"
    assert how_begun(found[2]) == "came back when version 2 was rolled back"
    assert how_begun(found[0]) == "promoted"


@pytest.mark.parametrize(
    ("champions", "out", "removed", "words"),
    [
        ([1, 2], [], [], "version 1"), ([1], [], [], "pasam registry promote 3 has the gate judge"),
        ([1, 2], [1], [], "pasam registry promote 3 has the gate judge"),
        ([2], [1, 3], [], 'pasam registry lift 3 --why "..."'),
        ([2, 3, 2], [3], [], "none; pasam registry"),
        ([2], [], [3], "pasam registry promote 1 has the gate judge"),
        ([2], [1, 3], [3], 'pasam registry lift 1 --why "..."'),
        ([2], [1], [1, 3], "none: there is no other version"),
    ],
)  # fmt: skip
def test_the_way_back_is_named_or_what_is_left_to_do(champions, out, removed, words):
    def version(number):
        begun = Entry(event="register", version=number, details={"key": f"k{number}", "tags": {}})
        return VersionStanding(
            number=number, registered=begun, status="", removed=number in removed
        )

    standing = Standing(
        versions={number: version(number) for number in (1, 2, 3)}, champions=champions,
        barred={f"k{number}": Entry(event="reject") for number in out},
    )  # fmt: skip
    assert words in _way_back(standing)
    alone = Standing(versions={1: version(1)}, champions=[1])
    assert _way_back(alone) == "none: there is no other version"


def test_a_corrected_image_is_shown_by_its_place_with_each_mask_and_how_near_the_persons_it_is(
    tmp_path,
):
    def wide(left):
        return square(left)[:40]  # (40, 64)

    each = CorrectedImage(
        identity="own/7", image=tmp_path / "data/own/corrections/7.png", who="ada", why="<b>hair",
        masks={"before": wide(24), "corrected": wide(8), "champion": wide(8),
               "candidate": wide(16)},
    )  # fmt: skip
    shown = verdict_page._shown(each, tmp_path / "mlruns" / "verdicts" / "v4")
    assert shown["image"] == "../../../data/own/corrections/7.png"
    assert shown["caption"] == "own/7, ada: <b>hair"
    assert [title for title, _ in shown["masks"]] == [
        "before: the model's mask then: IoU 20.0", "after: the person's mask",
        "champion: IoU 100.0", "candidate: IoU 50.0",
    ]  # fmt: skip
    for (_, address), mask in zip(shown["masks"], each.masks.values(), strict=True):
        start, _, content = address.partition(",")
        assert start == "data:image/png;base64"
        drawn = np.array(Image.open(io.BytesIO(base64.b64decode(content))))
        assert drawn.shape == (40, 64, 4)
        assert (drawn[mask] == verdict_page.TINT).all()
        assert (drawn[~mask] == 0).all()
    page = html_page(entry_of(), [each], tmp_path / "mlruns" / "verdicts" / "v4")
    assert "&lt;b&gt;hair" in page
    assert page.count("data:image/png") == 4


def test_who_only_looks_at_a_version_asks_no_remote_and_is_told_nothing_of_an_unknown_one(
    monkeypatch, tmp_path
):
    asked = []

    class Log:
        def __init__(self, project):
            asked.append(project)

        def read(self, *, shared=True):
            asked.append(shared)
            return (Entry(event="register", version=1, number=1, details={"key": "k"}),)

    for name, stand_in in (
        ("has_repository", lambda project: project == tmp_path), ("DecisionLog", Log),
        ("account", lambda log, standing, number: {"of": number, "known": set(standing.versions)}),
    ):  # fmt: skip
        monkeypatch.setattr(champion_history, name, stand_in)
    assert champion_history.account_in(tmp_path, 1) == {"of": 1, "known": {1}}
    assert champion_history.account_in(tmp_path, 2) == {}
    assert asked == [tmp_path, False] * 2
    assert champion_history.account_in(tmp_path / "none", 1) == {}
    assert len(asked) == 4


def test_a_table_of_versions_tells_the_score_against_whom_and_the_gain():
    def told(entry, **tags):
        registered = Entry(event="register", version=4, details={"tags": tags})
        return _verdict(VersionStanding(number=4, registered=registered, status="", verdict=entry))

    gain = {"mean": 1.234, "low": -0.567}
    assert told(entry_of(mean_gain=gain)) == ("61.50", "version 3", "+1.23 (at least -0.57)")
    assert told(entry_of(champion=None, mean_gain=None)) == ("61.50", "floors only", "")
    assert told(entry_of(mean_gain=None)) == ("61.50", "version 3", "")
    assert told(None) == ("not judged", "", "")
    scores = json.dumps({"mean": 50.125, "dis": 1})
    assert told(None, **{"scores.mbiou": scores}) == ("not judged, measured 50.12", "", "")


def test_tables_of_the_log_begin_with_the_newest_and_leave_out_the_oldest():
    entries = [
        Entry(
            event="gate" if number % 2 else "promote", version=None if number % 2 else number,
            number=number, time="2026-11-28T19:00:00", by={"who": f"who {number} <a>", "host": "h"},
            before=number - 1 or None, after=number, why=f"why {number}",
            details={"changed": ["a 1 -> 2", "b 2 -> 3"]} if number > 1 else {},
        )
        for number in range(1, 64)
    ]  # fmt: skip
    changes = _gate(entries).rows
    assert [row[0] for row in changes] == [str(number) for number in range(63, 0, -2)]
    assert (changes[0][3], changes[0][4]) == ("a 1 -> 2, b 2 -> 3", "why 63")
    assert (changes[-1][3], changes[-1][4]) == ("all of params.yaml, as the first", "why 1")
    decided = _decided(entries).rows
    assert [row[0] for row in decided] == [str(number) for number in range(63, 3, -1)]
    assert decided[1] == (
        "62", "2026-11-28T19:00", "promote", "62", "61 to 62", "who 62 <a>", "h", "",
        "a 1 -> 2, b 2 -> 3: why 62",
    )  # fmt: skip
    assert (_decided(entries[:1]).rows[0][4], _decided(entries[:1]).rows[0][8]) == (
        "- to 1", "why 1"
    )  # fmt: skip
    standing = Standing()
    for number in range(1, 64):
        registered = Entry(
            event="register", version=number, time="2026-11-28T19:00:00",
            details={"tags": {"git.commit": "c" * 40, "seed": "42"}},
        )  # fmt: skip
        standing.versions[number] = VersionStanding(
            number=number, registered=registered, status="s", why=f"why {number}"
        )
    rows = _versions(standing).rows
    assert [row[0] for row in rows] == [str(number) for number in range(63, 3, -1)]
    assert rows[0] == (
        "63", "s", "2026-11-28T19:00", "c" * 10, "42", "not judged", "", "", "why 63"
    )  # fmt: skip


def test_each_tag_of_a_version_is_told_by_what_it_says():
    tags = {
        "seed": 42, "evaluation.evaluator": "e", "git.dirty": "true", "git.commit": "c",
        "pasam.model": "pa_sam", "pasam.weights": "real", "dvc.stage": "train@pa_sam",
        "dvc.lock_sha256": "l", "data.manifest_md5": "m", "data.validation": "passed",
        "params.sha256": "p", "base.sha256": "b", "adapter.sha256": "a",
        "evaluation.set_md5": "s", "pasam.key": "not told",
    }  # fmt: skip
    begun = Entry(event="register", version=1, details={"tags": tags})
    version = VersionStanding(number=1, registered=begun, status="")
    assert champion_history.origin(version) == [
        ("model", "pa_sam"), ("weights are", "real"), ("code: git commit", "c"),
        ("code: uncommitted changes", "yes"), ("code: DVC stage", "train@pa_sam"),
        ("code and data: dvc.lock, sha256", "l"), ("data: manifest, md5", "m"),
        ("data: validation", "passed"), ("params: params.yaml, sha256", "p"),
        ("params: seed of the training", "42"), ("base: sha256", "b"), ("adapter: sha256", "a"),
        ("scored on: evaluation set, md5", "s"), ("scored by: evaluator's digest", "e"),
    ]  # fmt: skip
    for text, told in (("false", "none"), ("unknown", "unknown")):
        tags["git.dirty"] = text
        assert ("code: uncommitted changes", told) in champion_history.origin(version)


def test_a_backup_is_told_with_its_champion_and_what_it_lacks():
    found = Backup(files=3, size=3 * 2**19, champion=7, left_out=("a: no regular file", "b"))
    assert described(found) == [
        "3 files, 1.5 MiB, champion: version 7; all digests agree",
        "  not in it: a: no regular file", "  not in it: b",
    ]  # fmt: skip
