"""The catalogue is complete, and a file of one's own is read as strictly."""

from __future__ import annotations

import copy

import pytest
import yaml

from pasam.data.catalogue import GENERATED, read_catalogue
from pasam.errors import DataError

CATALOGUE = read_catalogue()

OWN = {
    "archives": {"own.zip": {"address": "https://host/own.zip", "sha256": None, "size": None}},
    "entries": {
        "own": {
            "role": "train",
            "archives": ["own.zip"],
            "layout": {"images": "im", "masks": "gt", "mask_maximum": 1},
            "images": 3,
            "licence": None,
            "citation": None,
        }
    },
    "groups": {"everything": ["own", "DIS5K-TR"]},
}


@pytest.fixture
def read_own(tmp_path):
    """Read a catalogue with a changed copy of `OWN` beside it."""

    def read(change=lambda content: None):
        content = copy.deepcopy(OWN)
        change(content)
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
        return read_catalogue(tmp_path / "own.yaml")

    return read


@pytest.mark.parametrize("entry", CATALOGUE.entries.values(), ids=lambda entry: entry.name)
def test_every_entry_says_where_it_comes_from_and_what_it_is(entry):
    if entry.role == "generated":
        assert "dvc repro prepare" in entry.hint
        return
    assert entry.citation.endswith(".")
    assert all(archive.address and archive.expected_size for archive in entry.archives)
    assert (entry.layout is None) == (entry.role == "checkpoint")
    assert entry.licence or "terms" in entry.note


def test_hqseg44k_has_seven_training_sets_of_44320_images_and_four_benchmarks():
    training = CATALOGUE.select(["hqseg44k_train"])
    benchmarks = CATALOGUE.select(["hqseg44k_benchmarks"])
    assert (len(training), {entry.role for entry in training}) == (7, {"train"})
    assert sum(entry.images for entry in training) == 44_320
    assert [entry.images for entry in benchmarks] == [470, 280, 287, 500]
    assert {entry.role for entry in benchmarks} == {"benchmark"}
    assert CATALOGUE.select(["hqseg44k"]) == training + benchmarks


def test_hqseg44k_is_three_archives():
    archives = {file.name for entry in CATALOGUE.select(["hqseg44k"]) for file in entry.archives}
    assert archives == {"DIS5K.zip", "cascade_psp.zip", "thin_object_detection.zip"}


def test_hrsod_is_read_with_its_scaled_masks():
    layout = CATALOGUE.entries["HRSOD"].layout
    assert layout.masks == "thin_object_detection/HRSOD/masks_max255"
    assert layout.mask_maximum == 255


def test_seginw_is_a_collection_of_25_sets():
    seginw = CATALOGUE.entries["seginw"]
    assert len(set(seginw.members)) == 25
    assert "seginw/Salmon-Fillet/valid" in seginw.places()


def test_the_three_checkpoints_have_whole_checksums_and_exact_sizes():
    for entry in CATALOGUE.select(["sam"]):
        (archive,) = entry.archives
        assert len(archive.sha256) == 64
        assert archive.size
        assert not archive.packed


def test_every_generated_family_is_listed():
    assert {entry.name for entry in CATALOGUE.of_role("generated")} == set(GENERATED)


def test_a_file_of_ones_own_adds_to_the_catalogue(read_own):
    catalogue = read_own()
    assert catalogue.entries["own"].layout.mask_maximum == 1
    assert [e.name for e in catalogue.select(["everything"])] == ["own", "DIS5K-TR"]
    assert len(catalogue.entries) == len(CATALOGUE.entries) + 1


def test_a_file_of_ones_own_may_use_the_catalogues_archives(read_own):
    def change(content):
        content["entries"]["own"] |= {
            "archives": ["DIS5K.zip"],
            "layout": {"images": "DIS5K/DIS-TE1/im", "masks": "DIS5K/DIS-TE1/gt"},
        }

    own = read_own(change).entries["own"]
    assert own.archives == CATALOGUE.entries["DIS5K-TR"].archives


