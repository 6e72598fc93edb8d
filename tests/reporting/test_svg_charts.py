"""Charts as SVG: elements, scales, dots, curves and forest plots."""

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.reporting.svg import (
    BOTTOM,
    HEIGHT,
    TOP,
    Scale,
    Series,
    dot_chart,
    element,
    forest_plot,
    forest_scale,
    interval_mark,
    line_chart,
    marker,
    model_key,
    number,
    path,
    text,
    tick_text,
    ticks,
    value_scale,
)


def series_of(model, x, y, low=(), high=()):
    return Series(model_key(model), x, y, low, high)


def test_elements_are_escaped_and_attributes_keep_their_order():
    made = element("g", text("a < b", 1.0, 2.04), class_="x", data_name='"')
    assert made == (
        '<g class="x" data-name="&#34;"><text x="1" y="2" text-anchor="start">a &lt; b</text></g>'
    )
    assert element("line", x1=1.25) == '<line x1="1.2"/>'


def test_a_path_goes_through_its_points_and_closes():
    assert path([(0, 0), (1.5, 2)], close=True) == "M0 0L1.5 2Z"


@pytest.mark.parametrize(("value", "words"), [(-0.01, "0"), (12.0, "12"), (0.25, "0.2")])
def test_numbers_are_short_and_never_minus_nothing(value, words):
    assert number(value) == words


def test_a_known_model_keeps_its_colour_and_shape_in_every_chart():
    a, b = model_key("pa_sam"), model_key("pa_sam", among=["x", "y"])
    assert (a.colour, a.shape) == (b.colour, b.shape) == ("var(--model-pa-sam)", "circle")
    assert a.name == "PA-SAM"


def test_other_series_differ_from_each_other():
    found = [model_key(name, among=["x", "y"]) for name in ("x", "y")]
    assert found[0].colour != found[1].colour


def test_the_extent_holds_intervals_too():
    one = series_of("sam", [0], [5], [4], [7])
    assert one.extent == [5.0, 4.0, 7.0]


@pytest.mark.parametrize("shape", ["circle", "square", "diamond", "triangle"])
def test_a_marker_tells_its_value(shape):
    assert "<title>SAM: 5.0</title>" in marker(shape, 1, 2, "SAM: 5.0")


values = st.floats(-1e4, 1e4).map(lambda v: round(v, 3))


@given(values, values)
def test_ticks_are_round_even_few_and_hold_both_ends(a, b):
    low, high = min(a, b), max(a, b)
    marks = ticks(low, high)
    assert marks[0] <= low + 1e-6
    assert high - 1e-6 <= marks[-1]
    assert 2 <= len(marks) <= 12
    steps = [y - x for x, y in itertools.pairwise(marks)]
    assert max(steps) - min(steps) < 1e-6 * max(1, abs(high), abs(low))


def test_ticks_are_ones_twos_and_fives():
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(-3, 12) == [-5, 0, 5, 10, 15]


def test_a_scale_is_linear_and_goes_both_ways():
    scale = Scale(0, 10, 200, 100)
    assert (scale(0), scale(5), scale(10)) == (200, 150, 100)


def test_zero_is_on_the_scale_when_asked_for():
    assert value_scale([40, 60])[1][0] > 0
    assert value_scale([40, 60], zero=True)[1][0] == 0


def test_ticks_have_a_real_minus_sign():
    assert tick_text(-0.5) == "\N{MINUS SIGN}0.5"


