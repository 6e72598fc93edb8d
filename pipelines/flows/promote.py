"""Flow `promote`: let the gate judge what the last reproduction trained, or a judged version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.flows.engine import Outcome, flow_run_id, say, show_table, task
from pipelines.flows.notify import tell
from pipelines.flows.workspace import dvc

if TYPE_CHECKING:
    from pasam.registry.decision import Verdict
    from pasam.registry.transitions import Outcome as Promotion


@task("register, judge, promote", delays=(30, 300), timeout=3 * 3600)
def consider(allow_local: bool, why: str = "") -> Outcome:
    """Register what the last reproduction trained, and promote it if the gate accepts it."""
    from pasam.registry.promotion import promote

    run = flow_run_id()
    return shown(promote(Path(), allow_local=allow_local, why=why, flow_run=run))


@task("promote version {version}", delays=(30, 300), timeout=3600)
def promote_judged(version: str, why: str) -> Outcome:
    """Promote a version that the gate has accepted before."""
    from pasam.registry.transitions import promote_version

    return shown(promote_version(Path(), version, why=why))


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
        version: Number or alias of a version that was judged before; what the last reproduction
            trained, if none is given.
        why: A reason, for the log.
        allow_local: Judge although the working tree is dirty or unpushed.
        hours: Longest time to wait for another flow.
        notify: Who is told of a promotion or a failure: a webhook, or a Prefect block.
    """
    with dvc(hours).alone():
        outcome = consider(allow_local, why) if version is None else promote_judged(version, why)
    announce(outcome, notify)
    return outcome


def shown(promotion: Promotion) -> Outcome:
    """Put a verdict on the run's page, and say in a word how it ended."""
    verdict = promotion.verdict
    reasons = ""
    if verdict is not None:
        rows = [
            {"check": each.name, "passed": "yes" if each.passed else "no", "reason": each.reason}
            for each in verdict.checks
        ]
        show_table("verdict", rows, promotion.message)
        reasons = f": {_in_short(verdict)}"
    if promotion.page is not None:
        say(f"The verdict as a page: {promotion.page}")
    return Outcome(_word(promotion), f"{promotion.message}{reasons}.")


def _in_short(verdict: Verdict) -> str:
    """Why not; or, of an accepted candidate, how good it is. All checks are in the table."""
    if not verdict.accepted:
        return "; ".join(verdict.reasons)
    words = f"all {len(verdict.checks)} checks hold, boundary IoU {verdict.scores['mean']:.2f}"
    gain = verdict.gains.get("mean")
    return words if gain is None else f"{words}, gain {gain.mean:+.2f} (at least {gain.low:+.2f})"


def _word(promotion: Promotion) -> str:
    if promotion.promoted:
        return "promoted" if promotion.moved else "champion"
    accepted = promotion.verdict is not None and promotion.verdict.accepted
    return "accepted" if accepted else "rejected"


def announce(outcome: Outcome, notify: str | None) -> None:
    """Tell people of a promotion."""
    if outcome.name == "promoted":
        tell(notify, "pasam has a new champion", outcome.message)


if __name__ == "__main__":
    from pipelines.flows.command_line import run

    run(promote)
