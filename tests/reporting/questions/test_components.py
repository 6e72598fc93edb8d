"""Tests of question 1."""

from made_up_run import made_up_ablations

from pasam.reporting.questions import answer


def test_without_variants_the_pass_is_shown_and_the_rest_admitted(results):
    found = answer(results)
    assert not found.answered
    assert [block.kind for block in found.blocks] == ["pictures", "absent"]


def test_the_sentence_says_what_each_part_brings(make_results):
    costly = answer(make_results(**made_up_ablations(no_mining=-0.1)))
    idle = answer(make_results(**made_up_ablations()))
    assert costly.answered
    assert (
        "\N{LEFT DOUBLE QUOTATION MARK}no hard points\N{RIGHT DOUBLE QUOTATION MARK}"
        in (costly.sentence.split("loses")[0])
    )
    assert "loses" not in idle.sentence
    assert [row.name for row in costly.blocks[1].rows][:2] == [
        "no adapter: the mask head alone", "no hard points",
    ]  # fmt: skip
