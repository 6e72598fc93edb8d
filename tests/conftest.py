"""What all tests share: options, the project's root, and an empty current folder."""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import logging
import os
import pickle
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import _pytest.logging
import pytest
import typer.main
import typer.testing
from filelock import FileLock
from hypothesis import HealthCheck, settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

if str(HERE) not in sys.path:  # so that the tests find `small_world`
    sys.path.insert(0, str(HERE))

from small_world import SmallWorld, make_world, small_base  # noqa: E402
from team_servers import Machine, require_machine  # noqa: E402
from tracked_world import (  # noqa: E402
    accept,
    copy_tracked,
    leave_servers,
    make_tracked,
    pack,
    standing_in,
)

# Two test processes on two cores must not fight for them; read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# For trainings that a GPU repeats to the bit; read when a process first multiplies on one.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# Shells start background jobs with Ctrl-C ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Torch, MLflow and Great Expectations make millions of objects that stay: going through them again
# and again took a tenth of the tests' time.
gc.set_threshold(50_000, 20, 100)

# Great Expectations brings jsonschema, which would make 38 grammars of addresses at its import: two
# seconds in each process, for formats that nothing here checks. Without the package it does not.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

# The doctor asks for the versions of all packages of the lock: a tenth of a second each time.
importlib.metadata.version = functools.cache(importlib.metadata.version)

# Typer makes all of the application's commands anew for each one that a test invokes: a tenth of a
# second for fifty commands, where a person waits for it once.
typer.main.get_command = typer.testing._get_command = functools.cache(typer.main.get_command)


def _catch_at_the_root(catching: _pytest.logging.catching_logs) -> logging.Handler:
    """Let pytest catch what loggers say, but for those that pass nothing on: torch's and others'.

    For these it would go through all loggers there are, thousands, six times in each test: a
    millisecond, as long as many a test takes. What they say is on stderr all the same.
    """
    root = logging.getLogger()
    if catching.level is not None:
        catching.handler.setLevel(catching.level)
        catching.orig_level = root.level
        root.setLevel(min(root.level, catching.level))
    root.addHandler(catching.handler)
    catching.attached_loggers.append(root)
    return catching.handler


_pytest.logging.catching_logs.__enter__ = _catch_at_the_root  # type: ignore[method-assign]


