"""The shape of the source tree: the unit is the idea, and every file says which one it holds.

Which module may import which is import-linter's business (`make check`).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

from walks import nodes, tree

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    path.relative_to(ROOT)
    for folder in ("pasam", "pipelines")
    for path in (ROOT / folder).rglob("*.py")
)
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))
INITS = [path for path in MODULES if path.name == "__init__.py"]
CODE = [path for path in MODULES if path.name != "__init__.py"]

VAGUE_NAMES = {"utils", "util", "misc", "helpers", "helper", "common", "base", "legacy", "v2"}
LONGEST_FILE = 600
LONGEST_FUNCTION = 60
MOST_FILES = 16  # in a folder
MOST_TEST_FILES = 180


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from `def` on, its docstring left out."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys; before = set(sys.modules); import pasam; print(set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "{'pasam'}\n"


DOOR = Path("pipelines/__init__.py")
"""Asks for the packages before anything imports them, and so is more than a docstring."""


def test_a_folder_re_exports_nothing():
    def holds_names_only(path: Path) -> bool:
        kinds = {type(node) for node in tree(path).body}
        calls = any(isinstance(node, ast.Call) for node in nodes(path))
        return kinds <= {ast.Expr, ast.Assign} and not calls

    assert [str(path) for path in INITS if path != DOOR and not holds_names_only(path)] == []


def test_a_module_opens_with_what_lives_there():
    def opens_well(path: Path) -> bool:
        first, _, rest = (ast.get_docstring(tree(path)) or "").partition("\n")
        return first.endswith((".", ":")) and (not rest or rest.startswith("\n"))

    assert [str(path) for path in MODULES if not opens_well(path)] == []


def test_a_file_is_short():
    lines = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in (*MODULES, *TESTS)
    }
    assert {path: count for path, count in lines.items() if count > LONGEST_FILE} == {}


def test_a_files_name_says_something():
    assert [str(path) for path in (*MODULES, *TESTS) if path.stem in VAGUE_NAMES] == []


def test_a_function_fits_the_eye():
    lines = {
        f"{path}: {node.name}": code_lines(node)
        for path in CODE
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: count for name, count in lines.items() if count > LONGEST_FUNCTION} == {}


def pipeline_paths(path: Path) -> list[str]:
    """Paths of the pipeline's files that a module names outside of its docstrings."""
    docstrings = {
        id(node.value)
        for node in nodes(path)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in nodes(path)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        and node.value.split("/")[0] in {"data", "reports"}
        and "/" in node.value
    ]


def test_paths_of_the_pipeline_stand_in_dvc_yaml_only():
    # Except in commands, where a person looks at results, and brings data sets.
    others = [path for path in CODE if Path("pasam/cli") not in path.parents]
    named = {str(path): pipeline_paths(path) for path in others}
    assert {path: paths for path, paths in named.items() if paths} == {}


def test_no_folder_is_crowded():
    crowded = {
        str(folder): len(list((ROOT / folder).glob("*.py")))
        for folder in {path.parent for path in MODULES}
    }
    assert {name: count for name, count in crowded.items() if count > MOST_FILES} == {}


def test_the_tests_fit_into_their_files():
    assert len(TESTS) <= MOST_TEST_FILES


NAMED_AS_WHAT_IT_RUNS = {Path("pasam/cli"), Path("pipelines/stages"), Path("pipelines/flows")}
SHARED_BY_COMMANDS = {"app", "options", "resources", "run_costs", "space_costs"}


def test_no_module_name_stands_twice():
    named = [
        path
        for path in CODE
        if path.parent not in NAMED_AS_WHAT_IT_RUNS or path.stem in SHARED_BY_COMMANDS
    ]
    counts = Counter(path.stem for path in named if path.name != "__main__.py")
    assert {stem: count for stem, count in counts.items() if count > 1} == {}


def test_no_class_name_stands_twice():
    counts = Counter(
        node.name for path in CODE for node in nodes(path) if isinstance(node, ast.ClassDef)
    )
    assert {name: count for name, count in counts.items() if count > 1} == {}
