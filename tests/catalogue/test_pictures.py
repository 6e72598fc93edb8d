"""Fetched sets are found with their side of the split, and only if they are what is expected."""

import pytest

from pasam.data.catalogue import read_catalogue
from pasam.data.fetch import fetch, missing_sets, public_pairs
from pasam.errors import DataError

CATALOGUE = read_catalogue()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "catalogue", tmp_path / "catalogue.lock"


@pytest.fixture
def bring(published, place, tmp_path):
    """Fetch from a folder with HQSeg-44K in small."""
    for name, content in published.items():
        (tmp_path / name).write_bytes(content)

    def run(*names):
        root, lock = place
        fetch(CATALOGUE.select(names), root, source=str(tmp_path), lock=lock)

    return run


def test_a_role_decides_the_split(bring, place):
    bring("HRSOD", "FSS-1000")
    pairs, remarks = public_pairs(["HRSOD", "FSS-1000"], *place)
    splits = {(pair.dataset, pair.split) for pair in pairs}
    assert splits == {("HRSOD", "val"), ("FSS-1000", "train")}
    hrsod = next(pair for pair in pairs if pair.dataset == "HRSOD")
    folder = place[0] / "HRSOD/thin_object_detection/HRSOD"
    assert (hrsod.image.parent, hrsod.mask.parent) == (folder / "images", folder / "masks_max255")
    fss = next(pair for pair in pairs if pair.dataset == "FSS-1000")
    assert fss.image.with_suffix(".png") == fss.mask
    assert any("4 images with a mask; the catalogue says 10000" in one for one in remarks)


def test_no_names_are_no_sets(place):
    assert public_pairs([], *place) == ((), ())


def test_what_is_missing_is_named_with_its_command(bring, place):
    bring("HRSOD")
    with pytest.raises(DataError, match=r"names COIFT, not fetched .*`pasam data fetch COIFT`"):
        public_pairs(["HRSOD", "COIFT"], *place)


def test_a_set_of_other_archives_than_expected_counts_as_missing(bring, place):
    bring("HRSOD")
    entries = CATALOGUE.select(["HRSOD"])
    assert missing_sets(entries, *place) == ()
    place[1].write_text(f"thin_object_detection.zip: {'a' * 64}\n")
    assert missing_sets(entries, *place) == entries


@pytest.mark.parametrize("name", ["coco_val2017", "sam_vit_b", "dis_like"])
def test_what_has_no_mask_pictures_is_refused(place, name):
    with pytest.raises(DataError, match=f"data.catalogue names {name}, which has the role"):
        public_pairs([name], *place)


def test_an_unknown_name_is_refused(place):
    with pytest.raises(DataError, match="'hqseg' is not in the catalogue"):
        public_pairs(["hqseg"], *place)
