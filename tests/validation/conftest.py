"""A small project whose data has something of everything to report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from planted_faults import (
    black_mask,
    copy_of_an_image,
    deep_image,
    jpeg_in_the_benchmark,
    lost_mask,
    tiny_mask,
)
from small_set import SmallSet
from small_world import load_yaml

from pasam.config.requirements import ValidateParams
from pasam.data.manifest import inventory_frame
from pasam.data.preparation import collect_own
from pasam.data.quarantine import Quarantine
from pasam.validation.expectations import Tables, make_tables

PLANTED = (lost_mask, black_mask, tiny_mask, copy_of_an_image, jpeg_in_the_benchmark, deep_image)


@dataclasses.dataclass(frozen=True)
class Mixed:
    """The project's inventory, tables and params."""

    folder: Path
    inventory: pd.DataFrame
    tables: Tables
    params: ValidateParams


@pytest.fixture(scope="session")
def validate_params() -> ValidateParams:
    """The default section, for images of 48 x 64 pixels."""
    text = (Path(__file__).resolve().parents[2] / "params.yaml").read_text()
    content = load_yaml(text)["validate"]
    content |= {"area": tuple(content["area"]), "warnings": tuple(content["warnings"])}
    return ValidateParams(**{**content, "side": (32, 256)})


@pytest.fixture(scope="session")
def mixed(tmp_path_factory, validate_params) -> Mixed:
    """One set per planted fault, and a file in quarantine."""
    folder = tmp_path_factory.mktemp("mixed")
    for seed, plant in enumerate(PLANTED):
        small = SmallSet(folder, plant.__name__)
        small.draw(seed)
        plant(small)
    wrong = folder / "train" / "deep_image" / "gt" / "train1.png"
    quarantine = Quarantine().including([(str(wrong), "wrong <object>")])
    inventory = inventory_frame(collect_own(folder, quarantine, workers=1))
    tables = make_tables(inventory, quarantine, {}, {}, validate_params)
    return Mixed(folder, inventory, tables, validate_params)


@pytest.fixture(scope="session")
def results(mixed):
    """What Great Expectations says of the project."""
    from pasam.validation.expectations import judge, suite

    return judge(suite(mixed.params), mixed.tables.by_name)
