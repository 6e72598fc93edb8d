"""A verdict of the gate as a page: Markdown for a terminal or a review, HTML for a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pasam.registry.store import Tag

if TYPE_CHECKING:
    from pasam.registry.decision_log import Entry

LINEAGE = (
    Tag.COMMIT, Tag.DIRTY, Tag.LOCK_SHA256, Tag.MANIFEST_MD5, Tag.VALIDATION, Tag.EVALUATION_SET,
    Tag.EVALUATOR_VERSION, Tag.BASE_SHA256, Tag.ADAPTER_SHA256, Tag.SEED, Tag.WEIGHTS,
    Tag.FLOW_RUN,
)  # fmt: skip
"""Tags of a version that its page shows."""

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


def verdict_pages(entry: Entry) -> dict[str, str]:
    """Write an entry of the gate as files, by name: for programs, terminals and browsers."""
    content = entry.details
    return {
        "verdict.json": json.dumps(content, indent=2, sort_keys=True) + "\n",
        "verdict.md": markdown_page(content),
        "verdict.html": html_page(content),
    }


def markdown_page(content: Mapping[str, Any]) -> str:
    """Write a decision as Markdown.

    Args:
        content: Details of an entry of the gate.
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
        content: Details of an entry of the gate.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(_HTML).render(
        title=f"Version {content['version']}",
        decision=content["decision"],
        accepted=content["accepted"],
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
