"""What the catalogue knows: archives, data sets with their layout and terms, and groups of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pasam.errors import DataError

ROLES = ("train", "benchmark", "zero-shot", "open-set", "checkpoint", "generated")
"""What a data set is for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """One file to download; several data sets may lie in it."""

    name: str
    """Name of the file, on a mirror too."""
    address: str | None
    """Where its authors publish it; none where that could not be established."""
    sha256: str | None
    """Its sha256, or the first digits of it; none where nobody publishes one."""
    size: int | None
    """Length in bytes, checked; none where only about that much is known."""
    rough_size: int | None = None
    """Length in bytes as the publisher rounds it, for planning only."""
    folder: str | None = None
    """Folder that all members lie in; it is made where an archive was packed without it."""

    @property
    def expected_size(self) -> int | None:
        """Length in bytes, exact or rounded."""
        return self.size if self.size is not None else self.rough_size

    @property
    def packed(self) -> bool:
        """Whether there is anything to extract."""
        return self.name.endswith((".zip", ".tar", ".tar.gz", ".tgz"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where images and masks lie once extracted; `{member}` stands for every member's name."""

    images: str
    masks: str | None = None
    """Folder of the masks, named like their images; none where annotations hold the masks."""
    annotations: str | None = None
    """COCO file with the masks; none where they are pictures."""
    mask_maximum: int | None = None
    """Value of full foreground in a mask picture; 255 in 8 bits."""
    image_suffix: str = ".jpg"
    mask_suffix: str = ".png"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One data set, checkpoint or generated family."""

    name: str
    role: str
    """One of `ROLES`."""
    archives: tuple[Archive, ...]
    layout: Layout | None
    """None for what is not made of pictures, and for what is not fetched."""
    images: int | None
    """How many images there should be; none where that could not be established."""
    licence: str | None
    """None where it could not be established: ask the authors before publishing anything."""
    citation: str | None
    members: tuple[str, ...] = ()
    """Names of the sets that this one consists of, if it is a collection."""
    hint: str | None = None
    """What a person can do where there is no address."""
    note: str | None = None

    @property
    def expected_size(self) -> int | None:
        """Bytes to download; none if unknown for any archive."""
        sizes = [archive.expected_size for archive in self.archives]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def places(self) -> tuple[str, ...]:
        """List the folders and files of the archives that this data set needs, sorted."""
        if self.layout is None:
            return ()
        named = {self.layout.images, self.layout.masks, self.layout.annotations} - {None}
        return tuple(sorted({place for name in named if name for place in self._spelt(name)}))

    def places_in(self, archive: Archive) -> tuple[str, ...]:
        """List those of the places that lie in one of the archives."""
        lead = "" if archive.folder is None else f"{archive.folder}/"
        return tuple(place for place in self.places() if f"{place}/".startswith(lead))

    def image_folders(self) -> tuple[str, ...]:
        """List the folders of the images; one per member for a collection."""
        return () if self.layout is None else self._spelt(self.layout.images)

    def _spelt(self, place: str) -> tuple[str, ...]:
        """Spell a place of the layout out for every member."""
        if "{member}" not in place:
            return (place,)
        return tuple(place.replace("{member}", member) for member in self.members)


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """All entries by name, and the groups that stand for several of them."""

    entries: Mapping[str, Entry]
    groups: Mapping[str, tuple[str, ...]]

    def select(self, names: Sequence[str]) -> tuple[Entry, ...]:
        """Look up entries by their names or by those of their groups.

        Args:
            names: Names as they stand in the catalogue.

        Returns:
            Each entry once, in the order asked for.

        Raises:
            DataError: A name is neither an entry's nor a group's.
        """
        chosen: dict[str, Entry] = {}
        for name in names:
            if name not in self.entries and name not in self.groups:
                raise DataError(
                    f"'{name}' is not in the catalogue. Known groups: {sorted(self.groups)}; "
                    f"known names: {sorted(self.entries)}."
                )
            for member in self.groups.get(name, (name,)):
                chosen[member] = self.entries[member]
        return tuple(chosen.values())

    def of_role(self, role: str | None) -> tuple[Entry, ...]:
        """List the entries of one role, or all, in the catalogue's order.

        Raises:
            DataError: There is no such role.
        """
        if role is not None and role not in ROLES:
            raise DataError(f"There is no role '{role}'. Known roles: {list(ROLES)}.")
        return tuple(entry for entry in self.entries.values() if role in (None, entry.role))
