"""Flows `retrain`, `promote` and `nightly`: from new data to a model in use, and its supervision.

A retraining reproduces, publishes, records, registers, judges and promotes, in this order.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pasam.errors import StageError, TransientError
from pasam.registry.snapshot import LOCK, read_lock
from pipelines.dvc import STATE, Dvc
from pipelines.flows.engine import Outcome, flow_run_id, log, show_link, show_table, task
from pipelines.flows.engine import notify as send
from pipelines.flows.reproduce import dvc, fetch, repro, reproduce, results

if TYPE_CHECKING:
    from pasam.registry.gate import GateDecision
    from pasam.registry.transitions import PromotionResult

UNFINISHED = "unfinished"
MESSAGE = "Record what new data, code or params give"
GIT_SECONDS = 300
SUBJECTS = {"promoted": "pasam has a new champion", "drifted": "pasam sees drift"}
"""What people are told of, by the outcome's name."""

Publish = Literal["nothing", "commit", "push"]
"""What a flow may publish. `commit`: `dvc push`, if there is a remote, and a commit of `dvc.lock`
and the results that git keeps; `push`: `dvc push`, the commit, and `git push`."""


@task("is anything new?", delays=(60,))
def changed_stages(hours: float) -> tuple[str, ...]:
    """Name the stages that new data, code or params touch."""
    return dvc(hours).status()


@task("publish: {publish}", delays=(60, 600))
def publish_results(publish: Publish, hours: float) -> None:
    """Push and commit, as far as allowed."""
    push_and_commit(publish, dvc=dvc(hours), message=MESSAGE)


@task("record in MLflow", delays=(30, 300), timeout=3600)
def record() -> None:
    """Record every stage of `dvc.lock` that is not recorded yet."""
    from pasam.registry.runs import sync

    found = sync(Path(), flow_run=flow_run_id())
    log(f"Recorded {len(found.new)} stages anew, {len(found.runs)} in all, at {found.address}.")
    if found.page is not None:
        show_link("mlflow", found.page, "The record in MLflow")


