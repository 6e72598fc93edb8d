"""Tests of the page's blocks."""

import dataclasses
import typing

from pasam.reporting import blocks


def test_every_block_has_a_kind_of_its_own_that_the_templates_can_ask_for():
    kinds = [kind.kind for kind in typing.get_args(blocks.Block)]
    assert len(set(kinds)) == len(kinds)


def test_blocks_cannot_be_changed_once_made():
    assert all(kind.__dataclass_params__.frozen for kind in typing.get_args(blocks.Block))
    assert dataclasses.is_dataclass(blocks.Section)
