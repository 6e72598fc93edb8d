"""From a name or a file to a model, and from a reference's file to one of ours."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from inference_models import VARIANTS, picture
from PIL import Image
from small_world import dump_yaml, load_yaml
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.options import fetched_base
from pasam.config.params_file import load_variant
from pasam.data.catalogue import TRAINING_SET
from pasam.data.package_photographs import package_photographs
from pasam.errors import CheckpointError, ParamsError
from pasam.inference import model_files
from pasam.inference.model_files import (
    PACKAGED,
    find_model,
    import_checkpoint,
    open_model,
    packaged_models,
    packaged_names,
)
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.inference.sam_api import sam_model_registry
from pasam.inference.zoomed_boxes import predict_zoomed
from pasam.masks.images import FOREGROUND, read_image
from pasam.masks.overlap import mask_iou
from pasam.masks.prompts import tight_box
from pasam.models.adapter_weights import export_merged, recognise, write_adapter
from pasam.models.base_sam import BaseSam
from pasam.models.build import (
    SIZES,
    build_base,
    build_decoder,
    build_trainable,
    digest,
    load_base,
)
from pasam.models.checkpoint import (
    SUMS,
    file_digest,
    read_metadata,
    read_weights,
    write_state_dict,
    write_weights,
)
from pasam.models.hq_mask_decoder import HqMaskDecoder
from pasam.models.segmenter import Segmenter
from pasam.registry.load import load_predictor

ADAPTERS = Path("data/adapters")


def test_sam_is_the_base_of_the_params_file(project):
    files = find_model("sam")
    assert (files.name, files.size, files.kind, files.weights) == ("sam", "tiny", "sam", None)
    assert files.base == project / "base.safetensors"
    assert files.seen == "photographs"
    assert dataclasses.replace(files, size="").seen == "unknown"


@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_an_entry_of_models_is_its_adapter_in_the_folder(kind, project):
    files = find_model(kind, adapters=ADAPTERS)
    assert files.weights == ADAPTERS / f"{kind}.safetensors"
    assert files.variant == load_variant(kind)


def test_an_adapter_says_itself_how_it_is_built(project, tmp_path):
    other = tmp_path / "mine.safetensors"
    shutil.copy(ADAPTERS / "pa_sam.safetensors", other)
    for files in (find_model(str(other)), find_model("mine", adapters=tmp_path)):
        assert (files.name, files.kind, files.weights) == ("mine", "adapter", other)
        assert files.variant == load_variant("pa_sam")
    another = load_variant("pa_sam").replaced(epochs=77)
    base = load_base("tiny", project / "base.safetensors")
    folder = tmp_path / "adapters"
    for seen, said in (
        ((), "unknown"), ((TRAINING_SET,), "synthetic"), ((TRAINING_SET, "mine"), "photographs")
    ):  # fmt: skip
        write_adapter(
            folder / "pa_sam.safetensors", build_trainable(base, another).decoder,
            variant=another, base="b", trained_on=seen,
        )  # fmt: skip
        found = find_model("pa_sam", adapters=folder)
        assert found.variant == another, "the entry of models may have changed since"
        assert found.seen == said


def test_an_adapter_of_before_is_looked_up_by_its_name(project, tmp_path):
    words = read_metadata(ADAPTERS / "pa_sam.safetensors")
    del words["variant"]
    silent = tmp_path / "pa_sam.safetensors"
    write_weights(silent, read_weights(ADAPTERS / "pa_sam.safetensors"), metadata=words)
    assert find_model(str(silent)).variant == load_variant("pa_sam")
    silent.rename(tmp_path / "other.safetensors")
    with pytest.raises(ParamsError, match="models has no 'other'"):
        find_model(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_a_references_files_are_told_by_their_tensors(kind, project, tmp_path):
    torch.manual_seed(0)
    base = load_base("tiny", project / "base.safetensors")
    decoder = build_decoder(base, load_variant(kind))
    write_state_dict(tmp_path / "decoder.pth", decoder.state_dict())
    export_merged(base, decoder, tmp_path / "merged.pth")
    alone = find_model(str(tmp_path / "decoder.pth"))
    assert (alone.kind, alone.base) == (f"{kind}_decoder", project / "base.safetensors")
    merged = find_model(str(tmp_path / "merged.pth"))
    assert (merged.kind, merged.base) == (f"{kind}_merged", tmp_path / "merged.pth")
    assert merged.variant == alone.variant == load_variant(kind)


def test_another_base_can_be_named(project, tmp_path):
    shutil.copy("base.safetensors", tmp_path / "other.safetensors")
    files = find_model("sam", base=tmp_path / "other.safetensors")
    assert (files.base, files.size) == (tmp_path / "other.safetensors", "tiny")
    files = find_model(str(tmp_path / "other.safetensors"))
    assert (files.base, files.kind) == (tmp_path / "other.safetensors", "sam")
    for name in (str(ADAPTERS / "pa_sam.safetensors"), "pa_sam"):
        found = find_model(name, adapters=ADAPTERS, base=tmp_path / "other.safetensors")
        assert (found.base, found.kind) == (tmp_path / "other.safetensors", "adapter")
    with pytest.raises(CheckpointError, match=r"pa_sam.safetensors is the trained tensors"):
        find_model("sam", base=ADAPTERS / "pa_sam.safetensors")


def test_a_name_that_is_nothing_here_goes_to_who_may_know_it(project):
    champion = dataclasses.replace(find_model("pa_sam", adapters=ADAPTERS), name="champion")
    asked = []

    def resolve(name):
        asked.append(name)
        return champion if name == "champion" else None

    assert find_model("champion", adapters=ADAPTERS, resolve=resolve) is champion
    assert find_model("champion", resolve=resolve) is champion
    asked.pop()
    find_model("pa_sam", adapters=ADAPTERS, resolve=resolve)
    assert asked == ["champion"]
    with pytest.raises(ParamsError, match="there is no model 'challenger'"):
        find_model("challenger", adapters=ADAPTERS, resolve=resolve)


@pytest.mark.parametrize("name", ["pa-sam", "nowhere/pa_sam.safetensors", "gone.pth"])
def test_an_unknown_name_is_refused_with_those_there_are(name, project):
    with pytest.raises(ParamsError, match=r"known here: sam, pa_sam, hq_sam, "):
        find_model(name, adapters=ADAPTERS)


def test_the_names_that_an_unknown_one_is_answered_with_open_models(project):
    """Also outside a project, where the package's are all that there is."""
    for adapters in (ADAPTERS, Path("nowhere")):
        with pytest.raises(
            ParamsError, match=r"no comma.*each has a --model of its own"
        ) as refused:
            find_model("sam,pa_sam", adapters=adapters)
        names = str(refused.value).partition("known here: ")[2].partition(". A name")[0].split(", ")
        assert set(names) == {"sam", "hq_sam", "pa_sam", "pa_sam_plus", *packaged_names()}
        for name in names:
            assert find_model(name, adapters=adapters).base.is_file()


