"""A version's files are safetensors and words; the base of all of them is stored once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pandas as pd
import pytest
from small_world import load_yaml
from tracked_world import commit
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.errors import CheckpointError, RegistryError
from pasam.files import sha256_of
from pasam.models.checkpoint import read_metadata, read_weights, write_state_dict, write_weights
from pasam.registry import version_files, versions
from pasam.registry.decision_log import Entry, Standing, VersionStanding
from pasam.registry.load import verify_versions
from pasam.registry.promotion import promote
from pasam.registry.runs import PARENT, params_of
from pasam.registry.snapshot import take_snapshot
from pasam.registry.transitions import open_decisions
from pasam.registry.upkeep import cleaning, stored_files
from pasam.registry.version_files import (
    find_candidate,
    measured_of,
    open_files,
    predictor_of,
    register,
    scores_of,
    write_files,
)
from pasam.registry.versions import fetch, fetched, known_tags, open_registry


@pytest.fixture
def candidate(promoted):
    return find_candidate(take_snapshot(promoted.folder), "pa_sam")


def paths(folder):
    return [folder / name for name in ("adapter.safetensors", "base.safetensors", "model.json")]


def test_equal_candidates_give_equal_bytes(candidate, tmp_path):
    write_files(tmp_path / "a", candidate)
    write_files(tmp_path / "b", candidate)
    for a, b in zip(paths(tmp_path / "a"), paths(tmp_path / "b"), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_the_files_alone_make_the_model(candidate, tmp_path):
    write_files(tmp_path, candidate)
    segmenter = open_files(tmp_path).segmenter
    state = segmenter.decoder.state_dict()
    trained = read_weights(candidate.adapter)
    assert trained
    assert all((state[name] == tensor).all() for name, tensor in trained.items())
    words = json.loads((tmp_path / "model.json").read_text())
    assert words["weights"] == "generated data and the small base"


def test_an_official_checkpoint_is_written_as_safetensors_and_still_fits(candidate, tmp_path):
    weights = read_weights(candidate.base)
    write_state_dict(tmp_path / "official.pth", weights)
    official = dataclasses.replace(candidate, base=tmp_path / "official.pth")
    write_files(tmp_path / "files", official)
    written = read_weights(tmp_path / "files" / "base.safetensors")
    assert all((written[name] == tensor).all() for name, tensor in weights.items())
    assert open_files(tmp_path / "files").name == "pa_sam"


@pytest.mark.parametrize("header", [b"{}", b'{"__metadata__": {"words": "more"}}      '])
def test_the_numbers_of_a_file_are_what_stands_behind_its_header(header, tmp_path):
    path, numbers = tmp_path / "a.safetensors", bytes(range(40))
    path.write_bytes(len(header).to_bytes(8, "little") + header + numbers)
    assert version_files._tensors_sha256(path) == hashlib.sha256(numbers).hexdigest()


def test_weights_of_another_base_are_refused(candidate, tmp_path):
    write_files(tmp_path, candidate)
    weights = read_weights(tmp_path / "adapter.safetensors")
    words = {**read_metadata(tmp_path / "adapter.safetensors"), "base": "0" * 64}
    write_weights(tmp_path / "adapter.safetensors", weights, metadata=words)
    with pytest.raises(CheckpointError, match="was trained for base '0000"):
        open_files(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[", "[]", '{"variant": {"decoder": "x"}}'])
def test_words_that_describe_no_model_are_refused(text, tmp_path):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match="does not describe a model"):
        open_files(tmp_path)


def test_the_fetched_weights_are_the_trained_bytes(promoted, champion_folder):
    files = {path.name: path.read_bytes() for path in (champion_folder / "artifacts").iterdir()}
    trained = promoted.path("data/adapters/pa_sam.safetensors").read_bytes()
    assert files["adapter.safetensors"] == trained
    assert (
        files["base.safetensors"] == promoted.path("pasam/packaged/tiny.safetensors").read_bytes()
    )


def test_mlflow_knows_that_the_weights_are_not_of_real_data(champion_folder):
    content = load_yaml((champion_folder / "MLmodel").read_text())
    assert content["metadata"] == {"weights": "generated data and the small base"}


def test_nothing_that_is_fetched_is_a_pickle(champion_folder):
    files = [path for path in champion_folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pth", ".pt", ".bin")]
    assert not [path for path in files if path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")]


def test_a_fetched_folder_makes_a_predictor_of_the_models_name(champion_folder):
    assert predictor_of(champion_folder).name == "pa_sam"


@pytest.mark.long
def test_two_versions_store_their_base_once_and_nothing_that_comes_with_the_package(project):
    project.change("gate", mode="off")
    commit(project.folder)
    assert promote(project.folder).moved
    project.change("gate", model="hq_sam")
    commit(project.folder)
    assert promote(project.folder).moved
    stored = project.path("mlruns/artifacts/models")
    (base,) = stored.rglob("base.safetensors")
    assert len(list(stored.rglob("adapter.safetensors"))) == 2
    assert len(list(stored.rglob("*.safetensors"))) == 3  # none of the packaged ones
    assert "/tmp" not in "".join(path.read_text() for path in stored.rglob("MLmodel"))
    assert verify_versions(project.folder) == {1: "", 2: ""}
    base.unlink()
    assert "the base " in verify_versions(project.folder, "1")[1]


def test_a_temporary_copy_is_gone_afterwards(promoted):
    registry = open_registry(promoted.folder)
    with fetched(registry, registry.version("champion")) as folder:
        assert (folder / "MLmodel").is_file()
    assert not folder.exists()


def test_files_that_are_gone_are_told_with_their_place(registry, tmp_path):
    with pytest.raises(RegistryError, match="files of version 1 are gone from file:///nowhere/1"):
        fetch(registry, registry.version(1), tmp_path / "x")


def test_the_same_bytes_again_are_the_same_version_and_no_candidate(promoted):
    decisions = open_decisions(promoted.folder)
    champion = decisions.version("champion")
    before = decisions.log.entries
    candidate = find_candidate(take_snapshot(promoted.folder), "pa_sam")
    again = register(decisions, candidate, run_id=champion.registered.details["run_id"])
    assert again.number == champion.number
    assert decisions.registry.aliases() == {"champion": 1}
    assert decisions.log.entries == before
    assert len(decisions.registry.versions()) == 1


@pytest.mark.long
def test_a_commit_that_gives_a_version_is_not_given_up_for_a_dirty_tree(own_promoted):
    decisions = open_decisions(own_promoted.folder)
    champion = decisions.version("champion").registered.details
    assert champion["tags"]["git.dirty"] == "false"
    candidate = find_candidate(take_snapshot(own_promoted.folder), "pa_sam")
    lineage = {**candidate.lineage, "git.dirty": "true", "git.commit": "other"}
    lineage["evaluation.evaluator"] = "newer"
    dirty = dataclasses.replace(candidate, lineage=lineage)
    tags = register(decisions, dirty, run_id=champion["run_id"]).registered.details["tags"]
    assert tags["git.dirty"] == "false"
    assert tags["git.commit"] == champion["tags"]["git.commit"]
    assert tags["evaluation.evaluator"] == "newer"
    lineage["evaluation.evaluator"] = "newest"
    clean = dataclasses.replace(candidate, lineage={**lineage, "git.dirty": "false"})
    tags = register(decisions, clean, run_id=champion["run_id"]).registered.details["tags"]
    assert tags["git.commit"] == "other"
    assert decisions.registry.version(1).tags["git.commit"] == "other"


def test_a_version_carries_lineage_scores_and_what_they_were_measured_with(promoted):
    decisions = open_decisions(promoted.folder)
    registry, version = decisions.registry, decisions.version("champion")
    candidate = find_candidate(take_snapshot(promoted.folder), "pa_sam")
    pd.testing.assert_frame_equal(scores_of(decisions.log, version), candidate.scores)
    assert measured_of(version) == candidate.measured
    shown = registry.version("champion")
    assert 0 < len(shown.tags) <= 8
    known = known_tags(version)
    assert known["adapter.sha256"] == candidate.key.partition("-")[0]
    run = registry.client.get_run(shown.run_id)
    page = registry.client.get_model_version("pasam", "1")
    assert page.description.startswith("pa_sam on tiny, boundary IoU ")
    assert "generated data" in page.description
    (made,) = run.outputs.model_outputs
    model = registry.client.get_logged_model(made.model_id)
    assert model.artifact_location == page.source
    assert run.data.tags["dvc.stage"] == known["dvc.stage"] == "train@pa_sam"
    scores = {metric.key: round(metric.value, 4) for metric in model.metrics}
    told = json.loads(known["scores.mbiou"])
    assert scores == {f"{name}/mbiou": value for name, value in told.items()}
    assert set(scores) == {"mean/mbiou", "dis_like/mbiou", "thin_like/mbiou"}


def test_a_version_tells_the_params_of_its_training_and_of_all_before_it(promoted):
    stages = take_snapshot(promoted.folder).lock.stages
    wanted = {**params_of(stages["train@pa_sam"]), **params_of(stages["prepare"])}
    assert {name.partition(".")[0] for name in wanted} >= {"train", "models", "base", "data"}
    result = CliRunner().invoke(app, ("registry", "show", "champion", "--json"))
    params = json.loads(result.stdout)["params"]
    assert params.items() >= wanted.items()
    assert not any(name.startswith(("evaluate.", "report.", "pretrain.")) for name in params)
    lines = CliRunner().invoke(app, ("registry", "show")).stdout.splitlines()
    assert ["train.seed", str(wanted["train.seed"])] in [line.split() for line in lines]


def test_same_bytes_registered_by_two_machines_at_once_are_one_version(tracked, monkeypatch):
    """The other machine's registration comes between making the files and logging them."""
    one, two = open_decisions(tracked.folder), open_decisions(tracked.folder)
    candidate = find_candidate(take_snapshot(tracked.folder), "pa_sam")
    run = one.registry.client.create_run(one.registry.store.experiment_id).info.run_id
    real, done = version_files._make, []

    def slow(decisions, *arguments):
        made = real(decisions, *arguments)
        if not done:
            done.append(made)
            register(two, candidate, run_id=run)
        return made

    monkeypatch.setattr(version_files, "_make", slow)
    version = register(one, candidate, run_id=run)
    assert version.number == 2
    assert [each.number for each in one.registry.versions()] == [2]
    assert [entry.event for entry in one.log.entries] == ["register"]


