"""From the project's results to a champion: register, judge, record, promote.

The gate's decision is kept with the run, as tags of the version, in the audit log, and as a page:
Markdown for a terminal or a review, HTML for a browser.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pasam.config.params_file import load_section
from pasam.config.schema import GateParams
from pasam.errors import RegistryError
from pasam.files import write_json, write_text
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.registry.candidate import Candidate, find_candidate
from pasam.registry.evidence import latencies, reevaluate, reload_parity, trial_images
from pasam.registry.gate import GateDecision, Preconditions, ScoredModel, judge
from pasam.registry.runs import record_runs
from pasam.registry.snapshot import PARAMS, Snapshot, take_snapshot
from pasam.registry.store import Tag
from pasam.registry.transitions import (
    AuditLog,
    PromotionResult,
    held,
    make_champion,
    mark_rejected,
    result_of,
)
from pasam.registry.version_files import (
    evidence_folder,
    fetched,
    measured_of,
    open_files,
    predictor_of,
    register,
    scores_of,
    write_files,
)
from pasam.registry.versions import CHAMPION, PROMOTE, REEVALUATE, Registry, Version, open_registry

TRIALS = 4
"""Benchmarks of which one image is predicted, to compare and to time the models."""
PAGES = "verdicts"
"""Folder of the decisions' pages, beside MLflow's records."""

LINEAGE = (
    Tag.COMMIT, Tag.DIRTY, Tag.LOCK_SHA256, Tag.MANIFEST_MD5, Tag.VALIDATION, Tag.EVALUATION_SET,
    Tag.EVALUATOR_VERSION, Tag.BASE_SHA256, Tag.ADAPTER_SHA256, Tag.SEED, Tag.WEIGHTS,
)  # fmt: skip
"""Tags of a version that its page shows."""

_LONGEST_TAG = 4000

_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --good: #18794e; --bad: #b42318; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --good: #4cc38a; --bad: #ff9592; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; }
</style>
</head>
<body>
<h1>{{ title }}: <span class="{{ 'good' if accepted else 'bad' }}">{{ decision }}</span></h1>
<p>{{ opponent }}</p>
{% for heading, names, rows in tables %}
<h2>{{ heading }}</h2>
<div class="wide"><table>
<thead><tr>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr>{% for cell in row %}<td class="{{ colours[cell] }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endfor %}
</body>
</html>
"""


def promote(
    project: Path, *, allow_local: bool = False, why: str = "", flow_run: str | None = None
) -> PromotionResult:
    """Register what the last reproduction trained, judge it, and promote it if the gate says so.

    It may be called again at any time: what is recorded, registered or judged already is found,
    and a promotion that was cut short is finished first.

    Args:
        project: The project's root.
        allow_local: Judge although the tree is dirty, unpushed, or the data not validated.
        why: A person's reason, for the log.
        flow_run: The Prefect run that this belongs to, if any.

    Raises:
        RegistryError: The tree is dirty or unpushed, or the results are not complete.
        BusyError: Another process is at it.
        TrackingError: MLflow cannot be reached; nothing is lost, and calling it again goes on.
    """
    gate = load_section(GateParams, "gate", project / PARAMS)
    snapshot = take_snapshot(project, flow_run=flow_run)
    candidate = find_candidate(snapshot, gate.model)
    if not allow_local:
        _require_shared(snapshot)
    opened = open_registry(project)
    synced = record_runs(snapshot, opened.store)
    with held(opened) as (registry, log):
        version = register(registry, candidate, run_id=synced.runs[candidate.stage])
        if CHAMPION in version.aliases:
            return result_of(version, True, "is the champion already; its files are the same")
        if gate.mode == "off":
            make_champion(registry, log, version, why or "the gate is off")
            return result_of(version, True, "is champion now; the gate is off", moved=True)
        decision = assess(snapshot, registry, version, candidate, gate, allow_local=allow_local)
        page = record(registry, log, version, decision, gate)
        return _follow(registry, log, version, decision, page, gate, why)


def _follow(
    registry: Registry,
    log: AuditLog,
    version: Version,
    decision: GateDecision,
    page: Path,
    gate: GateParams,
    why: str,
) -> PromotionResult:
    """Do what the gate decided, as far as its mode allows."""
    if not decision.accepted:
        mark_rejected(registry, version, "; ".join(decision.reasons))
        return result_of(version, False, "was rejected", gate=decision, page=page)
    if gate.mode == "dry-run":
        message = "was accepted; gate.mode is dry-run"
        return result_of(version, False, message, gate=decision, page=page)
    make_champion(registry, log, version, why or "accepted by the gate")
    return result_of(version, True, "is champion now", moved=True, gate=decision, page=page)


def _require_shared(snapshot: Snapshot) -> None:
    git, note = snapshot.git, snapshot.results_note()
    if note is not None:
        raise RegistryError(f"{note} To judge it on this machine alone, add --allow-local.")
    if git.dirty or not git.pushed:
        state = "has uncommitted changes" if git.dirty else "is at a commit that no remote has"
        raise RegistryError(
            f"the working tree {state}, so nobody else could make this version again. Commit and "
            "push (`git push`, `dvc push`), or try it on this machine alone with --allow-local."
        )


