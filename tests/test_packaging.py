"""A wheel gives masks with its base packages alone, and says which group brings what else."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import skimage
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from small_world import load_yaml
from typer.testing import CliRunner

from pasam.cli.app import app, refuse_windows
from pasam.config.presets import compose_text
from pasam.errors import EXTRA_OF, ParamsError, installing

BLOCKED = (
    "import importlib.abc, sys\n"
    f"blocked = {sorted({*EXTRA_OF, 'pipelines'})!r}\n"
    "class Missing(importlib.abc.MetaPathFinder):\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] in blocked:\n"
    "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
    "sys.meta_path.insert(0, Missing())\n"
)
"""Code after which Python is one without the packages of any group."""


@pytest.mark.slow  # a service in a process of its own
def test_the_service_starts_with_what_its_image_has(root):
    lock = (root / "deploy/serve.lock").read_text()
    brought = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    providers = importlib.metadata.packages_distributions()
    # The image has `mlflow-skinny`, whose module is `mlflow`.
    there = {m for m in EXTRA_OF if brought & {canonicalize_name(n) for n in providers.get(m, ())}}
    assert there >= {"fastapi", "imagehash", "mlflow", "pyarrow"}
    blocked = BLOCKED.replace(
        repr(sorted({*EXTRA_OF, "pipelines"})), repr(sorted({*EXTRA_OF, "pipelines"} - there))
    )
    code = (
        "import pasam.cli.serve, pasam.registry.load, pasam.registry.version_files\n"
        "import pasam.serving.web_app, pasam.serving.server, pasam.serving.last_good\n"
        "print('imported')"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked + code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stdout == "imported\n", done.stderr


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture
def photograph(in_empty_folder):
    Image.fromarray(skimage.data.coffee()).save(in_empty_folder / "coffee.png")
    return in_empty_folder


def python(code, *arguments, path):
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *arguments],
        capture_output=True, text=True, env=environment, check=False, timeout=300,
    )  # fmt: skip


def pasam(*arguments, path):
    code = "from pasam.cli.app import app\napp(sys.argv[1:])"
    return python(code, *arguments, path=path)


PREDICTIONS = """
import skimage
from pasam.cli.app import app
from pasam.registry.load import load_predictor

app(sys.argv[1:], standalone_mode=False)
late = {'scipy', 'pandas', 'jinja2', 'pyarrow', 'torchvision', 'torch._dynamo'}
print(sorted(late & set(sys.modules)))
formats = [word for form in ('coco', 'rle', 'uncertainty') for word in ('--format', form)]
app([*sys.argv[1:], *formats], standalone_mode=False)
predictor = load_predictor(device='auto')
predictor.set_image(skimage.data.coffee())
print(predictor.predict(box=[80, 15, 482, 385])[0].mean())
"""


@pytest.mark.slow  # it imports all anew
def test_the_command_and_the_library_give_masks_without_the_packages_of_any_group(root, photograph):
    """Nor does a mask wait for what only tables need."""
    typed = ("predict", "coffee.png", "--box", "80,15,482,385", "--out", "out", "--format", "png")
    done = python(PREDICTIONS, *typed, path=root)
    assert done.returncode == 0, done.stderr
    assert 0.3 < (skimage.io.imread("out/coffee_mask.png") > 0).mean() < 0.6
    assert "[]" in done.stdout.splitlines()
    assert 0.3 < float(done.stdout.splitlines()[-1]) < 0.6, done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("typed", "extra"),
    [
        ("serve", "serve"),
        pytest.param(
            *("predict coffee.png --box 80,15,482,385 --model champion", "serve"),
            marks=pytest.mark.slow,
        ),
        ("evaluate --model pa_sam --images . --masks .", "serve"),
        pytest.param("export --model pa_sam --out onnx", "export", marks=pytest.mark.slow),
    ],
)
def test_what_needs_more_names_its_group_in_one_line(typed, extra, root, photograph, monkeypatch):
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", "http://127.0.0.1:9"
    )  # without it there is no champion
    done = pasam(*typed.split(), path=root)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert installing(extra) in done.stderr


@pytest.mark.long
def test_every_module_that_pasam_imports_has_a_group_that_brings_it(root, project):
    brought = {
        extra: {canonicalize_name(Requirement(each).name) for each in requirements}
        for extra, requirements in project["optional-dependencies"].items()
    }
    base = {canonicalize_name(Requirement(each).name) for each in project["dependencies"]}
    providers = importlib.metadata.packages_distributions()
    # What a package of the group brings along by itself.
    along = {
        **{"markupsafe": "jinja2", "mlflow": "mlflow-skinny"},
        **{"pydantic_core": "pydantic", "starlette": "fastapi"},
    }
    homeless = {}
    for module in sorted(foreign_modules(root / "pasam")):
        names = {canonicalize_name(name) for name in providers.get(module, ())}
        names |= {along.get(module, canonicalize_name(module))}
        there = brought.get(EXTRA_OF[module], set()) if module in EXTRA_OF else base
        if not names & there:
            homeless[module] = names
    assert homeless == {}


def foreign_modules(folder):
    """Name the packages that a folder's files import, at any depth, and that are not its own."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").partition(".")[0])
    for_types_alone = {"_typeshed"}  # type checkers bring it, and no program can import it
    return found - set(sys.stdlib_module_names) - for_types_alone - {"pasam"}