def test_what_the_package_brings_keeps_its_names_whatever_the_project_has_trained(project):
    assert find_model("pa_sam", adapters=ADAPTERS).weights == ADAPTERS / "pa_sam.safetensors"
    for name in packaged_models():
        files = find_model(f"packaged/{name}", adapters=ADAPTERS)
        assert files.weights == PACKAGED / f"{name}.safetensors"
        assert (files.name, files.base) == (f"{name} (packaged)", PACKAGED / "tiny.safetensors")
    sam = find_model("packaged/sam", adapters=ADAPTERS)
    assert (sam.base, sam.weights) == (PACKAGED / "tiny.safetensors", None)
    assert find_model("sam", adapters=ADAPTERS).base == project / "base.safetensors"
    with pytest.raises(CheckpointError, match=r"packaged hq_sam stands on a base of its own"):
        find_model("packaged/hq_sam", base=project / "base.safetensors")


def test_a_model_that_is_not_trained_yet_says_what_to_do(project, tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "PACKAGED", tmp_path)
    with pytest.raises(CheckpointError, match="pa_sam is not trained yet. Run `make reproduce`"):
        find_model("pa_sam", adapters=tmp_path)


@pytest.fixture
def packaged(project, tmp_path, monkeypatch):
    """A package that comes with `pa_sam` alone."""
    folder = tmp_path / "packaged"
    folder.mkdir()
    shutil.copy(ADAPTERS / "pa_sam.safetensors", folder)
    shutil.copy(project / "base.safetensors", folder / "tiny.safetensors")
    monkeypatch.setattr(model_files, "PACKAGED", folder)
    return folder