def carried(folder, *entries):
    """Let a version's folder carry entries of the log, numbered from 1."""
    for number, entry in enumerate(entries, 1):
        place = folder / "decisions" / f"{number:06}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(dataclasses.replace(entry, number=number).content())


def about(event, version=2, **more):
    return Entry(event=event, version=version, **more)


BACK = about("rollback", 3, before=3, after=2)
"""By which version 2 came back."""
GONE = about("rollback", 2, before=2, after=1)


@pytest.mark.parametrize(
    ("entries", "in_use"),
    [
        ([about("register")], False),
        ([about("register"), about("verdict")], False),
        ([about("register"), about("promote")], True),
        ([about("register"), about("promote"), GONE], False),
        ([about("register"), about("promote"), BACK], True),
        ([about("register"), about("promote"), GONE, about("promote")], True),
        ([about("register"), about("promote"), about("reject")], False),
        ([about("register"), about("promote"), about("register")], True),
        ([about("register"), about("promote"), about("register"), GONE], False),
        ([about("import", details={"status": "accepted"})], True),
        ([about("import", details={"status": "refused"})], False),
        ([about("register", 1), about("promote", 1), about("register"), GONE], False),
    ],
)
def test_a_machine_without_a_clone_knows_by_what_a_version_carries_whether_it_is_in_use(
    entries, in_use, tmp_path
):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "adapter.safetensors").write_bytes(b"weights")
    (tmp_path / "MLmodel").write_text("code")
    files = stored_files.digests_of(tmp_path)
    first, *rest = entries
    carried(tmp_path, *(
        dataclasses.replace(each, files=files) if each.event in ("register", "import") else each
        for each in (first, *rest)
    ))  # fmt: skip
    known = stored_files.verify_files(tmp_path, 2, None)
    assert known.version == 2
    if in_use:
        assert stored_files.verify_files(tmp_path, 2, None, alias="champion") == known
    else:
        with pytest.raises(RegistryError, match="no decision made champion"):
            stored_files.verify_files(tmp_path, 2, None, alias="champion")
    assert stored_files.verify_files(tmp_path, 2, None, alias="staging") == known


