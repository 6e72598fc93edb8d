"""Several processes, on one machine and on two, work as one does and go on together."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from one_of_many import BEGAN, EPOCHS
from small_world import load_yaml

from pasam.cli import doctor
from pasam.cli.resources import Boxes, Content, Detected, gigabytes
from pasam.cli.run_costs import run_seconds
from pasam.cli.space_costs import cpu_memories
from pasam.config.schema import EmbedParams, EvaluateParams, TrainParams
from pasam.errors import DataError, ParamsError
from pasam.evaluation.diagnostics import read_diagnostics
from pasam.evaluation.scores import read_scores
from pasam.models.checkpoint import read_weights
from pipelines.stage_runner import processes_to_start, run

slow = pytest.mark.slow  # each process imports torch anew

TESTS = Path(__file__).parents[1]
NEVER = -1
KILLS = 10


def start(arguments, *, nodes=1, devices=2, port=0):
    """Start the command of one machine."""
    launcher = ["torch.distributed.run", f"--nproc-per-node={devices}"]
    if nodes > 1:
        launcher += [f"--nnodes={nodes}", "--rdzv-backend=c10d", "--rdzv-id=test"]
        launcher += [f"--rdzv-endpoint=127.0.0.1:{port}"]
    else:
        launcher += ["--standalone"]
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, str(TESTS / "one_of_many.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def command(folder, module, *arguments):
    """Start a stage as a person does, in a small world."""
    return subprocess.Popen(
        [sys.executable, str(TESTS / "one_of_many.py"), "command", folder, module, *arguments],
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def start_all(arguments, *, nodes=1, devices=2):
    """Start the same command on every machine; they find each other at one address."""
    port = free_port()
    return [start(arguments, nodes=nodes, devices=devices, port=port) for _ in range(nodes)]


def finish(running):
    """Wait for the end of all, which has to be a good one."""
    try:
        said = [process.communicate(timeout=300)[0] for process in running]
    except subprocess.TimeoutExpired:  # they wait for each other
        kill(running)
        raise
    assert [process.returncode for process in running] == [0] * len(running), "\n".join(said)[
        -3000:
    ]


def training(folder, *, trains="mask_head", nodes=1, devices=2, die_in=NEVER):
    return ["train", folder, trains, nodes, devices, die_in]


def train(folder: Path, *, nodes=1, devices=2, **how) -> list[str]:
    """Run to the end; return the digest of each process's weights."""
    folder.mkdir(exist_ok=True)
    words = training(folder, nodes=nodes, devices=devices, **how)
    finish(start_all(words, nodes=nodes, devices=devices))
    return [path.read_text() for path in sorted(folder.glob("weights-*"))]


def kill(running):
    """End all processes of all machines at once, as when the power goes."""
    for process in running:
        for one in (*psutil.Process(process.pid).children(recursive=True), process):
            one.kill()
    for process in running:
        process.communicate(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)


@slow
@pytest.mark.parametrize("trains", ["decoder", "everything"])
def test_a_decoder_of_which_a_part_has_no_loss_trains_in_two_processes(trains, tmp_path):
    first, second = train(tmp_path, trains=trains)
    assert first == second


@slow
def test_two_machines_of_one_process_train_as_one_of_two(whole, tmp_path):
    _, expected = whole
    assert train(tmp_path, nodes=2, devices=1) == expected


@slow
def test_processes_that_were_killed_go_on_together_to_the_same_weights(whole, tmp_path):
    folder, expected = whole
    (killed,) = start_all(training(tmp_path, die_in=1))
    killed.communicate(timeout=300)
    assert killed.returncode != 0
    assert (tmp_path / "state" / "state.pt").is_file()
    assert train(tmp_path) == expected
    history = "history.jsonl"
    assert (tmp_path / history).read_bytes() == (folder / history).read_bytes()


