"""How many files a piece of work walks through: traced while it runs, and as docs say it.

A walk counts the files of the rooms that it is about, and their doors: the files of other rooms
that those call. What a door calls further down is the business of its own room. The literal trace,
every file whose functions run, is longer; both are held. The ground (errors, files, workers,
config) counts in neither.
"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from small_world import WALKED
from typer.testing import CliRunner
from walks import Walk, traced


@pytest.fixture(scope="module")
def documented(root):
    """Files of each walk as docs/architecture.md lists them, by its heading."""
    text = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    return {
        part.partition("\n")[0]: re.findall(r"^\d+\. `([^`]+)`", part, re.MULTILINE)
        for part in parts
    }


def check(walk, listed, homes, *, shown, counted, literal):
    assert 0 < len(listed) <= shown
    ran = walk.files()
    assert [name for name in listed if name not in ran] == []
    assert listed == sorted(listed, key=ran.index), "docs list them in another order"
    assert (len(walk.of(*homes)) <= counted, len(ran) <= literal) == (True, True), (
        f"{len(walk.of(*homes))} files with their doors, {len(ran)} in all: {ran}"
    )


def test_an_image_reaches_the_report(world, documented):
    together = Walk()
    for stage in WALKED:
        for name, callers in world.walks[stage].steps.items():
            together.steps.setdefault(name, set()).update(callers)
    listed = documented["An image to the report"]
    check(together, listed, ("pipelines/",), shown=25, counted=33, literal=76)


def test_a_parameter_reaches_its_use(world, documented):
    walk = world.walks["train@pa_sam"]
    listed = documented["`models.pa_sam.mining.points` to its use"]
    assert listed[-1] == "pasam/models/prompt_adapter.py"
    assert len(listed) <= 6
    for caller, called in pairwise(listed):
        assert caller in walk.steps[called], f"{caller} does not call {called}"


def test_the_page_is_written(world, documented):
    listed = documented["`make reproduce` to `reports/index.html`"]
    walk = world.walks["report"]
    check(walk, listed, ("pipelines/",), shown=12, counted=12, literal=30)


@pytest.mark.long
def test_a_version_is_promoted(tracked, documented):
    from pasam.cli.app import app

    with traced() as walk:
        CliRunner().invoke(app, ["registry", "promote"])
    listed = documented["`pasam registry promote`"]
    check(walk, listed, ("pasam/cli/", "pasam/registry/"), shown=12, counted=31, literal=48)


def test_a_request_is_answered(tmp_path, documented):
    from fastapi.testclient import TestClient
    from serving_world import BOX, Shelf, encoded_picture, form

    from pasam.serving.service import Settings
    from pasam.serving.web_app import create_app

    app = create_app(Shelf(tmp_path, "pa_sam").offered(), Settings())
    with traced() as walk, TestClient(app, base_url="http://localhost") as client:
        walk.steps.clear()  # starting is no part of the answer; its threads had to be traced
        files = {"image": encoded_picture()}
        answer = client.post("/predict", files=files, data=form({"box": BOX}))
        assert answer.status_code == 200
        models = [name for name in walk.steps if name.startswith("pasam/models/")]
        for name in models:
            del walk.steps[name]
    assert models
    check(
        walk,
        documented["An HTTP `/predict`"],
        ("pasam/serving/",),
        shown=10,
        counted=10,
        literal=12,
    )
