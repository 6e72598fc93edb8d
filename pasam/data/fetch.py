"""Bring public data sets to a folder, and find their images and masks there.

Each archive is downloaded once, proved right and extracted; what is there already is left alone.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from filelock import FileLock, Timeout

from pasam.data.archives import count_images, install, installed_digests
from pasam.data.catalogue import (
    PACKAGE,
    RESERVED,
    Archive,
    CatalogueEntry,
    Layout,
    expected_sha256,
    is_whole,
    read_catalogue,
    read_lock,
    write_lock,
)
from pasam.data.download import download, is_on_the_web
from pasam.errors import DataError, TransientError
from pasam.files import file_sha256
from pasam.workers import byte_progress, count_progress

if TYPE_CHECKING:
    from pasam.data.pairing import Pair

T = TypeVar("T")
R = TypeVar("R")

SPLIT_OF_ROLE = {"train": "train", "benchmark": "val"}

_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What became of one data set."""

    entry: CatalogueEntry
    folder: Path
    is_new: bool
    """False if it was there already."""
    images: int | None
    """How many there are; none for what has no layout."""
    recorded: tuple[str, ...]
    """Archives whose checksum was written to the lock, because nobody publishes it."""


class _StoppedError(Exception):
    """Another transfer failed, or the user wants no more."""


def fetch(
    entries: Sequence[CatalogueEntry],
    root: Path,
    *,
    source: str | None = None,
    lock: Path,
    archives: Path | None = None,
    workers: int = 4,
    keep_archives: bool = True,
) -> tuple[Fetched, ...]:
    """Bring data sets to `<root>/<name>`; those that are there already cost nothing.

    An archive that holds several of them is brought once. A folder appears when all of it is
    there; whatever stops the fetch, the next one goes on from there.

    Args:
        entries: What to bring.
        root: Folder of the data sets.
        source: Address of a mirror, or folder, that holds archives of the same names; without it
            they come from their publishers.
        lock: File of the checksums that were recorded because nobody publishes them.
        archives: Folder of the archives; by default `archives` in `root`.
        workers: How many files arrive, and how many data sets are extracted, at the same time.
        keep_archives: Whether the archives stay once everything is extracted.

    Returns:
        One result per entry, in their order.

    Raises:
        DataError: An archive is not available, not the one expected, or not harmless.
        TransientError: A transfer failed too often, or another fetch is at work in `root`.
    """
    _check_addresses(entries, source)
    with _alone_in(root):
        known = read_lock(lock)
        present = {entry.name: installed_digests(entry, root, known) for entry in entries}
        missing = [entry for entry in entries if present[entry.name] is None]
        needed = {archive.name: archive for entry in missing for archive in entry.archives}
        store = _Store(archives or root / RESERVED, source=source, known=known, lock=lock)
        digests = store.bring(list(needed.values()), workers)
        store.install(missing, root, digests, workers)
        for there in present.values():
            digests |= there or {}
        recorded = _record(lock, known, entries, digests)
        if not keep_archives:
            store.drop(needed)
    return tuple(
        Fetched(
            entry=entry,
            folder=root / entry.name,
            is_new=present[entry.name] is None,
            images=count_images(entry, root),
            recorded=tuple(file.name for file in entry.archives if file.name in recorded),
        )
        for entry in entries
    )


