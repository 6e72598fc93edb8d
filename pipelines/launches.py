"""Whether a SLURM job fits the stages that it is about to run, by each stage's own params.

python -m pipelines.launches --nodes 2 --gpus 4 evaluate@pa_sam
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pasam.config.params_file import load_section
from pasam.config.schema import EmbedParams, EvaluateParams, PretrainParams, TrainParams
from pasam.errors import DataError, ParamsError
from pasam.files import parse_yaml, read_text
from pipelines.stage_runner import exit_codes

_KINDS: dict[str, Any] = {
    "embed": EmbedParams, "train": TrainParams, "evaluate": EvaluateParams,
    "pretrain": PretrainParams,
}  # fmt: skip
_GRAPH = Path("dvc.yaml")
_LAST_LINE = re.compile(r'^    run\(\w+, devices="([\w.]+)"\)$', re.MULTILINE)


def processes_of_job(stages: Sequence[str], *, nodes: int, gpus: int) -> int:
    """Say how many processes each node of a job starts for its stages.

    Args:
        stages: Names, as `dvc repro` takes them; what it knows besides names is passed over.
        nodes: Machines of the job.
        gpus: GPUs of each; with none, the params alone say how many processes there are.

    Returns:
        The most that one of the stages has.

    Raises:
        ParamsError: A stage's own `devices` or `nodes` are others than the job's, or it runs in one
            process and the job has several nodes.
    """
    return max([1, *(_processes(stage, nodes=nodes, gpus=gpus) for stage in stages)])


def _processes(stage: str, *, nodes: int, gpus: int) -> int:
    key = section_of(stage)
    if key is None:
        if nodes > 1:
            raise ParamsError(
                f"{stage} runs in one process, and the job has {nodes} nodes. Submit it with "
                "deploy/slurm/stage.sbatch."
            )
        return 1
    first, *inner = key.split(".")
    section: Any = functools.reduce(getattr, inner, load_section(_KINDS[first], first))
    wanted = getattr(section, "nodes", nodes)
    if wanted != nodes:
        raise ParamsError(
            f"{key}.nodes is {wanted}, and the job has {nodes} nodes. Make them equal "
            "(sbatch --nodes)."
        )
    if gpus and section.devices not in ("auto", gpus):
        raise ParamsError(
            f"{key}.devices is {section.devices}, and the job has {gpus} GPUs on a node. Make them "
            f"equal (sbatch --gres){'' if hasattr(section, 'nodes') else ', or set it to auto'}."
        )
    return (gpus or 1) if section.devices == "auto" else int(section.devices)


def section_of(stage: str) -> str | None:
    """Find which section says how many processes share a stage: the last line of its file does.

    Args:
        stage: Its name, with or without what follows `@`.

    Returns:
        The section's place in the params file; None for a stage of one process, and for what is
        no stage of dvc.yaml.
    """
    text = read_text(_GRAPH, advice="Run from the project's root.", error=DataError)
    graph = parse_yaml(text, _GRAPH)
    entry = graph["stages"].get(stage.rpartition(":")[2].partition("@")[0], {})
    module = re.match(r"python -m (pipelines\.stages\.\w+)", entry.get("do", entry).get("cmd", ""))
    if module is None:
        return None
    file = Path(*module[1].split(".")).with_suffix(".py")
    found = _LAST_LINE.search(file.read_text(encoding="utf-8"))
    return found[1] if found else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the number of processes of each node to standard output."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.launches", allow_abbrev=False)
    parser.add_argument("--nodes", type=int, default=1, help="Machines of the job.")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of each.")
    given, stages = parser.parse_known_args(arguments)  # flags of `dvc repro` may stand with names
    with exit_codes():
        count = processes_of_job(stages, nodes=given.nodes, gpus=given.gpus)
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main()
