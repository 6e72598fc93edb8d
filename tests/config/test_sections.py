"""A value that could only fail much later is refused at once: where, what it is, what it may be."""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from small_world import dump_yaml, load_yaml
from variants import hq_sam, image_adapter, pa_sam

from pasam.config import schema
from pasam.config.params_file import build_variant, load_models, load_section
from pasam.config.presets import SECTIONS, validate
from pasam.config.section import Section, checked
from pasam.errors import ParamsError

ROOT = Path(__file__).resolve().parent.parent.parent
PRESETS = sorted((ROOT / "params").glob("*.yaml"))
CONTENT = load_yaml((ROOT / "params.yaml").read_text())
NO_TOKENS = {"adapter_tokens": False, "mining_method": "none"}

AT_LEAST_ONE = [
    "data.workers",
    "pretrain.photographs.phases.0.steps",
    "pretrain.photographs.phases.0.batch_size",
    "pretrain.photographs.prompts_per_image",
    "pretrain.photographs.warmup_steps",
    "embed.batch_size",
    "train.batch_size",
    "train.devices",
    "train.accumulate",
    "train.nodes",
    "pretrain.photographs.devices",
    "pretrain.photographs.nodes",
    "pretrain.photographs.row_every",
    "evaluate.batch_size",
    "report.n_resamples",
    "report.figure_rows",
    "report.gallery",
    "report.bins",
    "robustness.images",
    "instances.boxes_per_image",
    "gate.latency_ratio",
    "gate.attempts",
    "models.hq_sam.epochs",
    "models.pa_sam.prompts_per_mask",
    "models.pa_sam.lr_step_size",
    "models.image_adapter.prompts_per_mask",
    "models.pa_sam.mining.points",
]
AT_LEAST_ZERO = [
    "data.generated.train_images",
    "data.generated.benchmark_images",
    "data.generated.seed",
    "pretrain.seed",
    "pretrain.generated_images",
    "pretrain.photographs.weight_decay",
    "pretrain.photographs.coarseness",
    "pretrain.photographs.detail_weight",
    "embed.views",
    "embed.seed",
    "train.seed",
    "train.workers",
    "train.outline",
    "pretrain.photographs.workers",
    "pretrain.photographs.save_minutes",
    "models.pa_sam.keep_sam",
    "report.seed",
    "robustness.seed",
    "gate.seed",
    "gate.minimum_gain",
    "gate.margin",
    "gate.floor_mean",
    "gate.floor_benchmark",
    "validate.contrast",
    "instances.generated.coco_images",
    "instances.generated.seginw_images",
    "models.pa_sam.mining.from_epoch",
]
MORE_THAN_ZERO = [
    "pretrain.photographs.learning_rate",
    "pretrain.photographs.trunk_rate",
    "train.learning_rate",
    "gate.latency_ms",
    "models.pa_sam.adapter_rate",
    "models.pa_sam.mining.score_scale",
    "models.pa_sam.mining.temperature",
]
BETWEEN = """validate.drift_p validate.drift_effect evaluate.boundary_fraction report.confidence
pretrain.photographs.generated_fraction pretrain.photographs.box_fraction"""


@cache
def as_it_is(section: str) -> str:
    return dump_yaml({section: CONTENT[section]})


def changed(key: str, value: Any) -> str:
    """The params file with one value changed; only its section is written anew."""
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    section = key.partition(".")[0]
    own = {section: copy.deepcopy(CONTENT[section])}
    node: Any = own
    for part in parents:
        node = node[part]
    assert type(last) is int or last in node
    node[last] = value
    return "".join(dump_yaml(own) if name in own else as_it_is(name) for name in CONTENT)


@pytest.fixture
def refused(tmp_path):
    """Says what is said of the params file with one value changed, without the file's name."""

    def refuse(key: str, value: Any) -> str:
        path = tmp_path / "params.yaml"
        path.write_text(changed(key, value))
        with pytest.raises(ParamsError) as caught:
            validate(path)
        return str(caught.value).removeprefix(f"{path}: ")

    return refuse


@pytest.fixture
def accepted(tmp_path):
    def accept(key: str, value: Any) -> None:
        path = tmp_path / "params.yaml"
        path.write_text(changed(key, value))
        validate(path)

    return accept


def written(key: str) -> str:
    return re.sub(r"\.(\d+)", r"[\1]", key)


