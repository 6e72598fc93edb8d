"""The photographs of the packages: there, whole, and with objects that lie inside them."""

import importlib.util
import json

import numpy as np
import pytest

from pasam.data.package_photographs import (
    MODULES,
    DrawnObject,
    PackagePhotograph,
    package_photographs,
)
from pasam.errors import DataError

PHOTOGRAPHS = package_photographs()


def installed(photograph):
    return importlib.util.find_spec(MODULES[photograph.package]) is not None


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda p: p.name)
def test_every_object_lies_in_its_photograph(photograph):
    if not installed(photograph):
        pytest.skip(f"{photograph.package} is not installed")
    height, width = photograph.read().shape[:2]
    assert photograph.objects
    assert photograph.licence
    for drawn in photograph.objects:
        corners = np.array([corner for polygon in drawn.polygons for corner in polygon])
        assert corners.min() >= 0
        assert (corners <= [width, height]).all(), drawn.name
        share = (drawn.mask((height, width)) > 128).mean()
        assert 0.0005 < share < 0.9, drawn.name


def test_there_are_some_sixty_objects_with_names_of_their_own():
    names = [(p.name, drawn.name) for p in PHOTOGRAPHS for drawn in p.objects]
    assert len(names) == len(set(names))
    assert 60 <= len(names) <= 80


def test_holes_are_empty_and_parts_belong_together():
    square = ((2.0, 2.0), (11.0, 2.0), (11.0, 11.0), (2.0, 11.0))
    dot = ((14.0, 14.0), (15.0, 14.0), (15.0, 15.0), (14.0, 15.0))
    hole = ((5.0, 5.0), (7.0, 5.0), (7.0, 7.0), (5.0, 7.0))
    mask = DrawnObject(name="s", polygons=(square, dot), holes=(hole,)).mask((20, 20)) > 128
    assert mask[3, 3]
    assert mask[14, 14]
    assert not mask[6, 6]
    assert not mask[17, 17]


def photograph(**changes):
    values = {
        "name": "cat", "package": "scikit-image", "file": "data/chelsea.png", "sha256": "0" * 64,
        "licence": "CC0", "objects": (),
    }  # fmt: skip
    return PackagePhotograph(**{**values, **changes})


def test_another_picture_under_the_same_name_is_refused():
    with pytest.raises(DataError, match=r"expected 000000000000\.\.\.: the objects were drawn on"):
        photograph().read()


def test_a_package_without_the_file_is_named():
    with pytest.raises(DataError, match=r"scikit-image ships no data/dog\.png"):
        photograph(file="data/dog.png").read()


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(MODULES, "scikit-image", "no_such_module")
    with pytest.raises(DataError, match="pip install scikit-image"):
        photograph().read()


def test_a_polygon_of_two_corners_is_refused(tmp_path):
    path = tmp_path / "objects.json"
    entry = {"image": "cat", "name": "line", "polygons": [[[0, 0], [1, 1]]], "holes": []}
    image = {"package": "scikit-image", "file": "f", "sha256": "0", "licence": "CC0"}
    path.write_text(json.dumps({"images": {"cat": image}, "objects": [entry]}))
    with pytest.raises(DataError, match="a polygon of 2 corners"):
        package_photographs(path)
    path.write_text("{")
    with pytest.raises(DataError, match="not a list of drawn objects"):
        package_photographs(path)
