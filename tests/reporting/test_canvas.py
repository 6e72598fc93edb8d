"""Tests of the drawing surface."""

import matplotlib as mpl

from pasam.reporting.figures import new_figure, save_png, style


def test_the_users_own_settings_are_ignored_inside_and_untouched_outside():
    with mpl.rc_context({"font.size": 33.0, "lines.linewidth": 9.0}):
        with style():
            assert mpl.rcParams["font.size"] == 9.0
            assert mpl.rcParams["lines.linewidth"] == mpl.rcParamsDefault["lines.linewidth"]
        assert mpl.rcParams["font.size"] == 33.0


def test_a_figure_is_saved_without_traces_of_time_or_version(tmp_path):
    for name in ("a.png", "b.png"):
        with style():
            figure = new_figure(1, 0.5)
            figure.text(0.1, 0.5, "A")
            save_png(figure, tmp_path / "deep" / name)
    content = (tmp_path / "deep" / "a.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content == (tmp_path / "deep" / "b.png").read_bytes()
    assert b"atplotlib" not in content
