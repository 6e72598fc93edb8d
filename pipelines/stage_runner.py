"""From a function's signature to its command line and its exit code: stages and flows alike."""

from __future__ import annotations

import argparse
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
from pasam.workers import ProcessGroup, started_group

INTERRUPTED = 130
TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM came: whoever saves its state after Ctrl-C does so now, too."""


def run(
    stage: Callable[..., None], arguments: Sequence[str] | None = None, *, trains: bool = False
) -> None:
    """Run a stage as a command, from the last line of its file (`if __name__ == "__main__"`).

    A parameter whose type is a class of `pasam.config.schema` is the section of `params.yaml`
    with the parameter's name. One of type `VariantParams` is the entry of `models` that the stage's
    `model: str` names, one of type `CompanionsParams` are the models that are trained together with
    it, one of type `ModelsParams` is all of `models`, one of type `AblationsParams` all of
    `ablations` as they stand. A `ProcessGroup` is the processes that
    were started together. All others are flags; see `add_flags`.

    Args:
        stage: The stage's one public function.
        arguments: The command line without the program; by default the process's own.
        trains: Whether several processes may train in it together, as `torchrun` starts them.
            They may share the work of a stage that takes a `ProcessGroup`, too; of any other stage
            each would do all the work, into the same files, and so they are refused.
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
        if not (trains or groups):
            _require_one_process(stage.__name__)
        loaded = {name: _load(hint, name, flags, params_file) for name, hint in sections.items()}
        stage(**flags, **loaded, **{name: started_group() for name in groups})


def _require_one_process(name: str) -> None:
    started = os.environ.get("WORLD_SIZE", "1")
    if started != "1":
        raise ParamsError(
            f"{started} processes were started (WORLD_SIZE), and stage {name} runs in one. Start "
            "it once, without torchrun; `python -m pipelines.flows fan_out` gives stages that do "
            "not need each other to several GPUs."
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
    KeyboardInterrupt in the block, so that it can save its state on the way out.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    except PasamError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except Terminated:
        sys.exit(TERMINATED)
    except Exception as error:  # noqa: BLE001  (no traceback reaches a person)
        known = in_words(error)
        sys.stderr.write(f"error: {own_fault(error) if known is None else known}\n")
        sys.exit(OWN_FAULT if known is None else known.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@contextmanager
def ended_with_dvc(pause: float = 1.0) -> Iterator[None]:
    """Stop this process as SIGTERM does, once the DVC that started it is gone.

    A `dvc repro` that was killed leaves its stage behind, and the next one's training would write
    into the same folder of saved states beside it.

    Args:
        pause: Seconds between two looks.
    """
    dvc = next((each for each in psutil.Process().parents() if _is_dvc(each)), None)
    if dvc is None:  # a person started the stage alone
        yield
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(pause):
            if not dvc.is_running() or dvc.status() == psutil.STATUS_ZOMBIE:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()


def _is_dvc(process: psutil.Process) -> bool:
    """Whether a process runs DVC, as a program or as `python -m dvc`."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return any(Path(word).name == "dvc" for word in words[:3])


def _raise_terminated(number: int, frame: types.FrameType | None) -> None:
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
