"""Flow `retrain`: new data or code? Then reproduce, publish, record, register, judge, promote."""

from __future__ import annotations

from pathlib import Path

from pipelines.flows import workspace as publishing
from pipelines.flows.engine import Outcome, flow_run_id, say, show_link, task
from pipelines.flows.promote import announce, consider
from pipelines.flows.reproduce import fetch, reproduce
from pipelines.flows.workspace import begin, dvc, finish, is_unfinished

MESSAGE = "Record what new data, code or params give"


@task("is anything new?", delays=(60,))
def changed_stages(hours: float) -> tuple[str, ...]:
    """Name the stages that new data, code or params touch."""
    return dvc(hours).status()


@task("publish: {publish}", delays=(60, 600))
def share(publish: publishing.Publish, hours: float) -> None:
    """Push and commit, as far as allowed."""
    publishing.publish(publish, dvc=dvc(hours), message=MESSAGE)


@task("record in MLflow", delays=(30, 300), timeout=3600)
def record() -> None:
    """Record every stage of `dvc.lock` that is not recorded yet."""
    from pasam.registry.runs import sync

    found = sync(Path(), flow_run=flow_run_id())
    say(f"Recorded {len(found.new)} stages anew, {len(found.runs)} in all, at {found.address}.")
    if found.page is not None:
        show_link("mlflow", found.page, "The record in MLflow")


def retrain(
    *,
    pull: bool = False,
    publish: publishing.Publish = "nothing",
    allow_local: bool = False,
    force: bool = False,
    hours: float = 24.0,
    notify: str | None = None,
) -> Outcome:
    """Retrain if anything is new, and promote the result if the gate finds it better.

    What an earlier run began and could not finish is finished, whether or not anything is new.

    Args:
        pull: Bring what the DVC remote has first.
        publish: How far the results may go: nothing, commit, or push.
        allow_local: Judge although the working tree is dirty or unpushed.
        force: Go through all steps although nothing is new.
        hours: Longest time of one DVC command, and of waiting for another flow.
        notify: Who is told of a promotion or a failure: a webhook, or a Prefect block.
    """
    with dvc(hours).alone():
        if pull:
            fetch(hours)
        changed = changed_stages(hours)
        if not (changed or force or is_unfinished()):
            return Outcome("unchanged", "No data, code or params are new; nothing was run.")
        kinds = dict.fromkeys(stage.partition("@")[0] for stage in changed)
        say(f"To do anew: {', '.join(kinds) or 'nothing; going through all steps'}.")
        begin()
        reproduce(hours=hours)
        share(publish, hours)
        record()
        outcome = consider(allow_local)
        finish()
    announce(outcome, notify)
    return outcome


if __name__ == "__main__":
    from pipelines.flows.command_line import run

    run(retrain)
