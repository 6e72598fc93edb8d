"""Files and folders that appear whole or not at all, their digests, and typed tables.

Nothing else in pasam renames a draft over a file, hashes bytes or writes parquet
(`tests/test_owners.py`). A draft is a hidden `.part` beside its target: on the same disk, so that
the rename is atomic, and matched by no pattern that looks for images or results.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import yaml

from pasam.errors import DataError, PasamError

if TYPE_CHECKING:  # pyarrow takes a quarter of a second, which a command without tables need not
    import pandas as pd
    import pyarrow as pa

MOST_TEXT, MOST_JSON = 10**7, 2 * 10**9
"""Bytes of a text file, and of a JSON file, that are read."""
MOST_NODES, MOST_DEPTH = 100_000, 100
"""Values in a YAML file, aliases written out, and how deep they are nested."""
MOST_ROWS = 1_000_000
"""Rows of a table that are read; the paper's largest, of all detections on COCO, has 150,000."""
TEMPORARY = "pasam-"
"""Begins the names of temporary folders, so that those of killed processes can be found."""
_NOT_PORTABLE = re.compile(r"[\x00-\x1f\x7f\\:\ud800-\udfff]")
_LONGEST_NAME, _LONGEST_PATH = 255, 2000  # bytes; systems take 4096 with the folder before it
_LFS = "version https://git-lfs"
_DELIMITERS = ",;\t|"
_SEPARATOR = re.compile(r'("?)sep=([,;\t|])\1\s*')
"""A line of Excel's before the table's first."""
REPEAT = "Run `dvc repro` to make it again."


@contextmanager
def draft_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Hand out a draft's path; what is written there takes the target's place at the end.

    If anything is raised the target stays as it was and no draft is left.

    Args:
        path: Target; its folder is made when missing.
        durable: Whether the bytes are on the disk, not only in its cache, when this returns.
    """
    _make_folder(path.parent, durable=durable)
    # Unique, so that two processes never write one draft; short, for names have 255 bytes at most.
    draft = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        yield draft
        put_in_place(draft, path, durable=durable)
    finally:
        draft.unlink(missing_ok=True)


def put_in_place(draft: Path, path: Path, *, durable: bool = False) -> None:
    """Rename a complete file, or folder, to its target on the same disk; a file is replaced."""
    if durable:
        _sync(draft)
    draft.replace(path)
    if durable:
        _sync(path.parent)  # the new name itself


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file whole or not at all; the arguments are those of `draft_file`."""
    with draft_file(path, durable=durable) as draft:
        draft.write_bytes(content)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write text as UTF-8, its line ends as they are, whole or not at all."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def write_json(path: Path, content: Any, *, indent: int | None = 1, allow_nan: bool = True) -> None:
    """Write JSON with sorted keys and a final newline, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent, sort_keys=True, allow_nan=allow_nan) + "\n")


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one line of JSON per row, keys sorted, whole or not at all."""
    write_text(path, "".join(json.dumps(dict(row), sort_keys=True) + "\n" for row in rows))


def read_json(
    path: Path,
    *,
    advice: str = REPEAT,
    error: type[PasamError] = DataError,
    once: bool = False,
) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        advice: What to do about a missing or damaged one.
        error: What is raised.
        once: Whether a key that stands twice in an object is refused.

    Raises:
        PasamError: The file is missing or no JSON; of the type `error`.
    """
    text = read_text(path, advice=advice, error=error, most_bytes=MOST_JSON)
    try:
        return json.loads(text, object_pairs_hook=keys_once if once else None)
    except (DataError, ValueError, RecursionError) as fault:
        said = "it is a pointer of Git LFS (git lfs pull)" if text.startswith(_LFS) else fault
        raise error(f"{path} is not readable JSON: {said}. {advice}") from None


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON, as `object_pairs_hook` does; refuse a key that stands twice in it.

    Raises:
        DataError: One does; the second would be taken in silence.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise DataError(f"the key {twice[:60]!r} stands twice in one object; keep one")
    return made


def read_text(
    path: Path, *, advice: str, error: type[PasamError] = DataError, most_bytes: int = MOST_TEXT
) -> str:
    """Read text in UTF-8, 16 or 32, a byte order mark left out; the arguments are `read_json`'s.

    Raises:
        PasamError: The file is missing, no regular file, too large or no text; of the type `error`.
    """
    with _opened_text(path, advice, error, most_bytes) as file:
        return file.read()


@contextmanager
def _opened_text(
    path: Path, advice: str, error: type[PasamError], most_bytes: int
) -> Iterator[TextIO]:
    """Open what `read_text` reads; what is wrong with it is raised while it is read, too."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device would never end
            raise error(f"{path} is no regular file. {advice}")
        if found.st_size > most_bytes:
            raise error(
                f"{path} has {found.st_size} bytes, {most_bytes} at most are read. {advice}"
            )
        with path.open("rb") as raw:
            encoding = json.detect_encoding(raw.read(4))  # Excel's "Unicode text" is UTF-16
        with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding) as file:
            yield file
    except FileNotFoundError:
        raise error(f"{path} does not exist. {advice}") from None
    except (OSError, ValueError) as fault:  # a name with a zero byte is a ValueError
        raise error(f"{path} cannot be read as text in UTF-8: {fault}. {advice}") from None


