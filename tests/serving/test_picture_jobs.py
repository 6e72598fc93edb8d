"""The slow work on whole pictures."""

from __future__ import annotations

import io

import pytest
from inference_models import objects
from serving_world import encoded_picture

from pasam.errors import RefusedError
from pasam.inference.automatic_masks import Everything, segment_everything
from pasam.serving.image_jobs import (
    EmbedJob,
    EverythingJob,
    SearchWatch,
    embed_pictures,
    find_everything,
)
from pasam.serving.payloads import Limits


def test_everything_of_an_embedded_picture_is_what_the_library_finds(shelf):
    offered = shelf.offered().get("sam")
    options = Everything(points_per_side=4, pred_iou_thresh=0, stability_score_thresh=0.01)
    image = objects(60, 90)
    (embedded,) = embed_pictures([EmbedJob(io.BytesIO(encoded_picture(image)), offered, Limits())])
    (found,) = find_everything([EverythingJob(embedded, offered, options, "rle", SearchWatch())])
    expected = segment_everything(offered.model, image, options)
    assert expected
    assert [each["segmentation"]["counts"] for each in found] == [
        each["segmentation"]["counts"] for each in expected
    ]


def test_a_picture_above_the_limit_never_reaches_the_encoder(shelf):
    job = EmbedJob(io.BytesIO(encoded_picture()), shelf.offered().get(), Limits(pixels=100))
    with pytest.raises(RefusedError, match="90 x 60"):
        embed_pictures([job])
