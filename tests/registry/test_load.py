"""One way in for every name that a model has."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from inference_models import picture
from small_world import small_base

from pasam.cli.options import named_model
from pasam.cli.predict import describe_model
from pasam.data.package_photographs import package_photographs
from pasam.errors import CheckpointError, ParamsError, RegistryError, TransientError
from pasam.inference.model_files import DEFAULT, PACKAGED, default_model, find_model, open_model
from pasam.masks.images import FOREGROUND
from pasam.masks.overlap import mask_iou
from pasam.masks.prompts import tight_box
from pasam.models.adapter_weights import TRAINED_ON
from pasam.models.checkpoint import read_metadata, read_weights, write_weights
from pasam.registry import evidence, load, versions
from pasam.registry.load import load_predictor, registered_files, weights_of_run
from pasam.registry.runs import sync
from pasam.registry.snapshot import take_snapshot
from pasam.registry.upkeep import damaged_cache as compared
from pasam.registry.upkeep.damaged_cache import cached_file, damaged_cache
from pasam.registry.upkeep.stored_files import put_base_in, stored_bases, take_base_out
from pasam.registry.version_files import find_candidate, metadata, open_files, write_files
from pasam.registry.versions import as_logged, known_standing, open_registry


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("champion", "champion, which is pa_sam (version 1)"),
        ("1", "pa_sam (version 1)"),
        ("hq_sam", "hq_sam (this project's)"),
        ("data/adapters/pa_sam.safetensors", "pa_sam (data/adapters/pa_sam.safetensors)"),
    ],
)
def test_a_model_opens_by_each_of_its_names_and_whose_it_is_is_said(name, called, promoted):
    opened = load_predictor(name, adapters=Path("data/adapters"))
    said = describe_model(opened, name)
    assert said == f"{called}, trained on synthetic images only"
    assert opened.name in said
    is_version = "version" in called
    assert (opened.origin == "registry version 1") is is_version


def test_an_entry_that_is_not_trained_is_said_where_it_was_looked_for(promoted):
    with pytest.raises(CheckpointError, match=r"image_adapter.safetensors does not exist"):
        load_predictor("image_adapter")


def test_without_a_name_and_a_project_it_is_the_packaged_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # in this project's root a trained one may take its place
    opened = load_predictor()
    assert opened.name == "pa_sam (packaged)"


@pytest.fixture
def reproduced(root, in_empty_folder):
    """A project after its training; a function says which data sets its PA-SAM+ has seen."""
    for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
        shutil.copy(root / name, in_empty_folder)
    packaged = PACKAGED / "pa_sam_plus.safetensors"

    def trained_on(*names):
        seen = read_metadata(packaged) | {TRAINED_ON: json.dumps(names)}
        target = in_empty_folder / "data/adapters/pa_sam_plus.safetensors"
        write_weights(target, read_weights(packaged), metadata=seen)

    return trained_on


@pytest.mark.long
def test_a_model_that_has_seen_synthetic_images_alone_never_becomes_the_default(reproduced):
    reproduced("generated_train")
    opened = load_predictor()
    assert opened.name == "pa_sam (packaged)"
    (coffee,) = (each for each in package_photographs() if each.name == "coffee")
    (cup,) = (each for each in coffee.objects if each.name == "cup")
    image = coffee.read()
    truth = cup.mask(image.shape[:2])
    opened.set_image(image)
    masks, _, _ = opened.predict(box=tight_box(truth), multimask_output=False)
    assert mask_iou(truth > FOREGROUND, masks[0]) > 0.8
    own = find_model("pa_sam_plus", adapters=Path("data/adapters"))
    assert (own.packaged, own.seen) == (False, "synthetic")


@pytest.mark.parametrize(
    ("names", "default"),
    [
        ([], "packaged/pa_sam"),
        (["generated_train"], "packaged/pa_sam"),
        (["generated_train", "my_photos"], "pa_sam_plus"),
    ],
)
def test_the_own_model_is_the_default_once_it_has_seen_other_images(names, default, reproduced):
    reproduced(*names)
    assert default_model(adapters=Path("data/adapters")) == default
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("preset: default", "preset: smoke"))
    assert default_model(adapters=Path("data/adapters")) == DEFAULT, "it learnt for seconds"
    on = PACKAGED / "tiny.safetensors"  # whatever it has seen: it is the one on that base
    assert default_model(adapters=Path("data/adapters"), base=on) == "pa_sam_plus"


def test_the_packaged_model_keeps_a_name_and_its_own_base(reproduced):
    reproduced("my_photos")
    for name, kind in (("packaged", "pa_sam_plus"), (DEFAULT, "pa_sam")):
        found = find_model(name, adapters=Path("data/adapters"))
        assert (found.packaged, found.name) == (True, f"{kind} (packaged)")
    with pytest.raises(CheckpointError, match=r"a base of its own, not on sam\.pth"):
        find_model("packaged", base=Path("sam.pth"))


def test_an_entry_is_looked_for_where_the_projects_training_leaves_it(promoted):
    opened = load_predictor("pa_sam")
    assert opened.name == "pa_sam"


def test_a_name_that_nobody_knows_is_said(promoted):
    with pytest.raises(ParamsError, match="there is no model 'best'"):
        load_predictor("best")


@pytest.fixture
def champion(promoted_once, monkeypatch):
    """The current folder: a project whose version 1 is champion."""
    monkeypatch.chdir(promoted_once.folder)
    monkeypatch.setattr("pasam.models.build.build_base", small_base)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    return promoted_once.folder


@pytest.mark.long
@pytest.mark.parametrize("name", ["champion", "1"])
def test_a_version_opens_by_alias_or_number_and_is_the_model_that_was_registered(name, champion):
    opened = named_model(name)
    assert opened.name.endswith("(version 1)")
    kind = opened.name.partition(" ")[0]
    trained = open_model(find_model(str(champion / "data" / "adapters" / f"{kind}.safetensors")))
    masks = []
    for predictor in (opened, trained):
        predictor.set_image(picture(60, 90))
        masks.append(predictor.predict(box=[12, 8, 70, 50], return_logits=True)[0])
    assert np.array_equal(*masks)


def test_other_names_are_not_the_registrys(champion, tmp_path):
    assert registered_files("pa-sam", project=champion, folder=tmp_path) is None


def test_a_version_that_is_not_there_is_said(champion, tmp_path):
    with pytest.raises(RegistryError, match="there is no version '9'"):
        registered_files("9", project=champion, folder=tmp_path)


def test_a_run_opens_as_the_version_that_was_registered_from_it(champion):
    run = open_registry(champion).version("champion").run_id
    assert named_model(f"runs:/{run}").name.endswith("(version 1)")


def test_a_version_brings_the_scores_that_it_was_judged_by(champion, tmp_path):
    files = registered_files("champion", project=champion, folder=tmp_path)
    version = open_registry(champion).version("champion")
    tag = as_logged(version, known_standing(champion)).tags["scores.mbiou"]
    assert {name: each["mbiou"] for name, each in files.scores.items()} == json.loads(tag)
    assert "mean" in files.scores


OTHER = "train@hq_sam"
"""A stage whose model nobody has registered."""


@pytest.fixture
def run(promoted):
    """The id of the run of that stage."""
    return sync(promoted.folder).runs[OTHER]


@pytest.fixture
def found(promoted, tmp_path):
    """Look for the weights of a run."""
    registry = open_registry(promoted.folder)
    return lambda run: weights_of_run(registry, run, project=promoted.folder, folder=tmp_path)


def test_a_runs_weights_are_those_that_the_project_still_has(promoted, run, found):
    files = found(run)
    assert files.weights == promoted.folder / "data" / "adapters" / "hq_sam.safetensors"
    assert files.name == f"hq_sam (run {run[:8]})"


def test_a_run_opens_by_its_address_and_answers(run):
    predictor = load_predictor(f"runs:/{run}")
    predictor.set_image(picture(60, 90))
    assert predictor.predict(box=[12, 8, 70, 50])[0].shape == (1, 60, 90)


def test_weights_that_the_project_has_replaced_come_from_dvcs_cache(
    promoted, run, found, tmp_path, monkeypatch
):
    tree = promoted.folder / "data" / "adapters" / "hq_sam.safetensors"
    digest = open_registry(promoted.folder).client.get_run(run).data.tags["model.md5"]
    cached = cached_file(promoted.folder, digest)
    cached.parent.mkdir(parents=True, exist_ok=True)
    kept = shutil.copyfile(tree, tmp_path / "kept")
    shutil.move(tree, cached)
    try:
        files = found(run)
        assert files.weights == tmp_path / "hq_sam.safetensors"
        assert files.weights.read_bytes() == kept.read_bytes()
        cached.unlink()
        with pytest.raises(RegistryError, match="neither in the project nor in DVC's cache"):
            found(run)
    finally:
        shutil.copyfile(kept, tree)


def test_a_run_without_a_model_and_one_that_is_not_there_are_said(promoted, run, found):
    report = sync(promoted.folder).runs["prepare"]
    with pytest.raises(RegistryError, match=r"\(prepare\) has no model"):
        found(report)
    with pytest.raises(RegistryError, match="there is no run 'nothing'"):
        found("nothing")


def test_a_version_computes_in_the_precision_that_it_was_trained_with(promoted, tmp_path):
    candidate = find_candidate(take_snapshot(promoted.folder), "pa_sam")
    assert candidate.encoder_precision == "32-true"
    for how in ("32-true", "bf16"):
        said = "encoder_precision" in metadata(
            dataclasses.replace(candidate, encoder_precision=how), "0" * 64
        )
        assert said is (how == "bf16"), "as in files of before"
        write_files(tmp_path / how, dataclasses.replace(candidate, encoder_precision=how))
        assert open_files(tmp_path / how).segmenter.base.encoder_precision == how


def test_without_a_name_and_outside_a_project_the_package_answers(in_empty_folder):
    model = load_predictor()
    model.set_image(np.zeros((40, 60, 3), np.uint8))
    assert model.predict(box=[5, 5, 30, 30])[0].shape[1:] == (40, 60)


@pytest.mark.parametrize("given", [False, True])
def test_what_a_caller_chose_reaches_the_finding_and_the_opening(
    given, in_empty_folder, monkeypatch
):
    seen = []
    monkeypatch.setattr(load, "find_model", lambda name, **how: seen.append((name, how)) or "files")
    monkeypatch.setattr(load, "open_model", lambda files, **how: seen.append((files, how)))
    monkeypatch.setattr(load, "default_model", lambda *chosen: seen.append(chosen) or "the usual")
    how = {
        "params_file": Path("p.yaml"), "adapters": Path("t"), "base": Path("b"),
        "device": "cuda:1", "resize": "squash", "exact": given,
    }  # fmt: skip
    load_predictor(*["champion"] * given, **how)
    wanted = [] if given else [(Path("p.yaml"), Path("t"), Path("b"))]
    *before, (name, found), opened = seen
    resolve = found.pop("resolve")
    assert before == wanted
    assert name == ("champion" if given else "the usual")
    assert found == {key: how[key] for key in ("params_file", "adapters", "base")}
    assert opened == ("files", {key: how[key] for key in ("device", "resize", "exact")})
    assert resolve.func is registered_files
    assert resolve.keywords["project"] == Path()


class Shown:
    """An MLflow that shows versions 1 and 2, and an alias that points to the first."""

    class store:  # noqa: N801
        tracking_uri = registry_uri = "sqlite:///x"

    def version(self, which):
        return SimpleNamespace(number=1 if which == "champion" else int(which), run_id="", tags={})

    def versions(self):
        return [SimpleNamespace(number=n, run_id=f"r{n}", tags={}, aliases=()) for n in (2, 1)]


@pytest.mark.parametrize(
    ("name", "how", "number", "alias"),
    [
        ("champion", {}, 2, "champion"), ("2", {}, 2, ""),
        ("1", {"alias": "champion"}, 1, "champion"),
        ("previous", {}, 1, "previous"), ("runs:/r1/", {}, 1, ""), ("runs:/r2", {}, 2, ""),
    ],
)  # fmt: skip
def test_an_alias_means_what_the_log_says_and_is_verified_as_one(
    name, how, number, alias, in_empty_folder, monkeypatch
):
    seen = []
    standing = SimpleNamespace(aliases={"champion": 2, "previous": 1})
    monkeypatch.setattr(load, "expect_begun", lambda project, wanted: None)
    monkeypatch.setattr(load, "open_registry", lambda project: Shown())
    monkeypatch.setattr(load, "known_standing", lambda project: standing)
    monkeypatch.setattr(
        load, "_of_version",
        lambda registry, version, folder, known, alias="": seen.append(
            (version.number, folder, known, alias)
        ),
    )  # fmt: skip
    registered_files(name, project=Path(), folder=Path("f"), **how)
    assert seen == [(number, Path("f"), standing, alias)]


@pytest.mark.parametrize("name", ["pa_sam", "sam", "x/1", "run:/a", "packaged"])
def test_a_name_of_another_kind_opens_no_registry(name, in_empty_folder):
    assert registered_files(name, project=Path(), folder=Path("f")) is None
    assert list(in_empty_folder.iterdir()) == []


@pytest.mark.parametrize(("which", "numbers"), [(None, [2, 1]), ("2", [2]), ("champion", [1])])
def test_versions_are_verified_one_by_one_as_the_log_and_their_alias_say(
    which, numbers, in_empty_folder, monkeypatch
):
    seen, begun = [], []

    class Marked(Shown):
        def log_mark(self):
            return "mark"

        def versions(self):
            return [
                SimpleNamespace(number=2, aliases=("staging", "champion", "previous")),
                SimpleNamespace(number=1, aliases=("candidate",)),
            ]

        def version(self, which):
            number = 1 if which == "champion" else int(which)
            return next(each for each in self.versions() if each.number == number)

    def verify(folder, number, standing, *, alias, logged):
        seen.append((folder, number, standing, alias, logged))
        if number == 2:
            raise RegistryError("adapter.safetensors was changed")

    monkeypatch.setattr(load, "expect_begun", lambda project, wanted: begun.append(project))
    monkeypatch.setattr(load, "open_registry", lambda project: Marked())
    monkeypatch.setattr(load, "known_standing", lambda project: "standing")
    monkeypatch.setattr(
        load, "fetched",
        lambda registry, version: contextlib.nullcontext(Path(f"files of {version.number}")),
    )  # fmt: skip
    monkeypatch.setattr(load, "verify_files", verify)
    found = load.verify_versions(Path("p"), which)
    told = {1: "", 2: "adapter.safetensors was changed"}
    assert found == {number: told[number] for number in numbers}
    assert seen == [
        (Path(f"files of {n}"), n, "standing", "champion" if n == 2 else "", True) for n in numbers
    ]
    assert begun == [Path("p")]


@pytest.mark.parametrize("known", [True, False])
def test_the_champion_is_watched_with_the_scores_that_it_was_judged_by(known, monkeypatch):
    before = pd.DataFrame({"benchmark": ["dis"], "image_id": ["a"], "boundary_iou": [0.5]})
    today = before.assign(boundary_iou=0.25)
    version = SimpleNamespace(number=3)
    decisions = SimpleNamespace(
        standing=SimpleNamespace(champion=3), log="log",
        version=lambda which: {"champion": version}[which],
        registry=SimpleNamespace(store=SimpleNamespace(registry_uri="sqlite:///x")),
        fetched=lambda number: contextlib.nullcontext(Path(f"files of {number}")),
    )  # fmt: skip
    for name, stand_in in (
        ("open_decisions", lambda project: decisions),
        ("scores_of", lambda log, each: {("log", 3): before if known else None}[log, each.number]),
        ("predictor_of", lambda folder: f"model of {folder}"),
        ("take_snapshot", lambda project: f"look at {project}"),
        ("reevaluate", lambda *given: {("look at p", "model of files of 3"): today}[given]),
    ):
        monkeypatch.setattr(evidence, name, stand_in)
    (row,) = evidence.watch_champion(Path("p")).rows
    assert (row.known, row.new) == ((1, 0) if known else (0, 1))
    assert (row.today if known else row.on_new) == pytest.approx(25.0)
    assert not known or row.judged == pytest.approx(50.0)
    decisions.standing.champion = None
    assert evidence.watch_champion(Path("p")) is None


@pytest.mark.parametrize(
    ("name", "origin", "typed", "said"),
    [
        ("pa_sam (version 1)", "registry version 1", "champion",
         "champion, which is pa_sam (version 1), on photographs"),
        ("pa_sam (version 1)", "registry version 1", "1", "pa_sam (version 1), on photographs"),
        ("m (run ab)", "run ab", "runs:/ab", "m (run ab), on photographs"),
        ("hq_sam", "project", "hq_sam", "hq_sam (this project's), on photographs"),
        ("hq_sam", "a/b.safetensors", None,
         "hq_sam (a/b.safetensors), on photographs; --model asks another"),
        ("pa_sam (packaged)", "packaged", None,
         "pa_sam (packaged), on photographs; --model asks another"),
    ],
)  # fmt: skip
def test_which_model_answers_is_said_with_whose_it_is(name, origin, typed, said):
    predictor = SimpleNamespace(name=name, origin=origin, trained_on="on photographs")
    assert describe_model(predictor, typed) == said


class BaseStore:
    """MLflow's client of a registry whose bases are listed on two pages."""

    def __init__(self):
        self.did = []
        self.pages = {
            None: ([("a", "READY"), ("b", "PENDING")], "next"), "next": ([("c", "READY")], None)
        }  # fmt: skip

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id=f"of {name}")

    def search_logged_models(self, experiments, *, filter_string, page_token):
        assert (experiments, filter_string) == (["of pasam"], "model_type = 'pasam-base'")
        rows, token = self.pages[page_token]
        found = (SimpleNamespace(tags={"base.sha256": d}, status=state) for d, state in rows)
        return type("Page", (list,), {"token": token})(found)

    def create_logged_model(self, experiment, *, name, tags, model_type):
        self.did.append(("create", experiment, name, tags, model_type))
        return SimpleNamespace(model_id="m1")

    def log_model_artifacts(self, model_id, folder):
        self.did.append(("log", model_id, [path.read_text() for path in Path(folder).iterdir()]))

    def finalize_logged_model(self, model_id, state):
        self.did.append(("finalize", model_id, state))


