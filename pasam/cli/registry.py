"""The commands `pasam registry` and `pasam track`: versions of the model, and MLflow's record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pasam.cli.options import REGISTERED, AsJson, Project, below, columns, print_result
from pasam.errors import PasamError, RegistryError

if TYPE_CHECKING:
    from pasam.registry.transitions import PromotionResult
    from pasam.registry.versions import Version

registry_app = typer.Typer(
    no_args_is_help=True, help="Registry: evaluate, promote, roll back, reproduce."
)
track_app = typer.Typer(no_args_is_help=True, help="Record results in MLflow, or look at them.")


def complete_version(incomplete: str) -> list[str]:
    """Name the aliases and versions that begin with what was typed, for the shell's completion."""
    from pasam.registry.decision_log import DecisionLog

    try:
        numbers = {each.version for each in DecisionLog(Path()).read() if each.version is not None}
    except PasamError:  # no log, or none that can be read: the command itself says so
        numbers = set()
    known = (*REGISTERED, *map(str, sorted(numbers)))
    return [name for name in known if name.startswith(incomplete)]


Which = Annotated[
    str,
    typer.Argument(
        help="A version's number, or an alias such as champion.",
        autocompletion=complete_version,
    ),
]
Why = Annotated[str, typer.Option("--why", help="The reason, for the log.")]

JUDGED_AND_REFUSED = 1


@registry_app.command("list")
def registry_list(as_json: AsJson = False, project: Project = Path()) -> None:
    """List all versions, the newest first, with their aliases and scores.

    Example: pasam registry list
    """
    from pasam.registry.reproduction import not_again
    from pasam.registry.versions import list_versions, shown_versions

    _expect_registry(project)
    versions, odd = list_versions(project, shown_versions(project))
    reasons = not_again(project, versions)
    for line in odd:
        typer.echo(f"differs from the log of decisions (`pasam registry check`): {line}", err=True)
    rows = [{**dataclasses.asdict(v), "not_again": reasons.get(v.number)} for v in versions]
    lines = (_line(version, reasons.get(version.number)) for version in versions)
    none = ["No version yet. Register the last run's model with `pasam registry promote`."]
    print_result(rows, lines if versions else none, as_json=as_json)


@registry_app.command("show")
def registry_show(
    which: Which = "champion", as_json: AsJson = False, project: Project = Path()
) -> None:
    """Show one version: who decided what of it and why, what it was made of, and the evidence.

    Example: pasam registry show 3
    """
    from pasam.registry.reproduction import not_again
    from pasam.registry.upkeep.champion_history import account_in

    version, params = _found(project, which)
    if as_json:
        content = {**dataclasses.asdict(version), "params": params}
        print_result(content, (), as_json=True)
        return
    reason = not_again(project, [version]).get(version.number)
    lines = [_line(version, reason)]
    known = account_in(project, version.number)
    for heading, facts in (known or _shown_by_mlflow(version)).items():
        lines += [heading, *columns(facts, indent=2)] if facts else []
    if known and reason is None:
        lines.append(f"can be made again: `pasam registry reproduce {version.number}` says how")
    print_result(None, lines, as_json=False)


@registry_app.command("lineage")
def registry_lineage(
    which: Which = "champion", as_json: AsJson = False, project: Project = Path()
) -> None:
    """Show where a version comes from: code, data, params, base, evaluation, run.

    Example: pasam registry lineage champion
    """
    version = _version(project, which)
    tags = {**version.tags, "mlflow.run_id": version.run_id}
    shown = {k: v for k, v in sorted(tags.items()) if not k.startswith(("gate.", "pasam.key"))}
    print_result(shown, columns(shown.items()), as_json=as_json)


