"""The commands `pasam serve` and `pasam demo`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inference_models import make_predictor
from typer.testing import CliRunner

from pasam.cli import serve
from pasam.cli.app import app
from pasam.cli.serve import offered_models
from pasam.errors import TrackingError
from pasam.inference import model_files
from pasam.serving.limits import MEGA, Limits
from pasam.serving.service import Settings


@pytest.fixture
def pasam(model_project):
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def served(monkeypatch):
    """What would be served, and how."""
    import pasam.serving.server

    seen = {}

    def run_server(app, taken, *, log_level, when_ready):
        seen.update(service=app.state.service, host=taken.getsockname()[0], level=log_level)
        when_ready()

    monkeypatch.setattr(pasam.serving.server, "run_server", run_server)
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
    assert served["level"] == "warning"
    assert pasam("demo", "--model", "sam", "--no-browser").exit_code == 0
    assert served["level"] == "info"
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


@pytest.fixture
def started(monkeypatch):
    """How the models would be loaded and the service started; nothing is."""
    seen = {}
    monkeypatch.setattr(
        serve, "offered_models", lambda *given: seen.update(loaded=given[:5]) or "the models"
    )
    monkeypatch.setattr(serve, "_run", lambda *given, **how: seen.update(run=given, how=how))
    return seen


def test_every_option_of_serve_has_its_effect(in_empty_folder, started):
    (in_empty_folder / "token").write_text("0123456789abcdef\n")
    (in_empty_folder / "token").chmod(0o600)
    words = (
        "serve --model a --model b --host 0.0.0.0 --port 81 --token-file token --name n --name m "
        "--max-upload-mb 2 --max-megapixels 3 --max-prompts 4 --max-waiting 5 --max-cache-mb 6 "
        "--scores s.json --feedback kept --json --device cuda:1 --base b.pth --adapters trained "
        "--params-file p.yaml"
    )
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    paths = map(Path, ("b.pth", "trained", "p.yaml"))
    assert started["loaded"] == (["a", "b"], "cuda:1", *paths)
    limits = Limits(
        upload_bytes=2 * MEGA, pixels=3 * MEGA, prompts=4, waiting_prompts=5, cache_bytes=6 * MEGA
    )
    settings = Settings(
        limits=limits, token="0123456789abcdef", loopback_only=False, names=("n", "m"),
        scores=Path("s.json"), feedback=Path("kept"),
    )  # fmt: skip
    assert started["run"] == ("the models", settings)
    assert started["how"] == {"host": "0.0.0.0", "port": 81, "browser": False, "as_json": True}


def test_what_is_left_out_is_loopback_all_models_and_no_corrections(in_empty_folder, started):
    usual = (None, "auto", None, Path("data/adapters"), Path("params.yaml"))
    for command, port, browser in (("serve", 8000, False), ("demo", 0, True)):
        assert CliRunner().invoke(app, [command]).exit_code == 0
        assert started["loaded"] == usual
        assert started["run"] == ("the models", Settings(scores=Path("reports/scores.json")))
        how = {"host": "127.0.0.1", "port": port, "browser": browser, "as_json": False}
        assert started["how"] == how
    words = "demo --no-browser --port 82 --model a --json --device cpu --base b --adapters t"
    assert CliRunner().invoke(app, words.split()).exit_code == 0
    assert started["loaded"] == (["a"], "cpu", Path("b"), Path("t"), Path("params.yaml"))
    assert started["how"] == {
        "host": "127.0.0.1", "port": 82, "browser": False, "as_json": True
    }  # fmt: skip


def test_models_are_found_and_opened_as_was_asked(model_project, tmp_path, monkeypatch):
    asked, find, model = [], model_files.find_model, make_predictor("sam")
    monkeypatch.setattr(
        model_files,
        "find_model",
        lambda name, **how: asked.append((name, how)) or find(name, **how),
    )
    monkeypatch.setattr(model_files, "open_model", lambda files, **how: asked.append(how) or model)
    adapters, params = model_project / "data" / "adapters", model_project / "params.yaml"
    base = model_project / "base.safetensors"
    versions = tmp_path / "versions"
    pool = offered_models(None, "cuda:1", base, adapters, params, versions)
    assert [each.name for each in pool.all()] == ["pa_sam", "hq_sam", "sam"]  # nothing packaged
    how = {"params_file": params, "adapters": adapters, "base": base}
    for name in ("pa_sam", "hq_sam", "sam"):
        (given,) = (each[1] for each in asked if isinstance(each, tuple) and each[0] == name)
        assert how.items() <= given.items()
        assert given["resolve"].folder == versions
    assert [each for each in asked if isinstance(each, dict)] == [{"device": "cuda:1"}] * 3


def test_only_a_start_takes_the_last_good_version_for_one_that_cannot_be_asked_for(
    tmp_path, monkeypatch
):
    seen, kept = [], {"champion": "kept"}

    class Pool:
        def __init__(self, names, *, find, open_files, last_good):
            self.names, self.find, self.models = names, find, []
            assert last_good.get("champion") == "kept"

        def refresh(self):
            seen.append("refreshed")

        def all(self):
            return self.models

    def away(self, name):
        raise TrackingError("MLflow does not answer.")

    def available(params_file, adapters, known, *, packaged):
        return [params_file, adapters, packaged, known("champion")]

    monkeypatch.setattr("pasam.serving.service.ModelPool", Pool)
    monkeypatch.setattr("pasam.serving.service.available", available)
    monkeypatch.setattr("pasam.serving.registered_versions.RegisteredVersions.__call__", away)
    monkeypatch.setattr("pasam.serving.last_good.LastGood.get", lambda self, name: kept.get(name))
    monkeypatch.setattr(
        "pasam.inference.model_files.find_model", lambda name, **how: seen.append((name, how))
    )
    places = tmp_path / "adapters", tmp_path / "params.yaml", tmp_path / "versions"
    pool = offered_models(None, "cpu", None, *places)
    assert pool.names() == [places[1], places[0], True, "kept"]
    pool.find("sam")
    *_, (name, how) = seen
    assert (name, how.pop("resolve").folder) == ("sam", places[2])
    assert how == {"params_file": places[1], "adapters": places[0], "base": None}
    pool.models = ["one that answers"]
    with pytest.raises(TrackingError):
        pool.names()
    pool.models = []
    kept.clear()
    with pytest.raises(TrackingError):
        pool.names()
    base = tmp_path / "base.pth"
    base.touch()
    monkeypatch.setattr("pasam.serving.last_good.LastGood.get", lambda self, name: "kept")
    assert offered_models(["sam"], "cpu", base, *places).names() == ["sam"]
    assert offered_models(None, "cpu", base, *places).names()[2] is False
    assert seen.count("refreshed") == 3
