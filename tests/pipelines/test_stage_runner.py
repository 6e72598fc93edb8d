"""From a stage's signature to its command line and exit code; what stages hand on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock, call

import pandas as pd
import psutil
import pytest
import yaml

from pasam.config.schema import (
    AblationsParams,
    CompanionsParams,
    HqSamParams,
    ModelsParams,
    PaSamParams,
    TrainParams,
    VariantParams,
)
from pasam.errors import DataError, TransientError
from pasam.evaluation.model_set import ModelEntry
from pasam.evaluation.scores import UNTRAINED
from pipelines.stage_runner import ended_with_dvc, exit_codes, run
from pipelines.stages import (
    baseline,
    develop,
    evaluate,
    instances,
    report,
    robustness,
)


@pytest.fixture(autouse=True)
def _restore_signal_handlers():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def params_file(root):
    return ["--params-file", str(root / "params" / "default.yaml")]


def test_sections_come_from_the_params_file_and_the_rest_from_flags(params_file, in_empty_folder):
    seen = {}

    def stage(train: TrainParams, model_path: Path, model: str, repeats: int) -> None:
        """Do something."""
        seen.update(train=train, model_path=model_path, model=model, repeats=repeats)

    run(stage, ["--model-path", "a/b.pt", "--model", "pa_sam", "--repeats", "3", *params_file])
    assert seen.pop("train").seed == 42
    assert seen == {"model_path": Path("a/b.pt"), "model": "pa_sam", "repeats": 3}


@pytest.mark.parametrize(("model", "cls"), [("hq_sam", HqSamParams), ("pa_sam", PaSamParams)])
def test_a_variant_is_the_entry_that_model_names(model, cls, params_file, in_empty_folder):
    seen = []

    def stage(variant: VariantParams, model: str) -> None:
        seen.append(variant)

    run(stage, ["--model", model, *params_file])
    assert isinstance(seen[0], cls)


def test_models_are_all_entries_by_their_names(params_file, in_empty_folder):
    seen = []

    def stage(models: ModelsParams) -> None:
        seen.append(models)

    run(stage, params_file)
    kinds = {name: type(variant) for name, variant in seen[0].items()}
    assert kinds.items() >= {"hq_sam": HqSamParams, "pa_sam": PaSamParams}.items()


def test_companions_are_what_the_params_file_trains_together_with_the_model(root, in_empty_folder):
    seen = []

    def stage(companions: CompanionsParams, model: str) -> None:
        seen.append(companions)

    content = yaml.safe_load((root / "params" / "default.yaml").read_text())
    content["train"]["together"] = ["pa_sam", "hq_sam"]
    Path("own.yaml").write_text(yaml.safe_dump(content))
    run(stage, ["--model", "pa_sam", "--params-file", "own.yaml"])
    assert {name: type(variant) for name, variant in seen[0].items()} == {"hq_sam": HqSamParams}


def test_ablations_are_what_each_variant_changes_as_it_stands(params_file, in_empty_folder):
    seen = []

    def stage(ablations: AblationsParams) -> None:
        seen.append(ablations)

    run(stage, params_file)
    assert seen[0]["no_mining"] == {"of": "pa_sam", "change": {"mining": {"method": "none"}}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --manifest"),
        (["--manifest", "a", "--manifst", "b"], "unrecognized arguments: --manifst b"),
        (["--mani", "a"], "required: --manifest"),
    ],
)
def test_flags_are_required_and_never_guessed(arguments, message, capsys):
    def stage(manifest: Path) -> None:
        raise AssertionError

    with pytest.raises(SystemExit) as caught:
        run(stage, arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(DataError("bad"), 2), (TransientError("bad"), 75)])
def test_a_deliberate_error_is_one_line_and_its_exit_code(error, code, capsys):
    def stage() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run(stage, [])
    assert caught.value.code == code
    assert capsys.readouterr().err == "error: bad\n"


def test_a_wrong_params_file_stops_the_stage_before_it_starts(tmp_path, capsys):
    def stage(train: TrainParams) -> None:
        raise AssertionError

    (tmp_path / "params.yaml").write_text("train: {seeed: 1}\n")
    with pytest.raises(SystemExit) as caught:
        run(stage, ["--params-file", str(tmp_path / "params.yaml")])
    assert caught.value.code == 2
    assert re.search(r"error: .*unknown \['seeed'\]", capsys.readouterr().err)


def test_several_processes_are_refused_where_each_would_do_all_the_work(
    capsys, params_file, monkeypatch
):
    ran = []

    def score(model: str, train: TrainParams) -> None:
        ran.append(model)

    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(SystemExit) as ended:
        run(score, ["--model", "sam", *params_file])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "4 processes were started, and stage score runs in one" in line
    assert ran == []
    monkeypatch.setattr("pipelines.stage_runner.require_fitting_launch", lambda *_: None)
    run(score, ["--model", "sam", *params_file], devices="train")
    monkeypatch.setenv("WORLD_SIZE", "1")
    run(score, ["--model", "hq_sam", *params_file])
    assert ran == ["sam", "hq_sam"]


def test_one_of_several_processes_leaves_its_last_word_to_the_one_that_has_started_it(
    capsys, tmp_path, monkeypatch
):
    def stage(flag: str) -> None:
        raise DataError(flag)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("PASAM_LAST_WORD", str(tmp_path / "word"))
    try:
        for flag in ("bad", "lost the other"):
            with pytest.raises(SystemExit) as ended:
                run(stage, ["--flag", flag])
            assert ended.value.code == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "word").read_text() == "2 error: bad\n"
    assert capsys.readouterr().err == ""


def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_a_file(capsys):
    def stage() -> None:
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as ended:
        run(stage, [])
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (70, 1)
    (kept,) = re.findall(r"report it with (\S+)\.$", said.strip())
    assert "raise ZeroDivisionError" in Path(kept).read_text()


STAGE = '''
import time
from pathlib import Path
from pipelines.stage_runner import run

def work(state: Path) -> None:
    """Work until stopped, then save."""
    state.write_text("started")
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        state.write_text("saved")
        raise

run(work)
'''


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_stage_saves_its_state_and_leaves_quietly(number, code, tmp_path, root):
    state = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, "--state", str(state)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    deadline = time.monotonic() + 30
    while not (state.exists() and state.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, state.read_text(), errors) == (code, "saved", "")


def test_a_full_disk_is_named_as_that_in_one_line(capsys, params_file):
    def stage(path: Path) -> None:
        try:
            raise OSError(28, "No space left on device", str(path))
        except OSError as error:
            raise RuntimeError("the library's own words") from error

    with pytest.raises(SystemExit) as ended:
        run(stage, ["--path", "a/b", *params_file])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: the disk is full, while a/b was written.")


ORPHAN = """
import os, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from pipelines.stage_runner import exit_codes, ended_with_dvc
pathlib.Path("stage.pid").write_text(str(os.getpid()))
with exit_codes(), ended_with_dvc(pause=0.1):
    try:
        time.sleep(120)
    finally:
        pathlib.Path("saved").touch()
