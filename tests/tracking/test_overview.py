"""The overview names every stage, its run and its main numbers."""

from __future__ import annotations

from tracked_world import KEPT

from pasam.registry.runs import overview, sync


def test_stages_are_listed_before_and_after_they_are_recorded(tracked):
    before = overview(tracked.folder)
    assert {row.stage for row in before} == set(KEPT)
    assert all(row.run is None for row in before)
    synced = sync(tracked.folder)
    after = {row.stage: row for row in overview(tracked.folder)}
    assert {name: row.run for name, row in after.items()} == synced.runs
    assert set(after["evaluate@pa_sam-dis_like"].headline) == {"dis_like/mbiou", "dis_like/miou"}
