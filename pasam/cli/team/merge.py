"""The command `pasam merge`, and the merge driver of git that does the same for one file.

Of two people's retrainings git calls `dvc.lock`, `params.yaml` and their like a conflict, and DVC
has a driver for its `.dvc` files only. `pasam.config.three_way` merges them; here is what asks git
for the three versions and gives the result back. The driver does all that needs no person during
`git pull` itself; the command does the same afterwards, also where the driver was not set up.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pasam.cli.options import AsJson, print_result
from pasam.errors import DataError, ParamsError, PasamError

if TYPE_CHECKING:
    from pasam.config.three_way import Clash, Merged

LOCK, PARAMS = "dvc.lock", "params.yaml"
IMAGES = "docs/images/"
"""Made by `make images` of the last run: whichever side's is there, the next one replaces it."""

_MARKER = "<<<<<<< "
KEPT = "kept as one side changed it; the other had deleted it"
_HEADS = ("REBASE_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")
DRIVER = "pasam"
"""Name of the merge driver, which `.gitattributes` gives to files."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The three commits of a merge that waits for a person."""

    base: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Left:
    """What of one file is left for a person."""

    clashes: tuple[Clash, ...] = ()
    was_ours: bool = False
    """Whether it stood there as ours, without any markers."""


def merge(
    take: Annotated[
        Literal["ours", "theirs"] | None,
        typer.Option(help="Whose value holds where both changed one; git's word for the sides."),
    ] = None,
    setup: Annotated[
        bool, typer.Option("--setup", help="Have git do it by itself from now on; `make` does so.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Settle a conflict in dvc.lock, params.yaml and the other files that runs write.

    A value, stage, data set or row that one side changed is taken from that side; only a value
    that both changed differently needs a person. The same command after every conflict.

    Example: pasam merge --take theirs
    """
    root, said = Path(), list[str]()
    say = said.append if as_json else typer.echo
    if setup:
        say(set_up(root))
    else:
        _merge(root, take, say)
    if as_json:
        print_result({"done": said}, (), as_json=True)


def _merge(root: Path, take: str | None, say: Callable[[str], None]) -> None:
    """Settle every file in conflict that is known, and say what is next."""
    unmerged = _unmerged(root)
    sides = _sides(root)
    if sides is None and not unmerged:
        raise ParamsError(
            "no merge is under way here and no file is in conflict. `git pull` begins a merge; "
            "after a conflict run this again."
        )
    clashes: list[Clash] = []
    untouched: list[str] = []
    for name in unmerged:
        if _merger(name) is not None and name != LOCK:
            found = _settle(root, name, take, sides, say)
            clashes += found.clashes
            untouched += [name] if found.was_ours else []
        elif name.startswith(IMAGES):
            _git(root, "checkout", "--ours", "--", name)
            _git(root, "add", "--", name)
            say(f"{name}: kept ours; `make images` renews it after the next run")
    if clashes:
        raise ParamsError(_question(root, clashes, sides, untouched))
    _settle_lock(root, unmerged, sides, say)
    _say_what_is_next(root, sides, say)


def merge_driver(
    base: Annotated[Path, typer.Argument(help="%O: the file before both changes.")],
    ours: Annotated[Path, typer.Argument(help="%A: ours; the result is written there.")],
    theirs: Annotated[Path, typer.Argument(help="%B: theirs.")],
    path: Annotated[str, typer.Argument(help="%P: the file's path in the repository.")],
) -> None:
    """Merge one file as git's merge driver, which `pasam merge --setup` makes it.

    Example: pasam merge-driver %O %A %B %P
    """
    if _merger(path) is None:  # an image: ours stays
        return
    texts = [side.read_text(encoding="utf-8") for side in (base, ours, theirs)]
    try:
        merged = _merged(path, *texts)
    except PasamError as error:
        typer.echo(f"{path}: {error}", err=True)
        ours.write_text(_with_markers(texts[1], texts[0], texts[2]), encoding="utf-8")
        raise typer.Exit(1) from None
    ours.write_text(_text(merged), encoding="utf-8")
    if merged.clashes:
        typer.echo(f"{path}: both sides changed {_keys(merged.clashes)}; see `pasam merge`")
        raise typer.Exit(1)


def set_up(root: Path) -> str:
    """Make this command git's merge driver in a clone, and say so.

    Raises:
        DataError: The folder is no checkout of git.
    """
    # This environment's Python, whichever is active when git is used.
    program = f'"{sys.executable}" -c "from pasam.cli.app import app; app()"'
    try:
        # The name last: beside a name alone `git pull --rebase` drops commits without a word.
        _git(root, "config", f"merge.{DRIVER}.driver", f"{program} merge-driver %O %A %B %P")
        _git(root, "config", f"merge.{DRIVER}.name", "PA-SAM's locks, params and tables, by entry")
    except DataError:
        raise DataError(
            f"{root.resolve()} is no checkout of git, expected a clone of the project: a merge "
            "driver is a setting of one."
        ) from None
    return "git merges dvc.lock, params.yaml and their like by entry from now on, in this clone"


def _settle(
    root: Path, name: str, take: str | None, sides: Sides | None, say: Callable[[str], None]
) -> Left:
    """Write and stage one file that is in conflict; what clashes stays for a person."""
    path = root / name
    texts = _stages(root, name)
    now = path.read_text(encoding="utf-8") if path.exists() else ""
    # Git leaves ours, word for word, where it could not merge: that is nobody's choice.
    by_hand = bool(now) and _MARKER not in now and now != texts[1]
    if _is_deleted(texts):
        text, how = texts[1] or texts[2], KEPT
    elif take is None and by_hand:
        text, how = now, "merged, as you edited it"
    else:
        merged = _told_whose(root, sides, name, texts)
        text = merged.theirs if take == "theirs" else merged.ours
        how = f"merged, taken from {take}" if merged.clashes else "merged, done"
        if merged.clashes and take is None:
            path.write_text(_text(merged), encoding="utf-8")
            return Left(merged.clashes, was_ours=now == texts[1])
    _check(name, text)
    path.write_text(text, encoding="utf-8")
    _git(root, "add", "--", name)
    say(f"{name}: {how}")
    return Left()


def _is_deleted(texts: tuple[str, str, str]) -> bool:
    return bool(texts[0]) and not (texts[1] and texts[2])


def _told_whose(root: Path, sides: Sides | None, name: str, texts: tuple[str, str, str]) -> Merged:
    """Merge a file; where one of its versions cannot be read, say whose it is and the way out.

    Raises:
        PasamError: It cannot be merged by entry.
    """
    try:
        return _merged(name, *texts)
    except PasamError as error:
        broken = [
            side for side, text in zip(("base", "ours", "theirs"), texts, strict=True)
            if _is_broken(name, text)
        ]  # fmt: skip
        if not broken:
            raise
        commits = _commits(root, sides)
        whose = " and ".join(
            "it was so before both changes" if side == "base" else f"it is {side}{commits[side]}"
            for side in broken
        )
        ways = [] if name == LOCK else [f"edit {name} as it should be and run `pasam merge` again"]
        ways += [
            f"take {side} whole: `git checkout --{side} {name}; git add {name}; pasam merge`"
            for side in ("ours", "theirs") if side not in broken
        ]  # fmt: skip
        way = ", or ".join(ways) or "take it from an earlier commit"
        raise type(error)(f"{error}\n{whose}. {way[0].upper()}{way[1:]}.") from None


def _is_broken(name: str, text: str) -> bool:
    try:
        _merged(name, text, text, text)
    except PasamError:
        return True
    return False


def _settle_lock(
    root: Path, unmerged: list[str], sides: Sides | None, say: Callable[[str], None]
) -> None:
    """Merge `dvc.lock` by what `params.yaml` holds now, unless DVC has run since."""
    from pasam.config.params_file import read_params
    from pasam.config.three_way import merge_lock

    if LOCK in unmerged:
        texts = _stages(root, LOCK)
    elif sides is not None:
        base, ours, theirs = (
            _shown(root, f"{side}:./{LOCK}") for side in (sides.base, sides.ours, sides.theirs)
        )
        texts = base, ours, theirs
    else:
        return
    path = root / LOCK
    if not path.exists() and LOCK not in unmerged:
        return
    now = path.read_text(encoding="utf-8") if path.exists() else ""
    if LOCK not in unmerged:
        was_taken_whole = any(_is_broken(LOCK, text) for text in texts)
        if was_taken_whole or now != merge_lock(*texts, LOCK).ours:  # or written by DVC since
            return
    params: Mapping[str, Any] | None = (
        read_params(root / PARAMS) if (root / PARAMS).exists() else None
    )
    if _is_deleted(texts):  # not stage by stage: those that nobody changed would go
        text, how = texts[1] or texts[2], KEPT
    else:
        _told_whose(root, sides, LOCK, texts)
        text, how = merge_lock(*texts, LOCK, params).ours, "merged, stage by stage"
    path.write_text(text, encoding="utf-8")
    _git(root, "add", "--", LOCK)
    say(f"{LOCK}: {how}")


def _check(name: str, text: str) -> None:
    """Refuse params that each side could have, but not together.

    Raises:
        ParamsError: They are not valid.
    """
    if name == PARAMS:
        from pasam.config.params_file import parse_params
        from pasam.config.presets import validate_content

        validate_content(parse_params(text, Path(name)), Path(name))


def _commits(root: Path, sides: Sides | None) -> dict[str, str]:
    """Name the commit of each side, in brackets, if they are known."""
    if sides is None:
        return {"ours": "", "theirs": ""}
    return {
        name: f" ({_git(root, 'log', '-1', '--format=%h %an: %s', side).strip()})"
        for name, side in (("ours", sides.ours), ("theirs", sides.theirs))
    }


def _question(
    root: Path, clashes: list[Clash], sides: Sides | None, untouched: Sequence[str]
) -> str:
    names = _commits(root, sides)
    lines = "".join(
        f"\n  {clash.key} was {clash.base}, is {clash.ours} in ours and {clash.theirs} in theirs"
        for clash in clashes
    )
    return (
        f"both sides changed {len(clashes)} of the same values:{lines}\nours is what git was on"
        f"{names['ours']}, theirs what it brings in{names['theirs']}. Edit the lines between the "
        "markers and run `pasam merge` again, or take one side's for all of them: "
        "`pasam merge --take ours` or `--take theirs`."
        + (
            f" {', '.join(untouched)} was ours word for word, as git leaves it where it could not "
            "merge: if you meant it so, `--take ours`."
            if untouched
            else ""
        )
    )


def _say_what_is_next(root: Path, sides: Sides | None, say: Callable[[str], None]) -> None:
    left = _unmerged(root)
    if left:
        say(f"Still in conflict, for you to merge: {', '.join(left)}")
        return
    going_on = "git rebase --continue" if _has(root, "REBASE_HEAD") else "git commit --no-edit"
    before = f"{going_on}; " if sides is not None else ""
    say(f"Next: {before}dvc pull --allow-missing --run-cache; dvc repro")


def _merged(name: str, base: str, ours: str, theirs: str) -> Merged:
    merger = _merger(name)
    if merger is None:
        raise DataError(f"{name} is none of the files that are merged by entry. Merge it by hand.")
    return merger(base, ours, theirs, name)


def _merger(name: str) -> Callable[[str, str, str, str], Merged] | None:
    from pasam.config import three_way

    mergers = {
        LOCK: three_way.merge_lock,
        PARAMS: three_way.merge_mapping,
        "catalogue.lock": three_way.merge_mapping,
        "data/accepted.json": three_way.merge_accepted,
        "data/quarantine.csv": three_way.merge_rows,
    }
    found = (merger for path, merger in mergers.items() if f"/{name}".endswith(f"/{path}"))
    return next(found, None)


def _text(merged: Merged) -> str:
    """Write the result; with markers round what clashes, and round nothing else."""
    if not merged.clashes:
        return merged.ours
    return _with_markers(merged.ours, merged.base, merged.theirs)


def _with_markers(ours: str, base: str, theirs: str) -> str:
    from pasam.registry.snapshot import call_git

    with tempfile.TemporaryDirectory() as folder:
        names = ("ours", "base", "theirs")
        for name, text in zip(names, (ours, base, theirs), strict=True):
            (Path(folder) / name).write_text(text, encoding="utf-8")
        done = call_git(Path(folder), "merge-file", "-p", *names)  # fails where lines clash
    return done.stdout.decode()


def _keys(clashes: tuple[Clash, ...]) -> str:
    return ", ".join(clash.key for clash in clashes)


def _sides(root: Path) -> Sides | None:
    head = next((name for name in _HEADS if _has(root, name)), None)
    if head is None:
        return None
    if head == "MERGE_HEAD":
        base = _git(root, "merge-base", "HEAD", head).split()[0]
    elif head == "REVERT_HEAD":
        return Sides(head, "HEAD", f"{head}^")
    else:
        base = f"{head}^"
    return Sides(base, "HEAD", head)


def _has(root: Path, ref: str) -> bool:
    return bool(_shown(root, ref))


def _unmerged(root: Path) -> list[str]:
    found = _git(root, "diff", "--name-only", "--diff-filter=U", "--relative", "-z")
    return sorted(set(found.split("\0")) - {""})


def _stages(root: Path, name: str) -> tuple[str, str, str]:
    """Give the three versions of a file in conflict; one that is not there is empty."""
    base, ours, theirs = (_shown(root, f":{number}:./{name}") for number in (1, 2, 3))
    return base, ours, theirs


def _shown(root: Path, what: str) -> str:
    """Show a file of a commit or of the index; nothing where there is none."""
    try:
        return _git(root, "show", what)
    except DataError:
        return ""


def _git(root: Path, *arguments: str) -> str:
    from pasam.registry.snapshot import call_git

    done = call_git(root, *arguments)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise DataError(f"`git {' '.join(arguments)}` failed: {said}")
    return done.stdout.decode(errors="replace").replace("\r\n", "\n")
