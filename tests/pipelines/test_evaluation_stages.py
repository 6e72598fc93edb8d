"""The stages from `evaluate` to `report`, and the paper's profile in small with all stages.

In that profile HQSeg-44K is as published and ViT-B is whole: twelve images, one epoch, two
conditions of robustness, random weights. What the run says means nothing, that it gets there does.
"""

import io
import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_world import SmallWorld, lay_out, load_yaml
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.config.presets import compose
from pasam.data.coco import SEGINW_ANNOTATIONS
from pasam.data.manifest import read_manifest
from pasam.errors import ParamsError
from pasam.evaluation.instances import read_instances, read_precisions
from pasam.evaluation.predictions import read_prediction
from pasam.evaluation.scores import clean_box_rows, read_scores
from pasam.inference.model_files import PACKAGED, find_model, open_model
from pasam.masks.images import encode_png, read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.overlap import boundary_iou, mask_iou
from pasam.models.build import build_base, count_parameters, digest, load_base
from pasam.models.checkpoint import write_state_dict
from pasam.synthetic.scene import FAMILIES, Scene, draw_scene
from pasam.workers import ALONE
from pipelines.stages import robustness
from pipelines.stages.baseline import _segmenter

each_model = pytest.mark.parametrize("model", ["hq_sam", "pa_sam"])


@each_model
def test_a_second_run_gives_the_same_bytes(model, world, own_world):
    name = f"evaluate@{model}"
    own_world.run(name)
    assert own_world.contents(name) == world.contents(name)


@pytest.mark.parametrize("benchmark", ["dis_like", "thin_like"])
@each_model
def test_every_mask_of_the_benchmark_has_one_row_and_one_prediction(model, benchmark, world):
    frame = read_manifest(world.path("data/manifest.parquet"))
    ids = sorted(frame[frame["dataset"] == benchmark]["id"])
    rows = read_scores(world.path(f"data/scores/{model}.parquet"))
    assert set(rows["benchmark"]) == {"dis_like", "thin_like"}
    rows = rows[rows["benchmark"] == benchmark]
    assert sorted(rows["image_id"]) == ids
    assert set(rows["model"]) == {model}
    sizes = frame.set_index("id")[["height", "width"]]
    for name in ids:
        mask = read_prediction(world.path(f"data/predictions/{model}/{benchmark}.npz"), name).mask
        assert mask.shape == tuple(sizes.loc[name])


def test_the_scores_are_those_of_the_stored_masks(world):
    files = read_manifest(world.path("data/manifest.parquet")).set_index("id")
    rows = read_scores(world.path("data/scores/pa_sam.parquet"))
    for row in rows[rows["benchmark"] == "dis_like"].to_dict("records"):
        truth = read_mask(world.path(files.at[row["image_id"], "mask"])) > 128
        pack = world.path("data/predictions/pa_sam/dis_like.npz")
        mask = read_prediction(pack, row["image_id"]).mask
        assert row["iou"] == mask_iou(truth, mask)
        assert row["boundary_iou"] == boundary_iou(truth, mask, fraction=0.02)


def test_only_pa_sam_has_a_map_and_points(world):
    name = scores_of(world, "sam", "dis_like")["image_id"].iloc[0]
    predicted = {
        model: read_prediction(world.path(f"data/predictions/{model}/dis_like.npz"), name)
        for model in ("hq_sam", "pa_sam")
    }
    assert predicted["hq_sam"].uncertainty is None
    assert predicted["pa_sam"].uncertainty.shape == (8, 8)
    assert (predicted["pa_sam"].box == predicted["hq_sam"].box).all()


def test_the_time_it_took_is_told_apart_from_the_outputs(world):
    timing = "reports/timing/pa_sam.json"
    assert timing not in world.stages["evaluate@pa_sam"].outs
    content = json.loads(world.path(timing).read_text())
    assert content.pop("masks") == 4  # of two benchmarks
    names = {"decoder_ms_per_mask", "encoder_ms_per_image", "peak_memory_mib"}
    assert content.keys() == names
    assert min(content.values()) > 0


