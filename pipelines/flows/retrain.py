"""Flows `retrain`, `promote` and `nightly`: from new data to a model in use, and its supervision.

A retraining takes over what others have pushed, reproduces, publishes, records, registers, judges
and promotes, in this order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasam.errors import RegistryError, TransientError
from pasam.registry.snapshot import git_state
from pipelines.dvc import STATE
from pipelines.flows.endings import POSTPONED
from pipelines.flows.engine import (
    Outcome,
    flow_run_id,
    log,
    show_link,
    show_table,
    show_text,
    task,
)
from pipelines.flows.operations import UNFINISHED, watch
from pipelines.flows.publishing import (
    MESSAGE,
    Publish,
    push_and_commit,
    require_publishable,
    take_news,
)
from pipelines.flows.reproduce import dvc, fetch, repro, reproduce, results

if TYPE_CHECKING:
    from pasam.registry.gate import GateDecision
    from pasam.registry.transitions import PromotionResult
    from pasam.serving.demand import Demand


@task("is anything new?", delays=(60,))
def changed_stages(hours: float) -> tuple[str, ...]:
    """Name the stages that new data, code or params touch."""
    return dvc(hours).status()


@task("is the last result recorded and judged?", delays=(60,), timeout=1800)
def loose_ends() -> tuple[str, ...]:
    """Say what of the last results nobody has recorded or judged, and whether a champion lacks.

    So it is after `dvc repro` by hand, in a new clone, and after MLflow's records were lost.
    """
    from pasam.config.params_file import load_section
    from pasam.config.requirements import GateParams
    from pasam.registry.runs import overview
    from pasam.registry.snapshot import PARAMS, take_snapshot
    from pasam.registry.version_files import find_candidate
    from pasam.registry.versions import known_standing

    found = []
    missing = [row.stage for row in overview(Path()) if row.run is None]
    if missing:
        found.append(f"{len(missing)} stages are not recorded, such as {missing[0]}")
    standing = known_standing(Path())
    if standing is None or standing.champion is None:
        return (*found, "there is no champion")
    try:
        model = load_section(GateParams, "gate", Path(PARAMS)).model
        key = find_candidate(take_snapshot(Path()), model).key
    except RegistryError as error:
        return (*found, f"the last result cannot be judged as it is: {error}")
    version = standing.by_key(key)
    if version is None or not (
        version.verdict or standing.barring(version) or version.number in standing.champions
    ):
        found.append("the last result is not judged")
    return tuple(found)


@task("publish: {publish}", delays=(60, 600))
def publish_results(publish: Publish, hours: float) -> str:
    """Push and commit, as far as allowed; say where it went, if not where it was to go."""
    return push_and_commit(publish, dvc=dvc(hours), message=MESSAGE)


@task("record in MLflow", delays=(60, 600), timeout=3600)
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
    publish: Publish = "commit",
    allow_local: bool = False,
    force: bool = False,
    hours: float = 24.0,
    notify: str | None = None,
) -> Outcome:
    """Retrain if anything is new, and promote the result if the gate finds it better.

    What an earlier run began and could not finish is finished, whether or not anything is new; so
    is what nobody has recorded or judged. If a server is away for long, the results are kept, and
    another run records and judges them.

    Args:
        pull: Bring what the DVC remote has first.
        publish: How far the results may go: nothing, commit, or push.
        allow_local: Judge although the working tree is dirty or unpushed.
        force: Go through all steps although nothing is new.
        hours: Longest time of one DVC command, and of waiting for another.
        notify: Who is told how it ended: a webhook, or a Prefect block; else whom PASAM_NOTIFY
            names.
    """
    with dvc(hours).alone():
        take_news()
        if pull:
            fetch(hours)
        changed = changed_stages(hours)
        kinds = dict.fromkeys(stage.partition("@")[0] for stage in changed)
        reasons = [f"to do anew: {', '.join(kinds)}"] if kinds else []
        if is_unfinished():
            reasons.append("an earlier run was cut short")
        if not (force or reasons):
            try:
                reasons += loose_ends()
            except TransientError as error:
                return Outcome(POSTPONED, f"Whether all is judged cannot be seen now: {error}")
        if not (force or reasons):
            return Outcome(
                "unchanged", "Nothing is new, and all is judged or barred; nothing was run."
            )
        log(f"Going through all steps: {'; '.join(reasons) or 'asked for'}.")
        require_publishable(publish, dvc(hours))
        begin()
        reproduce(hours=hours)
        return finish_work(publish, allow_local, hours)


def finish_work(publish: Publish, allow_local: bool, hours: float) -> Outcome:
    """Publish, record and judge what was reproduced; what a server that is away prevents waits."""
    try:
        note = publish_results(publish, hours)
        record()
        warn_of_changes()
        outcome = register_and_judge(allow_local)
    except TransientError as error:
        return Outcome(
            POSTPONED,
            f"The results are made and kept; what comes after them waits for the next run: {error}",
        )
    finish()
    return replace(outcome, message=f"{outcome.message} {note}".rstrip())


def warn_of_changes() -> None:
    """Say before anything is judged that nobody could make the version again, and why."""
    changed = git_state(Path()).changed
    if changed:
        log(
            f"{len(changed)} files are not committed, such as {changed[0]}, so the version that "
            "comes of this cannot be made again; `pasam registry list` will say so."
        )


def begin() -> None:
    """Note that new work has begun, so that it goes on after whatever may happen to it."""
    STATE.mkdir(exist_ok=True)
    UNFINISHED.touch()


def finish() -> None:
    """Note that the work that `begin` began is done."""
    UNFINISHED.unlink(missing_ok=True)


def is_unfinished() -> bool:
    """Say whether earlier work was begun and not finished."""
    return UNFINISHED.exists()


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
        notify: Who is told how it ended: a webhook, or a Prefect block; else whom PASAM_NOTIFY
            names.
    """
    with dvc(hours).alone():
        if version is not None:
            return promote_version(version, allow_local, why)
        warn_of_changes()
        return register_and_judge(allow_local, why)


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
    if decision is not None and promotion.page is not None:
        log(f"The verdict as a page: {promotion.page}")
        text = promotion.page.with_suffix(".md").read_text(encoding="utf-8")
        show_text(f"version-{promotion.version}", text, "The verdict")
    if promotion.address is not None:
        name = f"Version {promotion.version} in MLflow, with its verdict and scores"
        show_link("version", promotion.address, name)
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