MOST_FAULTS = 1000
"""Messages about one file that are kept."""


class Faults:
    """What is wrong with a file, in words: the first messages are kept, the others are counted.

    A table can be wrong in each of its rows, and nobody reads a million messages.

    Args:
        messages: The first ones.
    """

    def __init__(self, messages: Iterable[str] = ()) -> None:
        self.kept: list[str] = []
        self.more = 0
        """How many there are beyond those that are kept."""
        self.extend(messages)

    def __len__(self) -> int:
        return len(self.kept) + self.more

    def add(self, message: str) -> None:
        """Add one."""
        if len(self.kept) < MOST_FAULTS:
            self.kept.append(message)
        else:
            self.more += 1

    def extend(self, messages: Iterable[str]) -> None:
        """Add several, of which only those that are kept are in memory together."""
        for message in messages:
            self.add(message)


def read_csv(
    path: Path, *, advice: str, known: Iterable[str] = ()
) -> tuple[tuple[str, ...], Iterator[tuple[int, dict[str, str]]]]:
    """Read a table in a Unicode text with a line of names, as spreadsheets of any country write it.

    Args:
        path: The file. Commas, semicolons, tabs or bars part its cells: what the first line has
            most of outside quotes, or what Excel's `sep=;` before it says.
        advice: What to do about a missing or damaged one.
        known: Names that are taken in other capitals where none stands as it is.

    Returns:
        The names, and of each row the number of its last line and its cells by name, stripped;
        cells that are empty or have no name are left out, and what stands beyond the last name is
        under the name "". Rows are read one by one; what is wrong is raised on the way.

    Raises:
        DataError: The file is missing, no text, no CSV, has a name twice, or has more than
            `MOST_ROWS` rows.
    """
    read = _csv_rows(path, advice)
    _, first = next(read, (0, []))
    spelt = {name.casefold(): name for name in known if name not in map(str.strip, first)}
    names = tuple(spelt.get(name.strip().casefold(), name.strip()) for name in first)
    if twice := [name for name, count in Counter(names).items() if name and count > 1]:
        raise DataError(f"{path} has the column '{twice[0]:.60}' twice. Keep one. {advice}")

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        for line, row in read:
            cells = zip(names, row, strict=False)
            kept = {name: text for name, cell in cells if name and (text := cell.strip())}
            beyond = " ".join(row[len(names) :]).strip() if len(row) > len(names) else ""
            yield line, {**kept, "": beyond} if beyond else kept

    return names, rows()


def _csv_rows(path: Path, advice: str) -> Iterator[tuple[int, list[str]]]:
    """Give a table's rows, the first one and all that are not empty, with their last lines."""
    with _opened_text(path, advice, DataError, MOST_JSON) as file:
        head = file.readline(_LONGEST_PATH)
        told = _SEPARATOR.fullmatch(head)
        bare = re.sub(r'"[^"]*("|$)', "", head)  # a name may hold a delimiter in quotes
        parted_by = told[2] if told else max(_DELIMITERS, key=bare.count)
        if not told:
            file.seek(0)
        reader = csv.reader(file, delimiter=parted_by, skipinitialspace=True, strict=True)
        try:
            for number, row in enumerate(reader):
                if number > MOST_ROWS:
                    raise DataError(f"{path} has more than {MOST_ROWS} rows. {advice}")
                if row or not number:
                    yield reader.line_num + bool(told), row
        except csv.Error as fault:  # a cell of more than 131072 characters, for one
            raise DataError(f"{path} is no readable CSV: {fault}. {advice}") from None