def assess(
    snapshot: Snapshot,
    registry: Registry,
    version: Version,
    candidate: Candidate,
    gate: GateParams,
    *,
    allow_local: bool,
) -> GateDecision:
    """Gather the evidence for a version and judge it against the champion.

    A champion that was measured with other images or another evaluator is measured again first.
    """
    champion = registry.version(CHAMPION) if CHAMPION in registry.aliases() else None
    seen = trial_images(snapshot, count=TRIALS)
    with fetched(registry, version) as folder:
        trained = _trained(folder.parent / "trained", candidate)
        facts = Preconditions(
            clean=not snapshot.git.dirty,
            pushed=snapshot.git.pushed,
            local_allowed=allow_local,
            validation=snapshot.lineage[Tag.VALIDATION],
            weights=candidate.weights,
            reload_parity=reload_parity(folder, trained, seen),
        )
    ours = ScoredModel(
        scores=candidate.scores, measured=candidate.measured, latency_ms=float("nan")
    )
    if champion is None:
        (time,) = latencies([trained], seen)
        return judge(dataclasses.replace(ours, latency_ms=time), None, facts, gate)
    with fetched(registry, champion) as folder:
        reigning = predictor_of(folder)
    our_time, their_time = latencies([trained, reigning], seen)
    ours = dataclasses.replace(ours, latency_ms=our_time)
    theirs = ScoredModel(
        scores=scores_of(registry, champion), measured=measured_of(champion), latency_ms=their_time
    )
    decision = judge(ours, theirs, facts, gate)
    if decision.decision != REEVALUATE:
        return decision
    again = reevaluate(snapshot, reigning)
    theirs = ScoredModel(scores=again, measured=candidate.measured, latency_ms=their_time)
    return judge(ours, theirs, facts, gate)


def _trained(folder: Path, candidate: Candidate) -> PromptAdapterPredictor:
    """Make the predictor of the project's own files, past the registry."""
    write_files(folder, candidate)
    return open_files(folder)


def record(
    registry: Registry, log: AuditLog, version: Version, decision: GateDecision, gate: GateParams
) -> Path:
    """Keep a decision and return its page on this disk."""
    champion = registry.aliases().get(CHAMPION)
    content = {
        "version": version.number,
        "champion": champion,
        **dataclasses.asdict(decision),
        "reasons": list(decision.reasons),
        "gate": gate.model_dump(),
        "lineage": dict(version.tags),
    }
    folder = registry.store.folder / PAGES / f"v{version.number}"
    write_json(folder / "verdict.json", content, indent=2)
    write_text(folder / "verdict.md", markdown_page(content))
    write_text(folder / "verdict.html", html_page(content))
    for file in sorted(folder.glob("verdict.*")):
        registry.client.log_artifact(version.run_id, str(file), evidence_folder(version.number))
    tags = {
        Tag.DECISION: decision.decision,
        Tag.REASONS: "; ".join(decision.reasons)[:_LONGEST_TAG],
        Tag.OPPONENT: str(champion or ""),
        Tag.MODE: gate.mode,
    }
    registry.tag_version(version.number, tags)
    event = {name: content[name] for name in ("version", "champion", "decision", "reasons")}
    log.append({"event": "judge", **event})
    return folder / "verdict.html"


def markdown_page(content: Mapping[str, Any]) -> str:
    """Write a decision as Markdown.

    Args:
        content: A decision as `record` keeps it.
    """
    lines = [f"# Version {content['version']}: {content['decision']}", "", _opponent(content)]
    for heading, names, rows in _tables(content):
        lines += ["", f"## {heading}", "", _line(names), _line(["---"] * len(names))]
        lines += [_line(["**no**" if cell == "no" else cell for cell in row]) for row in rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def html_page(content: Mapping[str, Any]) -> str:
    """Write a decision as one HTML page that needs nothing else.

    Args:
        content: A decision as `record` keeps it.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(_HTML).render(
        title=f"Version {content['version']}",
        decision=content["decision"],
        accepted=content["decision"] == PROMOTE,
        opponent=_opponent(content),
        tables=_tables(content),
        colours={"yes": "good", "no": "bad"},
    )


def _opponent(content: Mapping[str, Any]) -> str:
    champion = content["champion"]
    if champion is None:
        return "There is no champion yet, so that only the floors count."
    return f"Compared with version {champion}, the champion, image by image."


def _tables(content: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    """Return the heading, the columns and the rows of every table of a page."""
    checks = [
        [check["name"], "yes" if check["passed"] else "no", check["reason"]]
        for check in content["checks"]
    ]
    measured = [("mean", content["mean_score"], content["mean_gain"])]
    measured += [(n, score, content["gains"].get(n)) for n, score in content["scores"].items()]
    scores = [[name, f"{score:.2f}", *_gain_cells(gain)] for name, score, gain in measured]
    tags = content["lineage"]
    origin = [[name, tags[name]] for name in LINEAGE if name in tags]
    gain_columns = ("Benchmark", "Candidate", "Gain", "Lower bound", "Std")
    return [
        ("Checks", ("Check", "Holds", "Found and asked for"), checks),
        ("Boundary IoU, points", gain_columns, scores),
        ("Where it comes from", ("Tag", "Value"), origin),
    ]


def _gain_cells(gain: Mapping[str, float] | None) -> list[str]:
    if gain is None:
        return ["", "", ""]
    return [f"{gain['mean']:+.2f}", f"{gain['low']:+.2f}", f"{gain['std']:.2f}"]
