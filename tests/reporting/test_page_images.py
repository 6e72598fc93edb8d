"""Images of the page: cut, packed, chosen by score, with maps from inside the adapter."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up_run import MadeUpImages, change_scores
from PIL import Image

from pasam.reporting import page_images
from pasam.reporting.blocks import Absent, Code, PageSection, Text
from pasam.reporting.page_images import (
    CroppedImage,
    best_example,
    card,
    cropped,
    data_url,
    median,
    most_harmed,
    most_improved,
    prompt_changes,
    ranked,
    token_maps,
    walk,
    window_round,
    worst,
)
from pasam.reporting.publish import page_sections, render_page
from pasam.reporting.questions import answers

WHOLE = (slice(0, 40), slice(0, 60))
PREFIX = "data:image/webp;base64,"


def decoded(source):
    assert source.startswith(PREFIX)
    return Image.open(io.BytesIO(base64.b64decode(source.removeprefix(PREFIX))))


def test_a_picture_is_no_larger_than_it_is_shown_and_never_enlarged():
    image = np.zeros((100, 200, 3), np.uint8)
    source, width, height = data_url(image, side=50)
    assert (width, height) == decoded(source).size == (50, 25)
    assert data_url(image, side=1000)[1:] == (200, 100)


def test_equal_pictures_have_equal_urls():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    assert data_url(image, side=32) == data_url(image.copy(), side=32)


def test_the_window_holds_object_and_predictions_with_a_margin(example):
    window = window_round(example())
    assert window == (slice(7, 33), slice(7, 36))  # the prediction is 3 pixels to the right


def test_the_margin_is_a_share_of_the_longer_side_of_what_is_shown(example):
    truth = np.zeros((40, 60), np.bool_)
    truth[18:22, 5:55] = True  # of 50 pixels 12 % are 6
    assert window_round(example(truth=truth, predictions={"sam": truth})) == (
        slice(12, 28), slice(0, 60),
    )  # fmt: skip
    truth[:] = False
    truth[20:22, 30:39] = True  # 12 % of 9 pixels, the last one's whole width with them, are 1.08
    assert window_round(example(truth=truth, predictions={"sam": truth})) == (
        slice(18, 24), slice(28, 41),
    )  # fmt: skip


def test_masks_are_painted_against_the_truth_and_logits_from_zero_on(example, monkeypatch):
    painted = []

    def told(image, truth, mask):
        painted.append((truth, mask))
        return image

    monkeypatch.setattr(page_images, "comparison", told)
    image = example()
    crop = CroppedImage(image, WHOLE, 100)
    crop.prediction("sam")
    crop.adapter_mask("Coarse", np.array([[0.2, -0.2]], np.float32))
    (truth, mask), (again, of_logits) = painted
    assert truth is again is image.truth
    assert mask is image.predictions["sam"]
    assert of_logits[:, :30].all()
    assert not of_logits[:, 30:].any()
    truth = np.asarray(decoded(crop.truth().source))
    assert (truth[12:28, 12:28] == 255).all()
    assert (truth[:8] == 0).all()


def test_a_heat_map_goes_from_its_least_to_its_99th_hundredth(example, monkeypatch):
    shown, values = example(), np.arange(2400, dtype=np.float32).reshape(40, 60) + 7
    shown = dataclasses.replace(shown, details=dataclasses.replace(
        shown.details, maps={"attention": values}
    ))  # fmt: skip
    scaled = []
    monkeypatch.setattr(page_images, "_coloured", lambda part: scaled.append(part) or shown.image)
    CroppedImage(shown, WHOLE, 50).heat_map("attention")
    assert scaled[0].min() == 0.0
    assert (scaled[0] == 1.0).sum() == 24
    assert np.median(scaled[0]) == pytest.approx(0.5 / 0.99, abs=0.002)


def test_without_any_object_the_whole_image_is_shown(example):
    empty = np.zeros((40, 60), np.bool_)
    shown = example(truth=empty, predictions={"sam": empty})
    assert window_round(shown) == WHOLE


def test_box_and_points_are_drawn_in_pixels_of_the_window(example):
    shown = example(box=np.array([10, 12, 39, 29], np.float32))
    image = CroppedImage(shown, (slice(5, 35), slice(2, 52)), 100)
    view = image.prompt()
    assert 'viewBox="0 0 50 30"' in view.marks
    assert '<rect x="8" y="7" width="30" height="18"' in view.marks
    assert view.marks.count("<rect") == 2  # a dark edge below the bright line
    assert view.marks.count("<circle") == 3
    assert 'cx="10.5" cy="7.5"' in view.marks
    assert "mined points" in view.alt
    alone = image.prompt(points=False), image.prompt(box=False)
    assert [view.marks.count("<circle") for view in alone] == [0, 3]
    assert [view.marks.count("<rect") for view in alone] == [2, 0]
    assert [view.alt.partition(" with ")[2] for view in alone] == [
        "its box prompt", "the mined points",
    ]  # fmt: skip


def test_a_prediction_is_named_with_its_score(example):
    view = CroppedImage(example(), WHOLE, 100).prediction("pa_sam")
    assert view.name == "PA-SAM 40.0"
    assert "boundary IoU 40.0 %" in view.alt


def test_only_a_model_with_an_uncertainty_map_shows_one(example):
    def shown(uncertainty):
        image = example(uncertainty=uncertainty)
        return CroppedImage(image, WHOLE, 50).uncertainty()

    assert shown(None) == []
    [certain] = shown(np.zeros((8, 8), np.float32))
    [unsure] = shown(np.ones((8, 8), np.float32))
    assert np.asarray(decoded(certain.source)).mean() < 20
    assert np.asarray(decoded(unsure.source)).mean() > 150


def table(**scores):
    frame = pd.DataFrame(scores, index=["score", "against"]).T
    return frame.assign(gain=frame["score"] - frame["against"])


def names(images):
    return list(images.index)


IMAGES = table(a=[0.9, 0.5], b=[0.2, 0.6], c=[0.5, 0.5])


def test_images_are_ranked_by_score_gain_and_loss():
    assert names(worst(IMAGES, 2)) == ["b", "c"]
    assert names(most_improved(IMAGES, 3)) == ["a"]
    assert names(most_harmed(IMAGES, 3)) == ["b"]
    assert median(IMAGES) == "c"


def test_ties_are_broken_by_id_so_that_two_runs_agree(results):
    images = ranked(results)
    assert names(images) == sorted(names(images))
    tied = table(**dict.fromkeys("abc", [0.5, 0.4]))
    assert names(most_improved(tied, 2)) == ["a", "b"]


def test_of_an_even_number_of_images_the_upper_middle_stands_for_the_rest():
    assert median(pd.DataFrame({"gain": [0.3, 0.1, 0.4, 0.2]}, index=list("abcd"))) == "a"


def test_images_are_ranked_by_the_masks_that_are_shown_and_not_by_further_seeds(
    make_scores, make_results
):
    both = make_scores(seeds=(42, 43))
    shown = ranked(make_results(both[both["seed"] == 42]))
    assert ranked(make_results(both))["score"].tolist() == shown["score"].tolist()


def test_every_image_is_ranked_with_both_scores(results):
    images = ranked(results)
    scores = results.scores.set_index(["model", "image_id"])["boundary_iou"]
    assert len(images) == 24
    for image, row in images.iterrows():
        assert row["score"] == scores["pa_sam", image]
        assert row["against"] == scores["sam", image]
        assert row["gain"] == row["score"] - row["against"]


def test_scores_decide_who_is_shown(make_scores, make_results):
    scores = change_scores(
        make_scores(), "pa_sam", lambda rows: -0.4 * (rows["image_id"] == "dis_like/3").to_numpy()
    )
    assert names(most_harmed(ranked(make_results(scores)), 3)) == ["dis_like/3"]


def test_a_card_shows_prompt_truth_models_and_the_uncertainty(results):
    images = ranked(results)
    shown = card(results, images.index[0], images.iloc[0])
    assert [view.name.split()[0] for view in shown.views] == [
        "Prompt", "Ground", "SAM", "HQ-SAM", "PA-SAM", "Uncertainty",
    ]  # fmt: skip
    assert f"{100 * images['gain'].iloc[0]:+.1f} points" in shown.note
    assert all(view.alt for view in shown.views)


def test_one_pass_goes_from_the_prompt_to_the_mask(results):
    names = [view.name for view in walk(results)[0].views]
    assert names[0] == "Prompt"
    assert names[1:4] == ["Guiding embedding", "Dense change", "Attention of the mask token"]
    assert names[-2] == "Mined points"
    assert names[-1].startswith("PA-SAM")


def test_the_tokens_masks_stand_side_by_side(results):
    names = [view.name for view in token_maps(results)[0].views]
    assert names == ["Coarse", "Uncertainty", "Refined", "Final"]


def test_the_final_mask_is_the_refined_one_where_it_is_unsure_and_only_there(
    results, make_results, monkeypatch
):
    shown = {}

    def told(self, name, logits):
        shown[name] = np.asarray(logits)
        return self.truth()

    monkeypatch.setattr(CroppedImage, "adapter_mask", told)
    unsure = np.array([[0.5, 0.499]] * 2, np.float16)
    maps = {"coarse": np.full((2, 2), -1, np.float16), "refined": np.full((2, 2), 1, np.float16)}

    def with_maps(*which):
        found = results.images.predicted(*which)
        return dataclasses.replace(found, maps=maps, uncertainty=unsure) if found.maps else found

    token_maps(make_results(images=MadeUpImages(with_maps)))
    assert shown["Final"].tolist() == [[1, -1]] * 2
    assert (shown["Coarse"] == -1).all()
    assert (shown["Refined"] == 1).all()


def test_the_prompts_changes_are_mapped(results):
    assert [v.name for v in prompt_changes(results)[0].views][1:] == [
        "Dense change", "Attention of the mask token",
    ]  # fmt: skip


def test_without_maps_there_is_no_picture(results, make_results):
    def without_maps(*which):
        return dataclasses.replace(results.images.predicted(*which), maps={})

    bare = make_results(images=MadeUpImages(without_maps))
    assert walk(bare) == prompt_changes(bare) == token_maps(bare) == []


def test_the_image_is_the_one_that_improved_most(make_scores, make_results):
    scores = make_scores()
    rows = (scores["model"] == "pa_sam") & (scores["image_id"] == "thin_like/4")
    scores.loc[rows, "boundary_iou"] += 0.2
    assert best_example(make_results(scores)).shown.image_id == "thin_like/4"
    nowhere = change_scores(scores, "pa_sam", lambda rows: -0.9 - 0.01 * rows["complexity"])
    lowest = names(worst(ranked(make_results(nowhere)), 1))
    assert best_example(make_results(nowhere)).shown.image_id == lowest[0] != "thin_like/4"
    assert "thin_like/4, which it improved most: prompt" in walk(make_results(scores))[0].caption
    assert f"{lowest[0]}, which it is worst at, improving" in walk(make_results(nowhere))[0].caption


def test_equal_maps_make_equal_pictures(results):
    image = cropped(results, "dis_like/0", side=64)
    a, b = (image.heat_map("attention") for _ in range(2))
    assert a == b


def page(results):
    found = answers(results)
    return render_page(
        title="T", setting=results.setting, sections=page_sections(results, found), answers=found
    )


@pytest.fixture(scope="module")
def html(results):
    return page(results)


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


@pytest.mark.long
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


@pytest.mark.slow  # and the same files: test_published_files
def test_the_same_results_give_the_same_page(html, make_results):
    assert page(make_results()) == html


@pytest.mark.long
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


@pytest.mark.parametrize(
    ("maps", "unsure"),
    [(("coarse",), True), (("refined",), True), (("coarse", "refined"), False), ((), True),
     (("guiding", "attention"), True)],
)  # fmt: skip
def test_masks_of_the_tokens_are_shown_only_where_both_and_the_uncertainty_are(
    maps, unsure, monkeypatch
):
    grid = np.zeros((4, 4), np.float32)
    details = SimpleNamespace(maps=dict.fromkeys(maps, grid), uncertainty=grid if unsure else None)
    image = SimpleNamespace(shown=SimpleNamespace(image_id="x", details=details))
    monkeypatch.setattr(page_images, "best_example", lambda results: image)
    assert token_maps(None) == []
