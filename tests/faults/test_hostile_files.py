"""Over 500 hostile and damaged inputs: each is used, or refused in one line, soon."""

from __future__ import annotations

import base64
import copy
import io
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile_files
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fastapi.testclient import TestClient
from PIL import Image
from serving_world import Shelf, encoded_picture

from pasam.cli.options import error_line
from pasam.config.params_file import load_models, read_params
from pasam.config.presets import validate
from pasam.data.coco import read_annotations, read_detections
from pasam.data.imports import SetPlaces, from_annotations
from pasam.data.manifest import SCHEMA as MANIFEST
from pasam.data.manifest import read_manifest
from pasam.data.pairing import from_csv
from pasam.data.quarantine import read_quarantine
from pasam.errors import DataError, PasamError
from pasam.evaluation.predictions import Predicted, read_prediction, write_predictions
from pasam.evaluation.scores import SCHEMA as SCORES
from pasam.evaluation.scores import read_scores
from pasam.files import read_table, write_table
from pasam.inference.prompt_files import images_of, read_prompt_file
from pasam.masks.images import read_image
from pasam.models.adapter_weights import read_variant, recognise
from pasam.serving.service import Settings
from pasam.serving.web_app import create_app

LONGEST, MOST_MEMORY = 5.0, 500_000  # seconds; KB
EVERY = 8
"""Of so many inputs one is tried in the default tier; the slow tier tries all."""


OPEN: set[str] = set()
"""What still ends in a traceback; whoever mends one takes it out."""


def open_weights(path):
    recognise(path)
    if path.suffix == ".safetensors":
        read_variant(path)


def open_params(path):
    read_params(path)
    load_models(path)


DOORS = {
    "weights": (hostile_files.weights, open_weights),
    "yaml_files": (hostile_files.yaml_files, open_params),
    "coco_files": (hostile_files.coco_files, read_annotations),
    "images": (hostile_files.images, read_image),
}


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, of damaged files


