"""The commands `pasam serve` and `pasam demo`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.serve import offered_models
from pasam.inference import model_files


@pytest.fixture
def pasam(model_project):
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def served(monkeypatch):
    """What would be served, and how."""
    import pasam.serving.web_app

    seen = {}

    def run_server(app, taken, *, log_level, when_ready):
        seen.update(service=app.state.service, host=taken.getsockname()[0])
        when_ready()

    monkeypatch.setattr(pasam.serving.web_app, "run_server", run_server)
    return seen


def test_serve_listens_on_loopback_with_all_models_and_the_limits_given(
    pasam, served, tmp_path, monkeypatch
):
    monkeypatch.setattr(model_files, "PACKAGED", tmp_path / "packaged")  # nothing comes with it
    result = pasam("serve", "--port", 0, "--max-megapixels", 3, "--max-cache-mb", 7)
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("Model: pa_sam ("))
    assert line.endswith("trained on synthetic images only")
    assert "Page: http://127.0.0.1:" in result.stdout
    service = served["service"]
    assert [each.name for each in service.models.all()] == ["pa_sam", "hq_sam", "sam"]
    assert service.settings.limits.pixels == 3_000_000
    assert service.cache.most_bytes == 7_000_000
    assert (served["host"], service.settings.loopback_only) == ("127.0.0.1", True)


@pytest.mark.parametrize("command", [("serve", "--port", 0), ("demo", "--no-browser")])
def test_a_program_that_starts_it_reads_address_and_models_in_one_line(command, pasam, served):
    line = pasam(*command, "--model", "sam", "--json").stdout
    found = json.loads(line)
    assert line.count("\n") == 1
    assert found["address"].startswith("http://127.0.0.1:")
    assert [model["name"] for model in found["models"]] == ["sam"]


def test_serve_to_others_wants_a_token(pasam, served, tmp_path):
    result = pasam("serve", "--host", "0.0.0.0", "--port", 0, "--model", "sam")
    assert result.exit_code == 2
    assert "whoever reaches 0.0.0.0 could use this service" in result.stderr
    assert served == {}
    (tmp_path / "token").write_text("0123456789abcdef\n")
    (tmp_path / "token").chmod(0o600)
    token = ("--token-file", tmp_path / "token")
    result = pasam("serve", "--host", "0.0.0.0", "--port", 0, "--model", "sam", *token)
    assert result.stderr == ""
    assert served["service"].settings.token == "0123456789abcdef"
    assert not served["service"].settings.loopback_only


def test_the_names_of_a_service_are_given(pasam, served):
    pasam("serve", "--port", 0, "--model", "sam", "--name", "a.example", "--name", "b.example")
    assert served["service"].settings.names == ("a.example", "b.example")


def test_demo_opens_the_page_unless_told_not_to(pasam, served, monkeypatch):
    import typer

    opened = []
    monkeypatch.setattr(typer, "launch", opened.append)
    assert pasam("demo", "--model", "sam").exit_code == 0
    assert pasam("demo", "--model", "sam", "--no-browser").exit_code == 0
    assert len(opened) == 1
    assert opened[0].startswith("http://127.0.0.1:")


def test_a_model_that_is_not_there_stops_before_anything_listens(pasam, served):
    result = pasam("serve", "--model", "best")
    assert result.exit_code == 2
    assert "there is no model 'best'" in result.stderr
    assert served == {}


def test_an_adapter_that_is_trained_later_is_offered_later(model_project, tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "PACKAGED", tmp_path / "packaged")  # nothing comes with it
    adapters = model_project / "data" / "adapters"
    offered = offered_models(
        None, "cpu", None, tmp_path, model_project / "params.yaml", tmp_path / "versions"
    )
    assert [each.name for each in offered.all()] == ["sam"]
    (tmp_path / "pa_sam.safetensors").write_bytes((adapters / "pa_sam.safetensors").read_bytes())
    offered.refresh()
    assert [each.name for each in offered.all()] == ["pa_sam", "sam"]