# libyaml, ten times as fast, is part of PyYAML's wheels, but not of every build of it.
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(SafeLoader):  # type: ignore[misc]
    """Refuse a key that stands twice, of which YAML would take the second in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *other`, which brings many keys
                continue
            key, line = self.construct_object(key_node), key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                continue
            if key in lines:
                both = f"lines {lines[key]} and" if lines[key] != line else "line"
                raise yaml.YAMLError(f"'{key}' stands twice, in {both} {line}; remove one of them.")
            lines[key] = line
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value: int = super().construct_yaml_int(node)
        if value.bit_length() > 64:  # Python refuses to print a very long one
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"the whole number in line {line} has more than 64 bits.")
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str, path: Path, *, error: type[PasamError] = DataError) -> Any:
    """Parse YAML; `path` names it in errors.

    Raises:
        PasamError: It is not YAML, has a key twice, or its aliases make it endless or huge.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=SafeLoader):  # building goes as deep as the text
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH:
                raise yaml.YAMLError(f"it is nested more than {MOST_DEPTH} deep.")
        loader = _Loader(text)
        node = loader.get_single_node()
        _count_nodes(node, {})
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as fault:
        # A date that is none is a ValueError or, where it does not even look like one, no match.
        raise error(f"{path} is not valid YAML: {fault}") from None


def _count_nodes(node: Any, counted: dict[int, int]) -> int:
    """Count what a document holds with all its aliases written out."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in counted:
        counted[id(node)] = MOST_NODES  # while it is counted: an alias of it within it is endless
        pairs = node.value if isinstance(node, yaml.SequenceNode) else sum(node.value, ())
        counted[id(node)] = 1 + sum(_count_nodes(inner, counted) for inner in pairs)
        if counted[id(node)] > MOST_NODES:
            raise yaml.YAMLError(f"its aliases stand for more than {MOST_NODES} values.")
    return counted[id(node)]


def is_regular(path: Path | str) -> bool:
    """Whether a name, whatever it holds, is that of a file that can be read to its end."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 of a `str` in half the time
    except (OSError, ValueError):  # a name that is too long, or with a zero byte or a surrogate
        return False