@pytest.mark.parametrize("adapters", [None, Path("nowhere")])
def test_a_model_that_is_not_trained_is_taken_from_the_package(packaged, adapters):
    files = find_model("pa_sam", adapters=adapters)
    assert (files.name, files.size, files.packaged) == ("pa_sam (packaged)", "tiny", True)
    assert (files.weights, files.base) == (
        packaged / "pa_sam.safetensors", packaged / "tiny.safetensors"
    )  # fmt: skip
    assert files.variant == load_variant("pa_sam")
    assert packaged_models() == ["pa_sam"]


def test_a_trained_model_takes_the_packaged_ones_place(packaged):
    files = find_model("pa_sam", adapters=ADAPTERS)
    assert (files.name, files.packaged) == ("pa_sam", False)
    with pytest.raises(CheckpointError, match="hq_sam is not trained yet"):
        find_model("hq_sam", adapters=Path("nowhere"))


def test_another_base_is_never_put_under_a_packaged_model(packaged, project):
    with pytest.raises(CheckpointError, match="pa_sam is not trained yet"):
        find_model("pa_sam", adapters=Path("nowhere"), base=project / "base.safetensors")


def test_outside_a_project_the_base_is_the_packages(in_empty_folder):
    files = find_model("sam")
    assert (files.size, files.base) == ("tiny", PACKAGED / "tiny.safetensors")
    assert open_model(files).side == 256
    with pytest.raises(ParamsError, match=r"other\.yaml does not exist"):
        find_model("sam", params_file=Path("other.yaml"))


def test_sams_decoder_alone_is_no_model(project, tmp_path):
    base = load_base("tiny", project / "base.safetensors")
    weights = base.sam.mask_decoder.state_dict()
    write_weights(tmp_path / "x.safetensors", weights, metadata={})
    with pytest.raises(CheckpointError, match="SAM's mask decoder alone"):
        find_model(str(tmp_path / "x.safetensors"))


def test_a_reference_file_without_an_entry_of_its_decoder_is_refused(project, tmp_path):
    base = load_base("tiny", project / "base.safetensors")
    write_state_dict(tmp_path / "d.pth", build_decoder(base, load_variant("hq_sam")).state_dict())
    params = tmp_path / "params.yaml"
    params.write_text("base: {size: tiny, checkpoint: x, encoder_precision: tf32}\nmodels: {}\n")
    with pytest.raises(ParamsError, match="no entry of models has the whole decoder 'hq_sam'"):
        find_model(str(tmp_path / "d.pth"), params_file=params)


@pytest.mark.parametrize(
    "change",
    [{"dense": False}, {"sparse": False}, {"tokens": False}, {"maps": "double"}, {"fine": True}],
    ids=str,
)
def test_a_reference_is_built_as_the_first_entry_of_its_decoder_that_is_whole(
    change, project, tmp_path
):
    content = load_yaml((project / "params.yaml").read_text())
    own = content["models"]["pa_sam"]
    nothing_mined = {**own["mining"], "method": "none"}
    part = {**own, "adapter": {**own["adapter"], **change}, "mining": nothing_mined}
    first = {"hq_sam": content["models"]["hq_sam"], "part": part}
    params = tmp_path / "params.yaml"
    params.write_text(dump_yaml({**content, "models": {**first, "whole": {**own, "epochs": 5}}}))
    assert model_files._variant_of("pa_sam", params).epochs == 5