@pytest.mark.parametrize("key", AT_LEAST_ONE)
def test_what_must_be_there_is_one_or_more(key, refused):
    assert refused(key, 0).startswith(f"{written(key)} is 0")
    assert "expected 1 or more." in refused(key, 0)


@pytest.mark.parametrize("key", ["embed.devices", "evaluate.devices"])
def test_processes_are_a_number_or_as_many_as_there_are_gpus(key, refused, accepted):
    for value in (0, True, 1.5, "all"):
        assert refused(key, value) == f"{key} is {value!r}, expected 1 or more, or auto."
    accepted(key, 8)
    accepted(key, "auto")


@pytest.mark.parametrize("key", AT_LEAST_ZERO)
def test_what_may_be_left_out_is_zero_or_more(key, refused, accepted):
    assert re.fullmatch(rf"{re.escape(key)} is -1(\.0)?, expected 0 or more\.", refused(key, -1))
    accepted(key, 0)


@pytest.mark.parametrize("key", MORE_THAN_ZERO)
@pytest.mark.parametrize("value", [0.0, -0.1, float("nan")])
def test_what_divides_or_scales_is_more_than_zero(key, value, refused):
    assert refused(key, value) == f"{written(key)} is {value}, expected more than 0."


@pytest.mark.parametrize("key", BETWEEN.split())
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_level_lies_between_zero_and_one(key, value, refused):
    assert refused(key, value) == f"{key} is {value}, expected more than 0 and less than 1."


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("data.generated.side", 63, "64 to 4096 pixels"),
        ("data.generated.side", 4097, "64 to 4096 pixels"),
        ("pretrain.photographs.warmup_steps", 1900, "fewer than all phases' steps together (1900)"),
        ("pretrain.photographs.phases", [], "one phase or more"),
        ("pretrain.photographs.phases.0.side", 48, "a multiple of 32 pixels"),
        ("pretrain.photographs.phases.0.side", 0, "a multiple of 32 pixels"),
        ("pretrain.photographs.phases.0.frozen_stages", 9, "0 to 8"),
        ("pretrain.photographs.phases.0.frozen_stages", -1, "0 to 8"),
        ("pretrain.photographs.whole", 1.1, "a fraction, 0 to 1"),
        ("pretrain.photographs.crop", -0.1, "a fraction, 0 to 1"),
        ("models.pa_sam.interpolation", 0.0, "more than 0 and at most 1"),
        ("models.pa_sam.interpolation", 1.1, "more than 0 and at most 1"),
        ("pretrain.photographs.ema_decay", 1.0, "0 or more and less than 1"),
        ("pretrain.photographs.ema_decay", -0.1, "0 or more and less than 1"),
        ("embed.jitter", [0.0, 1.0], "two scales, 0 < low <= high"),
        ("embed.jitter", [2.0, 0.5], "two scales, 0 < low <= high"),
        ("repeats.seeds", [1, 1], "each seed once"),
        ("repeats.seeds", [-1], "seeds of 0 or more"),
        ("repeats.models", [], "as many or as few as seeds: some of both, or none of both"),
        ("evaluate.models", [], "at least one model"),
        ("evaluate.benchmarks", [], "at least one"),
        ("report.picture_side", 15, "16 or more"),
        ("robustness.jitter", [0.1, 0.0], "values above 0"),
        ("robustness.blur", [-0.1], "values above 0"),
        ("robustness.noise", [0.0], "values above 0"),
        ("robustness.points", [3, 0], "1 or more each"),
        ("robustness.jpeg.0", 101, "a quality from 1 to 100"),
        ("gate.n_resamples", 99, "100 or more"),
        ("gate.floor_mean", 101.0, "points, 100 at most"),
        ("gate.floor_benchmark", 100.5, "points, 100 at most"),
        ("gate.confidence", 0.5, "between 0.5 and 1"),
        ("gate.confidence", 1.0, "between 0.5 and 1"),
        ("validate.unreviewed_fraction", -0.1, "a fraction, 0 to 1"),
        ("validate.quarantined_fraction", 1.1, "a fraction, 0 to 1"),
        ("validate.area", [0.5, 0.5], "two fractions, 0 <= low < high <= 1"),
        ("validate.area", [0.5, 1.5], "two fractions, 0 <= low < high <= 1"),
        ("validate.side", [9, 8], "two sides, 1 <= low <= high"),
        ("validate.near_bits", 17, "0 to 16 bits"),
        ("validate.near_bits", -1, "0 to 16 bits"),
        ("validate.side", [0, 8], "two sides, 1 <= low <= high"),
        ("validate.area", [-0.1, 0.5], "two fractions, 0 <= low < high <= 1"),
        ("validate.unreviewed_fraction", 1.1, "a fraction, 0 to 1"),
        ("validate.quarantined_fraction", -0.1, "a fraction, 0 to 1"),
        ("robustness.jpeg.0", 0, "a quality from 1 to 100"),
        ("robustness.jitter", [0.0, 0.1], "values above 0"),
        ("pretrain.photographs.phases.0.side", -32, "a multiple of 32 pixels"),
    ],
)
def test_a_value_out_of_its_range_is_quoted(key, value, expected, refused):
    assert refused(key, value) == f"{written(key)} is {value}, expected {expected}."


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.generated.side", 64), ("data.generated.side", 4096),
        ("pretrain.photographs.ema_decay", 0.0),
        ("embed.jitter", [1.0, 1.0]), ("robustness.jpeg", [1, 100]), ("robustness.points", []),
        ("gate.floor_mean", 100), ("gate.floor_benchmark", 100.0), ("gate.n_resamples", 100),
        ("validate.unreviewed_fraction", 0),
        ("validate.quarantined_fraction", 1), ("validate.area", [0, 1]), ("validate.side", [1, 1]),
        ("validate.near_bits", 0), ("validate.near_bits", 16), ("pretrain.initial", None),
        ("pretrain.initial", "weights.safetensors"), ("pretrain.photographs.warmup_steps", 1899),
        ("pretrain.photographs.phases.0.side", 32),
        ("pretrain.photographs.phases.0.frozen_stages", 0),
        ("pretrain.photographs.phases.0.frozen_stages", 8), ("pretrain.photographs.crop", 0.65),
        ("models.pa_sam.interpolation", 1), ("gate.latency_ratio", 1), ("report.picture_side", 16),
        ("repeats", {"models": [], "seeds": []}), ("repeats.seeds", [0]),
    ],
)  # fmt: skip
def test_the_edges_of_a_range_belong_to_it(key, value, accepted):
    accepted(key, value)


