"""A flow as a command: `python -m pipelines.flows.retrain --local`."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from pasam.errors import PasamError
from pipelines.flows.engine import Outcome
from pipelines.flows.notify import tell
from pipelines.flows.servers import use_own_settings
from pipelines.stage_runner import INTERRUPTED, TERMINATED, terminate_like_ctrl_c

LOCAL = "Run it here, without Prefect and any server."


def run(flow: Callable[..., Outcome], arguments: Sequence[str] | None = None) -> None:
    """Run a flow as a command; its parameters are flags, as its docstring explains them.

    With `--local` nothing but the function is run; else it is a run of the Prefect flow, known
    to the server that `PREFECT_API_URL` names, or to a temporary one.

    Exit codes are those of the stages: 0 done; 2, 75 or a stage's own after a failure; 130 after
    Ctrl-C and 143 after SIGTERM, both when all child processes have ended.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=_help(flow))(_command(flow))
    app(arguments)


def _command(flow: Callable[..., Outcome]) -> Callable[..., None]:
    """Give a flow the flag `--local`, and every parameter its words of help."""

    def command(local: bool, **parameters: Any) -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        terminated = terminate_like_ctrl_c()
        try:
            outcome = (_run_here if local else _run_with_prefect)(flow, parameters)
        except PasamError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None
        typer.echo(f"{outcome.name}: {outcome.message}")

    words = _words(inspect.getdoc(flow) or "")
    given = inspect.signature(flow, eval_str=True).parameters.values()
    parameters = [
        each.replace(annotation=Annotated[each.annotation, typer.Option(help=words[each.name])])
        for each in given
    ]
    local = inspect.Parameter(
        "local", inspect.Parameter.KEYWORD_ONLY, default=False,
        annotation=Annotated[bool, typer.Option("--local", help=LOCAL)],
    )  # fmt: skip
    parameters.append(local)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _run_here(flow: Callable[..., Outcome], parameters: dict[str, Any]) -> Outcome:
    """Call a flow, and tell whoever wants to know of its failure."""
    try:
        return flow(**parameters)
    except Exception as error:
        tell(parameters.get("notify"), f"{flow.__name__} failed", str(error))
        raise


def _run_with_prefect(flow: Callable[..., Outcome], parameters: dict[str, Any]) -> Outcome:
    use_own_settings()
    from pipelines.flows import prefect_flows as served

    state = getattr(served, flow.__name__)(**parameters, return_state=True)
    state.result()  # raises what the flow raised
    return Outcome(state.name.lower(), state.message or "")


def _help(flow: Callable[..., Outcome]) -> str:
    summary, *_ = (inspect.getdoc(flow) or "").partition("\n\nArgs:")
    return f"{summary}\n\nExample: python -m pipelines.flows.{flow.__name__} --local"


def _words(docstring: str) -> dict[str, str]:
    """Read what a docstring's `Args:` say of each parameter."""
    _, _, section = docstring.partition("Args:\n")
    found = re.findall(r"^    (\w+): ((?:.*\n?(?:        .*\n?)*))", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
