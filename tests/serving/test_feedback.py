"""Corrections wait, become a set with provenance, split by image, and are deleted when told."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fastapi.testclient import TestClient
from inference_models import picture
from PIL import Image
from serving_world import BOX, encoded_picture, form
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.config.params_file import load_section
from pasam.config.requirements import ValidateParams
from pasam.data.manifest import INVENTORY_COLUMNS, inventory_frame, write_inventory
from pasam.data.own_sets import split_of
from pasam.data.pairing import find_pairs
from pasam.errors import DataError, RefusedError
from pasam.masks.images import read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.run_lengths import decode, encode
from pasam.serving import demand, feedback, jobs
from pasam.serving.demand import FEWEST, DemandLog, read_demand
from pasam.serving.feedback import FeedbackStore, review_page
from pasam.serving.jobs import keep_correction
from pasam.serving.limits import Limits
from pasam.serving.service import Settings
from pasam.serving.web_app import create_app

SIZE = 40, 60


def image(seed):
    return np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), dtype=np.uint8)


def mask(left=10):
    drawn = np.zeros(SIZE, np.bool_)
    drawn[10:30, left : left + 20] = True
    return drawn


@pytest.fixture
def store(tmp_path):
    return FeedbackStore(tmp_path / "feedback", most=4)


def put(store, seed=0, who="ada", **how):
    about = {"who": who, "why": "<b>hair</b> was left out", "prompt": [{"box": [1, 2, 3, 4]}]}
    return store.put(image(seed), how.pop("mask", mask()), about=about, **how)


def test_what_is_accepted_is_a_set_with_its_provenance_split_by_image(store, tmp_path):
    first, again = put(store, 0), put(store, 0, "bob", mask=mask(30))
    others = [put(store, 1), put(store, 2)]
    assert not (tmp_path / "own").exists()
    store.accept([first, again, others[0]], reviewer="carol")
    store.write_set(tmp_path / "own")
    pairs, faults = find_pairs(tmp_path / "own")
    assert faults == ()
    assert {pair.dataset for pair in pairs} == {"corrections"}
    assert len(pairs) == 3
    of_image = {}
    for pair in pairs:
        of_image.setdefault(pair.image, []).append(pair)
    assert sorted(map(len, of_image.values())) == [1, 2]
    assert all(len({pair.split for pair in group}) == 1 for group in of_image.values())
    twice = next(group for group in of_image.values() if len(group) == 2)
    assert (read_image(twice[0].image) == image(0)).all()
    found = sorted((read_mask(pair.mask) > 0).tobytes() for pair in twice)
    assert found == sorted([mask().tobytes(), mask(30).tobytes()])
    origins = json.loads((tmp_path / "own" / "corrections" / "provenance.json").read_text())
    assert origins[again]["who"] == "bob"
    assert origins[again]["reviewer"] == "carol"
    assert (tmp_path / "own" / "corrections" / origins[again]["image"]).is_file()
    assert origins[again]["prompt"] == [{"box": [1, 2, 3, 4]}]
    assert [each.identity for each in store.waiting()] == [others[1]]


def test_corrections_of_an_image_share_its_split_whatever_their_ids(store, tmp_path, monkeypatch):
    names = [f"{number:012x}" for number in range(99)]
    ids = [
        next(name for name in names if split_of(name, val_fraction=0.2) == split)
        for split in ("train", "val")
    ]
    given = iter(ids)
    monkeypatch.setattr(feedback, "secrets", SimpleNamespace(token_hex=lambda _: next(given)))
    store.accept([put(store), put(store, mask=mask(30))], reviewer="carol")
    store.write_set(tmp_path / "own")
    one, other = find_pairs(tmp_path / "own")[0]
    assert (one.image, one.split) == (other.image, other.split)


def test_an_image_keeps_its_split_when_others_come_and_go(store, tmp_path):
    def splits():
        store.write_set(tmp_path / "own")
        return {pair.image.name: pair.split for pair in find_pairs(tmp_path / "own")[0]}

    first = put(store, 3)
    store.accept([first], reviewer="carol")
    alone = splits()
    more = [put(store, seed) for seed in (4, 5, 6)]
    store.accept(more, reviewer="carol")
    assert splits().items() >= alone.items()
    store.forget(lambda each: each.identity == first)
    assert not alone.keys() & splits().keys()


def test_what_is_forgotten_leaves_no_image_behind(store, tmp_path):
    put(store, 0, "ada")
    store.accept([put(store, 1, "ada"), put(store, 2, "bob")], reviewer="carol")
    store.write_set(tmp_path / "own")
    assert len(store.forget(lambda each: each.about["who"] == "ada")) == 2
    store.write_set(tmp_path / "own")
    assert len(find_pairs(tmp_path / "own")[0]) == 1
    store.forget(lambda each: True)
    assert store.write_set(tmp_path / "own") is None
    assert list(tmp_path.rglob("*.png")) == []


def test_no_more_waits_than_was_allowed_and_masks_fit_their_image(store):
    for wrong in (np.zeros(SIZE, np.bool_), np.ones((4, 4), np.bool_)):
        with pytest.raises(DataError, match="and an object"):
            put(store, mask=wrong)
    for seed in range(4):
        put(store, seed)
    with pytest.raises(DataError, match="4 corrections of 0 MB wait for review already"):
        put(store, 5)
    with pytest.raises(DataError, match="no correction 'nothing' waits for review"):
        store.accept(["nothing"], reviewer="carol")


def test_the_bytes_that_wait_are_bounded_too_and_what_was_accepted_waits_no_more(store):
    first = put(store)
    size = sum(path.stat().st_size for path in (store.folder / "waiting" / first).iterdir())
    store.most_bytes = size
    with pytest.raises(DataError, match="1 corrections of 0 MB"):
        put(store, 1)
    store.most_bytes = size + 1
    put(store, 1)
    store.accept([first], reviewer="carol")
    put(store, 2)


def test_the_oldest_is_listed_first_and_a_set_keeps_what_the_model_had_made(store, tmp_path):
    ids = [put(store, seed, before=mask(5) if seed else None) for seed in range(3)]
    for identity, when in zip(ids, ("2026-03-03", "2026-03-01", "2026-03-02"), strict=True):
        path = store.folder / "waiting" / identity / "about.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"when": when}))
    assert [each.identity for each in store.waiting()] == [ids[1], ids[2], ids[0]]
    store.accept([*ids, ids[0]], reviewer="carol")
    assert [each.identity for each in store.accepted()] == [ids[1], ids[2], ids[0]]
    store.write_set(tmp_path / "own")
    made = tmp_path / "own" / "corrections"
    origins = json.loads((made / "provenance.json").read_text())
    assert set(origins) == set(ids)
    assert "before" not in origins[ids[0]]
    for identity in ids[1:]:
        assert np.array_equal(read_mask(made / origins[identity]["before"]) > 0, mask(5))
        assert np.array_equal(read_mask(made / origins[identity]["mask"]) > 0, mask())
        seed = ids.index(identity)
        assert (read_image(made / origins[identity]["image"]) == image(seed)).all()


def test_the_page_shows_before_and_after_and_runs_nothing_that_was_sent(store):
    put(store, before=mask(5))
    page = review_page(store.waiting())
    assert page.count("<img ") == 2
    assert "<b>" not in page
    assert "&lt;b&gt;hair" in page


def test_review_and_forget_from_the_command_line(store, tmp_path):
    def pasam(*words):
        done = CliRunner().invoke(
            app, ["data", *words, "--feedback", str(store.folder), "--own", str(tmp_path / "own")]
        )
        return done.exit_code, done.output

    first, second, third = (put(store, seed, f"user{seed}") for seed in range(3))
    words = ("--reject", second, "--page", f"{tmp_path}/p", "--reviewer", "carol")
    code, said = pasam("review", "--accept", first, *words)
    assert (code, (tmp_path / "p").is_file()) == (0, True)
    assert [each.about["reviewer"] for each in store.accepted()] == ["carol"]
    assert re.search(r"1 wait for review, 1 are accepted", said)
    assert re.search(r"corrections: (1 images to learn from, 0|0 images to learn from, 1)", said)
    page = (tmp_path / "p").read_text()
    assert third in page, "what waits after the decision"
    assert not any(gone in page for gone in (first, second))
    assert second not in {each.identity for each in (*store.waiting(), *store.accepted())}
    assert len(find_pairs(tmp_path / "own")[0]) == 1
    assert pasam("review", "--withdraw", third)[0] == 2
    code, said = pasam("review", "--withdraw", first)
    assert (code, find_pairs(tmp_path / "own")[0]) == (0, ())
    assert "is removed: no correction is accepted any more" in said.replace("\n", " ")
    assert pasam("forget")[0] == 2
    code, said = pasam("forget", "--who", "user2")
    assert (code, list(store.folder.rglob("*.png"))) == (0, [])
    assert third in said
    assert "made anew" not in said, "there was no set of accepted ones"
    kept = put(store, 3, "user3")
    assert pasam("review", "--accept", kept)[0] == 0
    assert pasam("forget", "--id", kept, "--who", "user9")[1].count("made anew") == 1
    both = {put(store, seed, f"user{seed}") for seed in (4, 5)}
    code, said = pasam("forget", "--all", "--json")
    assert (code, set(json.loads(said)["deleted"]), store.waiting()) == (0, both, [])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "feedback"


@pytest.fixture
def taking(shelf, folder):
    app = create_app(shelf.offered(), Settings(feedback=folder))
    with TestClient(app, base_url="http://localhost") as made:
        yield made


def code(height=60, width=90):
    mask = np.zeros((height, width), np.uint8)
    mask[10:40, 20:70] = 1
    return json.dumps(encode(mask))


def test_a_service_takes_corrections_only_where_it_was_started_so(client):
    sent = {"mask": code(), "who": "ada"}
    answer = client.post("/feedback", data=sent, files={"image": encoded_picture()})
    assert answer.status_code == 404
    assert "--feedback" in answer.json()["error"]
    assert client.get("/models").json()["feedback"] is False


def test_a_correction_waits_with_who_why_prompt_and_model(taking, folder):
    exif = Image.Exif()
    exif[0x010F] = "a camera's maker"
    file = io.BytesIO()
    Image.fromarray(picture(60, 90)).save(file, "PNG", exif=exif)
    sent = {
        "mask": code(), "before": code(), "who": "ada", "why": "a hair", "model": "pa_sam",
        "prompts": '[{"box": [1, 2, 30, 40]}]',
    }  # fmt: skip
    answer = taking.post("/feedback", data=sent, files={"image": file.getvalue()})
    assert answer.status_code == 200
    (waits,) = FeedbackStore(folder).waiting()
    assert waits.identity == answer.json()["id"]
    assert waits.about["who"] == "ada"
    assert waits.about["model"] == "pa_sam"
    assert waits.about["prompt"] == [{"box": [1.0, 2.0, 30.0, 40.0]}]
    assert b"maker" not in (waits.folder / "image.png").read_bytes()
    assert (np.asarray(Image.open(waits.folder / "image.png")) == picture(60, 90)).all()
    assert taking.get("/models").json()["feedback"] is True


def test_both_masks_of_a_correction_keep_their_place(taking, folder):
    small = json.dumps(encode(np.pad(np.ones((4, 5), np.uint8), ((3, 53), (2, 83)))))
    sent = {"mask": code(), "before": small, "who": "ada", "why": "a hair"}
    assert taking.post("/feedback", data=sent, files={"image": encoded_picture()}).is_success
    (waits,) = FeedbackStore(folder).waiting()
    assert (waits.about["why"], waits.about["prompt"], waits.about["model"]) == (
        "a hair", None, None
    )  # fmt: skip
    for name, drawn in (("mask", code()), ("before", small)):
        kept = read_mask(waits.folder / f"{name}.png")
        assert np.array_equal(kept > 0, decode(json.loads(drawn)))
    wrong = sent | {"before": code(90, 60)}
    answer = taking.post("/feedback", data=wrong, files={"image": encoded_picture()})
    assert (answer.status_code, len(FeedbackStore(folder).waiting())) == (422, 1)


def test_a_corrected_image_is_bounded_like_any_other(taking, monkeypatch):
    service, sent = taking.app.state.service, {"mask": code(), "who": "ada"}
    for pixels, status in ((5400, 200), (5399, 413)):
        settings = replace(service.settings, limits=Limits(pixels=pixels))
        monkeypatch.setattr(service, "settings", settings)
        answer = taking.post("/feedback", data=sent, files={"image": encoded_picture()})
        assert answer.status_code == status


def test_where_too_much_waits_a_sender_may_come_again_in_an_hour(folder, monkeypatch):
    about = {"who": "ada"}
    codes = [encode(np.ones((60, 90), np.uint8)), None]
    keep = lambda: keep_correction(  # noqa: E731
        folder, io.BytesIO(encoded_picture()), codes, about, most_pixels=5400
    )
    keep()
    monkeypatch.setattr(FeedbackStore.__init__, "__kwdefaults__", {"most": 1, "most_bytes": 9**9})
    with pytest.raises(RefusedError, match="1 corrections of 0 MB wait") as refused:
        keep()
    assert (refused.value.status, refused.value.retry_after) == (429, 3600)


def test_corrections_are_decoded_one_at_a_time_and_one_that_is_refused_blocks_no_other(
    folder, monkeypatch
):
    begun, go = [], threading.Event()

    def decoding(file, *, most_pixels):
        begun.append(most_pixels)
        assert go.wait(10)
        if most_pixels == 1:
            raise RefusedError("too large", status=413)
        return picture(60, 90)

    monkeypatch.setattr(jobs, "decode_upload", decoding)
    codes = [encode(np.ones((60, 90), np.uint8)), None]
    with ThreadPoolExecutor(2) as pool:
        kept = [
            pool.submit(keep_correction, folder, None, codes, {"who": "ada"}, most_pixels=most)
            for most in (1, 2)
        ]
        time.sleep(0.05)
        assert len(begun) == 1
        go.set()
        with pytest.raises(RefusedError, match="too large"):
            kept[0].result(10)
        assert kept[1].result(10) == FeedbackStore(folder).waiting()[0].identity


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"mask": code(90, 60)}, 422),
        ({"mask": json.dumps(encode(np.zeros((60, 90), np.uint8)))}, 422),
        ({"mask": "{}"}, 422),
        ({"who": ""}, 422),
        ({"who": "x" * 81}, 422),
        ({"whom": "x"}, 422),
        ({"image": b"no image"}, 415),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_kept(taking, folder, change, status):
    image = change.pop("image", encoded_picture())
    sent = {"mask": code(), "who": "ada"} | change
    answer = taking.post("/feedback", data=sent, files={"image": image})
    assert answer.status_code == status
    assert answer.json()["error"]
    assert FeedbackStore(folder).waiting() == []


@pytest.fixture
def params(root):
    return load_section(ValidateParams, "validate", root / "params.yaml")


@pytest.fixture
def inventory(tmp_path):
    """Sixty images to learn from: small objects, brightness about 100."""
    draw = np.random.default_rng(0)
    rows = [
        {
            **dict.fromkeys(INVENTORY_COLUMNS), "id": f"own/{number}", "dataset": "own",
            "split": "train", "image": f"{number}.png", "mask": f"{number}_mask.png",
            "height": 60, "width": 90, "area": float(draw.uniform(0.05, 0.15)), "complexity": 1.5,
            "image_sha256": f"{number:064}", "mask_sha256": f"{number:064}", "group": str(number),
            "brightness": float(draw.normal(100, 10)), "contrast": 20.0, "phash": "0" * 16,
            "dhash": "0" * 16, "soft": 0.0, "depth": 8, "orientation": 1,
        }
        for number in range(60)
    ]  # fmt: skip
    path = tmp_path / "inventory.parquet"
    write_inventory(inventory_frame(rows), path)
    assert len(pd.read_parquet(path)) == 60
    return path


def measured(folder, rows, day="2026-03-02"):
    place = folder / demand.FOLDER
    place.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"answered": 4, **row}) for row in rows]
    (place / f"{day}.jsonl").write_text("\n".join([*lines, '{"answered": 1', ""]))


def asked(brightness, count=FEWEST):
    draw = np.random.default_rng(1)
    return [
        {
            "model": "pa_sam", "uncertainty": 0.25, "area": float(draw.uniform(0.05, 0.15)),
            "resolution": 73.484692, "brightness": float(draw.normal(brightness, 10)),
        }
        for _ in range(count)
    ]  # fmt: skip


def test_a_service_that_takes_corrections_counts_what_it_is_asked(shelf, folder, params, inventory):
    app = create_app(shelf.offered(), Settings(feedback=folder))
    with TestClient(app, base_url="http://localhost") as client:
        name = client.post("/embed", files={"image": encoded_picture()}).json()["embedding"]
        for count in (1, 2):
            data = form(*[{"box": BOX}] * count, embedding=name)
            assert client.post("/predict", data=data).status_code == 200
        near = form({"box": BOX}, embedding=name, zoom=True)
        image = {"image": encoded_picture()}
        assert client.post("/predict", data=near, files=image).status_code == 200
        sent = {"mask": json.dumps(encode(np.eye(60, 90, dtype=np.uint8))), "who": "ada"}
        assert client.post("/feedback", data=sent, files=image).status_code == 200
    found = read_demand(folder, inventory, params)
    assert (found.answered, found.corrected, found.waiting, found.measured) == (4, 1, 1, 1)
    assert 0 <= found.uncertainty <= 1
    assert "4 prompts were answered and 1 corrected (25.0%)" in found.message
    (path,) = (folder / demand.FOLDER).iterdir()
    row = json.loads(path.read_text().splitlines()[0])
    numbers = {"answered", "area", "resolution", "brightness", "uncertainty"}
    assert set(row) == numbers | {"time", "model"}, "nothing of the image or of who asked"
    assert datetime.fromisoformat(row["time"]).utcoffset() == timedelta(0)
    assert row["resolution"] == pytest.approx(73.5, abs=0.1)
    assert 0 < row["area"] < 1


def test_a_service_without_corrections_counts_nothing(shelf, params, inventory, tmp_path):
    assert create_app(shelf.offered(), Settings()).state.service.demand is None
    assert read_demand(tmp_path, inventory, params) is None


def test_other_images_than_those_trained_on_are_named(folder, params, inventory):
    today = date(2026, 3, 10)
    measured(folder, asked(brightness=100))
    same = read_demand(folder, inventory, params, today=today)
    assert (same.drifted, same.answered) == ((), 4 * FEWEST)
    assert same.uncertainty == pytest.approx(0.25)
    measured(folder, asked(brightness=30))
    dark = read_demand(folder, inventory, params, today=today)
    assert dark.drifted == ("brightness",)
    assert "not what was trained on: brightness" in dark.message
    (row,) = (row for row in dark.drift if row["quantity"] == "brightness")
    assert row["distance"] > 0.9


def test_drift_is_asked_for_as_the_params_say_and_against_valid_training_images_alone(
    folder, params, inventory, monkeypatch
):
    frame = pd.read_parquet(inventory)
    frame.loc[:9, "fault"], frame.loc[10:19, "split"] = "broken", "val"
    write_inventory(frame, inventory)
    measured(folder, asked(brightness=100))
    seen = []

    def compare(present, accepted, **how):
        seen.append((present, accepted, how))
        return pd.DataFrame([{"quantity": "area", "drifted": True}])

    monkeypatch.setattr("pasam.validation.drift.compare", compare)
    chosen = params.replaced(drift_p=0.02, drift_effect=0.3)
    found = read_demand(folder, inventory, chosen, today=date(2026, 3, 10))
    assert found.drift == ({"quantity": "area", "drifted": True},)
    ((present, accepted, how),) = seen
    assert how == {"p": 0.02, "effect": 0.3, "quantities": demand.COMPARED}
    ((key, sketch), (trained_key, trained)) = (*present.items(), *accepted.items())
    assert (key, sketch.masks, sketch.images) == (trained_key, FEWEST, FEWEST)
    assert (key[0], trained.masks, trained.images) == ("train", 40, 40)


def test_little_says_nothing_and_what_is_long_ago_does_not_count(folder, params, inventory):
    measured(folder, asked(brightness=30, count=FEWEST - 1))
    assert read_demand(folder, inventory, params, today=date(2026, 3, 10)).drift == ()
    late = read_demand(folder, inventory, params, today=date(2026, 5, 10))
    assert (late.answered, late.uncertainty) == (0, None)


def test_one_prompt_is_measured_now_and_then_and_old_days_go(folder, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(demand, "_measured", lambda job, record: {"area": 0.5})
    log = DemandLog(folder, every=30.0, clock=lambda: now[0])
    measured(folder, asked(100, 1), day="2020-01-01")
    for _ in range(100):
        log.answered([None], [[{}]])
        now[0] += 1
    log.close()
    (path,) = (folder / demand.FOLDER).iterdir()
    assert path.stem == str(datetime.now(UTC).date())
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["answered"] for row in rows] == [1, 30, 30, 30, 9]
    assert [row.get("area") for row in rows] == [0.5, 0.5, 0.5, 0.5, None]


def test_the_time_of_the_next_measurement_counts_from_the_last_and_the_first_of_a_pass_is_measured(
    folder, monkeypatch
):
    now, seen = [100.0], []
    monkeypatch.setattr(demand, "_measured", lambda *given: seen.append(given) or {"area": 0.5})
    log = DemandLog(folder, every=30.0, clock=lambda: now[0])
    for moment in (100.0, 129.0, 200.0, 229.0, 230.0):
        now[0] = moment
        log.answered(["one", "two"], [[moment, "other"], ["third"]])
    assert seen == [("one", 100.0), ("one", 200.0), ("one", 230.0)]
    before = [path.read_text() for path in (folder / demand.FOLDER).iterdir()]
    log.close()  # all is written down
    assert [path.read_text() for path in (folder / demand.FOLDER).iterdir()] == before
    monkeypatch.setattr(demand, "_measured", lambda *given: 1 / 0)
    now[0] = 300.0
    log.answered(["one"] * 3, [["x"]] * 3)
    rows = [json.loads(line) for line in "".join(before).splitlines()]
    assert [row["answered"] for row in rows] == [2, 4, 4]
    (path,) = (folder / demand.FOLDER).iterdir()
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["answered"], "area" in last) == (3, False), "what is not measured is counted"


def test_lines_and_files_that_are_none_of_the_logs_are_passed_over(folder, params):
    first, second = asked(100, 2)
    measured(folder, [first, second | {"uncertainty": 0.75}], day="2026-03-03")
    place = folder / demand.FOLDER
    (place / "2026-03-02-copy.jsonl").write_text("{}")
    (place / "2026-03-04.jsonl").write_bytes(b'[1]\n"text"\n{"answered": 5, "corrected": 2}\n\xff')
    found = read_demand(folder, None, params, today=date(2026, 3, 10))
    assert (found.answered, found.corrected, found.measured) == (13, 2, 2)
    assert "Mean uncertainty 0.500 of 2 measured." in found.message


def test_a_line_that_was_cut_off_costs_no_other(folder, params):
    log = DemandLog(folder)
    log.corrected()
    (path,) = (folder / demand.FOLDER).iterdir()
    path.write_text(path.read_text() + '{"time": "2026')
    for _ in range(2):
        log.corrected()
    assert read_demand(folder, None, params).corrected == 3
    assert [line[:9] for line in path.read_text().splitlines()] == ['{"time": '] * 4


def test_days_count_and_are_kept_to_the_last_of_them(folder, params, monkeypatch):
    today = date(2026, 3, 31)
    for day in ("2026-03-01", "2026-03-02", "2026-03-31"):
        measured(folder, asked(100, 1), day=day)
    found = read_demand(folder, None, params, today=today, days=30)
    assert (found.days, found.answered, found.measured, found.drift) == (30, 8, 2, ())
    assert read_demand(folder, None, params, today=today, days=31).answered == 12
    now = datetime.now(UTC).date()
    days = [now - timedelta(days=age) for age in (demand.KEPT_DAYS, demand.KEPT_DAYS + 1)]
    for day in days:
        measured(folder, asked(100, 1), day=str(day))
    DemandLog(folder).corrected()
    kept = {path.stem for path in (folder / demand.FOLDER).iterdir()}
    assert str(days[0]) in kept
    assert str(days[1]) not in kept


@pytest.mark.parametrize(("score", "uncertainty"), [(0.75, 0.25), (1.2, 0.0), (-0.1, 1.0)])
def test_a_prompt_is_measured_as_sets_of_data_are(score, uncertainty):
    pixels = torch.zeros(3, 30, 45, dtype=torch.uint8)
    pixels[0] = 200  # red
    transform = SimpleNamespace(height=60, width=90)
    image = SimpleNamespace(transform=transform, pixels=pixels)
    job = SimpleNamespace(image=image, model=SimpleNamespace(name="pa_sam"))
    assert demand._measured(job, {"score": score, "area": 540}) == {
        "model": "pa_sam", "uncertainty": uncertainty, "area": 0.1,
        "resolution": pytest.approx(73.484692), "brightness": pytest.approx(60, abs=0.5),
    }  # fmt: skip


def test_what_cannot_be_measured_or_written_costs_nobody_a_mask(folder, monkeypatch):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file in the folder's place")
    DemandLog(folder).answered([None], [[{}]])