def test_a_base_is_stored_once_and_counts_when_it_is_whole(tmp_path):
    client = BaseStore()
    assert set(stored_bases(client)) == {"a", "c"}
    base = tmp_path / "artifacts" / "base.safetensors"
    base.parent.mkdir()
    for digest in ("c", "b"):
        base.write_text("weights")
        take_base_out(client, "e", tmp_path, digest)
        assert not base.exists()
    assert client.did == [
        ("create", "e", "base-b", {"base.sha256": "b"}, "pasam-base"), ("log", "m1", ["weights"]),
        ("finalize", "m1", "READY"),
    ]  # fmt: skip
    client.get_experiment_by_name = lambda name: None
    assert stored_bases(client) == {}


def test_a_version_without_its_base_says_so_and_one_that_has_its_own_asks_nobody(tmp_path):
    place, asked = tmp_path / "artifacts", BaseStore()
    place.mkdir()
    put_base_in(None, tmp_path)  # it describes no model
    about = place / "model.json"
    for words in ("[]", "{}", "{"):
        about.write_text(words)
        put_base_in(None, tmp_path)
    about.write_text('{"base_file_sha256": "bbbbbbbbbbbbbbbb"}')
    with pytest.raises(RegistryError, match="the base bbbbbbbbbbbb of this version is gone"):
        put_base_in(asked, tmp_path)
    (place / "base.safetensors").touch()
    put_base_in(None, tmp_path)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of DVC's: put a content into it, under its own name or another; what was read."""
    place, seen = tmp_path / "cache/files/md5", SimpleNamespace(read=[], now=10_000_000.0)

    class Repo(contextlib.nullcontext):
        cache = SimpleNamespace(local=SimpleNamespace(path=str(place)))

        def __enter__(self):
            return self

    def put(content, name=None, end=""):
        name = (name or hashlib.md5(content, usedforsecurity=False).hexdigest()) + end
        (place / name[:2]).mkdir(parents=True, exist_ok=True)
        (place / name[:2] / name[2:]).write_bytes(content)
        return name

    real = compared.file_md5
    monkeypatch.setattr("dvc.repo.Repo", Repo)
    monkeypatch.setattr(compared, "file_md5", lambda path: seen.read.append(path) or real(path))
    monkeypatch.setattr(compared.time, "time", lambda: seen.now)
    seen.put, seen.place = put, place
    return seen


