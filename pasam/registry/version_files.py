"""A candidate and a version's files: found, written, registered with their scores, opened again.

A candidate is the model that the project's results describe. A version's files are weights as
safetensors and metadata as JSON, with MLflow's folder round them: no pickle.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from pasam.config.params_file import recorded_variant
from pasam.config.schema import EncoderPrecision
from pasam.data.catalogue import GENERATED
from pasam.errors import CheckpointError, ParamsError, RegistryError
from pasam.evaluation.scores import BOX, CLEAN, read_scores, write_scores
from pasam.files import file_sha256, sha256_of, temporary_folder
from pasam.inference.model_files import ModelFiles, open_model
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.models.checkpoint import file_digest, read_metadata, read_weights, write_weights
from pasam.registry.decision_log import (
    REGISTER,
    REGISTERED,
    DecisionLog,
    Standing,
    VersionStanding,
)
from pasam.registry.gate import EvaluationKey, benchmark_means, per_image
from pasam.registry.runs import is_score_file, params_of
from pasam.registry.snapshot import WEIGHTS, DvcLock, LockEntry, Snapshot, StageRecord
from pasam.registry.store import ARTIFACTS, Tag, quiet_pyfunc
from pasam.registry.transitions import Decisions, Draft
from pasam.registry.upkeep.stored_files import (
    ADAPTER,
    BASE,
    BASE_FILE,
    METADATA,
    SIGNATURE,
    digests_of,
    lacks_signature,
    sign_files,
    take_base_out,
)
from pasam.registry.versions import NAME, PARAMS, SCORES, SHOWN, fetched

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

PRECISION = "encoder_precision"
"""Key of the params' section `base`, and of metadata."""
ENTRY = "pyfunc_model.py"
"""File of this folder that MLflow runs to get the model: no pickle is involved."""

COLUMNS = ("image", "path", "prompts")
"""What a row of a request may hold; only the prompts are always there."""

PACKAGES = (
    "mlflow", "torch", "torchvision", "segment-anything", "safetensors", "numpy", "pandas",
    "opencv-python-headless", "pillow", "pyarrow", "pycocotools", "pydantic", "pyyaml", "rich",
    "scikit-image", "filelock",
)  # fmt: skip
"""What a server of the model has to have installed, at the versions it was registered with."""


REAL = "real"
_NOT_SERVED = ("__pycache__", "packaged", "cli", "serving", "reporting")
"""Parts of this package that a served model does without."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A trained model with its evidence."""

    model: str
    """Its key in `models`."""
    stage: str
    """The stage that trained it."""
    adapter: Path
    base: Path
    size: str
    """Size of the base, as in `base.size`."""
    encoder_precision: str
    """How the base's encoder computed all of it, as in `base.encoder_precision`."""
    variant: Mapping[str, Any]
    """Its entry in `models`."""
    key: str
    """Digest of adapter and base: the same key means the same predictions."""
    tensors: str
    """The same of the adapter's numbers alone, which other words in its file leave as they are."""
    scores: pd.DataFrame
    """Its scores with the box prompt on clean images."""
    measured: EvaluationKey
    weights: str
    """`real`, or what the weights are of instead."""
    lineage: Mapping[str, str]
    params: Mapping[str, str]
    """Flattened params of its training and of the stages before it."""


def find_candidate(snapshot: Snapshot, model: str) -> Candidate:
    """Gather what the last reproduction says of a model, by its key in `models`.

    Raises:
        RegistryError: The model was not trained or not evaluated, or its files are not those
            that `dvc.lock` names.
        DataError: Nothing has run yet.
    """
    project, lock = snapshot.project, snapshot.lock
    stage, adapter = _trained(lock, model)
    users = [user for user in lock.users(adapter.path) if user.kind == "evaluate"]
    for each in (stage, *users):
        reason = snapshot.stale_output(each) or snapshot.stale_input(each)
        if reason is not None:
            raise RegistryError(
                f"{model} cannot be judged: {each.name} is not as dvc.lock has it: {reason}. Run "
                "`dvc repro`, or `dvc checkout` if it ran on another machine."
            )
    base = stage.section("base")
    size = str(base["size"])
    lineage = snapshot.lineage
    digest = file_sha256(project / adapter.path)
    return Candidate(
        model=model,
        stage=stage.name,
        adapter=project / adapter.path,
        base=project / str(base["checkpoint"]),
        size=size,
        encoder_precision=str(base.get(PRECISION, "32-true")),
        variant=_variant(stage, model),
        key=f"{digest}-{lineage[Tag.BASE_SHA256]}",
        tensors=f"{_tensors_sha256(project / adapter.path)}-{lineage[Tag.BASE_SHA256]}",
        scores=complete_scores(snapshot, _scores(project, users, model)),
        measured=evaluation_key(lineage),
        weights=weights_label(snapshot, stage, size=size),
        lineage={**lineage, **stage.lineage(), Tag.ADAPTER_SHA256: digest},
        params={k: v for each in lock.behind(stage) for k, v in sorted(params_of(each).items())},
    )


