"""The group `pasam data`: its commands in the order in which a set of data goes through them."""

from __future__ import annotations

import typer

from pasam.cli.sets.deciding import data_accept, data_forget, data_quarantine, data_review
from pasam.cli.sets.fetching import data_fetch, data_list, data_show
from pasam.cli.sets.registering import data_add, data_check, data_export, data_remove

data_app = typer.Typer(
    no_args_is_help=True, help="Data sets, public and your own: see, fetch, add and check."
)
for name, command in (
    ("list", data_list), ("show", data_show), ("fetch", data_fetch), ("add", data_add),
    ("check", data_check), ("export", data_export), ("remove", data_remove),
    ("quarantine", data_quarantine), ("accept", data_accept), ("review", data_review),
    ("forget", data_forget),
):  # fmt: skip
    data_app.command(name)(command)
