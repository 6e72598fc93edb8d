"""Missing weights and sets are named with their size, their origin and the command."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pasam.cli import resources, run_costs
from pasam.cli.doctor import _plan
from pasam.cli.resources import (
    Boxes,
    Content,
    Detected,
    check_base,
    check_data,
    check_instances,
    check_purpose,
    gigabytes,
)
from pasam.cli.run_costs import SEEN, check_time, duration, run_seconds
from pasam.cli.space_costs import (
    SHAPES,
    fitting_batch,
    generated_bytes,
    store_bytes,
    training_memory,
)
from pasam.config.params_file import load_section
from pasam.config.presets import compose
from pasam.config.schema import (
    BaseParams,
    DataParams,
    EmbedParams,
    EvaluateParams,
    GeneratedParams,
    InstancesParams,
    TrainParams,
)
from pasam.evaluation.instances import instance_files
from pasam.inference.model_files import PACKAGED
from pasam.masks.images import write_png
from pasam.models.checkpoint import read_weights, write_state_dict

NONE = GeneratedParams(train_images=0, benchmark_images=0, side=64, seed=0)
SOME = GeneratedParams(train_images=5, benchmark_images=1, side=64, seed=0)


def data(*catalogue, generated=NONE):
    return DataParams(generated=generated, catalogue=catalogue, own="data/own", workers=1)


def purpose(content, *benchmarks, development=()):
    evaluate = EvaluateParams(
        models=("pa_sam",),
        baselines=(),
        benchmarks=benchmarks,
        development=development,
        batch_size=1, accelerator="cpu", devices=1,
        boundary_fraction=0.02,
    )  # fmt: skip
    return check_purpose(evaluate, content)


def own_pair(project, split, name):
    write_png(project / f"data/own/{split}/{name}/im/a.png", np.zeros((8, 8, 3), np.uint8))
    write_png(project / f"data/own/{split}/{name}/gt/a.png", np.full((8, 8), 255, np.uint8))


def test_photographs_of_packages_need_no_fetch(places):
    content = check_data(data("photos"), places)
    assert content.counts["val", "photos"] == (11, 68)
    assert not [check for check in content.checks if check.name == "public sets"]


def sam(**which):
    return BaseParams(**which, encoder_precision="32-true")


def test_the_small_base_is_in_the_repository(project, places):
    base = sam(size="tiny", checkpoint="pasam/packaged/tiny.safetensors")
    assert check_base(base, places).state == "ok"
    (project / base.checkpoint).unlink()
    assert check_base(base, places).remedy.startswith("git checkout pasam/packaged/tiny")


def test_official_weights_are_named_with_size_origin_and_command(project, places):
    path = "data/catalogue/sam_vit_l/sam_vit_l_0b3195.pth"
    check = check_base(sam(size="vit_l", checkpoint=path), places)
    assert (check.state, check.size) == ("missing", 1_249_524_607)
    assert check.origin.endswith("/sam_vit_l_0b3195.pth")
    assert check.remedy == "pasam data fetch sam_vit_l"
    elsewhere = check_base(sam(size="vit_l", checkpoint="w/sam_vit_l_0b3195.pth"), places)
    assert elsewhere.remedy == f"pasam data fetch sam_vit_l, and base.checkpoint: {path}"


def test_mobile_sam_is_named_with_size_origin_and_command(project, places):
    path = "data/catalogue/mobile_sam/mobile_sam.pt"
    check = check_base(sam(size="vit_t", checkpoint=path), places)
    assert (check.state, check.size) == ("missing", 40_728_226)
    assert check.origin.endswith("/weights/mobile_sam.pt")
    assert check.remedy == "pasam data fetch mobile_sam"


def test_weights_cut_short_are_missing(project, places):
    path = project / "sam_vit_l_0b3195.pth"
    path.write_bytes(b"half")
    check = check_base(sam(size="vit_l", checkpoint=str(path)), places)
    assert check.state == "missing"
    assert "has 4 bytes, expected 1,249,524,607" in check.found


def test_weights_that_nobody_knows_are_missing(project, places):
    check = check_base(sam(size="vit_l", checkpoint="mine.pth"), places)
    assert (check.state, check.size) == ("missing", None)
    assert "correct base.checkpoint" in check.remedy


def test_archives_are_named_once_with_all_that_is_in_them(project, places):
    content = check_data(data("hqseg44k"), places)
    missing = [check for check in content.checks if check.state == "missing"]
    assert len(missing) == 3
    assert {check.remedy for check in missing} == {"pasam data fetch hqseg44k"}
    assert content.download == sum(check.size for check in missing) == 7_350_000_000
    thin = next(check for check in missing if "thin_object" in check.found)
    assert thin.found.endswith("is not here: ThinObject5K-TR, COIFT, HRSOD, ThinObject5K-TE")
    assert content.count("train") == (44320, 44320)
    assert content.count("val") == (1537, 1537)


def test_an_archive_that_is_here_is_not_downloaded_again(project, places):
    (project / "data/archives").mkdir()
    (project / "data/archives/DIS5K.zip").touch()
    (check, _) = check_data(data("DIS5K-VD"), places).checks
    assert "is in data/archives, not extracted" in check.found
    assert (check.size, check.origin) == (0, "")


def test_a_foreign_folder_in_the_catalogues_place_is_told(project, places):
    (project / "data/catalogue/HRSOD").mkdir(parents=True)
    (check, _) = check_data(data("HRSOD"), places).checks
    assert "was not made by `pasam data fetch`" in check.found


def test_own_sets_are_counted_and_faults_told(project, places):
    own_pair(project, "val", "cats")
    content = check_data(data(), places)
    assert content.checks[-1].found == "cats (val: 1)"
    (project / "data/own/val/cats/gt/a.png").rename(project / "data/own/val/cats/gt/z.png")
    check = check_data(data(), places).checks[-1]
    assert (check.state, check.remedy) == ("missing", "pasam data check")
    assert "2 faults in data/own" in check.found


def test_a_missing_own_folder_is_told(project, places):
    (project / "data/own").rmdir()
    assert "does not exist" in check_data(data(), places).checks[-1].found


@pytest.mark.parametrize(
    ("benchmarks", "states"),
    [
        (["dis_like", "coift_like", "hrsod_like", "thin_like"], ["ok", "ok"]),
        (["dis_like"], ["ok", "ok", "note"]),
        (["cats", "dis_like"], ["ok", "missing", "note"]),
    ],
)
def test_every_benchmark_needs_data(project, places, benchmarks, states):
    checks = purpose(check_data(data(generated=SOME), places), *benchmarks)
    assert [check.state for check in checks] == states


def test_the_sets_that_variants_are_compared_on_need_data_too(project, places):
    content = check_data(data(generated=SOME), places)
    check = purpose(content, "dis_like", development=("dis_like_dev",))[1]
    assert (check.state, "dis_like_dev" in check.found) == ("missing", True)
    own_pair(project, "val", "cats")
    trained_on = Content(counts={("train", "t"): (1, 1)}, checks=(), download=0)
    assert purpose(trained_on, "t")[1].found.startswith("no data for t (")  # none to measure
    checks = purpose(check_data(data(generated=SOME), places), "dis_like", development=("cats",))
    assert checks[1].state == "ok"
    assert "cats" not in checks[-1].found, "it will be measured"


def test_something_to_learn_from_is_needed(project, places):
    none = SOME.replaced(train_images=0)
    checks = purpose(check_data(data(generated=none), places), "dis_like")
    assert (checks[0].name, checks[0].state) == ("training data", "missing")


@pytest.fixture
def paper(root):
    content = compose("paper", root / "params")
    return TrainParams(**content["train"]), EmbedParams(**content["embed"])


@pytest.mark.long
@pytest.mark.parametrize("size", ["tiny", "vit_t", "vit_b"])
def test_the_shapes_are_those_of_the_models(size):
    from pasam.models.build import build_base, count_parameters

    base, shape = build_base(size), SHAPES[size]
    assert count_parameters(base)[0] == shape.parameters
    assert (base.dim, base.early_dim) == (shape.dim, shape.early_dim)
    assert base.sam.image_encoder.img_size == shape.side
    assert base.sam.prompt_encoder.image_embedding_size == (shape.grid, shape.grid)


def test_the_official_sizes_differ_in_width_only():
    from pasam.models.build import OFFICIAL_WIDTHS

    ours = {"tiny", "vit_t"}
    widths = {size: shape.early_dim for size, shape in SHAPES.items() if size not in ours}
    assert widths == OFFICIAL_WIDTHS


def test_packed_views_need_no_encoder_and_a_decoder_takes_what_the_encoder_has_held(paper):
    train, embed = paper
    assert training_memory("vit_l", train, embed.replaced(views=2)).encoder == 0
    for size, larger in (("vit_l", "encoder"), ("tiny", "decoder")):
        parts = training_memory(size, train, embed)
        assert max(parts.encoder, parts.decoder) == getattr(parts, larger)
        rest = parts.weights + parts.batch + parts.context
        assert parts.total == rest + getattr(parts, larger)
    features = 4 * (256 + 1024) * 64**2  # and an image of three bytes a pixel with its label
    assert training_memory("vit_l", train, embed).batch == 4 * (features + 4 * 1024**2)


def test_the_memory_is_of_the_precisions_and_of_what_the_encoder_sees_at_once(paper):
    train, embed = paper
    whole, mixed = train.replaced(batch_size=8), train.replaced(precision="bf16-mixed")
    plain, half = (training_memory("vit_l", whole, embed, how) for how in ("32-true", "bf16"))
    assert (plain.encoder, half.encoder) == (8 * 433_300_000, 8 * 229_400_000)
    assert (half.decoder, half.decoder) == (plain.decoder, 8 * 239_300_000)
    assert plain.weights - half.weights == 2 * SHAPES["vit_l"].parameters
    one = training_memory("vit_l", whole.replaced(together=()), embed).weights
    assert plain.weights - one == 36_000_000, "the second of two models in training"
    assert training_memory("vit_l", whole, embed.replaced(views=1)).weights == one, "alone"
    found = training_memory("vit_l", mixed, embed)
    assert (found.encoder, found.decoder) == (4 * 248_300_000, 4 * 194_100_000)
    own = training_memory("vit_l", mixed, embed, "tf32")
    assert (own.encoder, own.decoder) == (plain.encoder / 2, found.decoder)
    assert training_memory("vit_l", whole.replaced(precision="tf32"), embed) == plain
    large = training_memory("vit_l", train.replaced(batch_size=32), embed)
    assert (large.encoder, large.total < 24 * 10**9) == (plain.encoder, True)
    fits = [fitting_batch("vit_l", train, embed, 5 * 10**9, how) for how in ("bf16", "tf32")]
    assert fits[0] > fits[1] > 4


def test_the_batch_that_fits_is_the_largest_one(paper):
    train, embed = paper
    memory = 24_000_000_000
    batch = fitting_batch("vit_l", train, embed, memory)
    sizes = [train.replaced(batch_size=size) for size in (batch, batch + 1)]
    fits = [training_memory("vit_l", size, embed).total <= memory for size in sizes]
    assert (batch > 1, fits) == (True, [True, False])
    assert fitting_batch("vit_h", train, embed, 3_000_000_000) == 0


def test_the_store_is_as_large_as_the_files_it_is_written_to():
    # Sizes of the four arrays of the default run's training split: 500 images, 994 masks.
    arrays = 81_920_000 + 262_144_000 + 196_608_000
    labels = 2 * 994 * 256 * 256
    assert store_bytes("tiny", images=500, masks=994, views=2) == arrays + labels


def test_generated_pictures_count_all_sets():
    size = GeneratedParams(train_images=500, benchmark_images=60, side=256, seed=0)
    assert generated_bytes(size) == pytest.approx(118e6, rel=0.1)


def plan_of(name, root):
    return _plan(root / "params" / f"{name}.yaml")


def content_of(plan, train, val):
    """So many images, each with one mask, to train on and in every benchmark."""
    counts = {("train", "t"): (train, train)}
    counts |= {("val", name): (val, val) for name in plan.evaluate.benchmarks}
    return Content(counts=counts, checks=(), download=0)


def instances_of(name, root):
    return load_section(InstancesParams, "instances", root / "params" / f"{name}.yaml")


def test_the_default_runs_time_is_estimated_within_a_tenth_and_said_alike_everywhere(
    root, places, in_empty_folder
):
    plan = plan_of("default", root)
    counts = {("train", "generated_train"): (128, 261), ("val", "photos"): (11, 68)}
    counts |= {("val", name): (60, 60) for name in plan.evaluate.benchmarks if name != "photos"}
    counts |= {("val", name): (30, 30) for name in plan.evaluate.development}
    content = Content(counts=counts, checks=(), download=0)
    detected = check_instances(instances_of("default", root), places)
    assert (detected.drawn.images, detected.drawn.boxes) == (60, 270)  # 271 in the run
    parts = run_seconds(plan, content, on_gpu=False, cores=2, detected=detected)
    assert sum(parts.values()) == pytest.approx(SEEN, rel=0.1)
    assert 30 < parts["instances"] * 1.8 < 40, "as one core took it, 31 to 38 s"
    exact = f"{SEEN // 60} min {SEEN % 60} s"
    learnt = {("train", name): (500, 900) for name in plan.evaluate.benchmarks}
    more = run_seconds(
        plan, dataclasses.replace(content, counts=counts | learnt), on_gpu=False, cores=2
    )
    measured = ("evaluate", "robustness", "rest")  # whatever of these sets is trained on
    assert [more[name] for name in measured] == [parts[name] for name in measured]
    assert more["train"] > parts["train"]
    words = f"about {['six', 'seven', 'eight'][round(SEEN / 60) - 6]} minutes"
    places = ("README.md", "params.yaml", "params/default.yaml")
    said = {place: (root / place).read_text(encoding="utf-8") for place in places}
    assert [place for place, text in said.items() if words not in text] == []
    assert exact in (root / "docs" / "performance.md").read_text(encoding="utf-8")


def test_the_papers_hours_are_said_before_it_starts_ablations_apart(root):
    plan = plan_of("paper", root)
    content = content_of(plan, 44_320, 384)
    check = check_time(plan, content, on_gpu=True)
    assert check.found.startswith("about ")
    assert "on 8 GPUs" in check.found
    assert "ablations" in check.found
    parts = run_seconds(plan, content, on_gpu=True, cores=1)
    # HQ-SAM's 12 epochs and PA-SAM's 21, a mask's step taking 0.023 s; an image of vit_l 0.15 s,
    # of which both see the same.
    assert parts["train"] == pytest.approx(44_320 * (21 * 0.149 + 33 * 0.023) / 8, rel=0.01)
    for together in ([], ["hq_sam"], ["hq_sam", "not evaluated"]):
        each = plan_with(plan, train=plan.train.replaced(together=together))
        assert run_seconds(each, content, on_gpu=True, cores=1)["train"] == pytest.approx(
            33 * 44_320 * (0.149 + 0.023) / 8, rel=0.01
        )
    for precision, train, faster in (
        ("bf16", "32-true", True), ("32-true", "bf16-mixed", True), ("tf32", "bf16-mixed", False),
        ("32-true", "tf32", False),
    ):  # fmt: skip
        base = plan.base.replaced(encoder_precision=precision)
        each = plan_with(plan, base=base, train=plan.train.replaced(precision=train))
        found = run_seconds(each, content, on_gpu=True, cores=1)
        assert [found[n] < parts[n] for n in ("train", "embed")] == [faster, precision == "bf16"]
    one = plan_with(plan, train=plan.train.replaced(devices=1))
    assert run_seconds(one, content, on_gpu=True, cores=1)["train"] == pytest.approx(
        8 * parts["train"], rel=0.01
    )
    machines = plan_with(plan, train=plan.train.replaced(devices=2, nodes=4))
    assert run_seconds(machines, content, on_gpu=True, cores=1)["train"] == parts["train"]
    alone = check_time(one, content, on_gpu=True)
    assert alone.state == "note"
    assert alone.remedy.startswith("without ablations and repeats about ")


def plan_with(plan, **changes):
    return dataclasses.replace(plan, **changes)


def test_packed_views_and_fewer_conditions_take_less(root):
    plan = plan_of("paper", root)
    content = content_of(plan, 1000, 10)
    fly = run_seconds(plan, content, on_gpu=True, cores=1)
    packed = plan_with(plan, embed=plan.embed.replaced(views=2))
    once = run_seconds(packed, content, on_gpu=True, cores=1)
    apart = plan_with(packed, train=packed.train.replaced(together=[]))
    assert once == run_seconds(apart, content, on_gpu=True, cores=1)  # no passes to share
    assert once["train"] < fly["train"] / 4
    assert once["embed"] > fly["embed"]
    few = plan_with(plan, robustness=plan.robustness.replaced(blur=(), noise=(), jpeg=()))
    assert run_seconds(few, content, on_gpu=True, cores=1)["robustness"] < fly["robustness"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(12, "12 s"), (90, "1.5 min"), (1500, "25 min"), (360_000, "100 h")]
)
def test_times_are_written_for_people(seconds, words):
    assert duration(seconds) == words


def test_a_run_costs_what_its_parts_do_on_a_machine_of_a_known_speed(root):
    """By hand: 100 images with 200 masks to train on, and two benchmarks of unequal sizes."""
    plan = plan_of("default", root)
    names = plan.evaluate.benchmarks[:2]
    evaluate = plan.evaluate.replaced(benchmarks=names, baselines=("sam", "oracle"))
    plan = plan_with(
        plan, evaluate=evaluate.replaced(development=("dev",)),
        embed=plan.embed.replaced(views=2),
        robustness=plan.robustness.replaced(
            images=15, jitter=[0.1], points=[1, 2], blur=[0.004], noise=[], jpeg=[9, 8]
        ),
        repeats=plan.repeats.replaced(models=("pa_sam",), seeds=(1, 2, 3)),
    )  # fmt: skip
    counts = {("train", "t"): (100, 200), ("val", names[0]): (10, 20), ("val", names[1]): (30, 30),
              ("val", "dev"): (7, 30), ("val", "x"): (99, 99)}  # fmt: skip
    content = Content(counts=counts, checks=(), download=0)
    found = run_seconds(plan, content, on_gpu=False, cores=3)
    speed = 1 + 0.8 * 2
    encode, step, mask = 1.33e9 / 54e9 / speed, 0.031 / speed, 0.02 / speed
    epochs = {name: each.epochs for name, each in plan.models.items()}
    train = {
        name: count * 200 * (
            step + 3 * encode * (getattr(plan.models[name], "trains", "") == "everything")
        )
        for name, count in epochs.items()
    }  # fmt: skip
    variants = len(plan.ablations)
    assert found["embed"] == pytest.approx(6 + encode * (40 + 200))
    assert found["train"] == pytest.approx(3 * len(epochs) + sum(train.values()))
    assert found["repeats"] == pytest.approx(3 + 3 * (train["pa_sam"] + 50 * mask))
    trained = sum(each.epochs for each in plan.ablations.values()) * 200 * step
    assert found["ablations"] == pytest.approx(variants * (3 + 30 * mask) + trained)
    models = len(epochs)
    assert found["evaluate"] == pytest.approx(
        (models + 2) * (3 + 50 * mask) + 3 + (models + 1) * 30 * mask
    )
    assert found["robustness"] == pytest.approx(
        (10 + 15) * 3 * encode + (15 + 15) * 6 * (models + 1) * mask
    )
    assert found["instances"] == 3
    boxes = {"counted": Boxes(images=4, boxes=50), "drawn": Boxes(images=1, boxes=2)}
    detected = Detected(**boxes, absent=Boxes(images=9, boxes=900))
    more = run_seconds(plan, content, on_gpu=False, cores=3, detected=detected)
    assert more["instances"] == pytest.approx(3 + 5 * encode + 52 * (models + 1) * mask)
    said = check_time(plan, content, on_gpu=False, cores=3, detected=detected).found
    assert said.startswith(f"about {duration(sum(more.values()))} on 3 cores")
    assert "; instances: 50 boxes (counted in files) and 2 boxes (drawn, as typical); with" in said
    later = duration(9 * encode + 900 * (models + 1) * mask)
    assert said.endswith(f"typically 900 boxes, about {later} more")
    plain = check_time(plan, content, on_gpu=False, cores=3).found
    assert plain.endswith(f"rest {duration(found['rest'])}"), "nothing is said of no boxes"
    whole = plan.models["pa_sam"].replaced(trains="everything")  # forward, and twice that backward
    for views in (0, 2):
        plan = plan_with(plan, models={"pa_sam": whole}, embed=plan.embed.replaced(views=views))
        found = run_seconds(plan, content, on_gpu=False, cores=3)
        assert found["train"] == pytest.approx(3 + whole.epochs * 200 * (step + 3 * encode))


@pytest.mark.parametrize(
    ("train", "apart", "state", "remedy"),
    [
        (86399, (0, 0), "ok", ""), (86400, (0, 0), "note", ""), (40000, (40000, 6399), "ok", ""),
        (43200, (40000, 3200), "note", "without ablations and repeats about 12 h"),
        (86400, (0, 7200), "note", "without ablations and repeats about 24 h"),
    ],
)  # fmt: skip
def test_a_run_of_a_day_is_noted_with_what_it_takes_without_what_can_be_left_out(
    train, apart, state, remedy, root, monkeypatch
):
    parts = {"train": train, "ablations": apart[0], "repeats": apart[1]}
    monkeypatch.setattr(run_costs, "run_seconds", lambda *given, **how: parts)
    check = check_time(plan_of("paper", root), None, on_gpu=False, cores=1)
    assert (check.state, check.remedy) == (state, remedy)
    assert ("repeats" in check.found) is bool(apart[1])


def test_generated_scenes_have_two_objects_to_learn_from_and_one_to_be_measured_on(project, places):
    content = check_data(data(generated=SOME), places)
    assert content.counts.pop(("train", "generated_train")) == (5, 10)
    assert set(content.counts) == {
        ("val", f"{name}_like") for name in ("dis", "coift", "hrsod", "thin")
    }
    assert set(content.counts.values()) == {(1, 1)}
    none = check_data(data(generated=SOME.model_copy(update={"train_images": 0})), places)
    assert none.count("train") == (0, 0)


SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("known", "sha256", "state"),
    [
        (None, None, "ok"), (3, None, "ok"), (3, SHA256_OF_ABC, "ok"), (3, "ba7816", "ok"),
        (3, "ca7816", "missing"), (4, SHA256_OF_ABC, "missing"),
    ],
)  # fmt: skip
def test_a_base_is_whole_by_the_size_and_bytes_that_are_known_of_it(
    known, sha256, state, tmp_path, monkeypatch
):
    check = base_of(tmp_path / "base.pth", b"abc", known, sha256, monkeypatch)
    assert check.state == state
    assert (check.remedy == "remove it, then pasam data fetch sam_x") is (state == "missing")


def base_of(place, content, size, sha256, monkeypatch):
    """Look at a file of a published name."""
    if isinstance(content, bytes):
        place.write_bytes(content)
    else:
        write_state_dict(place, content)
    archive = SimpleNamespace(size=size, sha256=sha256)
    monkeypatch.setattr(
        resources, "_published", lambda name: (SimpleNamespace(name="sam_x"), archive)
    )
    return check_base(sam(size="tiny", checkpoint=str(place)), None)


def test_a_base_that_was_saved_anew_is_a_note_if_its_tensors_fit(tmp_path, monkeypatch):
    weights, place = read_weights(PACKAGED / "tiny.safetensors"), tmp_path / "base.pth"
    anew, size = base_of(place, weights, 4, "a" * 64, monkeypatch), place.stat().st_size
    assert (anew.state, f"has {size:,} bytes, expected 4" in anew.found) == ("note", True)
    assert "names and shapes of tiny" in anew.found
    same = base_of(place, weights, size, "a" * 64, monkeypatch)
    assert same.state == "note"
    assert "has another sha256 than the published aaaa" in same.found
    name = next(name for name, tensor in weights.items() if tensor.dim())
    for wrong in ({**weights, name: weights[name][:1]}, {**weights, "other": weights[name]}):
        check = base_of(place, wrong, 4, None, monkeypatch)
        assert (check.state, "does not fit this architecture" in check.found) == ("missing", True)


@pytest.mark.parametrize(
    ("size", "words"),
    [(4.6e6, "5 MB"), (94_900_000, "95 MB"), (95_000_000, "0.1 GB"), (2.56e9, "2.6 GB")],
)
def test_sizes_are_written_in_gigabytes_from_the_first_tenth_on(size, words):
    assert gigabytes(size) == words


def test_where_the_encoder_runs_in_training_only_images_to_measure_are_embedded_before(root):
    plan = plan_of("paper", root)
    packed = plan_with(plan, embed=plan.embed.replaced(views=1))
    sizes = [content_of(plan, train, val) for train, val in ((100, 10), (900, 10), (100, 20))]

    def hours(plan):
        return [run_seconds(plan, each, on_gpu=True, cores=1)["embed"] for each in sizes]

    few, many, measured = hours(plan)
    assert few == many < measured
    one = (measured - few) / (10 * len(plan.evaluate.benchmarks))  # of one image
    once = hours(packed)
    assert once[:2] == pytest.approx([few + 100 * one, few + 900 * one])


@pytest.fixture
def coco_there(project, root):
    """The paper's section `instances`, with detections of COCO and of two sets of SegInW."""
    instances = instances_of("paper", root)
    found = [{"image_id": i, "bbox": [0, 0, 1, 1]} for i in (1, 1, 1, 2)]
    for files in instance_files(instances):
        if files.name in ("coco", "Bottles", "Cows"):
            files.detections.parent.mkdir(parents=True, exist_ok=True)
            files.detections.write_text(json.dumps(found))
    return instances.replaced(boxes_per_image=2)


