"""The command `pasam doctor`: what a run of a given preset needs, and what is missing."""

from __future__ import annotations

import configparser
import dataclasses
import functools
import importlib.metadata
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import psutil
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pasam.cli.options import CATALOGUE, AsJson, ParamsFile, print_result
from pasam.cli.resources import (
    Check,
    Content,
    Places,
    check_base,
    check_data,
    check_instances,
    check_purpose,
    gigabytes,
    missing,
    noted,
    passed,
)
from pasam.cli.run_costs import RunPlan, check_time, run_seconds
from pasam.cli.space_costs import (
    CONTEXT,
    Memory,
    cpu_memories,
    embedding_memory,
    evaluation_memory,
    fitting_batch,
    generated_bytes,
    store_bytes,
    training_memory,
)
from pasam.config.params_file import DEFAULT_PATH, load_section
from pasam.errors import DataError

if TYPE_CHECKING:
    from pasam.config.schema import (
        BaseParams,
        DataParams,
        EmbedParams,
        EncoderPrecision,
        EvaluateParams,
        TrainParams,
    )

_REMOTE = "remote "  # how a section of DVC's settings begins, the name in quotes after it


def check_git(root: Path) -> Check:
    """See whether the folder is a git checkout, and whether all is committed."""
    try:
        head = _git(root, "rev-parse", "--short", "HEAD").strip()
        changes = _git(root, "status", "--porcelain").splitlines()
    except DataError:
        found = "no checkout with a commit here: results cannot name the code they come from"
        return noted("git", found, "clone the repository, or git init and commit")
    if not changes:
        return passed("git", f"at {head}, everything committed")
    note = _results_note(root) or (
        f"{len(changes)} files changed or new. "
        "git status; commit, so that results can be traced to their code"
    )
    found, _, remedy = note.partition(". ")
    return noted("git", f"at {head}, {found}", remedy)


def _results_note(root: Path) -> str | None:
    from pasam.registry.snapshot import results_note

    try:
        return results_note(root)
    except DataError:  # no lock, or none that can be read: DVC says so itself
        return None


def check_dvc(root: Path) -> list[Check]:
    """See whether DVC can run here, and whether it has a remote to share through."""
    checks = []
    if shutil.which("dvc") is None:
        remedy = "activate the environment: . .venv/bin/activate"
        checks.append(missing("DVC", "the command dvc is not on the PATH", remedy))
    if not (root / ".dvc").is_dir():
        found = f"{root / '.dvc'} does not exist"
        checks.append(missing("DVC", found, "dvc init (with --no-scm outside git)"))
    if checks:
        return checks
    remotes = _remotes(root)
    if remotes:
        return [passed("DVC", f"ready, remotes: {', '.join(remotes)}")]
    found = "ready, but without a remote to share data through"
    return [noted("DVC", found, "dvc remote add -d NAME ADDRESS")]


def _git(root: Path, *arguments: str) -> str:
    from pasam.registry.snapshot import call_git

    done = call_git(root, *arguments, seconds=30)
    if done.returncode:
        raise DataError(f"`git {' '.join(arguments)}` failed in {root}.")
    return done.stdout.decode(errors="replace")


def _remotes(root: Path) -> list[str]:
    """Name DVC's remotes, from the shared and the private settings."""
    settings = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        settings.read([root / ".dvc" / "config", root / ".dvc" / "config.local"])
    except configparser.Error:
        return []
    sections = [name.strip("'") for name in settings.sections()]
    return [name[len(_REMOTE) :].strip('"') for name in sections if name.startswith(_REMOTE)]


OLDEST_PYTHON = (3, 11)
_SHOWN = 4
_PIN = re.compile(r"^([\w.-]+)==(\S+)(?: ; ([^\\\n]+))?", re.MULTILINE)  # name, version, marker


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """See whether Python is new enough."""
    found = ".".join(map(str, version))
    if version >= OLDEST_PYTHON:
        return passed("Python", found)
    wanted = ".".join(map(str, OLDEST_PYTHON))
    remedy = "make PYTHON=/path/to/python3.11"
    return missing("Python", f"{found}, expected {wanted} or newer", remedy)


