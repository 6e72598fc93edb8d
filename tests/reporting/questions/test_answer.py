"""Tests of questions and answers."""

from pasam.reporting.blocks import Question, Text

QUESTION = Question(number=3, short="S", title="T?", experiment="E.")


def test_a_question_without_its_experiment_says_so_and_how_to_make_it():
    answer = QUESTION.unanswered("No maps.", "dvc repro x")
    assert answer.key == "question-3"
    assert not answer.answered
    assert answer.blocks[0].command == "dvc repro x"
    assert answer.sentence == "This run does not answer it."


def test_an_answer_keeps_its_question_and_shows_its_blocks():
    answer = QUESTION.answer("So.", Text(words="x"))
    assert answer.answered
    assert (answer.title, answer.experiment, answer.sentence) == ("T?", "E.", "So.")
    assert [block.words for block in answer.blocks] == ["x"]
