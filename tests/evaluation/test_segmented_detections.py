"""Detectors' boxes become masks of the original image, one row for each model and box."""

import copy
import dataclasses
import json
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from pasam.config.schema import CocoParams, GeneratedInstancesParams, InstancesParams, SeginwParams
from pasam.data.coco import AnnotatedImage, Annotations, Detection, read_annotations
from pasam.errors import DataError
from pasam.evaluation import average_precision, instances
from pasam.evaluation.average_precision import Bands
from pasam.evaluation.instances import (
    InstanceSet,
    _best,
    _by_model,
    _overlaps,
    _pixels,
    input_box,
    instance_sets,
    segment_instances,
    write_instances,
)
from pasam.evaluation.predictions import (
    EXTRAS,
    Predicted,
    read_prediction,
    with_maps,
    write_predictions,
)
from pasam.inference.image_transform import ImageTransform
from pasam.masks.images import write_png
from pasam.masks.run_lengths import area, decode, encode
from pasam.models import pa_mask_decoder
from pasam.workers import ProcessGroup

SIZES = [(60, 80), (90, 50)]


def written(folder, annotations, detections, crowd=0):
    """Write two noisy images with a bright object each, and a detector's file."""
    rng = np.random.default_rng(0)
    images, objects, found = [], [], []
    for number, size in enumerate(SIZES, start=1):
        mask = np.zeros(size, np.bool_)
        mask[10:40, 12:36] = True
        pixels = rng.integers(0, 120, (*size, 3), np.uint8) + mask[..., None].astype(np.uint8) * 90
        write_png(annotations.parent / f"{number}.png", pixels)
        images.append(
            {"id": number, "file_name": f"{number}.png", "height": size[0], "width": size[1]}
        )
        objects.append(
            {
                "id": number, "image_id": number, "category_id": number, "iscrowd": crowd,
                "area": int(mask.sum()), "bbox": [12, 10, 24, 30], "segmentation": encode(mask),
            }
        )  # fmt: skip
        for k in range(3):
            found.append(
                {
                    "image_id": number, "category_id": number if k < 2 else 3 - number,
                    "bbox": [12 + k, 10, 24, 30 - k], "score": 0.9 - 0.2 * k,
                }
            )  # fmt: skip
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content = {"images": images, "annotations": objects, "categories": categories}
    detections.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_text(json.dumps(content))
    detections.write_text(json.dumps(found))


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    coco, small = folder / "coco", folder / "small"
    coco.mkdir()
    written(folder, coco / "annotations.json", coco / "detections.json")
    valid = small / "zoo" / "valid"
    valid.mkdir(parents=True)
    written(folder, valid / "_annotations_min1cat.coco.json", folder / "found" / "zoo.json")
    return InstancesParams(
        generated=GeneratedInstancesParams(coco_images=0, seginw_images=0),
        coco=CocoParams(
            name="coco", images=str(coco), annotations=str(coco / "annotations.json"),
            detections=str(coco / "detections.json"),
        ),
        seginw=SeginwParams(
            name="seginw", sets=("zoo",), folder=str(small), detections=str(folder / "found")
        ),
        resize="squash",
        boxes_per_image=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sets(params):
    return instance_sets(params)[0]


@pytest.fixture(scope="module")
def segment(model_set, sets):
    def run(batch_size=8, resize="squash", processes=1):
        rows = [
            row
            for rank in range(processes)
            for row in segment_instances(
                model_set, sets[0], resize=resize, batch_size=batch_size, boundary_fraction=0.02,
                group=ProcessGroup(rank, processes),
            )
        ]  # fmt: skip
        keys = ["image_id", "detection", "model"]
        return pd.DataFrame(rows).sort_values(keys, ignore_index=True)

    return run


@pytest.fixture(scope="module")
def rows(segment):
    return segment()


def test_the_shares_of_several_processes_are_what_one_measures(segment, rows):
    pd.testing.assert_frame_equal(segment(processes=3), rows)


def test_what_threads_read_and_score_beside_a_gpu_is_what_one_thread_measures(
    segment, rows, monkeypatch
):
    at_work, score = set(), instances._scored
    monkeypatch.setattr(instances, "threads_beside", lambda _entry: 2)
    monkeypatch.setattr(
        instances, "_scored", lambda *one: (at_work.add(threading.get_ident()), score(*one))[1]
    )
    pd.testing.assert_frame_equal(segment(batch_size=1), rows)
    assert at_work
    assert threading.get_ident() not in at_work


def test_a_gpu_segments_what_a_detector_found_as_the_cpu_does(model_set, sets, rows, tested_device):
    moved = copy.deepcopy(model_set)
    for entry in moved.entries:
        entry.segmenter.to(tested_device)
    assert {each.segmenter.device.type for each in moved.entries} == {tested_device}
    found = pd.DataFrame(
        segment_instances(
            moved, sets[0], resize="squash", batch_size=8, boundary_fraction=0.02,
            group=ProcessGroup(0, 1),
        )
    ).sort_values(["image_id", "detection", "model"], ignore_index=True)  # fmt: skip
    same = ["model", "image_id", "detection", "category", "height", "width"]
    pd.testing.assert_frame_equal(found[same], rows[same])
    scores = ["score", "iou", "boundary_iou"]  # a pixel in a hundred may lie on either side of 0
    np.testing.assert_allclose(found[scores], rows[scores], atol=0.01, rtol=0)


@pytest.mark.slow  # of a large memory
def test_a_mask_that_would_fill_the_memory_is_not_unpacked(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("set/a:mask.npy", "w", force_zip64=True) as entry,
    ):
        for _ in range(501):
            entry.write(bytes(1_000_000))
    with pytest.raises(DataError, match="unpacks to 501000000 bytes; at most 500000000"):
        read_prediction(tmp_path / "m.npz", "set/a")


def test_a_masks_limit_is_of_its_own_bytes_and_reached_by_them_all(tmp_path, monkeypatch):
    path, noise = tmp_path / "m.npz", np.random.default_rng(0).random((90, 80)) > 0.5
    small = Predicted(mask=np.eye(4, dtype=bool))
    write_predictions(path, {"set/a": small, "set/ab": Predicted(mask=noise)})
    whole = 2 * 128 + 2 * 4 + 2  # NumPy's two heads, height and width, sixteen bits
    monkeypatch.setattr("pasam.evaluation.predictions.MOST_BYTES", whole)
    np.testing.assert_array_equal(read_prediction(path, "set/a").mask, small.mask)
    with pytest.raises(DataError, match=f"'set/ab' unpacks to {whole + 898} bytes; at most"):
        read_prediction(path, "set/ab")


def test_all_sets_are_found_where_their_layouts_say(sets):
    assert [(data.benchmark, data.name) for data in sets] == [("coco", "coco"), ("seginw", "zoo")]
    assert [len(found) for found in sets[0].detections.values()] == [2, 2]  # of 3 each


def test_every_kept_box_has_one_row_for_each_model(rows):
    assert len(rows) == 2 * 2 * 3
    assert set(rows["detection"]) == {0, 1, 3, 4}
    assert set(zip(rows["model"], rows["seed"], strict=True)) == {
        ("sam", 0), ("hq_sam", 5), ("pa_sam", 8),
    }  # fmt: skip
    assert set(zip(rows["image_id"], rows["category"], strict=True)) == {(1, "cat"), (2, "dog")}


def test_the_rows_fit_their_file(rows, tmp_path):
    write_instances(rows.to_dict("records"), tmp_path / "a.parquet")


def test_masks_are_of_the_original_size_and_measured_against_their_object(rows):
    truth = {1: np.zeros(SIZES[0], np.bool_), 2: np.zeros(SIZES[1], np.bool_)}
    for mask in truth.values():
        mask[10:40, 12:36] = True
    for row in rows.to_dict("records"):
        code = {"size": [row["height"], row["width"]], "counts": row["counts"]}
        mask = decode(code)
        assert mask.shape == SIZES[row["image_id"] - 1]
        assert area(code) == row["area"] == mask.sum()
        shared = (mask & truth[row["image_id"]]).sum()
        assert row["iou"] == pytest.approx(shared / (mask | truth[row["image_id"]]).sum())
        assert row["object_id"] == (row["image_id"] if shared else -1)
        assert row["object_area"] == (720 if shared else 0)
        assert 0 <= row["boundary_iou"] <= 1


def test_a_mask_is_held_against_objects_of_its_detections_category_alone(model_set, sets):
    one = dataclasses.replace(model_set, entries=model_set.entries[:1])
    wrong = {
        image: [dataclasses.replace(each, category_id=3 - each.category_id) for each in found]
        for image, found in sets[0].detections.items()
    }
    rows = segment_instances(
        one, dataclasses.replace(sets[0], detections=wrong), resize="squash", batch_size=4,
        boundary_fraction=0.02,
    )  # fmt: skip
    assert [row["category"] for row in rows] == ["dog", "dog", "cat", "cat"]
    assert {row["object_id"] for row in rows} == {-1}


def test_of_several_objects_the_one_that_a_mask_overlaps_most_is_its_own():
    def part(columns):
        mask = np.zeros((8, 20), np.bool_)
        mask[2:6, columns] = True
        return encode(mask)

    mask = part(slice(5, 10))
    far, some, most = part(slice(12, 16)), part(slice(0, 7)), part(slice(6, 10))
    assert _best(mask, [(4, far), (7, some), (9, most)]) == (9, most, pytest.approx(4 / 5))
    assert _best(mask, [(9, most), (7, some)])[0] == 9
    assert _best(mask, [(4, far)]) is None
    assert _best(mask, []) is None


def test_an_image_is_read_upright_or_as_stored_whichever_its_annotations_mean(tmp_path):
    stored, exif = Image.new("RGB", (8, 6)), Image.Exif()
    exif[0x0112] = 6  # viewers turn it by a quarter
    stored.save(tmp_path / "a.jpg", exif=exif)
    for height, width in ((8, 6), (6, 8)):
        about = AnnotatedImage("a.jpg", height, width)
        assert _pixels(tmp_path, about).shape == (height, width, 3)


def test_outlines_are_compared_in_a_band_as_wide_as_was_asked(model_set, sets, rows):
    one = dataclasses.replace(model_set, entries=model_set.entries[:1])
    wide = pd.DataFrame(
        segment_instances(one, sets[0], resize="squash", batch_size=4, boundary_fraction=0.3)
    ).set_index(["image_id", "detection"])
    narrow = rows[rows["model"] == "sam"].set_index(["image_id", "detection"])
    assert wide["iou"].to_dict() == narrow["iou"].to_dict()
    met = narrow["object_id"] > 0
    assert met.any()
    assert (wide["boundary_iou"][met] > narrow["boundary_iou"][met]).any()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_number_of_boxes_in_a_call_changes_nothing_and_an_image_is_looked_at_once(
    batch_size, rows, segment, monkeypatch
):
    find, edges = pa_mask_decoder.edge_channel, []
    monkeypatch.setattr(
        pa_mask_decoder, "edge_channel", lambda *given: edges.append(given) or find(*given)
    )
    pd.testing.assert_frame_equal(segment(batch_size=batch_size), rows)
    assert len(edges) == len(SIZES)  # one model of three looks for them


def test_an_objects_band_is_made_once_for_all_models_and_detections(segment, rows, monkeypatch):
    make, made = average_precision.boundary_rle, []
    monkeypatch.setattr(
        average_precision, "boundary_rle",
        lambda code, *, fraction: made.append(code["counts"]) or make(code, fraction=fraction),
    )  # fmt: skip
    pd.testing.assert_frame_equal(segment(), rows)
    met = rows[rows["object_id"] > 0]
    assert len(met) > len(set(met["object_id"])) == len(made) == len(set(made))


def test_images_that_keep_their_aspect_give_other_masks_of_the_same_size(rows, segment):
    found = segment(resize="longest")
    keys = ["image_id", "detection", "model", "height", "width"]
    pd.testing.assert_frame_equal(found[keys], rows[keys])
    assert (found["counts"] != rows["counts"]).any()


@pytest.mark.parametrize(
    ("resize", "box", "expected"),
    [
        ("squash", (3, 5, 10, 20), [0.62, 3.02, 2.54, 11.98]),
        ("longest", (3, 5, 10, 20), [0.62, 1.26, 2.54, 5.74]),
        ("squash", (0, 0, 200, 100), [0, 0, 63, 63]),
        ("longest", (0, 0, 200, 100), [0, 0, 63, 31]),
    ],
)
def test_a_box_goes_from_edges_to_its_first_and_last_pixel_of_the_input(resize, box, expected):
    transform = ImageTransform(height=100, width=200, side=64, resize=resize)
    np.testing.assert_allclose(input_box(box, transform), expected, atol=0.01)


def test_at_the_inputs_own_size_a_box_keeps_its_pixels():
    transform = ImageTransform(height=64, width=64, side=64, resize="squash")
    assert input_box((3, 5, 10, 20), transform).tolist() == [3, 5, 9, 19]


def test_a_box_of_less_than_a_pixel_keeps_its_middle_and_is_not_reversed():
    transform = ImageTransform(height=64, width=64, side=64, resize="squash")
    assert input_box((3.25, 5, 3.75, 6), transform).tolist() == [3, 5, 3, 5]
    assert input_box((3, 5, 10, 5.5), transform).tolist() == [3, 4.75, 9, 4.75]


def test_an_image_of_another_size_than_annotated_is_refused(model_set, params, tmp_path):
    written(tmp_path, tmp_path / "annotations.json", tmp_path / "detections.json")
    write_png(tmp_path / "2.png", np.zeros((9, 9, 3), np.uint8))
    coco = CocoParams(
        name="coco", images=str(tmp_path), annotations=str(tmp_path / "annotations.json"),
        detections=str(tmp_path / "detections.json"),
    )  # fmt: skip
    changed = InstancesParams(
        generated=params.generated,
        coco=coco,
        seginw=params.seginw,
        resize="squash",
        boxes_per_image=1,
    )
    with pytest.raises(DataError, match=r"2\.png is 9 x 9 .* annotations say 90 x 50"):
        segment_instances(
            model_set,
            instance_sets(changed)[0][0],
            resize="squash",
            batch_size=4,
            boundary_fraction=0.02,
        )


def test_a_set_without_detections_is_left_out_and_named(params, tmp_path):
    coco = params.coco.model_copy(update={"detections": str(tmp_path / "none.json")})
    sets, absent = instance_sets(params.model_copy(update={"coco": coco}))
    assert [one.name for one in sets] == ["zoo"]
    assert absent == [f"coco is not measured: there are no detections at {tmp_path}/none.json."]


def test_detections_of_a_set_whose_annotations_are_missing_are_an_error(params, tmp_path):
    coco = params.coco.model_copy(update={"annotations": str(tmp_path / "none.json")})
    with pytest.raises(DataError, match=r"none\.json does not exist"):
        instance_sets(params.model_copy(update={"coco": coco}))


def test_a_crowd_is_no_object_that_a_mask_could_match(model_set, params, tmp_path):
    written(tmp_path, tmp_path / "annotations.json", tmp_path / "detections.json", crowd=1)
    coco = CocoParams(
        name="coco", images=str(tmp_path), annotations=str(tmp_path / "annotations.json"),
        detections=str(tmp_path / "detections.json"),
    )  # fmt: skip
    changed = InstancesParams(
        generated=params.generated, coco=coco, seginw=params.seginw, resize="squash",
        boxes_per_image=2,
    )  # fmt: skip
    rows = segment_instances(
        model_set,
        instance_sets(changed)[0][0],
        resize="squash",
        batch_size=4,
        boundary_fraction=0.02,
    )
    assert {row["object_id"] for row in rows} == {-1}
    assert {row["iou"] for row in rows} == {row["boundary_iou"] for row in rows} == {0.0}


def test_a_crowd_is_told_however_a_tool_writes_it_and_an_object_needs_no_word_of_it(tmp_path):
    file = tmp_path / "annotations.json"
    written(tmp_path, file, tmp_path / "detections.json")
    for means, words in ((0, (None, 0, False, "0", "false")), (1, (1, 1.0, True, "1", "true"))):
        for word in words:
            content = json.loads(file.read_text())
            content["annotations"][0]["iscrowd"] = word
            if word is None:
                del content["annotations"][0]["iscrowd"]
            other = tmp_path / "other.json"
            other.write_text(json.dumps(content))
            found = read_annotations(other).content
            assert [one["iscrowd"] for one in found["annotations"]] == [means, 0], word
            assert average_precision.objects_by_size(found)["objects"] == 2 - means
            average_precision.average_precision(found, [], overlap="mask", bands=Bands(0.02))
    content["annotations"][0]["iscrowd"] = "perhaps"
    other.write_text(json.dumps(content))
    with pytest.raises(DataError, match="annotation 1 has iscrowd 'perhaps', expected 0 or 1"):
        read_annotations(other)


SIDES = st.integers(1, 19)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda shape: hnp.arrays(np.bool_, shape))


