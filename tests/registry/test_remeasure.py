"""A model measured again on the same images gives the scores that the stage gave."""

from __future__ import annotations

import pandas as pd
import pytest

from pasam.registry.candidate import find_candidate
from pasam.registry.evidence import remeasure
from pasam.registry.model_files import predictor_of


@pytest.mark.parametrize("embeddings", ["data/embeddings/val", None])
def test_measuring_again_gives_the_stages_scores(embeddings, promoted, champion_folder):
    found = remeasure(
        predictor_of(champion_folder),
        project=promoted.folder,
        manifest=promoted.path("data/manifest.parquet"),
        embeddings=None if embeddings is None else promoted.path(embeddings),
    )
    wanted = find_candidate(promoted.folder, "pa_sam").scores
    order = ["benchmark", "image_id"]
    both = [f.sort_values(order, ignore_index=True)["boundary_iou"] for f in (found, wanted)]
    pd.testing.assert_series_equal(*both)