@pytest.hookimpl(trylast=True)  # after what is not asked for has been left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what needs the small project in the middle, where the second of two processes begins.

    It makes that project and those that come of it, while the first does what needs none: where
    both came to it at once, one waited for a minute.
    """
    need = [item for item in items if "world" in getattr(item, "fixturenames", ())]
    others = [item for item in items if "world" not in getattr(item, "fixturenames", ())]
    middle = min(len(others), (len(items) + 1) // 2)
    items[:] = [*others[:middle], *need, *others[middle:]]


def pytest_collection_finish() -> None:
    """Import what must not be imported within a test, and never go through it all again."""
    import dvc  # noqa: F401  (it keeps the stdout of that moment, which a command's test closes)

    gc.freeze()


# A suite must not fail today and pass tomorrow on the same code: the same examples every time.
# `--hypothesis-profile search` draws new ones, to look for faults. How long one takes is no matter.
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, database=None, **UNTIMED)
settings.register_profile("search", print_blob=True, **UNTIMED)
settings.load_profile("repeatable")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU, or several, in words, before anything is made for it."""
    marker = item.get_closest_marker("gpu")
    if marker:
        import torch

        count, wanted = torch.cuda.device_count(), marker.args[0] if marker.args else 1
        if not torch.cuda.is_available():
            pytest.skip("there is no GPU here that torch can use")
        if count < wanted:
            pytest.skip(f"it needs {wanted} GPUs, and there are {count}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--fixtures` name the recordings; pytest's own option keeps its name `--funcargs`."""
    group = parser.getgroup("parity", "agreement with the reference implementations")
    group._arggroup.conflict_handler = "resolve"
    group.addoption(
        "--fixtures",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="Recordings of the reference implementations, for tests/parity.",
    )


@pytest.fixture(
    params=[
        pytest.param("cpu", id="on_cpu"),
        pytest.param("cuda", id="on_cuda", marks=pytest.mark.gpu),
    ]
)
def tested_device(request: pytest.FixtureRequest) -> Iterator[str]:
    """A device whose results are held against the CPU's, products of float32 as they are.

    The CPU itself is one, so that what a test does is walked where there is no GPU.
    """
    import torch

    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield request.param
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root."""
    return ROOT


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that relative paths touch nothing real."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


Made = TypeVar("Made")


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]) -> Made:
    """Make something in an empty folder, once for all processes of a test run; the others wait."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each process has a folder of its own in that of the run
    told = base / f"{name}.pickle"
    with FileLock(base / f"{name}.lock"):
        if not told.exists():
            folder = base / f"{name}-{os.getpid()}"  # what a failed one has left stays aside
            folder.mkdir()
            told.write_bytes(pickle.dumps(make(folder)))
    made: Made = pickle.loads(told.read_bytes())  # noqa: S301  (written above)
    return made


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """A small project whose stages have all run, each alone; not to be changed."""

    def make(folder: Path) -> SmallWorld:
        (folder / "world").mkdir()
        made = make_world(folder / "world", ROOT)
        for name in made.stages:
            made.run_alone(name, folder / "alone" / name)
        return made

    return _made_once(tmp_path_factory, "world", make)


@pytest.fixture
def own_world(world: SmallWorld, tmp_path: Path) -> SmallWorld:
    """A copy of the small project that a test may change."""
    return world.copy(tmp_path / "world")


@pytest.fixture(scope="session")
def _model_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from inference_models import write_project

    folder = tmp_path_factory.mktemp("project")
    write_project(folder, ROOT)
    return folder


@pytest.fixture
def model_project(_model_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a params file, a small base, and untrained adapters; not to be changed.

    `tiny` is the small base of 64 px as long as the test runs.
    """
    import pasam.inference.model_files
    import pasam.models.build

    monkeypatch.setattr(pasam.models.build, "build_base", small_base)
    monkeypatch.setattr(pasam.inference.model_files, "build_base", small_base)
    monkeypatch.chdir(_model_project)
    return _model_project


def _leave_syncing_to_the_system(connection: object, _record: object) -> None:
    """Let sqlite not wait for the disk: a killed process loses nothing, only a power cut would."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def mlflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite file with MLflow's tables and nothing in them; to be copied."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.store.db import utils
    from mlflow.utils import requirements_utils
    from sqlalchemy import Engine, event

    event.listen(Engine, "connect", _leave_syncing_to_the_system)
    # For the newest of its 67 migrations MLflow loads them all, at every file that it opens first;
    # for the packages of each requirement, at every model that it saves, all that is installed.
    for module, name in (
        (utils, "_get_latest_schema_revision"),
        (requirements_utils, "_check_requirement_satisfied"),
    ):
        setattr(module, name, functools.cache(getattr(module, name)))

    def make(folder: Path) -> Path:
        from mlflow import MlflowClient

        path = folder / "mlflow.db"
        MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
        return path

    return _made_once(tmp_path_factory, "mlflow", make)


@pytest.fixture(scope="session")
def tracked_once(
    world: SmallWorld, mlflow_tables: Path, tmp_path_factory: pytest.TempPathFactory
) -> SmallWorld:
    """The small project, locked, committed, pushed, with MLflow's tables; to be copied."""
    return _made_once(
        tmp_path_factory,
        "tracked",
        lambda folder: make_tracked(world, mlflow_tables, folder / "world"),
    )


@pytest.fixture(scope="session")
def fresh_once(tracked_once: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """The small project with a gate that accepts it, and nothing in MLflow; to be copied."""

    def make(folder: Path) -> SmallWorld:
        own = copy_tracked(tracked_once, folder / "world")
        accept(own)
        return pack(own)

    return _made_once(tmp_path_factory, "fresh", make)


@pytest.fixture(scope="session")
def accepted_once(fresh_once: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """The same with all its stages recorded; to be copied."""

    def make(folder: Path) -> SmallWorld:
        from pasam.registry.runs import sync

        own = copy_tracked(fresh_once, folder / "world")
        with standing_in(own):
            sync(own.folder)
        return own

    return _made_once(tmp_path_factory, "accepted", make)


@pytest.fixture(scope="session")
def champion_once(
    accepted_once: SmallWorld, tmp_path_factory: pytest.TempPathFactory
) -> SmallWorld:
    """The same with version 1 as champion; to be copied."""

    def make(folder: Path) -> SmallWorld:
        from pasam.registry.promotion import promote

        own = copy_tracked(accepted_once, folder / "world")
        with standing_in(own):
            assert promote(own.folder).promoted
        return pack(own)

    return _made_once(tmp_path_factory, "champion", make)


@pytest.fixture
def tracked(
    tracked_once: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SmallWorld:
    """A copy of that project which a test may change, and the current folder."""
    leave_servers(monkeypatch)
    own = copy_tracked(tracked_once, tmp_path / "world")
    monkeypatch.chdir(own.folder)
    monkeypatch.setattr("pasam.models.build.build_base", small_base)
    return own


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine with the team's servers, out of namespaces; skipped where none can be made."""
    require_machine()
    with tempfile.TemporaryDirectory(prefix="pasam-team-") as folder:
        made = Machine(Path(folder))
        try:
            yield made
        finally:
            made.close()
