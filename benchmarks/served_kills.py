"""Kill what serves the flows: a flow's process, the runner that started it, Prefect's server.

`python -m pipelines.flows deployments` is started in a copy of a project, as `make flows` does, and
a retraining is asked for as on Prefect's page. One process is killed when the flow has taken so
much processor time; a runner is started again, as systemd does it (docs/operations.md). Then the
run that was at work has to end within the time that docs/flows.md states, whatever it ends as, and
the work has to be done by it or by a next one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import urllib3

from benchmarks.kill_projects import environment
from pasam.registry.live_curves import clone_id

SERVED = ("flow", "runner", "server")
FLOW = "retrain"
STATED = 180.0
"""Seconds within which a run whose process is gone is ended; docs/flows.md."""
PATIENCE = 900.0
"""Seconds for what only takes its time on a busy machine."""
RESTART = 5.0
"""Seconds after which a runner that was killed is started again."""
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
DONE = ("Promoted", "Rejected", "Champion", "Unchanged")
"""Names of a retraining's states when all its work is done."""


class Served:
    """The flows of a project, served; killed and started again as often as a test asks."""

    def __init__(self, own: Path) -> None:
        self.own = own
        self.process: subprocess.Popen[bytes] | None = None
        self.said_before = 0

    def start(self) -> None:
        """Serve, and wait until runs are taken."""
        with (self.own.parent / "served.log").open("ab") as output:
            self.said_before = output.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.flows", "deployments", "--port", "4400"],
                cwd=self.own, env=environment(self.own), stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self.wait(lambda: self._serves() and bool(self.deployment()), "it serves")
        # Before its first look for runs it has not put its own handler of SIGTERM in place.
        self.wait(lambda: b"get_scheduled_flow_runs" in self._said(), "it looks for runs")

    def stop(self) -> None:
        """End it as systemd does, and wait for that."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)

    def _serves(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise SystemExit(f"{self.own}: serving ended with {self.process.returncode}")
        try:
            told = json.loads((self.own / ".flows" / "served.json").read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return bool(told["process"][0] == self.process.pid)

    def _said(self) -> bytes:
        return (self.own.parent / "served.log").read_bytes()[self.said_before :]

    def wait(self, happened: Any, what: str, seconds: float = PATIENCE) -> None:
        """Wait until something has happened."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.own}: in {seconds:g} s it did not happen that {what}")
            time.sleep(0.5)

    def server(self) -> tuple[int, int]:
        """Return the server's process and its port."""
        told = json.loads((self.own / ".flows" / "prefect.server.json").read_text("utf-8"))
        return told[0], told[2]

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Ask the server; None while nobody answers."""
        try:
            address = f"http://127.0.0.1:{self.server()[1]}/api/{path}"
            answer = urllib3.request("POST", address, json=body, timeout=30, retries=False)
        except (OSError, ValueError, urllib3.exceptions.HTTPError):
            return None
        return answer.json() if answer.status < 300 else None

    def deployment(self) -> str | None:
        """Return the id of the retraining's deployment."""
        tags = {"deployments": {"tags": {"all_": [clone_id(self.own)]}}}
        found = self.ask("deployments/filter", {**tags, "flows": {"name": {"any_": [FLOW]}}})
        return found[0]["id"] if found else None

    def runs(self) -> list[dict[str, Any]] | None:
        """List the retrainings that have begun or were asked for; None while nobody answers."""
        found = self.ask("flow_runs/filter", {"deployments": {"id": {"any_": [self.deployment()]}}})
        return None if found is None else [run for run in found if not run["auto_scheduled"]]

    def retrain(self) -> None:
        """Ask for a retraining."""
        path = f"deployments/{self.deployment()}/create_flow_run"
        self.wait(lambda: self.ask(path, {}) is not None, "a run is asked for")

    def at_work(self) -> tuple[str, psutil.Process] | None:
        """Return the id and the process of a run that is at work, if there is one."""
        for file in self.own.glob(".flows/running/*"):
            try:
                number, created = json.loads(file.read_text("utf-8"))
                process = psutil.Process(number)
                if process.create_time() == created and lives(process):
                    return file.name, process
            except (OSError, ValueError, psutil.Error):
                continue
        return None

    def have_ended(self) -> bool:
        """Whether every run that was asked for has ended, by the server's own word."""
        found = self.runs()
        return bool(found) and all(run["state_type"] in ENDED for run in found or ())

    def is_done(self) -> bool:
        """Whether a retraining has done all its work."""
        return any(run["state_name"] in DONE for run in self.runs() or ())

    def finish(self) -> None:
        """Wait for what runs; if the work is not done by that, ask for it again, once."""
        self.wait(self.have_ended, "the run ends")
        if not self.is_done():
            self.retrain()
            self.wait(self.have_ended, "the next run ends")


@contextmanager
def _served(own: Path) -> Iterator[Served]:
    served = Served(own)
    served.start()
    try:
        yield served
    finally:
        served.stop()


def used(process: psutil.Process) -> float:
    """Seconds of the processor that a process and all below it have taken so far."""
    total = 0.0
    try:
        for each in (process, *process.children(recursive=True)):
            total += sum(each.cpu_times()[:4])
    except psutil.Error:
        pass
    return total


def prepare_served(own: Path) -> None:
    """Make Prefect's database, which takes a while, so that copies have it."""
    with _served(own):
        pass


def lives(process: psutil.Process) -> bool:
    """Whether a process is there, and more than an entry that nobody has waited for."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def run_served(own: Path) -> float:
    """Retrain undisturbed; return the seconds of the processor that the flow's process took."""
    with _served(own) as served:
        served.retrain()
        served.wait(served.at_work, "a run begins")
        took = 0.0
        while (found := served.at_work()) is not None:
            took = max(took, used(found[1]))
            time.sleep(0.2)
        served.finish()
    return took


def kill_served(own: Path, what: str, seconds: float) -> tuple[bool, list[str]]:
    """Kill the flow, its runner or the server at the flow's work, and let the work be finished.

    Args:
        own: The project.
        what: Of `SERVED`.
        seconds: Of the processor that the flow may take before.

    Returns:
        Whether the flow was at work, and what went wrong.
    """
    faults: list[str] = []
    with _served(own) as served:
        served.retrain()
        served.wait(served.at_work, "a run begins")
        found = served.at_work()
        while found is not None and used(found[1]) < seconds:
            time.sleep(0.05)
            found = served.at_work()
        assert served.process is not None
        if what == "server":
            os.kill(served.server()[0], signal.SIGKILL)
        elif what == "runner":
            os.kill(served.process.pid, signal.SIGKILL)
            served.process.wait()
            time.sleep(RESTART)
            served.start()
        elif found is not None:
            found[1].kill()
        if found is not None:
            faults += _shown_too_long(served, *found)
        served.finish()
    return found is not None, faults


def _shown_too_long(served: Served, run: str, process: psutil.Process) -> list[str]:
    """Wait until a run has ended; say if it was shown as running for long without its process."""
    gone: float | None = None
    while run not in (each["id"] for each in served.runs() or () if each["state_type"] in ENDED):
        if gone is None and not lives(process):
            gone = time.monotonic()
        if gone is not None and time.monotonic() > gone + STATED:
            return [f"its run is not ended {STATED:g} s after its process"]
        time.sleep(0.5)
    return []
