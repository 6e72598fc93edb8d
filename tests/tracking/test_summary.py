"""What a person meets first: a reproduction's own metrics and table, and the command of a run."""

from __future__ import annotations

import pytest
from tracked_world import write_lock

from pasam.registry.runs import headline, note, source_tags, sync
from pasam.registry.snapshot import read_lock
from pasam.registry.store import NOTE, open_store


@pytest.fixture
def lock(tracked):
    return read_lock(tracked.folder)


def test_a_reproduction_carries_the_reports_metrics_and_its_table(tracked):
    synced = sync(tracked.folder)
    client = open_store(tracked.folder).client
    parent = client.get_run(synced.parent)
    assert parent.data.metrics == client.get_run(synced.runs["report"]).data.metrics
    assert "pa_sam/mean/mbiou" in parent.data.metrics
    assert parent.data.tags[NOTE] == tracked.path("reports/table1.md").read_text()


def test_a_table_that_is_too_long_for_mlflow_ends_with_a_whole_paragraph(tracked):
    path = tracked.path("reports/table1.md")
    path.write_text("\n\n".join(f"{number} " + 990 * "x" for number in range(10)))
    write_lock(tracked)
    text = note(tracked.folder, read_lock(tracked.folder))
    assert len(text) < 8000
    assert text.split("\n\n")[-1] == "7 " + 990 * "x"


def test_files_of_another_lock_sum_up_nothing(tracked, lock):
    tracked.path("reports/table1.md").write_text("# Another table")
    assert headline(tracked.folder, lock) == []
    assert note(tracked.folder, lock) is None


def test_a_runs_source_is_the_command_that_makes_it_and_its_commit(tracked):
    synced = sync(tracked.folder)
    tags = open_store(tracked.folder).client.get_run(synced.runs["train@pa_sam"]).data.tags
    assert tags["mlflow.source.name"] == "dvc repro train@pa_sam"
    assert tags["mlflow.source.git.commit"] == tags["git.commit"]
    assert source_tags()["mlflow.source.name"] == "dvc repro"