def memory(kind):
    """Resident KB of this process: now (VmRSS), or at most since the last reset (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith(kind)]
    return int(line.split()[1])


def try_all(paths, opening):
    """Open files; what is wrong with how each was taken."""
    wrong, used, idle = [], 0, memory("VmRSS")
    for path in paths:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        start = time.process_time()
        try:
            opening(path)
            used += 1
        except PasamError as error:
            if path.name not in str(error).partition("\n")[0]:  # faults may follow as a list
                wrong.append(f"{path.name}: {str(error)[:300]!r}")
        except Exception as error:  # noqa: BLE001  (that is what is looked for)
            wrong.append(f"{path.name}: {type(error).__name__}: {str(error)[:200]}")
        spent, more = time.process_time() - start, memory("VmHWM") - idle
        if spent > LONGEST or more > MOST_MEMORY:
            wrong.append(f"{path.name}: {spent} s, {more} KB")
    assert used < len(paths)
    return wrong


def assert_only_open(wrong, paths):
    expected = sorted(OPEN & {path.name for path in paths})
    assert sorted(each.partition(":")[0] for each in wrong) == expected, wrong


@pytest.mark.parametrize("kind", DOORS)
def test_a_sample_of_hostile_files_is_used_or_refused_in_one_line(kind, tmp_path):
    made, opening = DOORS[kind]
    paths = hostile_files.write_all(tmp_path, itertools.islice(made(), 0, None, EVERY))
    assert_only_open(try_all(paths, opening), paths)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DOORS)
def test_all_hostile_files_are_used_or_refused_in_one_line(kind, tmp_path):
    made, opening = DOORS[kind]
    paths = hostile_files.write_all(tmp_path, made())
    assert_only_open(try_all(paths, opening), paths)


@pytest.mark.slow
def test_all_hostile_requests_are_answered_or_refused_in_one_line(tmp_path):
    app = create_app(Shelf(tmp_path, "sam").offered(), Settings())
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        sent = client.post("/embed", files={"image": encoded_picture()})
        embedding = sent.json()["embedding"]
        for name, content in hostile_files.requests():
            fields = {"prompts": content.decode("utf-8", "replace"), "embedding": embedding}
            answer = client.post("/predict", data=fields)
            assert answer.status_code == 200 or 400 <= answer.status_code < 500, (name, answer.text)
        for name, content in hostile_files.images():
            answer = client.post("/embed", files={"image": (name, content)})
            assert answer.status_code == 200 or 400 <= answer.status_code < 500, (name, answer.text)


def test_there_are_at_least_five_hundred_inputs():
    made = [name for making, _ in DOORS.values() for name, _ in making()]
    assert len(made) + len(list(hostile_files.requests())) >= 500


def test_damaged_predictions_are_refused_in_words(tmp_path):
    path = tmp_path / "p.npz"
    mask = np.eye(60, dtype=np.bool_)
    write_predictions(path, {"a": Predicted(mask, box=np.arange(4, dtype=np.float32))})
    good = path.read_bytes()
    cut = [good[:end] for end in range(0, len(good), 40)]
    paths = hostile_files.write_all(
        tmp_path,
        (
            (f"{number}.npz", content)
            for number, content in enumerate([*cut, *hostile_files.damaged(good, 200, 7)])
        ),
    )
    assert try_all(paths, lambda file: read_prediction(file, "a")) == []


@pytest.mark.parametrize(
    "arrays",
    [
        {"mask": np.zeros(3, np.uint8)},
        {"mask": np.zeros(3, np.uint8), "shape": np.array([10**9, 10**9])},
        {"mask": np.zeros(3, np.uint8), "shape": np.array([-1, -5])},
        {"mask": np.zeros(3, np.uint8), "shape": np.array(5)},
        {"mask": np.zeros(3), "shape": np.array([3, 8])},
        {"mask": np.array(["x"]), "shape": np.array(["x", "y"])},
    ],
)
def test_predictions_of_impossible_shapes_are_refused(arrays, tmp_path):
    path = tmp_path / "p.npz"
    np.savez(path, **{f"a:{name}": values for name, values in arrays.items()})
    with pytest.raises(DataError, match=r"p\.npz .*mask 'a'"):
        read_prediction(path, "a")


LONGEST_TEXT = 4000
"""Characters of a message: a value of any length is not repeated whole."""

NAN, INFINITE = float("nan"), float("inf")
IMPOSSIBLE: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**30, 10**400, 0.5, NAN, INFINITE, -INFINITE, 1e300,
    "", "x", "\x00", "../../x", "/etc/passwd", "/dev/zero", "\ud800", "nan", "1e999", "a" * 300,
    "a/" * 3000, "9" * 5000, "\x1b[31m", [], {}, [[]], [None], ["x"], [1], [[1, 2], [3]], {"a": 1},
    {"size": [1, 1], "counts": "0"}, {"size": [10**9, 10**9], "counts": [1]},
    {"size": "", "counts": [1]}, {"size": ["a", {}], "counts": {}}, [[[[[1]]]]],
)  # fmt: skip
DELETED = object()


def picture(mode: str, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 255 if mode == "L" else 90).save(file, "PNG")
    return file.getvalue()


CORNERS = [2, 2, 10, 2, 10, 10]
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}],
    "categories": [{"id": 1, "name": "x"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 9, "bbox": [1, 1, 5, 5],
         "segmentation": [CORNERS]},
        {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": 1, "area": 9, "bbox": [1, 1, 5, 5],
         "segmentation": {"size": [20, 30], "counts": [10, 5, 585]}},
    ],
}  # fmt: skip
LABELME = {
    "imagePath": "a.png", "imageHeight": 20, "imageWidth": 30,
    "shapes": [
        {"label": "x", "shape_type": "polygon", "group_id": None,
         "points": [[2, 2], [10, 2], [10, 10]]},
        {"label": "c", "shape_type": "circle", "points": [[9, 9], [12, 9]]},
        {"label": "m", "shape_type": "mask", "points": [[2, 2], [7, 6]],
         "mask": base64.b64encode(picture("L", (5, 4))).decode()},
    ],
}  # fmt: skip
VIA = {
    "a.png1": {
        "filename": "a.png", "size": 1,
        "regions": [
            {"shape_attributes": {"name": "polygon", "all_points_x": [2, 10, 10],
                                  "all_points_y": [2, 2, 10]}, "region_attributes": {"k": "v"}},
            {"shape_attributes": {"name": "ellipse", "cx": 9, "cy": 9, "rx": 3, "ry": 4},
             "region_attributes": {}},
        ],
    }
}  # fmt: skip
LABEL_STUDIO = [
    {"id": 1, "data": {"image": "/data/local-files/?d=a.png"},
     "annotations": [{"was_cancelled": False, "result": [
         {"type": "polygonlabels",
          "value": {"points": [[10, 10], [50, 10], [50, 50]], "polygonlabels": ["x"]}},
         {"type": "ellipselabels",
          "value": {"x": 50, "y": 50, "radiusX": 9, "radiusY": 9, "ellipselabels": ["y"]}},
         {"type": "brushlabels", "original_height": 20, "original_width": 30,
          "value": {"format": "rle", "rle": [0, 0, 9, 96, 7, 1, 2, 3], "brushlabels": ["z"]}},
     ]}]},
]  # fmt: skip
SA_1B = {
    "image": {"image_id": 1, "file_name": "a.png", "height": 20, "width": 30},
    "annotations": [{"id": 1, "segmentation": {"size": [20, 30], "counts": [10, 5, 585]}}],
}
DETECTIONS = [
    {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5},
    {"image_id": 1, "phrase": "x", "bbox": [1, 1, 5, 5], "score": 0.5},
]
PROMPTS = [
    {"image": "a.png", "box": [1, 2, 9, 9], "points": [[3, 3]], "labels": [1], "category": "x"},
    {"image": "a.png", "mask": "mask.png"},
]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to every value."""
    yield path
    for key in node if isinstance(node, dict) else range(len(node) if type(node) is list else 0):
        yield from places(node[key], (*path, key))


