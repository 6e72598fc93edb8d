"""Tests of the ten questions together."""

from pasam.reporting.questions.ten import answers


def test_numbers_and_anchors_are_there_once_and_in_order(results):
    found = answers(results)
    numbers = [answer.number for answer in found]
    assert numbers == sorted(set(numbers))
    assert all(answer.title.endswith("?") and answer.experiment for answer in found)