def _tensors_sha256(path: Path) -> str:
    """Digest what stands behind a safetensors file's header, in which its words are."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        file.seek(min(8 + size, path.stat().st_size))
        return sha256_of(iter(lambda: file.read(1 << 20), b""))


def weights_label(snapshot: Snapshot, stage: StageRecord, *, size: str) -> str:
    """Say whether weights are real, or why not: untrained, of generated data, on the small base."""
    history = stage.out_with(".jsonl")
    if history is not None:
        text = (snapshot.project / history.path).read_text(encoding="utf-8")
        if not text.strip():
            return "an untrained model"
    rows = snapshot.manifest
    made = rows.loc[rows["split"] == "train", "dataset"].isin(GENERATED)
    parts = ["generated data"] if made.all() else ["partly generated data"] if made.any() else []
    parts += ["the small base"] if size == "tiny" else []
    return " and ".join(parts) or REAL


def _trained(lock: DvcLock, model: str) -> tuple[StageRecord, LockEntry]:
    made = [
        (stage, entry)
        for stage, entry in lock.makers(WEIGHTS)
        if stage.kind == "train" and _variant(stage, model)
    ]
    if not made:
        trained = sorted({s.name for s, _ in lock.makers(WEIGHTS) if s.kind == "train"})
        raise RegistryError(
            f"no training of '{model}' is in dvc.lock, which has {trained}. Correct gate.model in "
            "params.yaml, or run `dvc repro`."
        )
    return made[0]


def _variant(stage: StageRecord, model: str) -> Mapping[str, Any]:
    return stage.section(f"models.{model}")


def _scores(project: Path, users: list[StageRecord], model: str) -> pd.DataFrame:
    files = [project / path for user in users for path in user.outs]
    tables = [path for path in files if is_score_file(path)]
    if not tables:
        raise RegistryError(
            f"'{model}' was trained but not evaluated; run `dvc repro`, and name it under "
            "evaluate.models in params.yaml."
        )
    return comparable_rows(read_scores(*tables))


def complete_scores(snapshot: Snapshot, scores: pd.DataFrame) -> pd.DataFrame:
    """Hand a model's scores on if every mask of every benchmark of today's data has one.

    Raises:
        RegistryError: Some are missing, or of other images.
    """
    frame = snapshot.manifest
    rows = frame[(frame["split"] == "val") & frame["dataset"].isin(sorted(snapshot.benchmarks))]
    wanted = set(zip(rows["dataset"], rows["id"], strict=True))
    found = set(zip(scores["benchmark"], scores["image_id"], strict=True))
    for what, which in (("lack", wanted - found), ("are of others, such as", found - wanted)):
        if which:
            benchmark, name = min(which)
            raise RegistryError(
                f"the scores {what} {name} of {benchmark} ({len(which)} in all, of {len(wanted)}); "
                "the gate needs every mask of every benchmark in params.yaml. Run `dvc repro`."
            )
    return scores


def comparable_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that versions are compared on: the box prompt, clean images."""
    kept = scores[(scores["prompt"] == BOX) & (scores["corruption"] == CLEAN)]
    return kept.reset_index(drop=True)


