"""Weights on disk: atomic, strict, and never executed."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_world import small_base
from torch import nn
from variants import hq_sam, pa_sam

from pasam.errors import CheckpointError, ParamsError
from pasam.models import hq_mask_decoder, pa_mask_decoder
from pasam.models.adapter_weights import (
    TITLES,
    load_adapter,
    read_variant,
    recognise,
    reload_parity,
    write_adapter,
)
from pasam.models.build import (
    build_base,
    build_decoder,
    build_trainable,
    digest,
    freeze_decoder,
)
from pasam.models.checkpoint import (
    file_digest,
    load_strictly,
    read_metadata,
    read_weights,
    write_state_dict,
    write_weights,
)

WEIGHTS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([1.5]).half()}


class Trap:
    """An object whose unpickling would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[k].dtype == v.dtype and torch.equal(found[k], v) for k, v in expected.items()
    )


def test_safetensors_come_back_with_their_words(tmp_path):
    path = tmp_path / "new" / "x.safetensors"
    write_weights(path, WEIGHTS, metadata={"size": "tiny"})
    assert same(read_weights(path), WEIGHTS)
    assert read_metadata(path) == {"size": "tiny"}


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_state_dicts_come_back(tmp_path, suffix):
    path = tmp_path / "new" / f"x{suffix}"
    write_state_dict(path, WEIGHTS)
    assert same(read_weights(path), WEIGHTS)


def test_equal_tensors_give_equal_bytes_whatever_their_order(tmp_path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    write_weights(first, WEIGHTS, metadata={"x": "1", "y": "2"})
    turned = dict(reversed(WEIGHTS.items()))
    write_weights(second, turned, metadata={"y": "2", "x": "1"})
    assert first.read_bytes() == second.read_bytes()


def test_the_order_of_the_words_does_not_change_the_bytes(tmp_path):
    words = {"size": "tiny", "ä": '\n"\x01\u2028é/', "base": "b", "decoder": "hq_sam"}
    path = tmp_path / "x.safetensors"
    written = set()
    for _ in range(6):
        words = dict(reversed(words.items()))
        write_weights(path, WEIGHTS, metadata=words)
        written.add(path.read_bytes())
    assert len(written) == 1
    assert same(read_weights(path), WEIGHTS)
    assert read_metadata(path) == words


def test_files_are_readable_by_all_and_leave_no_draft(tmp_path):
    write_weights(tmp_path / "x.safetensors", WEIGHTS, metadata={})
    write_state_dict(tmp_path / "x.pth", WEIGHTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pth", "x.safetensors"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_a_failed_write_keeps_the_old_file_and_leaves_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "x.pth"
    write_state_dict(path, WEIGHTS)

    def fill_the_disk(_content, draft):
        draft.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(OSError, match="no space left"):
        write_state_dict(path, {})
    monkeypatch.undo()
    assert same(read_weights(path), WEIGHTS)
    assert [p.name for p in tmp_path.iterdir()] == ["x.pth"]


def test_a_view_is_written_without_the_tensor_it_looks_into(tmp_path):
    write_state_dict(tmp_path / "x.pth", {"row": torch.zeros(1000, 1000)[0]})
    assert (tmp_path / "x.pth").stat().st_size < 10_000


def test_a_state_dict_must_be_named_so_that_it_can_be_read(tmp_path):
    with pytest.raises(CheckpointError, match=r"x\.bin ends in '\.bin', expected one of"):
        write_state_dict(tmp_path / "x.bin", WEIGHTS)


def test_a_pickled_object_is_named_and_not_executed(tmp_path):
    path, trace = tmp_path / "x.pth", tmp_path / "trace"
    torch.save({"a": torch.zeros(1), "trap": Trap(trace)}, path)
    with pytest.raises(CheckpointError, match=r"asks for \S*mkdir, .*not executed"):
        read_weights(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the trap is real
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.zeros(1)], "holds list"),
        ({"a": torch.zeros(1), "epoch": 3}, "holds 'epoch': int"),
        ({0: torch.zeros(1)}, "holds 0: Tensor"),
        ({"models": {"a": torch.zeros(1)}}, "holds 'models': dict"),
        ({"model": {"a": torch.zeros(1), "b": [1]}}, "holds 'b': list"),
    ],
)
def test_only_tensors_by_name_are_weights(tmp_path, content, words):
    path = tmp_path / "x.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=words):
        read_weights(path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"model": weights, "optimizer": {"step": 3}, "epoch": 7},
        lambda weights: {"model_state": weights},
        lambda weights: {"state_dict": {f"model.{n}": t for n, t in weights.items()}, "epoch": 1},
        lambda weights: {f"module.sam.{name}": t for name, t in weights.items()},
        lambda weights: {f"_orig_mod.model.{name}": t for name, t in weights.items()},
        lambda weights: {"epoch": 2, "model_ema": weights},
    ],
)
def test_a_training_programs_checkpoint_is_unwrapped(tmp_path, wrap):
    torch.save(wrap(WEIGHTS), tmp_path / "x.pth")
    assert same(read_weights(tmp_path / "x.pth"), WEIGHTS)


