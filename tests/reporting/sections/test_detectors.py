"""Tests of the sections of Tables 2 and 3."""

import pandas as pd

from pasam.reporting.sections import (
    box_sentences,
    coco_section,
    open_set_section,
    precision_grids,
)


def precisions():
    rows = [
        {
            "model": model, "seed": 1, "benchmark": benchmark, "set": name, "overlap": overlap,
            "ap": ap, "ap50": ap, "ap75": ap, "ap_small": ap, "ap_medium": ap, "ap_large": ap,
            "images": 4, "objects": 9, "detections": 11,
        }
        for model, ap in (("sam", 0.4), ("pa_sam", 0.5))
        for overlap in ("mask", "boundary")
        for benchmark, name in (("coco_like", "coco_like"), ("wild", "ants"), ("wild", "mean"))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def instances(gain):
    rows = [
        {
            "model": model, "benchmark": "coco_like", "set": "coco_like", "image_id": image,
            "detection": image, "object_id": 1, "boundary_iou": 0.3 + add,
        }
        for model, add in (("sam", 0), ("pa_sam", gain))
        for image in range(8)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_without_results_both_sections_name_the_command(results):
    for section in (coco_section(results), open_set_section(results)):
        assert section.blocks[0].command == "dvc repro instances"
    assert precision_grids(results) == {}


def test_each_kind_of_set_goes_to_its_table(make_results):
    results = make_results(precisions=precisions(), instances=instances(0.2))
    table, sentence = coco_section(results).blocks
    assert "coco_like" in table.grid.caption
    assert sentence.words.startswith("On the same boxes of coco_like: PA-SAM is 20.0 points")
    assert open_set_section(results).blocks[0].grid.head[1] == "ants"
    assert list(precision_grids(results)) == ["table2", "table3"]


def test_the_sentence_follows_the_masks(make_results):
    worse = make_results(precisions=precisions(), instances=instances(-0.1))
    assert "below SAM" in box_sentences(worse, "coco_like")[0]
