"""What one file does for all, no other file does by itself."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from walks import nodes

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("pasam", "pipelines")
    for path in (ROOT / folder).rglob("*.py")
)


def dotted(node: ast.AST) -> str:
    """Write `a.b.c` as it stands; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_import_of(node: ast.AST, *modules: str) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name in modules for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        return not names.isdisjoint(modules)
    return False


def renames_over_a_file(node: ast.AST) -> bool:
    # str.replace takes two arguments, datetime's and dataclasses' only named ones beside the first.
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if dotted(node.func) in ("os.replace", "os.rename", "shutil.move"):
        return True
    if dotted(node.func) == "dataclasses.replace":
        return False
    if node.func.attr not in ("replace", "rename") or len(node.args) != 1 or node.keywords:
        return False
    return not isinstance(node.args[0], ast.Constant)  # pandas renames a column by a word


def makes_a_draft(node: ast.AST) -> bool:
    return dotted(node) in ("tempfile.mkstemp", "tempfile.NamedTemporaryFile", "os.fsync")


def hashes_bytes(node: ast.AST) -> bool:
    return is_import_of(node, "hashlib")


def writes_parquet(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and (
        node.attr in ("to_parquet", "ParquetWriter") or dotted(node) == "pq.write_table"
    )


def starts_processes(node: ast.AST) -> bool:
    return is_import_of(node, "multiprocessing", "joblib", "concurrent.futures.ProcessPoolExecutor")


def calls_pycocotools_mask(node: ast.AST) -> bool:
    return is_import_of(node, "pycocotools.mask")


def opens_an_image(node: ast.AST) -> bool:
    return dotted(node) in ("Image.open", "PillowImage.open", "PIL.Image.open", "cv2.imread")


def chooses_a_device(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or dotted(node.func) != "torch.device":
        return False
    return not (isinstance(node.args[0], ast.Constant) and node.args[0].value == "meta")


def compares_with_128(node: ast.AST) -> bool:
    if not isinstance(node, ast.Compare):
        return False
    return any(
        isinstance(side, ast.Constant) and side.value in (127, 128) for side in node.comparators
    )


OWNERS = {
    renames_over_a_file: {"pasam/files.py"},
    makes_a_draft: {"pasam/files.py"},
    hashes_bytes: {"pasam/files.py"},
    writes_parquet: {"pasam/files.py"},
    starts_processes: {"pasam/workers.py"},
    calls_pycocotools_mask: {"pasam/masks/run_lengths.py"},
    opens_an_image: {
        "pasam/masks/images.py",
        "pasam/synthetic/surfaces.py",  # photographs of its own package; it does not know `masks`
    },
    chooses_a_device: {"pasam/models/base_sam.py"},
    compares_with_128: {
        "pasam/masks/images.py",
        # Thresholds of its own layers; it stands beside `masks` and does not know it.
        "pasam/synthetic/scene.py",
        "pasam/synthetic/surfaces.py",
    },
}


@cache
def found() -> dict[Callable[[ast.AST], bool], set[str]]:
    """Files that do each of it; the tree is read once for all."""
    places = {does: set() for does in OWNERS}
    for path in FILES:
        for node in nodes(Path(path)):
            if isinstance(node, ast.Attribute | ast.Call | ast.Compare | ast.stmt):
                for does, paths in places.items():
                    if does(node):
                        paths.add(path)
    return places


@pytest.mark.long
@pytest.mark.parametrize("does", OWNERS, ids=lambda does: does.__name__)
def test_only_its_owner(does):
    assert found()[does] <= OWNERS[does]


@pytest.mark.parametrize(
    ("does", "code"),
    [
        (renames_over_a_file, "draft.replace(path)"),
        (renames_over_a_file, "os.replace(draft, path)"),
        (makes_a_draft, "tempfile.mkstemp(dir=folder)"),
        (hashes_bytes, "from hashlib import sha256"),
        (writes_parquet, "pq.write_table(table, path)"),
        (writes_parquet, "frame.to_parquet(path)"),
        (starts_processes, "from concurrent.futures import ProcessPoolExecutor"),
        (calls_pycocotools_mask, "from pycocotools import mask as codec"),
        (opens_an_image, "Image.open(path)"),
        (chooses_a_device, "torch.device(name)"),
        (compares_with_128, "mask > 128"),
    ],
)
def test_what_is_forbidden_would_be_found(does, code):
    assert any(does(node) for node in ast.walk(ast.parse(code)))


def test_what_only_looks_like_it_is_allowed():
    code = "text.replace('a', 'b'); replace(row, x=1); day.replace(hour=1); torch.device('meta')"
    for node in ast.walk(ast.parse(code)):
        assert not any(does(node) for does in OWNERS)
