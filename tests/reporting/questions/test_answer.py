"""Tests of answers."""

from pasam.reporting.questions.answer import unanswered


def test_a_question_without_its_experiment_says_so_and_how_to_make_it():
    answer = unanswered(
        number=3, short="S", title="T?", experiment="E.", what="No maps.", command="dvc repro x"
    )
    assert answer.key == "question-3"
    assert not answer.answered
    assert answer.blocks[0].command == "dvc repro x"
    assert answer.sentence == "This run does not answer it."