def test_a_sam_is_taken_from_beside_what_belongs_to_its_training(tmp_path):
    sam = {"image_encoder.a": torch.zeros(1), "mask_decoder.b": torch.ones(2)}
    averaged = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(1, 1)).state_dict()
    beside = {"n_averaged": averaged["n_averaged"], "loss.weight": torch.ones(3)}
    for prefix in ("module.", "model.sam_model."):
        wrapped = {prefix + name: tensor for name, tensor in sam.items()}
        torch.save({"state_dict": {**beside, **wrapped}}, tmp_path / "x.pth")
        assert same(read_weights(tmp_path / "x.pth"), sam)
    two = {**wrapped, **{f"teacher.{name}": tensor for name, tensor in sam.items()}}
    torch.save(two, tmp_path / "x.pth")
    assert same(read_weights(tmp_path / "x.pth"), two)


def test_a_prefix_that_only_some_names_have_is_theirs(tmp_path):
    mixed = {"model.a": torch.zeros(1), "b": torch.ones(1)}
    torch.save(mixed, tmp_path / "x.pth")
    assert same(read_weights(tmp_path / "x.pth"), mixed)


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_said_to_be_one(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read as weights.*damaged"):
        read_weights(path)


def test_a_truncated_state_dict_is_said_to_be_damaged(tmp_path):
    path = tmp_path / "x.pth"
    write_state_dict(path, {"a": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(path)


@pytest.mark.parametrize("mark", ["  ", " *"])  # as sha256sum writes them, of text and --binary
def test_bytes_are_compared_with_the_digest_that_lies_beside_them(mark, tmp_path):
    path = tmp_path / "x.safetensors"
    write_weights(path, WEIGHTS, metadata={})
    path.with_name("SHA256SUMS").write_text(f"{file_digest(path)}{mark}x.safetensors\n")
    assert same(read_weights(path), WEIGHTS)
    write_weights(path, {name: tensor + 1 for name, tensor in WEIGHTS.items()}, metadata={})
    with pytest.raises(CheckpointError, match=r"expected \w{12}\.\.\. as .*SHA256SUMS records"):
        read_weights(path)
    nearly = file_digest(path)[:-1] + ("1" if file_digest(path)[-1] == "0" else "0")
    path.with_name("SHA256SUMS").write_text(f"{nearly}{mark}x.safetensors\n")
    with pytest.raises(CheckpointError, match="it was damaged or changed"):
        read_weights(path)
    path.with_name("SHA256SUMS").write_bytes(b"\xff" * 64)
    with pytest.raises(CheckpointError, match="SHA256SUMS cannot be read as text.*Install"):
        read_weights(path)
    sums = f"{'0' * 64}{mark}y.safetensors\n{file_digest(path)}{mark}x.safetensors\n"
    for text in (sums, sums.partition("\n")[0], ""):  # of other files nothing is asked of this one
        path.with_name("SHA256SUMS").write_text(text)
        assert read_weights(path).keys() == WEIGHTS.keys()


@pytest.mark.parametrize("read", [read_weights, read_metadata])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(CheckpointError, match=r"gone\.pth does not exist.*base\.checkpoint"):
        read(tmp_path / "gone.pth")


def test_words_of_another_format_are_refused(tmp_path):
    write_state_dict(tmp_path / "x.pth", WEIGHTS)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        read_metadata(tmp_path / "x.pth")


def test_half_precision_is_widened():
    module = nn.Linear(2, 1)
    halves = {"weight": torch.tensor([[0.1, 0.2]]).half(), "bias": torch.tensor([0.3]).half()}
    load_strictly(module, halves, source="x")
    assert module.weight.dtype == torch.float32
    assert torch.equal(module.weight, halves["weight"].float())


def test_what_does_not_fit_is_named_and_changes_nothing():
    module = nn.Linear(2, 1)
    before = module.weight.clone()
    weights = {"weight": torch.zeros(5, 2), "scale": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_strictly(module, weights, source="file.pth", advice="Take another.")
    assert str(caught.value) == (
        "file.pth does not fit this architecture (2 tensors expected, 2 found): missing bias; "
        "unknown scale; of another shape weight is (5, 2), expected (1, 2). Take another."
    )
    assert torch.equal(module.weight, before)


def test_many_names_are_counted_instead_of_listed():
    weights = {f"extra{i}": torch.zeros(1) for i in range(5)}
    with pytest.raises(CheckpointError, match="unknown extra0, extra1, extra2 and 2 more;"):
        load_strictly(nn.Identity(), weights, source="x")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_and_named(value):
    module = nn.Linear(2, 1)
    before = module.weight.clone()
    weights = {"weight": torch.tensor([[1.0, value]]), "bias": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"file\.pth holds NaN or infinity in weight: "):
        load_strictly(module, weights, source="file.pth")
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize(
    "kind", [torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.int64]
)
def test_numbers_that_training_does_not_write_are_refused(kind):
    weights = {"weight": torch.ones(1, 2).to(kind), "bias": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"not loaded: weight is \w+; expected 32 or"):
        load_strictly(nn.Linear(2, 1), weights, source="x")


def test_a_counter_stays_the_whole_number_that_it_is():
    module = nn.BatchNorm1d(2)
    load_strictly(module, module.state_dict(), source="x")
    counted = {**module.state_dict(), "num_batches_tracked": torch.tensor(1.0)}
    with pytest.raises(CheckpointError, match="num_batches_tracked is float32"):
        load_strictly(module, counted, source="x")


def test_a_header_that_names_a_hundred_thousand_tensors_is_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    one = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": one for i in range(100_000)}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    for read in (read_weights, read_metadata):
        with pytest.raises(CheckpointError, match=r"at most 20000 in 4000000 are read"):
            read(path)


def test_an_archive_that_grows_when_it_is_read_is_refused(tmp_path):
    plain, packed = tmp_path / "a.pth", tmp_path / "b.pth"
    write_state_dict(plain, {"a": torch.zeros(1_000_000)})
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name), zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match=r"unpacks to 4\d+ bytes in \d+ parts"):
        read_weights(packed)


def test_as_many_tensors_as_may_be_are_read_and_one_more_is_not(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "x.safetensors", tmp_path / "x.pth"
    write_weights(ours, WEIGHTS, metadata={})
    write_state_dict(theirs, WEIGHTS)
    members = zipfile.ZipFile(theirs).namelist()
    for path, count in ((ours, len(WEIGHTS)), (theirs, len(members))):
        monkeypatch.setattr("pasam.models.checkpoint.MOST_TENSORS", count)
        assert same(read_weights(path), WEIGHTS)
        monkeypatch.setattr("pasam.models.checkpoint.MOST_TENSORS", count - 1)
        with pytest.raises(CheckpointError, match=f"at most {count - 1}"):
            read_weights(path)


def test_a_file_of_another_program_has_no_words(tmp_path):
    safetensors.torch.save_file(WEIGHTS, tmp_path / "x.safetensors")
    assert read_metadata(tmp_path / "x.safetensors") == {}


def test_a_pipe_is_refused_and_not_read(tmp_path):
    os.mkfifo(tmp_path / "x.safetensors")
    for read in (read_weights, read_metadata):
        with pytest.raises(CheckpointError, match="is no regular file"):
            read(tmp_path / "x.safetensors")


HQ, PA = hq_sam(), pa_sam(mining_points=2)
PREFIXES = {"hq_sam": hq_mask_decoder.TRAINABLE, "pa_sam": pa_mask_decoder.TRAINABLE}

each_variant = pytest.mark.parametrize("variant", [HQ, PA], ids=["hq_sam", "pa_sam"])


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    return small_base()


@pytest.fixture
def trained(base):
    """A segmenter whose adapter has moved from where it began."""

    def make(variant):
        torch.manual_seed(1)
        segmenter = build_trainable(base, variant)
        with torch.no_grad():
            for parameter in segmenter.decoder.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.5)
        return segmenter

    return make


@pytest.fixture
def path(tmp_path):
    return tmp_path / "adapter.safetensors"


@each_variant
def test_only_the_decoders_own_parts_learn(variant, base):
    segmenter = build_trainable(base, variant)
    learning = freeze_decoder(segmenter.decoder)
    assert learning
    assert all(name.startswith(tuple(PREFIXES[variant.decoder])) for name in learning)
    of_all = [name for name, p in segmenter.named_parameters() if p.requires_grad]
    assert of_all == [f"decoder.{name}" for name in learning]


@each_variant
def test_the_file_holds_what_learns_and_nothing_else(variant, trained, path):
    decoder = trained(variant).decoder
    write_adapter(path, decoder, variant=variant, base="b")
    assert sorted(read_weights(path)) == sorted(freeze_decoder(decoder))
    words = read_metadata(path)
    assert words.keys() == {"base", "decoder", "variant"}
    assert (words["base"], words["decoder"]) == ("b", variant.decoder)


@each_variant
def test_the_file_says_how_its_decoder_is_built(variant, trained, path):
    write_adapter(path, trained(variant).decoder, variant=variant, base="b")
    assert read_variant(path) == variant


def test_a_file_of_before_a_switch_was_trained_without_it(path):
    recorded = pa_sam().model_dump()
    for key in ("keep_sam", "adapter_rate"):
        del recorded[key]
    words = {"variant": json.dumps(recorded)}
    write_weights(path, {"x": torch.zeros(1)}, metadata=words)
    assert read_variant(path) == pa_sam(keep_sam=0.0, adapter_rate=1.0)


def test_a_file_of_before_says_nothing(trained, path):
    write_weights(path, {"x": torch.zeros(1)}, metadata={"decoder": "hq_sam", "base": "b"})
    assert read_variant(path) is None


def test_a_decoder_of_another_version_is_refused_by_its_key(trained, path):
    words = {"variant": '{"decoder": "pa_sam", "colour": "red"}'}
    write_weights(path, {"x": torch.zeros(1)}, metadata=words)
    with pytest.raises(ParamsError, match=r"adapter.*: section 'variant' lacks .*'colour'"):
        read_variant(path)


@each_variant
def test_a_written_adapter_comes_back_bit_for_bit(variant, base, trained, path):
    segmenter = trained(variant)
    write_adapter(path, segmenter.decoder, variant=variant, base="b")
    torch.manual_seed(2)
    other = build_trainable(base, variant).decoder
    assert digest(other.state_dict()) != digest(segmenter.decoder.state_dict())
    load_adapter(other, path, kind=variant.decoder, base="b")
    assert digest(other.state_dict()) == digest(segmenter.decoder.state_dict())
    reload_parity(segmenter, variant, path, base="b")


def test_an_adapter_of_another_base_is_refused_by_its_digest(trained, path):
    decoder = trained(HQ).decoder
    write_adapter(path, decoder, variant=HQ, base="abc")
    with pytest.raises(CheckpointError, match="trained for base 'abc', expected 'def'"):
        load_adapter(decoder, path, kind="hq_sam", base="def")


def test_an_adapter_of_another_decoder_is_refused_by_its_name(trained, path):
    write_adapter(path, trained(HQ).decoder, variant=HQ, base="b")
    with pytest.raises(CheckpointError, match="for decoder 'hq_sam', expected 'pa_sam'"):
        load_adapter(trained(PA).decoder, path, kind="pa_sam", base="b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(sorted(w)[0]), "missing "),
        (lambda w: w.update(stranger=torch.zeros(1)), "unknown stranger"),
        (lambda w: w.update({"iou_token.weight": torch.zeros(1, 32)}), "iou_token.weight"),
    ],
    ids=["missing", "unknown", "frozen"],
)
def test_a_file_with_other_tensors_is_refused_and_changes_nothing(change, message, trained, path):
    decoder = trained(PA).decoder
    write_adapter(path, decoder, variant=PA, base="b")
    weights, words = read_weights(path), read_metadata(path)
    change(weights)
    write_weights(path, weights, metadata=words)
    before = digest(decoder.state_dict())
    with pytest.raises(CheckpointError, match=message):
        load_adapter(decoder, path, kind="pa_sam", base="b")
    assert digest(decoder.state_dict()) == before


def test_a_file_that_is_not_what_is_in_memory_is_noticed(trained, path):
    segmenter = trained(HQ)
    write_adapter(path, segmenter.decoder, variant=HQ, base="b")
    with torch.no_grad():
        next(p for p in segmenter.decoder.parameters() if p.requires_grad).add_(1)
    with pytest.raises(CheckpointError, match="does not give the trained weights back"):
        reload_parity(segmenter, HQ, path, base="b")


def test_a_frozen_tensor_that_moved_is_noticed(trained, path):
    segmenter = trained(HQ)
    with torch.no_grad():
        segmenter.decoder.iou_token.weight.add_(1)
    write_adapter(path, segmenter.decoder, variant=HQ, base="b")
    with pytest.raises(CheckpointError, match="does not give the trained weights back"):
        reload_parity(segmenter, HQ, path, base="b")


MARKED = {
    "tiny": "image_encoder.trunk.stem.conv.weight",
    "vit_t": "image_encoder.patch_embed.seq.0.c.weight",
}
SAM = ["image_encoder.x", "prompt_encoder.x", "mask_decoder.iou_token.weight"]
FILES = {
    "sam": SAM,
    "sam_decoder": ["iou_token.weight"],
    "hq_sam_decoder": ["iou_token.weight", "hf_token.weight"],
    "pa_sam_decoder": ["iou_token.weight", "prompt_adapter.x"],
    "hq_sam_merged": [*SAM, "mask_decoder.hf_token.weight"],
    "pa_sam_merged": [*SAM, "mask_decoder_ori.x", "mask_decoder.prompt_adapter.x"],
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_is_told_by_its_names(kind, suffix, tmp_path):
    weights = {name: torch.zeros(1) for name in FILES[kind]}
    path = tmp_path / f"x{suffix}"
    if suffix == ".pth":
        write_state_dict(path, weights)
    else:
        write_weights(path, weights, metadata={})
    assert recognise(path).kind == kind


@pytest.mark.parametrize(
    "names", [SAM[:1], SAM[::2], [SAM[0], "mask_decoder_ori.x", "prompt_encoder.x"]]
)
def test_a_sam_that_lacks_a_part_is_refused(names, tmp_path):
    write_state_dict(tmp_path / "x.pth", {name: torch.zeros(1) for name in names})
    with pytest.raises(
        CheckpointError, match=r"has nothing of .*_(en|de)coder\.: it is incomplete"
    ):
        recognise(tmp_path / "x.pth")


def test_an_adapter_is_told_by_its_words(tmp_path):
    path = tmp_path / "x.safetensors"
    words = {"decoder": "pa_sam", "base": "b"}
    write_weights(path, {"prompt_adapter.x": torch.zeros(1)}, metadata=words)
    found = recognise(path)
    assert (found.kind, found.metadata) == ("adapter", words)


def test_every_kind_has_a_title():
    assert set(TITLES) == {*FILES, "adapter"}


@pytest.mark.parametrize("size", ["vit_b", "vit_l", "vit_h"])
def test_the_size_of_a_sam_is_told_by_its_shapes(size, tmp_path):
    with torch.device("meta"):
        code = build_base(size).sam.image_encoder.pos_embed
    weights = {name: torch.zeros(1) for name in SAM}
    weights["image_encoder.pos_embed"] = torch.zeros(code.shape)
    write_weights(tmp_path / "x.safetensors", weights, metadata={})
    assert recognise(tmp_path / "x.safetensors").size == size


@pytest.mark.parametrize(("size", "name"), MARKED.items())
def test_a_sam_without_a_vits_code_of_place_is_told_by_its_first_convolution(size, name, tmp_path):
    with torch.device("meta"):
        assert name in build_base(size).sam.state_dict()
    weights = {name: torch.zeros(1) for name in (*SAM, name)}
    write_weights(tmp_path / "x.safetensors", weights, metadata={})
    assert recognise(tmp_path / "x.safetensors").size == size


@pytest.mark.long
@pytest.mark.parametrize("size", ["tiny", "vit_t", "vit_b", "vit_l", "vit_h"])
def test_the_base_of_hq_sams_decoder_is_told_by_the_early_features_width(size, tmp_path):
    with torch.device("meta"):
        decoder = build_decoder(build_base(size), HQ)
    weights = {name: torch.zeros(tensor.shape) for name, tensor in decoder.state_dict().items()}
    write_state_dict(tmp_path / "x.pth", weights)
    found = recognise(tmp_path / "x.pth")
    assert (found.kind, found.size) == ("hq_sam_decoder", size)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((40, 3, 2, 2), "tiny"), ((160, 3, 2, 2), "vit_t"), ((768, 3, 2, 2), "vit_b"),
        ((1024, 3, 2, 2), "vit_l"), ((1280, 3, 2, 2), "vit_h"), ((3, 768, 2, 2), None), ((), None),
    ],
)  # fmt: skip
def test_a_decoder_of_hq_sam_is_made_for_the_base_whose_early_features_it_reads(
    shape, size, tmp_path
):
    names = ("iou_token.weight", "hf_token.weight")
    weights = {name: torch.zeros(1) for name in names}
    weights["compress_vit_feat.0.weight"] = torch.zeros(shape)
    write_state_dict(tmp_path / "x.pth", weights)
    found = recognise(tmp_path / "x.pth")
    assert (found.kind, found.size) == ("hq_sam_decoder", size)


def test_a_decoder_has_no_size(tmp_path):
    write_weights(tmp_path / "x.safetensors", {"iou_token.weight": torch.zeros(1)}, metadata={})
    assert recognise(tmp_path / "x.safetensors").size is None


def test_other_weights_are_refused(tmp_path):
    write_weights(tmp_path / "x.safetensors", {"fc.weight": torch.zeros(1)}, metadata={})
    with pytest.raises(CheckpointError, match=r"holds 1 tensors, e.g. fc.weight: no whole SAM"):
        recognise(tmp_path / "x.safetensors")


def test_weights_are_on_the_disk_before_what_they_came_from_may_go(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(sorted(tmp_path.iterdir())))
    write_weights(tmp_path / "a.safetensors", {"w": torch.zeros(2)}, metadata={})
    assert [tmp_path / "a.safetensors" in found for found in seen] == [False, True]
