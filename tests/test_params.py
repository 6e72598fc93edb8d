"""A value that could only fail much later is refused at once, and quoted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pasam.config import sections as params
from pasam.errors import ParamsError

CONTENT = yaml.safe_load(
    (Path(__file__).resolve().parent.parent / "params" / "default.yaml").read_text()
)
PHASES = tuple(params.PretrainPhase(**phase) for phase in CONTENT["pretrain"]["phases"])
SECTIONS = {
    params.GeneratedParams: CONTENT["data"]["generated"],
    params.DataParams: CONTENT["data"],
    params.PretrainPhase: CONTENT["pretrain"]["phases"][0],
    params.PretrainParams: CONTENT["pretrain"] | {"phases": PHASES},
    params.EmbedParams: CONTENT["embed"],
    params.TrainParams: CONTENT["train"],
    params.RepeatsParams: CONTENT["repeats"],
    params.EvaluateParams: CONTENT["evaluate"],
    params.ReportParams: CONTENT["report"],
}

AT_LEAST_ONE = {
    params.DataParams: ["workers"],
    params.PretrainPhase: ["shrink", "steps", "batch_size"],
    params.PretrainParams: ["prompts_per_image", "warmup_steps", "checkpoint_every"],
    params.EmbedParams: ["batch_size"],
    params.TrainParams: ["batch_size", "devices"],
    params.EvaluateParams: ["batch_size"],
    params.ReportParams: ["n_resamples", "figure_rows"],
}  # fmt: skip
AT_LEAST_ZERO = {
    params.GeneratedParams: ["train_images", "benchmark_images", "seed"],
    params.PretrainParams: [
        "seed", "generated_images", "weight_decay", "coarseness", "detail_weight",
    ],
    params.EmbedParams: ["views", "seed"],
    params.TrainParams: ["seed", "workers"],
    params.ReportParams: ["seed"],
}  # fmt: skip


def pairs(keys):
    return [(cls, key) for cls, names in keys.items() for key in names]


def make(cls, **changes):
    return cls(**{**SECTIONS[cls], **changes})


@pytest.mark.parametrize("cls", SECTIONS)
def test_the_default_values_are_possible(cls):
    make(cls)


@pytest.mark.parametrize(("cls", "key"), pairs(AT_LEAST_ONE))
def test_what_must_be_there_is_one_or_more(cls, key):
    with pytest.raises(ParamsError, match=rf"^{key} is 0, expected 1 or more\.$"):
        make(cls, **{key: 0})


@pytest.mark.parametrize(("cls", "key"), pairs(AT_LEAST_ZERO))
def test_what_may_be_left_out_is_zero_or_more(cls, key):
    make(cls, **{key: 0})
    with pytest.raises(ParamsError, match=rf"^{key} is -1, expected 0 or more\.$"):
        make(cls, **{key: -1})


@pytest.mark.parametrize(
    ("cls", "changes", "message"),
    [
        (params.GeneratedParams, {"side": 63}, "side is 63, expected 64 to 4096 pixels."),
        (params.GeneratedParams, {"side": 4097}, "side is 4097, expected 64 to 4096 pixels."),
        (params.PretrainPhase, {"learning_rate": 0.0}, "learning_rate is 0.0, expected more than"),
        (params.TrainParams, {"learning_rate": -0.1}, "learning_rate is -0.1, expected more than"),
        (
            params.TrainParams,
            {"learning_rate": float("nan")},
            "learning_rate is nan, expected more than 0.",
        ),
        (
            params.PretrainParams,
            {"warmup_steps": 2000},
            "warmup_steps is 2000, expected fewer than a phase's steps (2000).",
        ),
        (params.PretrainParams, {"phases": ()}, "phases is [], expected one phase or more"),
        (params.PretrainParams, {"phases": PHASES[:1]}, "phases[-1].shrink is 2, expected 1"),
        (params.PretrainParams, {"ema_decay": 1.0}, "ema_decay is 1.0, expected 0 or more"),
        (params.PretrainParams, {"ema_decay": -0.1}, "ema_decay is -0.1, expected 0 or mo"),
        (params.PretrainParams, {"jitter": (0.0, 1.0)}, "jitter is [0.0, 1.0], expected two"),
        (params.EmbedParams, {"jitter": (2.0, 0.5)}, "jitter is [2.0, 0.5], expected two"),
        (params.RepeatsParams, {"seeds": (1, 1)}, "seeds is [1, 1], expected each seed once."),
        (params.RepeatsParams, {"seeds": (-1,)}, "seeds is [-1], expected seeds of 0 or more."),
        (params.RepeatsParams, {"models": ()}, "models is [], expected as many or as few as see"),
        (
            params.EvaluateParams,
            {"boundary_fraction": 0.0},
            "boundary_fraction is 0.0, expected more",
        ),
        (params.EvaluateParams, {"models": ()}, "models is [], expected at least one model"),
        (params.EvaluateParams, {"benchmarks": ()}, "benchmarks is [], expected at least one"),
        (params.ReportParams, {"confidence": 0.0}, "confidence is 0.0, expected more than 0 and"),
        (params.ReportParams, {"confidence": 1.0}, "confidence is 1.0, expected more than 0 and"),
    ],
)
def test_a_value_out_of_its_range_is_quoted(cls, changes, message):
    with pytest.raises(ParamsError, match=f"^{re.escape(message)}"):
        make(cls, **changes)


def test_the_edges_of_a_range_belong_to_it():
    make(params.GeneratedParams, side=64)
    make(params.RepeatsParams, models=(), seeds=())
    make(params.PretrainParams, ema_decay=0.0, jitter=(1.0, 1.0))
