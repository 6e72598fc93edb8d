"""Presets are laid over the default, and using one keeps what a person changed."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import pytest
from small_world import dump_yaml, load_yaml

from pasam.config import presets
from pasam.config.params_file import read_params
from pasam.config.presets import (
    changes,
    compose,
    compose_text,
    known_presets,
    preset_folder,
    preset_in_use,
    use_preset,
    validate,
    write_preset,
)
from pasam.config.three_way import GONE
from pasam.data.own_sets import add_benchmark
from pasam.errors import ParamsError

NAMES = ["ablation", "default", "laptop", "paper", "photographs", "smoke"]


@pytest.fixture
def folder(root, tmp_path):
    """The repository's presets, and one that is not valid."""
    folder = shutil.copytree(root / "params", tmp_path / "params")
    (folder / "broken.yaml").write_text("extends: default\ndata: {workers: 0}\n")
    return folder


@pytest.fixture
def params(folder, tmp_path):
    target = tmp_path / "params.yaml"
    write_preset("default", folder=folder, target=target)
    return target


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_the_repository_offers_four_presets(root):
    assert known_presets(root / "params") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_of_the_repository_is_valid_and_names_itself(name, root):
    validate(root / "params" / f"{name}.yaml")
    assert compose(name, root / "params")["preset"] == name


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_written_out_has_the_values_of_the_preset(name, root):
    assert load_yaml(compose_text(name, root / "params")) == compose(name, root / "params")


def test_the_params_file_of_the_repository_is_the_default_byte_for_byte(root):
    assert compose_text("default", root / "params") == (root / "params.yaml").read_text()


@pytest.mark.parametrize("name", ["ablation", "laptop", "paper", "photographs", "smoke"])
def test_a_preset_states_nothing_that_the_default_has_already(name, root):
    stated = load_yaml((root / "params" / f"{name}.yaml").read_text())
    assert stated.pop("extends") == "default"

    def leaves(node, path=()):
        for key, value in node.items():
            if isinstance(value, dict) and path != ("ablations",):
                yield from leaves(value, (*path, key))
            else:
                yield (*path, key)

    changed = changes(compose("default", root / "params"), compose(name, root / "params"))
    reasons = {
        key: [path for path in leaves(stated) if key[: len(path)] == path] for key in changed
    }
    assert all(reasons.values())
    assert set(leaves(stated)) == {path for paths in reasons.values() for path in paths}


def test_the_ablation_preset_is_the_default_with_more_images_and_ablations(root):
    default, ablation = (compose(name, root / "params") for name in ("default", "ablation"))
    changed = changes(default, ablation)
    assert default["ablations"].items() < ablation["ablations"].items()
    lengths = {("models", n, k) for n in default["models"] for k in ("epochs", "lr_step_size")}
    more = {path for path in changed if path[0] != "ablations"}
    assert more - lengths == {
        ("preset",), ("data", "generated", "train_images"), ("train", "batch_size")
    }  # fmt: skip
    assert lengths <= more
    kept = {(each["epochs"], each["lr_step_size"]) for each in ablation["models"].values()}
    assert kept == {(3, 2)}  # as the numbers of docs/ablations.md were made


def test_the_default_trains_every_decoder_of_table_1_with_the_same_prompts_too(root):
    default = compose("default", root / "params")
    for section in ("evaluate", "repeats"):
        mixes = {}
        for name in default[section]["models"]:
            model = default["models"][name]
            mixes.setdefault(model["prompts"], set()).add(model["decoder"])
        assert {"hq_sam", "pa_sam"} in mixes.values()
    own, equal = (default["models"][name] for name in ("hq_sam", "hq_sam_effective"))
    assert {**equal, "prompts": own["prompts"]} == own


def test_comments_of_the_default_and_of_the_preset_both_stay(root):
    text = compose_text("paper", root / "params")
    assert text.startswith("# The published protocol")
    assert "  workers: 8            # has no influence on the results\n" in text
    assert "# Variants that state only what they change of a model" in text
    assert "this preset is a demonstration" not in text  # it was said of another value


def test_using_presets_in_turn_gives_their_texts_and_a_way_back(folder, tmp_path):
    target = tmp_path / "params.yaml"
    for name in ("default", "smoke", "paper", "ablation", "default"):
        assert use_preset(name, folder=folder, target=target).kept == ()
        assert target.read_text() == compose_text(name, folder)
        assert preset_in_use(target, folder) == name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params", "params.yaml"]


