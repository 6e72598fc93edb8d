"""Projects to kill commands in: a small one, its copies, changes to them, and what is in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import yaml

from pasam.files import file_sha256
from pasam.registry.decision_log import BRANCH, DecisionLog, standing_of
from pasam.registry.store import open_store

ROOT = Path(__file__).resolve().parent.parent
DVC = [sys.executable, "-m", "dvc"]
PASAM = [sys.executable, "-c", "from pasam.cli.app import app; app()"]
REPRO = [*DVC, "repro", "--quiet"]
PROMOTE = [*PASAM, "registry", "promote"]
SMALLER = {
    "data.generated.train_images": "16",
    "data.generated.benchmark_images": "2",
    "ablations.no_mining": "null",
    "evaluate.models": "[pa_sam]",
    "evaluate.baselines": "[sam]",
    "evaluate.benchmarks": "[dis_like, thin_like]",
    "evaluate.development": "[dis_dev]",
    "repeats.models": "[]",
    "repeats.seeds": "[]",
    "gate.allow_generated": "true",
}
"""What makes the preset `smoke` smaller still: one model, 16 images, a minute of one core."""
SIZE = Path("params") / "smoke.yaml"


def git(folder: Path, *arguments: str) -> str:
    """Call git; anything but success ends the program."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def environment(own: Path) -> dict[str, str]:
    """Return the environment of commands in a project: a temporary folder of its own."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return {**ours, "TMPDIR": str(own.parent / "temporary")}


def run(command: list[str], own: Path, expected: tuple[int, ...] = (0, 1)) -> int:
    """Run a command in a project to its end, and return its exit code; 1 is the gate's refusal."""
    done = subprocess.run(
        command, cwd=own, env=environment(own), capture_output=True, text=True, check=False
    )
    if done.returncode not in expected:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.returncode


def make(project: Path) -> None:
    """Make a small project of this repository's last commit: reproduced, recorded, no champion."""
    project.parent.mkdir(parents=True, exist_ok=True)
    (project.parent / "temporary").mkdir(exist_ok=True)
    git(project.parent, "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(project))
    for name in ("user.name", "user.email"):
        git(project, "config", name, git(ROOT, "config", name).strip())
    for setting, value in SMALLER.items():
        change(project / SIZE, setting, value)
    run([*PASAM, "params", "use", "smoke"], project)
    run(REPRO, project)
    run([*PASAM, "track", "sync"], project)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "A small project and its results")
    git(project, "remote", "remove", "origin")  # nothing of it may reach this repository


def copy(project: Path, place: Path) -> Path:
    """Copy a project with a remote of its own into a new folder; return the copy."""
    place.mkdir()
    (place / "temporary").mkdir()
    own = place / project.name
    shutil.copytree(project, own, symlinks=True)
    git(place, "clone", "--quiet", "--bare", str(project), "remote.git")
    if "origin" in git(own, "remote").split():
        git(own, "remote", "remove", "origin")
    git(own, "remote", "add", "origin", str(place / "remote.git"))
    push(own)
    return own


def push(own: Path) -> None:
    """Push what there is: the branch that is checked out, and decisions."""
    known = git(own, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    branch = git(own, "branch", "--show-current").strip()
    git(own, "push", "--quiet", "--set-upstream", "origin", branch)
    if BRANCH in known:
        git(own, "push", "--quiet", "origin", BRANCH)


def commit(own: Path, message: str) -> None:
    """Commit all that git sees, and push it."""
    git(own, "add", "--all")
    git(own, "commit", "--quiet", "--message", message)
    push(own)


def change(file: Path, setting: str, value: str) -> None:
    """Give a setting, such as `train.seed`, another value in a file of params, all else kept."""
    *sections, name = setting.split(".")
    lines = file.read_text("utf-8").splitlines()
    begin, end = 0, len(lines)
    for depth, section in enumerate(sections):
        header = "  " * depth + f"{section}:"
        found = [n for n in range(begin, end) if lines[n].partition("#")[0].rstrip() == header]
        if not found:
            lines[begin:begin] = [header]
            found, end = [begin], end + 1
        begin = found[0] + 1
        deeper = "  " * (depth + 1)
        inside = (n for n in range(begin, end) if lines[n].strip() and lines[n][0] != "#")
        end = next((n for n in inside if not lines[n].startswith(deeper)), end)
    indent = "  " * len(sections)
    at = [n for n in range(begin, end) if re.match(rf"{indent}{name}:", lines[n])]
    if at:
        lines[at[0]] = f"{indent}{name}: {value}"
    else:
        lines.insert(begin, f"{indent}{name}: {value}")
    file.write_text("\n".join(lines) + "\n", "utf-8")


def at_work(own: Path) -> list[int]:
    """List the processes whose folder is the project, or in it."""
    found = []
    for process in psutil.process_iter():
        try:
            where = Path(process.cwd())
        except (psutil.Error, OSError):
            continue
        if own in (where, *where.parents):
            found.append(process.pid)
    return found


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


def drafts(own: Path) -> list[Path]:
    """List half-written files of a project, and all that its temporary folder holds."""
    parts = [path for path in own.rglob("*.part") if ".git" not in path.parts]
    return sorted([*parts, *(own.parent / "temporary").iterdir()])


def what_is_left(own: Path) -> dict[str, Any]:
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
    results = own / ".flows" / "results"
    tables = [*results.rglob("*.csv"), *results.rglob("*.md"), *results.rglob("scores.json")]
    return {
        "digests": digests,
        "stages": len(digests),
        "decided": [(entry.event, keys.get(entry.version or 0)) for entry in entries],
        "aliases": {alias: keys[number] for alias, number in standing.aliases.items()},
        "runs": Counter(
            run.data.tags.get("dvc.stage", run.data.tags.get("pasam.kind", "")) for run in runs
        ),
        "running": [run.info.run_id for run in runs if run.info.status == "RUNNING"],
        "study": {str(path.relative_to(own)): file_sha256(path) for path in sorted(tables)},
        "drafts": [str(path.relative_to(own.parent)) for path in drafts(own)],
        "locks": _locks(own),
        "worktrees": git(own, "worktree", "list").count("\n"),
        "changed": git(own, "status", "--porcelain"),
        "at runs": sorted(path.name for path in own.glob(".flows/running/*")),
        "processes": at_work(own),
    }
