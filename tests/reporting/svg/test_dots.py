"""Tests of dots over categories."""

from xml.etree import ElementTree

from pasam.reporting.svg import dot_chart, model_series


def chart(**changes):
    series = [
        model_series("sam", [0, 1], [40, 60], [35, 55], [45, 65]),
        model_series("pa_sam", [0, 1], [50, 70]),
    ]
    parts = {"title": "Scores", "y_label": "per cent"}
    return ElementTree.fromstring(dot_chart(series, ["a", "b"], **{**parts, **changes}))


def test_every_value_has_a_dot_and_its_interval_a_bar():
    drawn = chart()
    assert len(drawn.findall(".//rect")) == 2  # squares of SAM
    assert len(drawn.findall(".//circle")) == 2
    assert len(drawn.findall(".//line[@class='bar']")) == 2
    words = [title.text for title in drawn.iter("title")]
    assert words[0] == "Scores"
    assert "SAM, a: 40.0 [35.0, 45.0]" in words


def test_a_higher_value_stands_higher():
    circles = chart().findall(".//circle")
    assert float(circles[1].get("cy")) < float(circles[0].get("cy"))


def test_a_category_can_stand_apart_and_zero_be_shown():
    assert len(chart(shaded=1).findall(".//rect[@class='shade']")) == 1
    labels = [text.text for text in chart(zero=True).findall("text")]
    assert "0" in labels
