"""Diagnostics stand beside the masks that they belong to."""

import numpy as np
import pandas as pd
import pytest
import torch

from pasam.errors import DataError
from pasam.evaluation.diagnostics import KEYS, MEASURES, diagnose
from pasam.training.embeddings import Store


def score(name, model="pa_sam"):
    return {"model": model, "seed": 1, "benchmark": "b", "image_id": name, "prompt": "box", "x": 0}


@pytest.fixture
def store():
    """Two labels: `b` is all object, `a` is empty."""
    labels = np.stack([np.full((8, 8), 255, np.uint8), np.zeros((8, 8), np.uint8)])
    empty = np.zeros(0, np.float16)
    index = pd.DataFrame({"id": ["b", "a"], "view": 0, "row": [0, 1]})
    return Store(empty, empty, empty, labels, index, origin={})


def seen(value, maps=False):
    flat = torch.full((4, 4), 5.0)
    every = dict.fromkeys(("coarse", "refined", "uncertainty", "final"), flat)
    return {"dense_change": value, "predicted_iou": 0.5, "maps": every if maps else None}


def test_a_row_has_its_masks_keys_and_what_was_seen_of_it(store):
    rows = diagnose([score("a"), score("b")], [seen(1.0), seen(2.0)], store, grid=4)
    assert [(row["image_id"], row["dense_change"]) for row in rows] == [("a", 1.0), ("b", 2.0)]
    assert all(set(row) <= {*KEYS, *MEASURES} for row in rows)


def test_maps_are_judged_by_the_label_of_their_own_mask(store):
    rows = diagnose([score("a"), score("b")], [seen(1.0, True), seen(2.0, True)], store, grid=4)
    assert [row["coarse_iou"] for row in rows] == [0.0, 1.0]


def test_another_number_of_predictions_is_refused(store):
    with pytest.raises(DataError, match="1 predictions were watched, but 2 scored"):
        diagnose([score("a"), score("b")], [seen(1.0)], store, grid=4)