@slow
def test_two_machines_of_two_killed_at_ten_random_moments_end_with_the_same_weights(tmp_path):
    where = {"nodes": 2, "devices": 2}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = train(whole, **where)
    assert len(expected) == 4
    assert len(set(expected)) == 1
    lasted = float((whole / "ended-0").read_text()) - (whole / BEGAN).stat().st_mtime
    killed.mkdir()
    draw, left_at = random.Random(16), []
    for _ in range(KILLS):
        (killed / BEGAN).unlink(missing_ok=True)
        running = start_all(training(killed, **where), **where)
        while not (killed / BEGAN).exists():
            assert all(process.poll() is None for process in running)
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 2 * lasted / EPOCHS))  # about an epoch further, each time
        kill(running)
        history = killed / "history.jsonl"
        left_at.append(len(history.read_text().splitlines()) if history.exists() else 0)
    assert not list(killed.glob("weights-*")), f"it had ended before the last kill: {left_at}"
    assert len(set(left_at)) > 2, f"all in the same epochs: {left_at}"
    assert train(killed, **where) == expected
    assert (killed / "history.jsonl").read_bytes() == (whole / "history.jsonl").read_bytes()


@slow
def test_processes_that_resume_together_two_hundred_times_never_raise(tmp_path):
    finish(start_all(["resume", tmp_path, 200]))
    first, second = (path.read_text() for path in sorted(tmp_path.glob("weights-*")))
    assert first == second


TORCHRUN = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_STEP_NUM_TASKS": "4"}


@pytest.mark.parametrize(
    ("devices", "nodes", "shares", "around", "expected"),
    [
        (1, 1, True, {}, 1),
        (8, 1, True, {}, 8),
        ("auto", 1, True, {}, 3),
        (8, 1, False, {"SLURM_STEP_NUM_TASKS": "1"}, 8),
        (2, 1, True, TORCHRUN, 1),
        ("auto", 1, True, TORCHRUN, 1),
        (4, 1, True, {"WORLD_SIZE": "4"}, 1),
        (1, 1, False, TORCHRUN, 1),
        (2, 3, False, TORCHRUN, 1),
        (2, 1, False, SRUN, 1),
        (1, 1, True, TORCHRUN, r"2 processes .*\(LOCAL_WORLD_SIZE\), but part.devices is 1\. Set"),
        (8, 1, True, {"WORLD_SIZE": "1"}, "1 processes .* but part.devices is 8"),
        (8, 1, True, SRUN, "srun has started 4 tasks"),
        (4, 2, False, {}, "part.nodes is 2: .* `torchrun --nnodes 2 --nproc-per-node 4`"),
    ],
)
def test_as_many_processes_are_started_as_the_params_say_unless_others_have_done_so(
    devices, nodes, shares, around, expected, monkeypatch
):
    for name in (*TORCHRUN, *SRUN):
        monkeypatch.delenv(name, raising=False)
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pipelines.stage_runner.devices_here", {"gpu": 3}.__getitem__)
    section = SimpleNamespace(devices=devices, nodes=nodes, accelerator="gpu")
    if isinstance(expected, int):
        assert processes_to_start("part", section, shares=shares) == expected
        return
    with pytest.raises(ParamsError, match=expected):
        processes_to_start("part", section, shares=shares)


def test_each_stage_of_several_processes_says_where_their_number_stands(root):
    found = {}
    for path in (root / "pipelines" / "stages").glob("[a-z]*.py"):
        last = path.read_text(encoding="utf-8").splitlines()[-1]
        (found[path.stem],) = re.findall(r"^    run\(\w+(?:, devices=\"([a-z.]+)\")?\)$", last)
    by_section = {
        "": "prepare validate prepare_instances report", "embed": "embed",
        "pretrain.photographs": "pretrain", "train": "train repeat ablate",
        "evaluate": "evaluate baseline develop instances robustness",
    }  # fmt: skip
    assert found == {name: key for key, names in by_section.items() for name in names.split()}


@pytest.mark.parametrize("count", [1, 3])
def test_a_command_is_started_as_often_as_its_section_says_and_ends_as_they_do(
    count, capsys, root, monkeypatch
):
    ran, started = [], []

    def fit(model: str, train: TrainParams) -> None:
        ran.append(model)

    monkeypatch.setattr("pipelines.stage_runner.processes_to_start", lambda *_, **__: count)
    monkeypatch.setattr(
        "pipelines.stage_runner.run_together",
        lambda command, number: started.append((command, number)) or (4, "error: so it is\n"),
    )
    words = ["--model", "m", "--params-file", str(root / "params" / "default.yaml")]
    monkeypatch.setattr(sys, "argv", ["fit", *words])
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-X", "dev", "-m", "fit", *words])
    run(fit, words, devices="train")  # no command: somebody calls it
    assert (ran, started) == (["m"], [])
    if count == 1:
        run(fit, devices="train")
        assert (ran, started) == (["m", "m"], [])
        return
    with pytest.raises(SystemExit) as ended:
        run(fit, devices="train")
    assert (ended.value.code, capsys.readouterr().err) == (4, "error: so it is\n")
    assert started == [([sys.executable, "-X", "dev", "-m", "fit", *words], 3)]
    assert ran == ["m"]


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