def test_the_parameters_are_told_and_only_the_adapters_learn(world):
    counts = {
        model: json.loads(world.path(f"data/cost/{model}.json").read_text())
        for model in ("sam", "hq_sam", "pa_sam", "oracle")
    }
    assert counts["oracle"] == {"model": "oracle", "parameters": 0, "trainable": 0}
    assert counts["sam"]["trainable"] == 0
    for model in ("hq_sam", "pa_sam"):
        assert 0 < counts[model]["trainable"] < counts["sam"]["parameters"]
        assert counts[model]["parameters"] > counts["sam"]["parameters"]


baseline_each_model = pytest.mark.parametrize("model", ["sam", "oracle"])


@baseline_each_model
def test_a_second_run_gives_the_same_bytes_of_baseline(model, world, own_world):
    name = f"baseline@{model}"
    own_world.run(name)
    assert own_world.contents(name) == world.contents(name)


@baseline_each_model
def test_every_mask_of_the_benchmark_has_one_row(model, world):
    frame = read_manifest(world.path("data/manifest.parquet"))
    rows = read_scores(world.path(f"data/scores/{model}.parquet"))
    measured = frame["dataset"].isin(["dis_like", "thin_like"])
    assert sorted(rows["image_id"]) == sorted(frame[measured]["id"])
    assert set(rows["model"]) == {model}


def test_the_oracle_knows_more_than_an_untrained_sam(world):
    sam, oracle = (
        read_scores(world.path(f"data/scores/{model}.parquet"))["iou"]
        for model in ("sam", "oracle")
    )
    assert (oracle > sam).all()


def test_the_oracle_needs_no_embeddings(own_world):
    own_world.remove_outs("embed@val")
    own_world.run("baseline@oracle")
    assert own_world.contents("baseline@oracle")


ROWS, PRECISION = (
    f"data/instance_scores/{name}.parquet" for name in ("instances", "average_precision")
)
MODELS = {"sam", "hq_sam", "pa_sam"}


def test_a_second_run_gives_the_same_bytes_of_instances(world, own_world):
    own_world.run("instances")
    assert own_world.contents("instances") == world.contents("instances")


def test_every_detection_has_a_row_for_every_model(world):
    rows = read_instances(world.path(ROWS))
    coco = rows[rows["benchmark"] == "coco_like"]
    detected = json.loads(world.path("data/instances/coco_like/detections.json").read_text())
    assert len(coco) == len(detected) * len(MODELS)
    assert set(rows["model"]) == MODELS
    assert set(rows.loc[rows["benchmark"] == "seginw_like", "set"]) == {"animals", "x_ray"}


def test_both_benchmarks_have_both_precisions_and_seginw_its_mean(world):
    found = read_precisions(world.path(PRECISION))
    assert set(found["model"]) == MODELS
    assert set(zip(found["set"], found["overlap"], strict=True)) == {
        (name, overlap)
        for name in ("coco_like", "animals", "x_ray", "mean")
        for overlap in ("mask", "boundary")
    }
    assert found["ap"].between(0, 1).all()


def test_detections_of_other_images_stop_the_stage_in_one_line(own_world, capsys):
    path = own_world.path("data/instances/coco_like/detections.json")
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**entries[0], "image_id": 999}]))
    with pytest.raises(SystemExit) as stopped:
        own_world.run("instances")
    assert stopped.value.code == 2
    assert "image_id 999 is none of the set's 3 images" in capsys.readouterr().err


def test_without_any_detections_the_stage_ends_well_and_says_what_was_not_measured(
    own_world, capsys
):
    own_world.path("data/instances/coco_like/detections.json").unlink()
    shutil.rmtree(own_world.path("data/instances/seginw_like/detections"))
    own_world.run("instances")
    said = capsys.readouterr().err
    assert "coco_like is not measured: there are no detections at data/instances" in said
    assert "x_ray is not measured" in said
    assert len(read_instances(own_world.path(ROWS))) == 0
    assert len(read_precisions(own_world.path(PRECISION))) == 0


SCORES = "data/scores/robustness.parquet"


