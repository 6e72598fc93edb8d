"""A verdict of the gate as a page: Markdown for a terminal or a review, HTML for a browser."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasam.registry.store import Tag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pasam.registry.decision_log import Entry
    from pasam.registry.evidence import CorrectedImage

_TITLES = {
    "before": "before: the model's mask then", "corrected": "after: the person's mask",
    "champion": "champion", "candidate": "candidate",
}  # fmt: skip

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
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
.good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; }
figure { margin: 0 0 1.5rem; display: flex; flex-wrap: wrap; gap: .6rem; }
figcaption { flex: 1 1 100%; } .seen { width: 13.5rem; } .seen div { position: relative; }
.seen img { display: block; width: 100%; } .seen .mask { position: absolute; inset: 0; }
</style>
</head>
<body>
<h1>{{ title }}: <span class="{{ 'good' if accepted else 'bad' }}">{{ decision }}</span></h1>
<p><strong>{{ summary }}</strong></p>
<p>{{ opponent }}</p>
{% for heading, names, rows in tables %}
<h2>{{ heading }}</h2>
<div class="wide" tabindex="0"><table>
<thead><tr>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr>{% for cell in row %}<td class="{{ colours[cell] }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endfor %}
{% if corrected %}
<h2>Images that people have corrected</h2>
<p>The mask before, the person's, and what champion and candidate make now of the prompt that was
recorded (of the box of the person's mask where none was that says enough), with the IoU with the
person's mask. The image itself is not in this page: it is shown as long as the project has it.</p>
{% for each in corrected %}
<figure>
<figcaption>{{ each.caption }}</figcaption>
{% for title, mask in each.masks %}
<div class="seen"><div><img src="{{ each.image }}" alt="the image, if it is still here">
<img class="mask" src="{{ mask }}" alt=""></div>{{ title }}</div>
{% endfor %}
</figure>
{% endfor %}
{% endif %}
</body>
</html>
"""


CORRECTIONS, PROVENANCE = "corrections", "provenance.json"
"""Name of the set of what people have corrected, and of the file that says who did."""
TINT = (255, 90, 0, 140)
"""Of a mask on an image, RGBA."""


def verdict_pages(
    entry: Entry, corrected: Sequence[CorrectedImage] = (), place: Path | None = None
) -> dict[str, str]:
    """Write an entry of the gate as files, by name: for programs, terminals and browsers.

    Args:
        entry: The entry.
        corrected: What people have corrected, as the models see it now.
        place: Folder of the page.
    """
    content = entry.details
    return {
        "verdict.json": json.dumps(content, indent=2, sort_keys=True) + "\n",
        "verdict.md": markdown_page(entry),
        "verdict.html": html_page(entry, corrected, place),
    }


def markdown_page(entry: Entry) -> str:
    """Write an entry of the gate as Markdown."""
    content = entry.details
    lines = [f"# Version {content['version']}: {content['decision']}", "", _summary(entry)]
    lines += ["", _opponent(content)]
    for heading, names, rows in _tables(content):
        lines += ["", f"## {heading}", "", _line(names), _line(["---"] * len(names))]
        lines += [_line(["**no**" if cell == "no" else cell for cell in row]) for row in rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def html_page(
    entry: Entry, corrected: Sequence[CorrectedImage] = (), place: Path | None = None
) -> str:
    """Write an entry of the gate as one HTML page that needs nothing but the images it shows.

    Of an image that people have corrected it holds the masks only: whoever has the image deleted
    has it deleted here, too. The arguments are those of `verdict_pages`.
    """
    from jinja2 import Environment

    content = entry.details
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(_HTML).render(
        title=f"Version {content['version']}",
        decision=content["decision"],
        accepted=content["accepted"],
        summary=_summary(entry),
        opponent=_opponent(content),
        tables=_tables(content),
        colours={"yes": "good", "no": "bad"},
        corrected=[_shown(each, place) for each in corrected],
    )


def _shown(each: CorrectedImage, place: Path | None) -> dict[str, Any]:
    masks = []
    for name, mask in each.masks.items():
        right = "" if name == "corrected" else f": IoU {each.iou(name):.1f}"
        masks.append((f"{_TITLES[name]}{right}", _overlay(mask)))
    start = place or Path()
    image = Path(os.path.relpath(each.image.absolute(), start.absolute())).as_posix()
    return {
        "caption": f"{each.identity}, {each.who}: {each.why}", "image": image, "masks": masks
    }  # fmt: skip


def _overlay(mask: NDArray[np.bool_]) -> str:
    """Write a mask (H, W) as an image to lay over another one."""
    import numpy as np

    from pasam.masks.images import encode_rgba

    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = TINT
    return f"data:image/png;base64,{base64.b64encode(encode_rgba(pixels)).decode()}"


def _summary(entry: Entry) -> str:
    """Say in one line what came of it, why, when, and who asked."""
    content, gain = entry.details, entry.details["mean_gain"]
    failed = [check["name"] for check in content["checks"] if not check["passed"]]
    count = len(content["checks"])
    decided = "Accepted" if content["accepted"] else "Refused"
    why = f"{len(failed)} of {count} checks fail ({', '.join(failed)})"
    why = why if failed else f"all {count} checks hold"
    score = f"mean boundary IoU {content['mean_score']:.2f}"
    if gain is not None:
        score += f", gain {gain['mean']:+.2f} points (at least {gain['low']:+.2f})"
    moment = entry.time[:16].replace("T", " ")
    asked = f"entry {entry.number} of the log, {moment} UTC, asked by {entry.by.get('who', '')}"
    return f"{decided}: {why}; {score}. It is {asked}."


def of_one_seed(seed: str) -> str:
    """Say what the scores of a version are not: the means of Table 1."""
    own = f"seed {seed}" if seed.isdecimal() else "own seed"
    return f"Scores are of this version's {own} alone; Table 1 has the mean over seeds."


def _opponent(content: Mapping[str, Any]) -> str:
    champion, seed = content["champion"], of_one_seed(str(content["lineage"].get(Tag.SEED, "")))
    if champion is None:
        return f"There is no champion yet, so that only the floors count. {seed}"
    return f"Compared with version {champion}, the champion, image by image. {seed}"


def _tables(content: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    """Return the heading, the columns and the rows of every table of a page."""
    checks = [
        [check["name"], "yes" if check["passed"] else "no", check["reason"]]
        for check in content["checks"]
    ]
    measured = [("mean", content["mean_score"], content["mean_gain"])]
    measured += [(n, score, content["gains"].get(n)) for n, score in content["scores"].items()]
    gain_columns = ("Gain", "Lower bound", "Std") if content["champion"] is not None else ()
    scores = [
        [name, f"{score:.2f}", *_gain_cells(gain)[: len(gain_columns)]]
        for name, score, gain in measured
    ]
    tags = content["lineage"]
    origin = [[name, tags[name]] for name in LINEAGE if name in tags]
    return [
        ("Checks", ("Check", "Holds", "Found and asked for"), checks),
        ("Boundary IoU, points", ("Benchmark", "Candidate", *gain_columns), scores),
        ("Where it comes from", ("Tag", "Value"), origin),
    ]


def _gain_cells(gain: Mapping[str, float] | None) -> list[str]:
    if gain is None:
        return ["", "", ""]
    return [f"{gain['mean']:+.2f}", f"{gain['low']:+.2f}", f"{gain['std']:.2f}"]
