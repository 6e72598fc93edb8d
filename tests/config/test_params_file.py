"""Reading a params file: exact keys, exact types, errors that quote key and value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import dump_yaml, load_yaml

from pasam import files
from pasam.config.params_file import (
    load_ablations,
    load_companions,
    load_section,
    load_variant,
    read_params,
    recorded_variant,
)
from pasam.config.presets import validate
from pasam.config.schema import (
    BaseParams,
    DataParams,
    EmbedParams,
    EvaluateParams,
    HqSamParams,
    PaSamParams,
    PhotographParams,
    PretrainParams,
    ReportParams,
    TrainParams,
)
from pasam.config.section import Section
from pasam.errors import ParamsError

SECTIONS = {
    "data": DataParams,
    "base": BaseParams,
    "pretrain": PretrainParams,
    "embed": EmbedParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "report": ReportParams,
}


class Fraction(Section):
    share: float


@pytest.fixture
def content(root):
    return load_yaml((root / "params" / "default.yaml").read_text())


@pytest.fixture
def write(tmp_path):
    def write_params(content) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(dump_yaml(content))
        return path

    return write_params


@pytest.mark.parametrize(("name", "cls"), SECTIONS.items())
def test_a_section_becomes_its_model(name, cls, root):
    assert isinstance(load_section(cls, name, root / "params" / "default.yaml"), cls)


@pytest.mark.parametrize(("name", "cls"), SECTIONS.items())
def test_an_unknown_key_is_named(name, cls, content, write):
    content[name]["learning_rte"] = 1
    with pytest.raises(ParamsError, match=rf"section '{name}' lacks \[\] and has unknown .*_rte"):
        load_section(cls, name, write(content))


@pytest.mark.parametrize(("name", "cls"), SECTIONS.items())
def test_a_missing_key_is_named(name, cls, content, write):
    key, _ = content[name].popitem()
    with pytest.raises(ParamsError, match=rf"section '{name}' lacks \['{key}'\]"):
        load_section(cls, name, write(content))


def test_a_nested_section_is_checked_too(content, write):
    content["data"]["generated"]["sde"] = 1
    with pytest.raises(ParamsError, match=r"section 'data\.generated'.*unknown \['sde'\]"):
        load_section(DataParams, "data", write(content))


def test_of_keys_that_lack_in_two_places_the_first_place_is_told_alone(content, write):
    del content["data"]["generated"]["seed"], content["data"]["workers"]
    told = r"section 'data\.generated' lacks \['seed'\] and has unknown \[\]\. It must have exactly"
    with pytest.raises(ParamsError, match=told):
        load_section(DataParams, "data", write(content))


def test_a_key_beside_one_called_decoder_is_told_by_its_whole_name(content, write):
    content["pretrain"]["photographs"]["whole"] = 2
    message = r": pretrain\.photographs\.whole is 2(\.0)?, expected a fraction, 0 to 1\.$"
    with pytest.raises(ParamsError, match=message):
        load_section(PhotographParams, "pretrain.photographs", write(content))


@pytest.mark.parametrize(
    ("section", "cls", "key", "value", "message"),
    [
        ("train", TrainParams, "batch_size", "16", "train.batch_size is '16', expected int"),
        ("train", TrainParams, "batch_size", 1.5, "train.batch_size is 1.5, expected int"),
        ("train", TrainParams, "devices", True, "train.devices is True, expected int"),
        ("train", TrainParams, "learning_rate", True, "train.learning_rate is True"),
        ("train", TrainParams, "accelerator", "tpu", "train.accelerator is 'tpu', expected one of"),
        ("base", BaseParams, "size", "vit_huge", "base.size is 'vit_huge', expected one of"),
        ("embed", EmbedParams, "jitter", [0.5], "embed.jitter is [0.5], expected a list of 2"),
        ("embed", EmbedParams, "jitter", [2.0, 0.5], "embed.jitter is [2.0, 0.5], expected two"),
        ("train", TrainParams, "batch_size", 0, "train.batch_size is 0, expected 1 or more"),
        ("train", TrainParams, "precision", "b16", "train.precision is 'b16', expected one of"),
        ("evaluate", EvaluateParams, "baselines", ["sa"], "evaluate.baselines[0] is 'sa', expecte"),
        ("evaluate", EvaluateParams, "models", "pa_sam", "evaluate.models is 'pa_sam'"),
        ("evaluate", EvaluateParams, "models", ["a", 3], "evaluate.models[1] is 3, expected str"),
    ],
)
def test_an_impossible_value_is_quoted(section, cls, key, value, message, content, write):
    content[section][key] = value
    with pytest.raises(ParamsError, match=re.escape(message)):
        load_section(cls, section, write(content))


@given(value=st.integers(min_value=-(10**9), max_value=10**9))
def test_a_whole_number_may_stand_for_a_float(value, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "whole.yaml"
    path.write_text(dump_yaml({"report": {"share": value}}))
    share = load_section(Fraction, "report", path).share
    assert isinstance(share, float)
    assert share == value


def test_an_impossible_value_of_a_nested_section_is_quoted_with_its_whole_key(content, write):
    content["data"]["generated"]["seed"] = -1
    path = write(content)
    message = re.escape(f"{path}: data.generated.seed is -1, expected 0 or more.")
    with pytest.raises(ParamsError, match=f"^{message}$"):
        load_section(DataParams, "data", path)


def test_an_impossible_value_of_a_model_is_quoted_with_its_whole_key(content, write):
    content["models"]["pa_sam"]["mining"]["points"] = 0
    with pytest.raises(ParamsError, match=r": models\.pa_sam\.mining\.points is 0, expected 1 or"):
        load_variant("pa_sam", write(content))


@pytest.mark.parametrize("initial", [None, "weights.safetensors"])
def test_an_optional_value_may_be_null_or_given(initial, content, write):
    content["pretrain"]["initial"] = initial
    assert load_section(PretrainParams, "pretrain", write(content)).initial == initial


def test_an_optional_value_still_has_a_type(content, write):
    content["pretrain"]["initial"] = 3
    with pytest.raises(ParamsError, match=r"pretrain\.initial is 3, expected str"):
        load_section(PretrainParams, "pretrain", write(content))


def test_a_missing_section_lists_the_known_ones(content, write):
    with pytest.raises(ParamsError, match=r"lacks section 'trian'.*'train'"):
        load_section(TrainParams, "trian", write(content))


def test_a_section_that_is_no_mapping_is_quoted(content, write):
    content["train"] = 7
    with pytest.raises(ParamsError, match=r"section 'train' is 7, expected a mapping"):
        load_section(TrainParams, "train", write(content))


@pytest.mark.parametrize(("model", "cls"), [("hq_sam", HqSamParams), ("pa_sam", PaSamParams)])
def test_the_decoder_decides_a_variants_keys(model, cls, root):
    assert isinstance(load_variant(model, root / "params" / "default.yaml"), cls)


def test_weights_from_before_a_switch_are_read_as_trained_without_it(root):
    path = root / "params" / "default.yaml"
    recorded = load_variant("pa_sam_plus", path).model_dump()
    assert recorded_variant(recorded, path=path) == load_variant("pa_sam_plus", path)
    for part, key in (("adapter", "fine"), ("mining", "cells")):
        del recorded[part][key]
    for key in ("adapter_rate", "interpolation", "keep_sam"):
        del recorded[key]
    early = recorded_variant(recorded, path=path)
    assert (early.adapter.fine, early.mining.cells) == (False, "all")
    assert (early.adapter_rate, early.interpolation, early.keep_sam) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("model", "old", "new"),
    [("hq_sam", "lr_drop_every", "lr_step_size"), ("pa_sam", "quality_head", "iou_head")],
)
def test_weights_that_call_a_key_by_its_old_name_are_read_by_the_new_one(root, model, old, new):
    path = root / "params" / "default.yaml"
    recorded = load_variant(model, path).model_dump()
    recorded[old] = recorded.pop(new)
    assert recorded_variant(recorded, path=path) == load_variant(model, path)
    with pytest.raises(ParamsError, match=rf"{re.escape(str(path))}: section 'variant' is 'x'"):
        recorded_variant("x", path=path)


def test_an_unknown_model_lists_the_known_ones(content, write):
    known = (
        r"models has no 'pa'\. Known models: \['head_only', 'hq_sam', 'hq_sam_effective', 'image"
    )
    with pytest.raises(ParamsError, match=known):
        load_variant("pa", write(content))


@pytest.mark.parametrize(
    ("together", "model", "expected"),
    [
        ([], "pa_sam", []),
        (["hq_sam", "pa_sam"], "pa_sam", ["hq_sam"]),
        (["hq_sam", "pa_sam", "head_only"], "hq_sam", ["pa_sam", "head_only"]),
        (["hq_sam", "pa_sam"], "head_only", []),
        (["pa_sam"], "pa_sam", []),
    ],
)
def test_companions_are_the_models_that_are_trained_together_with_one(
    together, model, expected, content, write
):
    content["train"]["together"] = together
    path = write(content)
    found = load_companions(model, path)
    assert list(found) == expected
    assert all(found[name] == load_variant(name, path) for name in expected)


@pytest.mark.parametrize(
    ("together", "message"),
    [
        (["pa_sam", "pa", "x"], r"train.together names \['pa', 'x'\], expected .*'hq_sam'"),
        (["pa_sam", "pa_sam"], r"train.together is .*, expected each model once"),
        (["hq_sam", "no_mining"], r"train.together names \['no_mining'\]"),
    ],
)
def test_only_models_are_trained_together_each_once(together, message, content, write):
    content["train"]["together"] = together
    with pytest.raises(ParamsError, match=message):
        load_companions("pa_sam", write(content))


def ablated(content, write, **entry):
    content["ablations"]["some"] = entry
    return write(content)


def test_an_ablation_is_its_original_with_its_change(content, write):
    change = {"epochs": 9, "mining": {"points": 2}, "adapter": {"dense": False}}
    path = ablated(content, write, of="pa_sam", change=change)
    original, changed = load_variant("pa_sam", path), load_variant("some", path)
    assert changed == original.replaced(
        epochs=9,
        mining=original.mining.replaced(points=2),
        adapter=original.adapter.replaced(dense=False),
    )


def test_an_ablation_that_changes_nothing_is_its_original(content, write):
    path = ablated(content, write, of="pa_sam", change={})
    assert load_variant("some", path) == load_variant("pa_sam", path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"of": "pa_sam"}, "ablations.some is {'of': 'pa_sam'}, expected 'of' and 'change'."),
        (
            {"of": "hq_sam", "change": {}, "why": 1},
            "ablations.some is {'change': {}, 'of': 'hq_sam', 'why': 1}, expected 'of' and 'chan",
        ),
        (
            {"of": "pa", "change": {}},
            "ablations.some.of is 'pa', expected one of ['head_only', 'hq_sam', ",
        ),
        ({"of": "pa_sam", "change": None}, "ablations.some.change is None, expected a mapping"),
        (
            {"of": "pa_sam", "change": {"minning": {}}},
            "section 'ablations.some' lacks [] and has unknown ['minning']. It must have exa",
        ),
        (
            {"of": "pa_sam", "change": {"mining": {"point": 3}}},
            "section 'ablations.some.mining' lacks [] and has unknown ['point']. It must have exa",
        ),
        (
            {"of": "pa_sam", "change": {"mining": 3}},
            "section 'ablations.some.mining' is 3, expected a mapping.",
        ),
        (
            {"of": "pa_sam", "change": {"adapter": {"tokens": False}}},
            "ablations.some.mining.method is 'gumbel', expected 'none' where adapter.tokens is",
        ),
        (
            {"of": "pa_sam", "change": {"gradient": "none"}},
            "ablations.some.gradient is 'none', expected one of ['reference', 'image'].",
        ),
    ],
)
def test_a_wrong_ablation_is_told_by_its_key(entry, message, content, write):
    path = ablated(content, write, **entry)
    with pytest.raises(ParamsError, match=re.escape(message)):
        load_variant("some", path)
    with pytest.raises(ParamsError, match=re.escape(message)):
        load_ablations(path)


def test_all_ablations_come_as_they_stand(content, write):
    change = {"mining": {"points": 2}}
    found = load_ablations(ablated(content, write, of="pa_sam", change=change))
    assert found["some"] == {"of": "pa_sam", "change": change}
    assert found.keys() == content["ablations"].keys()


def test_a_name_is_either_a_models_or_an_ablations(content, write):
    content["ablations"]["pa_sam"] = {"of": "pa_sam", "change": {}}
    with pytest.raises(ParamsError, match="'pa_sam' is in models and in ablations"):
        load_variant("pa_sam", write(content))


@pytest.mark.parametrize("name", ["scale_0.5", "a/b", "", "two words"])
def test_an_ablations_name_can_name_files_and_stages(name, content, write):
    content["ablations"][name] = {"of": "pa_sam", "change": {}}
    with pytest.raises(ParamsError, match=re.escape(f"ablations has the name {name!r}")):
        load_variant(name, write(content))


def test_only_an_ablation_may_train_everything(content, write):
    path = ablated(content, write, of="pa_sam", change={"trains": "everything"})
    assert load_variant("some", path).trains == "everything"
    content["models"]["pa_sam"]["trains"] = "everything"
    with pytest.raises(ParamsError, match=r"models\.pa_sam\.trains is 'everything', which leaves"):
        load_variant("pa_sam", write(content))


def test_a_missing_list_of_ablations_is_told(content, write):
    del content["ablations"]
    with pytest.raises(ParamsError, match="section 'ablations' is None, expected a mapping"):
        load_variant("pa_sam", write(content))


def test_an_unknown_decoder_is_quoted(content, write):
    content["models"]["pa_sam"]["decoder"] = "sam9"
    with pytest.raises(ParamsError, match=r"models\.pa_sam\.decoder is 'sam9', expected one of"):
        load_variant("pa_sam", write(content))


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ParamsError, match=r"absent\.yaml does not exist.*pasam params use"):
        read_params(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1\n", "holds list"),
        ("", "holds NoneType"),
        ("train:\n  seed: 1\n  seed: 2\n", "'seed' stands twice, in lines 2 and 3"),
        ("train: 1\ntrain: 2\n", "'train' stands twice, in lines 1 and 2"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(text, message, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=message):
        read_params(path)


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        ("pretrain.photographs", "average_decay", "ema_decay"),
        ("report", "draws", "n_resamples"),
        ("evaluate", "boundary_share", "boundary_fraction"),
    ],
)
def test_an_old_name_of_a_key_is_refused_in_one_line_with_the_new_one(
    section, old, new, tmp_path, root
):
    text = (root / "params.yaml").read_text().replace(f"  {new}:", f"  {old}:")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=rf"{section}\.{old} is called '{new}' now") as caught:
        validate(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


def test_what_lies_over_another_file_changes_values_adds_them_and_takes_mappings_out(tmp_path):
    (tmp_path / "low.yaml").write_text(
        "a: {x: 1, y: {z: 2}}\nb: {x: 1}\nc: 1\nd: null\ne: [1, 2]\n"
    )
    (tmp_path / "mid.yaml").write_text("extends: low\na: {y: {z: 3}}\nd: {q: 1}\n")
    (tmp_path / "top.yaml").write_text("extends: mid\na: {y: {w: 4}}\nb: null\nc: null\ne: [3]\n")
    found = read_params(tmp_path / "top.yaml")
    assert found == {
        "a": {"x": 1, "y": {"z": 3, "w": 4}}, "c": None, "d": {"q": 1}, "e": [3]
    }  # fmt: skip
    found["a"]["y"]["z"] = 99  # what one reader changes, no other one sees
    assert read_params(tmp_path / "top.yaml")["a"]["y"] == {"z": 3, "w": 4}
    assert read_params(tmp_path / "low.yaml")["a"]["y"] == {"z": 2}


def test_what_a_caller_changes_of_what_it_read_is_nobody_elses(tmp_path):
    (tmp_path / "base.yaml").write_text("a: {b: {c: [1]}}\n")
    (tmp_path / "over.yaml").write_text("extends: base\nd: {e: [2]}\n")
    for name, expected in (
        ("base", {"a": {"b": {"c": [1]}}}), ("over", {"a": {"b": {"c": [1]}}, "d": {"e": [2]}}),
    ):  # fmt: skip
        for _ in range(2):
            read = read_params(tmp_path / f"{name}.yaml")
            assert read == expected
            read["a"]["b"]["c"].append(3)
            read.get("d", {})["e"] = None


def test_yamls_aliases_and_merges_still_work(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: &one {x: 1, y: 2}\nb:\n  <<: *one\n  y: 3\n")
    assert read_params(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}
    path.write_text("a: &one {x: 1}\nc: &two {z: 4}\nb:\n  <<: *one\n  <<: *two\n")
    assert read_params(path)["b"] == {"x": 1, "z": 4}  # a merge is no key, and may stand twice


def test_yaml_may_hold_so_many_values_and_no_more(tmp_path, monkeypatch):
    path = tmp_path / "params.yaml"
    path.write_text("a: &a [x]\nb: *a\n")  # the mapping, its two names, and twice a list of one
    monkeypatch.setattr(files, "MOST_NODES", 7)
    assert read_params(path) == {"a": ["x"], "b": ["x"]}
    path.write_text("a: &a [x]\nb: *a\nc: 1\n")
    with pytest.raises(ParamsError, match="aliases stand for more than 7 values"):
        read_params(path)


def test_a_file_with_the_former_base_is_refused_in_one_line_that_says_what_to_do(root, tmp_path):
    text = (root / "params.yaml").read_text().replace("  size: tiny", "  size: vit_tiny")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match="base.size is 'vit_tiny', expected 'tiny'") as caught:
        validate(tmp_path / "params.yaml")
    assert "base.checkpoint to pasam/packaged/tiny.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)