def test_a_second_run_gives_the_same_bytes_of_robustness(world, own_world):
    own_world.run("robustness")
    assert own_world.contents("robustness") == world.contents("robustness")


@pytest.mark.parametrize(
    ("benchmarks", "measured"),
    [(("photos", "dis_like", "mine"), {"dis_like": 2, "mine": 2}), (("photos",), {"photos": 2})],
)
def test_conditions_are_measured_on_the_benchmarks_that_a_mean_is_of(
    benchmarks, measured, monkeypatch
):
    rows = [("val", name, f"{name}/{k}") for name in ("dis_like", "mine", "photos")
            for k in range(3)]  # fmt: skip
    frame, seen = pd.DataFrame(rows, columns=["split", "dataset", "id"]), []
    stand_ins = {
        "open_store": lambda store: SimpleNamespace(check_base=lambda *given: None),
        "read_manifest": lambda manifest: frame, "load_model_set": lambda *given, **more: None,
        "evaluate_robustness": lambda models, store, rows, *given, **more: seen.append(rows) or [],
        "write_scores": lambda rows, path: None,
    }  # fmt: skip
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(robustness, name, stand_in)
    evaluate = SimpleNamespace(
        benchmarks=benchmarks, models=(), accelerator="cpu", batch_size=1, boundary_fraction=0.02
    )
    places = dict.fromkeys(("manifest", "store", "adapters", "scores"), Path("x"))
    robustness.robustness(
        SimpleNamespace(checkpoint="x", encoder_precision="tf32"), evaluate,
        SimpleNamespace(images=2), None, 42, **places, group=ALONE,
    )  # fmt: skip
    assert seen[0]["dataset"].value_counts().to_dict() == measured


def test_every_benchmark_and_model_meets_every_condition(world):
    rows = read_scores(world.path(SCORES))
    conditions = set(zip(rows["prompt"], rows["corruption"], strict=True))
    assert conditions == {
        ("box_jitter_0.2", "none"), ("box_jitter_0.4", "none"), ("points_1", "none"),
        ("points_5", "none"), ("box", "blur_1"), ("box", "noise_1"), ("box", "jpeg_1"),
    }  # fmt: skip
    assert set(rows["benchmark"]) == {"dis_like", "thin_like"}
    assert set(zip(rows["model"], rows["seed"], strict=True)) == {
        ("sam", 0), ("hq_sam", 42), ("pa_sam", 42),
    }  # fmt: skip
    assert len(rows) == len(conditions) * 2 * 3  # one image of each benchmark


def test_clean_boxes_are_the_evaluations_so_that_both_can_be_read_at_once(world):
    rows = read_scores(world.path(SCORES))
    assert len(clean_box_rows(rows)) == 0
    both = read_scores(world.path(SCORES), world.path("data/scores/pa_sam.parquet"))
    assert len(both) > len(rows)


def world_ablations(world):
    return load_yaml(world.path("params.yaml").read_text())["ablations"]


def scores_of(world, model, benchmark):
    """All of a model's rows on a benchmark: the main training's and the repetitions'."""
    again = [path for path in [world.path(f"data/repeats/{model}.parquet")] if path.exists()]
    rows = read_scores(world.path(f"data/scores/{model}.parquet"), *again)
    return rows[rows["benchmark"] == benchmark]


@pytest.mark.slow  # two reports
def test_a_second_run_gives_the_same_bytes_of_report_whatever_else_lies_beside_the_scores(
    world, own_world
):
    for folder in ("scores", "diagnostics"):  # of another size, say
        path = own_world.path(f"data/{folder}/pa_sam.parquet")
        path.with_name("former.parquet").write_bytes(path.read_bytes())
    own_world.run("report")
    assert own_world.contents("report") == world.contents("report")


def test_the_report_says_what_it_was_made_on(world):
    text = world.path("reports/table1.md").read_text()
    assert "Synthetic data: trained on 6 images" in text
    assert "measured on 4 images (4 masks)" in text  # the benchmarks of the run, not all
    assert (
        "tiny, a small SAM that has seen photographs. Seeds: training 42 and 43, generator 7."
        in text
    )
    assert "No number of this run is the paper's" in text


