"""The deployments of prefect.yaml: which there are, and how another schedule is asked for."""

from __future__ import annotations

from contextlib import nullcontext

import httpx
import prefect
import pytest
import yaml

from pasam.errors import ParamsError
from pipelines.flows import deployments as serve
from pipelines.flows.deployments import POOL, _schedules, flow_name, main, read_deployments

FLOWS = {"reproduce", "retrain", "nightly", "ablate", "promote"}
POOLS = {POOL, "docker", "kubernetes"}


@pytest.fixture
def every(root):
    return yaml.safe_load((root / "prefect.yaml").read_text())["deployments"]


def test_this_machine_serves_every_flow(root):
    assert {flow_name(entry) for entry in read_deployments(root / "prefect.yaml")} == FLOWS


def test_a_pool_without_deployments_is_an_error(root):
    with pytest.raises(ParamsError, match="no deployment for the work pool 'mars'"):
        read_deployments(root / "prefect.yaml", "mars")


def test_every_deployment_runs_one_at_a_time_and_cancels_the_newer(every):
    for entry in every:
        assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_every_deployment_has_a_pool_a_description_and_a_flow(every):
    names = [(flow_name(entry), entry["name"]) for entry in every]
    assert len(set(names)) == len(names)
    for entry in every:
        assert entry["work_pool"]["name"] in POOLS
        assert entry["description"]
        assert entry["entrypoint"] == f"pipelines/flows/served.py:{flow_name(entry)}"


def test_the_same_flow_runs_in_every_pool(every):
    pools = {entry["work_pool"]["name"] for entry in every if flow_name(entry) == "retrain"}
    assert pools == POOLS


def test_a_clone_brings_and_publishes_what_it_makes(every):
    for entry in every:
        if entry["work_pool"]["name"] != POOL:
            assert entry["parameters"]["pull"] is True
            assert "git_clone" in str(entry["pull"])


def test_another_schedule_is_named_by_its_flow():
    given = ["retrain=*/5 * * * *", "nightly=0 1 * * *"]
    assert _schedules(given, sorted(FLOWS)) == {"retrain": "*/5 * * * *", "nightly": "0 1 * * *"}


@pytest.mark.parametrize("given", ["train=0 1 * * *", "retrain", "retrain="])
def test_a_wrong_schedule_is_an_error(given):
    with pytest.raises(ParamsError, match="is not FLOW=SCHEDULE"):
        _schedules([given], sorted(FLOWS))


def test_a_server_that_is_gone_for_good_is_one_line_and_worth_another_try(monkeypatch, capsys):
    def gone(*_):
        raise httpx.ConnectError("All connection attempts failed")

    monkeypatch.setattr(serve, "terminate_like_ctrl_c", lambda: None)
    monkeypatch.setattr(serve, "prefect_server", lambda port: nullcontext(f"http://here:{port}"))
    monkeypatch.setattr(serve, "read_deployments", list)
    monkeypatch.setattr(prefect, "serve", gone)
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(SystemExit, match="75"):
        main(port=1)
    said = capsys.readouterr().err
    assert said.startswith("error: Prefect's server at http://here:1 does not answer any more")
    assert said.count("\n") == 1