def test_a_set_of_photographs_is_drawn_more_than_never(refused, accepted):
    key = "pretrain.photographs.emphasis"
    said = refused(key, [{"dataset": "cats", "factor": 0.5}, {"dataset": "dogs", "factor": 0.0}])
    assert said == f"{key}[1].factor is 0.0, expected more than 0."
    accepted(key, [{"dataset": "cats", "factor": 0.5}])


def test_views_of_the_whole_and_of_parts_are_no_more_than_all(refused):
    said = refused("pretrain.photographs.crop", 0.66)  # beside 0.35 of the whole
    assert said == (
        "pretrain.photographs.whole + crop is 1.01, expected 1 or less; the rest are zooms."
    )


@pytest.mark.parametrize("name", ["mean", "(all)"])
@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("evaluate.benchmarks", "evaluate.benchmarks[1]"),
        ("instances.coco.name", "instances.coco.name"),
        ("instances.seginw.name", "instances.seginw.name"),
    ],
)
def test_no_benchmark_has_a_name_that_tables_give_their_totals(name, key, place, refused):
    value = ["dis_like", name] if key.endswith("benchmarks") else name
    said = refused(key, value)
    assert said == f"{place} is '{name}', expected a name that no total has (['(all)', 'mean'])."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"adapter_tokens": False},
            "mining.method is 'gumbel', expected 'none' where adapter.tokens is false, since both "
            "tokens' maps are needed for it.",
        ),
        (
            {**NO_TOKENS, "adapter_maps": "double"},
            "adapter.maps is 'double', expected 'grid' where",
        ),
        (
            {**NO_TOKENS, "uncertainty_loss": "balanced"},
            "uncertainty_loss is 'balanced', expected 'plain' where adapter.tokens is false",
        ),
        (
            {**NO_TOKENS, "adapter_dense": False, "adapter_sparse": False, "trains": "adapter"},
            "adapter is 'without any part', expected one part of the adapter or more where trains",
        ),
        (
            {"mining_method": "random", "mining_cells": "uncertain"},
            "mining.cells is 'uncertain', expected 'all' where mining.method is 'random', which",
        ),
        (
            {"interpolation": 0.5},
            "interpolation is 0.5, expected 1 where adapter.start is not 'sam', since the way",
        ),
        (
            {"trains": "everything", "keep_sam": 0.5},
            "keep_sam is 0.5, expected 0 where trains is 'everything', since SAM itself then moves",
        ),
    ],
)
def test_an_impossible_pa_sam_is_refused(changes, message):
    with pytest.raises(ParamsError, match=f"^{re.escape(message)}"):
        pa_sam(**changes)


