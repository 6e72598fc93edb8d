"""A verdict kept where it is looked for: with the run, as tags, as a page, and in the log."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasam.gate_params import GateParams
from pasam.registry.journal import Journal
from pasam.registry.register import evidence_folder
from pasam.registry.verdict import Verdict
from pasam.registry.verdict_page import html_page, markdown_page
from pasam.registry.versions import CHAMPION, Registry, Version

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
        "gate": dataclasses.asdict(gate),
        "lineage": dict(version.tags),
    }
