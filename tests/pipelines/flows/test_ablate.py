"""Flow `ablate`: another size for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasam.errors import DataError, ParamsError
from pipelines.flows import ablate as flow
from pipelines.flows.ablate import ablate, keep_report, size_in_place

OWN = "repeats: {models: []}  # my own\n"
GRAPH = "stages: {train: {cmd: make}, repeat: {foreach: '${repeats.models}', do: {cmd: make}}}\n"


@pytest.fixture
def project(root, in_empty_folder):
    """A current folder with the repository's sizes."""
    Path("params").mkdir()
    for path in (root / "params").glob("*.yaml"):
        (Path("params") / path.name).write_bytes(path.read_bytes())
    Path("params.yaml").write_text(OWN)
    Path("dvc.yaml").write_text(GRAPH)
    Path("dvc.lock").write_text(lock_of("train"))
    return in_empty_folder


def lock_of(*stages):
    """A lock in which every stage makes a file of its name."""
    entry = "  {0}:\n    cmd: make\n    outs:\n    - path: {0}.parquet\n      md5: '1'\n"
    return "schema: '2.0'\nstages:\n" + "".join(entry.format(name) for name in stages)


def smoke():
    return Path("params/smoke.yaml").read_text()


def test_the_present_params_come_back_whatever_happens(project):
    def interrupted():
        with size_in_place("smoke"):
            assert Path("params.yaml").read_text() == smoke()
            raise KeyboardInterrupt

    pytest.raises(KeyboardInterrupt, interrupted)
    assert Path("params.yaml").read_text() == OWN
    left = {"dvc.lock", "dvc.yaml", "params", "params.yaml"}
    assert {path.name for path in project.iterdir()} == left


def test_what_only_the_study_has_made_is_gone_after_it(project):
    Path("train.parquet").touch()
    with size_in_place("smoke"):
        Path("dvc.lock").write_text(lock_of("train", "repeat@pa_sam"))
        Path("repeat@pa_sam.parquet").touch()
    assert Path("dvc.lock").read_text() == lock_of("train")
    assert Path("train.parquet").exists()
    assert not Path("repeat@pa_sam.parquet").exists()


def test_without_a_run_to_come_back_to_nothing_changes(project):
    Path("dvc.lock").unlink()
    with pytest.raises(DataError, match="nothing has run yet"), size_in_place("smoke"):
        pass
    assert Path("params.yaml").read_text() == OWN


def test_an_unknown_size_changes_nothing(project):
    with pytest.raises(ParamsError, match="there is no size 'huge'"), size_in_place("huge"):
        pass
    assert Path("params.yaml").read_text() == OWN


def test_the_study_is_reproduced_kept_and_left_again(project, monkeypatch):
    done = []

    def note(step):
        return lambda *args, **kwargs: done.append((step, Path("params.yaml").read_text()))

    monkeypatch.setattr(flow, "reproduce", note("reproduce"))
    monkeypatch.setattr(flow, "keep_report", note("keep"))
    monkeypatch.setattr(flow, "repro", note("repro"))
    assert ablate(size="smoke").name == "studied"
    assert done[:2] == [("reproduce", smoke()), ("keep", smoke())]
    assert set(done[2:]) == {("repro", OWN)}


def test_the_kept_report_is_this_studys_alone_and_has_its_folders(project, monkeypatch):
    Path("out/plots").mkdir(parents=True)
    Path("out/table.md").touch()
    Path("out/plots/a.csv").touch()
    made = {"report": [Path("out/table.md"), Path("out/plots")]}
    monkeypatch.setattr(flow, "outputs", made.__getitem__)
    stale = Path(".flows/results/smoke/out/old.md")
    stale.parent.mkdir(parents=True)
    stale.touch()
    folder = keep_report("smoke")
    kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert kept == ["out/plots/a.csv", "out/table.md"]