@task("what are services asked for?", timeout=600)
def asked_for(feedback: str | None) -> Demand | None:
    """Sum up what services counted, and compare what they are asked for with the training data."""
    from pasam.cli.sets.deciding import FEEDBACK
    from pasam.config.params_file import load_section
    from pasam.config.requirements import ValidateParams
    from pasam.registry.snapshot import PARAMS
    from pasam.serving.demand import read_demand

    params = load_section(ValidateParams, "validate", Path(PARAMS))
    inventory = next(iter(results("inventory.parquet")), None)
    found = read_demand(FEEDBACK if feedback is None else Path(feedback), inventory, params)
    if found is not None:
        show_table("asked", found.drift, found.message)
    return found


def nightly(
    *, hours: float = 12.0, feedback: str | None = None, notify: str | None = None
) -> Outcome:
    """Bring the data's stages up to date, and report drift and the champion's scores.

    Where services take corrections, it says how often masks are corrected, how sure the answers
    are, and how far what is asked for is from what was trained on.

    Nothing is trained and nothing promoted. Once a week people get a sign of life, and an alarm
    while `retrain` has not succeeded for ten days.

    Args:
        hours: Longest time of one DVC command, and of waiting for another flow.
        feedback: Folder that services have as `--feedback`, if not the usual one.
        notify: Who is told of drift, a failure or an alarm: a webhook, or a Prefect block; else
            whom PASAM_NOTIFY names.
    """
    with dvc(hours).alone():
        repro("data", hours)
        rows = drifted()
        message = champion_on_new()
        demand = asked_for(feedback)
    if demand is not None:
        message = f"{message} {demand.message}"
    if rows:
        moved = ", ".join(f"{row['dataset']} ({row['quantity']})" for row in rows)
        message = f"The data has drifted: {moved}. {message}"
    watch(notify=notify)
    has_drifted = bool(rows) or (demand is not None and bool(demand.drifted))
    return Outcome("drifted" if has_drifted else "watched", message)