def logits(predictor) -> np.ndarray:
    predictor.set_image(picture(60, 90))
    return predictor.predict(box=[12, 8, 70, 50], return_logits=True, multimask_output=False)[0]


@pytest.mark.parametrize("name", ["sam", "hq_sam", "pa_sam"])
def test_a_model_opens_by_its_name(name, project):
    predictor = open_model(find_model(name, adapters=ADAPTERS))
    assert predictor.name == name
    assert predictor.base == file_digest(project / "base.safetensors")
    assert predictor.is_adapted is (name != "sam")
    assert logits(predictor).shape == (1, 60, 90)
    assert not any(p.requires_grad for p in predictor.segmenter.parameters())


@pytest.mark.long
@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_the_references_files_give_the_same_masks_as_ours(kind, project, tmp_path):
    ours = open_model(find_model(kind, adapters=ADAPTERS))
    base, decoder = ours.segmenter.base, ours.segmenter.decoder
    write_state_dict(tmp_path / "decoder.pth", decoder.state_dict())
    export_merged(base, decoder, tmp_path / "merged.pth")
    for name in ("decoder.pth", "merged.pth"):
        assert np.array_equal(logits(open_model(find_model(str(tmp_path / name)))), logits(ours)), (
            name
        )


def test_the_adapters_weights_are_really_used(project):
    trained = open_model(find_model("pa_sam", adapters=ADAPTERS))
    variant = load_variant("pa_sam")
    torch.manual_seed(99)
    fresh = build_trainable(load_base("tiny", project / "base.safetensors"), variant)
    names = set(fresh.decoder.state_dict()) - set(fresh.base.sam.mask_decoder.state_dict())
    states = trained.segmenter.decoder.state_dict(), fresh.decoder.state_dict()
    assert any(not torch.equal(states[0][name], states[1][name]) for name in names)


def test_an_adapter_of_another_base_is_refused(project, tmp_path):
    variant = load_variant("pa_sam")
    base = load_base("tiny", project / "base.safetensors")
    path = tmp_path / "pa_sam.safetensors"
    write_adapter(path, build_trainable(base, variant).decoder, variant=variant, base="another")
    with pytest.raises(CheckpointError, match="trained for base 'another'"):
        open_model(find_model(str(path)))


def test_a_missing_base_is_named(project, tmp_path):
    with pytest.raises(CheckpointError, match=r"gone.safetensors does not exist"):
        open_model(find_model("sam", base=tmp_path / "gone.safetensors"))


def test_the_way_to_resize_reaches_the_model(project):
    assert open_model(find_model("sam"), resize="squash").resize == "squash"


def test_a_base_is_shown_images_as_it_is_best_at(monkeypatch):
    """`tiny` learnt from squashed images; what segment_anything's notebooks call is SAM's way."""
    packaged = find_model("packaged")
    assert open_model(packaged).resize == "squash"
    assert open_model(packaged, resize="longest").resize == "longest"
    assert sam_model_registry["default"]().prompted.resize == "longest"
    monkeypatch.setattr(model_files, "_segmenter", lambda *given: MagicMock())
    for size in SIZES[1:]:
        assert open_model(dataclasses.replace(packaged, size=size)).resize == "longest"


BASE = Path("base.safetensors")
each_kind = pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])


def low_res(predictor) -> np.ndarray:
    predictor.set_image(picture(60, 90))
    return predictor.predict(box=[12, 8, 70, 50], multimask_output=False)[2]