@pytest.fixture
def paper(root):
    """What a run of the paper's preset depends on, and how much data there is."""
    path = root / "params" / "paper.yaml"
    plan = doctor._plan(path)
    counts = {("val", name): (100, 100) for name in plan.evaluate.benchmarks}
    return plan, Content(counts={("train", "t"): (500, 500), **counts}, checks=(), download=0)


def test_the_hours_of_a_run_know_how_many_gpus_embed_and_measure(paper):
    plan, content = paper
    boxes = Detected(counted=Boxes(images=10, boxes=50))

    def hours(embed, evaluate, *, on_gpu=True):
        own = {"embed": plan.embed, "evaluate": plan.evaluate}
        devices = {"embed": embed, "evaluate": evaluate}
        own = {name: part.replaced(devices=devices[name]) for name, part in own.items()}
        changed = dataclasses.replace(plan, **own)
        found = run_seconds(changed, content, on_gpu=on_gpu, cores=2, detected=boxes)
        starts = {"embed": 6, "evaluate": 3 * 4, "instances": 3, "robustness": 0}
        return {name: found[name] - least for name, least in starts.items()}

    one = hours(1, 1)
    assert min(one.values()) > 0
    assert hours(2, 1) == pytest.approx({**one, "embed": one["embed"] / 2})
    measured = {name: seconds / 4 for name, seconds in one.items()}
    assert hours(1, 4) == pytest.approx({**measured, "embed": one["embed"]})
    assert hours("auto", "auto") == hours(8, 8), "as many as train"
    assert hours(8, 8, on_gpu=False) == hours(1, 1, on_gpu=False), "one process has all cores"


def test_too_few_gpus_to_embed_or_to_measure_name_how_many_there_are(paper):
    plan, _ = paper
    gpus = [80 * 10**9] * 2
    for section, look in (
        (plan.embed, partial(doctor.check_embedding, "vit_l")),
        (plan.evaluate, partial(doctor.check_evaluation, "vit_l")),
    ):
        few = look(section.replaced(devices=3), probe=lambda: gpus)
        assert few.found == f"2 GPUs there, 3 wanted ({few.remedy.partition(':')[0]})"
        assert (few.state, few.remedy.partition(".")[2]) == ("missing", "devices: 2, or auto")
        states = [look(section.replaced(devices=n), probe=lambda: gpus).state for n in (2, "auto")]
        assert states == ["ok", "ok"]
        assert look(section, probe=list).state == "missing"
        assert look(section.replaced(accelerator="auto"), probe=list).state == "ok"


def test_embedding_needs_memory_for_the_images_of_a_pass_on_each_gpu_that_it_takes(paper):
    plan, _ = paper
    gb = 10**9

    def look(*gpus, encoder="32-true", **changes):
        embed = plan.embed.replaced(**changes)
        return doctor.check_embedding("vit_l", embed, lambda: list(gpus), encoder)

    told = look(5 * gb)
    assert (told.state, told.found) == (
        "ok",
        "5.0 GB there, about 4.1 GB needed on a GPU: weights 1.2 GB, batch 0.1 GB, encoder 1.7 GB, "
        "CUDA 1.0 GB, at embed.batch_size 4",
    )
    small = look(9 * gb, 3 * gb)
    assert (small.state, small.remedy[:28]) == ("missing", "a smaller embed.batch_size, ")
    assert look(9 * gb, 3 * gb, devices=1).state == "ok"
    assert look(3 * gb, encoder="bf16").state == look(4 * gb, batch_size=2).state == "ok"


