"""From a function's signature to its command line and its exit code: stages and flows alike."""

from __future__ import annotations

import argparse
import functools
import inspect
import logging
import os
import signal
import sys
import threading
import types
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from pasam.config.params_file import (
    DEFAULT_PATH,
    load_ablations,
    load_companions,
    load_models,
    load_section,
    load_variant,
)
from pasam.config.schema import (
    AblationsParams,
    CompanionsParams,
    ModelsParams,
    VariantParams,
)
from pasam.config.section import Section
from pasam.errors import OWN_FAULT, ParamsError, PasamError, in_words, own_fault
from pasam.workers import (
    GRACE,
    LAST_WORD,
    ProcessGroup,
    adopt_srun,
    devices_here,
    leave_word,
    open_meeting,
    require_devices,
    require_fitting_launch,
    run_together,
    started_group,
)

INTERRUPTED = 130
TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what is left open is closed on the way out, as after Ctrl-C."""


def run(
    stage: Callable[..., None], arguments: Sequence[str] | None = None, *,
    devices: str | None = None,
) -> None:  # fmt: skip
    """Run a stage as a command, from the last line of its file (`if __name__ == "__main__"`).

    A parameter whose type is a class of `pasam.config.schema` is the section of `params.yaml`
    with the parameter's name. One of type `VariantParams` is the entry of `models` that the stage's
    `model: str` names, one of type `CompanionsParams` are the models that are trained together with
    it, one of type `ModelsParams` is all of `models`, one of type `AblationsParams` all of
    `ablations` as they stand. A `ProcessGroup` is the processes that
    were started together. All others are flags; see `add_flags`.

    Args:
        stage: The stage's one public function.
        arguments: The command line without the program; by default the process's own, and only
            such a command is started in several processes.
        devices: The section whose `devices` says how many processes share the stage: those that
            train together, or those of its `ProcessGroup`. They are started here, unless `torchrun`
            or `srun` has done so. Of a stage without such a section each would do all the work,
            into the same files, and so they are refused.
    """
    hints = typing.get_type_hints(stage)
    sections = {name: hint for name, hint in hints.items() if _is_section(hint)}
    groups = [name for name, hint in hints.items() if hint is ProcessGroup]
    module = inspect.getmodule(stage)
    program = f"python -m {module.__spec__.name}" if module and module.__spec__ else None
    parser = argparse.ArgumentParser(
        prog=program, description=docstring_parts(stage)[0], allow_abbrev=False
    )
    add_flags(parser, stage, leave_out={*sections, *groups})
    parser.add_argument("--params-file", type=Path, default=DEFAULT_PATH, metavar="PATH")
    flags = vars(parser.parse_args(arguments))
    params_file = flags.pop("params_file")
    with exit_codes(), ended_with_dvc():
        adopt_srun()
        if devices is None:
            _require_one_process(stage.__name__)
        loaded = {name: _load(hint, name, flags, params_file) for name, hint in sections.items()}
        if devices is not None:
            first, *inner = devices.split(".")
            section = functools.reduce(getattr, inner, loaded[first])
            count = processes_to_start(devices, section)
            if count > 1 and arguments is None:
                _work_together(count)
                return
        open_meeting()
        group = started_group()
        if groups:
            group.join()
        stage(**flags, **loaded, **dict.fromkeys(groups, group))


def processes_to_start(key: str, section: Any) -> int:
    """Say how many processes of this command are to be started here; 1 is this one alone.

    Args:
        key: The section's place in the params file.
        section: Has `devices`, `accelerator`, and `nodes` where it says how many machines train.

    Raises:
        ParamsError: Others were started than the params say; several machines are to train, and
            the others are not known here; or there are fewer GPUs.
    """
    nodes = getattr(section, "nodes", None)
    if "WORLD_SIZE" in os.environ:
        require_fitting_launch(key, section.devices, nodes)
        require_devices(key, section.accelerator, started_group().local_size)
        return 1
    if nodes is not None and nodes > 1:
        raise ParamsError(
            f"{key}.nodes is {nodes}: start the stage on each of {nodes} machines by `torchrun "
            f"--nnodes {nodes} --nproc-per-node {section.devices}` (docs/team.md), or set it to 1 "
            "to train on this one alone."
        )
    require_devices(key, section.accelerator, section.devices)
    if section.devices == "auto":
        return devices_here(section.accelerator)
    return int(section.devices)


def _work_together(count: int) -> None:
    """Run this very command in several processes, and end as the first of them that failed."""
    code, words = run_together([sys.executable, *sys.orig_argv[1:]], count)
    sys.stderr.write(words)
    if code:
        sys.exit(code)


def _require_one_process(name: str) -> None:
    started = os.environ.get("WORLD_SIZE", "1")
    if started != "1":
        raise ParamsError(
            f"{started} processes were started, and stage {name} runs in one. Start it once, "
            "without torchrun, or by srun --ntasks=1; `python -m pipelines.flows fan_out` gives "
            "stages that do not need each other to several GPUs."
        )


def add_flags(
    parser: argparse.ArgumentParser, function: Callable[..., Any], leave_out: Collection[str] = ()
) -> None:
    """Give a parser one flag for each parameter of a function.

    A parameter without a default is a required flag. Its type may be `Path`, `str`, `int`,
    `float`, `bool` (`--x` and `--no-x`), a `Literal` of several words, or `list[X]` for a flag
    that may be repeated; any of them may be `| None`. Help is what the docstring's `Args:` say.
    """
    _, words = docstring_parts(function)
    hints = typing.get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in leave_out:
            continue
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        text = words.get(name, "").replace("%", "%%")
        if default and default is not True:
            text = f"{text} [default: {default}]"
        parser.add_argument(
            f"--{name.replace('_', '-')}", required=required, default=default, help=text or None,
            **_argument(hints[name]),
        )  # fmt: skip


def _argument(hint: Any) -> dict[str, Any]:
    """Say in argparse's words what a type reads."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if origin is typing.Literal:
        return {"choices": inner}
    if origin is types.UnionType:
        return _argument(inner[0])
    if origin is list:
        return {"action": "append", **_argument(inner[0])}
    return {"type": hint, "metavar": hint.__name__.upper()}


