"""Tests of the report for programs."""

import json

import numpy as np
import pandas as pd

from pasam.reporting.publish import records, report_json
from pasam.reporting.questions import answers


def test_it_holds_every_part_and_no_number_that_json_lacks(results):
    text = report_json(results, answers(results))
    content = json.loads(text)
    assert "NaN" not in text
    assert content["table1"][0]["model"] == "oracle"
    assert content["precisions"] is None
    assert content["seeds"] == [42]
    assert len(content["galleries"]["worst"]) == 3
    assert content["galleries"]["most_harmed"] == []
    assert all(question["answer"] for question in content["questions"])


def test_the_same_results_give_the_same_text(results, make_results):
    assert report_json(results, ()) == report_json(make_results(), ())


def test_numbers_of_numpy_become_plain_and_what_is_missing_null():
    frame = pd.DataFrame({"a": [np.int64(1)], "b": [np.nan], "c": [None], "d": ["x"]})
    assert records(frame) == [{"a": 1, "b": None, "c": None, "d": "x"}]
