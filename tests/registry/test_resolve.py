"""A version of the registry, opened by its alias or number."""

from __future__ import annotations

import json

import numpy as np
import pytest
from inference_models import picture
from small_world import small_base

from pasam.cli.model_option import named_model
from pasam.errors import RegistryError
from pasam.inference.model_files import find_model, open_model
from pasam.registry.load import registered_files
from pasam.registry.versions import open_registry


@pytest.fixture
def champion(promoted_once, monkeypatch):
    """The current folder: a project whose version 1 is champion."""
    monkeypatch.chdir(promoted_once.folder)
    monkeypatch.setattr("pasam.models.build.build_base", small_base)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    return promoted_once.folder


@pytest.mark.parametrize("name", ["champion", "1"])
def test_a_version_opens_by_alias_or_number_and_is_the_model_that_was_registered(name, champion):
    opened = named_model(name)
    assert opened.name.endswith("(version 1)")
    kind = opened.name.partition(" ")[0]
    trained = open_model(find_model(str(champion / "data" / "adapters" / f"{kind}.safetensors")))
    masks = []
    for predictor in (opened, trained):
        predictor.set_image(picture(60, 90))
        masks.append(predictor.predict(box=[12, 8, 70, 50], return_logits=True)[0])
    assert np.array_equal(*masks)


def test_other_names_are_not_the_registrys(champion, tmp_path):
    assert registered_files("pa-sam", project=champion, folder=tmp_path) is None


def test_a_version_that_is_not_there_is_said(champion, tmp_path):
    with pytest.raises(RegistryError, match="there is no version '9'"):
        registered_files("9", project=champion, folder=tmp_path)


def test_a_run_opens_as_the_version_that_was_registered_from_it(champion):
    run = open_registry(champion).version("champion").run_id
    assert named_model(f"runs:/{run}").name.endswith("(version 1)")


def test_a_version_brings_the_scores_that_it_was_judged_by(champion, tmp_path):
    files = registered_files("champion", project=champion, folder=tmp_path)
    tag = open_registry(champion).version("champion").tags["scores.mbiou"]
    assert {name: each["mbiou"] for name, each in files.scores.items()} == json.loads(tag)
    assert "mean" in files.scores