def docstring_parts(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Split a docstring into what stands before its `Args:` and the words on each parameter."""
    text, _, section = (inspect.getdoc(function) or "").partition("\n\nArgs:\n")
    words: dict[str, str] = {}
    name = ""
    for line in section.partition("\n\n")[0].splitlines():
        if line.startswith("     "):  # deeper than a name: it goes on
            words[name] += f" {line.strip()}"
        else:
            name, _, first = line.strip().partition(":")
            words[name] = first.strip()
    return text, words


@contextmanager
def exit_codes() -> Iterator[None]:
    """End the process as the block ends: with a line and an exit code, where a person is meant.

    Exit codes are those of `pasam.errors`, each with one line. Ctrl-C and SIGTERM raise
    KeyboardInterrupt in the block, so that it can close what it has open on the way out.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    except PasamError as error:
        _end_with(error.exit_code, error)
    except Terminated:
        sys.exit(TERMINATED)
    except Exception as error:  # noqa: BLE001  (no traceback reaches a person)
        known = in_words(error)
        code = OWN_FAULT if known is None else known.exit_code
        _end_with(code, own_fault(error) if known is None else known)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _end_with(code: int, error: object) -> None:
    line = f"error: {error}\n"
    if not leave_word(code, line):
        sys.stderr.write(line)
    sys.exit(code)


@contextmanager
def ended_with_dvc(pause: float = 1.0) -> Iterator[None]:
    """Stop this process as SIGTERM does, once the DVC that started it is gone.

    A `dvc repro` that was killed leaves its stage behind, and the next one's training would write
    into the same folder of saved states beside it. One of several processes ends with the one that
    has started them, at the latest when its grace is over.

    Args:
        pause: Seconds between two looks.
    """
    own, together = psutil.Process(), LAST_WORD in os.environ
    starter = own.parent() if together else next(filter(_is_dvc, own.parents()), None)
    if starter is None:  # a person started the stage alone
        yield
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(pause):
            if _is_gone(starter):
                os.kill(os.getpid(), signal.SIGTERM)
                if together and not done.wait(GRACE):  # it waits for others, in no Python
                    os.kill(os.getpid(), signal.SIGKILL)
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:  # between the two questions
        return True


def _is_dvc(process: psutil.Process) -> bool:
    """Whether a process runs DVC, as a program or as `python -m dvc`."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return any(Path(word).name == "dvc" for word in words[:3])


def _raise_terminated(number: int, frame: types.FrameType | None) -> None:
    if LAST_WORD in os.environ:  # one of several processes hears of one end from several sides
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _is_section(hint: Any) -> bool:
    if hint in (VariantParams, ModelsParams, CompanionsParams, AblationsParams):
        return True
    return isinstance(hint, type) and issubclass(hint, Section)


def _load(hint: Any, name: str, flags: dict[str, Any], params_file: Path) -> Any:
    if hint == VariantParams:
        return load_variant(flags["model"], params_file)
    if hint == ModelsParams:
        return load_models(params_file)
    if hint == CompanionsParams:
        return load_companions(flags["model"], params_file)
    if hint == AblationsParams:
        return load_ablations(params_file)
    return load_section(hint, name, params_file)
