"""The command `pasam`: parse, call one function, print."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer

from pasam import __version__
from pasam.cli.checkpoint import checkpoint_app, export
from pasam.cli.doctor import doctor
from pasam.cli.evaluate import evaluate
from pasam.cli.options import error_line, use_everywhere
from pasam.cli.params import params_app
from pasam.cli.predict import predict
from pasam.cli.registry import registry_app, track_app
from pasam.cli.report import report_app
from pasam.cli.serve import demo, serve
from pasam.cli.sets.deciding import data_accept, data_forget, data_quarantine, data_review
from pasam.cli.sets.fetching import data_fetch, data_list, data_show
from pasam.cli.sets.registering import data_add, data_check, data_export, data_remove
from pasam.cli.team.merge import merge, merge_driver
from pasam.cli.upkeep import backup, clean, restore, verify_cache
from pasam.errors import OWN_FAULT, ParamsError, PasamError, in_words, own_fault

EXAMPLES = """\
PA-SAM: high-quality promptable segmentation, as a pipeline that can be reproduced.

[bold]Examples[/bold]

  pasam params show            what the next `dvc repro` will do

  pasam params use smoke       a run of about a minute, and what that changes

  pasam params use default     back to the default run

  pasam data list              public data sets and weights, and what they need

  pasam data add cats --images DIR --masks DIR    your own images

  pasam doctor --preset paper    what is missing for a preset, and where it comes from

  dvc repro                    run whatever the change touches

  pasam report show            Table 1, and where the figures are

  pasam predict photo.jpg --box 80,40,420,380     a mask in your own image

  pasam track sync             record the last run in MLflow

  pasam registry promote       judge the last run's model, and put it to use if it is better

  pasam merge                  after a conflict in git: dvc.lock and params.yaml by entry

  pasam demo                   click on an image in the browser
"""


class OneLineErrors(typer.core.TyperGroup):
    """A command group that turns an error into one line and its exit code, see `pasam.errors`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except PasamError as error:
            typer.echo(error_line(error), err=True)
            raise typer.Exit(error.exit_code) from None
        except (typer.exceptions.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise  # they are told as they are
        except Exception as error:  # noqa: BLE001  (no traceback reaches a person)
            known = in_words(error)
            if known is not None:
                typer.echo(error_line(known), err=True)
                raise typer.Exit(known.exit_code) from None
            typer.echo(f"error: {own_fault(error)}", err=True)
            raise typer.Exit(OWN_FAULT) from None


app = typer.Typer(
    cls=OneLineErrors,
    help=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(
    no_args_is_help=True, help="Data sets, public and your own: see, fetch, add and check."
)
for name, command in (  # in the order in which a set of data goes through them
    ("list", data_list), ("show", data_show), ("fetch", data_fetch), ("add", data_add),
    ("check", data_check), ("export", data_export), ("remove", data_remove),
    ("quarantine", data_quarantine), ("accept", data_accept), ("review", data_review),
    ("forget", data_forget),
):  # fmt: skip
    data_app.command(name)(command)
app.add_typer(params_app, name="params")
app.add_typer(data_app, name="data")
app.add_typer(report_app, name="report")
app.add_typer(checkpoint_app, name="checkpoint")
app.command("predict")(predict)
app.command("doctor")(doctor)
app.command("evaluate")(evaluate)
app.command("merge")(merge)
app.command("merge-driver", hidden=True)(merge_driver)
app.command("export")(export)
app.add_typer(track_app, name="track")
app.add_typer(registry_app, name="registry")
app.command("verify-cache")(verify_cache)
app.command("backup")(backup)
app.command("restore")(restore)
app.command("clean")(clean)
app.command("serve")(serve)
app.command("demo")(demo)
use_everywhere(app)


def refuse_windows(system: str = os.name) -> None:
    """Say at once what would else be said by a missing module, later.

    Raises:
        ParamsError: The system is Windows.
    """
    if system == "nt":
        raise ParamsError("pasam runs on Linux and macOS; on Windows run it in WSL 2, as on Linux.")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pasam {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hold the options that stand before any command."""
    refuse_windows()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