def test_the_memory_of_the_cpu_is_that_of_all_processes_of_a_stage(root):
    params = load_yaml((root / "params" / "default.yaml").read_text())
    train, embed, evaluate = (
        kind(**params[name]) for name, kind in
        (("train", TrainParams), ("embed", EmbedParams), ("evaluate", EvaluateParams))
    )  # fmt: skip
    nothing = Content(counts={}, checks=(), download=0)
    memories = cpu_memories("tiny", train, embed, evaluate, nothing)
    for name, given in (
        ("training", (train.replaced(devices=9), embed, evaluate)),
        ("embedding", (train, embed.replaced(devices=9), evaluate)),
        ("evaluation", (train, embed, evaluate.replaced(devices=9))),
    ):
        needed = 9 * memories[name].needed
        enough, short = (
            doctor.check_memory("tiny", *given, nothing, there=needed - less) for less in (0, 1)
        )
        assert (enough.state, short.state) == ("ok", "missing")
        assert f"about {gigabytes(needed)} needed by a stage of 9 processes;" in enough.found
        assert short.remedy.startswith("fewer devices, a smaller ")
    auto = embed.replaced(devices="auto")
    assert "by a stage;" in doctor.check_memory("tiny", train, auto, evaluate, nothing).found


SHARED = (
    "embed@train", "embed@val", "evaluate@pa_sam", "baseline@sam", "baseline@oracle", "instances",
    "robustness", "develop",
)  # fmt: skip
TRAINED = ("train@pa_sam", "repeat@pa_sam", "ablate@bare_head")


@slow
def test_two_machines_of_two_embed_evaluate_and_train_as_one_process(world, tmp_path):
    where = alone, many = [world.copy(tmp_path / name) for name in ("alone", "many")]
    alone.change("train", batch_size=1, accumulate=4)
    many.change("train", batch_size=1, nodes=2, devices=2)
    many.change("embed", devices=2)
    many.change("evaluate", devices="auto")
    for name in TRAINED:
        alone.run(name)
        many.remove_outs(name)
    for name in SHARED:
        many.remove_outs(name)
    # What is measured is the model of the small world, whose results are compared.
    (many.path("data/adapters/pa_sam.safetensors")).write_bytes(
        world.path("data/adapters/pa_sam.safetensors").read_bytes()
    )
    commands = [(many.stages[n].module, *many.stages[n].arguments) for n in (*SHARED, *TRAINED)]
    finish(start_all(["stages", many.folder, json.dumps(commands)], nodes=2, devices=2))
    for name in SHARED:
        assert many.contents(name) == world.contents(name), name
    ours, theirs = (
        read_weights(one.path("data/adapters/pa_sam.safetensors")) for one in (many, alone)
    )
    before = read_weights(world.path("data/adapters/pa_sam.safetensors"))
    assert any(not before[name].equal(tensor) for name, tensor in theirs.items())
    for name, tensor in theirs.items():
        if name.endswith("k_proj.bias"):  # what all keys share changes no attention:
            continue  # its gradient is rounding, which Adam makes steps of
        assert (ours[name] - tensor).abs().max() <= 1e-4 * tensor.abs().max(), name
    for history in ("pa_sam-repeats", "bare_head"):
        lines = [one.path(f"reports/history/{history}.jsonl").read_text() for one in (many, alone)]
        for one, other in zip(*(text.splitlines() for text in lines), strict=True):
            assert json.loads(one) == pytest.approx(json.loads(other), rel=1e-4)
    ours, theirs = (read_scores(one.path("data/ablations/bare_head.parquet")) for one in where)
    assert list(ours["image_id"]) == list(theirs["image_id"])
    assert list(ours["boundary_iou"]) == pytest.approx(list(theirs["boundary_iou"]), abs=0.02)
    inside = [one.path("data/ablations/bare_head-diagnostics.parquet") for one in where]
    assert len(read_diagnostics(inside[0])) == len(read_diagnostics(inside[1])) > 0


@slow
def test_processes_train_two_models_on_the_same_passes_as_each_alone(world, tmp_path):
    names = ("train@hq_sam", "train@pa_sam")
    found = {}
    for folder, together in (("apart", []), ("together", ["hq_sam", "pa_sam"])):
        own = world.copy(tmp_path / folder)
        own.change("embed", views=0)
        own.change("train", batch_size=1, devices=2, together=together)
        own.run("embed@train")
        for name in names:
            own.remove_outs(name)
        commands = [(own.stages[name].module, *own.stages[name].arguments) for name in names]
        finish(start_all(["stages", own.folder, json.dumps(commands)]))
        found[folder] = [own.contents(name) for name in names]
    assert found["together"] == found["apart"]