def metadata(candidate: Candidate, base_file: str) -> str:
    """Describe a model in JSON, for its files; equal models give equal bytes.

    The base as it is stored has the sha256 `base_file`.
    """
    content = {
        "model": candidate.model,
        "size": candidate.size,
        "variant": dict(candidate.variant),
        "base_sha256": candidate.lineage[Tag.BASE_SHA256],
        BASE_FILE: base_file,
        "weights": candidate.weights,
    }
    if candidate.encoder_precision != "32-true":  # which goes without saying
        content[PRECISION] = candidate.encoder_precision
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def write_files(folder: Path, candidate: Candidate) -> dict[str, str]:
    """Write a candidate's weights and metadata; equal candidates give equal bytes.

    SAM's official checkpoints are pickles: such a base is written as safetensors, and the adapter
    then names the new file as its base.

    Returns:
        Path of each file by its name.

    Raises:
        RegistryError: The adapter is no longer the one that was found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(candidate.adapter, folder / ADAPTER)
    if file_sha256(folder / ADAPTER) != candidate.key.partition("-")[0]:
        raise RegistryError(
            f"{candidate.adapter} was replaced while it was registered, by another `dvc repro` or "
            "`dvc checkout`. Nothing was registered; run `pasam registry promote` again."
        )
    if candidate.base.suffix == ".safetensors":
        shutil.copyfile(candidate.base, folder / BASE)
    else:
        origin = {"sha256": candidate.lineage[Tag.BASE_SHA256]}
        write_weights(folder / BASE, read_weights(candidate.base), metadata=origin)
        about = {**read_metadata(candidate.adapter), "base": file_digest(folder / BASE)}
        write_weights(folder / ADAPTER, read_weights(candidate.adapter), metadata=about)
    about_model = metadata(candidate, file_sha256(folder / BASE))
    (folder / METADATA).write_text(about_model, encoding="utf-8")
    return {name: str(folder / name) for name in (ADAPTER, BASE, METADATA)}


def describe_files(folder: Path) -> ModelFiles:
    """Say how the model of a version's files is opened, for `pasam.inference.model_files`.

    Raises:
        CheckpointError: The metadata do not describe a model.
    """
    metadata_file = folder / METADATA
    try:
        about = json.loads(metadata_file.read_text(encoding="utf-8"))
        name, size = str(about["model"]), str(about["size"])
        precision = cast(EncoderPrecision, about.get(PRECISION, "32-true"))
        variant = recorded_variant(about["variant"], path=metadata_file)
    except (OSError, KeyError, TypeError, json.JSONDecodeError, ParamsError) as error:
        raise CheckpointError(
            f"{metadata_file} does not describe a model ({type(error).__name__}: {error}). "
            "Download the version again, or register the model again."
        ) from None
    return ModelFiles(
        name=name, base=folder / BASE, size=size, encoder_precision=precision, kind="adapter",
        weights=folder / ADAPTER, variant=variant, origin=str(folder),
    )  # fmt: skip


def open_files(folder: Path) -> PromptAdapterPredictor:
    """Open the model of a version's files.

    Raises:
        CheckpointError: The files do not belong together, or are damaged.
    """
    return open_model(describe_files(folder))


def save_model(path: Path, candidate: Candidate, *, model_id: str) -> None:
    """Write the folder that MLflow loads and serves.

    The package's own code travels with it, so that a server needs nothing of the project: what
    answers, without the weights that come with the package and without its commands and pages.
    The folder must not exist; `model_id` is that of MLflow's logged model.
    """
    from mlflow.models import Model

    here = Path(__file__).resolve().parent
    with temporary_folder() as folder, quiet_pyfunc() as pyfunc:
        files = write_files(Path(folder) / "files", candidate)
        code = Path(folder) / "code" / "pasam"
        shutil.copytree(here.parent, code, ignore=shutil.ignore_patterns(*_NOT_SERVED))
        pyfunc.save_model(
            path,
            python_model=str(here / ENTRY),
            artifacts=files,
            code_paths=[str(code)],
            signature=signature(),
            pip_requirements=_requirements(),
            mlflow_model=Model(model_id=model_id),
            metadata={"weights": candidate.weights},
        )
        model = path / "MLmodel"  # which names where files were copied from
        words = model.read_text(encoding="utf-8")
        model.write_text(words.replace(f"{folder}/", "").replace(f"{here}/", ""))


def signature() -> ModelSignature:
    """What a request holds and what an answer holds; see `docs/operations.md`."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    text = DataType.string
    params = [ParamSpec("format", text, "rle")]
    params += [ParamSpec(name, DataType.boolean, False) for name in ("uncertainty", "multimask")]
    return ModelSignature(
        inputs=Schema([ColSpec(text, name, required=name == "prompts") for name in COLUMNS]),
        outputs=Schema([ColSpec(text, "result")]),
        params=ParamSchema(params),
    )


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name).partition('+')[0]}" for name in PACKAGES]


