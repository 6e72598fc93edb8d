"""The commands `pasam checkpoint` and `pasam export`: weights in and out, and ONNX."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pasam.cli import options
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import CheckpointError

if TYPE_CHECKING:
    from pasam.inference.predictor import PromptedModel

checkpoint_app = typer.Typer(
    no_args_is_help=True, help="Inspect, import, export and merge checkpoints."
)

Name = Annotated[
    str,
    typer.Argument(
        help="A model of params.yaml, a file of weights, or an alias.",
        autocompletion=options.complete_model,
    ),
]
OutPth = Annotated[Path, typer.Option(help="The .pth file.", dir_okay=False)]


@checkpoint_app.command("inspect")
def checkpoint_inspect(
    file: Annotated[Path, typer.Argument(help="A .safetensors, .pth or .pt file.")],
    as_json: options.AsJson = False,
) -> None:
    """Say what a file of weights is; nothing in it is executed.

    A whole SAM that lacks tensors, and weights that are not finite, are described too, with what
    is wrong and exit code 2.

    Example: pasam checkpoint inspect sam_vit_b_01ec64.pth
    """
    from pasam.models.adapter_weights import TITLES, expect_usable, recognise
    from pasam.models.checkpoint import file_digest

    found = recognise(file)
    title, digest = TITLES[found.kind], file_digest(file)
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in found.weights.values()})
    tensors, numbers = len(found.weights), sum(t.numel() for t in found.weights.values())
    about = {
        "file": str(file), "kind": found.kind, "title": title, "size": found.size,
        "tensors": tensors, "numbers": numbers, "types": kinds, "sha256": digest,
        "metadata": dict(found.metadata),
    }  # fmt: skip
    lines = [
        f"{file}: {title}" + (f", {found.size}" if found.size else ""),
        f"  {tensors} tensors, {numbers:,} numbers, {', '.join(kinds)}",
        f"  sha256 {digest}",
        *(f"  {name}: {value}" for name, value in found.metadata.items()),
    ]
    options.print_result(about, lines, as_json=as_json)
    expect_usable(found, str(file))  # last: what the file is helps to see what is wrong with it


@checkpoint_app.command("import")
def checkpoint_import(
    file: Annotated[Path, typer.Argument(help="A SAM, or a decoder or merged file.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file.", dir_okay=False)],
    as_json: options.AsJson = False,
    base: options.Base = None,
    base_out: Annotated[
        Path | None, typer.Option(help="Where the SAM of a merged file goes.", dir_okay=False)
    ] = None,
    params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:
    """Take a reference's file over: a SAM as safetensors, HQ-SAM's or PA-SAM's as an adapter.

    An adapter holds what was trained and which base it belongs to; a decoder that was trained on
    another base is refused.

    Example: pasam checkpoint import pa_sam_vit_l.pth --out data/adapters/official.safetensors
    """
    from pasam.inference.model_files import import_checkpoint

    base = options.fetched_base(base)
    what = import_checkpoint(file, out, base=base, base_out=base_out, params_file=params_file)
    line = f"{file}: {what} -> {out}" + (f", its SAM -> {base_out}" if base_out else "")
    _print_written(line, what=what, file=out, base=base_out, as_json=as_json)


@checkpoint_app.command("export")
def checkpoint_export(
    model: Name,
    out: OutPth,
    as_json: options.AsJson = False,
    base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS,
    params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:
    """Write a model's mask decoder as its reference does; SAM's own is what their training needs.

    Example: pasam checkpoint export pa_sam --out pa_sam_decoder.pth
    """
    from pasam.models.checkpoint import write_state_dict

    opened = options.named_model(
        model, params_file=params_file, adapters=adapters, base=base, exact=True
    )
    weights = opened.segmenter.decoder.state_dict()
    write_state_dict(out, weights)
    _say_what_is_not_in_it(opened)
    what = f"the mask decoder of {opened.name}, {len(weights)} tensors"
    _print_written(f"{what} -> {out}", what=what, file=out, as_json=as_json)


@checkpoint_app.command("merge")
def checkpoint_merge(
    model: Name,
    out: OutPth,
    as_json: options.AsJson = False,
    base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS,
    params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:
    """Write a whole SAM with a model's decoder merged in, as its reference does.

    Example: pasam checkpoint merge pa_sam --out pa_sam_tiny.pth
    """
    from pasam.models.adapter_weights import export_merged
    from pasam.models.hq_mask_decoder import HqMaskDecoder
    from pasam.models.pa_mask_decoder import PaMaskDecoder

    opened = options.named_model(
        model, params_file=params_file, adapters=adapters, base=base, exact=True
    )
    decoder = opened.segmenter.decoder
    if not isinstance(decoder, HqMaskDecoder | PaMaskDecoder):
        raise CheckpointError(
            f"{opened.name} has no decoder to merge: expected a model of HQ-SAM or PA-SAM."
        )
    export_merged(opened.segmenter.base, decoder, out)
    _say_what_is_not_in_it(opened)
    what = f"{opened.name}, merged into its SAM"
    _print_written(f"{what} -> {out}", what=what, file=out, as_json=as_json)


def _say_what_is_not_in_it(model: PromptedModel) -> None:
    """Say where a file in the reference's form stands for another model than this."""
    from pasam.models.build import unlike_published

    choices = unlike_published(model.segmenter.decoder)
    if choices:
        typer.echo(
            f"note: {model.name} has other choices than the reference ({', '.join(choices)}), "
            "which no file of this form tells: the reference's code, and `pasam checkpoint "
            "import`, make other masks of it, or refuse it. Its own .safetensors tells them.",
            err=True,
        )


def _print_written(
    line: str, *, what: str, file: Path, as_json: bool, base: Path | None = None
) -> None:
    """Say what was written where."""
    content = {"what": what, "file": str(file), "base": None if base is None else str(base)}
    options.print_result(content, [line], as_json=as_json)


def export(
    model: options.Model = None,
    out: Annotated[Path, typer.Option(help="Folder of the graphs.")] = Path("onnx"),
    as_json: options.AsJson = False,
    base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS,
    params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:
    """Write a model as ONNX: image.onnx, run once per image, and prompts.onnx, once per prompt.

    Both are run with onnxruntime before they are kept, and compared with the model. The edges
    that guide an adapter are an input of image.onnx: docs/predict.md says how to find them.

    Example: pasam export --model pa_sam --out onnx
    """
    opened = options.named_model(
        model, params_file=params_file, adapters=adapters, base=base, exact=True
    )
    from pasam.inference.onnx_export import IMAGE_NAME, PROMPT_NAME, export_onnx

    parity = export_onnx(opened, out)
    files = [str(out / name) for name in (IMAGE_NAME, PROMPT_NAME)]
    lines = [
        ", ".join(files),
        f"Against {opened.name} on {parity.prompts} prompts: logits differ by at most "
        f"{parity.difference:.1e}, masks agree with IoU {parity.iou:.5f}.",
    ]
    content = {"model": opened.name, "files": files, **dataclasses.asdict(parity)}
    options.print_result(content, lines, as_json=as_json)
