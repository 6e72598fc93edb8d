"""Every fault has a name and a meaning."""

from pasam.data.manifest import KINDS, OF_IMAGE, OF_TABLE, QUARANTINED


def test_every_kind_is_explained():
    assert all(KINDS.values())
    assert QUARANTINED in KINDS


def test_a_fault_has_one_culprit():
    assert set(KINDS) >= OF_IMAGE
    assert set(KINDS) >= OF_TABLE
    assert not OF_IMAGE & OF_TABLE