def check_packages(
    lock: Path, installed: Callable[[str], str] = importlib.metadata.version
) -> Check:
    """Compare the installed packages with the lock; another version is a note, none is missing.

    Args:
        lock: A file of `name==version` lines, each with its marker and followed by its hashes.
        installed: Gives the version of a package, or raises PackageNotFoundError.
    """
    remedy = f"pip install --no-deps --require-hashes -r {lock}, or `make` for an environment"
    if not lock.is_file():
        return noted("packages", f"there is no {lock} to compare with")
    from packaging.markers import Marker

    lines = re.findall(
        r"^([\w.-]+)==(\S+)(?: ; ([^\\\n]+))?", lock.read_text("utf-8"), re.MULTILINE
    )
    pins = [(name, version) for name, version, on in lines if not on or Marker(on).evaluate()]
    absent, other = [], []
    for name, version in pins:
        try:
            there = installed(name).partition("+")[0]  # +cpu and the like
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if there != version:
            other.append(f"{name} {there} instead of {version}")
    if absent:
        found = f"{len(absent)} of {len(pins)} are not installed: {_some(absent)}"
        return missing("packages", found, remedy)
    if other:
        return noted("packages", _some(other), remedy)
    return passed("packages", f"{len(pins)}, as {lock} has them")


def check_disk(folder: Path, needed: int, parts: str) -> Check:
    """See whether the disk has room for what is still to come.

    Args:
        folder: A folder on it.
        needed: Bytes.
        parts: What takes them.
    """
    free = shutil.disk_usage(folder).free
    found = f"{gigabytes(needed)} needed ({parts}), {gigabytes(free)} free"
    if free >= needed:
        return passed("disk", found)
    remedy = f"free {gigabytes(needed - free)}, or move the project to a larger disk"
    return missing("disk", found, remedy)