def test_a_cache_is_compared_file_by_file_and_of_results_with_all_their_files(cache, tmp_path):
    first, second = cache.put(b"one"), cache.put(b"two")
    listing = json.dumps([{"md5": second, "relpath": "b"}]).encode()
    folder = cache.put(listing, end=".dir")
    bad = cache.put(b"other", name="0" * 32)
    words = [f"00/{'0' * 30} holds bytes of md5 {hashlib.md5(b'other').hexdigest()}"]
    assert list(damaged_cache(tmp_path)) == words
    assert len(cache.read) == 4
    for names, found in (
        ({first}, {first}),
        ({folder}, {folder, second}),
        ({bad}, {bad}),
        (set(), set()),
    ):
        cache.read.clear()
        assert list(damaged_cache(tmp_path, of=names)) == (words if bad in names else [])
        assert {path.parent.name + path.name for path in cache.read} == found


@pytest.mark.parametrize(
    ("later", "again", "read"),
    [(0, False, 0), (7 * 86400 - 1, False, 0), (7 * 86400, False, 2), (-1, False, 2), (0, True, 2)],
)
def test_what_was_whole_within_a_week_and_looks_the_same_is_not_read_again_for_every_run(
    later, again, read, cache, tmp_path
):
    cache.put(b"one"), cache.put(b"two")
    bad = cache.put(b"other", name="0" * 32)
    assert len(list(damaged_cache(tmp_path, again=False))) == 1
    cache.read.clear()
    cache.now += later
    assert len(list(damaged_cache(tmp_path, again=again))) == 1, "it is never believed"
    assert len(cache.read) == read + 1
    cache.put(b"one more", name=hashlib.md5(b"one", usedforsecurity=False).hexdigest())
    assert len(list(damaged_cache(tmp_path, again=False))) == 2
    (tmp_path / "cache" / compared.COMPARED).write_text("{")
    (cache.place / bad[:2] / bad[2:]).unlink()
    cache.read.clear()
    assert len(list(damaged_cache(tmp_path, again=False))) == 1
    assert len(cache.read) == 2


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("entries", [(), ("entry",)])
def test_who_looks_while_the_logs_remote_is_away_sees_what_this_clone_knows_of_it(
    entries, away, monkeypatch
):
    asked = []

    class Log:
        def __init__(self, project, *, patience):
            asked.append(patience)
            self.entries = ()

        def read(self, *, shared=True):
            asked.append(shared)
            if shared and away:
                raise TransientError("away")
            self.entries = entries
            return entries

    monkeypatch.setattr(versions, "DecisionLog", Log)
    monkeypatch.setattr(versions, "has_repository", lambda project: project == Path("clone"))
    monkeypatch.setattr(versions, "standing_of", lambda entries: ("standing", *entries))
    monkeypatch.setattr(versions, "differences", lambda *given: iter([given[1:]]))
    monkeypatch.setattr(versions, "as_logged", lambda version, standing: (version, standing))
    registry = SimpleNamespace(versions=lambda: ["v2", "v1"])
    standing = ("standing", *entries)
    found, odd = versions.list_versions(Path("clone"), registry)
    assert found == ([("v2", standing), ("v1", standing)] if entries else ["v2", "v1"])
    assert odd == ([(standing, ["v2", "v1"])] if entries and not away else [])
    assert asked == [versions.SHORT_PATIENCE, True, *([False] if away else [])]
    assert known_standing(Path("clone")) == (standing if entries else None)
    asked.clear()
    assert versions.list_versions(Path("folder"), registry) == (["v2", "v1"], [])
    assert known_standing(Path("folder")) is None
    assert asked == []