@each_kind
def test_a_decoder_becomes_an_adapter_that_answers_the_same(kind, project, tmp_path):
    ours = open_model(find_model(kind, adapters=ADAPTERS))
    write_state_dict(tmp_path / "decoder.pth", ours.segmenter.decoder.state_dict())
    out = tmp_path / f"{kind}.safetensors"
    base = tmp_path / "base.safetensors"
    said = import_checkpoint(tmp_path / "decoder.pth", out, base_out=base)
    assert "mask decoder alone" in said
    assert not base.exists(), "a decoder alone brings no base"
    trained = ADAPTERS / f"{kind}.safetensors"
    found, expected = read_weights(out), read_weights(trained)
    assert digest(found) == digest(expected)
    unseen = {k: v for k, v in read_metadata(trained).items() if k != "trained_on"}
    assert read_metadata(out) == unseen  # a reference's file does not say what it was trained on


@pytest.mark.long
@each_kind
def test_a_merged_file_becomes_an_adapter_with_its_own_base(kind, project, tmp_path):
    ours = open_model(find_model(kind, adapters=ADAPTERS))
    merged, out, base = (tmp_path / n for n in ("m.pth", "a.safetensors", "b.safetensors"))
    export_merged(ours.segmenter.base, ours.segmenter.decoder, merged)
    import_checkpoint(merged, out, base_out=base)
    again = open_model(find_model(str(out), base=base))
    assert np.array_equal(low_res(again), low_res(ours))
    import_checkpoint(merged, out)  # the params file's base is the same SAM
    assert np.array_equal(low_res(open_model(find_model(str(out)))), low_res(ours))


def test_a_whole_sam_becomes_safetensors(project, tmp_path):
    write_state_dict(tmp_path / "sam.pth", read_weights(BASE))
    import_checkpoint(tmp_path / "sam.pth", tmp_path / "sam.safetensors")
    found, expected = read_weights(tmp_path / "sam.safetensors"), read_weights(BASE)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def _mobile_sam(tmp_path_factory) -> Path:
    """A folder with a `mobile_sam.pt` of the right keys where it is fetched to, and photo.png."""
    folder = tmp_path_factory.mktemp("mobile")
    torch.manual_seed(0)
    path = folder / "data/catalogue/mobile_sam/mobile_sam.pt"
    write_state_dict(path, build_base("vit_t").sam.state_dict())
    Image.fromarray(picture(60, 90)).save(folder / "photo.png")
    return folder


@pytest.fixture
def mobile_sam(_mobile_sam, monkeypatch) -> Path:
    """The file of MobileSAM, its folder the current one."""
    monkeypatch.chdir(_mobile_sam)
    return Path("data/catalogue/mobile_sam/mobile_sam.pt")


def test_a_published_base_is_found_by_its_size(mobile_sam):
    files = find_model("sam", base=fetched_base(Path("vit_t")))
    assert (files.base, files.size, files.kind) == (mobile_sam, "vit_t", "sam")
    packaged = find_model("sam", base=fetched_base(Path("tiny")))
    assert (packaged.base, packaged.size) == (PACKAGED / "tiny.safetensors", "tiny")


def test_a_published_base_that_is_not_here_names_the_command(in_empty_folder):
    for size, command in (("vit_t", "mobile_sam"), ("vit_l", "sam_vit_l")):
        with pytest.raises(CheckpointError, match=rf"{size} is not here.*data fetch {command}`"):
            fetched_base(Path(size))
    assert fetched_base(Path("vit_x")) == Path("vit_x")  # a file, which whoever opens it misses
    assert fetched_base(None) is None


@pytest.mark.slow  # MobileSAM at its full size
def test_predict_asks_the_base_that_is_named_alone(mobile_sam, tmp_path):
    words = ["predict", "photo.png", "--box", "12,8,70,50", "--base", "vit_t", "--json"]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["model"] == "sam"
    assert read_image(tmp_path / "photo_mask.png").shape == (60, 90, 3)


def light_hq_sam(base: BaseSam) -> HqMaskDecoder:
    """HQ-SAM's decoder on a base, what it trained drawn at random."""
    torch.manual_seed(1)
    return build_decoder(base, VARIANTS["hq_sam"])


