"""Versions are found by number and alias, and aliases move one at a time."""

from __future__ import annotations

import pytest

from pasam.errors import RegistryError
from pasam.registry import versions
from pasam.registry.versions import NAME


def test_versions_come_newest_first_with_their_aliases(registry):
    found = [(version.number, version.aliases) for version in registry.versions()]
    assert found == [(3, ("candidate",)), (2, ("champion",)), (1, ("previous",))]


def test_versions_are_ordered_as_numbers(registry):
    for number in range(4, 11):
        registry.client.create_model_version(NAME, f"file:///nowhere/{number}")
    assert [version.number for version in registry.versions()] == list(range(10, 0, -1))


def test_versions_beyond_one_page_of_mlflow_are_read_too(registry, monkeypatch):
    monkeypatch.setattr(versions, "PAGE", 2)
    for number in range(4, 8):
        registry.client.create_model_version(NAME, f"file:///nowhere/{number}")
    assert [version.number for version in registry.versions()] == list(range(7, 0, -1))


@pytest.mark.parametrize(("which", "number"), [(2, 2), ("2", 2), ("champion", 2), ("previous", 1)])
def test_a_version_is_found_by_number_or_alias(which, number, registry):
    assert registry.version(which).number == number


@pytest.mark.parametrize("which", [9, "9", "best"])
def test_an_unknown_version_is_told_with_those_there_are(which, registry):
    with pytest.raises(RegistryError, match=r"no version .*; the registry holds \[3, 2, 1\]"):
        registry.version(which)


def test_an_alias_that_points_nowhere_can_be_removed_again(registry):
    registry.set_alias("candidate", None)
    registry.set_alias("candidate", None)
    assert registry.aliases() == {"champion": 2, "previous": 1}