def own_entry(**changes):
    return lambda content: content["entries"]["own"].update(changes)


def own_archive(**changes):
    return lambda content: content["archives"]["own.zip"].update(changes)


def renamed(section, old, new):
    def change(content):
        content[section][new] = content[section].pop(old)
        content["groups"].pop("everything", None)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (own_entry(rolle="train"), r"entries\.own lacks \[\] and has unknown \['rolle'\]"),
        (lambda c: c["entries"]["own"].pop("licence"), r"entries\.own lacks \['licence'\]"),
        (own_entry(name="other"), r"has unknown \['name'\]"),
        (own_entry(role="test"), r"own\.role is 'test', expected one of \['train'"),
        (own_entry(images="many"), r"own\.images is 'many', expected int"),
        (own_entry(images=True), r"own\.images is True, expected int"),
        (own_entry(role=None), r"own\.role is None, expected str"),
        (own_entry(archives="own.zip"), r"own\.archives is 'own\.zip', expected a list"),
        (own_entry(archives=["no.zip"]), r"names \['no\.zip'\]; known archives: \['DIS5K"),
        (own_entry(archives=[], layout=None), "has no address and no hint"),
        (own_entry(layout={"masks": "gt"}), r"own\.layout lacks \['images'\]"),
        (own_entry(layout="im"), r"own\.layout is 'im', expected a mapping"),
        (own_entry(layout={"images": "../im"}), r"'\.\./im', which is not inside the archive"),
        (own_entry(layout={"images": "/im"}), "'/im', which is not inside the archive"),
        (own_archive(folder="set"), "'gt', which is in no archive's folder"),
        (own_archive(sha256="xyz123"), "'xyz123', expected 6 to 64 hexadecimal digits"),
        (own_archive(sha256="ABCDEF"), "'ABCDEF', expected 6 to 64 hexadecimal digits"),
        (own_archive(address=None), "has no address and no hint"),
        (renamed("archives", "own.zip", "dis5k.ZIP"), "the name 'DIS5K.zip' is taken"),
        (renamed("entries", "own", "DIS5K-TR"), "the name 'DIS5K-TR' is taken"),
        (renamed("entries", "own", "dis5k-tr"), "the name 'DIS5K-TR' is taken"),
        (renamed("entries", "own", "hqseg44k"), "the name 'hqseg44k' is taken"),
        (renamed("entries", "own", "archives"), "the name 'archives' is taken"),
        (renamed("entries", "own", "../own"), "a name has letters, digits"),
        (renamed("entries", "own", ".own"), "a name has letters, digits"),
        (lambda c: c["groups"].update(sam=["own"]), "the name 'sam' is taken"),
        (lambda c: c["groups"].update(mine=["none"]), r"names \['none'\], which are no entries"),
        (lambda c: c.update(sets={}), r"has unknown sections \['sets'\]"),
        (lambda c: c.update(entries=["own"]), "expected a mapping"),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_named(read_own, change, message):
    def without_groups(content):
        content["archives"].setdefault("spare.zip", copy.deepcopy(OWN["archives"]["own.zip"]))
        change(content)

    with pytest.raises(DataError, match=message):
        read_own(without_groups)


@pytest.mark.parametrize(("text", "message"), [("a: [", "is not valid YAML"), ("3", "is 3, exp")])
def test_a_file_that_is_no_catalogue_is_named(tmp_path, text, message):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(DataError, match=f"own.yaml.* {message}"):
        read_catalogue(tmp_path / "own.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no\.yaml cannot be read"):
        read_catalogue(tmp_path / "no.yaml")


def test_an_empty_file_adds_nothing(tmp_path):
    (tmp_path / "own.yaml").write_text("")
    assert read_catalogue(tmp_path / "own.yaml") == CATALOGUE