@registry_app.command("promote")
def registry_promote(
    which: Annotated[
        str | None,
        typer.Argument(
            help="A version, to be judged as things stand; the last run's if absent.",
            autocompletion=complete_version,
        ),
    ] = None,
    to: Annotated[
        Literal["staging", "production"],
        typer.Option(help="Staging's gate has floors and compares with nobody."),
    ] = "production",
    why: Why = "",
    allow_local: Annotated[
        bool,
        typer.Option(
            "--allow-local",
            help="Judge though uncommitted, unpushed or not validated; the decision is pushed to "
            "the branch pasam-decisions all the same.",
        ),
    ] = False,
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Register what the last run trained, judge it, and make it champion if the gate says so.

    `--to staging` lets it into staging first, and `pasam registry promote staging --why ...` from
    there on. Exit codes: 0 it is champion, or in staging (or gate.mode is dry-run and it was
    accepted), 1 the gate or a person's decision refuses it, 2 it cannot be judged, 75 a transient
    error.

    Example: pasam registry promote --allow-local
    """
    from pasam.registry.promotion import promote

    reason = why if which is None else _reason(why)
    if which is None:
        _warn_of_changes(project)
    outcome = promote(project, which, to=to, allow_local=allow_local, why=reason)
    print_result(_content(outcome), _description(outcome), as_json=as_json)
    accepted = outcome.gate is not None and outcome.gate.accepted
    if not (outcome.promoted or accepted):
        raise typer.Exit(JUDGED_AND_REFUSED)


@registry_app.command("reject")
def registry_reject(
    which: Which, why: Why, as_json: AsJson = False, project: Project = Path()
) -> None:
    """Keep a version and its bytes out, whatever the gate says, until a person lifts that.

    Example: pasam registry reject 3 --why "halos round hair"
    """
    from pasam.registry.transitions import reject

    version = reject(project, which, why=_reason(why))
    content = {"version": version.number, "status": "rejected", "why": why}
    line = f"version {version.number} is rejected: {why}"
    print_result(content, [line], as_json=as_json)


@registry_app.command("lift")
def registry_lift(
    which: Which, why: Why, as_json: AsJson = False, project: Project = Path()
) -> None:
    """Let a rejected or rolled-back version be judged again.

    Example: pasam registry lift 3 --why "the night images were mislabelled"
    """
    from pasam.registry.transitions import lift

    version = lift(project, which, why=_reason(why))
    content = {"version": version.number, "status": "may be judged again", "why": why}
    line = f"version {version.number} may be judged again: {why}"
    print_result(content, [line], as_json=as_json)


@registry_app.command("rollback")
def registry_rollback(why: Why, as_json: AsJson = False, project: Project = Path()) -> None:
    """Bring the champion before this one back, at once.

    Example: pasam registry rollback --why "worse on last week's photographs"
    """
    from pasam.registry.transitions import rollback

    move = rollback(project, why=_reason(why))
    text = f"version {move.to} is champion again; version {move.champion} is rolled back: {why}"
    print_result(dataclasses.asdict(move), [text], as_json=as_json)


@registry_app.command("gate")
def registry_gate(
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Let the gate of params.yaml hold from now on.")
    ] = False,
    why: Why = "",
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Show the gate's settings in force, which the log holds, or let those of params.yaml hold.

    Example: pasam registry gate --adopt --why "margin 2 to 1: twice the images"
    """
    from pasam.registry.promotion import set_gate
    from pasam.registry.transitions import open_decisions

    if adopt:
        changed = set_gate(project, why=_reason(why))
        line = "in force from the next judgement on" if changed else "in force already"
        print_result({"changed": changed}, [line], as_json=as_json)
        return
    _expect_registry(project)
    entry = open_decisions(project).standing.gate
    settings = {} if entry is None else entry.details["settings"]
    lines = ["None yet: the first judgement takes those of params.yaml."]
    if entry is not None:
        lines = [f"entry {entry.number}, {entry.time[:10]}, {entry.by['who']}: {entry.why}"]
        lines += [f"  {name}: {value}" for name, value in settings.items()]
    print_result(settings, lines, as_json=as_json)


@registry_app.command("log")
def registry_log(as_json: AsJson = False, project: Project = Path()) -> None:
    """Show every decision: what, when, by whom, and why.

    Example: pasam registry log
    """
    from pasam.registry.decision_log import DecisionLog
    from pasam.registry.upkeep.champion_history import by_whom

    entries, lines = DecisionLog(project).read(), []
    for entry in entries:
        about = entry.event if entry.version is None else f"{entry.event} {entry.version}"
        champion = (
            "" if entry.before == entry.after else f"champion {entry.before} -> {entry.after}"
        )
        changed = ", ".join(entry.details.get("changed", ()))  # of the gate's settings
        parts = [
            f"{entry.number:>4}", entry.time[:16], f"{about:<12}", champion, by_whom(entry), changed
        ]  # fmt: skip
        lines.append("  ".join(part for part in parts if part))
        if entry.why:  # of a judgement: all that its checks found
            lines.append(below(entry.why, indent=6))
    content = [dataclasses.asdict(entry) for entry in entries]
    print_result(content, lines or ["Nothing was decided yet."], as_json=as_json)


@registry_app.command("check")
def registry_check(
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend it by one rule: the log of decisions is right.")
    ] = False,
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Name every difference between the log of decisions and what MLflow shows and keeps.

    Exit codes: 0 none, or all mended; 2 some are left.

    Example: pasam registry check --repair
    """
    from pasam.registry.transitions import check

    _expect_registry(project)
    found = check(project, repair=repair)
    lines = [
        f"{'mended   ' if repair and line not in found.left else 'differs  '}{line}"
        for line in found.found
    ]
    same = ["MLflow shows what the log of decisions says."]
    print_result(dataclasses.asdict(found), lines or same, as_json=as_json)
    if found.left:
        raise typer.Exit(RegistryError.exit_code)


@registry_app.command("verify")
def registry_verify(
    which: Annotated[
        str | None,
        typer.Argument(
            help="A version's number or alias; all, if absent.", autocompletion=complete_version
        ),
    ] = None,
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Compare the files of versions with the digests that were recorded when they were registered.

    Without a clone, such as where a model is only served, the entries that a version carries are
    what it is compared with. Exit codes: 0 all are whole, 2 some are not.

    Example: pasam registry verify champion
    """
    from pasam.registry.load import verify_versions

    _expect_registry(project)
    found = verify_versions(project, which)
    lines = [f"version {number}: {problem or 'whole'}" for number, problem in found.items()]
    print_result(found, lines, as_json=as_json)
    if any(found.values()):
        raise typer.Exit(RegistryError.exit_code)


@registry_app.command("reproduce")
def registry_reproduce(
    which: Which,
    into: Annotated[
        Path | None, typer.Option(help="Do it, in this new folder, and compare the bytes.")
    ] = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="Take the bytes of DVC's cache; nothing is trained.")
    ] = False,
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Print the commands that give a version's bytes again, verified against git.

    Example: pasam registry reproduce 3 --into /var/tmp/version-3
    """
    from pasam.registry.reproduction import plan_reproduction, reproduce

    folder = "" if into is None else str(into)
    found = plan_reproduction(project, _version(project, which), folder=folder)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        typer.echo(found.text())
        for path, sha256 in found.files:
            typer.echo(f"# {path}: sha256 {sha256}")
    if into is not None:
        for line in reproduce(project, found, into, cached=cached):
            typer.echo(line, err=as_json)
    elif found.problems:
        raise RegistryError(
            f"version {found.version} cannot be made again: {'; '.join(found.problems)}."
        )


@registry_app.command("claim")
def registry_claim(
    against: Annotated[
        str | None, typer.Option(help="A version; else the champion of a year ago, or the first.")
    ] = None,
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Measure what the champion gained on the sealed set, which no judgement has seen.

    Every use is counted in the log, and a later one needs a clearer gain.

    Example: pasam registry claim
    """
    from pasam.registry.upkeep.claims import claim

    found = claim(project, against)
    print_result(dataclasses.asdict(found), [found.message], as_json=as_json)


