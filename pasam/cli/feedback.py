"""The commands `pasam data review` and `pasam data forget`: what people have corrected."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pasam.cli.data import Own, own_folder
from pasam.cli.options import AsJson, ParamsFile, print_result
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import DataError, ParamsError
from pasam.files import write_text

if TYPE_CHECKING:
    from pasam.serving.feedback import Correction

Folder = Annotated[
    Path, typer.Option("--feedback", help="Folder of the corrections, as `pasam serve` has it.")
]
FEEDBACK = Path("data/feedback")
Ids = list[str] | None


def data_review(
    accept: Annotated[Ids, typer.Option(help="Repeatable. Take this correction.")] = None,
    reject: Annotated[Ids, typer.Option(help="Repeatable. Delete this correction.")] = None,
    withdraw: Annotated[
        Ids, typer.Option(help="Repeatable. Take back one that was accepted, and delete it.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write a page that shows what waits, before and after.")
    ] = None,
    reviewer: Annotated[str | None, typer.Option(help="Who decides; by default you.")] = None,
    feedback: Folder = FEEDBACK,
    as_json: AsJson = False,
    own: Own = None,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """List corrections that wait, and decide: accepted ones are the own set `corrections`.

    Example: pasam data review --accept 3f9a01c2d4e5 --reject 77aa01c2d4e5
    """
    from pasam.serving.feedback import SET, FeedbackStore, review_page

    store = FeedbackStore(feedback)
    waiting = {each.identity for each in store.waiting()}
    accepted = {each.identity for each in store.accepted()}
    for ids, known, what in ((reject, waiting, "waits"), (withdraw, accepted, "was accepted")):
        for each in ids or ():
            if each not in known:
                raise DataError(f"no correction {each!r:.40} {what} in {feedback}.")
    lines = []
    if accept:
        store.accept(accept, reviewer=reviewer or getpass.getuser())
    gone = {*(reject or ()), *(withdraw or ())}
    if gone:
        deleted = store.forget(lambda each: each.identity in gone)
        lines.append(f"{len(deleted)} deleted: {', '.join(deleted)}")
    if accept or withdraw:
        place = own_folder(own, params_file)
        added = store.write_set(place)
        if added is None:
            lines.append(f"{place / SET} is removed: no correction is accepted any more.")
        else:
            train, val = added.plan.count("train"), added.plan.count("val")
            lines.append(
                f"{added.folder}: {train[0]} images to learn from, {val[0]} to measure. "
                "Next: dvc repro"
            )
    found = store.waiting()
    if page is not None:
        write_text(page, review_page(found))
        lines.append(f"{page} shows them before and after.")
    for waits in found:
        words = f"{waits.about.get('who')}: {waits.about.get('why')}"
        lines.append(f"{waits.identity}  {waits.about.get('when')}  {words}")
    lines.append(f"{len(found)} wait for review, {len(store.accepted())} are accepted.")
    content = [{"id": waits.identity, **waits.about} for waits in found]
    print_result(content, lines, as_json=as_json)


def data_forget(
    who: Annotated[str | None, typer.Option(help="All that this person has sent.")] = None,
    identity: Annotated[Ids, typer.Option("--id", help="Repeatable. This correction.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All corrections.")] = False,
    feedback: Folder = FEEDBACK,
    as_json: AsJson = False,
    own: Own = None,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Delete images and masks that people have sent, and the set that was made of them.

    What was committed with DVC stays in its cache and remotes: `dvc gc --workspace --cloud`.

    Example: pasam data forget --who ada
    """
    from pasam.serving.feedback import FeedbackStore

    if not (who or identity or everything):
        raise ParamsError("nothing was named: give --who, --id or --all.")
    store = FeedbackStore(feedback)
    had_set = bool(store.accepted())

    def is_meant(each: Correction) -> bool:
        by_name = who is not None and each.about.get("who") == who
        return everything or by_name or each.identity in (identity or ())

    deleted = store.forget(is_meant)
    lines = [f"{len(deleted)} corrections deleted: {', '.join(deleted) or 'none was found'}"]
    if had_set:
        store.write_set(own_folder(own, params_file))
        lines.append("The set `corrections` was made anew without them. Next: dvc repro")
        lines.append("Copies in DVC's cache and remotes: dvc gc --workspace --cloud")
    print_result({"deleted": deleted}, lines, as_json=as_json)