def put(instances, *names):
    for files in instance_files(instances):
        if files.name in names:
            write_png(files.images / "a.png", np.zeros((8, 8, 3), np.uint8))
            files.annotations.parent.mkdir(parents=True, exist_ok=True)
            files.annotations.write_text("{}")


def test_sets_without_detections_are_not_measured_and_keep_nobody_from_anything(
    project, places, root
):
    found = check_instances(instances_of("paper", root), places)
    coco, seginw = found.checks
    assert (coco.state, seginw.state) == ("note", "note")
    assert "coco: not measured, without detections at data/detections/coco_foc" in coco.found
    assert coco.remedy.endswith("coco_focalnet_dino.json, and pasam data fetch coco_val2017")
    assert "Airplane-Parts, Bottles, " in seginw.found
    assert "Watermelon): not measured" in seginw.found
    assert "<set>.json, and pasam data fetch seginw" in seginw.remedy
    assert (found.counted.boxes, found.drawn.boxes) == (0, 0)
    assert found.absent == Boxes(images=5000 + 25 * 50, boxes=100 * (5000 + 25 * 50))


def test_detections_ask_for_their_images_and_annotations(coco_there, places):
    checks = check_instances(coco_there, places).checks
    assert [check.state for check in checks] == ["missing", "note", "missing"]
    assert checks[0].remedy == "pasam data fetch coco_val2017"
    assert "no images in data/catalogue/coco_val2017/val2017; no annotations at" in checks[0].found
    assert checks[2].remedy == "pasam data fetch seginw"
    assert checks[2].found.startswith("seginw (Bottles, Cows): there are detections, but no images")
    put(coco_there, "coco", "Cows")
    found = check_instances(coco_there, places)
    assert [check.state for check in found.checks] == ["ok", "note", "ok", "missing"]
    assert found.checks[0].found == "coco: 3 boxes in 2 images"
    assert found.counted == Boxes(images=4, boxes=6), "two of each image at the most"


@pytest.mark.parametrize("text", ["[", "{}x", "[1]", '[{"bbox": []}]', "3"])
def test_detections_that_are_none_are_missing(text, coco_there, places):
    put(coco_there, "coco")
    Path(coco_there.coco.detections).write_text(text)
    check = check_instances(coco_there, places).checks[0]
    assert check.state == "missing"
    assert check.found.startswith("coco: there are detections, but data/")


def test_sets_that_the_run_draws_are_there_whenever_it_begins(project, places, root):
    drawn = instances_of("default", root)
    assert [check.state for check in check_instances(drawn, places).checks] == ["ok", "ok"]
    detections = Path(drawn.coco.detections)
    detections.parent.mkdir(parents=True)
    detections.write_text(json.dumps([{"image_id": n % 24} for n in range(110)]))
    assert check_instances(drawn, places).drawn == Boxes(images=60, boxes=110 + 6 * 27)
    detections.write_text(json.dumps([{"image_id": n % 23} for n in range(110)]))  # of another run
    assert check_instances(drawn, places).drawn == Boxes(images=60, boxes=108 + 6 * 27)
    none = check_instances(instances_of("laptop", root), places)
    assert [check.found.endswith("none are drawn") for check in none.checks] == [True, True]