def predictor_of(folder: Path) -> PromptAdapterPredictor:
    """Make the predictor of a fetched model folder."""
    return open_files(folder / ARTIFACTS)


def register(decisions: Decisions, candidate: Candidate, *, run_id: str) -> VersionStanding:
    """Make a version of a candidate, or find the one that was made of the same bytes.

    Where MLflow has lost that one, or its files are damaged, or it is not signed and a key to sign
    with is there, a new version takes its place. `run_id` is the run of its training.
    """
    scores = score_bytes(candidate.scores)
    evidence = {sha256_of(scores): scores}
    made: list[_Stored] = []

    def draft(standing: Standing) -> Draft:
        known = standing.by_key(candidate.key)
        old = known.registered if known is not None and is_whole(decisions, known) else None
        details: dict[str, Any] = {
            "key": candidate.key, "tensors": candidate.tensors,
            "tags": _tags(candidate, known), PARAMS: dict(candidate.params),
        }  # fmt: skip
        names = {SCORES: sha256_of(scores)}
        if known is not None and old is not None:
            if old.evidence.get(SCORES) == names[SCORES] and _same(details, old.details):
                return Draft()
            number, files = known.number, dict(old.files)
            details, names = {**old.details, **details}, {**old.evidence, **names}
        else:
            if not made:
                made.append(_make(decisions, candidate, run_id))
            elif made[0].number in standing.versions:
                # Another clone, with an MLflow of its own, has taken the number for other bytes.
                decisions.registry.client.delete_model_version(NAME, str(made[0].number))
                logged = decisions.registry.client.get_logged_model(made[0].model_id)
                number = _new_version(decisions, candidate, run_id, logged)
                made[0] = dataclasses.replace(made[0], number=number)
            number, files = made[0].number, dict(made[0].files)
            details |= {"model_id": made[0].model_id, "run_id": run_id}
            if known is not None:
                details["replaces"] = known.number
            if (signature := made[0].signature) is not None:
                names[SIGNATURE] = sha256_of(signature)
                evidence[names[SIGNATURE]] = signature
        in_use = known is not None and known.number == standing.champion
        entry = decisions.entry(
            REGISTER, number, "" if known is None else "registered again", files=files,
            evidence=names, details=details, after=number if in_use else standing.champion,
        )  # fmt: skip
        return Draft(entries=(entry,), evidence=evidence)

    new = decisions.decide(draft)
    version = decisions.standing.by_key(candidate.key)
    assert version is not None
    if new and not made:
        _show_scores(decisions, candidate, version.registered.details)
    for each in made:
        if each.number != version.number:  # another machine has registered the same bytes
            decisions.registry.client.delete_model_version(NAME, str(each.number))
    return version


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    number: int
    files: Mapping[str, str]
    model_id: str
    signature: bytes | None


