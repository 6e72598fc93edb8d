"""One name is added to a list, and every other byte of the params file stays."""

import pytest
import yaml

from pasam.data.own_sets import add_benchmark
from pasam.errors import ParamsError


@pytest.mark.parametrize("size", ["default", "smoke", "paper"])
def test_one_line_changes_in_every_size(root, tmp_path, size):
    old = (root / "params" / f"{size}.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(old)
    changed = add_benchmark("cats", path)
    assert [line[0] for line in changed] == ["-", "+"]
    new = path.read_text().splitlines()
    assert [line for line in new if line not in old.splitlines()] == [changed[1][1:]]
    assert len(new) == len(old.splitlines())
    expected = yaml.safe_load(old)
    expected["evaluate"]["benchmarks"].append("cats")
    assert yaml.safe_load(path.read_text()) == expected
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_there_changes_nothing(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("evaluate:\n    benchmarks:   [cats]   # mine\n")
    before = path.read_bytes()
    assert add_benchmark("cats", path) == []
    assert path.read_bytes() == before


def test_a_list_written_below_each_other_stays_so(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("evaluate:\n  benchmarks:\n  - dogs  # old\n  batch_size: null\n")
    add_benchmark("cats", path)
    text = "evaluate:\n  benchmarks:\n  - dogs  # old\n  - cats\n  batch_size: null\n"
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["evaluate:\n  benchmarks: cats\n", "data: {}\n"])
def test_a_file_without_the_list_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"evaluate.benchmarks is .*, expected a list"):
        add_benchmark("cats", tmp_path / "params.yaml")
