"""Impossible conditions of a benchmark are refused at once, and quoted."""

from pathlib import Path

import pytest
import yaml

from pasam.config.params_file import load_section
from pasam.config.sections import GeneratedInstancesParams, InstancesParams, RobustnessParams
from pasam.errors import ParamsError

DEFAULT = Path(__file__).resolve().parent.parent / "params" / "default.yaml"
ROBUSTNESS = yaml.safe_load(DEFAULT.read_text())["robustness"]


def test_the_sections_load_from_every_size():
    for path in DEFAULT.parent.glob("*.yaml"):
        assert load_section(InstancesParams, "instances", path).seginw.sets
        assert load_section(RobustnessParams, "robustness", path).points


def test_all_25_sets_of_seginw_are_in_the_papers_size():
    paper = load_section(InstancesParams, "instances", DEFAULT.with_name("paper.yaml"))
    assert len(set(paper.seginw.sets)) == 25


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("images", 0, "images is 0, expected 1 or more"),
        ("seed", -1, "seed is -1, expected 0 or more"),
        ("jitter", (0.1, 0.0), r"jitter is \[0.1, 0.0\], expected values above 0"),
        ("blur", (-0.1,), r"blur is \[-0.1\], expected values above 0"),
        ("noise", (0.0,), r"noise is \[0.0\], expected values above 0"),
        ("points", (0,), r"points is \[0\], expected 1 or more each"),
        ("jpeg", (101,), r"jpeg is \[101\], expected qualities from 1 to 100"),
    ],
)
def test_an_impossible_condition_is_refused(key, value, message):
    with pytest.raises(ParamsError, match=f"^{message}"):
        RobustnessParams(**{**ROBUSTNESS, key: value})


def test_there_is_no_negative_number_of_images():
    GeneratedInstancesParams(coco_images=0, seginw_images=0)
    with pytest.raises(ParamsError, match="seginw_images is -1"):
        GeneratedInstancesParams(coco_images=0, seginw_images=-1)
