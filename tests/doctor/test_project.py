"""Git and DVC are looked at without changing anything."""

import shutil
import subprocess

import pytest

from pasam.cli.doctor import check_dvc, check_git


@pytest.fixture
def checkout(tmp_path):
    """A git checkout with one commit."""

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, timeout=30)

    git("init", "--quiet")
    (tmp_path / "file").touch()
    git("add", "file")
    git("commit", "--quiet", "--message", "first")
    return tmp_path


def test_a_clean_checkout_is_fine(checkout):
    assert check_git(checkout).found.endswith("everything committed")


def test_changes_are_counted(checkout):
    (checkout / "file").write_text("changed")
    (checkout / "new").touch()
    check = check_git(checkout)
    assert check.state == "note"
    assert check.found.endswith("2 files changed or new")


def test_results_of_another_processor_are_told_from_changes(checkout, monkeypatch):
    (checkout / "file").write_text("changed")
    note = "only dvc.lock differs from the commit. To keep it, commit it."
    monkeypatch.setattr("pasam.registry.snapshot.results_note", lambda root: note)
    check = check_git(checkout)
    assert check.state == "note"
    assert check.found.endswith(", only dvc.lock differs from the commit")
    assert check.remedy == "To keep it, commit it."


def test_no_checkout_is_a_note(tmp_path):
    assert check_git(tmp_path).state == "note"


def test_dvc_needs_its_folder(tmp_path):
    assert [check.remedy[:8] for check in check_dvc(tmp_path)] == ["dvc init"]


def test_dvc_needs_its_command(tmp_path, monkeypatch):
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (check,) = check_dvc(tmp_path)
    assert (check.state, "PATH" in check.found) == ("missing", True)


def test_remotes_are_named_wherever_they_are_set(tmp_path):
    (tmp_path / ".dvc").mkdir()
    assert check_dvc(tmp_path)[0].state == "note"
    (tmp_path / ".dvc/config").write_text("['remote \"team\"']\n    url = s3://bucket/%d\n")
    (tmp_path / ".dvc/config.local").write_text("['remote \"mine\"']\n    url = /disk\n")
    assert check_dvc(tmp_path)[0].found == "ready, remotes: team, mine"


def test_damaged_settings_name_no_remote(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("no section\n")
    assert check_dvc(tmp_path)[0].state == "note"
