"""Merge what two people changed in the files that every run writes: by key, by stage, by row.

Git merges lines. In `dvc.lock` lines of two stages look alike, and a record put together from two
runs is true of neither; in the others it calls neighbours a conflict. Each kind here is cut into
entries first, an entry is taken whole, and only one that both sides changed differently is a
person's business: a `Clash`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pasam.config.params_edit import edited, same
from pasam.config.params_file import parse_params
from pasam.errors import DataError

Key = tuple[str, ...]
Entries = dict[Key, Any]
"""What a file holds, cut into the parts that are taken whole."""

GONE = object()
"""Stands for the value of a key that is not there."""


@dataclass(frozen=True, slots=True)
class Clash:
    """An entry that both sides changed, to different values."""

    key: str
    base: str
    ours: str
    theirs: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """A file after the merge, as it is with each side's value for whatever clashes."""

    ours: str
    theirs: str
    base: str
    """The same with the values from before both changes."""
    clashes: tuple[Clash, ...] = ()


def entry_changes(base: Entries, ours: Entries, theirs: Entries) -> tuple[Entries, tuple[Key, ...]]:
    """Merge entries; of those that both changed differently, ours is in the result.

    Returns:
        The entries, in our order with theirs behind, and the keys that clash.
    """
    merged, clashes = Entries(), list[Key]()
    for key in {**ours, **theirs}:
        before, mine, other = (side.get(key, GONE) for side in (base, ours, theirs))
        value, clashed = _one(before, mine, other)
        if value is not GONE:
            merged[key] = value
        if clashed:
            clashes.append(key)
    return merged, tuple(clashes)


def _one(before: Any, mine: Any, other: Any) -> tuple[Any, bool]:
    if same(mine, other) or same(before, other):
        return mine, False
    if same(before, mine):
        return other, False
    if all(map(are_names, (before, mine, other))):  # each side added or left out its own
        return joined_names(before, mine, other), False
    return mine, True


