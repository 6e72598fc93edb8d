"""Page and DVC's plots in a browser: all is there, nothing fails, nothing leaves the machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from small_world import dump_yaml, load_yaml

from pasam.reporting.publish import publish

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    from made_up_run import made_up_results

    folder = tmp_path_factory.mktemp("report")
    publish(made_up_results(), folder)
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(params=[(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def page(request, browser, address):
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce"
    )
    opened = context.new_page()
    opened.faults = []
    opened.on("console", lambda m: m.type in {"error", "warning"} and opened.faults.append(m.text))
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("request", lambda r: r.url.startswith("http") and opened.faults.append(r.url))
    opened.goto(address)
    opened.evaluate(UNFOLD)
    yield opened
    assert opened.faults == []
    context.close()


UNFOLD = "for (const each of document.querySelectorAll('main details')) each.open = true"


@pytest.fixture
def as_opened(browser, address):
    """The page as a reader opens it, on a screen of 1280 x 900."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.goto(address)
    yield opened
    opened.close()


def test_what_is_seen_at_a_glance_fits_one_screen_and_the_rest_is_folded(as_opened):
    bottom = "document.querySelector('#glance').getBoundingClientRect().bottom"
    assert as_opened.evaluate(bottom) <= 900
    assert as_opened.evaluate("document.documentElement.scrollHeight") <= 12_000
    shown = as_opened.locator("section > details.fold").evaluate_all("all => all.map(d => d.open)")
    assert len(shown) >= 8
    assert not any(shown)


def test_a_link_into_a_folded_section_opens_it(as_opened):
    question = as_opened.locator("article.question").nth(2)
    assert not question.locator(".sentence").is_visible()
    as_opened.evaluate(f"location.hash = '{question.get_attribute('id')}'")
    question.locator(".sentence").wait_for(state="visible")


def test_printing_opens_every_table_and_closes_them_again(as_opened):
    closed = "document.querySelectorAll('main details:not([open])').length"
    before = as_opened.evaluate(closed)
    as_opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert (before > 8, as_opened.evaluate(closed)) == (True, 0)
    as_opened.evaluate("dispatchEvent(new Event('afterprint'))")
    assert as_opened.evaluate(closed) == before