def test_the_difference_shows_old_and_new_lines(folder, params, monkeypatch):
    difference = use_preset("smoke", folder=folder, target=params).difference
    assert "-  n_resamples: 10000" in difference
    assert "+  n_resamples: 500" in difference
    assert difference[:2] == (f"--- {params}", f"+++ {params} (smoke)")
    monkeypatch.setattr(presets, "write_text", None)  # what is there already is not written again
    assert use_preset("smoke", folder=folder, target=params).difference == ()


def test_what_a_person_changed_stays_there_and_back(folder, params):
    edit(params, "benchmarks: [dis_like, coift_like,", "benchmarks: [cats, dis_like, coift_like,")
    edit(params, "  margin: 2.0\n", "  margin: 1.5          # stricter for the clinic\n")
    edit(
        params,
        "gradient: reference\n    trains: mask_head\n\n",
        "gradient: image\n    trains: mask_head\n\n",
    )
    edit(params, "report:\n", "# Agreed with the reviewers.\nreport:\n")
    mine = params.read_text()
    used = use_preset("smoke", folder=folder, target=params)
    assert used.kept == (
        "models.image_adapter.gradient: 'image'",
        "evaluate.benchmarks: ['cats', 'dis_like', 'coift_like', 'hrsod_like', 'thin_like', "
        "'photos']",
        "gate.margin: 1.5",
    )
    text, content = params.read_text(), read_params(params)
    validate(params)
    assert content["report"] == compose("smoke", folder)["report"]
    assert content["gate"]["margin"] == 1.5
    assert content["evaluate"]["benchmarks"][0] == "cats"
    assert "# stricter for the clinic" in text
    assert "# Agreed with the reviewers." in text
    use_preset("default", folder=folder, target=params)
    assert read_params(params) == load_yaml(mine)
    assert params.read_text() == mine


def test_the_comment_at_the_top_is_the_new_presets_unless_a_person_wrote_another(folder, params):
    heads = {
        name: compose_text(name, folder).partition("\n\npreset:")[0]
        for name in ("default", "paper")
    }
    edit(params, "  margin: 2.0\n", "  margin: 1.5\n")
    use_preset("paper", folder=folder, target=params)
    assert params.read_text().startswith(heads["paper"])
    own = params.read_text().replace(heads["paper"], "# Ours.")
    params.write_text(own)
    use_preset("default", folder=folder, target=params)
    assert params.read_text().startswith("# Ours.\n\npreset: default\n")


def test_a_registered_set_stays_beside_the_benchmarks_of_another_preset(folder, params):
    edit(params, "photos]\n  dev", "photos, cats]\n  dev")
    use_preset("paper", folder=folder, target=params)
    papers = compose("paper", folder)["evaluate"]["benchmarks"]
    assert read_params(params)["evaluate"]["benchmarks"] == [*papers, "cats"]
    use_preset("default", folder=folder, target=params)
    names = compose("default", folder)["evaluate"]["benchmarks"]
    assert read_params(params)["evaluate"]["benchmarks"] == [*names, "cats"]


def test_what_was_taken_out_stays_out(folder, params):
    edit(params, "  baselines: [sam, oracle, packaged]", "  baselines: [sam]")
    edit(params, "    of: image_adapter\n    change: {}\n", "")
    edit(
        params,
        "  image_features:       # the same budget of numbers spent on the image's features\n",
        "",
    )
    use_preset("ablation", folder=folder, target=params)
    content = read_params(params)
    assert content["evaluate"]["baselines"] == ["sam"]
    assert "image_features" not in content["ablations"]
    assert "points_8" in content["ablations"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  train_images: 128", "  train_images: 200", "data.generated.train_images is 200"),
        ("  jitter: [0.1, 0.2, 0.3, 0.4]", "  jitter: [0.5]", r"robustness.jitter is \[0.5\]"),
        ("    change: {trains: adapter}", "    change: {trains: decoder}", "adapter_only"),
    ],
)
def test_only_a_key_that_both_changed_is_refused_with_both_values(old, new, said, folder, params):
    edit(params, old, new)
    before = params.read_text()
    with pytest.raises(ParamsError, match=f"{said}.* by your own change.*'smoke' wants.*Put") as it:
        use_preset("smoke", folder=folder, target=params)
    assert "\n" not in str(it.value)
    assert params.read_text() == before
    edit(params, new, old)
    use_preset("smoke", folder=folder, target=params)
    assert params.read_text() == compose_text("smoke", folder)


