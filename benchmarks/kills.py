"""Kill `dvc repro`, a retraining and a study at random moments, again and again, and compare.

    python benchmarks/kills.py PROJECT --action repro --kills 8 --seed 7

Works on copies of a clone of the project that is committed, pushed and up to date. In each copy
`train.seed` is set to `--seed`, the command is killed (SIGKILL, its process alone, so that what it
started is orphaned), orphans are given a minute to end, and the command is given again. What there
is then has to equal what an undisturbed run leaves: digests in `dvc.lock`, decisions, aliases, the
runs of MLflow; and nothing may be left behind: no process, no lock, no draft, no worktree, no
temporary folder, no run that MLflow calls running. Prints a line for each kill, then the count.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import yaml

from pasam.errors import PasamError
from pasam.registry.decision_log import DecisionLog, standing_of
from pasam.registry.store import open_store

FLOWS = [sys.executable, "-m", "pipelines.flows"]
ACTIONS = {
    "repro": [sys.executable, "-m", "dvc", "repro", "--quiet"],
    "retrain": [*FLOWS, "retrain", "--local"],
    "ablate": [*FLOWS, "ablate", "--local", "--size", "smoke"],
}
ORPHANS = 60.0
"""Seconds that what a killed process has started may take to end."""


def main() -> None:
    """Kill, finish, compare; exit code 1 if anything differs or is left."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--action", choices=ACTIONS, required=True)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--targets", nargs="*", default=[], help="stages, of repro alone")
    parser.add_argument("--work", type=Path, help="folder for the copies")
    told = parser.parse_args()
    command = [*ACTIONS[told.action], *told.targets]
    with tempfile.TemporaryDirectory(dir=told.work) as folder:
        place = Path(folder)
        base = _copy(told.project.resolve(), place / "undisturbed", told.seed)
        began = _processor_time()
        _run(command, base)
        took = _processor_time() - began
        wanted = _left(base)
        _say(f"undisturbed: {took:.0f} s of processor time, {wanted['stages']} stages")
        wrong, killed = 0, 0
        chance = random.Random(told.seed)
        for number in range(1, told.kills + 1):
            own = _copy(told.project.resolve(), place / str(number), told.seed)
            after = chance.uniform(0.02, 0.98) * took
            at_it = _killed(command, own, after)
            killed += at_it
            faults = [] if _orphans_end(own) else ["processes live on"]
            _run(command, own)
            found = _left(own)
            faults += [f"{name}: {found[name]}" for name in wanted if found[name] != wanted[name]]
            wrong += bool(faults)
            words = "; ".join(faults) or "equal, nothing left"
            _say(f"{number:>3}  killed after {after:5.1f} s ({at_it}): {words}")
            if not faults:
                shutil.rmtree(place / str(number))
        _say(f"{told.action}: {killed} killed at work, {wrong} of {told.kills} wrong")
    sys.exit(1 if wrong else 0)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _copy(project: Path, place: Path, seed: int) -> Path:
    """Copy a project with a remote of its own, and commit another seed in it."""
    place.mkdir()
    (place / "temporary").mkdir()
    own = place / project.name  # the same name: MLflow and DVC know no other path
    shutil.copytree(project, own, symlinks=True)
    _git(place, "clone", "--quiet", "--bare", str(project), "remote.git")
    _git(own, "remote", "set-url", "origin", str(place / "remote.git"))
    text = (own / "params.yaml").read_text("utf-8")
    head, train, rest = re.split(r"(?m)^(train:)$", text)
    rest = re.sub(r"(?m)^  seed: \d+", f"  seed: {seed}", rest, count=1)
    (own / "params.yaml").write_text(head + train + rest, "utf-8")
    _git(own, "commit", "--quiet", "--all", "--message", f"Seed {seed}")
    _git(own, "push", "--quiet", "origin", "HEAD", "refs/heads/pasam-decisions")
    return own


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def _environment(own: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(own.parent / "temporary")}


def _run(command: list[str], own: Path) -> None:
    done = subprocess.run(
        command, cwd=own, env=_environment(own), capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):  # 1: the gate has refused
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")


def _processor_time() -> float:
    """Seconds of the processor that ended children of this process took, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used(process: psutil.Process) -> float:
    """Seconds of the processor that a process and all below it have taken so far."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += sum(each.cpu_times()[:4])
    return total


def _killed(command: list[str], own: Path, seconds: float) -> bool:
    """Start a command and kill it after so much processor time, which no load changes.

    Returns:
        Whether it was still at work.
    """
    with subprocess.Popen(
        command, cwd=own, env=_environment(own), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        known = psutil.Process(process.pid)
        while process.poll() is None:
            if _used(known) >= seconds:
                os.kill(process.pid, signal.SIGKILL)
                return True
            time.sleep(0.05)
    return False


def _at_work(own: Path) -> list[int]:
    """Processes whose folder is the project, or in it."""
    found = []
    for process in psutil.process_iter():
        try:
            where = Path(process.cwd())
        except (psutil.Error, OSError):
            continue
        if own in (where, *where.parents):
            found.append(process.pid)
    return found


def _orphans_end(own: Path) -> bool:
    deadline = time.monotonic() + ORPHANS
    while _at_work(own):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _locks(own: Path) -> list[str]:
    """List what living processes have locked; DVC takes a dead one's lock away when it is met."""
    file = own / ".dvc" / "tmp" / "rwlock"
    held = json.loads(file.read_text("utf-8") or "{}") if file.exists() else {}
    infos = [
        (path, info)
        for paths in held.values()
        for path, found in paths.items()
        for info in (found if isinstance(found, list) else [found])
    ]
    return sorted({path for path, info in infos if psutil.pid_exists(int(info["pid"]))})


def _left(own: Path) -> dict[str, Any]:
    """Say what there is after a command, in words that equal runs share."""
    lock = yaml.safe_load((own / "dvc.lock").read_text("utf-8"))["stages"]
    digests = {
        name: sorted((out["path"], out.get("md5")) for out in stage.get("outs", ()))
        for name, stage in lock.items()
    }
    entries = DecisionLog(own).read()
    standing = standing_of(entries)
    keys = {number: version.key for number, version in standing.versions.items()}
    store = open_store(own)
    runs = store.client.search_runs([store.experiment_id], max_results=5000)
    drafts = [path for path in own.rglob("*.part") if ".git" not in path.parts]
    return {
        "digests": digests,
        "stages": len(digests),
        "decided": [(entry.event, keys.get(entry.version or 0)) for entry in entries],
        "aliases": {alias: keys[number] for alias, number in standing.aliases.items()},
        "runs": Counter(
            run.data.tags.get("dvc.stage", run.data.tags.get("pasam.kind", "")) for run in runs
        ),
        "running": [run.info.run_id for run in runs if run.info.status == "RUNNING"],
        "drafts": drafts,
        "locks": _locks(own),
        "worktrees": _git(own, "worktree", "list").count("\n"),
        "changed": _git(own, "status", "--porcelain"),
        "temporary": sorted(path.name for path in (own.parent / "temporary").iterdir()),
        "processes": _at_work(own),
    }


if __name__ == "__main__":
    try:
        main()
    except PasamError as error:
        raise SystemExit(f"error: {error}") from None