@pytest.mark.long
def test_light_hq_sams_file_becomes_an_adapter_of_mobile_sam(mobile_sam, tmp_path, root):
    base = load_base("vit_t", mobile_sam)
    decoder = light_hq_sam(base)
    theirs, out = tmp_path / "sam_hq_vit_tiny.pth", tmp_path / "light.safetensors"
    export_merged(base, decoder, theirs)
    params = root / "params/default.yaml"
    found = recognise(theirs)
    assert (found.kind, found.size) == ("hq_sam_merged", "vit_t")
    import_checkpoint(theirs, out, base=mobile_sam, params_file=params)
    trained = read_weights(out)
    expected = decoder.state_dict()
    assert {name.partition(".")[0] for name in trained} == {
        "hf_token", "hf_mlp", "compress_vit_feat", "embedding_encoder", "embedding_maskfeature"
    }  # fmt: skip
    assert all(torch.equal(tensor, expected[name]) for name, tensor in trained.items())
    assert read_metadata(out)["base"] == file_digest(mobile_sam)


@pytest.mark.slow  # a decoder of another base is refused, below
def test_light_hq_sams_decoder_alone_is_bound_to_its_base(mobile_sam, tmp_path, root):
    decoder = light_hq_sam(load_base("vit_t", mobile_sam))
    theirs, out = tmp_path / "decoder.pth", tmp_path / "light.safetensors"
    write_state_dict(theirs, decoder.state_dict())
    params = root / "params/default.yaml"
    import_checkpoint(theirs, out, base=mobile_sam, params_file=params)
    ours = open_model(find_model(str(out), base=mobile_sam, params_file=params))
    assert digest(ours.segmenter.decoder.state_dict()) == digest(decoder.state_dict())
    with pytest.raises(CheckpointError, match="does not fit this architecture"):
        import_checkpoint(theirs, out, base=fetched_base(Path("tiny")), params_file=params)


