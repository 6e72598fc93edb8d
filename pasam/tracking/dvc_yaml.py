"""The stages that `dvc.yaml` and `params.yaml` declare at present, by name.

DVC leaves in `dvc.lock` what it once ran: the stages of another size, of a benchmark or a variant
that is no longer listed. They say nothing about the present run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from pasam.errors import DataError

GRAPH, PARAMS = "dvc.yaml", "params.yaml"


def declared_stages(project: Path) -> frozenset[str]:
    """Name the stages that `dvc repro` would look at.

    Args:
        project: The project's root.

    Returns:
        Names as DVC gives them: `report`, `train@pa_sam`, `evaluate@pa_sam-dis_like`.

    Raises:
        DataError: A file is absent or does not say what it should.
    """
    try:
        graph = yaml.safe_load((project / GRAPH).read_bytes())["stages"]
        params = yaml.safe_load((project / PARAMS).read_bytes())
        return frozenset(n for name, entry in graph.items() for n in _names(name, entry, params))
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"the stages of {project / GRAPH} with {PARAMS} cannot be listed "
            f"({type(error).__name__}: {error}). `dvc status` says what is wrong with them."
        ) from None


def _names(name: str, entry: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[str]:
    if "foreach" in entry:
        axes = [_resolved(entry["foreach"], params)]
    elif "matrix" in entry:
        axes = [_resolved(axis, params) for axis in entry["matrix"].values()]
    else:
        yield name
        return
    for values in product(*axes):
        yield f"{name}@{'-'.join(map(str, values))}"


def _resolved(axis: Any, params: Mapping[str, Any]) -> Any:
    """What a `${section.key}` stands for; a mapping's keys name its stages."""
    if isinstance(axis, str):
        found: Any = params
        for key in axis.removeprefix("${").removesuffix("}").split("."):
            found = found[key]
        return found
    return axis