class _Store:
    """The folder of the archives.

    Args:
        folder: Where they lie.
        source: Mirror or folder to take them from; their publishers if none.
        known: Recorded sha256, by name.
        lock: The file these are from, for messages.
    """

    def __init__(
        self, folder: Path, *, source: str | None, known: Mapping[str, str], lock: Path
    ) -> None:
        self.folder = folder
        self._source = source
        self._known = known
        self._lock = lock

    def bring(self, archives: Sequence[Archive], workers: int) -> dict[str, str]:
        """Download what is not there; return the sha256 of all, by name."""
        self._check_room(archives)
        stop = threading.Event()
        with byte_progress() as shown:

            def bring_one(archive: Archive) -> tuple[str, str]:
                task = shown.add_task(archive.name, total=archive.expected_size)

                def progress(there: int, whole: int | None) -> None:
                    if stop.is_set():
                        raise _StoppedError
                    shown.update(task, completed=there, total=whole or archive.expected_size)

                return archive.name, self._bring_one(archive, progress)

            return dict(_in_threads(bring_one, archives, workers, stop))

    def install(
        self, entries: Sequence[CatalogueEntry], root: Path, digests: Mapping[str, str],
        workers: int,
    ) -> None:  # fmt: skip
        """Extract what entries need; an archive that fails and that nothing vouches for goes."""
        with count_progress() as shown:
            task = shown.add_task("extract", total=len(entries), note="")

            def install_one(entry: CatalogueEntry) -> None:
                try:
                    install(entry, root, self.folder, digests)
                except DataError:
                    files = [
                        (file.name, expected_sha256(file, self._known)) for file in entry.archives
                    ]
                    self.drop(name for name, expected in files if expected is None)
                    raise
                shown.advance(task)

            _in_threads(install_one, entries, workers, threading.Event())

    def drop(self, names: Iterable[str]) -> None:
        """Remove archives."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _bring_one(self, archive: Archive, progress: Callable[[int, int | None], None]) -> str:
        target = self.folder / archive.name
        expected = expected_sha256(archive, self._known)
        if target.is_file():
            digest = file_sha256(target)
            if digest.startswith(expected or ""):
                return digest
        address = _address(archive, self._source)
        assert address is not None  # checked before anything was begun
        try:
            return download(address, target, sha256=expected, size=archive.size, progress=progress)
        except DataError as error:
            if archive.name not in self._known:
                raise
            raise DataError(
                f"{error} The expected checksum is the one in {self._lock}; remove its line there "
                "only if the publisher did change the file."
            ) from None

    def _check_room(self, archives: Sequence[Archive]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = [file for file in archives if not (self.folder / file.name).exists()]
        needed = sum(archive.expected_size or 0 for archive in wanted)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise DataError(
                f"The archives take {needed / 1e9:.1f} GB, but {self.folder} has "
                f"{free / 1e9:.1f} GB free. Make room, or name another root."
            )


def _check_addresses(entries: Sequence[CatalogueEntry], source: str | None) -> None:
    for entry in entries:
        addresses = [_address(archive, source) for archive in entry.archives]
        if not addresses or None in addresses:
            raise DataError(f"{entry.name} cannot be fetched. {entry.hint}")


def _address(archive: Archive, source: str | None) -> str | None:
    """Tell where an archive comes from."""
    if source is None:
        return archive.address
    if is_on_the_web(source) or source.startswith("file:"):
        return f"{source.rstrip('/')}/{quote(archive.name)}"
    return str(Path(source) / archive.name)


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Keep a second fetch out of the same folder."""
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".fetch.lock").acquire(blocking=False):
            yield
    except Timeout:
        raise TransientError(f"Another fetch is at work in {root}. Wait for its end.") from None