@each_kind
def test_a_decoder_of_another_base_is_refused(kind, project, tmp_path):
    decoder = open_model(find_model(kind, adapters=ADAPTERS)).segmenter.decoder
    with torch.no_grad():
        decoder.iou_token.weight.add_(1)
    write_state_dict(tmp_path / "d.pth", decoder.state_dict())
    with pytest.raises(CheckpointError, match=r"its frozen iou_token.weight differs"):
        import_checkpoint(tmp_path / "d.pth", tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_merged_file_of_another_base_says_how_to_go_on(project, tmp_path):
    ours = open_model(find_model("pa_sam", adapters=ADAPTERS)).segmenter
    with torch.no_grad():
        ours.base.sam.image_encoder.pos_embed.add_(1)
    export_merged(ours.base, ours.decoder, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"image_encoder.pos_embed differs.*--base-out"):
        import_checkpoint(tmp_path / "m.pth", tmp_path / "x.safetensors")


def test_what_is_ours_already_is_left_alone(project, tmp_path):
    with pytest.raises(CheckpointError, match="already; copy it"):
        import_checkpoint(ADAPTERS / "pa_sam.safetensors", tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"ends in '.pth', expected .safetensors"):
        import_checkpoint(ADAPTERS / "pa_sam.safetensors", tmp_path / "x.pth")


MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def weights(root):
    return root / "pasam" / "packaged" / "tiny.safetensors"


@pytest.fixture(scope="module")
def model(weights):
    base = load_base("tiny", weights)
    segmenter = Segmenter(base=base, decoder=base.sam.mask_decoder)
    digest = file_digest(weights)
    return PromptAdapterPredictor(segmenter, name="sam", base=digest, resize="squash")


def test_the_weights_are_small_and_say_what_they_are(weights):
    assert weights.stat().st_size < 20 * MEGABYTE
    assert read_metadata(weights) == {"size": "tiny"}


@pytest.mark.parametrize(
    ("photograph", "name", "least"),
    [("chelsea", "cat", 0.85), ("coffee", "cup", 0.85), ("flower", "flower", 0.9)],
)
def test_a_box_gives_the_object(model, photograph, name, least):
    image, box, truth = drawn(photograph, name)
    model.set_image(image)
    masks, _, _ = model.predict(box=box, multimask_output=False)
    assert mask_iou(truth, masks[0]) > least


def test_a_small_box_is_answered_better_from_near(model):
    image, box, truth = drawn("rocket", "payload fairing")
    model.set_image(image)
    plain, _, _ = model.predict(box=box, multimask_output=False)
    (zoomed,) = predict_zoomed(model, image, [box])
    assert mask_iou(truth, zoomed.masks[0]) > 0.8
    assert mask_iou(truth, zoomed.masks[0]) > mask_iou(truth, plain[0])


def drawn(photograph, name):
    """A photograph of a package, an object's box, and its mask."""
    (found,) = (each for each in package_photographs() if each.name == photograph)
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn is not installed")
    image = found.read()
    (thing,) = (each for each in found.objects if each.name == name)
    label = thing.mask(image.shape[:2])
    return image, tight_box(label), label > FOREGROUND


@pytest.mark.long
@pytest.mark.parametrize("name", ["hq_sam", "pa_sam", "pa_sam_plus"])
def test_a_packaged_adapter_needs_no_training_and_is_small(name):
    files = find_model(name)
    assert files.packaged
    assert files.weights is not None
    assert files.weights.stat().st_size < 1.5 * MEGABYTE
    image, box, truth = drawn("coffee", "cup")
    predictor = open_model(files)
    predictor.set_image(image)
    masks, _, _ = predictor.predict(box=box, multimask_output=False)
    assert mask_iou(truth, masks[0]) > 0.8


def test_every_packaged_file_has_its_digest_recorded(root):
    """Made anew by `cd pasam/packaged && sha256sum *.safetensors > SHA256SUMS`."""
    files = sorted((root / "pasam" / "packaged").glob("*.safetensors"))
    lines = "".join(f"{file_digest(path)}  {path.name}\n" for path in files)
    assert files[0].with_name(SUMS).read_text() == lines


@pytest.mark.long
@pytest.mark.parametrize("name", ["pa_sam", "tiny"])
def test_a_flipped_byte_of_a_packaged_file_is_noticed(name, in_empty_folder, monkeypatch):
    """In `predict`, `serve` and `load_predictor`; the numbers stay sound."""
    folder = Path(shutil.copytree(PACKAGED, "brought"))
    monkeypatch.setattr(model_files, "PACKAGED", folder)
    Image.fromarray(picture(40, 40)).save("x.png")
    commands = (["predict", "x.png", "--box", "5,5,30,30"], ["serve", "--port", "0"])
    assert CliRunner().invoke(app, commands[0]).exit_code == 0
    damaged = folder / f"{name}.safetensors"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 & ~3] ^= 1  # the last bit of one number
    damaged.write_bytes(content)
    said = rf"{name}\.safetensors has sha256 \w+\.\.\., expected \w+\.\.\. as .*{SUMS} records"
    with pytest.raises(CheckpointError, match=said):
        load_predictor()
    for command in commands:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 2
        assert f"{name}.safetensors has sha256" in done.stderr


@pytest.mark.long
def test_packaged_pa_sam_plus_is_no_worse_than_its_base_on_the_packages_photographs(model):
    plus = open_model(find_model("pa_sam_plus"))
    scores = []
    for name, thing in (("chelsea", "cat"), ("coffee", "cup"), ("flower", "flower")):
        image, box, truth = drawn(name, thing)
        for predictor in (model, plus):
            predictor.set_image(image)
            masks, _, _ = predictor.predict(box=box, multimask_output=False)
            scores.append(mask_iou(truth, masks[0]))
    base, adapted = scores[0::2], scores[1::2]
    assert sum(adapted) > sum(base) - 0.01
    assert min(adapted) > 0.85