def test_published_numbers_stand_beside_the_runs_own(world):
    rows = pd.read_csv(world.path("reports/table1.csv")).set_index(["model", "benchmark"])
    assert rows.at[("pa_sam", "dis_like"), "published_miou"] == 81.5
    assert rows.at[("hq_sam", "thin_like"), "published_mbiou"] == 79.9
    assert "published (ViT-L, HQSeg-44K)" in world.path("reports/table1.md").read_text()


def test_the_metrics_are_the_means_of_the_scores(world):
    metrics = json.loads(world.path("reports/scores.json").read_text())
    assert sorted(metrics) == ["hq_sam", "oracle", "pa_sam", "sam"]
    for model in metrics:
        for benchmark in ("dis_like", "thin_like"):
            rows = scores_of(world, model, benchmark)
            found = metrics[model][benchmark]
            assert found["miou"] == pytest.approx(100 * rows["iou"].mean(), abs=1e-4)
            assert found["mbiou"] == pytest.approx(100 * rows["boundary_iou"].mean(), abs=1e-4)


def test_the_page_says_what_it_was_made_on_and_holds_every_model(world):
    page = world.path("reports/index.html").read_text()
    assert "Synthetic data: trained on 6 images" in page
    assert "PA-SAM against SAM and HQ-SAM" in page
    assert "data:image/webp;base64," in page


def test_every_trained_model_has_a_card_that_counts_its_numbers(world):
    for model in ("hq_sam", "pa_sam"):
        card = world.path(f"reports/model_cards/{model}.md").read_text()
        counted = int(card.split("**Trainable parameters:** ")[1].split("\n")[0].replace(",", ""))
        assert counted > 1000


def test_what_was_not_measured_is_said_and_not_made_up(world):
    page = world.path("reports/index.html").read_text()
    assert "1 of 10 are answered" not in page
    assert "Not in this run." in page  # the small world has no adapter of image features


def test_the_report_holds_what_every_stage_made(world):
    report = json.loads(world.path("reports/report.json").read_text())
    assert {row["benchmark"] for row in report["precisions"]} == {"coco_like", "seginw_like"}
    assert {row["model"] for row in report["ablations"]} == set(world_ablations(world))
    assert "robustness_box_jitter" in report["plots"]
    tables = {path.stem for path in world.path("reports/tables").glob("*.tex")}
    assert tables == {"table1", "recipes", "differences", "cost", "table2", "table3", "table4"}


def test_pictures_from_inside_the_adapter_are_on_the_page(world):
    page = world.path("reports/index.html").read_text()
    for name in ("Guiding embedding", "Attention of the mask token", "Refined", "Final"):
        assert f'<span class="name">{name}</span>' in page


def test_the_comparison_figure_shows_something(world):
    assert read_image(world.path("reports/figure1.png")).std() > 5


@pytest.mark.slow  # that there are two seeds is in the report of the small world
def test_repetitions_widen_the_intervals_and_leave_curves_alone(world, own_world):
    own_world.change("repeats", models=[], seeds=[])
    own_world.run("report")
    curves = [path.name for path in world.path("reports/plots").glob("robustness_*.csv")]
    assert curves
    for name in curves:
        place = f"reports/plots/{name}"
        assert own_world.path(place).read_bytes() == world.path(place).read_bytes()
    rows = [pd.read_csv(one.path("reports/table1.csv")) for one in (world, own_world)]
    seeds = [table.set_index(["model", "benchmark"])["seeds"] for table in rows]
    assert [found["pa_sam", "mean"] for found in seeds] == [2, 1]


def test_the_packaged_model_is_a_row_on_its_own_base_and_refused_on_another(tmp_path):
    checkpoint = PACKAGED / "tiny.safetensors"
    frozen = load_base("tiny", checkpoint)
    segmenter = _segmenter("packaged", frozen, checkpoint)
    opened = open_model(find_model("packaged")).segmenter
    assert digest(segmenter.decoder.state_dict()) == digest(opened.decoder.state_dict())
    assert _segmenter("sam", frozen, checkpoint).decoder is frozen.sam.mask_decoder
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"another base")
    with pytest.raises(ParamsError, match="'packaged', which stands on .*tiny.safetensors"):
        _segmenter("packaged", frozen, other)