def gpu_memories() -> list[int]:
    """List the memory of every GPU that torch sees, in bytes."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [int(torch.cuda.get_device_properties(index).total_memory) for index in range(count)]


def check_gpu(
    size: str,
    train: TrainParams,
    embed: EmbedParams,
    memory: Memory,
    probe: Callable[[], list[int]] = gpu_memories,
    encoder: EncoderPrecision = "32-true",
) -> Check:
    """See whether the GPUs that training asks for are there, and large enough.

    Args:
        size: The base.
        train: Which accelerator, and how many devices.
        embed: Whether the encoder runs in training.
        memory: Bytes that one process needs.
        probe: Gives the memory of every GPU.
        encoder: How the encoder computes.
    """
    if train.accelerator == "cpu":
        return passed("GPU", "not needed (train.accelerator: cpu)")
    needed = f"about {gigabytes(memory.total)} each: {explained(memory, train)}"
    gpus = probe()
    if train.accelerator == "auto" and not gpus:
        return noted("GPU", "none; training runs on the CPU")
    wanted = f"{train.devices} wanted (train.devices), {needed}"
    if len(gpus) < train.devices:
        return missing("GPU", f"{len(gpus)} there, {wanted}", _fewer_gpus(train, len(gpus)))
    least = min(gpus[: train.devices])
    if least >= memory.total:
        return passed("GPU", f"{gigabytes(least)} there, {wanted}")
    fits = fitting_batch(size, train, embed, least, encoder)
    remedy = "a smaller base (base.size), or packed views"
    if fits:
        more = -(-train.accumulate * train.batch_size // fits)
        remedy = f"train.batch_size: {fits} with train.accumulate: {more} for the same steps"
    return missing("GPU", f"{gigabytes(least)} there, {wanted}", remedy)


def check_evaluation(
    size: str,
    evaluate: EvaluateParams,
    probe: Callable[[], list[int]] = gpu_memories,
    encoder: EncoderPrecision = "32-true",
) -> Check:
    """See whether the GPUs that measuring asks for are there, and large enough.

    Args:
        size: The base.
        evaluate: On how many masks a model is measured at a time; its accelerator is no CPU.
        probe: Gives the memory of every GPU.
        encoder: How the encoder computes.
    """
    memory = evaluation_memory(size, evaluate, encoder)
    return _check_stage("evaluation", "evaluate", evaluate, memory, probe())


def check_embedding(
    size: str,
    embed: EmbedParams,
    probe: Callable[[], list[int]] = gpu_memories,
    encoder: EncoderPrecision = "32-true",
) -> Check:
    """See whether the GPUs that embedding asks for are there, and large enough.

    Args:
        size: The base.
        embed: How many images are encoded at a time; its accelerator is no CPU.
        probe: Gives the memory of every GPU.
        encoder: How the encoder computes.
    """
    memory = embedding_memory(size, embed, encoder)
    return _check_stage("embedding", "embed", embed, memory, probe())


def _check_stage(
    name: str, section: str, params: EmbedParams | EvaluateParams, memory: Memory, gpus: list[int]
) -> Check:
    """See whether a stage of several processes finds the GPUs that it asks for, large enough."""
    if params.accelerator == "auto" and not gpus:
        return passed(name, f"on the CPU: there is no GPU ({section}.accelerator: auto)")
    needed = (
        f"about {gigabytes(memory.total)} needed on a GPU: {_parts_of(memory)}, at "
        f"{section}.batch_size {params.batch_size}"
    )
    if not gpus:
        return missing(name, f"no GPU there, {needed}", f"{section}.accelerator: cpu, slowly")
    wanted = len(gpus) if params.devices == "auto" else params.devices
    if wanted > len(gpus):
        found = f"{len(gpus)} GPUs there, {wanted} wanted ({section}.devices)"
        return missing(name, found, f"{section}.devices: {len(gpus)}, or auto")
    least = min(gpus[:wanted])
    found = f"{gigabytes(least)} there, {needed}"
    if least >= memory.total:
        return passed(name, found)
    return missing(name, found, _SMALLER[name])


def check_memory(
    size: str,
    train: TrainParams,
    embed: EmbedParams,
    evaluate: EvaluateParams,
    content: Content,
    there: int | None = None,
) -> Check:
    """See whether this machine's memory holds what runs on the CPU.

    Args:
        size: The base.
        train: How large a batch is.
        embed: Whether the encoder runs in training, and on how many images it does before.
        evaluate: On how many masks a model is measured at a time.
        content: How much there is to embed.
        there: Bytes of memory, if not this machine's.
    """
    memories = cpu_memories(size, train, embed, evaluate, content)
    devices: dict[str, int | Literal["auto"]] = {
        "training": train.devices, "embedding": embed.devices, "evaluation": evaluate.devices
    }  # fmt: skip
    counts = {name: 1 if count == "auto" else count for name, count in devices.items()}
    needs = {name: one.needed * counts[name] for name, one in memories.items()}
    largest = max(needs, key=lambda name: needs[name])
    many = f" of {counts[largest]} processes" if counts[largest] > 1 else ""
    there = there or int(psutil.virtual_memory().total)
    peaks = ", ".join(f"{name} {gigabytes(one.total)}" for name, one in memories.items())
    found = (
        f"about {gigabytes(needs[largest])} needed by a stage{many}; a process takes, mapped "
        f"embeddings included, at its peak: {peaks} (training: "
        f"{explained(memories['training'], train)}); {gigabytes(there)} there"
    )
    if there >= needs[largest]:
        return passed("memory", found)
    fewer = "fewer devices, " if many else ""
    return missing("memory", found, fewer + _SMALLER[largest])


_SMALLER = {
    "training": "a smaller train.batch_size with train.accumulate, or a smaller base (base.size)",
    "embedding": "a smaller embed.batch_size, or a smaller base (base.size)",
    "evaluation": "a smaller evaluate.batch_size, or a smaller base (base.size)",
}


def _fewer_gpus(train: TrainParams, count: int) -> str:
    wanted = f"a machine with {train.devices} GPUs (train.devices)"
    if not count:
        return f"{wanted}; train.accelerator: cpu works without any, slowly"
    more = -(-train.accumulate * train.devices // count)
    return f"{wanted}, or train.devices: {count} with train.accumulate: {more} for the same steps"


def explained(memory: Memory, train: TrainParams) -> str:
    """Write out what a training's memory is made of."""
    return f"{_parts_of(memory)}, at train.batch_size {train.batch_size}"