@pytest.fixture
def full():
    rng = np.random.default_rng(0)
    return Predicted(
        mask=rng.random((7, 11)) > 0.5,
        box=np.array([1, 2, 3.5, 4], np.float32),
        uncertainty=rng.random((4, 4)).astype(np.float16),
        positive=np.array([[1, 2]], np.float32),
        negative=np.array([[3, 4]], np.float32),
    )


@settings(max_examples=25)
@given(mask=MASKS)
def test_a_mask_of_any_size_comes_back(mask):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "masks.npz"
        write_predictions(path, {"set/a": Predicted(mask=mask)})
        found = read_prediction(path, "set/a").mask
    assert found.dtype == np.bool_
    assert np.array_equal(found, mask)


def test_what_a_report_shows_comes_back_and_what_was_not_there_does_not(tmp_path, full):
    path = tmp_path / "new" / "masks.npz"
    write_predictions(path, {"set/a": full, "set/b": Predicted(mask=full.mask)})
    found = read_prediction(path, "set/a")
    for name in EXTRAS:
        assert np.array_equal(getattr(found, name), getattr(full, name))
        assert getattr(found, name).dtype == getattr(full, name).dtype
        assert getattr(read_prediction(path, "set/b"), name) is None


def test_the_order_of_predictions_does_not_change_the_bytes(tmp_path, full):
    plain = Predicted(mask=~full.mask)
    write_predictions(tmp_path / "1.npz", {"a": full, "b": plain})
    write_predictions(tmp_path / "2.npz", {"b": plain, "a": full})
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.npz", "2.npz"]


