"""`dvc plots` of the report's curves: every model in them, and drawn without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import yaml

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def shown(root, tmp_path_factory):
    """The page of `dvc plots show`, in a checkout with a made-up report."""
    from made_up_run import made_up_results

    from pasam.reporting.publish import publish

    folder = tmp_path_factory.mktemp("plots")
    for name in ("dvc.yaml", "params.yaml", ".dvc/config", "pipelines/plots.html"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, folder / name)
    results = made_up_results()
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["evaluate"]["models"] = list(results.histories)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    publish(results, folder / "reports")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc = [sys.executable, "-m", "dvc", "plots", "show"]
    done = subprocess.run([*dvc, "-o", "out"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked = subprocess.run([*dvc, "--json"], cwd=folder, capture_output=True, text=True, check=True)
    return folder / "out" / "index.html", json.loads(asked.stdout)["data"]


@pytest.mark.slow
def test_every_trained_model_is_in_the_curve_of_its_loss(shown):
    (chart,) = shown[1]["Loss by epoch"]
    from made_up_run import made_up_results

    trained = set(made_up_results().histories)
    assert {each["field"] for each in chart["anchor_definitions"]["<DVC_METRIC_DATA>"]} == trained


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_the_charts_are_drawn_without_a_network(shown):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        faults = []
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.on("request", lambda r: r.url.startswith("file:") or faults.append(r.url))
        page.goto(shown[0].as_uri())
        titles = page.locator("h2").all_inner_texts()
        bars = page.locator("svg[role=img] rect").count()
        lines = page.locator("svg[role=img] polyline").count()
        told = page.locator("svg[role=img] rect title").first.text_content()
        browser.close()
    assert faults == []
    assert titles == [
        "Boundary IoU by model and benchmark", "Loss by epoch",
        "Gain in boundary IoU from coarse to fine",
    ]  # fmt: skip
    assert bars >= 8
    assert lines >= 4
    assert "workspace: " in told