def test_both_changing_a_key_to_the_same_value_is_no_conflict(folder, params):
    edit(params, "  train_images: 128", "  train_images: 24")
    use_preset("smoke", folder=folder, target=params)
    assert read_params(params) == compose("smoke", folder)


def test_a_file_of_an_earlier_version_is_taken_for_the_nearest_preset(folder, params):
    for name in NAMES:
        write_preset(name, folder=folder, target=params)
        edit(params, f"preset: {name}\n", "")
        edit(params, "  margin: 2.0\n", "  margin: 3.0\n")
        assert preset_in_use(params, folder) == name
    use_preset("default", folder=folder, target=params)
    content = read_params(params)
    assert content["gate"].pop("margin") == 3.0
    assert content["preset"] == "default"


def test_a_file_of_a_former_version_gets_the_keys_that_came_since_and_keeps_what_was_changed(
    folder, params
):
    edit(params, "  margin: 2.0\n", "  margin: 3.0\n")
    whole = params.read_text()
    lines = whole.splitlines(keepends=True)
    start = lines.index("embed:\n")
    new = next(n for n in range(start, len(lines)) if lines[n].startswith("  devices:"))
    params.write_text("".join(lines[:new] + lines[new + 1 :]))
    with pytest.raises(ParamsError, match="'embed' lacks .'devices'.*`pasam params use NAME`"):
        validate(params)
    used = use_preset("default", folder=folder, target=params)
    assert used.kept == ("gate.margin: 3.0",)
    assert read_params(params)["embed"]["devices"] == 1
    assert params.read_text() == whole


@pytest.mark.parametrize("preset", NAMES)
def test_a_model_or_an_ablation_that_was_left_out_stays_out_of_any_preset(folder, params, preset):
    content = read_params(params)
    del content["models"]["head_only"]
    content["evaluate"]["models"].remove("head_only")
    content["repeats"]["models"].remove("head_only")
    content["ablations"].pop("no_mining")
    params.write_text(dump_yaml(content, sort_keys=False))
    use_preset(preset, folder=folder, target=params)
    kept = read_params(params)
    assert "head_only" not in [*kept["models"], *kept["evaluate"]["models"]]
    assert "no_mining" not in kept["ablations"]
    assert kept["train"] == compose(preset, folder)["train"]


def test_a_key_of_a_former_name_is_named_and_no_second_one_is_put_beside_it(folder, params):
    edit(params, "  boundary_fraction: 0.02\n", "  boundary_share: 0.03\n")
    with pytest.raises(ParamsError, match="boundary_share is called 'boundary_fraction' now"):
        use_preset("default", folder=folder, target=params)


def test_a_file_that_is_as_near_to_two_presets_is_taken_for_the_default(folder, params):
    (folder / "aaa.yaml").write_text("extends: default\n")
    edit(params, "preset: default\n", "preset: gone\n")  # of a preset that is no more
    edit(params, "  margin: 2.0\n", "  margin: 3.0\n")
    assert preset_in_use(params, folder) == "default"


def test_a_projects_own_presets_go_before_those_of_the_package(root, tmp_path, monkeypatch):
    assert preset_folder(tmp_path / "no project") == root / "params"  # a clone has no others
    monkeypatch.setattr(presets, "PACKAGED", tmp_path / "packaged")
    (tmp_path / "packaged").mkdir()
    assert preset_folder(tmp_path) == tmp_path / "packaged"
    (tmp_path / "params").mkdir()
    assert preset_folder(tmp_path) == tmp_path / "params"
    monkeypatch.chdir(tmp_path)
    assert preset_folder() == Path("params")


def test_changes_tell_what_is_gone_what_is_new_and_true_from_one():
    old = {"a": {"x": 1, "y": 2}, "b": {}, "c": 3, "d": [1]}
    new = {"a": {"x": True, "y": 2}, "b": {"z": 1}, "d": [1], "e": None}
    assert changes(old, new) == {
        ("a", "x"): True, ("b",): GONE, ("b", "z"): 1, ("c",): GONE, ("e",): None
    }  # fmt: skip
    assert changes(new, new) == {}


def test_a_key_within_braces_is_changed_in_its_place(folder, params):
    edit(
        params, "sparse: true, tokens: true, maps: grid", "sparse: false, tokens: true, maps: grid"
    )
    assert use_preset("paper", folder=folder, target=params).kept == (
        "models.pa_sam.adapter.sparse: False",
    )
    model = read_params(params)["models"]["pa_sam"]
    assert (model["adapter"]["sparse"], model["mining"]["from_epoch"]) == (False, 5)