def test_variants_are_compared_on_sets_that_table_1_does_not_use(world):
    models = read_scores(world.path("data/development.parquet"))
    assert set(models["model"]) == {"sam", "hq_sam", "pa_sam"}
    variant = read_scores(world.path("data/ablations/unchanged.parquet"))
    development = {"dis_dev", "thin_dev"}
    assert set(models["benchmark"]) == set(variant["benchmark"]) == development
    subject = models[models["model"] == "pa_sam"].sort_values("image_id")
    assert list(subject["iou"]) == list(variant.sort_values("image_id")["iou"])  # nothing changed
    text = world.path("reports/tables/table4.md").read_text()
    assert "Measured on dis_dev and thin_dev, sets that Table 1 does not use." in text
    assert "dis_dev" not in world.path("reports/table1.md").read_text()


def test_without_development_sets_variants_are_compared_on_the_benchmarks(own_world):
    own_world.change("evaluate", development=[])
    own_world.run("develop")
    assert not len(read_scores(own_world.path("data/development.parquet")))
    own_world.run("ablate@unchanged")
    variant = read_scores(own_world.path("data/ablations/unchanged.parquet"))
    assert set(variant["benchmark"]) == {"dis_like", "thin_like"}


ARCHIVES = {
    "DIS5K.zip": [("DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt"), ("DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt")],
    "cascade_psp.zip": [
        (name, name) for name in ("fss_all", "DUTS-TR", "DUTS-TE", "ecssd", "MSRA_10K")
    ],
    "thin_object_detection.zip": [
        ("ThinObject5K/images_train", "ThinObject5K/masks_train"),
        ("ThinObject5K/images_test", "ThinObject5K/masks_test"),
        ("COIFT/images", "COIFT/masks"),
        ("HRSOD/images", "HRSOD/masks_max255"),
    ],
}
"""Folders of images and masks, as the archives of HQSeg-44K have them."""
ON_CPU = {"accelerator": "cpu"}
CHANGES = {
    "base": {"size": "vit_b", "checkpoint": "data/base/vit_b.pth"},
    "data": {"workers": 1},
    "embed": ON_CPU | {"batch_size": 1},
    "train": ON_CPU | {"devices": 1, "workers": 0},
    "evaluate": ON_CPU,
    "robustness": {
        "images": 1, "jitter": [0.2], "points": [], "blur": [0.008], "noise": [], "jpeg": []
    },
    "report": {"n_resamples": 50},
}  # fmt: skip
"""What differs from the preset `paper`, besides one epoch, fewer sets, and their sizes."""
SETS = ["Airplane-Parts", "Bottles"]
"""Two of SegInW's, for one set alone is reported as COCO is."""


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Twelve synthetic images with one object each."""
    return [
        draw_scene(family=FAMILIES[seed % len(FAMILIES)], seed=seed, side=160, held_out=False)
        for seed in range(12)
    ]


def jpeg(image: np.ndarray) -> bytes:
    """Encode an image as photographs are."""
    memory = io.BytesIO()
    Image.fromarray(image).save(memory, "JPEG", quality=95)
    return memory.getvalue()


@pytest.fixture(scope="module")
def archives(scenes, tmp_path_factory) -> Path:
    """A folder with the three archives, one image and mask in each of the eleven sets."""
    folder, left = tmp_path_factory.mktemp("archives"), iter(scenes)
    for name, places in ARCHIVES.items():
        with zipfile.ZipFile(folder / name, "w") as archive:
            for images, masks in places:
                scene = next(left)
                archive.writestr(f"{images}/0.jpg", jpeg(scene.image))
                archive.writestr(f"{masks}/0.png", encode_png(scene.masks[0]))
    return folder


@pytest.fixture(scope="module")
def paper(root, archives, tmp_path_factory) -> SmallWorld:
    """The project of the paper's profile after `pasam data fetch` and all stages but `pretrain`."""
    params = compose("paper", root / "params")
    for section, values in CHANGES.items():
        params[section].update(values)
    for model in params["models"].values():
        model |= {"epochs": 1, "lr_step_size": 1}
    params["validate"]["warnings"].append("counts_match_the_catalogue")
    params["instances"]["seginw"]["sets"] = SETS
    folder = tmp_path_factory.mktemp("paper")
    world = lay_out(folder, root, params, has_small_base=False)
    torch.manual_seed(0)
    base = build_base("vit_b")
    assert len(base.sam.image_encoder.blocks) == 12
    assert count_parameters(base)[0] == 93_735_472
    write_state_dict(world.path("data/base/vit_b.pth"), base.sam.state_dict())
    del base
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["data", "fetch", "hqseg44k", "--from", str(archives)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    for place in ("data/ablations", "data/repeats", "data/detections"):
        world.path(place).mkdir(parents=True, exist_ok=True)
    for name in world.stages:
        if name != "pretrain":
            world.run(name)
    return world


def page(world: SmallWorld) -> str:
    return world.path("reports/index.html").read_text()


@pytest.mark.slow
def test_the_run_ends_with_table_1_and_the_page(paper):
    table = paper.path("reports/table1.md").read_text()
    for name in ("SAM", "HQ-SAM", "PA-SAM"):
        assert name in table
    for benchmark in ("DIS5K-VD", "COIFT", "HRSOD", "ThinObject5K-TE"):
        assert benchmark in paper.path("reports/table1.csv").read_text()
    assert "Robustness" in page(paper)


@pytest.mark.slow
def test_without_detections_tables_2_and_3_are_not_measured(paper):
    words = page(paper)
    assert "Not measured: there were no detections of a COCO-style set" in words
    assert "Not measured: there were no detections of SegInW-style sets" in words


def annotations(scene: Scene) -> dict[str, object]:
    """COCO annotations of a scene's one object, its outline a box."""
    height, width = scene.masks[0].shape
    x, y, w, h = box_of(scene)
    outline = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {
        "images": [{"id": 1, "file_name": "0.jpg", "height": height, "width": width}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": w * h,
                "bbox": [x, y, w, h], "segmentation": [outline],
            }
        ],
    }  # fmt: skip


