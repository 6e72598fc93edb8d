"""Kill what changes a project at random moments, again and again, and compare.

    python -m benchmarks.kills PROJECT --action repro --kills 20

PROJECT is a clone that is committed and up to date; where there is no such folder, a small one is
made of this repository's last commit. In a copy of it, `--change` is made and committed, and for
`promote` and `rollback` what is decided about is made. Each kill has a copy of that to itself: the
command is killed (SIGKILL, its process alone, so that what it started is orphaned) after a part of
the processor time that it takes, orphans are given a minute to end, and the command is given again.
`flow`, `runner` and `server` are killed where the flows are served (`benchmarks/served_kills.py`).

What there is then has to equal what an undisturbed run leaves: digests in `dvc.lock`, decisions,
aliases, the runs of MLflow, a study's tables; and nothing may be left behind: no process, no lock,
no worktree, no run that is called running, and no draft or temporary folder that `pasam clean` does
not take away once it is a day old. Prints a line for each kill, then the count.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.kill_projects import (
    PASAM,
    PROMOTE,
    REPRO,
    SIZE,
    at_work,
    change,
    commit,
    copy,
    drafts,
    environment,
    make,
    run,
    what_is_left,
)
from benchmarks.served_kills import SERVED, kill_served, prepare_served, run_served, used
from pasam.errors import PasamError

FLOWS = [sys.executable, "-m", "pipelines.flows"]
ACTIONS = {
    "promote": PROMOTE,
    "rollback": [*PASAM, "registry", "rollback", "--why", "worse"],
    "repro": REPRO,
    "retrain": [*FLOWS, "retrain", "--local", "--allow-local"],
    "ablate": [*FLOWS, "ablate", "--local", "--size", "smoke"],
}
DONE = (0, 1, 2)
"""1: the gate has refused; 2: the way back was gone before, and there is none any more."""
ORPHANS = 60.0
"""Seconds that what a killed process has started may take to end."""


def main() -> None:
    """Kill, finish, compare; exit code 1 if anything differs or is left."""
    told = _told()
    if not told.project.exists():
        _say(f"making {told.project}")
        make(told.project.resolve())
    with tempfile.TemporaryDirectory(dir=told.work) as folder:
        place = Path(folder)
        start = _prepared(told.project.resolve(), place / "start", told)
        base = copy(start, place / "undisturbed")
        took = _undisturbed(base, told)
        wanted = what_is_left(base)
        _say(f"undisturbed: {took:.0f} s of processor time, {wanted['stages']} stages")
        shutil.rmtree(place / "undisturbed")
        wrong, killed = 0, 0
        chance = random.Random(told.seed)
        for number in range(1, told.kills + 1):
            own = copy(start, place / str(number))
            after = (number - chance.uniform(0.02, 0.98)) / told.kills * took
            at_it, faults = _killed(own, after, told)
            _clean(own)
            found = what_is_left(own)
            faults += [f"{name}: {found[name]}" for name in wanted if found[name] != wanted[name]]
            killed += at_it
            wrong += bool(faults)
            words = "; ".join(faults) or "equal, nothing left"
            _say(f"{number:>3}  killed after {after:5.1f} s ({at_it}): {words}")
            if not (faults and told.keep):
                shutil.rmtree(place / str(number))
            elif told.keep:
                shutil.move(place / str(number), told.keep / f"{told.action}-{number}")
        _say(f"{told.action}: {killed} of {told.kills} killed at work, {wrong} wrong")
    sys.exit(1 if wrong else 0)


def _told() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--action", choices=(*ACTIONS, *SERVED), required=True)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7, help="of the moments")
    parser.add_argument("--change", default="train.seed=7", help="what is new in params")
    parser.add_argument("--targets", nargs="*", default=[], help="stages, of repro alone")
    parser.add_argument("--work", type=Path, help="folder for the copies")
    parser.add_argument("--keep", type=Path, help="folder for copies in which something was wrong")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _prepared(project: Path, place: Path, told: argparse.Namespace) -> Path:
    """Copy the project, and bring the copy to where the command has something to do."""
    own = copy(project, place)
    if told.action == "rollback":  # two champions, whatever the gate would say of the second
        change(own / "params.yaml", "gate.mode", '"off"')
        commit(own, "Promote what is asked for")
        run(PROMOTE, own, (0,))
    for file in (own / "params.yaml", own / SIZE):
        change(file, *told.change.split("=", 1))
    commit(own, f"Change {told.change}")
    if told.action in ("promote", "rollback"):
        run(REPRO, own)
        commit(own, "What comes of it")
    if told.action == "rollback":
        run(PROMOTE, own, (0,))
    if told.action in SERVED:
        prepare_served(own)
    return own


def _command(told: argparse.Namespace) -> list[str]:
    return [*ACTIONS[told.action], *told.targets]


def _undisturbed(own: Path, told: argparse.Namespace) -> float:
    """Do it once without a kill; return the seconds of the processor that it took."""
    if told.action in SERVED:
        return run_served(own)
    began = _processor_time()
    run(_command(told), own)
    return _processor_time() - began


def _killed(own: Path, seconds: float, told: argparse.Namespace) -> tuple[bool, list[str]]:
    """Kill it and have it done all the same; say if it was at work, and what went wrong."""
    if told.action in SERVED:
        return kill_served(own, told.action, seconds)
    at_it = _kill_command(_command(told), own, seconds)
    faults = [] if _orphans_end(own) else ["processes live on"]
    run(_command(told), own, DONE)
    return at_it, faults


def _processor_time() -> float:
    """Seconds of the processor that ended children of this process took, theirs included."""
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken.ru_utime + taken.ru_stime


def _kill_command(command: list[str], own: Path, seconds: float) -> bool:
    """Start a command and kill it after so much processor time, which no load changes.

    Returns:
        Whether it was still at work.
    """
    with subprocess.Popen(
        command, cwd=own, env=environment(own), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        known = psutil.Process(process.pid)
        while process.poll() is None:
            if used(known) >= seconds:
                os.kill(process.pid, signal.SIGKILL)
                return True
            time.sleep(0.05)
    return False


def _orphans_end(own: Path) -> bool:
    deadline = time.monotonic() + ORPHANS
    while at_work(own):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _clean(own: Path) -> None:
    """Clean up what was left half-written, as if it were a day old: younger may be at work."""
    left = drafts(own)
    if left:
        for path in (*left, *(each for top in left for each in top.rglob("*"))):
            os.utime(path, (1, 1))
        run([*PASAM, "clean"], own, (0,))


if __name__ == "__main__":
    try:
        main()
    except PasamError as error:
        raise SystemExit(f"error: {error}") from None