def test_every_part_can_be_missing_alone():
    pa_sam(adapter_dense=False)
    pa_sam(adapter_sparse=False)
    assert not pa_sam(**NO_TOKENS).adapter.tokens
    assert pa_sam(mining_method="none", mining_cells="uncertain").mining.cells == "uncertain"
    none = {**NO_TOKENS, "adapter_dense": False, "adapter_sparse": False}
    assert not pa_sam(**none).adapter.any()
    for part in ("dense", "sparse", "tokens"):
        alone = pa_sam(**{**none, f"adapter_{part}": True}).adapter
        assert alone.any()
        assert alone.guided()


def test_the_part_at_full_size_is_one_that_starts_at_sam_and_needs_no_guide():
    none = {**NO_TOKENS, "adapter_dense": False, "adapter_sparse": False}
    fine = pa_sam(**none, adapter_fine=True, trains="adapter", interpolation=0.5)
    assert fine.adapter.any()
    assert not fine.adapter.guided()
    pa_sam(adapter_start="sam", interpolation=0.5)
    pa_sam(trains="decoder", keep_sam=0.5)


def test_hq_sam_is_trained_with_one_prompt_per_mask():
    assert schema.HqSamParams.prompts_per_mask == hq_sam().prompts_per_mask == 1
    assert image_adapter().prompts_per_mask == 1


def numbers(section: type[Section], key: str) -> list[tuple[str, type]]:
    found = []
    for name, field in section.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found += numbers(field.annotation, f"{key}.{name}")
        elif kinds[0] in (int, float) and field.annotation in (int, float):
            found.append((f"{key}.{name}", kinds[0]))
    return found


@pytest.mark.parametrize(
    ("key", "kind"), [found for name, kind in SECTIONS.items() for found in numbers(kind, name)]
)
def test_a_number_is_a_number(key, kind, refused):
    for wrong in (True, "1", None, [1], *([1.5] if kind is int else [])):
        assert refused(key, wrong) == f"{key} is {wrong!r}, expected {kind.__name__}."


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_section_cannot_be_changed_and_holds_no_lists(path):
    loaded = [load_section(kind, name, path) for name, kind in SECTIONS.items()]
    for section in (*loaded, *load_models(path).values()):
        hash(section)
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, next(iter(type(section).model_fields)), 1)


def test_a_section_with_a_change_is_checked_again():
    train = load_section(schema.TrainParams, "train", ROOT / "params.yaml")
    assert train.replaced(seed=7) == train.model_copy(update={"seed": 7})
    with pytest.raises(ParamsError, match=r"^devices is 0, expected 1 or more\."):
        train.replaced(devices=0)


def test_all_25_sets_of_seginw_are_in_the_papers_preset():
    paper = load_section(schema.InstancesParams, "instances", ROOT / "params" / "paper.yaml")
    assert len(set(paper.seginw.sets)) == 25


class _Inner(Section):
    low: int
    high: int


class _Outer(Section):
    name: str
    inner: _Inner


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "a", "inner": {"low": 1, "high": 2}, "nmae": "b"},
            "section 'x' lacks [] and has unknown ['nmae']. It must have exactly "
            "['inner', 'name'].",
        ),
        (
            {"name": "a", "inner": {"low": 1, "hihg": 2}},
            "section 'x.inner' lacks ['high'] and has unknown ['hihg']. It must have exactly "
            "['high', 'low'].",
        ),
    ],
)
def test_of_a_sections_keys_exactly_those_that_it_must_have_are_listed(values, message):
    with pytest.raises(ParamsError) as told:
        checked(_Outer, values, "x")
    assert str(told.value) == message


def test_a_model_of_no_kind_is_told_what_it_lacks(tmp_path):
    with pytest.raises(ParamsError, match=r"a\.yaml: section 'models\.x' lacks 'decoder'"):
        build_variant({}, name="models.x", path=tmp_path / "a.yaml")
