"""Prompts over the wire."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pasam.serving.payloads import Prompt


def test_whole_and_broken_numbers_are_taken():
    prompt = Prompt.model_validate_json('{"box": [1, 2.5, 3, 4], "points": [[5, 6]]}')
    assert prompt.box == (1, 2.5, 3, 4)
    assert prompt.points == [(5, 6)]


@pytest.mark.parametrize(
    "text",
    [
        '{"box": [1, 2, 3]}', '{"box": ["1", 2, 3, 4]}', '{"box": [NaN, 2, 3, 4]}',
        '{"box": [1e999, 2, 3, 4]}', '{"box": [true, 2, 3, 4]}', '{"points": [[1, 2, 3]]}',
        '{"points": [[1, 2]], "labels": [2]}', '{"points": [[1, 2]], "labels": [0.5]}',
        '{"boxes": [1, 2, 3, 4]}', '{"mask": {"side": 0, "float32": ""}}', '{"mask": 3}', "[]",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ValidationError):
        Prompt.model_validate_json(text)