def retrain(
    *,
    pull: bool = False,
    publish: Publish = "nothing",
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
        log(f"To do anew: {', '.join(kinds) or 'nothing; going through all steps'}.")
        begin()
        reproduce(hours=hours)
        publish_results(publish, hours)
        record()
        outcome = register_and_judge(allow_local)
        finish()
    announce(outcome, notify)
    return outcome


def begin() -> None:
    """Note that new work has begun, so that it goes on after whatever may happen to it."""
    STATE.mkdir(exist_ok=True)
    (STATE / UNFINISHED).touch()


def finish() -> None:
    """Note that the work that `begin` began is done."""
    (STATE / UNFINISHED).unlink(missing_ok=True)


def is_unfinished() -> bool:
    """Say whether earlier work was begun and not finished."""
    return (STATE / UNFINISHED).exists()


def push_and_commit(how: Publish, *, dvc: Dvc, message: str) -> None:
    """Publish the results of a reproduction as far as allowed; calling it again is harmless.

    Raises:
        TransientError: A remote cannot be reached; what is made is kept.
        StageError: DVC or git refuses.
    """
    if how == "nothing":
        return
    if how == "push" or dvc.has_remote():
        dvc.push()  # before the commit: none may name bytes that nobody else can have
    _commit(message)
    if how == "push":
        _git("push")


def _commit(message: str) -> None:
    """Commit `dvc.lock` and the stages' outputs that git keeps, and nothing else."""
    lock = read_lock(Path())
    outs = [path for stage in lock.stages.values() for path in stage.outs]
    listed = _git(
        "ls-files", "-m", "-o", "-d", "--exclude-standard", "--deduplicate", "-z", "--", LOCK, *outs
    )
    files = [name for name in listed.split("\0") if name]
    if files:
        _git("add", "--", *files)
        _git("commit", "--quiet", "--message", message, "--only", "--", *files)
    rest = _git("status", "--porcelain").splitlines()
    if rest:
        log(
            f"{len(rest)} other changes are not committed, such as {rest[0][3:]}: commit what the "
            "result depends on, or no version made of it can be made again elsewhere."
        )


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=GIT_SECONDS,
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip() or done.stdout.strip()
    words = f"`git {arguments[0]}` failed: {said}"
    if arguments[0] == "push" and "rejected" not in said and "ermission" not in said:
        raise TransientError(f"{words}\nThe commit is kept; running this again pushes it.")
    raise StageError(f"{words}\nMend that and run this again; nothing is lost.")


@task("register, judge, promote", delays=(30, 300), timeout=3 * 3600)
def register_and_judge(allow_local: bool, why: str = "") -> Outcome:
    """Register what the last reproduction trained, and promote it if the gate accepts it."""
    from pasam.registry.promotion import promote

    run = flow_run_id()
    return promotion_outcome(promote(Path(), allow_local=allow_local, why=why, flow_run=run))


@task("promote version {version}", delays=(30, 300), timeout=3600)
def promote_version(version: str, allow_local: bool, why: str) -> Outcome:
    """Promote a version if the gate accepts it as things stand now."""
    from pasam.registry.promotion import promote

    run = flow_run_id()
    return promotion_outcome(
        promote(Path(), version, allow_local=allow_local, why=why, flow_run=run)
    )


def promote(
    *,
    version: str | None = None,
    why: str = "",
    allow_local: bool = False,
    hours: float = 24.0,
    notify: str | None = None,
) -> Outcome:
    """Promote what the gate accepts.

    Args:
        version: Number or alias of a version; what the last reproduction
            trained, if none is given.
        why: A reason, for the log.
        allow_local: Judge although the working tree is dirty or unpushed.
        hours: Longest time to wait for another flow.
        notify: Who is told of a promotion or a failure: a webhook, or a Prefect block.
    """
    with dvc(hours).alone():
        outcome = (
            register_and_judge(allow_local, why)
            if version is None
            else promote_version(version, allow_local, why)
        )
    announce(outcome, notify)
    return outcome


def promotion_outcome(promotion: PromotionResult) -> Outcome:
    """Put a verdict on the run's page, and log in a word how it ended."""
    decision = promotion.gate
    reasons = ""
    if decision is not None:
        rows = [
            {"check": each.name, "passed": "yes" if each.passed else "no", "reason": each.reason}
            for each in decision.checks
        ]
        show_table("verdict", rows, promotion.message)
        reasons = f": {_in_short(decision)}"
    if promotion.page is not None:
        log(f"The verdict as a page: {promotion.page}")
    return Outcome(_state(promotion), f"{promotion.message}{reasons}.")


def _in_short(decision: GateDecision) -> str:
    """Why not; or, of an accepted candidate, how good it is. All checks are in the table."""
    if not decision.accepted:
        return "; ".join(decision.reasons)
    words = f"all {len(decision.checks)} checks hold, boundary IoU {decision.mean_score:.2f}"
    gain = decision.mean_gain
    return words if gain is None else f"{words}, gain {gain.mean:+.2f} (at least {gain.low:+.2f})"


def _state(promotion: PromotionResult) -> str:
    if promotion.promoted:
        return "promoted" if promotion.moved else "champion"
    accepted = promotion.gate is not None and promotion.gate.accepted
    return "accepted" if accepted else "rejected"


def announce(outcome: Outcome, notify: str | None) -> None:
    """Tell people of a promotion, or of drift."""
    if outcome.name in SUBJECTS:
        send(notify, SUBJECTS[outcome.name], outcome.message)


@task("how far has the data drifted?", timeout=600)
def drifted() -> Sequence[Mapping[str, Any]]:
    """List the quantities whose distribution left that of the accepted data."""
    rows = [
        row
        for path in results("findings.json")
        for row in json.loads(path.read_text(encoding="utf-8")).get("drift", [])
        if row["drifted"]
    ]
    show_table("drift", rows, "Distributions that have left those of the accepted data")
    return rows


@task("measure the champion", timeout=3 * 3600)
def champion_on_new() -> str:
    """Measure the champion on today's data, and tell what is new from what it was judged on."""
    from pasam.registry.evidence import watch_champion

    watched = watch_champion(Path())
    if watched is None:
        return "There is no champion yet."
    show_table("champion", [row.shown() for row in watched.rows], watched.message)
    return watched.message


def nightly(*, hours: float = 12.0, notify: str | None = None) -> Outcome:
    """Bring the data's stages up to date, and report drift and the champion's scores.

    Nothing is trained and nothing promoted.

    Args:
        hours: Longest time of one DVC command, and of waiting for another flow.
        notify: Who is told of drift or a failure: a webhook, or a Prefect block.
    """
    with dvc(hours).alone():
        repro("data", hours)
        rows = drifted()
        message = champion_on_new()
    if rows:
        moved = ", ".join(f"{row['dataset']} ({row['quantity']})" for row in rows)
        message = f"The data has drifted: {moved}. {message}"
    outcome = Outcome("drifted" if rows else "watched", message)
    announce(outcome, notify)
    return outcome