def test_an_unknown_mask_is_named(tmp_path, full):
    write_predictions(tmp_path / "masks.npz", {"set/a": full})
    with pytest.raises(DataError, match=r"masks\.npz has no mask 'set/other'"):
        read_prediction(tmp_path / "masks.npz", "set/other")


def test_a_missing_file_is_named_with_the_stage_that_makes_it(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz does not exist; run `dvc repro evaluate`"):
        read_prediction(tmp_path / "none.npz", "set/a")


def test_inner_maps_come_back_under_their_names(tmp_path, full):
    maps = {"coarse": np.ones((3, 3), np.float16), "attention": np.zeros((2, 2), np.float16)}
    path = tmp_path / "masks.npz"
    write_predictions(path, with_maps({"set/a": full, "set/ab": full}, [maps, {}]))
    found = read_prediction(path, "set/a").maps
    assert sorted(found) == ["attention", "coarse"]
    assert np.array_equal(found["coarse"], maps["coarse"])
    assert read_prediction(path, "set/ab").maps == {}


def test_maps_of_other_predictions_are_refused(full):
    assert with_maps({"a": full}, []) == {"a": full}  # a model that has none
    with pytest.raises(DataError, match="2 sets of inner maps were taken of 1 predictions"):
        with_maps({"a": full}, [{}, {}])


@pytest.mark.parametrize(("fraction", "wide"), [(0.02, 1), (0.05, 3)])
def test_bands_of_a_mask_and_its_object_are_compared_and_the_areas_are_the_objects(fraction, wide):
    whole, left = np.zeros((40, 50), np.bool_), np.zeros((40, 50), np.bool_)  # a diagonal of 64
    whole[10:30, 10:40], left[10:30, 10:30] = True, True
    found = _overlaps(encode(left), (7, encode(whole), 2 / 3), Bands(fraction))
    inner = [mask.copy() for mask in (whole, left)]
    for mask, last in zip(inner, (40, 30), strict=True):
        mask[10 + wide : 30 - wide, 10 + wide : last - wide] = False
    expected = (inner[0] & inner[1]).sum() / (inner[0] | inner[1]).sum()
    assert found == {
        "object_id": 7, "object_area": 600, "iou": 2 / 3,
        "boundary_iou": pytest.approx(expected),
    }  # fmt: skip


def test_each_box_is_held_against_the_objects_of_its_own_category_and_image(monkeypatch):
    mask = np.zeros((20, 30), np.bool_)
    mask[5:15, 5:25] = True
    code = encode(mask)
    objects = [
        {"id": number, "image_id": image, "category_id": category, "segmentation": code}
        for number, image, category in ((7, 2, 1), (8, 1, 2), (9, 1, 1))
    ]
    annotations = Annotations(
        images={1: AnnotatedImage("a.png", 20, 30), 2: AnnotatedImage("b.png", 20, 30)},
        categories={1: "cat", 2: "dog", 3: "cow"}, content={"annotations": objects},
    )  # fmt: skip
    box = {"box": (5.0, 5.0, 25.0, 15.0), "score": 0.5}
    found = {
        image: [Detection(number=number, image_id=image, category_id=kind, **box)]
        for number, (image, kind) in enumerate(((1, 1), (2, 2)))
    }
    found[1] += [Detection(number=2, image_id=1, category_id=kind, **box) for kind in (2, 3)]
    data = InstanceSet(
        benchmark="b", name="s", images=Path(), annotations=annotations, detections=found
    )
    monkeypatch.setattr(instances, "_pixels", lambda *_file: None)
    monkeypatch.setattr(instances, "image_batch", lambda *given: given[-1])
    monkeypatch.setattr(
        instances, "_predicted", lambda _entry, boxes, _size: [(slice(None), boxes, None)]
    )
    monkeypatch.setattr(
        instances, "masks_at_original_size", lambda _prediction, boxes: [mask] * len(boxes)
    )
    segmenter = SimpleNamespace(device=torch.device("cpu"))
    models = SimpleNamespace(
        base=SimpleNamespace(side=64),
        entries=[SimpleNamespace(name="sam", seed=0, segmenter=segmenter)],
    )
    rows = segment_instances(models, data, resize="squash", batch_size=4, boundary_fraction=0.02)
    told = [(row["image_id"], row["category"], row["object_id"], row["iou"]) for row in rows]
    assert told == [
        (1, "cat", 9, 1.0),
        (1, "dog", 8, 1.0),
        (1, "cow", -1, 0.0),
        (2, "dog", -1, 0.0),
    ]


def test_of_two_objects_that_a_mask_overlaps_alike_it_is_the_first_in_the_file():
    mask = np.zeros((8, 9), np.uint8)
    mask[2:5, 3:7] = 1
    code = encode(mask)
    assert _best(code, [(5, code), (3, code)]) == (5, code, 1.0)
    assert _best(code, [(4, encode(1 - mask))]) is None


def test_a_model_without_a_detection_in_a_set_is_measured_there_all_the_same():
    rows = pd.DataFrame({"model": ["sam", "pa_sam"], "seed": [0, 42], "set": ["one", "one"]})
    found = list(_by_model(rows[rows["set"] == "two"], rows))
    assert [(who, len(part)) for who, part in found] == [(("pa_sam", 42), 0), (("sam", 0), 0)]
