"""The flows and their servers as commands: `python -m pipelines.flows retrain --local`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.flows.engine import Outcome, notify
from pipelines.flows.reproduce import reproduce
from pipelines.flows.retrain import nightly, promote, retrain
from pipelines.flows.servers import deployments, ui, use_own_settings
from pipelines.flows.studies import ablate
from pipelines.stage_runner import add_flags, docstring_parts, exit_codes

FLOWS: tuple[Callable[..., Outcome], ...] = (reproduce, retrain, promote, nightly, ablate)
SERVERS: tuple[Callable[..., None], ...] = (deployments, ui)
LOCAL = "Run it here, without Prefect and any server."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a flow or a server as a command; its parameters are flags.

    With `--local` nothing but a flow's function is run; else it is a run of the Prefect flow,
    known to the server that `PREFECT_API_URL` names, or to a temporary one. Exit codes are those
    of the stages; a server that is stopped has done its work.
    """
    flags = vars(_parser().parse_args(arguments))
    function, local = flags.pop("function"), flags.pop("local", False)
    with exit_codes():
        if function in SERVERS:
            try:
                function(**flags)
            except KeyboardInterrupt:
                return
        else:
            outcome = (run_here if local else run_with_prefect)(function, flags)
            sys.stdout.write(f"{outcome.name}: {outcome.message}\n")


def _parser() -> argparse.ArgumentParser:
    program = "python -m pipelines.flows"
    parser = argparse.ArgumentParser(prog=program, description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for function in (*FLOWS, *SERVERS):
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


def run_here(flow: Callable[..., Outcome], parameters: dict[str, Any]) -> Outcome:
    """Call a flow, and notify whoever wants to know of its failure."""
    try:
        return flow(**parameters)
    except Exception as error:
        notify(parameters.get("notify"), f"{flow.__name__} failed", str(error))
        raise


def run_with_prefect(flow: Callable[..., Outcome], parameters: dict[str, Any]) -> Outcome:
    """Run a flow as a run of Prefect's."""
    use_own_settings()
    from pipelines.flows import prefect_flows

    state = getattr(prefect_flows, flow.__name__)(**parameters, return_state=True)
    state.result()  # raises what the flow raised
    return Outcome(state.name.lower(), state.message or "")


if __name__ == "__main__":
    main()
