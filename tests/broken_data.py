"""The kinds of broken data: each is caught by the expectation that is meant for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import planted_faults as planted
from small_set import SmallSet


@dataclass(frozen=True)
class Kind:
    """One kind of broken data and the expectation that is meant for it."""

    plant: Callable[[SmallSet], None]
    expectation: str
    also: tuple[str, ...] = ()
    """Expectations that cannot but break along with it."""

    @property
    def name(self) -> str:
        return self.plant.__name__


INVALID = ("few_items_are_invalid",)

KINDS = (
    Kind(planted.lost_mask, "images_have_masks", INVALID),
    Kind(planted.lost_image, "masks_have_images", INVALID),
    Kind(planted.second_image_of_a_name, "images_have_names_of_their_own", INVALID),
    Kind(planted.empty_file, "images_decode", INVALID),
    Kind(planted.text_file, "few_items_are_invalid", ("images_decode",)),
    Kind(planted.cut_picture, "images_decode", INVALID),
    Kind(planted.bomb, "images_decode", INVALID),
    Kind(planted.cut_mask, "masks_decode", INVALID),
    Kind(planted.flipped_bit, "masks_decode", INVALID),
    Kind(planted.smaller_mask, "sizes_agree", INVALID),
    Kind(planted.turned_mask, "sizes_agree", INVALID),
    Kind(planted.label_map, "masks_show_one_object", INVALID),
    Kind(planted.class_colours, "masks_show_one_object", INVALID),
    Kind(planted.faint_mask, "masks_show_one_object", INVALID),
    Kind(planted.odd_16_bits, "masks_show_one_object", INVALID),
    Kind(planted.picture_as_mask, "masks_are_no_pictures", INVALID),
    Kind(planted.black_mask, "masks_are_not_empty", INVALID),
    Kind(planted.faint_share, "masks_are_not_empty", INVALID),
    Kind(planted.white_mask, "masks_are_not_full", INVALID),
    Kind(planted.second_mask_of_a_name, "ids_are_unique", INVALID),
    Kind(planted.all_masks_black, "sets_have_valid_items", ("masks_are_not_empty", *INVALID)),
    Kind(planted.many_in_quarantine, "few_items_are_quarantined"),
    Kind(planted.repaired_in_quarantine, "quarantine_is_current"),
    Kind(planted.gone_in_quarantine, "quarantine_is_current"),
    Kind(planted.copy_in_the_benchmark, "benchmarks_are_unseen"),
    Kind(planted.jpeg_in_the_benchmark, "benchmarks_look_new"),
    Kind(planted.lighter_and_larger_in_the_benchmark, "benchmarks_look_new"),
    Kind(planted.copy_of_an_image, "images_are_unique"),
    Kind(planted.jpeg_of_an_image, "images_look_different"),
    Kind(planted.copy_of_a_mask, "masks_are_unique"),
    Kind(planted.tiny_mask, "areas_are_in_range"),
    Kind(planted.nearly_full_mask, "areas_are_in_range"),
    Kind(planted.tiny_image, "images_are_large_enough"),
    Kind(planted.huge_image, "images_are_not_huge"),
    Kind(planted.blank_image, "images_show_something"),
    Kind(planted.deep_image, "images_have_8_bits"),
    Kind(planted.turned_by_a_tag, "images_are_upright"),
    Kind(planted.fewer_than_published, "counts_match_the_catalogue"),
    Kind(planted.whole_set_gone, "accepted_sets_are_there"),
    Kind(planted.larger_objects, "area_has_not_drifted"),
    Kind(planted.jagged_outlines, "complexity_has_not_drifted"),
    Kind(planted.larger_images, "resolution_has_not_drifted"),
    Kind(planted.lighter_images, "brightness_has_not_drifted"),
)
"""Planted into folders."""


TABLE_KINDS = (
    Kind(planted.lost_image_of_a_row, "listed_files_exist", INVALID),
    Kind(planted.lost_mask_of_a_row, "listed_files_exist", INVALID),
    Kind(planted.row_without_a_mask, "rows_are_complete", INVALID),
    Kind(planted.row_of_another_split, "rows_are_complete", ("sets_have_valid_items", *INVALID)),
    Kind(planted.row_given_twice, "pairs_are_listed_once", INVALID),
    Kind(planted.one_path_in_both_splits, "splits_are_disjoint"),
)
"""Planted into sets that a table lists."""
