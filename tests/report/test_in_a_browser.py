"""The page in a real browser: it works, nothing of it is fetched or runs that should not, and axe finds no fault."""

import shutil

import numpy as np
import pytest
from helpers.report_pages import HOSTILE, collected, made, make_data, make_run, make_study, predictions

from foldwise.report import page

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `make browser` installs it")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")
PANELS = ("runs", "run", "blends", "submitted", "tuning", "correlation", "data")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open what a page shows at a width; errors, and requests that leave the file, fail the test at its end."""
    faults, contexts = [], []

    def look(about, width=1024, scheme="light"):
        file = tmp_path / "index.html"
        file.write_text(page.render(about), encoding="utf-8")
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(10_000)
        tab.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("dialog", lambda dialog: faults.append(dialog.message))
        local = ("data:", file.as_uri())
        tab.on("request", lambda request: None if request.url.startswith(local) else faults.append(request.url))
        tab.goto(file.as_uri())
        return tab

    yield look
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def binary(settings):
    one = settings("competition=faces", "split.n_folds=3")
    make_study(one.runs_dir / "tune_0.db", f"net0-{0:012x}", np.linspace(0.2, 0.9, 12))
    return made(one, noises=(1.0, 2.0, 6.0), n=90)


def names(tab):
    return [name for name in tab.locator("#leaderboard tbody th").all_inner_texts() if name]


def test_sorting_by_the_keyboard(opened, binary):
    tab = opened(binary)
    first = names(tab)
    assert [name[:4] for name in first] == ["net0", "net1", "cons", "net2"]
    button = tab.get_by_role("button", name="AUC")
    button.focus()
    tab.keyboard.press("Enter")
    assert names(tab) == [first[3], first[1], first[0], first[2]]  # rising, and the constant has none
    tab.keyboard.press("Enter")
    assert names(tab) == [first[0], first[1], first[3], first[2]]
    assert tab.locator("#leaderboard th[aria-sort]").get_attribute("aria-sort") == "descending"
    tab.get_by_role("button", name="log loss").click()
    assert names(tab) == first


def test_filtering_by_name_and_by_setting(opened, binary):
    tab = opened(binary)
    tab.get_by_label("Filter by name or setting").fill("fit.seed=1")
    assert [row[:4] for row in tab.locator("#leaderboard tbody tr:not([hidden]) th").all_inner_texts()] == [
        "net1",
        "cons",
    ]
    assert tab.locator("#count").inner_text() == "1 of 3 runs"
    tab.get_by_label("Filter by name or setting").fill("net fit.seed=2")
    assert tab.locator("#count").inner_text() == "1 of 3 runs"
    tab.get_by_label("Filter by name or setting").fill("")
    assert tab.locator("#count").inner_text() == "3 of 3 runs"


def test_tabs_by_the_keyboard_and_the_address(opened, binary):
    tab = opened(binary)
    tab.get_by_role("tab", name="Leaderboard", exact=True).focus()
    for number in (1, 2, 3, 4, 5, 6, 0):
        tab.keyboard.press("ArrowRight")
        tab.wait_for_selector(f"#panel-{PANELS[number]}:visible")
        assert tab.locator("[role=tabpanel]:visible").count() == 1
        assert tab.evaluate("document.activeElement.id") == f"tab-{PANELS[number]}"
    tab.keyboard.press("End")
    tab.wait_for_selector("#data-charts .card")
    tab.go_back()
    tab.wait_for_selector("#panel-runs:visible")


def test_a_run_opens_and_its_threshold_moves(opened, binary):
    """The counts are those of the report at .5, and all rows are decided 1 at a threshold of 0."""
    tab = opened(binary)
    tab.get_by_role("link", name=names(tab)[0]).click()
    tab.wait_for_selector("#run-view .card")
    assert tab.locator("#run-view h3").all_inner_texts() == [
        *("Learning curves", "ROC curve", "Precision and recall", "Reliability", "Predictions by class"),
        *("Confusion matrix", "Loss by group", "Recipe", "Hardest samples"),
    ]
    counts = binary["runs"][0]["outputs"][0]["counts"]
    assert tab.locator("#tp").inner_text() == str(counts["true_positive"][50])
    slider = tab.get_by_label("Threshold")
    slider.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("output[for=threshold]").inner_text() == "0.51"
    assert tab.locator("#fp").inner_text() == str(counts["false_positive"][51])
    tab.keyboard.press("Home")
    assert [tab.locator(f"#{cell}").inner_text() for cell in ("tp", "fp", "fn", "tn")] == ["45", "45", "0", "0"]
    tab.get_by_role("button", name="Worse").click()
    sync_api.expect(tab.locator("#choose-run")).to_have_value("1")
    assert "net1" in tab.locator("#run-view p strong").first.inner_text()
    assert "fit.seed\t0\t1" in tab.locator("#run-view .above").first.inner_text()


@pytest.mark.parametrize(("task", "k"), [("multilabel", 3), ("multiclass", 12), ("regression", 2)])
def test_runs_of_every_task_open(task, k, opened, settings):
    metric = "rmse" if task == "regression" else "log_loss"
    kind = "group" if task == "regression" else "stratified"
    one = settings("competition=faces", "split.n_folds=3", f"competition.metric={metric}", f"split.kind={kind}")
    tab = opened(made(one, task, k), width=390)
    tab.evaluate("location.hash = '#run-1'")
    tab.wait_for_selector("#run-view .card")
    tab.locator("#output").select_option("1")
    assert tab.locator("#run-view svg[role=img]").count() == (3 if task == "regression" else 5)
    if task == "multiclass":
        tab.get_by_label("Least probability of a decision").fill("20")
        assert "0 of 60 rows are decided" in tab.locator("#run-view").inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(("width", "scheme", "panels"), [(390, "light", PANELS), (1600, "dark", ("runs", "run"))])
def test_axe_finds_no_serious_fault(width, scheme, panels, opened, binary):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    binary["submitted"]["entries"] = [
        {"file": "a", "status": "COMPLETE", "message": "m", "sent": "", "nested": 0.5, "public": 0.6, "private": None}
    ]
    tab = opened(binary, width, scheme)
    for panel in panels:
        tab.evaluate(f"location.hash = '#{panel}'")
        tab.wait_for_selector(f"#panel-{panel}:visible")
        faults = axe.Axe().run(tab).response["violations"]
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults if fault["impact"] != "minor"] == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_maps_and_neighbours_are_shown_with_the_samples(opened, binary):
    sample = binary["runs"][0]["samples"][0]
    shown = {name: sample[name] for name in ("image", "alt", "height", "width")}
    sample["maps"] = [shown | {"name": "Grad-CAM"}]
    sample["neighbours"] = [shown | {"id": f"near {HOSTILE}", "text": "t0 1"}]
    tab = opened(binary)
    tab.evaluate("location.hash = '#run-0'")
    first = tab.locator(".samples > li").first
    assert "Grad-CAM" in first.inner_text()
    first.get_by_text("Nearest training samples").click()
    assert HOSTILE in first.locator(".near").inner_text()


def test_nothing_runs_in_a_hostile_report(opened, settings):
    one = settings("competition=faces", "split.n_folds=3")
    data = make_data(one.prepared_dir / "data", prefix=f"<script>{HOSTILE}", targets=[f"<b>{HOSTILE}"])
    for noise, name in ((1.0, "<script>window.hit=1<script>-0"), (3.0, "<img src=x onerror=window.hit=1>-1")):
        p = predictions(data.labels.astype(float), "binary", noise)
        make_run(one.runs_dir, data, one.split, name, p, note=f"{noise} {HOSTILE}")
    about = collected(one, data)
    about["competition"] = HOSTILE
    entry = {"file": HOSTILE, "status": HOSTILE, "message": HOSTILE, "sent": HOSTILE}
    about["submitted"]["entries"] = [entry | {"nested": 0.5, "public": 0.6, "private": None}]
    about["submitted"]["trust"] = [{"name": HOSTILE, "n": 1, "spearman": HOSTILE, "meaning": HOSTILE}]
    tab = opened(about)
    for panel in (*PANELS, "run-0", "run-1"):
        tab.evaluate(f"location.hash = '#{panel}'")
        tab.wait_for_timeout(50)
        assert tab.evaluate("window.hit") is None
    assert "onerror" in tab.locator("#run-view").inner_text()  # it is shown, as text
    assert tab.locator("img:not([src^='data:image/png'])").count() == 0
    assert tab.locator("script").count() == 4  # the page's own, and its three islands of JSON


def test_the_policy_of_the_page_stops_what_is_put_into_it(browser, tmp_path, binary):
    """Were a text ever taken for markup, the browser itself would refuse to run it or to fetch for it."""
    file = tmp_path / "index.html"
    file.write_text(
        page.render(binary).replace("</main>", "<img src=x onerror='window.hit=1'></main>"), encoding="utf-8"
    )
    tab = browser.new_page()
    tab.goto(file.as_uri())
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=https://example.org/x.png>')")
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.hit") is None
    tab.close()