def are_names(value: Any) -> bool:
    """Say whether a value is a list of names, which people add to at both ends."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def joined_names(before: list[str], mine: list[str], other: list[str]) -> list[str]:
    """Merge lists of names: what either side added is in, what either left out is not."""
    kept = [one for one in other if one in mine or one not in before]
    return kept + [one for one in mine if one not in before and one not in other]


def cut(*sides: Mapping[str, Any]) -> tuple[Entries, ...]:
    """Cut three versions of nested mappings into values by key.

    A mapping that one version lacks or has something else in the place of is taken whole, so that
    nothing is left of it if it goes.

    Args:
        sides: The version before, ours and theirs.
    """
    found = tuple(Entries() for _ in sides)
    for key in {name: None for side in sides for name in side}:
        values = [side.get(key, GONE) for side in sides]
        there = [value for value in values if value is not GONE]
        is_inner = all(isinstance(value, Mapping) and value for value in there)
        if is_inner and (len(there) == len(sides) or values[0] is GONE):
            inner = cut(*({} if value is GONE else value for value in values))
            for entries, below in zip(found, inner, strict=True):
                entries |= {(key, *rest): value for rest, value in below.items()}
        else:
            for entries, value in zip(found, values, strict=True):
                if value is not GONE:
                    entries[key,] = value
    return found


def nested(entries: Entries) -> dict[str, Any]:
    """Put values by key into nested mappings again; those that are gone are left out."""
    result: dict[str, Any] = {}
    for (*above, last), value in entries.items():
        if value is not GONE:
            inner = result
            for part in above:
                inner = inner.setdefault(part, {})
            inner[last] = value
    return result


def merge_mapping(base: str, ours: str, theirs: str, path: str) -> Merged:
    """Merge YAML mappings key by key; comments stay as we have them.

    Raises:
        ParamsError: One of them is no YAML, or no mapping.
    """
    before, mine, other = (_yaml(text, path) for text in (base, ours, theirs))

    def written(entries: Entries) -> str:
        if not mine:  # the braces of an empty file, which cannot be continued
            head = "".join(line for line in ours.splitlines(True) if line.startswith("#"))
            return head + yaml.safe_dump(nested(entries), sort_keys=False)
        return edited(ours, nested(entries), theirs or "{}")

    return _merged(cut(before, mine, other), written)


def merge_accepted(base: str, ours: str, theirs: str, path: str) -> Merged:
    """Merge accepted data versions set by set.

    Raises:
        DataError: One of them is no such file.
    """

    def sets(text: str) -> Entries:
        try:
            entries = json.loads(text or '{"sets": []}')["sets"]
            return {(entry["split"], entry["dataset"]): entry for entry in entries}
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path} is not an accepted data version ({error!r}). Take one side's whole "
                "(`git checkout --ours` or `--theirs`), and `pasam data accept` afterwards."
            ) from None

    def written(entries: Entries) -> str:
        # As `pasam data accept` has them: a split's sum, "(all)", behind its sets.
        order = sorted(entries, key=lambda key: (key[0], key[1].startswith("("), key[1]))
        kept = [entries[key] for key in order]
        lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in kept)
        return f'{{"sets": [\n{lines}\n]}}\n' if kept else '{"sets": []}\n'

    return _merged([sets(text) for text in (base, ours, theirs)], written)


def merge_rows(base: str, ours: str, theirs: str, path: str) -> Merged:
    """Merge tables row by row; the first column is the key.

    Raises:
        DataError: The columns differ.
    """
    heads = [next(csv.reader(io.StringIO(text)), []) for text in (ours, theirs) if text]
    if any(head != heads[0] for head in heads):
        raise DataError(
            f"{path}: the columns are {heads[0]} on one side and {heads[1]} on the other, expected "
            "the same ones. Merge it by hand."
        )

    def rows(text: str) -> Entries:
        return {(row[0],): row for row in list(csv.reader(io.StringIO(text)))[1:] if row}

    def written(entries: Entries) -> str:
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(heads[0])
        table.writerows(entries[key] for key in sorted(entries))
        return out.getvalue()

    return _merged([rows(text) for text in (base, ours, theirs)], written)


_STAGE = re.compile(r"^  (\S.*):$")
_STAGES = "stages:"


def merge_lock(
    base: str, ours: str, theirs: str, path: str, params: Mapping[str, Any] | None = None
) -> Merged:
    """Merge `dvc.lock` stage by stage; nothing clashes.

    A stage's record says that these inputs gave these outputs, which stays true beside any other
    stage's: so each is taken whole, never put together from two. Of two new records of one stage
    that is taken which was made with the params now in place; if both or neither were, that of the
    side whose other records are taken for theirs, or ours. Whether it still fits its inputs is then
    `dvc repro`'s question, as ever.

    Args:
        base: The text before both changes.
        ours: One side's.
        theirs: The other's.
        path: Names the file in errors.
        params: What `params.yaml` holds after the merge, if that is known.

    Raises:
        DataError: One of them is no lock of DVC.
    """
    head, *_ = (ours or theirs).partition(_STAGES)
    sides = [_stage_texts(text, path) for text in (base, ours, theirs)]
    merged, clashes = entry_changes(*sides)
    fits = {key: [_agrees(side.get(key, ""), params) for side in sides[1:]] for key in clashes}
    decided = [fit for fit in fits.values() if fit[0] != fit[1]]
    theirs_fit = sum(fit[1] for fit in decided) > len(decided) / 2
    for key in clashes:
        mine, other = (side.get(key, "") for side in sides[1:])
        is_theirs = fits[key][1] if fits[key][0] != fits[key][1] else theirs_fit
        if not mine or (is_theirs and other):
            merged[key] = other  # a record beats none: DVC leaves out what the graph does not have
    text = head + _STAGES + "\n" + "".join(merged.values()) if merged else ours or theirs
    return Merged(ours=text, theirs=text, base=text)


def _stage_texts(text: str, path: str) -> Entries:
    """Cut a lock into its stages' lines, which stay as DVC wrote them."""
    _, found, below = text.partition(f"{_STAGES}\n")
    stages = Entries()
    key: Key = ()
    for line in below.splitlines(keepends=True):
        start = _STAGE.match(line)
        if start:
            key = (start[1].strip("'\""),)
            stages[key] = line
        elif key and line.startswith("   "):
            stages[key] += line
        else:
            raise DataError(
                f"{path} has {line.strip()[:60]!r} where a stage was expected. Take one side's "
                f"whole (`git checkout --theirs {path}`); `dvc repro` then tells what is missing."
            )
    if text.strip() and not (found and stages):
        raise DataError(
            f"{path} is no lock of DVC: it has no stages. Take the other side's whole "
            f"(`git checkout --theirs {path}`)."
        )
    return stages


def _agrees(stage: str, params: Mapping[str, Any] | None) -> bool:
    """Say whether a stage was run with the params that there are now; not if they are unknown."""
    if params is None or not stage:
        return False
    (record,) = yaml.safe_load(stage).values()
    for used in record.get("params", {}).values():
        for key, value in used.items():
            node: Any = params
            for part in key.split("."):
                node = node.get(part) if isinstance(node, Mapping) else None
            if not same(node, value):
                return False
    return True


def _yaml(text: str, path: str) -> Mapping[str, Any]:
    return parse_params(text, Path(path)) if text.strip() else {}


def _merged(sides: Sequence[Entries], written: Callable[[Entries], str]) -> Merged:
    base, ours, theirs = sides
    merged, keys = entry_changes(base, ours, theirs)

    def settled(side: Entries) -> str:
        chosen = {key: value for key, value in merged.items() if key not in keys}
        return written(chosen | {key: side[key] for key in keys if key in side})

    return Merged(
        ours=settled(ours), theirs=settled(theirs), base=settled(base),
        clashes=tuple(
            Clash(".".join(key), *(shown(side.get(key, GONE)) for side in sides)) for key in keys
        ),
    )  # fmt: skip


def shown(value: Any) -> str:
    """Write a value for people, not at any length."""
    text = "not there" if value is GONE else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
