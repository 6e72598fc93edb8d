"""Flow `ablate`: another size in a git worktree of its own, so that nothing here ever stands at it.

The worktree has the project's files as they are now and shares DVC's cache. It stays until the
study has succeeded: an interrupted one goes on in it. Nothing of it is ever in the project.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from pasam.config.params_file import DEFAULT_PATH
from pasam.config.presets import preset_path, write_preset
from pasam.registry.snapshot import GRAPH, LOCK, call_git, parse_lock
from pipelines.dvc import STATE
from pipelines.flows.engine import Outcome, task
from pipelines.flows.publishing import in_git, present_commit
from pipelines.flows.reproduce import dvc, outputs, run_groups

STUDIES, RESULTS = STATE / "studies", STATE / "results"
_LOCAL_CONFIG = Path(".dvc") / "config.local"


@task("lay out {size}", timeout=1800)
def lay_out(size: str, hours: float) -> Path:
    """Bring the project's files as they are now into the worktree of a study, at that size.

    Returns:
        The folder in the worktree that corresponds to the project's.

    Raises:
        ParamsError: There is no such size, or it is not valid.
        DataError: The project is in no git repository, or has no commit.
    """
    preset_path(size)
    tree = (STUDIES / size).resolve()
    _check_out(tree, present_commit())
    folder = tree / in_git("rev-parse", "--show-prefix").strip()
    if _LOCAL_CONFIG.exists():
        shutil.copyfile(_LOCAL_CONFIG, folder / _LOCAL_CONFIG)
    dvc(hours, folder).share_cache(dvc(hours).cache_folder())
    write_preset(size, folder=folder / preset_path(size).parent, target=folder / DEFAULT_PATH)
    _link_inputs(folder)
    return folder


def _check_out(tree: Path, commit: str) -> None:
    """Bring a worktree to a commit; it is made if need be, and keeps what git ignores."""
    top = call_git(tree, "rev-parse", "--show-toplevel") if tree.is_dir() else None
    if top is not None and Path(top.stdout.decode().strip() or "/") == tree:
        in_git("checkout", "--quiet", "--detach", "--force", commit, folder=tree)
        in_git("clean", "--quiet", "-d", "--force", folder=tree)
        return
    shutil.rmtree(tree, ignore_errors=True)  # a start that was cut short
    # Twice: git keeps such a start locked.
    in_git("worktree", "add", "--quiet", "--force", "--force", "--detach", str(tree), commit)


def _link_inputs(folder: Path) -> None:
    """Link to what git does not hold and a study reads: new files, and data that is only here."""
    made = _made(Path()) | _made(folder)
    texts = [(folder / name).read_text(encoding="utf-8") for name in (GRAPH, DEFAULT_PATH)]
    named = set(re.findall(r"[\w./@-]+", "\n".join(texts)))
    read = {str(parent) for word in named for parent in (Path(word), *Path(word).parents)}
    for path in _unknown_to_git("--exclude-standard"):
        _link(path, folder)
    for path in _unknown_to_git("--ignored", "--exclude-standard"):
        is_read = str(path) in read or any(str(parent) in named for parent in path.parents)
        is_made = any(path == out or path in out.parents or out in path.parents for out in made)
        if is_read and not is_made:
            _link(path, folder)


def _made(project: Path) -> set[Path]:
    """List what the stages of a lock make, whether or not `dvc.yaml` still has them."""
    lock = project / LOCK
    if not lock.exists():
        return set()
    stages = parse_lock(lock.read_bytes(), source=str(lock)).stages.values()
    return {Path(path) for stage in stages for path in stage.outs}


def _unknown_to_git(*which: str) -> Iterator[Path]:
    """List files that git does not hold, whole folders as one; not those of tools."""
    listed = in_git("ls-files", "--others", "--directory", "--no-empty-directory", "-z", *which)
    for name in filter(None, listed.split("\0")):
        path = Path(name)
        if not path.parts[0].startswith(".") and path.name != "__pycache__":
            yield path


def _link(path: Path, folder: Path) -> None:
    place = folder / path
    if not place.exists() and not place.is_symlink():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path.resolve())


@task("keep the report of {size}", timeout=300)
def keep_report(size: str, folder: Path) -> Path:
    """Copy the tables, figures and pages of a study out of its worktree."""
    kept = RESULTS / size
    shutil.rmtree(kept, ignore_errors=True)
    for path in outputs("report", folder):
        (kept / path.parent).mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (folder / path).is_dir() else shutil.copyfile
        copy(folder / path, kept / path)
    return kept


def clear(size: str) -> None:
    """Remove a study's worktree; DVC's cache keeps what it made."""
    in_git("worktree", "remove", "--force", str((STUDIES / size).resolve()))


def ablate(*, size: str = "ablation", hours: float = 48.0, notify: str | None = None) -> Outcome:
    """Reproduce another size in a folder of its own, and keep its report.

    The project's files stay as they are all the time. Interrupted, the study goes on where it was
    when it is run again.

    Args:
        size: A file of `params/`, by name.
        hours: Longest time of one DVC command.
        notify: Who is told of a failure: a webhook, or a Prefect block; else whom PASAM_NOTIFY
            names.
    """
    with dvc(hours).alone():
        folder = lay_out(size, hours)
        run_groups(hours, folder)
        kept = keep_report(size, folder)
        clear(size)
    return Outcome("studied", f"The report of '{size}' is in {kept}.")