def test_files_are_compared_with_what_was_registered_and_those_that_grow_are_left_out(tmp_path):
    for name in ("artifacts/adapter.safetensors", "artifacts/model.json", "MLmodel", "code/a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files = stored_files.digests_of(tmp_path)
    assert set(files) == {"artifacts/adapter.safetensors", "artifacts/model.json", "*"}
    entry = dataclasses.replace(about("register", details={"key": "k"}), files=files, number=4)
    known = VersionStanding(number=2, registered=entry, status="")
    standing = Standing(versions={2: known}, champions=[2])
    for name in ("decisions/000001.json", "evidence/000001-scores.parquet"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("more")
    assert stored_files.verify_files(tmp_path, 2, standing, alias="champion") == entry
    for name, what in (
        ("artifacts/adapter.safetensors", "artifacts/adapter.safetensors is"),
        ("code/a.py", "its code or MLmodel is"), ("artifacts/new", "artifacts/new is .*none"),
    ):  # fmt: skip
        before = (tmp_path / name).read_text() if (tmp_path / name).exists() else None
        (tmp_path / name).write_text("changed")
        with pytest.raises(RegistryError, match=rf"{what}.*\(entry 4 of the log"):
            stored_files.verify_files(tmp_path, 2, standing)
        (tmp_path / name).unlink() if before is None else (tmp_path / name).write_text(before)
    (tmp_path / "artifacts" / "model.json").unlink()
    with pytest.raises(RegistryError, match=r"artifacts/model\.json is not there"):
        stored_files.verify_files(tmp_path, 2, standing)


def test_what_no_log_knows_is_loaded_only_where_there_is_none_at_all(tmp_path):
    assert stored_files.verify_files(tmp_path, 2, None, logged=False) is None
    for standing, logged in ((None, True), (Standing(), True), (Standing(), False)):
        with pytest.raises(RegistryError, match="version 2 is not in the log of decisions"):
            stored_files.verify_files(tmp_path, 2, standing, logged=logged)


TAGS = {"evaluation.set_md5": "e", "scores.mbiou": "{}", "git.dirty": "false", "git.pushed": "true"}


@pytest.fixture
def registering(monkeypatch):
    """Register one candidate where a version 1 may be known; notes of what is stored and said."""
    seen = SimpleNamespace(stored=0, shown=0, entries=[], deleted=[])
    candidate = SimpleNamespace(key="k1", tensors="t", params={"a": "1"}, scores=b"scores")

    def store(decisions, candidate, run_id):
        seen.stored += 1
        return version_files._Stored(number=7, files={"f": "7"}, model_id="m7", signature=b"sig")

    monkeypatch.setattr(version_files, "score_bytes", lambda scores: scores)
    monkeypatch.setattr(version_files, "_make", store)
    monkeypatch.setattr(version_files, "_tags", lambda candidate, known=None: dict(TAGS))
    monkeypatch.setattr(
        version_files, "_show_scores", lambda *given: setattr(seen, "shown", seen.shown + 1)
    )

    def run(*, known=None, whole=True, champions=(), others=None):
        standing = Standing(champions=list(champions))
        if known is not None:
            standing.versions[1] = VersionStanding(number=1, registered=known, status="")
        monkeypatch.setattr(version_files, "is_whole", lambda decisions, version: whole)

        def decide(draft):
            if others is not None:  # another machine has registered the same bytes first
                draft(standing)
                standing.versions[2] = VersionStanding(number=2, registered=others, status="")
            wanted = draft(standing)
            for entry in wanted.entries:
                standing.versions[entry.version] = VersionStanding(
                    number=entry.version, registered=entry, status=""
                )
                if entry.details.get("replaces"):
                    del standing.versions[entry.details["replaces"]]
                assert set(wanted.evidence) == set(entry.evidence.values()) - {"kept"}
            seen.entries += wanted.entries
            return wanted.entries

        client = SimpleNamespace(delete_model_version=lambda name, n: seen.deleted.append(n))
        decisions = SimpleNamespace(
            standing=standing, decide=decide, registry=SimpleNamespace(client=client),
            entry=lambda event, number, why, **more: about(event, number, why=why, **more),
        )  # fmt: skip
        seen.version = register(decisions, candidate, run_id="r").number
        return seen

    return run


def entry_of(**changes):
    details = {"key": "k1", "tags": {**TAGS, **changes}, "model_id": "m1", "run_id": "r1"}
    scores = {"scores.parquet": sha256_of(b"scores")}
    return about("register", 1, details=details, files={"f": "1"}, evidence=scores)


def test_new_bytes_are_stored_and_registered_with_their_scores_and_signature(registering):
    seen = registering()
    (entry,) = seen.entries
    assert (seen.stored, seen.version, entry.version, entry.files) == (1, 7, 7, {"f": "7"})
    assert entry.evidence == {
        "scores.parquet": sha256_of(b"scores"), "model.sig": sha256_of(b"sig")
    }  # fmt: skip
    wanted = {"key": "k1", "tensors": "t", "tags": TAGS, "params": {"a": "1"}, "model_id": "m7",
              "run_id": "r"}  # fmt: skip
    assert (entry.details, entry.after) == (wanted, None)


@pytest.mark.parametrize(
    ("changes", "again"),
    [({}, False), ({"git.commit": "older"}, False), ({"evaluation.set_md5": "other"}, True),
     ({"scores.mbiou": "other"}, True), ({"git.dirty": "true"}, True),
     ({"git.pushed": "false"}, True)],
)  # fmt: skip
def test_known_bytes_are_registered_again_only_where_that_says_something_new(
    changes, again, registering
):
    seen = registering(known=entry_of(**changes), champions=[1])
    assert (seen.stored, seen.version, len(seen.entries), seen.shown) == (0, 1, again, again)
    for entry in seen.entries:
        assert (entry.version, entry.files, entry.after) == (1, {"f": "1"}, 1)
        assert (entry.details["model_id"], entry.details["run_id"]) == ("m1", "r1")
        assert entry.details["tags"] == TAGS
        assert entry.why == "registered again"


def test_a_version_that_is_registered_again_with_other_scores_keeps_its_signature(registering):
    known = entry_of()
    others = {"scores.parquet": sha256_of(b"others"), "model.sig": "kept"}
    seen = registering(known=dataclasses.replace(known, evidence=others))
    (entry,) = seen.entries
    assert (seen.stored, entry.version, entry.files) == (0, 1, {"f": "1"})
    assert entry.evidence == {"scores.parquet": sha256_of(b"scores"), "model.sig": "kept"}


@pytest.mark.parametrize(("champions", "after"), [([], None), ([1], 7), ([3, 1], 7), ([1, 3], 3)])
def test_lost_files_are_stored_anew_in_the_place_of_the_version_that_had_them(
    champions, after, registering
):
    seen = registering(known=entry_of(), whole=False, champions=champions)
    (entry,) = seen.entries
    assert (seen.stored, seen.version, entry.details["replaces"]) == (1, 7, 1)
    assert entry.after == after
    assert seen.deleted == []


def test_of_two_machines_that_store_the_same_bytes_the_later_takes_its_own_back(registering):
    seen = registering(others=dataclasses.replace(entry_of(), version=2))
    assert (seen.stored, seen.version, seen.entries, seen.deleted) == (1, 2, [], ["7"])


def test_a_number_that_the_log_knows_as_another_model_is_passed_over(monkeypatch):
    files = {"artifacts/base.safetensors": "b", "*": "c"}
    taken = []
    monkeypatch.setattr(version_files, "save_model", lambda place, candidate, *, model_id: None)
    monkeypatch.setattr(version_files, "digests_of", lambda place: files)
    monkeypatch.setattr(version_files, "sign_files", lambda place: b"sig")
    monkeypatch.setattr(version_files, "take_base_out", lambda *given: taken.append(given[3]))
    monkeypatch.setattr(version_files, "_show_scores", lambda *given: taken.append(given[2]))
    monkeypatch.setattr(version_files, "_tags", lambda candidate: {"pasam.model": "m", "x": "y"})
    monkeypatch.setattr(version_files, "_description", lambda candidate: "words")
    client = MagicMock()
    client.create_logged_model.return_value = SimpleNamespace(
        model_id="m9", artifact_location="place"
    )
    client.create_model_version.side_effect = [SimpleNamespace(version=n) for n in ("1", "2", "3")]
    decisions = MagicMock(standing=SimpleNamespace(versions={1: None, 2: None}, champion=1))
    decisions.registry.client = client
    made = version_files._make(decisions, "candidate", "run")
    assert made == version_files._Stored(number=3, files=files, model_id="m9", signature=b"sig")
    assert [each.args for each in client.delete_model_version.call_args_list] == [
        ("pasam", "1"), ("pasam", "2")
    ]  # fmt: skip
    assert taken == ["b", {"run_id": "run", "model_id": "m9"}]
    for call in client.create_model_version.call_args_list:
        assert call.args == ("pasam", "place")
        assert call.kwargs == {
            "run_id": "run", "model_id": "m9", "description": "words",
            "tags": {"pasam.model": "m", "pasam.status": "registered"},
        }  # fmt: skip


def old_registry(tmp_path, *, removed=(), local=True):
    """Versions 1 to 6 of bases of their own, of which 2 is champion and 6 the candidate."""
    known = {
        number: VersionStanding(
            number=number, status="", removed=number in removed,
            registered=Entry(
                event="register", version=number,
                files={"artifacts/base.safetensors": f"base{number % 5}"},
                details={"key": f"k{number}", "model_id": f"m{number}" if number > 1 else None,
                         "run_id": f"r{number}", "tags": {}},
            ),
        )
        for number in range(1, 7)
    }  # fmt: skip
    standing = Standing(versions=known, champions=[2], candidate=6)
    client = MagicMock()
    store = SimpleNamespace(
        folder=tmp_path / "mlruns", experiment_id="e", client=client,
        tracking_uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db" if local else "http://server",
    )  # fmt: skip
    registry = SimpleNamespace(
        client=client, store=store, versions=lambda: [SimpleNamespace(number=n) for n in (6, 3, 2)]
    )
    decisions = MagicMock(standing=standing, registry=registry)
    decisions.entry.side_effect = lambda event, number, why: Entry(
        event=event, version=number, why=why
    )
    decisions.decide.side_effect = lambda draft: draft(standing).entries
    for name in ("verdicts/v3", "artifacts/models/m1", "artifacts/models/m3", "artifacts/models/m2",
                 "artifacts/models/b1", "artifacts/r1"):  # fmt: skip
        (tmp_path / "mlruns" / name).mkdir(parents=True)
        (tmp_path / "mlruns" / name / "file").write_bytes(b"12345")
    return decisions


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("dry_run", [False, True])
def test_old_versions_are_logged_as_removed_and_go_with_their_files_and_pages(
    dry_run, local, tmp_path
):
    decisions = old_registry(tmp_path, removed=[4], local=local)
    cleaner = cleaning._Cleaner(project=tmp_path, decisions=decisions, keep=1, dry_run=dry_run)
    found = [(each.kind, each.name, each.size) for each in cleaner.versions()]
    assert found == [("version", "1", 0), ("version", "3", 5 + 5 * local)]
    client, logged = decisions.registry.client, decisions.entry.call_args_list
    assert [tuple(each.args) for each in logged] == (
        [] if dry_run else [("remove", n, "1 newer ones are kept") for n in (1, 3)]
    )
    assert [tuple(each.args) for each in client.delete_model_version.call_args_list] == (
        [] if dry_run else [(versions.NAME, "3")]  # MLflow shows the first no more
    )
    assert [each.args for each in client.delete_logged_model.call_args_list] == (
        [] if dry_run else [("m3",)]  # of the first it is not known
    )
    places = {path.name for path in (tmp_path / "mlruns").rglob("*") if path.is_dir()}
    assert {"m1", "m2", "r1"} <= places
    assert ("v3" in places) is dry_run
    assert ("m3" in places) is (dry_run or not local)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_base_goes_when_the_last_version_that_stands_on_it_has_gone(
    dry_run, tmp_path, monkeypatch
):
    decisions = old_registry(tmp_path, removed=[3])
    stored = {f"base{n}": SimpleNamespace(model_id=f"b{n}") for n in range(5)}
    monkeypatch.setattr(cleaning, "stored_bases", lambda client: stored)
    cleaner = cleaning._Cleaner(project=tmp_path, decisions=decisions, keep=1, dry_run=dry_run)
    names = [(each.kind, each.name, each.size) for each in cleaner.bases()]
    # The first goes by the dry run before, too, and 6, the candidate, stands on its base.
    assert names == [("base", "base3", 0), *([("base", "base4", 0)] if dry_run else [])]
    deleted = [each.args for each in decisions.registry.client.delete_logged_model.call_args_list]
    assert deleted == ([] if dry_run else [("b3",)])


@pytest.mark.parametrize("dry_run", [False, True])
def test_runs_go_that_are_old_and_ours_and_that_no_lock_and_no_version_needs(
    dry_run, tmp_path, monkeypatch
):
    decisions = old_registry(tmp_path, removed=[1])
    (tmp_path / "dvc.lock").write_text("here")
    stage = SimpleNamespace(digest="now")
    lock = SimpleNamespace(stages={"a": stage}, sha256="here")
    monkeypatch.setattr(cleaning, "read_lock", lambda project: lock)
    for number, sha256 in ((1, "one"), (2, "two")):
        tags = decisions.standing.versions[number].registered.details["tags"]
        tags["dvc.lock_sha256"] = sha256
    rows = {
        "r1": (99, {"pasam.key": "old"}), "r2": (50, {"pasam.key": "x", PARENT: "p2"}),
        "p2": (50, {"pasam.key": "reproduction"}), "p3": (50, {"pasam.key": "reproduction"}),
        "live": (99, {"pasam.kind": "live"}), "theirs": (50, {}), "at": (100, {"pasam.key": "y"}),
        "new": (101, {"pasam.key": "z"}), "lock": (50, {"pasam.key": "now", PARENT: "p4"}),
        "p4": (50, {"pasam.key": "reproduction"}), "p5": (50, {"pasam.key": "reproduction-here"}),
        "p6": (50, {"pasam.key": "reproduction-two"}),
        "p7": (50, {"pasam.key": "reproduction-one"}),  # of a version that was removed
    }  # fmt: skip
    runs = [
        SimpleNamespace(
            info=SimpleNamespace(run_id=name, run_name=f"of {name}", start_time=1000 * moment),
            data=SimpleNamespace(tags=tags),
        )
        for name, (moment, tags) in rows.items()
    ]
    pages = {None: (runs[:3], "next"), "next": (runs[3:], None)}

    class Page(list):
        token = None

    def search(experiments, *, max_results, page_token):
        assert experiments == ["e"]
        page = Page(pages[page_token][0])
        page.token = pages[page_token][1]
        return page

    client = decisions.registry.client
    client.search_runs.side_effect = search
    cleaner = cleaning._Cleaner(project=tmp_path, decisions=decisions, keep=1, dry_run=dry_run)
    found = {each.name: each.size for each in cleaner.runs(100.0)}
    going = ["r1", "p3", "live", "at", "p7"]
    assert found == {f"of {name} {name}": 5 * (name == "r1") for name in going}
    deleted = [each.args for each in client.delete_run.call_args_list]
    assert deleted == ([] if dry_run else [(name,) for name in going])
    assert (tmp_path / "mlruns/artifacts/r1").exists() is dry_run
