"""The commands `pasam data quarantine`, `accept`, `review`, `forget`: what a person decides."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pasam.cli.options import AsJson, ParamsFile, print_result
from pasam.cli.sets.set_options import Own, own_folder
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import DataError, ParamsError
from pasam.files import write_text

if TYPE_CHECKING:
    from pasam.serving.feedback import Correction

Folder = Annotated[
    Path, typer.Option("--feedback", help="Folder of the corrections, as `pasam serve` has it.")
]
FEEDBACK = Path("data/feedback")
Inventory = Annotated[Path, typer.Option(help="What `dvc repro prepare` found.")]
INVENTORY = Path("data/inventory.parquet")
Ids = list[str] | None


def data_quarantine(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Images or masks; none takes all that the last run found invalid."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why the named files are left out.")] = "",
    table: Annotated[Path, typer.Option("--quarantine", help="The table to add to.")] = Path(
        "data/quarantine.csv"
    ),
    inventory: Inventory = INVENTORY,
    as_json: AsJson = False,
) -> None:
    """Leave files out of training and benchmarks, with the reason; review and commit the table.

    Example: pasam data quarantine data/own/train/cats/gt/tom.png --reason "the wrong cat"
    """
    from pasam.data.manifest import read_inventory
    from pasam.data.quarantine import quarantine_files, read_quarantine, write_quarantine

    after, new = quarantine_files(
        read_quarantine(table), files or [], reason, read_inventory(inventory)
    )
    content = [{"file": str(entry.file), "reason": entry.reason} for entry in new]
    if not new:
        print_result(content, [f"Nothing to add: {table} stays as it is."], as_json=as_json)
        return
    write_quarantine(table, after)
    count = "1 file is" if len(new) == 1 else f"{len(new)} files are"
    advice = (
        f"{count} in {table} now. Look at them, commit it, and run `dvc repro`. To bring one back, "
        "repair the file or remove its row."
    )
    lines = [*(f"{entry.file}: {entry.reason}" for entry in new), advice]
    print_result(content, lines, as_json=as_json)


def data_accept(
    accepted: Annotated[Path, typer.Option(help="The accepted data version.")] = Path(
        "data/accepted.json"
    ),
    inventory: Inventory = INVENTORY,
    as_json: AsJson = False,
) -> None:
    """Accept the present data: later versions are compared with it for drift. Commit the file.

    Example: pasam data accept
    """
    from pasam.data.manifest import read_inventory, valid_rows
    from pasam.validation.drift import accepted_text
    from pasam.validation.duplicates import images_of

    fit = valid_rows(read_inventory(inventory))
    write_text(accepted, accepted_text(fit, images_of(fit)))
    counts = fit.value_counts(["split", "dataset"], sort=False).reset_index().to_dict("records")
    rows = [{str(name): value for name, value in row.items()} for row in counts]
    lines = [f"{row['split']} {row['dataset']}: {row['count']} masks" for row in rows]
    lines.append(f"{accepted} holds this version now. Commit it.")
    print_result({"accepted": str(accepted), "sets": rows}, lines, as_json=as_json)


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