def test_an_unknown_preset_lists_the_known_ones(folder, params):
    with pytest.raises(ParamsError, match="no preset 'huge'") as caught:
        use_preset("huge", folder=folder, target=params)
    assert str(sorted([*NAMES, "broken"])) in str(caught.value)


@pytest.mark.parametrize("use", [use_preset, write_preset])
@pytest.mark.parametrize("name", ["broken", "../outside"])
def test_a_preset_that_cannot_be_used_leaves_the_params_file_alone(use, name, folder, tmp_path):
    target = tmp_path / "params.yaml"
    target.write_text("mine: 1\n")
    with pytest.raises(ParamsError):
        use(name, folder=folder, target=target)
    assert target.read_text() == "mine: 1\n"


def test_a_result_that_would_not_be_valid_is_not_written(folder, params):
    edit(params, "  learning_rate: 0.001", "  learning_rate: 0.0")
    before = params.read_text()
    with pytest.raises(ParamsError, match=re.escape("train.learning_rate is 0")):
        use_preset("ablation", folder=folder, target=params)
    assert params.read_text() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trian": {}}, "unknown sections ['trian']"),
        ({"models": {}, "ablations": {}}, "pa_sam_plus'], expected what is in models: []"),
        ({"report": None}, "section 'report' is None"),
        ({"ablations": None}, "section 'ablations' is None"),
        (
            {"ablations": {"some": {"of": "pa_sam", "change": {"epoch": 1}}}},
            "section 'ablations.some' lacks [] and has unknown ['epoch']",
        ),
        ({"models": None}, "section 'models' is None, expected a mapping"),
    ],
)
def test_validation_names_what_is_wrong(change, message, root, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(dump_yaml(compose("default", root / "params") | change))
    with pytest.raises(ParamsError, match=re.escape(message)):
        validate(path)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("evaluate", {"models": ["pa_sam", "sam2"]}, "evaluate.models names ['sam2']"),
        (
            "gate",
            {"model": "image_adapter"},
            "gate.model names ['image_adapter'], expected what is evalu",
        ),
        ("repeats", {"models": ["image_adapter"]}, "repeats.models names ['image_adapter'], exp"),
        ("repeats", {"seeds": [43, 42]}, "repeats.seeds is [43, 42], expected others than train.s"),
        ("gate", {"sealed": ["thin_like"]}, "gate.sealed names ['thin_like'], which evaluate.ben"),
        ("gate", {"sealed": ["a", "dis_dev"]}, "gate.sealed names ['dis_dev'], which evaluate.dev"),
    ],
)
def test_validation_wants_sections_to_agree(section, change, message, root, tmp_path):
    content = compose("default", root / "params")
    content[section] |= change
    path = tmp_path / "params.yaml"
    path.write_text(dump_yaml(content))
    with pytest.raises(ParamsError, match=re.escape(message)):
        validate(path)


def test_nothing_is_chosen_on_what_is_reported(root, tmp_path):
    text = (root / "params.yaml").read_text().replace("[dis_dev, ", "[dis_like, ")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"evaluate\.development is .*'dis_like'.* no benchmarks"):
        validate(tmp_path / "params.yaml")


BENCHMARKS = "  benchmarks: [dis_like, coift_like, hrsod_like, thin_like, photos]"


@pytest.mark.parametrize("chain", list(itertools.permutations(["laptop", "photographs", "paper"])))
def test_what_a_person_set_survives_any_chain_of_presets_and_back(chain, folder, params):
    edit(params, BENCHMARKS, "  benchmarks: [coco_cc, dis_like, cats]   # agreed in May")
    edit(params, "  margin: 2.0\n", "  margin: 3.0 # stricter\n")
    before = params.read_text()
    for name in chain:
        use_preset(name, folder=folder, target=params)
        content = read_params(params)
        assert {"cats", "coco_cc"} <= set(content["evaluate"]["benchmarks"])
        assert not {"photos", "coift_like"} & set(content["evaluate"]["benchmarks"])
        assert "   # agreed in May" in params.read_text()
    use_preset("default", folder=folder, target=params)
    assert params.read_text() == before