"""


def wait_until(happened, seconds=60):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow  # it waits for what was killed
def test_a_training_whose_dvc_was_killed_saves_its_state_and_ends(root, in_empty_folder):
    Path("stage.py").write_text(ORPHAN)
    Path("dvc.yaml").write_text(
        f"stages:\n  train:\n    cmd: {sys.executable} stage.py {root}\n    always_changed: true\n"
    )
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], check=True)
    repro = subprocess.Popen([*dvc, "repro"], start_new_session=True)
    wait_until(Path("stage.pid").exists)
    wait_until(lambda: Path("stage.pid").read_text())
    stage = psutil.Process(int(Path("stage.pid").read_text()))
    time.sleep(1)  # it has to have looked for its DVC
    repro.kill()
    repro.wait(10)
    wait_until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE, 30)
    assert Path("saved").exists()


def test_a_stage_that_a_person_started_runs_to_its_end():
    with ended_with_dvc(pause=0.01):
        time.sleep(0.1)


def test_a_dvc_that_ends_while_it_is_looked_at_is_gone(monkeypatch):
    def status():
        raise psutil.NoSuchProcess(1)

    dvc = SimpleNamespace(cmdline=lambda: ["dvc"], is_running=lambda: True, status=status)
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(parents=lambda: [dvc]))
    with pytest.raises(SystemExit) as ended, exit_codes(), ended_with_dvc(pause=0.01):
        time.sleep(60)
    assert ended.value.code == 143


@pytest.mark.parametrize(
    "door", ["pipelines.flows stage_apart --local", "pipelines.stages.prepare"]
)
def test_another_python_is_told_where_the_projects_own_is(root, door):
    command = [sys.executable, "-S", "-m", *door.split()]  # bare
    done = subprocess.run(
        command, cwd=root, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{sys.executable}, Python 3." in line
    assert re.search("lacks (pydantic|torch|psutil);", line)
    assert ".venv/bin/activate" in line


def stand_in(stage, monkeypatch, *names):
    """Put something that notes its calls in the place of what a stage calls."""
    made = SimpleNamespace(**{name: MagicMock(name=name) for name in names})
    for name in names:
        monkeypatch.setattr(f"pipelines.stages.{stage}.{name}", getattr(made, name))
    return made


PLACES = [Path(name) for name in "abcdefghijk"]
BASE = SimpleNamespace(size="vit_b", checkpoint="base.pth", encoder_precision="bf16")


def measuring(**more):
    return MagicMock(benchmarks=("x", "y"), boundary_fraction=0.01, batch_size=3, **more)


@pytest.mark.parametrize("rank", [0, 1])
def test_evaluate_hands_on_what_its_params_say_and_only_the_first_process_writes(rank, monkeypatch):
    made = stand_in(
        "evaluate", monkeypatch, "open_store", "build_trainable", "load_base", "load_adapter",
        "file_digest", "choose_device", "encoder_milliseconds", "read_manifest", "benchmark_rows",
        "AdapterProbe", "evaluate_benchmark", "diagnose", "with_maps", "replace",
        "write_predictions", "write_scores", "write_diagnostics", "write_parameters",
        "write_timing",
    )  # fmt: skip
    measure, variant, group = measuring(), MagicMock(), MagicMock(rank=rank)
    store, weights, scores, predictions, diagnostics, cost, timing, manifest = PLACES[:8]
    group.gather.side_effect = lambda rows: rows
    made.diagnose.return_value = ["inside"]
    whole = made.replace.return_value.gathered.return_value
    whole.scores, whole.seconds = ["row"], [0.5, 0.25]
    made.benchmark_rows.side_effect = lambda frame, name: f"rows of {name}"
    evaluate.evaluate(
        BASE, measure, variant, "m", 42, manifest, store, weights, scores, predictions,
        diagnostics, cost, timing, group,
    )  # fmt: skip
    made.open_store.assert_called_once_with(store)
    made.open_store.return_value.check_base.assert_called_once_with(Path("base.pth"), "bf16")
    made.load_base.assert_called_once_with("vit_b", Path("base.pth"), "bf16")
    made.build_trainable.assert_called_once_with(made.load_base.return_value, variant)
    segmenter = made.build_trainable.return_value
    made.load_adapter.assert_called_once_with(
        segmenter.decoder, weights, kind=variant.decoder, base=made.file_digest.return_value
    )
    made.file_digest.assert_called_once_with(Path("base.pth"))
    made.choose_device.assert_called_once_with(
        measure.accelerator, key="evaluate.accelerator", local_rank=group.local_rank
    )
    segmenter.to.assert_called_once_with(made.choose_device.return_value)
    assert made.evaluate_benchmark.call_args_list == [
        call(ModelEntry("m", 42, segmenter), made.open_store.return_value, f"rows of {name}",
             batch_size=3, boundary_fraction=0.01, group=group)
        for name in ("x", "y")
    ]  # fmt: skip
    assert made.AdapterProbe.call_args_list == [call(segmenter, inner_maps=True)] * 2
    own = made.evaluate_benchmark.return_value
    probe = made.AdapterProbe.return_value.__enter__.return_value
    made.diagnose.assert_called_with(
        own.scores, probe.seen, made.open_store.return_value, grid=segmenter.base.grid
    )
    made.with_maps.assert_called_with(own.predictions, probe.maps)
    made.replace.assert_called_with(own, predictions=made.with_maps.return_value)
    made.replace.return_value.gathered.assert_called_with(group)
    if rank:
        writers = ("predictions", "scores", "diagnostics", "parameters", "timing")
        assert not any(getattr(made, f"write_{what}").called for what in writers)
        return
    assert made.write_predictions.call_args_list == [
        call(predictions / f"{name}.npz", whole.predictions) for name in ("x", "y")
    ]
    made.write_scores.assert_called_once_with(["row", "row"], scores)
    made.write_diagnostics.assert_called_once_with(["inside"] * 2, diagnostics)
    made.write_parameters.assert_called_once_with(cost, "m", segmenter)
    made.write_timing.assert_called_once_with(
        timing, masks=2, decoder_seconds=1.5, encoder_ms=made.encoder_milliseconds.return_value
    )


@pytest.mark.parametrize("model", ["sam", "oracle"])
def test_baseline_hands_on_what_its_params_say(model, monkeypatch):
    made = stand_in(
        "baseline", monkeypatch, "read_manifest", "benchmark_rows", "load_base", "open_store",
        "_segmenter", "choose_device", "encoder_milliseconds", "evaluate_oracle",
        "evaluate_benchmark", "write_predictions", "write_scores", "write_parameters",
        "write_timing",
    )  # fmt: skip
    measure, group = measuring(), MagicMock(rank=0)
    manifest, store, scores, predictions, cost, timing = PLACES[:6]
    made.benchmark_rows.side_effect = lambda frame, name: f"rows of {name}"
    ours = made.evaluate_oracle if model == "oracle" else made.evaluate_benchmark
    whole = ours.return_value.gathered.return_value
    whole.scores, whole.seconds = ["row"], [0.5]
    baseline.baseline(
        BASE, measure, model, manifest, store, scores, predictions, cost, timing, group
    )  # fmt: skip
    frozen, segmenter = made.load_base.return_value, made._segmenter.return_value
    made.load_base.assert_called_once_with("vit_b", Path("base.pth"), "bf16")
    if model == "oracle":
        how = {"model": "oracle", "mask_side": frozen.mask_side, "boundary_fraction": 0.01}
        assert ours.call_args_list == [call(f"rows of {n}", **how, group=group) for n in "xy"]
        assert not made.open_store.called
        segmenter = milliseconds = None
    else:
        opened = made.open_store.return_value
        made.open_store.assert_called_once_with(store)
        opened.check_base.assert_called_once_with(Path("base.pth"), "bf16")
        made._segmenter.assert_called_once_with("sam", frozen, Path("base.pth"))
        segmenter.to.assert_called_once_with(made.choose_device.return_value)
        made.choose_device.assert_called_once_with(
            measure.accelerator, key="evaluate.accelerator", local_rank=group.local_rank
        )
        made.encoder_milliseconds.assert_called_once_with(frozen, opened.images)
        milliseconds = made.encoder_milliseconds.return_value
        entry = ModelEntry("sam", UNTRAINED, segmenter)
        assert ours.call_args_list == [
            call(entry, opened, f"rows of {n}", batch_size=3, boundary_fraction=0.01, group=group)
            for n in "xy"
        ]
    assert made.write_predictions.call_args_list == [
        call(predictions / f"{name}.npz", whole.predictions) for name in ("x", "y")
    ]
    made.write_scores.assert_called_once_with(["row", "row"], scores)
    made.write_parameters.assert_called_once_with(cost, model, segmenter)
    made.write_timing.assert_called_once_with(
        timing, masks=2, decoder_seconds=1.0, encoder_ms=milliseconds
    )


@pytest.mark.parametrize("rank", [0, 1])
def test_all_models_are_measured_by_the_stages_that_compare_them_as_their_params_say(
    rank, monkeypatch
):
    measure, params, models, group = measuring(), MagicMock(images=7), MagicMock(), MagicMock()
    group.rank, group.gather.side_effect = rank, lambda rows: [*rows, "others"]
    store, manifest, adapters, scores, precision = PLACES[:5]
    made = stand_in(
        "robustness", monkeypatch, "open_store", "read_manifest", "benchmark_rows", "evenly",
        "load_model_set", "choose_device", "evaluate_robustness", "write_scores",
    )  # fmt: skip
    made.evenly.side_effect = lambda rows, count: pd.DataFrame({"of": [rows], "count": [count]})
    made.benchmark_rows.side_effect = lambda frame, name: name
    made.evaluate_robustness.return_value = ["row"]
    robustness.robustness(
        BASE, measure, params, models, 42, manifest, store, adapters, scores, group
    )
    device = {"key": "evaluate.accelerator", "local_rank": group.local_rank}
    made.choose_device.assert_called_once_with(measure.accelerator, **device)
    loaded = call(
        BASE, models, measure.models, adapters=adapters, seed=42,
        device=made.choose_device.return_value,
    )  # fmt: skip
    assert made.load_model_set.call_args == loaded
    made.open_store.assert_called_once_with(store)
    made.open_store.return_value.check_base.assert_called_once_with(Path("base.pth"), "bf16")
    ours, opened, rows, how = made.evaluate_robustness.call_args.args
    assert (ours, opened, how) == (
        made.load_model_set.return_value, made.open_store.return_value, params
    )  # fmt: skip
    assert rows.to_dict("records") == [{"of": "x", "count": 7}, {"of": "y", "count": 7}]
    wanted = {"batch_size": 3, "boundary_fraction": 0.01, "group": group}
    assert made.evaluate_robustness.call_args.kwargs == wanted
    assert made.write_scores.call_args_list == [call(["row", "others"], scores)] * (not rank)

    made = stand_in(
        "instances", monkeypatch, "instance_sets", "load_model_set", "choose_device",
        "segment_instances", "write_instances", "read_instances", "average_precisions",
        "write_precisions",
    )  # fmt: skip
    made.instance_sets.return_value = (["set 1", "set 2"], [])
    made.segment_instances.return_value = ["row"]
    instances.instances(BASE, measure, params, models, 42, adapters, scores, precision, group)
    loaded.kwargs["device"] = made.choose_device.return_value
    assert made.load_model_set.call_args == loaded
    made.choose_device.assert_called_once_with(measure.accelerator, **device)
    assert made.segment_instances.call_args_list == [
        call(made.load_model_set.return_value, data, resize=params.resize, **wanted)
        for data in ("set 1", "set 2")
    ]
    if rank:
        assert not made.write_instances.called
        assert not made.write_precisions.called
        return
    made.write_instances.assert_called_once_with(["row", "row", "others"], scores)
    made.read_instances.assert_called_once_with(scores)
    made.average_precisions.assert_called_once_with(
        made.read_instances.return_value, ["set 1", "set 2"], boundary_fraction=0.01
    )
    made.write_precisions.assert_called_once_with(made.average_precisions.return_value, precision)


@pytest.mark.parametrize("rank", [0, 1])
def test_develop_scores_every_model_on_the_development_sets(rank, monkeypatch):
    made = stand_in(
        "develop", monkeypatch, "open_store", "read_manifest", "load_model_set", "choose_device",
        "evaluate_benchmarks", "write_scores",
    )  # fmt: skip
    measure, models, group = measuring(development=("d",)), MagicMock(), MagicMock(rank=rank)
    manifest, store, adapters, scores = PLACES[:4]
    made.load_model_set.return_value.entries = ["one", "other"]
    made.evaluate_benchmarks.side_effect = lambda entry, *_, **__: SimpleNamespace(scores=[entry])
    group.gather.side_effect = lambda rows: [*rows, "others"]
    develop.develop(BASE, measure, models, 42, manifest, store, adapters, scores, group)
    made.open_store.return_value.check_base.assert_called_once_with(Path("base.pth"), "bf16")
    made.choose_device.assert_called_once_with(
        measure.accelerator, key="evaluate.accelerator", local_rank=group.local_rank
    )
    made.load_model_set.assert_called_once_with(
        BASE, models, measure.models, adapters=adapters, seed=42,
        device=made.choose_device.return_value,
    )  # fmt: skip
    assert made.evaluate_benchmarks.call_args_list == [
        call(entry, made.open_store.return_value, made.read_manifest.return_value, measure,
             names=("d",), group=group)
        for entry in ("one", "other")
    ]  # fmt: skip
    written = [call(["one", "other", "others"], scores)] * (not rank)
    assert made.write_scores.call_args_list == written


@pytest.mark.parametrize("rich", [False, True])
def test_the_report_is_of_the_models_benchmarks_and_files_of_this_very_run(rich, monkeypatch):
    def told(name):
        return lambda *given, **how: (name, *given, *sorted(how.items()))

    names = (
        "read_scores", "read_diagnostics", "read_history", "read_precisions", "read_instances",
        "file_md5", "describe_run", "published_for", "repeats_protocol", "clean_box_rows", "_json",
    )  # fmt: skip
    made = stand_in("report", monkeypatch, "read_manifest", "publish", *names)
    for name in names:
        getattr(made, name).side_effect = told(name)
    rows = [("train", "t"), ("val", "x"), ("val", "dev")]
    frame = pd.DataFrame([{"id": name, "split": split, "dataset": name} for split, name in rows])
    made.read_manifest.return_value = frame
    measure = measuring(models=("m",), baselines=("sam",), development=("dev",) * rich)
    models, variants = {"m": "how", "other": "else"}, {"v": "change"} if rich else {}
    train, again = SimpleNamespace(seed=42), SimpleNamespace(models=("m",), seeds=(43, 44))
    shown = MagicMock()
    keys = ("scores", "adapters", "predictions", "diagnostics", "instances", "variants", "cost",
            "histories", "repeated", "development", "manifest", "out")  # fmt: skip
    at = {name: Path(name) for name in keys}
    report.report(
        base=BASE, data="data", train=train, models=models, ablations=variants, repeats=again,
        evaluate=measure, report=shown, **at,
    )  # fmt: skip
    (results, out) = made.publish.call_args.args
    assert out == at["out"]
    scored = [at["scores"] / f"{name}.parquet" for name in ("sam", "m", "robustness")]
    assert results.conditions == ("read_scores", *scored)
    repeated = at["repeated"] / "m.parquet"
    assert results.scores == ("clean_box_rows", ("read_scores", *scored, repeated))
    assert list(results.manifest["dataset"]) == ["t", "x"], "not what variants are chosen on"
    name, used, base, data, seeds = results.setting
    assert (name, base, data, seeds) == ("describe_run", BASE, "data", ("seeds", [42, 43, 44]))
    assert used is results.manifest
    assert (results.params.variants, results.params.report) == ({"m": "how"}, shown)
    assert results.histories == {"m": ("read_history", at["histories"] / "m.jsonl")}
    assert results.published.scores == ("published_for", ("x", "y"))
    assert results.published.comparable == ("repeats_protocol", "vit_b", ("x", "y"))
    costs = {name: ("_json", at["cost"] / f"{name}.json") for name in ("sam", "m")}
    assert results.costs == costs
    inside = [at["variants"] / "v-diagnostics.parquet"] * rich
    assert results.diagnostics == ("read_diagnostics", at["diagnostics"] / "m.parquet", *inside)
    chosen_on = ("read_scores", at["development"]) if rich else None
    assert results.development == chosen_on
    assert results.precisions[1] == at["instances"] / "average_precision.parquet"
    assert results.instances[1] == at["instances"] / "instances.parquet"
    assert results.manifest_md5 == ("file_md5", at["manifest"])
    assert results.weights_md5 == {"m": ("file_md5", at["adapters"] / "m.safetensors")}
    if not rich:
        assert results.ablations is None
        return
    assert results.ablations.scores == ("read_scores", at["variants"] / "v.parquet")
    assert results.ablations.facts == {"v": ("_json", at["variants"] / "v.json")}
    assert results.ablations.changes == {"v": "change"}