def test_a_columns_head_sorts_the_table_by_it(as_opened):
    table = as_opened.locator("#table-1 table").first
    head = table.locator("thead th").nth(1)
    means = []
    for order in ("descending", "ascending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        cells = table.locator("tbody tr td:nth-child(2)").all_inner_texts()
        means.append([float(cell.split("/")[0]) for cell in cells])
    assert means == [sorted(means[0], reverse=True), sorted(means[0])]


def test_a_phone_shows_the_mean_beside_the_model(browser, address):
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(address)
    head = phone.locator("#table-1 table thead th").nth(1)
    assert head.inner_text().startswith("Mean of")
    box = head.bounding_box()
    assert box["x"] + box["width"] <= 390
    phone.close()


def test_every_section_is_shown_and_no_picture_is_broken(page):
    for key in page.eval_on_selector_all("main > section", "all => all.map(s => s.id)"):
        assert page.locator(f"#{key} h2").is_visible()
    broken = """async () => {
        const images = [...document.images];
        for (const image of images) image.loading = "eager";
        await Promise.all(images.map((image) => image.decode().catch(() => {})));
        return [images.length, images.filter((image) => !image.naturalWidth).length];
    }"""
    count, lost = page.evaluate(broken)
    assert count > 20
    assert lost == 0


def test_nothing_sticks_out_to_the_side(page):
    wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert not wide


def test_a_card_opens_large_and_is_walked_through_by_keys(page):
    card = page.locator(".card").first
    card.focus()
    page.keyboard.press("Enter")
    viewer = page.locator("#viewer")
    assert viewer.get_attribute("open") is not None
    assert viewer.locator(".count").inner_text() == "1 of 3"
    page.keyboard.press("ArrowRight")
    assert viewer.locator(".count").inner_text() == "2 of 3"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert viewer.locator(".count").inner_text() == "3 of 3"
    page.keyboard.press("Escape")
    assert viewer.get_attribute("open") is None
    focused = page.evaluate("document.activeElement.className")
    assert focused == "card"  # the one that was looked at last


def test_the_viewer_says_what_its_colours_mean(page):
    page.locator(".card").first.click()
    shown = page.locator("#viewer")
    assert "false positive" in shown.locator(".legend").inner_text()
    assert [name.split()[0] for name in shown.locator(".view .name").all_inner_texts()][:4] == [
        "Prompt", "Ground", "SAM", "HQ-SAM",
    ]  # fmt: skip


def test_the_point_nearest_to_the_pointer_says_its_value(page):
    chart = page.locator("main svg.chart:not(.interval)").first
    chart.scroll_into_view_if_needed()
    mark = chart.locator(".series").last.locator("path, circle, rect").last.bounding_box()
    page.mouse.move(mark["x"] + mark["width"] / 2 + 3, mark["y"] + mark["height"] / 2 + 3)
    tip = page.locator("#tip")
    assert re.search(r": \d+\.\d \[\d+\.\d, \d+\.\d\]$", tip.inner_text())
    page.mouse.move(2, 2)
    assert not tip.is_visible()


def test_the_theme_button_is_called_what_it_says(page):
    assert page.get_by_role("button", name="Colours: auto").count() == 1


def test_the_slider_moves_by_keys(page):
    page.locator(".pair input").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("document.querySelector('.pair').style.getPropertyValue('--cut')") == "55%"


def test_the_theme_goes_round_and_changes_the_ground(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = []
    for wanted in ("light", "dark", ""):
        page.locator("#theme").click()
        assert page.evaluate("document.documentElement.dataset.theme") == wanted
        seen.append(page.evaluate(ground))
    assert seen[0] != seen[1]
    assert seen[2] in seen[:2]


def test_words_stand_out_from_their_ground_in_both_themes(page):
    contrast = """() => {
        const curve = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
        const part = (v) => curve(v / 255);
        const light = (c) => {
            const [r, g, b] = c.match(/\\d+(\\.\\d+)?/g).map(Number);
            return .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
        };
        const ground = (e) => {
            for (; e; e = e.parentElement) {
                const c = getComputedStyle(e).backgroundColor;
                if (!c.endsWith(", 0)")) return c;
            }
        };
        let least = 21;
        const words = "main p, main td, main th, main li span, main a";
        for (const e of document.querySelectorAll(words)) {
            if (!e.checkVisibility() || e.closest(".tag")) continue;
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
            least = Math.min(least, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
        }
        return least;
    }"""
    assert page.evaluate(contrast) >= 4.5


def test_the_contents_lead_to_a_section(page):
    details = page.locator(".contents details")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    details.locator("a[href='#training']").click()
    page.wait_for_timeout(200)
    top = "document.querySelector('#training').getBoundingClientRect().top"
    assert 0 <= page.evaluate(top) < 844


@pytest.fixture(scope="module")
def dvc_plots(root, tmp_path_factory):
    """The page of `dvc plots show`, in a checkout with a made-up report."""
    from made_up_run import made_up_results

    from pasam.reporting.publish import publish

    folder = tmp_path_factory.mktemp("plots")
    for name in ("dvc.yaml", "params.yaml", ".dvc/config", "pipelines/plots.html"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, folder / name)
    results = made_up_results()
    params = load_yaml((folder / "params.yaml").read_text())
    params["evaluate"]["models"] = list(results.histories)
    (folder / "params.yaml").write_text(dump_yaml(params))
    publish(results, folder / "reports")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc = [sys.executable, "-m", "dvc", "plots", "show"]
    done = subprocess.run([*dvc, "-o", "out"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out" / "index.html"


def test_every_trained_model_is_in_the_curve_of_its_loss(dvc_plots):
    from made_up_run import made_up_results

    drawn = re.findall(r"var spec = (.*?);\s*vegaEmbed", dvc_plots.read_text(), re.S)
    (chart,) = (each for each in map(json.loads, drawn) if each["title"]["text"] == "Loss by epoch")
    fields = {row.get("field", "pa_sam") for row in chart["data"]["values"]}
    assert fields == set(made_up_results().histories)


def test_the_charts_are_drawn_without_a_network(dvc_plots, browser):
    page = browser.new_page()
    faults = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("request", lambda r: r.url.startswith("file:") or faults.append(r.url))
    page.goto(dvc_plots.as_uri())
    titles = page.locator("h2").all_inner_texts()
    bars = page.locator("svg[role=img] rect").count()
    lines = page.locator("svg[role=img] polyline").count()
    told = page.locator("svg[role=img] rect title").first.text_content()
    page.close()
    assert faults == []
    assert titles == [
        "Boundary IoU by model and benchmark", "Loss by epoch",
        "Gain in boundary IoU from coarse to fine",
    ]  # fmt: skip
    assert bars >= 8
    assert lines >= 4
    assert "workspace: " in told


def test_a_table_that_is_too_wide_scrolls_within_its_own_frame(as_opened):
    as_opened.evaluate(UNFOLD)
    assert as_opened.locator("table").count() == as_opened.locator(".scroll > table").count() > 5
    frames = as_opened.eval_on_selector_all(
        ".scroll",
        """all => all.map((frame) => {
            const right = (element) => element.getBoundingClientRect().right;
            return [getComputedStyle(frame).overflowX, right(frame) <= right(frame.parentElement)];
        })""",
    )
    assert frames == [["auto", True]] * len(frames)