def _parts_of(memory: Memory) -> str:
    parts = {
        "weights": memory.weights,
        "batch": memory.batch,
        "encoder": memory.encoder,
        "decoder": memory.decoder,
        "CUDA" if memory.context == CONTEXT else "Python and torch": memory.context,
        "mapped embeddings": memory.files,
    }
    said = {name: f"{name} {gigabytes(size)}" for name, size in parts.items() if size}
    if "encoder" in said and "decoder" in said:  # one after the other
        said["decoder"] = f"the larger of {said.pop('encoder')} and {said['decoder']}"
    return ", ".join(said.values())


def _some(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """All that was found for one params file."""

    params_file: str
    checks: tuple[Check, ...]

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing."""
        return all(check.state != "missing" for check in self.checks)

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to do about what is missing, each once."""
        wanted = [check.remedy for check in self.checks if check.state == "missing"]
        return tuple(dict.fromkeys(remedy for remedy in wanted if remedy))


def examine(
    params_file: Path, *, root: Path, places: Places, embeddings: Path, lock: Path
) -> Diagnosis:
    """Look at the machine, the project and the data; changes nothing and downloads nothing.

    Args:
        params_file: The preset in question.
        root: The project's folder.
        places: Where data sets lie.
        embeddings: Folder of the packed embeddings, which need room unless they are there.
        lock: The packages' lock.

    Raises:
        ParamsError: The params file is not valid.
    """
    from pasam.config import schema
    from pasam.config.presets import validate

    validate(params_file)
    data = load_section(schema.DataParams, "data", params_file)
    base = load_section(schema.BaseParams, "base", params_file)
    embed = load_section(schema.EmbedParams, "embed", params_file)
    train = load_section(schema.TrainParams, "train", params_file)
    evaluate = load_section(schema.EvaluateParams, "evaluate", params_file)
    content = check_data(data, places)
    instances = load_section(schema.InstancesParams, "instances", params_file)
    detected = check_instances(instances, places)
    weights = check_base(base, places)
    needed, parts = _disk(data, base, embed, content, weights, is_packed=embeddings.is_dir())
    how = base.encoder_precision
    memory = training_memory(base.size, train, embed, how)
    plan = _plan(params_file)
    on_gpu = _is_on_gpu(train)
    return Diagnosis(
        params_file=str(params_file),
        checks=(
            check_python(), check_packages(lock),
            check_gpu(base.size, train, embed, memory, encoder=how),
            *([] if on_gpu else [check_memory(base.size, train, embed, evaluate, content)]),
            *([] if embed.accelerator == "cpu"
              else [check_embedding(base.size, embed, encoder=how)]),
            *([] if evaluate.accelerator == "cpu"
              else [check_evaluation(base.size, evaluate, encoder=how)]),
            check_disk(root, needed, parts),
            check_time(plan, content, on_gpu=on_gpu, detected=detected),
            check_git(root), *check_dvc(root),
            weights, *content.checks, *check_purpose(evaluate, content), *detected.checks,
        ),
    )  # fmt: skip


def _is_on_gpu(train: TrainParams) -> bool:
    return train.accelerator == "gpu" or (train.accelerator == "auto" and bool(gpu_memories()))


def seconds_by_part(params_file: Path, places: Places, *, cores: int) -> dict[str, float]:
    """Estimate what each part of a run takes, for whoever starts one; see `run_seconds`.

    Args:
        params_file: The run's params.
        places: Where data sets lie.
        cores: How many the run may use.

    Raises:
        ParamsError: The params file is not valid.
    """
    from pasam.config import schema

    data = load_section(schema.DataParams, "data", params_file)
    instances = load_section(schema.InstancesParams, "instances", params_file)
    plan = _plan(params_file)
    return run_seconds(
        plan, check_data(data, places), on_gpu=_is_on_gpu(plan.train), cores=cores,
        detected=check_instances(instances, places),
    )  # fmt: skip


def _plan(params_file: Path) -> RunPlan:
    """Read what decides how long a run takes, with every variant resolved."""
    from pasam.config import schema
    from pasam.config.params_file import load_variant, mapping, read_params

    section = functools.partial(load_section, path=params_file)
    evaluate = section(schema.EvaluateParams, "evaluate")
    ablations = mapping(read_params(params_file), "ablations", params_file)
    return RunPlan(
        base=section(schema.BaseParams, "base"),
        embed=section(schema.EmbedParams, "embed"),
        train=section(schema.TrainParams, "train"),
        robustness=section(schema.RobustnessParams, "robustness"),
        repeats=section(schema.RepeatsParams, "repeats"),
        evaluate=evaluate,
        models={name: load_variant(name, params_file) for name in evaluate.models},
        ablations={name: load_variant(name, params_file) for name in ablations},
    )


def _disk(
    data: DataParams, base: BaseParams, embed: EmbedParams, content: Content, weights: Check,
    *, is_packed: bool,
) -> tuple[int, str]:  # fmt: skip
    """Sum up what is still to be written, and say of what."""
    parts = {
        "downloads": content.download + (weights.size or 0),
        "extracted": content.download,  # images are packed already: about the same again
    }
    if not is_packed:
        train_images, train_masks = content.count("train")
        images, masks = content.count("val")
        stores = store_bytes(base.size, images=images, masks=masks, views=1)
        stores += store_bytes(base.size, images=train_images, masks=train_masks, views=embed.views)
        pictures = generated_bytes(data.generated)
        # DVC keeps a copy of every output in its cache.
        parts |= {"embeddings": stores, "generated": pictures, "DVC's cache": stores + pictures}
    shown = [f"{name} {gigabytes(size)}" for name, size in parts.items() if size]
    return sum(parts.values()), ", ".join(shown) or "all is there"


PLACES = Places(CATALOGUE, Path("data/archives"), Path("catalogue.lock"))
EMBEDDINGS = Path("data/embeddings")
LOCK = Path("requirements.lock")

_STYLES = {"ok": "green", "note": "yellow", "missing": "bold red"}


def doctor(
    team: Annotated[
        bool, typer.Option("--team", help="What working with others needs: remotes, servers, ...")
    ] = False,
    as_json: AsJson = False,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Say what a run needs and what is missing: environment, hardware, weights and data.

    Example: pasam doctor --preset paper
    """
    if team:
        from pasam.cli.team.membership import team_checks

        _show(Diagnosis(params_file="the team's work", checks=team_checks(Path())), as_json)
        return
    diagnosis = examine(params_file, root=Path(), places=PLACES, embeddings=EMBEDDINGS, lock=LOCK)
    _show(diagnosis, as_json)


def _show(diagnosis: Diagnosis, as_json: bool) -> None:
    if as_json:
        content = {"ready": diagnosis.is_ready, **dataclasses.asdict(diagnosis)}
        print_result(content, (), as_json=True)
    else:
        _print(diagnosis)
    if not diagnosis.is_ready:
        raise typer.Exit(2)


def _print(diagnosis: Diagnosis) -> None:
    """Show one line per check, and below what there is to do."""
    table = Table.grid("", "", Column(overflow="fold"), padding=(0, 2))
    for check in diagnosis.checks:
        table.add_row(Text(check.state, style=_STYLES[check.state]), check.name, _found(check))
    Console(highlight=False).print(table)
    if diagnosis.is_ready:
        typer.echo(f"\nReady for {diagnosis.params_file}: dvc repro")
    else:
        typer.echo(f"\nNot ready for {diagnosis.params_file}. To do:")
        for remedy in diagnosis.remedies:
            typer.echo(f"  {remedy}")


def _found(check: Check) -> Text:
    """Write what was found, its size and where to get it; of a note, what could be done too."""
    lines = [check.found + (f", {gigabytes(check.size)}" if check.size else "")]
    if check.origin:
        lines.append(f"from {check.origin}")
    if check.remedy and check.state == "note":
        lines.append(check.remedy)
    return Text("\n".join(lines))
