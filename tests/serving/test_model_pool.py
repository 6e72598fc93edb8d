"""The models that are served, and their exchange."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
import threading
import time
import traceback
from types import SimpleNamespace

import pytest
from inference_models import VARIANTS, make_predictor, picture
from serving_world import BOX, Shelf

from pasam.errors import BusyError, CheckpointError, RefusedError, RegistryError, TrackingError
from pasam.inference.image_prompt import image_prompt
from pasam.inference.model_files import ModelFiles, find_model
from pasam.inference.predictor import PromptedModel
from pasam.models.adapter_weights import TRAINED_ON
from pasam.models.checkpoint import file_digest, read_metadata, read_weights, write_weights
from pasam.serving import registered_versions, service
from pasam.serving.registered_versions import RegisteredVersions
from pasam.serving.service import (
    EmbeddingCache,
    ModelPool,
    _sharing_base,
    _signature,
    available,
)


@pytest.fixture
def own(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.place("champion", "hq_sam")
    shelf.place("sam", "sam")
    return shelf


def test_the_first_name_is_the_default_and_an_unknown_one_is_refused(own):
    offered = own.offered()
    assert offered.get().name == "champion"
    assert offered.get("sam").kind == "sam"
    with pytest.raises(RefusedError, match=r"no model 'best' here; there are \['champion'") as no:
        offered.get("best")
    assert no.value.status == 404


def test_before_anything_is_loaded_the_service_is_not_there_yet(own):
    offered = ModelPool(list, find=own.find, open_files=own.open)
    with pytest.raises(RefusedError) as none:
        offered.get()
    assert none.value.status == 503


def test_nothing_is_opened_again_while_nothing_changed(own):
    offered = own.offered()
    before = offered.all()
    offered.refresh()
    assert offered.all() == before
    assert (own.opened, offered.swaps) == (2, 0)


def test_a_new_champion_answers_and_the_old_one_is_kept_by_who_holds_it(own):
    offered = own.offered()
    old = offered.get("champion")
    own.place("champion", "pa_sam")
    offered.refresh()
    new = offered.get("champion")
    assert (old.kind, new.kind) == ("hq_sam", "pa_sam")
    assert old.version != new.version
    assert offered.swaps == 1
    image = old.predictor.embed(picture(20, 30))
    for each in (old, new):
        prompt = image_prompt(box=[2, 2, 20, 15])
        assert each.predictor.predict_many([(image, prompt)])[0].masks.shape == (1, 20, 30)


def test_a_file_that_changes_under_the_same_name_is_opened_again(own):
    offered = own.offered()
    version = offered.get("sam").version
    own.place("sam", "sam", "trained longer")
    offered.refresh()
    assert offered.get("sam").version != version


def test_a_broken_new_version_leaves_the_old_one_in_place(own):
    offered = own.offered()
    old = offered.get("champion")
    own.place("champion", "pa_sam")
    own.broken.add("champion")
    with pytest.raises(CheckpointError, match="is broken"):
        offered.refresh()
    assert offered.get("champion") is old


def test_models_of_one_base_share_its_weights(own):
    bases = {id(each.predictor.segmenter.base) for each in own.offered().all()}
    assert len(bases) == 1


def test_the_watcher_follows_by_itself(own):
    offered = own.offered()
    offered.watch(0.01)
    own.place("champion", "pa_sam")
    end = time.monotonic() + 20
    while offered.get("champion").kind != "pa_sam":
        assert time.monotonic() < end
        time.sleep(0.01)
    offered.close()


def test_the_packaged_model_is_offered_before_those_that_have_seen_no_photograph(model_project):
    adapters, params = model_project / "data" / "adapters", model_project / "params.yaml"
    champion = find_model(str(adapters / "pa_sam.safetensors"))
    assert champion.seen == "synthetic"
    own = ["pa_sam", "hq_sam", "sam"]
    assert available(params, adapters, lambda name: None) == ["packaged/pa_sam", *own]
    found = available(params, adapters, lambda name: champion)
    assert found == ["packaged/pa_sam", "champion", *own]
    assert available(params, adapters, lambda name: champion, packaged=False)[0] == "champion"
    assert available(params, model_project, lambda name: None, packaged=False) == ["sam"]


def test_what_has_seen_photographs_is_offered_first_and_of_it_the_champion(model_project, tmp_path):
    params, names = model_project / "params.yaml", ["hq_sam", "pa_sam"]
    for name in names:
        path = model_project / "data" / "adapters" / f"{name}.safetensors"
        seen = read_metadata(path) | {TRAINED_ON: json.dumps(["generated_train", "my_photos"])}
        write_weights(tmp_path / path.name, read_weights(path), metadata=seen)
    assert available(params, tmp_path, lambda name: None) == ["pa_sam", "hq_sam", "sam"]
    champion = find_model(str(tmp_path / "hq_sam.safetensors"))
    assert champion.seen == "photographs"
    assert available(params, tmp_path, lambda name: champion)[0] == "champion"


def test_where_nothing_is_trained_the_packaged_models_are_offered(model_project, tmp_path):
    params = model_project / "params.yaml"
    packaged = ["pa_sam", "hq_sam", "pa_sam_plus", "sam"]
    assert available(params, tmp_path, lambda name: None) == packaged
    champion = find_model(str(model_project / "data" / "adapters" / "pa_sam.safetensors"))
    found = available(params, tmp_path, lambda name: champion)
    assert found == [*packaged[:3], "champion", "sam"]  # of synthetic images alone


class Registry:
    """A registry of three versions, whose champion a test may exchange."""

    class store:  # noqa: N801
        registry_uri = "sqlite:///mlflow.db"

    def __init__(self):
        self.champion, self.fetched = 1, []

    def aliases(self):
        return {"champion": self.champion}

    def fetch(self, name, *, project, folder, alias):
        assert alias == "champion"  # by which a version is verified that no decision made champion
        self.fetched.append(int(name))
        return ModelFiles(
            name=f"pa_sam (version {name})", base=folder / "base", size="tiny",
            kind="adapter", weights=folder / "adapter", variant=None,
            origin=f"registry version {name}",
        )  # fmt: skip


@pytest.fixture
def registry(monkeypatch):
    made = Registry()
    monkeypatch.setattr(registered_versions, "open_registry", lambda project: made)
    monkeypatch.setattr(registered_versions, "registered_files", made.fetch)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    return made


def begin_records(folder):
    (folder / "mlruns").mkdir()
    (folder / "mlruns" / "mlflow.db").touch()


def test_a_version_is_fetched_once_and_again_when_the_alias_moves(registry, tmp_path):
    begin_records(tmp_path)
    find = RegisteredVersions(tmp_path, tmp_path / "versions")
    first = find("champion")
    assert find("champion") is first
    registry.champion = 2
    assert find("champion").name == "pa_sam (version 2)"
    assert find("1") is first
    assert registry.fetched == [1, 2]
    assert find("previous") is None
    assert find("pa_sam") is None


def test_a_project_that_never_registered_anything_gets_no_registry_by_asking(registry, tmp_path):
    find = RegisteredVersions(tmp_path, tmp_path / "versions")
    assert find("champion") is None
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_answers_with_nan_never_replaces_a_good_one(own):
    offered = own.offered()
    old = offered.get("champion")
    own.place("champion", "pa_sam")
    own.spoiled["champion"] = float("nan")
    with pytest.raises(CheckpointError, match="pa_sam give NaN or infinity in place of masks"):
        offered.refresh()
    assert offered.get("champion") is old
    own.spoiled.clear()
    own.place("champion", "pa_sam", "trained again")
    offered.refresh()
    assert offered.get("champion").kind == "pa_sam"


def test_a_version_that_answers_the_same_everywhere_is_refused(own):
    own.spoiled["champion"] = 0.0
    with pytest.raises(CheckpointError, match="hq_sam give every pixel of a trial image the same"):
        own.offered()


def test_a_refused_file_is_not_read_again_until_it_changes(own):
    offered = own.offered()
    own.place("champion", "pa_sam")
    own.spoiled["champion"] = float("inf")
    for _ in range(3):
        with pytest.raises(CheckpointError):
            offered.refresh()
    assert own.opened == 3  # two at the start, one refused
    del own.spoiled["champion"]
    own.place("champion", "pa_sam", "trained again")
    offered.refresh()
    assert (own.opened, offered.get("champion").kind) == (4, "pa_sam")


def test_what_could_not_be_opened_for_a_passing_reason_is_opened_again(own):
    faults = [TrackingError("MLflow does not answer."), OSError(5, "Input/output error")]

    def open_files(files):
        if files.weights.name == "champion" and faults:
            raise faults.pop()
        return own.open(files)

    offered = ModelPool(lambda: list(own.kinds), find=own.find, open_files=open_files)
    for kind in (OSError, TrackingError):
        with pytest.raises(kind):
            offered.refresh()
    offered.refresh()
    assert offered.get("champion").kind == "hq_sam"


def test_a_model_whose_file_is_gone_while_it_is_trained_again_goes_on_answering(own):
    offered = own.offered()
    old = offered.get("champion")
    kind = own.kinds.pop("champion")
    (own.folder / "champion").unlink()
    offered.refresh()
    assert offered.get() is old  # the default all the while
    own.place("champion", kind, "trained again")
    offered.refresh()
    assert offered.get("champion").version != old.version


def test_a_model_that_is_withdrawn_answers_no_more(own):
    offered = own.offered()
    del own.kinds["champion"]
    offered.refresh()
    assert [each.name for each in offered.all()] == ["sam"]


@pytest.mark.parametrize(
    "fault", [TypeError("no mapping"), UnicodeDecodeError("utf-8", b"x", 0, 1, "?"), KeyError("x")]
)
def test_the_watcher_survives_whatever_a_look_raises(fault, own, monkeypatch):
    offered, raised = own.offered(), threading.Event()

    def failing():
        raised.set()
        raise fault

    names = offered._names
    offered._names = failing
    offered.watch(0.01)
    assert raised.wait(20)
    before = offered.seconds_since_look()
    time.sleep(0.05)
    assert offered.seconds_since_look() > before  # a look that fails is none
    own.place("champion", "pa_sam")
    offered._names = names
    end = time.monotonic() + 20
    while offered.get("champion").kind != "pa_sam":
        assert time.monotonic() < end
        time.sleep(0.01)
    offered.close()


def test_the_watcher_says_a_fault_once_until_it_is_another_or_has_gone(own, monkeypatch, caplog):
    offered, looks = own.offered(), threading.Semaphore(0)
    faults = [TrackingError("away"), TrackingError("away"), KeyError("x"), None, KeyError("x")]
    given = iter(faults)

    def refresh():
        fault = next(given, "done")
        if fault == "done":
            offered._stopped.set()
            looks.release()
        elif fault is not None:
            raise fault

    monkeypatch.setattr(offered, "refresh", refresh)
    offered.watch(0.001)
    assert looks.acquire(timeout=20)
    offered.close()
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.args[0] for record in told] == ["away", "'x'", "'x'"]
    assert [bool(record.exc_info) for record in told] == [False, True, True]


def test_a_run_is_fetched_once_and_only_an_alias_is_verified_as_one(
    registry, tmp_path, monkeypatch
):
    begin_records(tmp_path)
    asked = []

    def fetch(name, *, project, folder, alias):
        asked.append((name, project, folder, alias))
        return ModelFiles(
            name=name, base=folder, size="tiny", kind="adapter", weights=None, variant=None,
            origin="",
        )  # fmt: skip

    monkeypatch.setattr(registered_versions, "registered_files", fetch)
    versions = tmp_path / "versions"
    find = RegisteredVersions(tmp_path, versions)
    run = find("runs:/ab/model")
    assert find("runs:/ab/model") is run
    three = find("3")
    find("champion")
    assert asked == [
        ("runs:/ab/model", tmp_path, versions / "abmodel", ""),
        ("3", tmp_path, versions / "3", ""),
        ("1", tmp_path, versions / "1", "champion"),
    ]
    for number in (3, 3, 1):  # what was served by its number, and what was champion before
        registry.champion = number
        find("champion")
    assert asked[3:] == [
        ("3", tmp_path, versions / "3-champion", "champion"),
        ("1", tmp_path, versions / "1-champion", "champion"),
    ]
    assert find("3") is three


def test_a_registry_on_a_server_is_asked_where_no_file_of_one_is_here(
    registry, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert RegisteredVersions(tmp_path, tmp_path / "versions")("champion") is not None


def test_of_two_files_of_records_the_one_that_the_environment_names_is_asked(
    registry, tmp_path, monkeypatch
):
    begin_records(tmp_path)
    find = RegisteredVersions(tmp_path, tmp_path / "versions")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    assert find("champion") is None  # nothing was ever recorded there
    (tmp_path / "elsewhere.db").touch()
    (tmp_path / "mlruns" / "mlflow.db").unlink()
    assert find("champion") is not None


def test_who_shares_a_base_keeps_its_own_name_decoder_and_resize():
    first, foreign = make_predictor("sam"), make_predictor("hq_sam")
    foreign.base = "another"
    for kind, resize in (("sam", "squash"), ("pa_sam", "squash")):
        alone = make_predictor(kind, resize=resize)
        shared = _sharing_base(alone, [foreign, first])
        assert shared.segmenter.base is first.segmenter.base
        assert (shared.name, shared.base, shared.resize) == (kind, first.base, resize)
        own = first.segmenter.base.sam.mask_decoder if kind == "sam" else alone.segmenter.decoder
        assert shared.segmenter.decoder is own
        assert _sharing_base(alone, [foreign]) is alone


def test_who_shares_a_base_keeps_all_else_that_is_known_of_it():
    first = make_predictor("sam")
    alone = make_predictor("pa_sam", resize="squash", origin="mine", trained_on="photographs")
    shared = _sharing_base(alone, [first])
    taken = set(inspect.signature(PromptedModel).parameters) - {"segmenter"}
    assert taken >= {"name", "base", "resize", "origin", "trained_on"}
    assert {name: getattr(shared, name) for name in taken} == {
        name: getattr(alone, name) for name in taken
    }


def test_a_fault_of_one_name_keeps_no_other_from_its_new_version(own):
    offered = own.offered()
    own.place("champion", "pa_sam")
    own.broken.add("champion")
    own.place("sam", "sam", "trained longer")
    before = offered.get("sam")
    offered._looked = 0.0
    with pytest.raises(CheckpointError, match="champion is broken"):
        offered.refresh()
    assert offered.get("sam").version != before.version
    assert [each.name for each in offered.all()] == ["champion", "sam"]
    assert offered.swaps == 1
    assert offered.seconds_since_look() < 1000  # all names were looked up


class Kept:
    """The last good versions, in memory."""

    def __init__(self):
        self.files = {}

    def keep(self, name, files):
        self.files[name] = files

    def get(self, name):
        return self.files.get(name)


def test_only_a_registered_version_that_answers_is_kept_and_only_a_start_falls_back_on_it(own):
    kept = Kept()

    def pool(find=own.find):
        return ModelPool(lambda: list(own.kinds), find=find, open_files=own.open, last_good=kept)

    def away(name):
        if name == "champion":
            raise TrackingError("MLflow does not answer.")
        return own.find(name)

    running = pool()
    running.refresh()
    assert list(kept.files) == ["champion"]  # `sam` is no name of a registry
    good = kept.files["champion"]
    own.place("champion", "pa_sam")
    own.broken.add("champion")
    with pytest.raises(CheckpointError):
        running.refresh()
    assert kept.files["champion"] is good
    assert running.get("champion").kind == "hq_sam"
    own.broken.clear()
    started = pool(away)
    started.refresh()
    assert [each.name for each in started.all()] == ["champion", "sam"]
    assert started.get("champion").kind == "hq_sam"
    with pytest.raises(TrackingError):
        started.refresh()  # it answers already, and says that it cannot follow
    assert started.get("champion").kind == "hq_sam"
    names = ["sam", "champion"]
    behind = ModelPool(lambda: names, find=away, open_files=own.open, last_good=kept)
    behind.refresh()
    assert [each.name for each in behind.all()] == names
    assert len({id(each.predictor.segmenter.base) for each in behind.all()}) == 1
    with pytest.raises(TrackingError):
        ModelPool(lambda: ["champion"], find=away, open_files=own.open).refresh()

    def full(name):
        raise OSError(28, "No space left on device")

    no_room = ModelPool(lambda: ["champion"], find=full, open_files=own.open, last_good=kept)
    no_room.refresh()
    assert no_room.get().kind == "hq_sam"
    for name in ("champion", "staging", "7", "mine"):
        own.place(name, "hq_sam", "anew")
    running.refresh()
    assert set(kept.files) == {"champion", "staging", "7"}, "aliases and numbers"


def test_a_file_counts_as_changed_by_its_base_its_build_and_its_content(tmp_path):
    for name in ("base", "other", "weights"):
        (tmp_path / name).write_text("x")
    files = ModelFiles(
        name="m", base=tmp_path / "base", size="tiny", kind="adapter",
        weights=tmp_path / "weights", variant=None, origin="",
    )  # fmt: skip
    seen = {_signature(files)}
    for changed in ({"base": tmp_path / "other"}, {"variant": VARIANTS["pa_sam"]},
                    {"variant": VARIANTS["hq_sam"]}):  # fmt: skip
        seen.add(_signature(dataclasses.replace(files, **changed)))
    for name, text in (("weights", "xy"), ("base", "xyz")):
        (tmp_path / name).write_text(text)
        seen.add(_signature(files))
    then = (tmp_path / "weights").stat().st_mtime_ns
    (tmp_path / "new").write_text("yx")
    (tmp_path / "new").replace(tmp_path / "weights")  # of the same size and moment
    os.utime(tmp_path / "weights", ns=(then, then))
    seen.add(_signature(files))
    assert len(seen) == 7


@pytest.mark.parametrize("adapted", [True, False])
def test_a_version_is_named_by_its_own_weights_and_only_without_any_by_its_base(
    adapted, tmp_path, monkeypatch
):
    base, weights = tmp_path / "base", tmp_path / "weights"
    for path in (base, weights):
        path.write_text(path.name)
    model = SimpleNamespace(predictor=None, try_out=lambda: None)
    files = SimpleNamespace(
        base=base, weights=weights if adapted else None, name="pa_sam", size="tiny", scores={},
        variant=None, seen="photographs",
    )  # fmt: skip
    monkeypatch.setattr(service, "_sharing_base", lambda model, others: model)
    pool = ModelPool(list, find=None, open_files=lambda files: model)
    found = pool._opened("champion", files, [])
    named = weights if adapted else base
    assert found.version == hashlib.sha256(named.read_bytes()).hexdigest()[:12]
    assert (found.name, found.kind) == ("champion", "pa_sam")


def test_embedded_images_that_grow_when_they_are_asked_for_push_others_out():
    model, box = make_predictor("hq_sam"), image_prompt(box=BOX)
    images = [model.embed(picture(60, 90, seed)) for seed in range(4)]
    bare = images[0].nbytes
    cache = EmbeddingCache(4 * bare)
    names = [cache.put(image) for image in images]
    model.predict_many([(cache.get(names[0]), box)])
    grown = images[0].nbytes
    assert grown > bare
    assert cache.nbytes == 3 * bare + grown > cache.most_bytes
    assert cache.get(names[0]) is images[0]  # the one in use stays, and 1 was used longest ago
    assert cache.nbytes <= cache.most_bytes
    with pytest.raises(RefusedError):
        cache.get(names[1])
    only = EmbeddingCache(bare)
    name = only.put(images[3])
    model.predict_many([(images[3], box)])
    assert only.get(name) is images[3]


def test_a_file_that_is_replaced_while_it_is_opened_never_passes_for_the_new_one(own):
    def open_files(files):
        made = own.open(files)
        if own.opened == 3:  # after two at the start
            own.place("champion", "pa_sam", "again")
        return made

    offered = ModelPool(lambda: list(own.kinds), find=own.find, open_files=open_files)
    offered.refresh()
    old = offered.get("champion")
    own.place("champion", "pa_sam")
    with pytest.raises(BusyError, match="was replaced while it was opened"):
        offered.refresh()
    assert offered.get("champion") is old
    offered.refresh()
    assert offered.get("champion").version == file_digest(own.folder / "champion")[:12]


def test_the_disk_of_versions_that_no_name_stands_for_is_freed(registry, tmp_path, monkeypatch):
    begin_records(tmp_path)

    def fetch(name, *, project, folder, alias):
        folder.mkdir(parents=True)  # there is none: what a fetch left is not gone on from
        return ModelFiles(
            name=name, base=folder, size="tiny", kind="adapter", weights=None, variant=None,
            origin="",
        )  # fmt: skip

    monkeypatch.setattr(registered_versions, "registered_files", fetch)
    find = RegisteredVersions(tmp_path, tmp_path / "versions")
    find("1")
    for number in (2, 3, 4, 3):
        registry.champion = number
        find("champion")
    left = sorted(path.name for path in (tmp_path / "versions").iterdir())
    assert left == ["1", "3", "3-champion", "4"]  # by its number, in use, and before


def test_a_version_that_is_refused_is_not_brought_at_every_look(registry, tmp_path, monkeypatch):
    begin_records(tmp_path)
    clock, brought = [0.0], []

    def refuse(name, **given):
        clock[0] += 30
        brought.append(name)
        raise RegistryError("changed after it was registered")

    monkeypatch.setattr(registered_versions, "registered_files", refuse)
    monkeypatch.setattr(registered_versions, "monotonic", lambda: clock[0])
    find, errors = RegisteredVersions(tmp_path, tmp_path / "versions"), []
    for _ in range(130):
        with pytest.raises(RegistryError) as refused:
            find("champion")
        errors.append(refused.value)
        clock[0] += 5
    assert len(brought) == 2  # ten minutes after the first
    assert len(list(traceback.walk_tb(errors[-1].__traceback__))) < 6
