"""The catalogue is complete, read strictly, and what was recorded once binds every later fetch."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from small_world import dump_yaml

from pasam.config.params_file import load_section
from pasam.config.schema import BaseParams, DataParams, InstancesParams
from pasam.data.catalogue import (
    GENERATED,
    Archive,
    Catalogue,
    CatalogueEntry,
    Layout,
    expected_sha256,
    is_whole,
    published_base,
    read_catalogue,
    read_lock,
    write_lock,
)
from pasam.data.instance_sets import _plans
from pasam.data.package_photographs import package_photographs
from pasam.errors import DataError
from pasam.evaluation.instances import instance_files
from pasam.files import parse_yaml

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "params").glob("*.yaml"))
FETCHED = Path("data/catalogue")
IMAGES = Archive(name="images.zip", address="http://a/b", sha256=None, size=5, folder="val")
MASKS = Archive(
    name="masks.tar.gz", address=None, sha256=None, size=None, rough_size=70, folder="marks"
)


def entry(name="set", *, role="train", archives=(IMAGES, MASKS), layout=None, members=()):
    return CatalogueEntry(
        name=name, role=role, archives=archives, layout=layout, images=None, licence=None,
        citation=None, members=members,
    )  # fmt: skip


@pytest.fixture
def catalogue():
    entries = [entry("one"), entry("two", role="benchmark"), entry("three")]
    return Catalogue(entries={e.name: e for e in entries}, groups={"both": ("one", "two")})


def test_a_group_stands_for_its_entries_and_none_comes_twice(catalogue):
    names = [entry.name for entry in catalogue.select(["two", "both", "three"])]
    assert names == ["two", "one", "three"]


def test_an_unknown_name_is_told_with_the_known_ones(catalogue):
    with pytest.raises(DataError, match=r"'four' is not in .*\['both'\].*\['one', 'three', 'two'"):
        catalogue.select(["four"])


def test_entries_are_found_by_role(catalogue):
    assert [entry.name for entry in catalogue.of_role("benchmark")] == ["two"]
    assert len(catalogue.of_role(None)) == 3


def test_an_unknown_role_is_told_with_the_known_ones(catalogue):
    with pytest.raises(DataError, match="There is no role 'test'. Known roles: .*open-set"):
        catalogue.of_role("test")


def test_the_download_is_as_large_as_its_archives_exact_or_rounded():
    assert entry().expected_size == 75


def test_an_exact_size_goes_before_a_rounded_one_and_nothing_to_fetch_takes_no_bytes():
    rounded = {"address": None, "sha256": None, "rough_size": 80}
    assert entry(archives=(Archive(name="a.zip", size=0, **rounded),)).expected_size == 0
    assert Archive(name="a.zip", size=79, **rounded).expected_size == 79
    assert entry(archives=()).expected_size == 0


def test_one_archive_of_unknown_size_makes_the_sum_unknown():
    unknown = Archive(name="x.zip", address=None, sha256=None, size=None)
    assert entry(archives=(IMAGES, unknown)).expected_size is None


def test_each_place_is_looked_for_in_the_archive_whose_folder_it_lies_in():
    both = entry(layout=Layout(images="val", annotations="marks/val.json"))
    assert both.places() == ("marks/val.json", "val")
    assert both.places_in(IMAGES) == ("val",)
    assert both.places_in(MASKS) == ("marks/val.json",)
    assert both.image_folders() == ("val",)
    alike = entry(layout=Layout(images="marks2/val", masks="marks"))  # only begins like `marks`
    assert alike.places_in(MASKS) == ("marks",)


def test_images_and_masks_of_one_folder_are_one_place():
    assert entry(layout=Layout(images="val", masks="val")).places() == ("val",)


def test_a_collection_has_its_places_once_per_member():
    both = entry(layout=Layout(images="val/{member}/im"), members=("Cows", "Hand"))
    assert both.places() == both.image_folders() == ("val/Cows/im", "val/Hand/im")


def test_what_has_no_layout_has_no_places():
    assert entry().places() == entry().image_folders() == ()


@pytest.mark.parametrize(
    ("name", "packed"), [("a.zip", True), ("a.tar.gz", True), ("a.tar", True), ("a.pth", False)]
)
def test_weights_are_not_taken_for_archives(name, packed):
    assert Archive(name=name, address=None, sha256=None, size=None).packed is packed


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
        (tmp_path / "own.yaml").write_text(dump_yaml(content))
        return read_catalogue(tmp_path / "own.yaml")

    return read


@pytest.mark.parametrize("entry", CATALOGUE.entries.values(), ids=lambda entry: entry.name)
def test_every_entry_says_where_it_comes_from_and_what_it_is(entry):
    if entry.role == "generated":
        assert "dvc repro prepare" in entry.hint
        return
    if entry.role == "package":
        assert "scikit-image" in entry.hint
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


def test_the_photographs_of_packages_are_counted_as_they_are():
    (entry,) = CATALOGUE.of_role("package")
    assert entry.name == "photos"
    assert entry.images == len(package_photographs())


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


def one_of_two_without_address(content):
    own_archive(address=None)(content)
    own_entry(archives=["own.zip", "spare.zip"])(content)


def renamed(section, old, new):
    def change(content):
        content[section][new] = content[section].pop(old)
        content["groups"].pop("everything", None)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (own_entry(rolle="train"), r"entries\.own' lacks \[\] and has unknown \['rolle'\]"),
        (lambda c: c["entries"]["own"].pop("licence"), r"entries\.own' lacks \['licence'\]"),
        (own_entry(name="other"), r"has unknown \['name'\]"),
        (own_entry(role="test"), r"own\.role is 'test', expected one of \['train'"),
        (own_entry(images="many"), r"own\.images is 'many', expected int"),
        (own_entry(images=True), r"own\.images is True, expected int"),
        (own_entry(role=None), r"own\.role is None, expected str"),
        (own_entry(archives="own.zip"), r"own\.archives is 'own\.zip', expected a list"),
        (own_entry(archives=["no.zip"]), r"names \['no\.zip'\]; known archives: \['DIS5K"),
        (own_entry(archives=[], layout=None), "has no address and no hint"),
        (own_entry(layout={"masks": "gt"}), r"own\.layout' lacks \['images'\]"),
        (own_entry(layout="im"), r"own\.layout' is 'im', expected a mapping"),
        (own_entry(layout={"images": "../im"}), r"'\.\./im', which is not inside the archive"),
        (own_entry(layout={"images": "/im"}), "'/im', which is not inside the archive"),
        (own_entry(layout={"images": "."}), "'.', which is not inside the archive"),
        (own_entry(layout={"images": "im", "masks": "a/../gt"}), "'a/../gt', which is not inside"),
        (own_archive(folder="set"), "'gt', which is in no archive's folder"),
        (own_archive(sha256="xyz123"), "'xyz123', expected 6 to 64 hexadecimal digits"),
        (own_archive(sha256="ABCDEF"), "'ABCDEF', expected 6 to 64 hexadecimal digits"),
        (own_archive(address=None), "has no address and no hint"),
        (one_of_two_without_address, "has no address and no hint"),
        (renamed("archives", "own.zip", "dis5k.ZIP"), "the name 'DIS5K.zip' is taken"),
        (renamed("entries", "own", "DIS5K-TR"), "the name 'DIS5K-TR' is taken"),
        (renamed("entries", "own", "dis5k-tr"), "the name 'DIS5K-TR' is taken"),
        (renamed("entries", "own", "hqseg44k"), "the name 'hqseg44k' is taken"),
        (renamed("entries", "own", "archives"), "the name 'archives' is taken"),
        (renamed("entries", "own", "mean"), "the name 'mean' is taken"),
        (renamed("entries", "own", "../own"), "a name has letters, digits"),
        (renamed("entries", "own", ".own"), "a name has letters, digits"),
        (lambda c: c["groups"].update(sam=["own"]), "the name 'sam' is taken"),
        (lambda c: c["groups"].update(own=["own"]), "groups.own: the name 'own' is taken"),
        (lambda c: c["groups"].update({"dis5k-tr": ["own"]}), "the name 'DIS5K-TR' is taken"),
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
    with pytest.raises(DataError, match=r"no\.yaml does not exist"):
        read_catalogue(tmp_path / "no.yaml")


def test_an_empty_file_adds_nothing(tmp_path):
    (tmp_path / "own.yaml").write_text("")
    assert read_catalogue(tmp_path / "own.yaml") == CATALOGUE


def archive(sha256):
    return Archive(name="set.zip", address=None, sha256=sha256, size=None)


def test_what_is_written_is_read_back_sorted_and_with_an_explanation(tmp_path):
    lock = tmp_path / "catalogue.lock"
    write_lock(lock, {"b.zip": "b" * 64, "a.zip": "1" * 64})
    assert read_lock(lock) == {"a.zip": "1" * 64, "b.zip": "b" * 64}
    text = lock.read_text()
    assert text.index("a.zip") < text.index("b.zip")
    assert "Commit this file" in text


def test_without_a_file_nothing_is_recorded(tmp_path):
    assert read_lock(tmp_path / "catalogue.lock") == {}


@pytest.mark.parametrize("text", ["a.zip: 12", "- a.zip", "a.zip: [", "a.zip: abcdef"])
def test_a_damaged_lock_is_not_taken_for_an_empty_one(tmp_path, text):
    (tmp_path / "catalogue.lock").write_text(text)
    with pytest.raises(DataError, match="Restore it from git"):
        read_lock(tmp_path / "catalogue.lock")


@pytest.mark.parametrize(
    ("published", "recorded", "expected"),
    [
        ("a" * 64, "b" * 64, "a" * 64),
        ("abcdef", "abcdef" + "0" * 58, "abcdef" + "0" * 58),
        ("abcdef", None, "abcdef"),
        (None, "b" * 64, "b" * 64),
        (None, None, None),
    ],
)
def test_a_published_checksum_goes_before_the_recorded_one(published, recorded, expected):
    known = {} if recorded is None else {"set.zip": recorded}
    assert expected_sha256(archive(published), known) == expected


def test_first_digits_are_no_whole_checksum():
    assert is_whole("a" * 64)
    assert not is_whole("abcdef")
    assert not is_whole(None)


def drawn_places(instances):
    """Images, annotations and detections of the sets that stage `prepare_instances` draws."""
    stages = parse_yaml((ROOT / "dvc.yaml").read_text(encoding="utf-8"), Path("dvc.yaml"))["stages"]
    (folder,) = stages["prepare_instances"]["outs"]
    plans = _plans(instances.generated, Path(folder))
    return {(plan.images, plan.annotations, plan.detections) for plan in plans}


def fetched_places():
    """Images and annotations of COCO and of the sets of SegInW, as `pasam data fetch` has them."""
    found = set()
    for name in ("coco_val2017", "seginw"):
        entry = read_catalogue().entries[name]
        layout = (entry.layout.images, entry.layout.annotations)
        for member in entry.members or ("",):
            spelt = (FETCHED / name / place.replace("{member}", member) for place in layout)
            found.add(tuple(spelt))
    return found


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_names_its_files_where_fetch_or_a_stage_puts_them(preset):
    base = load_section(BaseParams, "base", preset)
    instances = load_section(InstancesParams, "instances", preset)
    read_catalogue().select(load_section(DataParams, "data", preset).catalogue)  # knows them all
    weights = published_base(base.size)
    if weights is None:  # ours, which is part of the repository
        assert base.size == "tiny"
        assert (ROOT / base.checkpoint).is_file()
    else:
        assert base.checkpoint == str(FETCHED / weights.name / weights.archives[0].name)
    sets = instance_files(instances)
    named = {(each.images, each.annotations) for each in sets}
    detections = {each.detections for each in sets}
    if named == fetched_places():
        brought = {Path(instances.coco.detections).parent, Path(instances.seginw.detections).parent}
        assert brought == {Path("data/detections")}, "which stage `instances` looks at"
    else:
        assert drawn_places(instances) == {
            (each.images, each.annotations, each.detections) for each in sets
        }
    assert len(detections) == len(named) == len(instances.seginw.sets) + 1