def exchanged(good: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Copy a form with another value in one place, or without it."""
    if not path:
        return None if value is DELETED else value
    made = copy.deepcopy(good)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    if value is DELETED:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


def changed(good: Any) -> Iterator[tuple[str, Any]]:
    """Exchange every value for every impossible one."""
    for path in places(good):
        for value in (*IMPOSSIBLE, DELETED):
            shown = "deleted" if value is DELETED else f"{value!r:.40}"
            yield f"{path}: {shown}", exchanged(good, path, value)


def annotated(file: Path) -> None:
    from_annotations(file, SetPlaces(images=file.parent))


def detected(file: Path) -> None:
    annotations = file.with_name("annotations.json")
    annotations.write_text(json.dumps(COCO), encoding="utf-8")
    read_detections(file, read_annotations(annotations))


def prompted(file: Path) -> None:
    images_of(file)
    read_prompt_file(file, [file.with_name("a.png")])


FORMS: dict[str, tuple[Any, Callable[[Path], object]]] = {
    "coco": (COCO, annotated),
    "coco of a stage": (COCO, read_annotations),
    "labelme": (LABELME, annotated),
    "via": (VIA, annotated),
    "label studio": (LABEL_STUDIO, annotated),
    "sa-1b": (SA_1B, annotated),
    "detections": (DETECTIONS, detected),
    "prompts": (PROMPTS, prompted),
    "prompts by image": ({"a.png": [{"box": [1, 2, 9, 9]}]}, prompted),
    "prompts in coco": (COCO, prompted),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.png").write_bytes(picture("RGB", (30, 20)))
    (tmp_path / "mask.png").write_bytes(b"no image")
    return tmp_path


def fault_of(opening: Callable[[Path], object], file: Path) -> str | None:
    """Say how a file is taken, where that is no use and no refusal in words."""
    try:
        opening(file)
    except PasamError as error:
        said = error_line(error)
        return f"{len(said)} characters" if len(said) > LONGEST_TEXT else None
    except Exception as error:  # noqa: BLE001  (that is what is looked for)
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None


def expect_words(file: Path, opening: Callable[[Path], object], contents, every: int) -> None:
    """Write one content after the other, and open it."""
    wrong, tried = [], 0
    for number, (change, content) in enumerate(contents):
        if number % every:
            continue
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        tried += 1
        if (fault := fault_of(opening, file)) is not None:
            wrong.append(f"{change} -> {fault}")
    assert tried > 1
    assert wrong == []


@pytest.mark.parametrize("form", FORMS)
def test_some_changed_values_are_used_or_refused(form, folder):
    good, opening = FORMS[form]
    expect_words(folder / "file.json", opening, changed(good), 2 * EVERY)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_all_changed_values_are_used_or_refused(form, folder):
    good, opening = FORMS[form]
    expect_words(folder / "file.json", opening, changed(good), 1)


@pytest.mark.slow
def test_all_changed_params_are_used_or_refused(root, tmp_path):
    good = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    few = [value for value in IMPOSSIBLE if value is not False and value != "\ud800"]
    contents = (
        (f"{path}: {value!r:.40}", yaml.safe_dump(exchanged(good, path, value)).encode())
        for path in places(good)
        for value in few
    )
    expect_words(tmp_path / "params.yaml", validate, contents, 7)


CELLS = ("", "nan", "inf", "1e999", "9" * 500, "\x00", "../..", "/dev/zero", "a" * 300, "é" * 200,
         '"', "x" * 200_000, "\N{ARABIC-INDIC DIGIT THREE}")  # fmt: skip


@pytest.mark.parametrize(
    ("header", "row", "opening"),
    [
        ("image,object,x0,y0,x1,y1,x,y,label,mask", "a.png,1,1,2,9,9,3,3,1,mask.png", prompted),
        ("image,mask,split,group", "a.png,mask.png,train,one", lambda file: from_csv(file)),
        ("file,sha256,reason", "a.png,00,blurred", read_quarantine),
    ],
)
def test_changed_cells_of_tables_are_used_or_refused(header, row, opening, folder):
    def contents() -> Iterator[tuple[str, bytes]]:
        for line in (0, 1):
            for place in range(header.count(",") + 1):
                for value in CELLS:
                    rows = [header.split(","), row.split(",")]
                    rows[line][place] = value
                    text = "\n".join(",".join(cells) for cells in rows)
                    yield f"line {line}, {place}: {value:.20}", f"{text}\n".encode()

    expect_words(folder / "file.csv", opening, contents(), 1)


# The larger one shows memory and time; what grows with the square is seen in the smaller, too.
@pytest.mark.long
@pytest.mark.parametrize("rows", [40_000, pytest.param(200_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("header", "row", "opening"),
    [
        ("image,mask", "a.png,mask.png", from_csv),
        ("image,mask", "im/{0}.png,gt/{0}.png", from_csv),
        ("file,sha256,reason", "{0}.png,00,blurred", read_quarantine),
    ],
    ids=["one image", "missing files", "quarantine"],
)
def test_a_table_of_many_rows_is_read_soon(header, row, opening, rows, folder):
    file = folder / "file.csv"
    lines = "\n".join(row.format(number) for number in range(rows))
    file.write_text(f"{header}\n{lines}\n", encoding="utf-8")
    assert try_all([file, folder / "none.csv"], opening) == []


def test_of_a_thousand_faults_on_all_are_counted_and_not_kept(folder):
    file = folder / "missing.csv"
    rows = "\n".join(f"im/{number}.png,mask.png" for number in range(1500))
    file.write_text(f"image,mask\n{rows}\n", encoding="utf-8")
    source = from_csv(file)
    assert (len(source.faults), source.more_faults) == (1000, 500)
    assert "row 2: image" in source.faults[0]


def row_of(schema: pa.Schema) -> dict[str, Any]:
    kinds = {"string": "val", "bool": True, "double": 0.5, "float": 0.5}
    return {field.name: kinds.get(str(field.type), 1) for field in schema}


@pytest.mark.parametrize(("schema", "read"), [(SCORES, read_scores), (MANIFEST, read_manifest)])
def test_an_empty_cell_is_refused_where_a_table_must_have_none(schema, read, tmp_path):
    path, wrong = tmp_path / "t.parquet", []
    for field in schema:
        row = {**row_of(schema), field.name: None}
        arrays = [pa.array([row[each.name]], type=each.type) for each in schema]
        pq.write_table(pa.Table.from_arrays(arrays, names=schema.names), path)
        if fault_of(read, path) is not None or not (field.nullable or is_refused(read, path)):
            wrong.append(field.name)
    assert wrong == []


def is_refused(opening: Callable[[Path], object], file: Path) -> bool:
    try:
        opening(file)
    except PasamError:
        return True
    return False


def flipped(good: bytes, places: range) -> Iterator[tuple[str, bytes]]:
    for place in places:
        content = bytearray(good)
        content[place] ^= 1 << place % 8
        yield f"byte {place}", bytes(content)


def test_a_flipped_bit_in_the_pages_of_a_table_is_noticed(tmp_path):
    path, count = tmp_path / "t.parquet", 2000
    schema = pa.schema([pa.field("id", pa.string()), pa.field("value", pa.float64())])
    values = np.random.default_rng(0).random(count)
    rows = [{"id": f"{place}", "value": value} for place, value in enumerate(values)]
    write_table(path, rows, schema)
    good = path.read_bytes()
    data = pq.ParquetFile(path).metadata.row_group(0).column(1)
    first, last = data.dictionary_page_offset, data.data_page_offset
    missed = 0
    for _, content in flipped(good, range(first + 60, last, 99)):
        path.write_bytes(content)
        missed += not is_refused(lambda file: read_table(file, schema), path)
    assert missed == 0
