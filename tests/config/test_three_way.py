"""Files that runs write, merged by entry."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_world import load_yaml

from pasam.config.params_edit import edited, same
from pasam.config.three_way import (
    merge_accepted,
    merge_lock,
    merge_mapping,
    merge_rows,
    shown,
)
from pasam.errors import DataError

PARAMS = """\
# the head

train:
  seed: 42            # any
  learning_rate: 0.001
  workers: 0
models:
  pa_sam: {epochs: 3}
  hq_sam:
    epochs: 3
evaluate:
  benchmarks: [dis, coift]
"""


VALUES = st.one_of(
    st.sampled_from([True, False, None, 0, 1, 1.5, "", "1", "a b", "x: y", "# no"]),
    st.lists(st.sampled_from(["a", "b", 1, True]), max_size=3),
)
MAPPINGS = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(VALUES, lambda inner: st.dictionaries(st.sampled_from("efgh"), inner, max_size=3)),
    min_size=1, max_size=4,
)  # fmt: skip


def commented(values, *, braces):
    """Write values as YAML, inner mappings in braces or not, with a comment round every line."""
    text = yaml.safe_dump(values, default_flow_style=False, sort_keys=False, width=999)
    if braces:
        flow = {"default_flow_style": True, "sort_keys": False, "width": 999}
        parts = (yaml.safe_dump([value], **flow).strip()[1:-1] for value in values.values())
        text = "".join(f"{key}: {part}\n" for key, part in zip(values, parts, strict=True))
    written = ""
    for number, line in enumerate(text.splitlines()):
        indent = " " * (len(line) - len(line.lstrip()))
        written += f"{indent}# above {number}\n{line}  # behind {number}\n"
    return written


def typed(values):
    return json.dumps(values, sort_keys=True)  # which tells true from 1


@example({"a": ["a", 1]}, {"a": ["b"]}, False, False)
@example({"a": ["a"], "b": {"e": [1]}}, {"a": ["a", "b"], "b": {"e": [1, True]}}, False, True)
@settings(max_examples=20)
@given(MAPPINGS, MAPPINGS, st.booleans(), st.booleans())
def test_a_file_whose_values_are_changed_holds_them_and_what_need_not_change_stays(
    before, wanted, braces, has_source
):
    text = commented(before, braces=braces)
    assert edited(text, before) == text
    after = edited(text, wanted, commented(wanted, braces=False) if has_source else "{}")
    assert typed(load_yaml(after)) == typed(wanted)
    same = {key for key in before if key in wanted and typed(before[key]) == typed(wanted[key])}
    key, lines = "", set()
    for line in text.splitlines():
        key = line[0] if line[0] in "abcd" else key
        if key in same and not line.startswith("#"):
            lines.add(line)
    assert lines <= set(after.splitlines())


@pytest.mark.parametrize("block", ["|\n  x\n  # y\n", ">-\n  x\n\n", "|+\n  x\n\n", "\n- x\n- y\n"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_value_of_several_lines_is_replaced_with_all_of_them_and_no_others(block, end):
    written = (
        f"{{}}a: {block}# of c\nc: 2\nd:\n  e: {block.replace('  ', '    ')}".rstrip("\n") + end
    )
    text = written.format("b: 1\n").replace("\n- ", "\n  - ")
    before = load_yaml(text)
    for wanted in ({**before, "a": "z"}, {**before, "d": {"e": "z"}}, {**before, "d": 1}):
        after = edited(text, wanted)
        assert typed(load_yaml(after)) == typed(wanted)
        assert after.count("# of c") == 1
    assert typed(load_yaml(edited(text, {"c": 2}))) == typed({"c": 2})


def test_a_line_of_a_text_that_looks_like_a_comment_goes_with_the_text():
    before = "a: |\n  x\n  # y\n# of b\nb: 1\n"
    assert edited(before, {"a": "z", "b": 1}) == "a: z\n# of b\nb: 1\n"


def test_an_entry_goes_though_the_block_above_it_gains_a_key():
    before, wanted = "a:\n  x: 1\nb: 2\nc: 3\n", {"a": {"x": 1, "y": 3}, "c": 3}
    assert load_yaml(edited(before, wanted)) == wanted
    assert load_yaml(edited("a:\n  x: 1\nb: 2\n", {"a": {"x": 1, "y": 3}})) == {
        "a": {"x": 1, "y": 3}
    }


def test_a_list_is_continued_only_where_all_that_was_in_it_stays():
    text = "a:\n- x  # first\n- y\nb: 1\n"
    kept = edited(text, {"a": ["x", "y", "z"], "b": 1})
    assert kept == "a:\n- x  # first\n- y\n- z\nb: 1\n"
    for wanted in (["x", "q", "z"], ["y", "x", "z"], ["x"], []):
        assert load_yaml(edited(text, {"a": wanted, "b": 1})) == {"a": wanted, "b": 1}


def test_a_new_mapping_has_its_keys_in_the_order_in_which_they_were_given():
    wanted = {"a": 1, "b": {"z": 1, "y": [{"q": 1, "p": 2}]}}
    assert edited("a: 1\n", wanted) == "a: 1\nb: {z: 1, y: [{q: 1, p: 2}]}\n"


@pytest.mark.parametrize(("before", "after"), [([1], [True]), ({"a": [0, 1]}, {"a": [False, 1]})])
def test_true_is_not_one_within_lists_and_mappings_either(before, after):
    assert not same(before, after)
    assert not same(after, before)
    assert same(after, after)
    changed = edited(yaml.safe_dump({"a": before, "b": 1}), {"a": after, "b": 1})
    assert typed(load_yaml(changed)) == typed({"a": after, "b": 1})


def params(*changes):
    text = PARAMS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def test_neighbouring_values_of_two_people_are_both_kept_and_comments_stay():
    ours = params(("seed: 42 ", "seed: 43 "))
    theirs = params(("learning_rate: 0.001", "learning_rate: 0.002"), ("workers: 0", "workers: 4"))
    merged = merge_mapping(PARAMS, ours, theirs, "params.yaml")
    assert merged.clashes == ()
    assert merged.ours == params(
        ("seed: 42 ", "seed: 43 "), ("learning_rate: 0.001", "learning_rate: 0.002"),
        ("workers: 0", "workers: 4"),
    )  # fmt: skip


def test_a_value_that_both_changed_is_a_clash_with_all_three_values():
    ours = params(("workers: 0", "workers: 2"), ("seed: 42 ", "seed: 43 "))
    theirs = params(("workers: 0", "workers: 4"))
    merged = merge_mapping(PARAMS, ours, theirs, "params.yaml")
    (clash,) = merged.clashes
    assert (clash.key, clash.base, clash.ours, clash.theirs) == ("train.workers", "0", "2", "4")
    assert load_yaml(merged.ours)["train"]["workers"] == 2
    assert load_yaml(merged.theirs)["train"] == {
        "seed": 43, "learning_rate": 0.001, "workers": 4,
    }  # fmt: skip


def test_a_value_of_theirs_comes_with_the_comment_that_they_wrote_beside_it():
    theirs = "a: 1\nb: 3  # since May\nc:\n  d: 2  # so far\n  f: 4  # new\n"
    merged = merge_mapping("a: 1\nb: 2\nc:\n  d: 1\n", "a: 5\nb: 2\nc:\n  d: 1\n", theirs, "p.yaml")
    assert merged.ours == theirs.replace("a: 1", "a: 5")


def test_a_value_is_shown_with_two_hundred_characters_at_most():
    assert shown("x" * 198) == repr("x" * 198)
    assert shown("x" * 199) == "'" + "x" * 199 + "..."


def test_a_number_and_a_truth_are_two_values():
    base, ours, theirs = "a: 1\nb: 2\n", "a: 1\nb: 3\n", "a: true\nb: 2\n"
    assert merge_mapping(base, ours, theirs, "params.yaml").ours == "a: true\nb: 3\n"


@pytest.mark.parametrize(("ours", "theirs"), [("true", "2"), ("2", "true")])
def test_a_truth_in_the_place_of_a_number_is_a_change_that_clashes_with_another(ours, theirs):
    merged = merge_mapping("a: 1\n", f"a: {ours}\n", f"a: {theirs}\n", "params.yaml")
    assert [clash.key for clash in merged.clashes] == ["a"]
    assert (merged.ours, merged.theirs) == (f"a: {ours}\n", f"a: {theirs}\n")


def test_an_empty_mapping_stays_beside_a_change_and_goes_only_where_one_side_took_it_out():
    base = "a: {}\nb: 1\n"
    assert merge_mapping(base, "a: {}\nb: 2\n", base, "params.yaml").ours == "a: {}\nb: 2\n"
    assert merge_mapping(base, "a: {}\nb: 2\n", "b: 1\n", "params.yaml").ours == "b: 2\n"


def test_the_same_change_on_both_sides_is_none():
    both = params(("workers: 0", "workers: 2"))
    assert merge_mapping(PARAMS, both, both, "params.yaml").ours == both


def test_true_is_not_one():
    ours = params(("workers: 0", "workers: false"))
    assert merge_mapping(PARAMS, ours, PARAMS, "params.yaml").ours == ours


def test_names_that_each_added_to_a_list_are_both_in_it():
    ours = params(("[dis, coift]", "[dis, coift, mine, both]"))
    theirs = params(("[dis, coift]", "[coift, theirs, both]"))
    merged = merge_mapping(PARAMS, ours, theirs, "params.yaml")
    assert load_yaml(merged.ours)["evaluate"]["benchmarks"] == ["coift", "theirs", "both", "mine"]
    assert merged.clashes == ()


def test_a_mapping_that_both_began_has_the_keys_of_both():
    ours, theirs = ("a: 1\nnew:\n  x: 1\n", "a: 1\nnew:\n  y: 2\n")
    merged = merge_mapping("a: 1\n", ours, theirs, "params.yaml")
    assert load_yaml(merged.ours) == {"a": 1, "new": {"x": 1, "y": 2}}
    assert merged.clashes == ()


def test_a_model_that_one_took_out_and_the_other_changed_is_a_clash_of_the_whole():
    ours = params(("  hq_sam:\n    epochs: 3\n", ""))
    theirs = params(("    epochs: 3\n", "    epochs: 4\n"))
    merged = merge_mapping(PARAMS, ours, theirs, "params.yaml")
    assert [clash.key for clash in merged.clashes] == ["models.hq_sam"]
    assert "hq_sam" not in load_yaml(merged.ours)["models"]
    assert load_yaml(merged.theirs)["models"]["hq_sam"] == {"epochs": 4}


def test_a_mapping_in_the_place_of_null_beside_another_change_of_it_is_a_clash():
    base = "a: {}\nb:\n  c: null\n"
    ours, theirs = "a: {}\nb:\n  c:\n    d: 1\n", "a: {}\nb:\n  c: 5\n"
    merged = merge_mapping(base, ours, theirs, "params.yaml")
    assert [clash.key for clash in merged.clashes] == ["b.c"]
    assert load_yaml(merged.theirs)["b"] == {"c": 5}


def test_two_recorded_archives_are_both_in_the_catalogues_lock():
    head = "# sha256\n"
    merged = merge_mapping(
        f"{head}{{}}\n", f"{head}one.zip: aa\n", f"{head}two.zip: bb\n", "catalogue.lock"
    )
    assert merged.ours == f"{head}one.zip: aa\ntwo.zip: bb\n"
    merged = merge_mapping(
        f"{head}{{}}\n", f"{head}{{}}\n", f"{head}two.zip: bb\n", "catalogue.lock"
    )
    assert merged.ours == f"{head}two.zip: bb\n"


def test_an_empty_file_that_both_filled_keeps_our_order_and_theirs_behind():
    merged = merge_mapping("", "# mine\nb: 1\na: 2\n", "c: 3\n", "catalogue.lock")
    assert merged.ours == "# mine\nb: 1\na: 2\nc: 3\n"
    merged = merge_mapping("# head\n{}\n", "# head\n{}\n", "b: 1\na: 2\n", "catalogue.lock")
    assert merged.ours == "# head\nb: 1\na: 2\n"
    assert merge_mapping("a: 1\n", "a: 2\n", "a: 3\n", "x.yaml").base == "a: 1\n"


def stage(name, *, seed, dep, out):
    return (
        f"  {name}:\n    cmd: python {name}.py\n    deps:\n    - path: d\n      hash: md5\n"
        f"      md5: {dep}\n    params:\n      params.yaml:\n        train:\n"
        f"          seed: {seed}\n"
        f"    outs:\n    - path: o_{name}\n      hash: md5\n      md5: {out}\n"
    )


def lock(*stages):
    return "schema: '2.0'\nstages:\n" + "".join(stages)


A, B = (stage(name, seed=1, dep="d0", out=f"o_{name}0") for name in ("train@a", "train@b"))
A1, B2 = (
    stage("train@a", seed=1, dep="d0", out="a1"),
    stage("train@b", seed=1, dep="d0", out="b2"),
)


def test_stages_of_two_retrainings_are_each_taken_whole():
    assert merge_lock(lock(A, B), lock(A1, B), lock(A, B2), "dvc.lock").ours == lock(A1, B2)


def test_a_new_stage_of_each_is_there_and_one_that_was_taken_out_is_gone():
    new, other = (stage(name, seed=1, dep="d", out="o") for name in ("new", "other"))
    merged = merge_lock(lock(A, B), lock(A, new), lock(A, B, other), "dvc.lock")
    assert merged.ours == lock(A, new, other)


def test_a_record_is_never_put_together_from_two():
    ours = stage("train@a", seed=2, dep="d0", out="a2")
    theirs = stage("train@a", seed=1, dep="d3", out="a3")
    merged = merge_lock(lock(A), lock(ours), lock(theirs), "dvc.lock")
    assert merged.ours in (lock(ours), lock(theirs))
    assert merged.clashes == ()


@pytest.mark.parametrize(("seed", "expected"), [(2, "ours"), (3, "theirs"), (4, "ours")])
def test_of_two_records_the_one_with_the_params_in_place_is_taken(seed, expected):
    sides = {"ours": lock(stage("train@a", seed=2, dep="d0", out="a2"))}
    sides["theirs"] = lock(stage("train@a", seed=3, dep="d0", out="a3"))
    merged = merge_lock(lock(A), *sides.values(), "dvc.lock", {"train": {"seed": seed}})
    assert merged.ours == sides[expected]


@pytest.mark.parametrize(("value", "expected"), [(True, "theirs"), (1, "ours")])
def test_a_record_made_with_one_does_not_fit_params_that_say_true(value, expected):
    sides = {"ours": lock(stage("train@a", seed=1, dep="d0", out="a2"))}
    sides["theirs"] = lock(stage("train@a", seed="true", dep="d0", out="a3"))
    for order in (("ours", "theirs"), ("theirs", "ours")):
        texts = [sides[name] for name in order]
        merged = merge_lock(lock(A), *texts, "dvc.lock", {"train": {"seed": value}})
        assert merged.ours == sides[expected]


@pytest.mark.parametrize("mark", ["'", '"'])
def test_a_stage_is_the_same_with_its_name_in_quotes(mark):
    quoted = A1.replace("train@a:\n", f"{mark}train@a{mark}:\n", 1)
    other = stage("train@a", seed=1, dep="d0", out="a3")
    assert merge_lock(lock(A), lock(quoted), lock(other), "dvc.lock").ours == lock(quoted)


def test_a_stage_without_params_comes_from_the_side_whose_params_are_in_place():
    bare = "  report:\n    cmd: r\n    outs:\n    - path: r\n      md5: {}\n"
    ours = lock(stage("train@a", seed=2, dep="d0", out="a2"), bare.format("r2"))
    theirs = lock(stage("train@a", seed=3, dep="d0", out="a3"), bare.format("r3"))
    base = lock(A, bare.format("r1"))
    for seed, expected in ((2, ours), (3, theirs), (9, ours)):
        params = {"train": {"seed": seed}}
        assert merge_lock(base, ours, theirs, "dvc.lock", params).ours == expected


def test_records_that_fit_neither_come_from_the_side_to_which_the_others_point():
    names = ("train@a", "train@b", "train@c")
    ours, theirs = (
        lock(*(stage(name, seed=seed, dep="d", out=f"{name}{seed}") for name, seed in sides))
        for sides in (zip(names, (2, 7, 7), strict=True), zip(names, (3, 8, 8), strict=True))
    )
    base = lock(*(stage(name, seed=1, dep="d", out="o") for name in names))
    for seed, expected in ((3, theirs), (2, ours), (4, ours)):
        merged = merge_lock(base, ours, theirs, "dvc.lock", {"train": {"seed": seed}})
        assert merged.ours == expected


def test_a_lock_that_only_the_other_side_has_is_taken_with_its_head():
    assert merge_lock("", "", lock(A), "dvc.lock").ours == lock(A)
    assert merge_lock("", lock(A), "", "dvc.lock").ours == lock(A)


def test_a_record_beats_none_even_where_the_other_sides_are_taken():
    ours = [
        stage("train@a", seed=9, dep="d0", out="a9"),
        stage("train@b", seed=2, dep="d0", out="b2"),
    ]
    theirs = stage("train@b", seed=3, dep="d0", out="b3")
    params = {"train": {"seed": 3}}
    merged = merge_lock(lock(A, B), lock(*ours), lock(theirs), "dvc.lock", params)
    assert merged.ours == lock(ours[0], theirs)
    assert merge_lock(lock(A, B), lock(theirs), lock(*ours), "dvc.lock", params).ours in (
        lock(ours[0], theirs), lock(theirs, ours[0])
    )  # fmt: skip


def test_the_projects_own_lock_survives_a_merge_byte_for_byte(root):
    text = (root / "dvc.lock").read_text()
    assert merge_lock(text, text, text, "dvc.lock").ours == text
    assert merge_lock("", text, text, "dvc.lock").ours == text


def test_what_is_no_lock_is_refused_with_the_line():
    with pytest.raises(DataError, match="<<<<<<< HEAD"):
        merge_lock(lock(A), lock("<<<<<<< HEAD\n", A), lock(A), "dvc.lock")
    with pytest.raises(DataError, match=r"has 'deps: \[\]' where a stage was expected"):
        merge_lock(lock(A), "stages:\n    deps: []\n", lock(A), "dvc.lock")
    with pytest.raises(DataError, match="no stages"):
        merge_lock(lock(A), "hello\n", lock(A), "dvc.lock")
    with pytest.raises(DataError, match="no stages"):
        merge_lock(lock(A), lock(), lock(A), "dvc.lock")


def accepted(split="train", **masks):
    sets = [{"split": split, "masks": count, "dataset": name} for name, count in masks.items()]
    lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in sets)
    return f'{{"sets": [\n{lines}\n]}}\n'


def test_accepted_versions_are_merged_set_by_set():
    merged = merge_accepted(
        accepted(a=1, b=1), accepted(a=2, b=1), accepted(a=1, b=1, c=3), "data/accepted.json"
    )
    assert (merged.ours, merged.clashes) == (accepted(a=2, b=1, c=3), ())
    merged = merge_accepted(accepted(a=1), accepted(a=2), accepted(a=3), "data/accepted.json")
    assert [clash.key for clash in merged.clashes] == ["train.a"]
    with pytest.raises(DataError, match="accept"):
        merge_accepted("[]", accepted(a=1), accepted(a=1), "data/accepted.json")


def test_an_accepted_version_is_written_in_one_order_whatever_that_of_its_keys_and_sets():
    entries = [
        {"split": split, "masks": 1, "dataset": name}
        for split in ("val", "train") for name in ("(all)", "b", "a")
    ]  # fmt: skip
    ours = json.dumps({"sets": entries})
    lines = ",\n".join(
        f'{{"dataset": "{name}", "masks": 1, "split": "{split}"}}'
        for split in ("train", "val") for name in ("a", "b", "(all)")
    )  # fmt: skip
    assert merge_accepted("", ours, "", "a.json").ours == f'{{"sets": [\n{lines}\n]}}\n'
    assert merge_accepted(ours, '{"sets": []}', ours, "a.json").ours == '{"sets": []}\n'


def test_the_projects_accepted_version_survives_a_merge_byte_for_byte(root):
    text = (root / "data/accepted.json").read_text()
    assert merge_accepted(text, text, text, "data/accepted.json").ours == text


def test_quarantined_files_of_both_are_in_the_table_sorted():
    head = "file,sha256,reason\n"
    merged = merge_rows(
        head, f"{head}b.png,2,blurred\n", f'{head}a.png,1,"cut, half"\n', "data/quarantine.csv"
    )
    assert merged.ours == f'{head}a.png,1,"cut, half"\nb.png,2,blurred\n'
    for base, ours in (("", f"{head}\nb.png,2,x\n"), (head, f"{head}b.png,2,x\n\n")):  # blank lines
        assert merge_rows(base, ours, head, "q.csv").ours == f"{head}b.png,2,x\n"
        assert merge_rows(base, head, ours, "q.csv").ours == f"{head}b.png,2,x\n"
    assert merge_rows("", "", f"{head}b.png,2,x\n", "q.csv").ours == f"{head}b.png,2,x\n"
    merged = merge_rows(head, f"{head}b.png,2,blurred\n", f"{head}b.png,2,dark\n", "q.csv")
    assert [clash.key for clash in merged.clashes] == ["b.png"]
    with pytest.raises(DataError, match="columns"):
        merge_rows(head, f"{head}b,2,x\n", "file,reason\nb,x\n", "q.csv")
    with pytest.raises(DataError, match=r"'reason'\] on one side and .*'why'\] on the other"):
        merge_rows(head, head, "file,sha256,why\nb,2,x\n", "q.csv")
