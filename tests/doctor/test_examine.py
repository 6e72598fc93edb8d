"""Everything is looked at, and nothing is changed."""

from pathlib import Path

import pytest

from pasam.cli import doctor as machine
from pasam.cli.doctor import Diagnosis, examine
from pasam.cli.requirements import Check
from pasam.errors import ParamsError


@pytest.fixture
def look(project, places, root, monkeypatch):
    monkeypatch.setattr(machine, "gpu_memories", list)

    def run(size):
        return examine(
            Path("params") / f"{size}.yaml",
            root=Path(),
            places=places,
            embeddings=Path("data/embeddings"),
            lock=root / "requirements.lock",
        )

    return run


def test_the_default_lacks_nothing_but_what_dvc_init_makes(look, project):
    assert look("default").remedies == ("dvc init (with --no-scm outside git)",)
    (project / ".dvc").mkdir()
    assert look("default").is_ready
    assert look("smoke").is_ready


def test_the_paper_lacks_weights_sets_and_gpus(look):
    diagnosis = look("paper")
    assert not diagnosis.is_ready
    assert "pasam data fetch sam_vit_l" in diagnosis.remedies
    assert diagnosis.remedies.count("pasam data fetch hqseg44k") == 1
    assert {check.name for check in diagnosis.checks if check.state == "missing"} >= {
        "GPU",
        "base",
        "public sets",
    }


def test_room_is_needed_only_for_what_is_still_to_come(look, project):
    def needed():
        (found,) = [check.found for check in look("default").checks if check.name == "disk"]
        return found

    assert "embeddings" in needed()
    (project / "data/embeddings").mkdir()
    assert needed().startswith("0 MB needed (all is there)")


def test_nothing_is_written(look, project):
    before = sorted(project.rglob("*"))
    look("paper")
    assert sorted(project.rglob("*")) == before


def test_a_params_file_that_is_wrong_is_an_error(look, project):
    (project / "params/default.yaml").write_text("data: {}\n")
    with pytest.raises(ParamsError):
        look("default")


def test_a_note_keeps_nobody_from_running():
    checks = (Check(name="a", state="note", found="", remedy="later"),)
    diagnosis = Diagnosis(params_file="p", checks=checks)
    assert (diagnosis.is_ready, diagnosis.remedies) == (True, ())
