"""Several processes, on one machine and on two, train one model and go on together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each process imports torch anew

TESTS = Path(__file__).parents[1]
NEVER = 99


def start(folder: Path, *, trains="mask_head", nodes=1, devices=2, node=0, port=0, die_in=NEVER):
    launcher = ["torch.distributed.run", f"--nproc-per-node={devices}"]
    if nodes > 1:
        launcher += [f"--nnodes={nodes}", f"--node-rank={node}", "--master-addr=127.0.0.1"]
        launcher += [f"--master-port={port}"]
    else:
        launcher += ["--standalone"]
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, str(TESTS / "one_of_many.py"), str(folder), trains,
         str(nodes), str(devices), str(die_in)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def train(folder: Path, **how) -> list[str]:
    """Run to the end; return the digest of each process's weights."""
    folder.mkdir(exist_ok=True)
    nodes, port = how.get("nodes", 1), free_port()
    running = [start(folder, **how, node=node, port=port) for node in range(nodes)]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * nodes, "\n".join(said)[-3000:]
    return [path.read_text() for path in sorted(folder.glob("weights-*"))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)


@pytest.mark.parametrize("trains", ["decoder", "everything"])
def test_a_decoder_of_which_a_part_has_no_loss_trains_in_two_processes(trains, tmp_path):
    first, second = train(tmp_path, trains=trains)
    assert first == second


def test_two_machines_of_one_process_train_as_one_of_two(whole, tmp_path):
    _, expected = whole
    assert train(tmp_path, nodes=2, devices=1) == expected


def test_processes_that_were_killed_go_on_together_to_the_same_weights(whole, tmp_path):
    folder, expected = whole
    killed = start(tmp_path, die_in=1)
    killed.communicate(timeout=300)
    assert killed.returncode != 0
    assert (tmp_path / "state" / "state.pt").is_file()
    assert train(tmp_path) == expected
    history = "history.jsonl"
    assert (tmp_path / history).read_bytes() == (folder / history).read_bytes()
