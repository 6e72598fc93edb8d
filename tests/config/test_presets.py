"""Putting a size in place as params.yaml."""

from __future__ import annotations

import re

import pytest
import yaml

from pasam.config.presets import known_sizes, use_size, validate
from pasam.errors import ParamsError


@pytest.fixture
def sizes(root, tmp_path):
    """A folder with two sizes and a third that is not valid."""
    folder = tmp_path / "params"
    folder.mkdir()
    for name in ("default", "smoke"):
        (folder / f"{name}.yaml").write_text((root / "params" / f"{name}.yaml").read_text())
    (folder / "broken.yaml").write_text("data: {}\n")
    return folder


def test_the_repository_offers_four_sizes(root):
    assert known_sizes(root / "params") == ["ablation", "default", "paper", "smoke"]


@pytest.mark.parametrize("name", ["ablation", "default", "paper", "smoke"])
def test_every_size_of_the_repository_is_valid(name, root):
    validate(root / "params" / f"{name}.yaml")


def test_the_ablation_size_is_the_default_with_more_images_and_ablations(root):
    default, ablation = (
        yaml.safe_load((root / "params" / f"{name}.yaml").read_text())
        for name in ("default", "ablation")
    )
    few, all_of_them = default.pop("ablations"), ablation.pop("ablations")
    assert few.items() < all_of_them.items()
    images = [size["data"]["generated"].pop("train_images") for size in (default, ablation)]
    assert images[0] < images[1]
    batches = [size["train"].pop("batch_size") for size in (default, ablation)]
    assert batches[0] < batches[1]
    assert ablation == default


def test_using_a_size_gives_its_text_and_a_way_back(sizes, tmp_path):
    target = tmp_path / "params.yaml"
    for name in ("default", "smoke", "default"):
        use_size(name, folder=sizes, target=target)
        assert target.read_text() == (sizes / f"{name}.yaml").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params", "params.yaml"]


def test_the_difference_shows_old_and_new_lines(sizes, tmp_path):
    target = tmp_path / "params.yaml"
    use_size("default", folder=sizes, target=target)
    difference = use_size("smoke", folder=sizes, target=target)
    assert "-  n_resamples: 10000" in difference
    assert "+  n_resamples: 500" in difference
    assert use_size("smoke", folder=sizes, target=target) == []


def test_an_unknown_size_lists_the_known_ones(sizes, tmp_path):
    message = "no size 'huge'"
    with pytest.raises(ParamsError, match=message) as caught:
        use_size("huge", folder=sizes, target=tmp_path / "params.yaml")
    assert "['broken', 'default', 'smoke']" in str(caught.value)


@pytest.mark.parametrize("name", ["broken", "../outside"])
def test_a_size_that_cannot_be_used_leaves_the_params_file_alone(name, sizes, tmp_path):
    target = tmp_path / "params.yaml"
    target.write_text("mine: 1\n")
    with pytest.raises(ParamsError):
        use_size(name, folder=sizes, target=target)
    assert target.read_text() == "mine: 1\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trian": {}}, "unknown sections ['trian']"),
        ({"models": {}}, "models is {}, expected a mapping"),
        ({"report": None}, "section 'report' is None"),
        ({"ablations": None}, "section 'ablations' is None"),
        (
            {"ablations": {"some": {"of": "pa_sam", "change": {"epoch": 1}}}},
            "ablations.some.change has unknown ['epoch']",
        ),
    ],
)
def test_validation_names_what_is_wrong(change, message, root, tmp_path):
    content = yaml.safe_load((root / "params" / "default.yaml").read_text()) | change
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError, match=re.escape(message)):
        validate(path)


def test_validation_wants_every_evaluated_model_to_be_described(root, tmp_path):
    content = yaml.safe_load((root / "params" / "default.yaml").read_text())
    del content["models"]["hq_sam"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError, match=r"evaluate\.models names \['hq_sam'\]"):
        validate(path)


@pytest.mark.parametrize(
    ("repeats", "message"),
    [
        ({"models": ["image_adapter"]}, "repeats.models names ['image_adapter'], but only"),
        ({"seeds": [43, 42]}, "repeats.seeds is [43, 42], expected others than train.seed, 42."),
    ],
)
def test_validation_wants_repeats_of_evaluated_models_with_other_seeds(
    repeats, message, root, tmp_path
):
    content = yaml.safe_load((root / "params" / "default.yaml").read_text())
    content["repeats"] |= repeats
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError, match=re.escape(message)):
        validate(path)