def chart(**changes):
    series = [
        series_of("sam", [0, 1], [40, 60], [35, 55], [45, 65]),
        series_of("pa_sam", [0, 1], [50, 70]),
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


def test_names_that_would_touch_stand_in_further_rows_and_others_in_one():
    six = ["dis_like", "coift_like", "hrsod_like", "thin_like", "photos", "Mean of 4 synthetic"]
    for names, rows in (
        (["a", "b", "c"], [0, 0, 0]), (["a name of many letters", "b", "c"], [0, 0, 0]),
        (["sixteen letters.", "sixteen letters!", "sixteen letters?"], [0, 0, 0]),
        (["seventeen letters", "seventeen letters", "c"], [0, 1, 0]), (six, [0, 1, 0, 1, 0, 2]),
    ):  # fmt: skip
        one = [series_of("sam", range(len(names)), range(len(names)))]
        drawn = ElementTree.fromstring(dot_chart(one, names, title="t", y_label="y"))
        below = [t for t in drawn.findall("text") if t.text in names]
        height = float(drawn.get("viewBox").split()[3])
        assert [t.text for t in below] == names
        assert [float(t.get("y")) - float(below[0].get("y")) for t in below] == [
            12 * row for row in rows
        ]
        assert max(float(t.get("y")) for t in below) < height


def test_a_long_name_at_the_edge_stays_within_the_chart():
    names = ["a name much longer than its place", "b", "c", "d", "e", "Mean of 4 synthetic"]
    one = [series_of("sam", range(6), range(6))]
    drawn = ElementTree.fromstring(dot_chart(one, names, title="t", y_label="y"))
    width = float(drawn.get("viewBox").split()[2])
    places = {t.text: float(t.get("x")) for t in drawn.findall("text") if t.text in names}
    assert len(places) == 6
    for name, middle in places.items():
        assert 3 * len(name) < middle < width - 3 * len(name), name


def test_series_stand_round_the_middle_of_their_own_category():
    series = [series_of(model, [1], [5]) for model in ("pa_sam", "mine")]
    drawn = ElementTree.fromstring(dot_chart(series, ["a", "b"], title="t", y_label="y"))
    first, second = (float(dot.get("cx")) for dot in drawn.findall(".//circle"))
    [label] = [float(t.get("x")) for t in drawn.findall("text") if t.text == "b"]
    assert first < label < second
    assert (first + second) / 2 == pytest.approx(label, abs=0.1)
    [alone] = ElementTree.fromstring(
        dot_chart(series[:1], ["a", "b"], title="t", y_label="y")
    ).findall(".//circle")
    assert float(alone.get("cx")) == pytest.approx(label, abs=0.1)


def test_zero_is_a_heavy_line_only_where_values_lie_on_both_of_its_sides():
    above, both = (
        ElementTree.fromstring(
            dot_chart([series_of("sam", [0], [y])], ["a"], title="t", y_label="y", zero=True)
        )
        for y in (3, -3)
    )
    assert above.findall(".//line[@class='zero']") == []
    assert len(both.findall(".//line[@class='zero']")) == 1


def lines_chart(series, **changes):
    parts = {"title": "Curves", "x_label": "x", "y_label": "y"}
    return ElementTree.fromstring(line_chart(series, **{**parts, **changes}))


def test_a_curve_has_a_line_its_points_and_a_band_only_with_intervals():
    plain = lines_chart([series_of("pa_sam", [0, 1, 2], [1, 2, 3])])
    assert len(plain.findall(".//path[@class='curve']")) == 1
    assert len(plain.findall(".//circle")) == 3
    assert plain.findall(".//path[@class='band']") == []
    sure = lines_chart([series_of("pa_sam", [0, 1], [1, 2], [0, 1], [2, 3])])
    assert len(sure.findall(".//path[@class='band']")) == 1


def test_a_band_goes_along_the_upper_ends_and_back_along_the_lower_ones():
    drawn = lines_chart([series_of("pa_sam", [0, 1], [1, 2], [0, 1], [2, 3])])
    corners = drawn.find(".//path[@class='band']").get("d").strip("MZ").split("L")
    x, y = zip(*(map(float, corner.split()) for corner in corners), strict=True)
    assert x[0] == x[3] < x[1] == x[2]
    assert y[0] < y[3]  # upwards is less
    assert y[1] < y[2]


def test_a_band_that_is_wider_than_its_curve_stays_within_the_axes():
    drawn = lines_chart([series_of("pa_sam", [0, 1], [1, 2], [-5, -4], [9, 8])])
    corners = drawn.find(".//path[@class='band']").get("d").strip("MZ").split("L")
    places = [float(corner.split()[1]) for corner in corners]
    assert TOP <= min(places) < max(places) <= HEIGHT - BOTTOM


@pytest.mark.parametrize(("count", "marked"), [(24, True), (25, False)])
def test_points_of_a_dense_curve_show_under_the_pointer_alone(count, marked):
    drawn = lines_chart([series_of("pa_sam", range(count), range(count))])
    dots = drawn.findall(".//circle")
    assert len(dots) == count
    assert {dot.get("class") for dot in dots} == {None if marked else "hit"}


def test_places_are_labelled_unless_they_would_overlap():
    apart = lines_chart([series_of("sam", [1, 3, 5, 10], [1, 2, 3, 4])])
    labels = [t.text for t in apart.findall("text") if float(t.get("y", 0)) > 200]
    assert labels[-4:] == ["1", "3", "5", "10"]
    crowded = lines_chart([series_of("sam", range(100), range(100))])
    below = [t.text for t in crowded.findall("text") if float(t.get("y", 0)) > 200]
    # 99 steps on 284 of the chart's units, and 34 between two labels: every twelfth has one.
    assert [words for words in below if words != "x"] == [str(n) for n in range(0, 100, 12)]


def test_places_can_have_words():
    named = lines_chart([series_of("sam", [0, 1], [1, 2])], names=["none", "all"])
    assert {"none", "all"} <= {t.text for t in named.findall("text")}


def test_a_single_place_is_drawn_too():
    assert lines_chart([series_of("sam", [3], [1])]).findall(".//path[@class='curve']")


def test_lines_of_a_forest_plot_share_a_scale_that_holds_zero():
    scale = forest_scale([3.0, 9.0])
    assert scale.low <= 0
    assert scale.high >= 9


ROW = {"difference": 1.0, "low": 0.5, "high": 2.0}


def test_lines_of_a_forest_plot_fit_their_scale_or_that_of_other_rows():
    row = {**ROW, "low": -5.0, "high": 9.0, "verdict": "no difference shown", "seeds": 3,
           "p_holm": 0.5}  # fmt: skip
    lines = [("a", "note", row, "red")]
    bars = []
    for scaled in (None, [row, {**row, "high": 90.0}]):
        found = forest_plot(lines, heading="h", caption="c", scaled=scaled)
        bar = ElementTree.fromstring(found.rows[0].interval).find(".//line[@class='bar']")
        bars.append([float(bar.get(end)) for end in ("x1", "x2")])
    assert 0 < bars[0][0] < bars[0][1] < 260
    assert bars[1][1] - bars[1][0] < 0.3 * (bars[0][1] - bars[0][0])


def test_a_line_of_a_forest_plot_shows_zero_the_interval_and_the_mean():
    scale = forest_scale([-1.0, 2.0])
    drawn = ElementTree.fromstring(interval_mark(scale, ROW, colour="red"))
    zero = drawn.find("line[@class='zero']")
    bar = drawn.find(".//line[@class='bar']")
    dot = drawn.find(".//circle")
    assert float(zero.get("x1")) < float(bar.get("x1")) < float(dot.get("cx"))
    assert drawn.get("aria-hidden") == "true"  # the row's text says the same


def test_others_among_known_models_are_told_apart_by_their_place_among_the_others():
    others = ["packaged", "image_adapter", "b", "c"]  # the first two four places apart
    models = ["sam", others[0], "hq_sam", "oracle", "pa_sam", *others[1:]]
    looks = [model_key(name, among=models) for name in others]
    assert [look.colour for look in looks] == [f"var(--other-{place})" for place in range(4)]
    assert [look.shape for look in looks] == ["circle", "square", "diamond", "triangle"]
