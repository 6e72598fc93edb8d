"""From a stage's signature to its command line, its parameters and its exit code."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import logging
import signal
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pasam.config.models import VariantParams
from pasam.config.params_file import (
    DEFAULT_PATH,
    load_ablations,
    load_models,
    load_section,
    load_variant,
)
from pasam.config.sections import AblationsParams, ModelsParams
from pasam.errors import PasamError

INTERRUPTED = 130
TERMINATED = 143


def run(stage: Callable[..., None], arguments: Sequence[str] | None = None) -> None:
    """Run a stage as a command, from the last line of its file (`if __name__ == "__main__"`).

    A parameter whose type is a class of `pasam.config.sections` is the section of `params.yaml`
    with the parameter's name. One of type `VariantParams` is the entry of `models` that the stage's
    `model: str` names, one of type `ModelsParams` is all of `models`, one of type
    `AblationsParams` all of `ablations` as they stand. All others are required flags: `Path`,
    `str`, `int`, `float`, or `tuple[X, ...]` for one or more values.

    Exit codes: 0 done; 2 or 75 after a deliberate error (`pasam.errors`), in one line; 130 after
    Ctrl-C and 143 after SIGTERM. Both signals raise KeyboardInterrupt in the stage, so that it
    can save its state on the way out.

    Args:
        stage: The stage's one public function.
        arguments: The command line without the program; by default the process's own.
    """
    hints = _parameter_types(stage)
    flags = vars(_parser(stage, hints).parse_args(arguments))
    params_file = flags.pop("params_file")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    terminated = terminate_like_ctrl_c()
    try:
        sections = _load_sections(hints, flags, params_file)
        stage(**flags, **sections)
    except PasamError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(TERMINATED if terminated else INTERRUPTED)


def _parameter_types(stage: Callable[..., None]) -> dict[str, Any]:
    hints = typing.get_type_hints(stage)
    return {name: hints[name] for name in inspect.signature(stage).parameters}


def _parser(stage: Callable[..., None], hints: dict[str, Any]) -> argparse.ArgumentParser:
    description = (inspect.getdoc(stage) or "").partition("\n")[0]
    module = inspect.getmodule(stage)
    program = f"python -m {module.__spec__.name}" if module and module.__spec__ else None
    parser = argparse.ArgumentParser(prog=program, description=description, allow_abbrev=False)
    for name, hint in hints.items():
        if _is_section(hint):
            continue
        many = typing.get_origin(hint) is tuple
        kind = typing.get_args(hint)[0] if many else hint
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            required=True,
            type=kind,
            nargs="+" if many else None,
            metavar=kind.__name__.upper(),
        )
    parser.add_argument("--params-file", type=Path, default=DEFAULT_PATH, metavar="PATH")
    return parser


def _is_section(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) or hint in (VariantParams, ModelsParams, AblationsParams)


def _load_sections(
    hints: dict[str, Any], flags: dict[str, Any], params_file: Path
) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for name, hint in hints.items():
        if hint == VariantParams:
            sections[name] = load_variant(flags["model"], params_file)
        elif hint == ModelsParams:
            sections[name] = load_models(params_file)
        elif hint == AblationsParams:
            sections[name] = load_ablations(params_file)
        elif _is_section(hint):
            sections[name] = load_section(hint, name, params_file)
        elif isinstance(flags[name], list):
            flags[name] = tuple(flags[name])
    return sections


def terminate_like_ctrl_c() -> list[int]:
    """Turn SIGTERM into KeyboardInterrupt; the list is no longer empty once it came."""
    received: list[int] = []

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    return received
