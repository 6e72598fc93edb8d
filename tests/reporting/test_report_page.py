"""The page: what it holds, what it never holds, and that it is well made."""

import re
from html.parser import HTMLParser

import pytest

from pasam.reporting.blocks import Absent, Code, PageSection, Text
from pasam.reporting.publish import page_sections, render_page
from pasam.reporting.questions import answers


def page(results):
    found = answers(results)
    return render_page(
        title="T", setting=results.setting, sections=page_sections(results, found), answers=found
    )


@pytest.fixture(scope="module")
def html():
    from made_up_run import made_up_results

    return page(made_up_results())


class Reader(HTMLParser):
    """Collect what is asked of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.wrong = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "link", "img", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def read(html):
    return Reader(html)


def test_every_tag_is_closed_in_its_order(read):
    assert (read.wrong, read.open) == ([], [])


def test_it_loads_nothing_from_anywhere(html, read):
    assert not re.search(r"""(src|href)="(?!data:|#)""", html)
    assert "@import" not in html
    assert "url(" not in html
    policy = next(a["content"] for t, a in read.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_every_link_has_its_target_and_every_id_is_there_once(read):
    ids = [a["id"] for _, a in read.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for t, a in read.tags if t == "a" and a["href"].startswith("#")}
    assert links <= set(ids)


def test_every_picture_says_what_it_shows_and_how_large_it_is(read):
    images = [a for t, a in read.tags if t == "img"]
    assert len(images) > 20
    assert all(image["alt"] and int(image["width"]) and int(image["height"]) for image in images)
    charts = [a for t, a in read.tags if t == "svg" and "chart" in a.get("class", "")]
    assert all(a.get("role") == "img" or a.get("aria-hidden") for a in charts)


def test_pictures_of_galleries_are_shown_lazily(read):
    lazy = [a for t, a in read.tags if t == "img" and a.get("loading") == "lazy"]
    assert len(lazy) > 20


def test_headings_do_not_skip_a_level(read):
    levels = [int(t[1]) for t, _ in read.tags if re.fullmatch(r"h\d", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


def test_the_table_of_contents_lists_every_section_and_question(html, results):
    found = answers(results)
    for section in page_sections(results, found):
        assert f'<li><a href="#{section.key}">' in html
    for answer in found:
        assert f'<li><a href="#{answer.key}">' in html


def test_the_same_results_give_the_same_page(html, make_results):
    assert page(make_results()) == html


def test_other_numbers_give_another_page(html, make_scores, make_results):
    scores = make_scores()
    scores.loc[scores["model"] == "pa_sam", "boundary_iou"] += 0.01
    assert page(make_results(scores)) != html


def test_a_name_with_brackets_is_shown_and_not_obeyed():
    section = PageSection(
        key="a", title="<script>alert(1)</script>", lead="x & y",
        blocks=(Text(words="<b>"), Code(lines=("a < b",))),
    )  # fmt: skip
    html = render_page(title="<i>", setting="s", sections=[section], answers=[])
    assert "<script>alert" not in html
    assert "&lt;b&gt;" in html
    assert "x &amp; y" in html


def test_a_number_is_never_torn_from_its_per_cent_sign():
    section = PageSection(key="a", title="A", lead="95 % of it", blocks=())
    html = render_page(title="t", setting="s", sections=[section], answers=[])
    assert "95\N{NO-BREAK SPACE}% of it" in html


def test_what_is_absent_says_how_to_make_it():
    block = Absent(what="No curve.", command="dvc repro robustness")
    section = PageSection(key="a", title="A", lead="l", blocks=(block,))
    html = render_page(title="t", setting="s", sections=[section], answers=[])
    assert (
        "Not in this run.</span> No curve. Make it with <code>dvc repro robustness</code>" in html
    )


def test_both_themes_have_every_colour(html):
    light, dark = html.index(":root{color-scheme"), html.index("prefers-color-scheme:dark")
    defined = set(re.findall(r"(--[a-z0-9-]+):", html[light:dark]))
    again = set(re.findall(r"(--[a-z0-9-]+):", html[dark : html.index("*{box-sizing")]))
    assert defined - again == {"--true-positive", "--false-positive", "--false-negative"}
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html))
    assert used <= defined | {"--c", "--cut"}