def box_of(scene: Scene) -> tuple[int, int, int, int]:
    """The box of the object as x, y, width, height."""
    rows, columns = np.nonzero(scene.masks[0] > 128)
    x, y = int(columns.min()), int(rows.min())
    return x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y


@pytest.fixture(scope="module")
def detected(paper, scenes) -> SmallWorld:
    """The same project with COCO and SegInW in their places, and made-up detections."""
    scene = scenes[11]
    params = load_yaml(paper.path("params.yaml").read_text())["instances"]
    coco, seginw = params["coco"], params["seginw"]
    found = [{"image_id": 1, "category_id": 1, "bbox": list(box_of(scene)), "score": 0.9}]
    places = [(coco["images"], coco["annotations"], coco["detections"])]
    for name in SETS:
        valid = f"{seginw['folder']}/{name}/valid"
        places.append(
            (valid, f"{valid}/{SEGINW_ANNOTATIONS}", f"{seginw['detections']}/{name}.json")
        )
    for images, annotated, detections in places:
        for path in (f"{images}/0.jpg", annotated, detections):
            paper.path(path).parent.mkdir(parents=True, exist_ok=True)
        paper.path(f"{images}/0.jpg").write_bytes(jpeg(scene.image))
        paper.path(annotated).write_text(json.dumps(annotations(scene)))
        paper.path(detections).write_text(json.dumps(found))
    for name in ("instances", "report"):
        paper.run(name)
    return paper


@pytest.mark.slow
def test_with_detections_the_run_has_tables_2_and_3(detected):
    words = page(detected)
    assert "Not measured: there were no detections" not in words
    rows = read_precisions(detected.path("data/instance_scores/average_precision.parquet"))
    assert set(rows["model"]) >= {"sam", "hq_sam", "pa_sam"}
    assert len(set(rows["benchmark"])) == 2
