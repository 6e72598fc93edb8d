"""The flows and their servers as commands: `python -m pipelines.flows retrain --local`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pasam.errors import TransientError
from pipelines.flows.endings import POSTPONED
from pipelines.flows.engine import Outcome
from pipelines.flows.fan_out import fan_out, stage_apart
from pipelines.flows.operations import followed, watch
from pipelines.flows.reproduce import reproduce
from pipelines.flows.retrain import nightly, promote, retrain
from pipelines.flows.schedule import deployments, guard
from pipelines.flows.servers import ui, use_own_settings
from pipelines.flows.studies import ablate
from pipelines.stage_runner import add_flags, docstring_parts, exit_codes

FLOWS: tuple[Callable[..., Outcome], ...] = (
    reproduce, retrain, promote, nightly, ablate, fan_out, stage_apart,
)  # fmt: skip
WATCHERS: tuple[Callable[..., Outcome], ...] = (watch, guard)
"""They look after the flows, and are none."""
SERVERS: tuple[Callable[..., None], ...] = (deployments, ui)
REFUSED = 1
EXIT_CODES = {"rejected": REFUSED, POSTPONED: TransientError.exit_code}
"""Of outcomes that are no errors and not all that was asked for; see `pasam.errors`."""
LOCAL = "Run it here, without Prefect and any server."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a flow or a server as a command; its parameters are flags.

    With `--local` nothing but a flow's function is run; else it is a run of the Prefect flow,
    known to the server that `PREFECT_API_URL` names, or to a temporary one. Exit codes are those
    of `pasam.errors`; a server that is stopped has done its work.
    """
    flags = vars(_parser().parse_args(arguments))
    function, local = flags.pop("function"), flags.pop("local", False)
    with exit_codes():
        if function in SERVERS:
            try:
                function(**flags)
            except KeyboardInterrupt:
                return
            return
        if function in WATCHERS:
            outcome = function(**flags)
        else:
            outcome = (followed if local else run_with_prefect)(function, flags)
        sys.stdout.write(f"{outcome.name}: {outcome.message}\n")
        code = EXIT_CODES.get(outcome.name, 0)
    if code:
        sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    program = "python -m pipelines.flows"
    parser = argparse.ArgumentParser(prog=program, description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for function in (*FLOWS, *WATCHERS, *SERVERS):
        name = function.__name__
        local = " --local" if function in FLOWS else ""
        text, _ = docstring_parts(function)
        command = commands.add_parser(
            name, help=text.partition("\n")[0], description=text, allow_abbrev=False,
            epilog=f"Example: {program} {name}{local}",
        )  # fmt: skip
        command.set_defaults(function=function)
        add_flags(command, function)
        if local:
            command.add_argument("--local", action="store_true", help=LOCAL)
    return parser


def run_with_prefect(flow: Callable[..., Outcome], parameters: dict[str, Any]) -> Outcome:
    """Run a flow as a run of Prefect's."""
    use_own_settings()
    from pipelines.flows import prefect_flows

    state = getattr(prefect_flows, flow.__name__)(**parameters, return_state=True)
    state.result()  # raises what the flow raised
    return Outcome(state.name.lower(), state.message or "")


if __name__ == "__main__":
    main()