def test_windows_is_refused_in_a_line_that_says_where_it_works():
    with pytest.raises(ParamsError, match="WSL 2"):
        refuse_windows("nt")
    refuse_windows("posix")


def test_presets_can_be_used_where_no_project_is(in_empty_folder, root):
    assert CliRunner().invoke(app, ["params", "use", "smoke"]).exit_code == 0
    written = (in_empty_folder / "params.yaml").read_text()
    assert written == compose_text("smoke", root / "params")


def test_every_file_that_is_no_code_is_named_for_the_wheel(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    tracked = subprocess.run(
        ["git", "ls-files", "pasam"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    patterns = settings["package-data"]["pasam"]
    others = [Path(name).relative_to("pasam") for name in tracked if not name.endswith(".py")]
    assert [path for path in others if not any(path.match(pattern) for pattern in patterns)] == []


@pytest.mark.slow
def test_a_wheel_gives_a_mask_in_an_empty_folder_within_five_seconds(
    root, tmp_path_factory, photograph, monkeypatch
):
    site = install(root, tmp_path_factory.mktemp("wheel"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = os.times()
    done = pasam("predict", "coffee.png", "--box", "80,15,482,385", path=site)
    after = os.times()
    assert done.returncode == 0, done.stderr
    assert 0.3 < (skimage.io.imread("predictions/coffee_mask.png") > 0).mean() < 0.6
    # Of processor time, so that what else the machine does is not counted.
    used = after.children_user - before.children_user
    assert used + after.children_system - before.children_system < 5
    where = python("import pasam; print(pasam.__file__)", path=site).stdout
    assert Path(where.strip()).is_relative_to(site)


@pytest.mark.slow
def test_a_wheel_brings_presets_catalogue_and_page(root, tmp_path_factory, in_empty_folder):
    site = install(root, tmp_path_factory.mktemp("wheel"))
    assert pasam("params", "use", "paper", path=site).returncode == 0
    assert load_yaml(Path("params.yaml").read_text())["base"]["size"] == "vit_l"
    listed = pasam("data", "list", path=site)
    assert "sam_vit_l" in listed.stdout, listed.stderr
    assert (site / "pasam/serving/page/index.html").is_file()
    code = {path.relative_to(root) for path in (root / "pasam").rglob("*.py")}
    assert {path.relative_to(site) for path in (site / "pasam").rglob("*.py")} == code
    for kept in ("catalogue.yaml", "photos_objects.json"):
        assert (site / "pasam/data" / kept).is_file()


def install(root, folder):
    """Build a wheel of what is tracked, and install it alone; return the folder it is in."""
    source = folder / "source"
    parts = ("pasam", "params", "pyproject.toml", "setup.py", "README.md", "LICENSE")
    names = subprocess.run(
        ["git", "ls-files", *parts], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((root / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert re.match(r"prompt_adapter_sam-[\d.]+-py3-none-any\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"