@registry_app.command("simulate")
def registry_simulate(
    images: Annotated[int, typer.Option(help="Images in each benchmark.")] = 50,
    spread: Annotated[
        float, typer.Option(help="Standard deviation of the difference per image, in points.")
    ] = 6.0,
    pairs: Annotated[int, typer.Option(help="Simulated pairs of models.")] = 1000,
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Show how often the gate of params.yaml would promote models of a known difference.

    Example: pasam registry simulate --images 100 --spread 8
    """
    from pasam.config.params_file import DEFAULT_PATH, load_section
    from pasam.config.requirements import GateParams
    from pasam.config.schema import EvaluateParams
    from pasam.registry.gate import simulate, simulate_years

    path = project / DEFAULT_PATH
    gate = load_section(GateParams, "gate", path)
    sizes = dict.fromkeys(load_section(EvaluateParams, "evaluate", path).benchmarks, images)
    rows = simulate(gate, sizes, std=spread, pairs=pairs)
    years = simulate_years(gate, sizes, std=spread, years=max(1, pairs // 5))
    facts = []
    for row in rows:
        note = "" if row.holds else "   more images are needed"
        facts.append((row.name, f"promoted {row.promoted:6.1%}  ({row.expected}){note}"))
    lines = columns(facts)
    lines.append(
        f"52 weekly candidates round the champion: {years.promotions:.1f} promotions a year, each "
        f"truly gains {years.gain:+.2f}; its judgement says {years.judged_excess:.2f} more, the "
        f"sealed set {years.sealed_excess:+.2f} (at most 0.2)"
    )
    content = {
        "judgements": [dataclasses.asdict(row) for row in rows],
        "years": dataclasses.asdict(years),
    }
    print_result(content, lines, as_json=as_json)


def _warn_of_changes(project: Path) -> None:
    """Say before anything is judged that nobody could make the version again, and why."""
    from pasam.registry.snapshot import git_state

    changed = git_state(project).changed
    if changed:
        others = f" and {len(changed) - 1} more differ" if len(changed) > 1 else " differs"
        typer.echo(
            f"note: {changed[0]}{others} from the commit, so what comes of this cannot be "
            "made again. Commit first, or take it as a trial.",
            err=True,
        )


def _expect_registry(project: Path) -> None:
    """Refuse to read what is not there yet: opening it would make it."""
    from pasam.registry.store import is_begun
    from pasam.registry.versions import known_standing

    if not is_begun(project) and known_standing(project) is None:
        raise RegistryError(
            f"nothing was registered in {project.resolve().name}/ yet: it has neither MLflow's "
            "records nor a log of decisions. `pasam registry promote` begins both; or name the "
            "project (--project)."
        )


def _version(project: Path, which: str) -> Version:
    return _found(project, which)[0]


def _found(project: Path, which: str) -> tuple[Version, Mapping[str, str]]:
    """Find a version and its params, as the log has them, which nobody can edit in MLflow."""
    from pasam.registry.store import expect_begun
    from pasam.registry.versions import PARAMS, as_logged, known_standing, open_registry

    expect_begun(project, wanted=f"version {which!r}")
    standing = known_standing(project)
    number = standing.aliases.get(which) if standing else None
    version = open_registry(project).version(which if number is None else number)
    known = standing.versions.get(version.number) if standing else None
    return as_logged(version, standing), known.registered.details.get(PARAMS, {}) if known else {}


def _shown_by_mlflow(version: Version) -> dict[str, list[tuple[str, str]]]:
    """What MLflow alone shows of a version, such as where a model is only served."""
    names = ("pasam.weights", "gate.decision", "gate.champion", "pasam.why")
    found = [(name, version.tags[name]) for name in names if version.tags.get(name)]
    reasons = filter(None, version.tags.get("gate.reasons", "").split("; "))
    return {"MLflow shows": found, "what the gate found": [("", each) for each in reasons]}


def _line(version: Version, not_again: str | None) -> str:
    weights = version.tags.get("pasam.weights", "")
    score = json.loads(version.tags.get("scores.mbiou", "{}")).get("mean")
    parts = [
        f"{version.number:>4}",
        f"{','.join(version.aliases) or '-':<18}",
        f"{version.status:<11}",
        f"{version.tags.get('pasam.model', '-'):<10}",
        "boundary IoU -    " if score is None else f"boundary IoU {score:5.2f}",
        version.tags.get("git.commit", "")[:10],
        f"seed {version.tags['seed']}" if "seed" in version.tags else "",
        "" if weights == "real" else weights,
        f"cannot be made again: {not_again}" if not_again else "",
    ]
    return "  ".join(parts).rstrip()


def _description(outcome: PromotionResult) -> list[str]:
    from pasam.registry.verdict_page import of_one_seed

    lines = [outcome.message]
    if outcome.gate is not None:
        lines += [f"  {reason}" for reason in outcome.gate.reasons]
        lines.append(of_one_seed(outcome.seed))
    if outcome.page is not None:
        lines.append(f"Verdict: {outcome.page}")
    return lines


def _content(outcome: PromotionResult) -> dict[str, Any]:
    gate = outcome.gate
    return {
        "version": outcome.version,
        "promoted": outcome.promoted,
        "message": outcome.message,
        "decision": None if gate is None else gate.decision,
        "reasons": [] if gate is None else list(gate.reasons),
        "page": None if outcome.page is None else str(outcome.page),
    }


def _reason(why: str) -> str:
    if not why.strip():
        raise RegistryError('a reason is needed for the log: add --why "...".')
    return why


@track_app.command("sync")
def track_sync(
    flow_run: Annotated[str | None, typer.Option(help="Prefect run to name.")] = None,
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Record the stages of dvc.lock that are not recorded yet; run it as often as you like.

    After an outage it completes what is missing.

    Example: pasam track sync
    """
    from pasam.registry.runs import sync

    synced = sync(project, flow_run=flow_run)
    new, all_ = len(synced.new), len(synced.runs)
    lines = [f"{new} recorded now, {all_ - new} before, in {synced.address}"]
    lines += [f"  new      {stage}" for stage in synced.new]
    lines += [
        f"  missing  {stage}: {reason}; run `dvc repro` or `dvc checkout`"
        for stage, reason in synced.missing.items()
    ]
    print_result(dataclasses.asdict(synced), lines, as_json=as_json)


@track_app.command("show")
def track_show(
    as_json: AsJson = False,
    project: Project = Path(),
) -> None:
    """Show the runs of the stages in dvc.lock, and where the pages are.

    Example: pasam track show --json
    """
    from pasam.registry.runs import overview

    rows = overview(project)
    facts = []
    for row in rows:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in row.headline.items())
        facts.append((row.stage, f"{row.run or 'not recorded':<32}  {numbers}".rstrip()))
    lines = columns(facts)
    if any(row.run is None for row in rows):
        lines.append("Record what is missing with `pasam track sync`.")
    print_result([dataclasses.asdict(row) for row in rows], lines, as_json=as_json)