def portable_path(name: str) -> str:
    """Check a name that comes from outside: of an archive's member, or of a file in a table.

    Args:
        name: A path with `/`, relative to the folder that it is to stay in.

    Returns:
        The same path without `.` and empty parts; none of its parts leads out of the folder.

    Raises:
        DataError: It could lead outside, or some file system cannot have it; the message lacks the
            name at its front, and a full stop.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/"):
        raise DataError("is an absolute path")
    if _NOT_PORTABLE.search(name):
        raise DataError("has a backslash, a colon, a control character or no UTF-8")
    if ".." in parts:
        raise DataError("leads out of its folder")
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise DataError(f"has a part of more than {_LONGEST_NAME} bytes")
    if len(name.encode()) > _LONGEST_PATH:
        raise DataError(f"has more than {_LONGEST_PATH} bytes")
    return "/".join(parts)


@contextmanager
def draft_folder(target: Path, *, durable: bool = False) -> Iterator[Path]:
    """Hand out an empty draft that takes the target's place at the end; an older one is replaced.

    The older folder stays until the new one is complete; what a kill left half exchanged is put
    right the next time. Several may write one folder: it is the last one's, and whole.

    Args:
        target: The folder; its parent is made when missing.
        durable: Whether all is on the disk when this returns.
    """
    _make_folder(target.parent, durable=durable)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.draft")
    old = draft.with_suffix(".old")
    with ExitStack() as held:
        with _locked(target.parent):
            _clear_after_kills(target)
            draft.mkdir()
            held.enter_context(_locked(draft))  # says that somebody is at it
        try:
            yield draft
            if durable:
                os.sync()  # thousands of files: one call for all; none may be empty under its name
            with _locked(target.parent):
                if target.exists():
                    target.replace(old)
                put_in_place(draft, target, durable=durable)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def discard_folder(target: Path) -> None:
    """Remove a folder at once: it is whole, or it is gone; `draft_folder` clears after a kill."""
    gone = target.with_name(f".{target.name}.{secrets.token_hex(4)}.draft")
    with _locked(target.parent):
        target.replace(gone)
    shutil.rmtree(gone)


def _clear_after_kills(target: Path) -> None:
    """Put an older folder back that was on its way out, and remove drafts that nobody writes."""
    left = re.compile(rf"\.{re.escape(target.name)}(\.[0-9a-f]{{8}})?\.(draft|old)")
    for path in target.parent.iterdir():
        if not left.fullmatch(path.name):
            continue
        if path.suffix == ".old" and not target.exists():  # killed between the two renames
            path.replace(target)
            continue
        with suppress(OSError), _locked(path, wait=False):  # else its writer is alive
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's lock, of which other programs know nothing and which a kill lets go.

    Raises:
        BlockingIOError: Another has it, and it is not waited for.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:  # a disk of a network that locks no folders
            if not wait:
                raise
        yield
    finally:
        os.close(handle)


def temporary_folder(beside: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """Make a folder that is gone after the `with`; `pasam clean` finds what a kill leaves.

    Args:
        beside: Folder that it is made in, so that files can be renamed into place; the system's
            for such folders if None.
    """
    return tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=beside)


def file_sha256(path: Path) -> str:
    """Hash a file's bytes with sha256, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path: Path) -> str:
    """Hash a file's bytes with md5, as DVC does, as 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def sha256_of(content: bytes | str | Iterable[bytes]) -> str:
    """Hash bytes, text as UTF-8, or parts that need not be in memory together, with sha256."""
    if isinstance(content, bytes | str):
        content = [content.encode() if isinstance(content, str) else content]
    total = hashlib.sha256()
    for part in content:
        total.update(part)
    return total.hexdigest()


def md5_of(text: str) -> str:
    """Hash text as UTF-8 with md5; for names of things, never for safety."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def write_table(
    path: Path,
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    schema: pa.Schema,
    *,
    order: Sequence[str] = (),
) -> None:
    """Write a typed parquet table whole or not at all; equal tables give equal bytes.

    Args:
        path: Target; its folder is made when missing.
        rows: A frame, whose NaN are written as null, or rows, whose NaN stay NaN.
        schema: Its columns, exactly, with their types.
        order: Columns to sort by; together they name a row, which may be there only once.

    Raises:
        DataError: A column is missing, unknown or of another type, or a row is there twice.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    is_frame, given = isinstance(rows, pd.DataFrame), cast(Any, rows)
    for found in [given] if is_frame else given:
        if set(found) != set(schema.names):
            missing = [name for name in schema.names if name not in found]
            unknown = [name for name in found if name not in schema.names]
            raise DataError(
                f"The rows for {path} lack {missing} and have unknown {unknown}, expected exactly "
                f"{schema.names}."
            )
    arrays = []
    for field in schema:
        values = given[field.name] if is_frame else [row[field.name] for row in given]
        try:
            if pa.types.is_integer(field.type) and any(isinstance(one, float) for one in values):
                raise pa.ArrowTypeError("a fraction is among its values")  # arrow would cut it off
            arrays.append(pa.array(values, type=field.type))
        except (pa.ArrowException, OverflowError) as fault:
            raise DataError(
                f"The rows for {path} do not fit column '{field.name}', expected {field.type}: "
                f"{fault}."
            ) from None
    table = pa.Table.from_arrays(arrays, schema=schema.remove_metadata())
    if order:
        table = table.sort_by([(name, "ascending") for name in order])
        keys = list(zip(*(table[name].to_pylist() for name in order), strict=True))
        for key, following in zip(keys, keys[1:], strict=False):
            if key == following:
                raise DataError(f"The rows for {path} hold {key} twice ({', '.join(order)}).")
    with draft_file(path) as draft:
        try:
            pq.write_table(table, draft, compression="zstd", write_page_checksum=True)
        except pa.ArrowException as fault:  # null where the schema allows none
            raise DataError(f"The rows for {path} do not fit their columns: {fault}.") from None


def read_table(
    path: Path, schema: pa.Schema, *, what: str = "this table", advice: str = REPEAT
) -> pd.DataFrame:
    """Read a typed parquet table.

    Args:
        path: The file.
        schema: Its columns, in any order, with their types.
        what: What the file should be: "a manifest".
        advice: What to do about a file that is not.

    Raises:
        DataError: The file is missing, no parquet, or has other columns or types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # No folder of parts, no columns from the path's name; a flipped bit is noticed.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            rows = file.metadata.num_rows  # half a megabyte can say one row three million times
            if rows > MOST_ROWS:
                raise DataError(f"{path} has {rows} rows; at most {MOST_ROWS} are read. {advice}")
            table = file.read()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. {advice}") from None
    except (pa.ArrowException, OSError, ValueError) as fault:
        raise DataError(f"{path} is not a readable parquet file: {fault}. {advice}") from None
    found = {field.name: field.type for field in table.schema}
    wrong = [
        f"{field.name} is {found.get(field.name, 'missing')}, expected {field.type}"
        for field in schema
        if found.get(field.name) != field.type
    ]
    wrong += [f"{name} is unknown" for name in found if name not in schema.names]
    wrong = wrong or [
        f"{field.name} is empty in {table[field.name].null_count} rows"
        for field in schema
        if not field.nullable and table[field.name].null_count
    ]
    if wrong:
        raise DataError(f"{path} is not {what}: {'; '.join(wrong)}. {advice}")
    try:
        frame: pd.DataFrame = table.select(schema.names).to_pandas()
    except (pa.ArrowException, UnicodeDecodeError) as fault:
        raise DataError(f"{path} is damaged: {fault}. {advice}") from None
    return frame


def _make_folder(folder: Path, *, durable: bool) -> None:
    """Make a folder with those above it; where durable, their names are on the disk as well."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()] if durable else []
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(missing):
        _sync(each.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