@slow
def test_stages_start_their_processes_themselves_and_write_what_one_process_writes(world, tmp_path):
    many = world.copy(tmp_path / "many")
    many.change("embed", devices=3)
    many.change("evaluate", devices=2)
    for name in ("embed@val", "evaluate@pa_sam"):
        many.remove_outs(name)
        stage = many.stages[name]
        finish([command(many.folder, stage.module, *stage.arguments)])
        assert many.contents(name) == world.contents(name), name


@slow
@pytest.mark.parametrize(
    ("accelerator", "tolerance"),
    [
        pytest.param("cpu", 1e-4, id="two_cpus"),
        pytest.param("gpu", 1e-3, id="two_gpus", marks=pytest.mark.gpu(2)),
    ],
)
def test_two_processes_that_a_stage_starts_train_as_one_of_two_batches_a_step(
    accelerator, tolerance, world, tmp_path
):
    found = []
    for name, how in (("alone", {"accumulate": 2}), ("many", {"devices": 2})):
        own = world.copy(tmp_path / name)
        own.change("train", batch_size=1, accelerator=accelerator, **how)
        own.remove_outs("train@pa_sam")
        stage = own.stages["train@pa_sam"]
        finish([command(own.folder, stage.module, *stage.arguments)])
        text = own.path("reports/history/pa_sam.jsonl").read_text()
        found.append([json.loads(line) for line in text.splitlines()])
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, rel=tolerance)


@slow
@pytest.mark.gpu(2)
def test_all_gpus_of_a_machine_write_what_one_of_them_writes(world, tmp_path):
    one, every = (world.copy(tmp_path / name) for name in ("one", "every"))
    for many, devices in ((one, 1), (every, "auto")):
        many.change("embed", devices=devices, accelerator="gpu")
        many.change("evaluate", devices=devices, accelerator="gpu")
        for name in ("embed@val", "evaluate@pa_sam", "robustness"):
            many.remove_outs(name)
            stage = many.stages[name]
            finish([command(many.folder, stage.module, *stage.arguments)])
    for name in ("embed@val", "evaluate@pa_sam", "robustness"):
        assert every.contents(name) == one.contents(name), name


@slow
def test_two_machines_of_one_process_pretrain_as_one_of_two_that_a_stage_starts(world, tmp_path):
    one, two = (world.copy(tmp_path / name) for name in ("one", "two"))
    stage = world.stages["pretrain"]
    one.change("pretrain.photographs", devices=2)
    finish([command(one.folder, stage.module, *stage.arguments)])
    two.change("pretrain.photographs", nodes=2)
    commands = json.dumps([(stage.module, *stage.arguments)])
    finish(start_all(["stages", two.folder, commands], nodes=2, devices=1))
    assert one.contents("pretrain") == two.contents("pretrain") != world.contents("pretrain")


@slow
def test_what_all_processes_refuse_is_one_line_and_its_code(world, tmp_path):
    many = world.copy(tmp_path / "many")
    many.change("evaluate", devices=2)
    stage = many.stages["evaluate@pa_sam"]
    (many.path("data/adapters/pa_sam.safetensors")).unlink()
    ended = command(many.folder, stage.module, *stage.arguments)
    said, _ = ended.communicate(timeout=300)
    assert ended.returncode == 2
    (line,) = said.splitlines()
    assert line.startswith("error: ")
    assert "pa_sam.safetensors" in line


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_has_started_them(number, world, tmp_path):
    many = world.copy(tmp_path / "many")
    many.change("train", devices=2)
    many.change("models.pa_sam", epochs=10_000)
    stage = many.stages["train@pa_sam"]
    starter = command(many.folder, stage.module, *stage.arguments)
    history = many.path("reports/history/pa_sam.jsonl")
    history.unlink()
    while not history.exists():
        assert starter.poll() is None, starter.communicate()[0]
        time.sleep(0.05)
    started = psutil.Process(starter.pid).children(recursive=True)
    assert len(started) >= 2
    if number == signal.SIGINT:
        os.killpg(starter.pid, number)  # as a terminal does
    else:
        starter.kill()
    said, _ = starter.communicate(timeout=60)
    _, left = psutil.wait_procs(started, timeout=30)
    assert (left, "rror" in said) == ([], False), said
    assert starter.returncode == (130 if number == signal.SIGINT else -number)
