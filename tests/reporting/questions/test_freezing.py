"""Tests of question 6."""

from made_up_run import made_up_ablations

from pasam.reporting.questions import freezing_answer, frozen_sentence


def test_it_needs_variants(results):
    assert not freezing_answer(results).answered


def test_the_sentence_follows_what_is_trained(make_results):
    worse = freezing_answer(make_results(**made_up_ablations(adapter_only=-0.1)))
    same = freezing_answer(make_results(**made_up_ablations()))
    assert "loses" in worse.sentence
    assert "loses" not in same.sentence
    assert "SAM does best by itself" in same.sentence
    rows = worse.blocks[0].grid.rows
    assert rows[0][0] == "PA-SAM (adapter and mask head)"
    assert rows[1][0] == "adapter alone learns"
    assert rows[1][-1] == "1,000"


def test_frozen_weights_are_counted_by_their_digests(make_results):
    changes = made_up_ablations()
    changes["ablation_facts"]["nothing"] = {"frozen_before": "a", "frozen_after": "b"}
    assert frozen_sentence(make_results(**changes)).startswith("In 9 of 10 variants")
