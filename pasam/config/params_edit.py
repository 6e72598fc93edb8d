"""Change values in the text of a YAML file, and leave all its other lines as they are."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import yaml

from pasam.files import SafeLoader

_COMMENT = re.compile(r"\s+#.*")
_END = "...\n"  # what YAML writes after a bare value
_Edit = tuple[int, int, list[str]]  # from this line up to that one, the lines in their place


def edited(
    text: str, wanted: Mapping[str, Any], source: str = "{}", former: str | None = None
) -> str:
    """Make a YAML file hold other values; lines that need no change stay, comments too.

    Args:
        text: The file, a mapping that is not written in braces.
        wanted: All that it is to hold.
        source: Another file, whose way to write an entry, comment included, is taken over where it
            has the value that is wanted.
        former: What the file was made of; a comment behind a value that is not from there is a
            person's, and stays behind the new value. None: any comment stays that no source has.

    Returns:
        The new text. Mappings within `{...}` and lists are written anew as a whole; only a list
        with one item a line is continued.
    """
    lines, result, done = text.splitlines(), list[str](), 0
    made_of = None if former is None else _TextMapping(former)
    edits = _edits(_TextMapping(text), wanted, _TextMapping(source), made_of)
    for first, end, new in sorted(edits, key=lambda edit: edit[:2]):
        result += [*lines[done:first], *new]
        done = end
    return "\n".join([*result, *lines[done:]]) + "\n"


class _TextMapping:
    """A mapping within a text: its entries' nodes, values and lines."""

    def __init__(self, text: str, node: Any = None, values: Any = None) -> None:
        text = text if text.endswith("\n") else f"{text}\n"  # a block ends before the next line
        self.text, self.lines = text, text.splitlines()
        self.node = cast(Any, yaml.compose(text, Loader=SafeLoader) if node is None else node)
        self.values = yaml.load(text, Loader=SafeLoader) if values is None else values  # noqa: S506
        is_block = isinstance(self.node, yaml.MappingNode) and not self.node.flow_style
        self.entries = {key.value: (key, value) for key, value in self.node.value if is_block}

    def inner(self, key: str) -> _TextMapping | None:
        """Give the mapping under a key, if there is one that is not written in braces."""
        node, value = self.entries[key][1] if key in self.entries else None, self.values.get(key)
        is_block = isinstance(node, yaml.MappingNode) and not node.flow_style
        return _TextMapping(self.text, node, value) if is_block else None

    def place(self, key: str) -> tuple[int, int]:
        """Find an entry's first line, and the one behind its last."""
        name, value = self.entries[key]
        return name.start_mark.line, self.end(value)

    def has(self, key: str, value: Any) -> bool:
        """Whether an entry has this value."""
        return key in self.entries and same(self.values[key], value)

    def comment(self, key: str) -> str:
        """Find the comment where an entry's value ends, or begins if it is a block; with blanks."""
        if key not in self.entries:
            return ""
        name, value = self.entries[key]
        is_text = isinstance(value, yaml.ScalarNode)
        is_block = value.style in ("|", ">") if is_text else not value.flow_style
        mark = name.end_mark if is_block else value.end_mark
        rest = self.lines[mark.line][mark.column :] if mark.line < len(self.lines) else ""
        found = _COMMENT.search(rest)
        return found[0].rstrip() if found else ""

    def end(self, node: Any) -> int:
        """Find the line behind a node; YAML counts the comments that follow a block to it."""
        is_text = isinstance(node, yaml.ScalarNode)
        is_block = node.style in ("|", ">") if is_text else not node.flow_style
        asides = {""} if is_text else {"", "#"}
        end: int = node.end_mark.line + (not is_block)
        while is_block and end > node.start_mark.line and self.lines[end - 1].strip()[:1] in asides:
            end -= 1
        return end


