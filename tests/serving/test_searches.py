"""A search that is watched: told, and stopped when nobody waits."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from inference_models import objects
from serving_world import encoded_picture

from pasam.errors import RefusedError
from pasam.serving import image_jobs as searches
from pasam.serving.image_jobs import SearchWatch, told_by_line, waited_for

QUICK = {"points_per_side": 3, "pred_iou_thresh": 0, "stability_score_thresh": 0.01}


@pytest.fixture(autouse=True)
def short_looks(monkeypatch):
    monkeypatch.setattr(searches, "LOOK", 0.01)


def test_progress_is_told_line_by_line_and_the_last_line_is_the_answer(client):
    files = {"image": encoded_picture(objects(60, 90))}
    plain = client.post("/everything", data=QUICK, files=files).json()
    told = client.post("/everything", data=QUICK | {"progress": True}, files=files)
    assert told.headers["content-type"].startswith("application/x-ndjson")
    *shares, last = [json.loads(line) for line in told.text.splitlines()]
    assert all(0 <= each["progress"] <= 1 for each in shares)
    assert last["masks"] == plain["masks"]


def test_a_search_ends_when_whoever_asked_has_gone():
    watch, seen = SearchWatch(), threading.Event()

    async def visit():
        answer = asyncio.get_running_loop().create_future()
        with pytest.raises(RefusedError, match="nobody waits"):
            await waited_for(answer, watch, gone)
        return answer

    async def gone():
        watch.tell(0.5)
        seen.set()
        return True

    assert asyncio.run(visit()).cancelled()
    assert seen.is_set()
    with pytest.raises(RefusedError, match="nobody waits"):
        watch.tell(0.6)


def test_a_reader_who_leaves_in_the_middle_ends_the_search():
    watch = SearchWatch()

    async def visit():
        answer = asyncio.get_running_loop().create_future()
        lines = told_by_line(answer, watch, json.dumps)
        first = await anext(lines)
        await lines.aclose()
        return first, answer

    first, answer = asyncio.run(visit())
    assert json.loads(first) == {"progress": 0.0}
    assert answer.cancelled()
    with pytest.raises(RefusedError):
        watch.tell(1.0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [(RefusedError("too much", status=429), "too much"), (ValueError("?"), "its log says why")],
)
def test_what_goes_wrong_is_the_last_line(fault, said):
    async def visit():
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(fault)
        return [json.loads(line) async for line in told_by_line(answer, SearchWatch(), json.dumps)]

    (last,) = asyncio.run(visit())
    assert said in last["error"]
