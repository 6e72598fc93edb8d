"""A verdict as a page for people, kept where it is looked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasam.config.schema import GateParams
from pasam.registry.decision import Verdict
from pasam.registry.model_files import evidence_folder
from pasam.registry.transitions import Journal
from pasam.registry.versions import CHAMPION, Registry, Version

# --- verdict_page: A verdict as a page for people: Markdown for a terminal or a review, HTML for
# a browser.

LINEAGE = (
    "git.commit", "git.dirty", "dvc.lock_sha256", "data.manifest_md5", "data.validation",
    "evaluation.set_md5", "evaluation.evaluator", "base.sha256", "adapter.sha256", "seed",
    "pasam.weights",
)  # fmt: skip

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
.number { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
code { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
</style>
</head>
<body>
<h1>{{ title }}: <span class="{{ 'good' if promote else 'bad' }}">{{ words.decision }}</span></h1>
<p>{{ opponent }}</p>
<h2>Checks</h2>
<div class="wide"><table>
<thead><tr><th>Check</th><th>Holds</th><th>Found and asked for</th></tr></thead>
<tbody>
{% for check in words.checks %}
<tr><td>{{ check.name }}</td>
<td class="{{ 'good' if check.passed else 'bad' }}">{{ "yes" if check.passed else "no" }}</td>
<td>{{ check.reason }}</td></tr>
{% endfor %}
</tbody></table></div>
<h2>Boundary IoU, points</h2>
<div class="wide"><table>
<thead><tr><th>Benchmark</th><th class="number">Candidate</th><th class="number">Gain</th>
<th class="number">Lower bound</th><th class="number">Spread</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><td>{{ row[0] }}</td>
{% for cell in row[1:] %}<td class="number">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
<h2>Where it comes from</h2>
<div class="wide"><table><tbody>
{% for name, value in lineage %}
<tr><td>{{ name }}</td><td><code>{{ value }}</code></td></tr>
{% endfor %}
</tbody></table></div>
</body>
</html>
"""


def markdown_page(words: Mapping[str, Any]) -> str:
    """Write a verdict as Markdown.

    Args:
        words: A verdict as `pasam.registry.promotion` keeps it.
    """
    lines = [f"# {_title(words)}: {words['decision']}", "", _opponent(words), ""]
    lines += ["| Check | Holds | Found and asked for |", "|---|---|---|"]
    lines += [
        f"| {check['name']} | {'yes' if check['passed'] else '**no**'} | {check['reason']} |"
        for check in words["checks"]
    ]
    lines += [
        "",
        "| Boundary IoU, points | Candidate | Gain | Lower bound | Spread |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in _rows(words)]
    lines += ["", "| Where it comes from | |", "|---|---|"]
    lines += [f"| {name} | `{value}` |" for name, value in _lineage(words)]
    return "\n".join(lines) + "\n"


def html_page(words: Mapping[str, Any]) -> str:
    """Write a verdict as one HTML page that needs nothing else.

    Args:
        words: A verdict as `pasam.registry.promotion` keeps it.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_HTML).render(
        title=_title(words),
        promote=words["decision"] == "promote",
        words=words,
        opponent=_opponent(words),
        rows=_rows(words),
        lineage=_lineage(words),
    )


def _title(words: Mapping[str, Any]) -> str:
    return f"Version {words['version']}"


def _opponent(words: Mapping[str, Any]) -> str:
    champion = words["champion"]
    if champion is None:
        return "There is no champion yet, so that only the floors count."
    return f"Compared with version {champion}, the champion, image by image."


def _rows(words: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, score in words["scores"].items():
        gain = words["gains"].get(name)
        cells = [""] * 3
        if gain is not None:
            cells = [f"{gain['mean']:+.2f}", f"{gain['low']:+.2f}", f"{gain['spread']:.2f}"]
        rows.append([name, f"{score:.2f}", *cells])
    return rows


def _lineage(words: Mapping[str, Any]) -> list[tuple[str, str]]:
    tags = words["lineage"]
    return [(name, tags[name]) for name in LINEAGE if name in tags]


# --- record: A verdict kept where it is looked for: with the run, as tags, as a page, and in the
# log.

FOLDER = "verdicts"

_LONGEST_TAG = 4000


def record(
    registry: Registry, journal: Journal, version: Version, verdict: Verdict, gate: GateParams
) -> Path:
    """Keep a verdict and return its page on this disk."""
    champion = registry.aliases().get(CHAMPION)
    words = _words(version, champion, verdict, gate)
    folder = registry.store.folder / FOLDER / f"v{version.number}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "verdict.json": json.dumps(words, indent=2, sort_keys=True) + "\n",
        "verdict.md": markdown_page(words),
        "verdict.html": html_page(words),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        registry.client.log_artifact(
            version.run_id, str(folder / name), evidence_folder(version.number)
        )
    tags = {
        "gate.decision": verdict.decision,
        "gate.reasons": "; ".join(verdict.reasons)[:_LONGEST_TAG],
        "gate.champion": str(champion or ""),
        "gate.mode": gate.mode,
    }
    registry.tag(version.number, tags)
    told = {name: words[name] for name in ("version", "champion", "decision", "reasons")}
    journal.append({"event": "judge", **told})
    return folder / "verdict.html"


def _words(
    version: Version, champion: int | None, verdict: Verdict, gate: GateParams
) -> Mapping[str, Any]:
    return {
        "version": version.number,
        "champion": champion,
        "decision": verdict.decision,
        "reasons": list(verdict.reasons),
        "checks": [dataclasses.asdict(check) for check in verdict.checks],
        "scores": dict(verdict.scores),
        "gains": {name: dataclasses.asdict(gain) for name, gain in verdict.gains.items()},
        "gate": gate.model_dump(),
        "lineage": dict(version.tags),
    }