def _same(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether registering again would say nothing new; the flow and the commit may be others."""
    return all(
        old["tags"].get(name) == text
        for name, text in new["tags"].items()
        if name.startswith(("evaluation.", "scores.")) or name in (Tag.DIRTY, Tag.PUSHED)
    )


def is_whole(decisions: Decisions, version: VersionStanding) -> bool:
    """Whether MLflow still has a version as it was registered, signed where a key is set."""
    if lacks_signature(version.registered.evidence):
        return False
    shown = decisions.registry.find(version.number)
    if shown is None or not version.registered.files:
        return False
    try:
        with fetched(decisions.registry, shown) as folder:
            return digests_of(folder) == version.registered.files
    except RegistryError:
        return False


def score_bytes(scores: pd.DataFrame) -> bytes:
    """Write scores as the log keeps them; equal scores give equal bytes."""
    with temporary_folder() as folder:
        write_scores(scores, Path(folder) / SCORES)
        return (Path(folder) / SCORES).read_bytes()


def scores_of(log: DecisionLog, version: VersionStanding) -> pd.DataFrame | None:
    """Read the per-image scores that a version was registered with; None if they were lost."""
    digest = version.registered.evidence.get(SCORES)
    if digest is None:  # a registry from before the log had lost them
        return None
    with temporary_folder() as folder:
        file = Path(folder) / SCORES
        file.write_bytes(log.evidence(digest))
        return read_scores(file)


def measured_of(version: VersionStanding) -> EvaluationKey:
    """Say what a version was measured with when it was registered."""
    return evaluation_key(version.tags)


def evaluation_key(tags: Mapping[str, str]) -> EvaluationKey:
    """Read from the tags of a lineage what scores were measured with; empty where none says."""
    return EvaluationKey(
        evaluation_set=tags.get(Tag.EVALUATION_SET, ""),
        evaluator=tags.get(Tag.EVALUATOR_VERSION, ""),
    )


def _make(decisions: Decisions, candidate: Candidate, run_id: str) -> _Stored:
    """Store a candidate in MLflow."""
    from mlflow.entities import LoggedModelOutput

    client, store = decisions.registry.client, decisions.registry.store
    logged = client.create_logged_model(
        store.experiment_id, name=NAME, source_run_id=run_id, model_type="pyfunc"
    )
    with temporary_folder() as folder:
        place = Path(folder) / "model"
        save_model(place, candidate, model_id=logged.model_id)
        files, signature = digests_of(place), sign_files(place)
        take_base_out(client, store.experiment_id, place, files[f"{ARTIFACTS}/{BASE}"])
        client.log_model_artifacts(logged.model_id, str(place))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    _show_scores(decisions, candidate, {"run_id": run_id, "model_id": logged.model_id})
    number = _new_version(decisions, candidate, run_id, logged)
    return _Stored(number=number, files=files, model_id=str(logged.model_id), signature=signature)


def _new_version(
    decisions: Decisions, candidate: Candidate, run_id: str, logged: LoggedModel
) -> int:
    """Let MLflow number a candidate that it stores, by a number that the log does not know yet."""
    client = decisions.registry.client
    tags = {name: text for name, text in _tags(candidate).items() if name in SHOWN}
    while True:
        made = client.create_model_version(
            NAME, logged.artifact_location, run_id=run_id, model_id=logged.model_id,
            description=_description(candidate), tags={**tags, Tag.STATUS: REGISTERED},
        )  # fmt: skip
        if int(made.version) not in decisions.standing.versions:
            return int(made.version)
        # MLflow was emptied and counts from 1 again; the log knows that number as another model.
        client.delete_model_version(NAME, str(made.version))


def _show_scores(decisions: Decisions, candidate: Candidate, made: Mapping[str, Any]) -> None:
    """Let MLflow show the scores as metrics of the version's model, and of the run that made it."""
    from mlflow.entities import Metric

    run_id, model_id = made.get("run_id"), made.get("model_id")
    if not (run_id and model_id):
        return  # of a registry from before there was a log
    moment, (mean, scores) = int(1000 * time.time()), _means(candidate)
    metrics = [
        Metric(f"{name}/mbiou", value, moment, 0, model_id=model_id)
        for name, value in {**scores, "mean": mean}.items()
    ]
    decisions.registry.client.log_batch(run_id, metrics=metrics)


def _description(candidate: Candidate) -> str:
    """A sentence for MLflow's page: what it is, and how real."""
    mean, _ = _means(candidate)
    return f"{candidate.model} on {candidate.size}, boundary IoU {mean:.2f}; {candidate.weights}."


def _means(candidate: Candidate) -> tuple[float, dict[str, float]]:
    return benchmark_means(per_image(candidate.scores))


def _tags(candidate: Candidate, known: VersionStanding | None = None) -> dict[str, str]:
    """What to write of a version, or anew of one that is registered again."""
    mean, scores = _means(candidate)
    first = {"mean": round(mean, 4)}
    rounded = {name: round(value, 4) for name, value in scores.items()}
    tags = {
        **candidate.lineage,
        Tag.MODEL: candidate.model,
        Tag.WEIGHTS: candidate.weights,
        # First for those who read it, and last so that no benchmark of that name takes its place.
        Tag.SCORES: json.dumps({**first, **rounded, **first}),
    }
    old: Mapping[str, str] = known.tags if known else {}
    if old.get(Tag.DIRTY) != "false" or tags[Tag.DIRTY] == "false":
        return tags
    # A commit from which it can be made again is not given up for a dirty tree.
    fresh = {name: tags[name] for name in tags if name.startswith(("evaluation.", "scores."))}
    return {**old, **fresh}
