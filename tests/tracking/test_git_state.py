"""Dirty, committed, pushed: each is told apart."""

from __future__ import annotations

from tracked_world import commit, git

from pasam.registry.snapshot import committed_file, git_state, remote_address


def test_a_tree_is_dirty_then_committed_then_pushed(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("one")
    head = commit(project, push=False)
    assert git_state(project).commit == head
    assert (git_state(project).dirty, git_state(project).pushed) == (False, False)
    commit(project)
    assert git_state(project).pushed
    (project / "b.txt").write_text("new")
    assert git_state(project).dirty


def test_ignored_files_do_not_make_a_tree_dirty(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    commit(project)
    (project / "mlruns").mkdir()
    (project / "mlruns" / "x").write_text("x")
    assert not git_state(project).dirty


def test_outside_a_repository_everything_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    state = git_state(tmp_path)
    assert (state.commit, state.dirty, state.pushed) == ("", True, False)
    assert remote_address(tmp_path) is None


def test_a_file_is_read_as_of_a_commit(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "dvc.lock").write_text("old")
    head = commit(project)
    (project / "dvc.lock").write_text("new")
    assert committed_file(project, head, "dvc.lock") == b"old"
    assert committed_file(project, head, "none") is None
    assert committed_file(project, "0" * 40, "dvc.lock") is None
    assert remote_address(project) == git(project, "remote", "get-url", "origin").strip()
