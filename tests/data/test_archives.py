"""Archives that mean harm or are damaged write nothing; an installed set is whole."""

from __future__ import annotations

import contextlib
import io
import json
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.data import archives
from pasam.data.archives import (
    MARKER,
    MemberPaths,
    count_images,
    install,
    installed_digests,
    unpack,
)
from pasam.data.catalogue import Archive, CatalogueEntry, Layout
from pasam.errors import DataError
from pasam.files import draft_folder

GOOD = {"set/im/0.jpg": b"image", "set/gt/0.png": b"mask"}


def extract(archive, target):
    """Extract to a folder as a fetched set is: all of it appears, or nothing."""
    with draft_folder(target) as draft:
        unpack(archive, draft)


def write_zip(path, members, *, modes=None):
    """Write a zip; a member comes as (name, content), so that names may repeat."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, 0) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, content)
    return path


def write_tar(path, members, *, mode="w:gz"):
    with tarfile.open(path, mode) as tape:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tape.addfile(info, io.BytesIO(content))
    return path


def write_odd_tar(path, kind, *, linkname=""):
    with tarfile.open(path, "w") as tape:
        info = tarfile.TarInfo("set/odd")
        info.type, info.linkname = kind, linkname
        tape.addfile(info)
        inside = tarfile.TarInfo("set/odd/file")
        inside.size = 4
        tape.addfile(inside, io.BytesIO(b"evil"))
    return path


@pytest.fixture
def place(tmp_path):
    """Where archives are extracted; `around` it lies what must not change."""
    (tmp_path / "around").mkdir()
    (tmp_path / "around" / "precious").write_text("untouched")
    return tmp_path / "around" / "inner" / "set"


@pytest.fixture
def refuses(tmp_path, place, tree):
    """Extract an archive and demand an error, no target, and nothing written outside."""

    def refuse(archive, message):
        before = tree(tmp_path)
        with pytest.raises(DataError, match=message):
            extract(archive, place)
        assert [path for path in tree(tmp_path) if path != "around/inner"] == before
        assert (tmp_path / "around" / "precious").read_text() == "untouched"

    return refuse


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_good_archive_arrives_whole(write, tmp_path, place, tree):
    extract(write(tmp_path / "set.archive", GOOD.items()), place)
    assert {path: (place / path).read_bytes() for path in GOOD} == GOOD
    assert tree(place) == ["set", "set/gt", "set/gt/0.png", "set/im", "set/im/0.jpg"]
    assert [path.name for path in place.parent.iterdir()] == ["set"]


NAMES = [
    ("../../evil", "leads out of its folder"),
    ("a/../../b", "leads out of its folder"),
    ("a/../b", "leads out of its folder"),
    ("/evil", "is an absolute path"),
    ("C:/evil", "has a backslash, a colon"),
    ("..\\evil", "has a backslash, a colon"),
    ("evil\n", "a control character"),
]


@pytest.mark.parametrize("write", [write_zip, write_tar])
@pytest.mark.parametrize(("name", "message"), NAMES)
def test_names_that_lead_outside_are_refused(write, name, message, tmp_path, refuses):
    refuses(write(tmp_path / "x", [*GOOD.items(), (name, b"evil")]), message)


@pytest.mark.parametrize("write", [write_zip, write_tar])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("set/a.png", "set/A.png"), "'set/A.png' differs from 'set/a.png' in nothing but"),
        (("set/a.png", "SET/b.png"), "differs from 'set' in nothing but"),
        (("set/\u00e9.png", "set/e\u0301.png"), "in nothing but"),
        (("set/a", "set/a/b"), "claims the place of another member"),
        (("set/a/b", "set/a"), "claims the place of another member"),
    ],
)
def test_names_that_some_file_systems_mix_up_are_refused(write, names, message, tmp_path, refuses):
    refuses(write(tmp_path / "x", [(name, b"") for name in names]), message)


def test_the_same_name_twice_is_refused(tmp_path, refuses):
    refuses(write_tar(tmp_path / "x", [("a", b"1"), ("a", b"2")]), "claims the place of another")


@pytest.mark.parametrize(
    ("kind", "linkname"),
    [
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.SYMTYPE, "../../.."),
        (tarfile.LNKTYPE, "../../precious"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.GNUTYPE_SPARSE, ""),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(kind, linkname, tmp_path, refuses):
    archive = write_odd_tar(tmp_path / "x.tar", kind, linkname=linkname)
    refuses(archive, "'set/odd' is a link, a device or a sparse file")


def test_a_name_in_a_zip_is_read_beyond_a_zero(tmp_path, refuses):
    archive = write_zip(tmp_path / "x.zip", [("set/a-.png", b"")])
    archive.write_bytes(archive.read_bytes().replace(b"a-.png", b"a\0.png"))
    refuses(archive, "a control character")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(kind, tmp_path, refuses):
    members = [("set/odd", b"/etc"), ("set/odd/passwd", b"evil")]
    archive = write_zip(tmp_path / "x.zip", members, modes={"set/odd": kind | 0o777})
    refuses(archive, "'set/odd' is a link or a device")


@pytest.mark.parametrize("name", ["a", "\u00e4"])  # the latter sets another flag, too
def test_an_encrypted_member_is_refused(name, tmp_path, refuses):
    archive = write_zip(tmp_path / "x.zip", [(name, b"secret")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the directory's flag
    archive.write_bytes(content)
    refuses(archive, f"'{name}' is encrypted")


@pytest.mark.parametrize(
    ("write", "count", "message"),
    [
        (write_zip, 1, "'0' grows from .* more than 200 times: a bomb"),
        (write_tar, 1, "'the whole of it' grows from .*: a bomb"),
        (write_tar, 20, "'the whole of it' grows from .*: a bomb"),
    ],
)
def test_a_bomb_is_refused_before_it_goes_off(write, count, message, tmp_path, refuses):
    zeros = bytes(2 * archives.HARMLESS // count)
    refuses(write(tmp_path / "x", [(str(number), zeros) for number in range(count)]), message)


@pytest.mark.parametrize(
    ("size", "packed", "refused"),
    [
        (20, 10, False),
        (21, 10, True),
        (15, 1, False),
        (16, 1, True),
        (16, 0, True),
        (99, None, False),
    ],
)
def test_what_grows_to_its_limit_and_no_further_is_taken(
    tmp_path, monkeypatch, size, packed, refused
):
    monkeypatch.setattr(archives, "HARMLESS", 15)
    monkeypatch.setattr(archives, "LARGEST_RATIO", 2)
    outcome = pytest.raises(DataError, match="a bomb") if refused else contextlib.nullcontext()
    with outcome:
        archives._check_growth(tmp_path, "x", size, packed)


def test_an_archive_of_as_many_members_and_bytes_as_may_be_arrives(tmp_path, place, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", len(GOOD))
    free = sum(map(len, GOOD.values()))
    monkeypatch.setattr(
        archives.shutil, "disk_usage", lambda place: type("Usage", (), {"free": free})
    )
    extract(write_zip(tmp_path / "x", GOOD.items()), place)
    assert {path: (place / path).read_bytes() for path in GOOD} == GOOD


def test_wanted_folders_that_lie_in_one_another_or_begin_alike_are_told_apart(tmp_path, tree):
    members = [("im/a/0.jpg", b"0"), ("im/1.jpg", b"1"), ("im2/2.jpg", b"2"), ("x.json", b"3")]
    archive = write_zip(tmp_path / "x.zip", members)
    for wanted, expected in (
        (["im", "im/a"], ["im/1.jpg", "im/a/0.jpg"]), (["x.json", "im2"], ["im2/2.jpg", "x.json"]),
    ):  # fmt: skip
        into = tmp_path / "-".join(wanted).replace("/", "")
        into.mkdir()
        unpack(archive, into, only=wanted)
        assert [path for path in tree(into) if "." in path] == expected


def test_too_many_members_are_refused(tmp_path, refuses, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    refuses(write_zip(tmp_path / "x", [(str(n), b"") for n in range(4)]), "has more than 3 members")


def test_an_archive_larger_than_the_disk_is_refused(tmp_path, refuses, monkeypatch):
    usage = type("Usage", (), {"free": 3})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda place: usage)
    refuses(write_zip(tmp_path / "x", GOOD.items()), r"needs 9 bytes in .*; 3 are free")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_zip_is_refused(share, tmp_path, refuses):
    archive = write_zip(tmp_path / "x.zip", [(f"{n}.bin", bytes([n]) * 900) for n in range(9)])
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    refuses(archive, r"is damaged, or no zip or tar file \(.*\)\. Fetch it again")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("size", [0, 100, 512 + 300, 1024, 3 * 512 + 100])
def test_a_truncated_tar_is_refused(mode, size, tmp_path, refuses):
    members = [(f"{n}.bin", bytes(range(200)) * 2) for n in range(9)]
    plain = write_tar(tmp_path / "x.tar", members, mode="w").read_bytes()
    archive = write_tar(tmp_path / "x.tar", members, mode=mode)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(size * len(content) / len(plain))])
    refuses(archive, "is damaged, or no zip or tar file|breaks off before its end")


def test_a_flipped_bit_is_found_and_no_half_set_stays(tmp_path, refuses):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.bin", b"first")
        packed.writestr("b.bin", b"SECOND")
    archive.write_bytes(archive.read_bytes().replace(b"SECOND", b"SEC0ND"))
    refuses(archive, "is damaged, .*CRC")


def test_what_is_no_archive_is_refused(tmp_path, refuses):
    (tmp_path / "x.zip").write_text("<html>Log in first</html>")
    refuses(tmp_path / "x.zip", "is damaged, or no zip or tar file")


def test_only_the_wanted_folders_are_taken(tmp_path, tree):
    archive = write_zip(tmp_path / "x.zip", [*GOOD.items(), ("set/im2/1.jpg", b"")])
    (tmp_path / "into").mkdir()
    unpack(archive, tmp_path / "into", only=["set/im"])
    assert tree(tmp_path / "into") == ["set", "set/im", "set/im/0.jpg"]


def test_unwanted_members_are_judged_too(tmp_path):
    archive = write_zip(tmp_path / "x.zip", [*GOOD.items(), ("../evil", b"")])
    (tmp_path / "into").mkdir()
    with pytest.raises(DataError, match="leads out of its folder"):
        unpack(archive, tmp_path / "into", only=["set/im"])
    assert list((tmp_path / "into").iterdir()) == []


def test_a_folder_that_the_archive_lacks_is_named_with_those_it_has(tmp_path):
    archive = write_zip(tmp_path / "x.zip", GOOD.items())
    with pytest.raises(DataError, match=r"nothing in 'set/no'; it holds \['set/gt', 'set/im'\]"):
        unpack(archive, tmp_path, only=["set/no"])


def test_an_archive_packed_without_its_folder_is_put_into_it(tmp_path, tree):
    archive = write_zip(tmp_path / "x.zip", [("im/0.jpg", b""), ("gt/0.png", b"")])
    (tmp_path / "into").mkdir()
    unpack(archive, tmp_path / "into", only=["set/im"], folder="set")
    assert tree(tmp_path / "into") == ["set", "set/im", "set/im/0.jpg"]


def test_what_lies_beside_an_archives_folder_does_not_put_it_into_itself(tmp_path, tree):
    archive = write_zip(tmp_path / "x.zip", [*GOOD.items(), ("readme.txt", b"")])
    (tmp_path / "into").mkdir()
    unpack(archive, tmp_path / "into", only=["set/im"], folder="set")
    assert tree(tmp_path / "into") == ["set", "set/im", "set/im/0.jpg"]


def test_names_that_begin_like_the_folder_do_not_stand_for_it(tmp_path, tree):
    members = [("im/0.jpg", b""), ("set.json", b""), ("set", b""), ("set2/1.jpg", b"")]
    archive, into = write_zip(tmp_path / "x.zip", members), tmp_path / "into"
    into.mkdir()
    unpack(archive, into, only=["set/im"], folder="set")
    assert tree(into) == ["set", "set/im", "set/im/0.jpg"]


@pytest.fixture
def places():
    return MemberPaths(Path("set.zip"))


def test_dots_and_double_slashes_are_tidied(places):
    assert places.claim("./set//im/./0.jpg", is_folder=False) == "set/im/0.jpg"


def test_a_folder_may_be_listed_again_and_after_its_files(places):
    for name, is_folder in [("a/b/c", False), ("a/b/", True), ("a/", True), ("a/", True)]:
        places.claim(name, is_folder=is_folder)


def test_a_file_named_like_the_archive_itself_is_refused(places):
    with pytest.raises(DataError, match="has no name"):
        places.claim("./", is_folder=False)


def test_the_message_names_archive_and_member(places):
    with pytest.raises(DataError, match=r"^set\.zip: '/evil' is an absolute path\. Nothing was"):
        places.claim("/evil", is_folder=False)


def test_a_name_that_is_no_utf_8_is_refused(places):
    with pytest.raises(DataError, match="no UTF-8"):
        places.claim("set/\udcff.png", is_folder=False)


@given(st.lists(st.sampled_from(["a", "A", ".", "..", "", "b"]), min_size=1, max_size=6))
def test_whatever_is_accepted_stays_inside(parts):
    try:
        path = MemberPaths(Path("set.zip")).claim("/".join(parts), is_folder=False)
    except DataError:
        return
    inside = Path("/root/target")
    assert (inside / path).resolve().is_relative_to(inside)
    assert (inside / path).resolve() != inside


DIGESTS = {"set.zip": "a" * 64, "weights.pth": "b" * 64}


def make_entry(*names, sha256=None, layout=None):
    files = tuple(Archive(name=name, address=None, sha256=sha256, size=None) for name in names)
    return CatalogueEntry(
        name="set", role="train", archives=files, layout=layout, images=None, licence=None,
        citation=None,
    )  # fmt: skip


@pytest.fixture
def packed(tmp_path, zipped, pairs):
    folder = tmp_path / "archives"
    folder.mkdir()
    (folder / "set.zip").write_bytes(zipped({**pairs("im", "gt", 3), "other/1.jpg": b""}))
    (folder / "weights.pth").write_bytes(b"weights")
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


PHOTOGRAPHS = make_entry("set.zip", layout=Layout(images="im", masks="gt"))


def test_a_set_is_on_the_disk_before_it_has_its_name(root, packed, monkeypatch):
    synced = []
    monkeypatch.setattr("os.sync", lambda: synced.append((root / "set").exists()))
    install(PHOTOGRAPHS, root, packed, DIGESTS)
    assert synced == [False]


def test_the_folder_holds_what_the_layout_names_and_the_marker(root, packed, tree):
    install(PHOTOGRAPHS, root, packed, DIGESTS)
    there = [path for path in tree(root / "set") if "/" not in path]
    assert there == [MARKER, "gt", "im"]
    assert count_images(PHOTOGRAPHS, root) == 3
    for name in ("a.JPG", "b.png", "c.jpg.txt"):
        (root / "set" / "im" / name).touch()
    assert count_images(PHOTOGRAPHS, root) == 4
    assert installed_digests(PHOTOGRAPHS, root, {}) == {"set.zip": "a" * 64}


def test_the_images_of_a_collection_are_those_of_all_its_members(root):
    layout = Layout(images="{member}/im", masks="{member}/gt")
    both = make_entry("set.zip", layout=layout).model_copy(update={"members": ("one", "two")})
    for place in ("one/im/a.jpg", "two/im/a.jpg", "two/im/b.jpg", "two/gt/a.jpg"):
        (root / "set" / place).parent.mkdir(parents=True, exist_ok=True)
        (root / "set" / place).touch()
    assert count_images(both, root) == 3


def test_weights_are_not_extracted(root, packed):
    weights = make_entry("weights.pth")
    install(weights, root, packed, DIGESTS)
    assert (root / "set" / "weights.pth").read_bytes() == b"weights"
    assert count_images(weights, root) is None
    assert (root / "set" / "weights.pth").samefile(packed / "weights.pth"), "they lie there once"


def test_where_a_file_system_has_no_second_names_weights_are_copied(root, packed, monkeypatch):
    def hardlink_to(place, target):
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", hardlink_to)
    install(make_entry("weights.pth"), root, packed, DIGESTS)
    assert (root / "set" / "weights.pth").read_bytes() == b"weights"


def test_nothing_is_there_before(root):
    assert installed_digests(PHOTOGRAPHS, root, {}) is None


def test_another_checksum_means_that_it_has_to_be_fetched(root, packed):
    install(PHOTOGRAPHS, root, packed, DIGESTS)
    assert installed_digests(PHOTOGRAPHS, root, {"set.zip": "a" * 64}) is not None
    assert installed_digests(PHOTOGRAPHS, root, {"set.zip": "c" * 64}) is None
    for digits, is_there in (("cccccc", False), ("aaaaaa", True), ("aaaaac", False)):
        published = make_entry("set.zip", sha256=digits, layout=PHOTOGRAPHS.layout)
        assert (installed_digests(published, root, {}) is not None) is is_there


def test_another_layout_means_that_it_has_to_be_fetched(root, packed):
    install(PHOTOGRAPHS, root, packed, DIGESTS)
    assert installed_digests(make_entry("set.zip"), root, {}) is None


def test_an_older_folder_is_replaced_as_a_whole(root, packed, tree):
    install(PHOTOGRAPHS, root, packed, DIGESTS)
    other = make_entry("set.zip", layout=Layout(images="other"))
    install(other, root, packed, DIGESTS)
    assert tree(root / "set") == [MARKER, "other", "other/1.jpg"]


def test_a_failed_extraction_leaves_the_older_folder(root, packed, tree):
    install(PHOTOGRAPHS, root, packed, DIGESTS)
    before = tree(root)
    (packed / "set.zip").write_bytes(b"PK damaged")
    with pytest.raises(DataError, match="is damaged"):
        install(make_entry("set.zip"), root, packed, DIGESTS)
    assert tree(root) == before


@pytest.mark.parametrize("moved", [0, 1])
def test_a_kill_while_folders_are_exchanged_leaves_one_whole_set(
    root, packed, tree, monkeypatch, moved
):
    install(PHOTOGRAPHS, root, packed, DIGESTS)
    before = tree(root / "set")
    other = make_entry("set.zip", layout=Layout(images="other"))
    replace, calls = Path.replace, []

    def killed(path, target):
        calls.append(path)
        if len(calls) > moved:
            raise SystemExit("killed")
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(SystemExit):
            install(other, root, packed, DIGESTS)
    whole = [path for path in (root / "set", *root.glob(".set.*.old")) if path.exists()]
    assert [tree(path) for path in whole] == [before]
    install(other, root, packed, DIGESTS)
    assert [path for path in tree(root) if "/" not in path] == ["set"]
    assert tree(root / "set") == [MARKER, "other", "other/1.jpg"]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"archives": []}'])
def test_a_folder_that_nobody_marked_is_not_touched(root, text):
    (root / "set").mkdir(parents=True)
    if text is not None:
        (root / "set" / MARKER).write_text(text)
    with pytest.raises(DataError, match="was not made by `pasam data fetch`.*Move it away"):
        installed_digests(PHOTOGRAPHS, root, {})


def test_the_marker_is_the_same_every_time(root, packed):
    install(PHOTOGRAPHS, root, packed, DIGESTS)
    marker = json.loads((root / "set" / MARKER).read_text())
    assert marker == {"archives": {"set.zip": "a" * 64}, "places": ["gt", "im"]}