@pytest.mark.parametrize(
    "written",
    [
        "  benchmarks:   # all of ours\n    - cats   # mine\n    # a note\n    - dis_like",
        "  benchmarks: [dis_like,  # one\n    cats, photos]   # all",
    ],
)
def test_a_list_over_several_lines_comes_back_as_it_was_written(written, folder, params):
    edit(params, BENCHMARKS, written)
    before = params.read_text()
    for name in ("laptop", "paper", "default"):
        use_preset(name, folder=folder, target=params)
        assert "cats" in read_params(params)["evaluate"]["benchmarks"]
    assert params.read_text() == before


def test_a_value_that_a_preset_has_too_is_a_persons_own_when_it_is_left(folder, params):
    edit(params, "  train_images: 128", "  train_images: 24")
    use_preset("smoke", folder=folder, target=params)
    assert read_params(params) == compose("smoke", folder)
    with pytest.raises(ParamsError, match="train_images is 24 by your own change, and 'laptop'"):
        use_preset("laptop", folder=folder, target=params)
    use_preset("default", folder=folder, target=params)
    assert changes(compose("default", folder), read_params(params)) == {
        ("data", "generated", "train_images"): 24
    }


def test_what_a_person_does_meanwhile_counts(folder, params):
    edit(params, BENCHMARKS, "  benchmarks: [cats, dis_like, photos]")
    use_preset("laptop", folder=folder, target=params)
    edit(params, "  benchmarks: [photos, cats]", "  benchmarks: [photos, dogs]")
    use_preset("default", folder=folder, target=params)
    assert read_params(params)["evaluate"]["benchmarks"] == ["dis_like", "photos", "dogs"]


@pytest.mark.parametrize(
    "chain", [("default",), pytest.param(("laptop", "default"), marks=pytest.mark.long)]
)
def test_a_list_that_was_cut_beside_a_preset_stays_cut(chain, folder, params):
    edit(params, BENCHMARKS, "  benchmarks: [mine]")
    use_preset("paper", folder=folder, target=params)
    benchmarks = read_params(params)["evaluate"]["benchmarks"]
    assert benchmarks == [*compose("paper", folder)["evaluate"]["benchmarks"], "mine"]
    edit(params, f"  benchmarks: [{', '.join(benchmarks)}]", "  benchmarks: [mine]")
    for name in (*chain, "paper", "default", "paper"):
        use_preset(name, folder=folder, target=params)
        assert read_params(params)["evaluate"]["benchmarks"] == ["mine"]
    edit(params, "  benchmarks: [mine]", "  benchmarks: [COIFT, mine]")
    for name in (*chain, "paper"):
        use_preset(name, folder=folder, target=params)
    assert sorted(read_params(params)["evaluate"]["benchmarks"]) == ["COIFT", "mine"]


def test_a_memory_that_somebody_has_edited_is_none(folder, params):
    edit(params, BENCHMARKS, "  benchmarks: [dis_like, cats]")
    use_preset("laptop", folder=folder, target=params)
    params.write_text(re.sub(r"(params use`: ).*", r"\1[1, {", params.read_text()))
    use_preset("default", folder=folder, target=params)
    assert "cats" in read_params(params)["evaluate"]["benchmarks"]


def test_a_params_file_in_another_encoding_is_read_or_refused_in_words(folder, params):
    text = params.read_text()
    params.write_bytes(text.encode("utf-16"))
    use_preset("smoke", folder=folder, target=params)
    assert params.read_text() == compose_text("smoke", folder)
    params.write_bytes(f"# \u00e9\n{text}".encode("latin-1"))
    with pytest.raises(ParamsError, match="cannot be read as text in UTF-8"):
        use_preset("smoke", folder=folder, target=params)


def test_line_ends_of_windows_stay(folder, params):
    params.write_bytes(params.read_bytes().replace(b"\n", b"\r\n"))
    for name in ("smoke", "default"):
        use_preset(name, folder=folder, target=params)
        assert params.read_bytes().decode() == compose_text(name, folder).replace("\n", "\r\n")
    add_benchmark("cats", params)
    assert params.read_bytes().count(b"\n") == params.read_bytes().count(b"\r\n")
    assert b"photos, cats]" in params.read_bytes()


def test_one_line_end_of_windows_does_not_turn_all_others(folder, params):
    params.write_bytes(params.read_bytes().replace(b"\n", b"\r\n", 1))
    use_preset("smoke", folder=folder, target=params)
    assert params.read_bytes().decode() == compose_text("smoke", folder)
    params.write_bytes(params.read_bytes().replace(b"\n", b"\r\n", 1))
    add_benchmark("cats", params)
    assert b"\r" not in params.read_bytes()
