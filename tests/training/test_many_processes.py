"""Several processes, on one machine and on two, work as one does and go on together."""

from __future__ import annotations

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
import torch
from one_of_many import BEGAN, EPOCHS
from small_world import dump_yaml, load_yaml

from pasam.config.schema import TrainParams
from pasam.errors import ParamsError
from pasam.evaluation.diagnostics import read_diagnostics
from pasam.evaluation.scores import read_scores
from pasam.models.checkpoint import read_weights
from pasam.training.fit import launch
from pasam.workers import ProcessGroup, adopt_srun, started_group
from pipelines.launches import main, processes_of_job, section_of
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
JOB = {"SLURM_JOB_ID": "987654", "SLURM_JOB_NAME": "pasam", "SLURM_NTASKS": "4"}
SRUN = {
    **JOB, "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_ID": "3", "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0", "SLURM_NODEID": "1", "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_STEP_NODELIST": "gpu-[07,12-14],cpu-1",
}  # fmt: skip
ONE_TASK = {**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1"}
UNEVEN = {**SRUN, "SLURM_STEP_TASKS_PER_NODE": "1,3"}


@pytest.fixture
def surround(monkeypatch):
    """Give this process an environment without SLURM and launchers, and what is named."""
    launchers = ("SLURM_", "MASTER_", "TORCHELASTIC_", "RANK", "LOCAL_", "GROUP_", "WORLD_SIZE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(launchers)}
    return lambda **named: monkeypatch.setattr(os, "environ", clean | named)


@pytest.mark.parametrize(
    ("devices", "nodes", "around", "expected"),
    [
        (1, None, {}, 1),
        (8, None, {}, 8),
        ("auto", None, {}, 9),
        (8, 1, ONE_TASK, 8),
        (1, 1, JOB, 1),
        (8, 1, JOB, 8),
        (2, None, TORCHRUN, 1),
        ("auto", None, TORCHRUN, 1),
        (4, None, {"WORLD_SIZE": "4"}, 1),
        (2, 2, {"WORLD_SIZE": "4"}, 1),
        (2, 2, TORCHRUN, 1),
        (2, 2, SRUN, 1),
        (2, None, SRUN, 1),
        ("auto", None, SRUN, 1),
        (2, 2, SRUN | TORCHRUN, 1),
        (1, 1, TORCHRUN, r"4 processes .*\(WORLD_SIZE\), but part.devices 1 on part.nodes 1 are 1"),
        (1, 4, TORCHRUN, "2 processes .* but part.devices is 1"),
        (1, None, TORCHRUN, r"2 processes .*\(LOCAL_WORLD_SIZE\), but part.devices is 1\. Set"),
        (8, None, {"WORLD_SIZE": "1"}, "1 processes .* but part.devices is 8"),
        (1, 1, SRUN, r"4 tasks .*\(SLURM_STEP_NUM_TASKS\), but .* are 1\. .*srun --ntasks=1"),
        (2, 1, SRUN, "4 tasks .* but part.devices 2 on part.nodes 1 are 2"),
        (1, 1, SRUN | {"SLURM_JOB_NAME": "interactive"}, "4 tasks were started"),
        (1, None, SRUN, r"2 tasks .*\(SLURM_STEP_TASKS_PER_NODE\), but part.devices is 1"),
        (2, 2, UNEVEN, "srun has started 1 and 3 tasks on its machines"),
        (4, 2, {}, "part.nodes is 2: .* `torchrun --nnodes 2 --nproc-per-node 4`"),
        (4, 2, JOB, "part.nodes is 2"),
    ],
)
def test_as_many_processes_are_started_as_the_params_say_unless_others_have_done_so(
    devices, nodes, around, expected, surround, monkeypatch
):
    surround(**around)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 9)
    section = SimpleNamespace(devices=devices, accelerator="gpu")
    if nodes is not None:
        section.nodes = nodes
    if isinstance(expected, int):
        adopt_srun()
        assert processes_to_start("part", section) == expected
        return
    with pytest.raises(ParamsError, match=expected):  # noqa: PT012  (either may refuse)
        adopt_srun()
        processes_to_start("part", section)


def test_the_tasks_of_an_srun_know_each_other_by_the_names_of_torchrun(surround):
    surround(**SRUN)
    adopt_srun()
    adopt_srun()
    assert started_group() == ProcessGroup(rank=2, size=4, local_rank=0, local_size=2)
    named = {name: os.environ[name] for name in ("GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")}
    assert named == {"GROUP_RANK": "1", "MASTER_ADDR": "gpu-07", "MASTER_PORT": "20403"}
    surround(**SRUN, MASTER_ADDR="own", MASTER_PORT="1234")
    adopt_srun()
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("own", "1234")


def on_cpu(root, **changes):
    params = load_yaml((root / "params" / "default.yaml").read_text())["train"]
    return TrainParams(**params).replaced(**changes)


@pytest.mark.parametrize("around", [ONE_TASK, JOB, JOB | {"SLURM_NTASKS_PER_NODE": "4"}])
def test_a_shell_of_a_job_of_many_tasks_trains_as_one_process(around, root, surround):
    surround(**around)
    fabric = launch(on_cpu(root))
    assert (fabric.world_size, fabric.global_rank) == (1, 0)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_training_whose_srun_has_other_tasks_than_the_params_say_is_refused(
    devices, root, surround
):
    surround(**SRUN)
    with pytest.raises(ParamsError, match=rf"4 tasks .* own.devices {devices} on own.nodes 1"):
        launch(on_cpu(root, devices=devices), section="own")


@pytest.mark.parametrize(
    ("gpus", "given", "found"),
    [
        (0, {"accelerator": "gpu"}, "own.accelerator is gpu, and there is no GPU .* cpu, or to au"),
        (2, {"accelerator": "gpu", "devices": 3}, "own.devices is 3, and .* 2 GPUs .* Set it to 2"),
        (2, {"accelerator": "auto", "devices": 3}, "own.devices is 3, and there are 2 GPUs"),
    ],
)
def test_gpus_that_are_not_here_are_refused_before_anything_begins(
    gpus, given, found, root, surround, monkeypatch
):
    params = on_cpu(root, **given)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    for around in ({}, {"WORLD_SIZE": str(params.devices)}):
        surround(**around)
        for ask in (partial(launch, section="own"), partial(processes_to_start, "own")):
            with pytest.raises(ParamsError, match=found):
                ask(params)
    surround()
    assert processes_to_start("own", params.replaced(accelerator="cpu")) == params.devices
    if given["accelerator"] == "auto":
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        assert processes_to_start("own", params) == 3, "on the CPU"


@pytest.mark.parametrize(
    ("around", "section", "found"),
    [
        (SRUN, {}, "error: 4 tasks were started (SLURM_STEP_NUM_TASKS), but train.devices 1 on"),
        (UNEVEN, {}, "error: srun has started 1 and 3 tasks"),
        ({}, {"accelerator": "gpu"}, "error: train.accelerator is gpu, and there is no GPU"),
    ],
)
def test_a_stage_that_cannot_be_launched_so_does_nothing_and_says_why(
    around, section, found, capsys, root, surround, monkeypatch
):
    def fit(train: TrainParams) -> None:
        raise AssertionError("it has begun")

    surround(**around)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr("pipelines.stage_runner._load", lambda *_: on_cpu(root, **section))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        run(fit, [], devices="train")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(found)


def test_a_stage_of_one_process_is_refused_as_several_tasks_of_srun(capsys, surround, monkeypatch):
    surround(**SRUN)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        run(lambda: None, [])
    assert (ended.value.code, "srun --ntasks=1" in capsys.readouterr().err) == (2, True)


@pytest.fixture
def project(root, in_empty_folder):
    """Dvc.yaml and the stages' files, and what writes a params file for them."""
    for name in ("dvc.yaml", "pipelines"):
        Path(name).symlink_to(root / name)

    def write(**sections):
        params = load_yaml((root / "params" / "default.yaml").read_text())
        for name, changes in sections.items():
            own = params["pretrain"]["photographs"] if name == "photographs" else params[name]
            own.update(changes)
        Path("params.yaml").write_text(dump_yaml(params))

    write()
    return write


def test_a_stage_is_found_with_the_section_that_says_how_many_share_it(project):
    names = ("train@pa_sam", "dvc.yaml:repeat@x", "ablate", "embed@val", "robustness", "pretrain")
    assert [section_of(name) for name in (*names, "report", "-f", "no_stage")] == [
        "train", "train", "train", "embed", "evaluate", "pretrain.photographs", None, None, None,
    ]  # fmt: skip


def test_a_job_has_to_fit_the_own_section_of_what_it_runs_and_no_other(project):
    project(evaluate={"devices": "auto"}, train={"devices": 4}, photographs={"nodes": 2})
    for stages, nodes, gpus, count in (
        (["evaluate@pa_sam"], 2, 3, 3), (["evaluate@pa_sam"], 2, 0, 1), (["train@pa_sam"], 1, 4, 4),
        (["train@pa_sam"], 1, 0, 4), (["pretrain"], 2, 1, 1), (["report", "--force"], 1, 4, 1),
        (["evaluate", "train@pa_sam"], 1, 4, 4),
    ):  # fmt: skip
        assert processes_of_job(stages, nodes=nodes, gpus=gpus) == count, stages
    for stages, nodes, gpus, found in (
        (["train@pa_sam"], 2, 4, "train.nodes is 1, and the job has 2 nodes"),
        (["evaluate", "train@pa_sam"], 1, 2, "train.devices is 4, and the job has 2 GPUs on a no"),
        (["embed@val"], 2, 4, r"embed.devices is 1, .* has 4 GPUs .*, or set it to auto\."),
        (["pretrain"], 1, 1, "pretrain.photographs.nodes is 2"),
        (["report"], 2, 4, "report runs in one process, and the job has 2 nodes"),
    ):
        with pytest.raises(ParamsError, match=found):
            processes_of_job(stages, nodes=nodes, gpus=gpus)


def test_a_job_that_does_not_fit_is_told_so_in_one_line(project, capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    project(evaluate={"devices": "auto"})
    main(["--nodes", "2", "--gpus", "4", "evaluate@pa_sam"])
    assert capsys.readouterr().out == "4\n"
    with pytest.raises(SystemExit) as ended:
        main(["--gpus", "2", "train@pa_sam"])
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)


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

    monkeypatch.setattr("pipelines.stage_runner.processes_to_start", lambda *_: count)
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