def _edits(
    block: _TextMapping, wanted: Mapping[str, Any], source: _TextMapping | None,
    former: _TextMapping | None,
) -> Iterator[_Edit]:  # fmt: skip
    column = block.node.value[0][0].start_mark.column
    for key in block.entries:
        if key not in wanted:
            yield *block.place(key), []
    for key, value in wanted.items():
        inner = block.inner(key)
        if isinstance(value, Mapping) and value and inner is not None:
            theirs, was = (each.inner(key) if each else None for each in (source, former))
            yield from _edits(inner, value, theirs, was)
        elif key not in block.entries:
            end = block.end(block.node)
            yield end, end, _written(key, value, column, source)
        elif not same(block.values[key], value):
            first, end, lines = _changed(block, key, value, column, source)
            if first < end:  # else the entry stays and is continued
                lines[0] = _with_comment(lines[0], key, value, block, source, former)
            yield first, end, lines
        elif _has_other_words(block, key, value, source, former):
            yield *block.place(key), _written(key, value, column, source)


def _has_other_words(
    block: _TextMapping, key: str, value: Any, source: _TextMapping | None,
    former: _TextMapping | None,
) -> bool:  # fmt: skip
    """Whether a source says something else behind a value than what the file was made of said."""
    if source is None or former is None or not source.has(key, value):
        return False
    return source.comment(key) != block.comment(key) == former.comment(key)


def same(before: Any, after: Any) -> bool:
    """Compare two values, and tell true from 1, which Python holds for equal, at any depth."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(same(before[k], after[k]) for k in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


def _changed(
    block: _TextMapping, key: str, value: Any, column: int, source: _TextMapping | None
) -> _Edit:
    node, before = block.entries[key][1], block.values[key]
    is_list = (
        isinstance(node, yaml.SequenceNode) and not node.flow_style and isinstance(value, list)
    )
    if is_list and same(value[: len(before)], before):
        end, lead = block.end(node), " " * node.start_mark.column
        return end, end, [f"{lead}- {_in_one_line(item)}" for item in value[len(before) :]]
    return *block.place(key), _written(key, value, column, source)


def _with_comment(
    line: str, key: str, value: Any, block: _TextMapping, source: _TextMapping | None,
    former: _TextMapping | None,
) -> str:  # fmt: skip
    """Put the comment that stood behind the former value behind the new one, if it is to stay."""
    own = block.comment(key)
    theirs = source.comment(key) if source is not None and source.has(key, value) else None
    is_own = own != former.comment(key) if former is not None else theirs is None
    return line.removesuffix(theirs or "").rstrip() + own if own and is_own else line


def _written(key: str, value: Any, column: int, source: _TextMapping | None) -> list[str]:
    """Write `key: value` as the source does where it has this value, or in one line."""
    entry = f"{key}: {_in_one_line(value)}"
    if source is not None and source.has(key, value):
        first, end = source.place(key)
        entry = textwrap.dedent("\n".join(source.lines[first:end]))
    return textwrap.indent(entry, " " * column).splitlines()


def _in_one_line(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix(_END).rstrip()


def entry_text(text: str, path: Sequence[str]) -> str:
    """Give an entry as it is written, its indented lines; nothing where there is none."""
    first, end = _entry_place(text, path)
    return "\n".join(text.splitlines()[first:end])


def with_entry(text: str, path: Sequence[str], entry: str) -> str:
    """Put an entry, as `entry_text` gives it, in the place of the one that a file has."""
    (first, end), lines = _entry_place(text, path), text.splitlines()
    return "\n".join([*lines[:first], *entry.splitlines(), *lines[end:]]) + "\n"


def _entry_place(text: str, path: Sequence[str]) -> tuple[int, int]:
    block: _TextMapping | None = _TextMapping(text)
    for key in path[:-1]:
        block = block.inner(key) if block else None
    return block.place(path[-1]) if block and path[-1] in block.entries else (0, 0)


def with_line_ends(text: str, like: bytes) -> str:
    """Give a text the line ends that most lines of a file have."""
    of_windows = like.count(b"\r\n")
    return text.replace("\n", "\r\n") if 2 * of_windows > like.count(b"\n") else text
