"""The words above a report say what it was made on and what its numbers are not."""

import pandas as pd
import pytest

from pasam.config.schema import BaseParams, DataParams, GeneratedParams
from pasam.reporting.wording import setting

DATA = DataParams(
    generated=GeneratedParams(train_images=2, benchmark_images=1, side=64, seed=9),
    catalogue=(),
    own="own",
    workers=1,
)
TINY = BaseParams(size="vit_tiny", checkpoint="base")
LARGE = BaseParams(size="vit_l", checkpoint="base")
WARNING = "No number of this run is the paper's or comparable with it."


def manifest(train, val):
    """Two training images with three masks, and one measured image."""
    rows = [
        {"split": "train", "dataset": train, "image": "a"},
        {"split": "train", "dataset": train, "image": "a"},
        {"split": "train", "dataset": train, "image": "b"},
        {"split": "val", "dataset": val, "image": "c"},
    ]
    return pd.DataFrame(rows)


def test_it_counts_images_and_masks_and_names_base_and_seeds():
    words = setting(manifest("generated_train", "dis_like"), TINY, DATA, seeds=[42])
    assert words == (
        "Generated data: trained on 2 images (3 masks), measured on 1 image (1 mask). "
        "Base: vit_tiny, our own small SAM. Seeds: training 42, generator 9. " + WARNING
    )


@pytest.mark.parametrize(
    ("train", "val", "kind"),
    [
        ("generated_train", "thin_like", "Generated data"),
        ("generated_train", "mine", "Mixed data"),
        ("mine", "dis_like", "Mixed data"),
        ("mine", "mine", "Own data"),
    ],
)
def test_it_says_whose_the_data_are(train, val, kind):
    assert setting(manifest(train, val), TINY, DATA, seeds=[1]).startswith(f"{kind}: ")


@pytest.mark.parametrize(
    ("dataset", "base", "warns"),
    [("dis_like", LARGE, True), ("mine", TINY, True), ("mine", LARGE, False)],
)
def test_it_warns_unless_data_and_base_are_real(dataset, base, warns):
    assert (WARNING in setting(manifest(dataset, dataset), base, DATA, seeds=[1])) == warns


def test_own_data_need_no_generator_and_an_official_base_has_its_name():
    words = setting(manifest("mine", "mine"), LARGE, DATA, seeds=[1])
    assert "generator" not in words
    assert "Base: SAM vit_l." in words


def test_all_seeds_are_named():
    words = setting(manifest("mine", "mine"), LARGE, DATA, seeds=[42, 43, 44])
    assert "Seeds: training 42, 43 and 44." in words