def _in_threads(
    work: Callable[[T], R], items: Sequence[T], workers: int, stop: threading.Event
) -> list[R]:
    """Do the work on all items in threads; a failure, or Ctrl-C, ends it and sets `stop`."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            futures = [pool.submit(work, item) for item in items]
            wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in futures if future.done()]
        except BaseException:
            stop.set()  # the pool's end waits for what is under way, which asks for this
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _record(
    lock: Path,
    known: Mapping[str, str],
    entries: Sequence[CatalogueEntry],
    digests: Mapping[str, str],
) -> set[str]:
    """Write down the checksums that nobody publishes; return the names that are new."""
    archives = {archive.name: archive for entry in entries for archive in entry.archives}
    new = {
        name: digests[name]
        for name, archive in archives.items()
        if name not in known and not is_whole(archive.sha256)
    }
    if new:
        write_lock(lock, {**known, **new})
    return set(new)


def missing_sets(
    entries: Sequence[CatalogueEntry], root: Path, lock: Path
) -> tuple[CatalogueEntry, ...]:
    """List those entries that are not there, or are made of other archives than expected."""
    known = read_lock(lock)
    return tuple(entry for entry in entries if installed_digests(entry, root, known) is None)


def public_pairs(
    names: Sequence[str], root: Path, lock: Path
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Pair the images of fetched sets; files without a partner are left out, and named.

    Args:
        names: Names or groups of the catalogue, as `data.catalogue` lists them.
        root: Folder of the fetched sets.
        lock: File of the recorded checksums.

    Returns:
        The pairs, their split given by the set's role; and remarks: what was left out, and counts
        that differ from the catalogue's.

    Raises:
        DataError: A set is unknown, has no mask images, or was not fetched, made of exactly the
            archives that are expected today; names the command.
    """
    pairs: list[Pair] = []
    remarks: list[str] = []
    for entry, layout, masks in _fetched(names, root, lock):
        folder = root / entry.name
        found, left_out = pair_folders(
            folder / layout.images, folder / masks,
            split=SPLIT_OF_ROLE[entry.role], dataset=entry.name,
            image_suffix=layout.image_suffix, mask_suffix=layout.mask_suffix,
        )  # fmt: skip
        pairs += found
        if left_out:
            shown = ", ".join(path.name for path in left_out[:_SHOWN])
            more = ", ..." if len(left_out) > _SHOWN else ""
            remarks.append(
                f"{entry.name}: {len(left_out)} files have no partner and are left out "
                f"({shown}{more})."
            )
        images = len({pair.image for pair in found})
        if entry.images not in (None, images):
            remarks.append(
                f"{entry.name}: {images} images with a mask; the catalogue says {entry.images}."
            )
    return tuple(pairs), tuple(remarks)


def _fetched(
    names: Sequence[str], root: Path, lock: Path
) -> list[tuple[CatalogueEntry, Layout, str]]:
    """Find fetched sets with their layout and the folder of their masks."""
    chosen, found = read_catalogue().select(names), []
    entries = tuple(entry for entry in chosen if entry.role != PACKAGE)
    for entry in entries:
        if entry.role not in SPLIT_OF_ROLE or entry.layout is None or entry.layout.masks is None:
            raise DataError(
                f"params.yaml: data.catalogue names {entry.name}, which has the role "
                f"'{entry.role}' and no mask images to train on or to measure with. Name sets "
                "of the roles train and benchmark; `pasam data list` shows them."
            )
        found.append((entry, entry.layout, entry.layout.masks))
    missing = " ".join(entry.name for entry in missing_sets(entries, root, lock))
    if missing:
        raise DataError(
            f"params.yaml: data.catalogue names {missing}, not fetched to {root} yet. Run "
            f"`pasam data fetch {missing}`."
        )
    return found


def pair_folders(
    images: Path, masks: Path, *, split: str, dataset: str, image_suffix: str, mask_suffix: str
) -> tuple[tuple[Pair, ...], tuple[Path, ...]]:
    """Pair two folders of images and masks, which may be one, told apart by their suffix.

    Args:
        images: Folder of the images.
        masks: Folder of the masks, named like their images.
        split: `train` or `val`.
        dataset: Name of the data set.
        image_suffix: Ending of the images, with its dot.
        mask_suffix: Ending of the masks.

    Returns:
        The pairs, sorted, and the files that belong to none.
    """
    from pasam.data.names.folder_images import list_images
    from pasam.data.names.mask_names import match_names
    from pasam.data.pairing import Pair  # with pandas

    found = match_names(
        [path for path in list_images(images) if path.suffix.lower() == image_suffix.lower()],
        [path for path in list_images(masks) if path.suffix.lower() == mask_suffix.lower()],
        image_root=images,
        mask_root=masks,
    )
    pairs = sorted(
        Pair(split=split, dataset=dataset, image=image, mask=mask)
        for image, of_image in found.masks_of.items()
        for mask in of_image
    )
    return tuple(pairs), (*found.without_mask, *found.without_image)
