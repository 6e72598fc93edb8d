"""Tests of curves."""

from xml.etree import ElementTree

from pasam.reporting.svg import line_chart, model_series


def chart(series, **changes):
    parts = {"title": "Curves", "x_label": "x", "y_label": "y"}
    return ElementTree.fromstring(line_chart(series, **{**parts, **changes}))


def test_a_curve_has_a_line_its_points_and_a_band_only_with_intervals():
    plain = chart([model_series("pa_sam", [0, 1, 2], [1, 2, 3])])
    assert len(plain.findall(".//path[@class='curve']")) == 1
    assert len(plain.findall(".//circle")) == 3
    assert plain.findall(".//path[@class='band']") == []
    sure = chart([model_series("pa_sam", [0, 1], [1, 2], [0, 1], [2, 3])])
    assert len(sure.findall(".//path[@class='band']")) == 1


def test_places_are_labelled_unless_they_would_overlap():
    apart = chart([model_series("sam", [1, 3, 5, 10], [1, 2, 3, 4])])
    labels = [t.text for t in apart.findall("text") if float(t.get("y", 0)) > 200]
    assert labels[-4:] == ["1", "3", "5", "10"]
    crowded = chart([model_series("sam", range(100), range(100))])
    assert len([t for t in crowded.findall("text") if float(t.get("y", 0)) > 200]) < 12


def test_places_can_have_words():
    named = chart([model_series("sam", [0, 1], [1, 2])], names=["none", "all"])
    assert {"none", "all"} <= {t.text for t in named.findall("text")}


def test_a_single_place_is_drawn_too():
    assert chart([model_series("sam", [3], [1])]).findall(".//path[@class='curve']")
