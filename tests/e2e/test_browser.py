"""The dashboard in a real browser: one journey from the setup link to the sign-out, while a real process trains.

Screenshots are written to `test-results/`. Every test ends with the check that the browser asked no other host for anything
and reported no error, a violation of the content security policy included.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Playwright, Request, expect, sync_playwright
from support.platform import PENSTOCK, Platform, running_platform

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RESULTS = Path(__file__).parents[2] / "test-results"
WAIT_MS = 20_000
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

FINISHED_RUNS = """
import math, penstock

for lr in (0.1, 0.01):
    with penstock.init(project="default", experiment="journey", name=f"done-{lr}", config={"lr": lr}, notes="# Why") as run:
        for step in range(3000):
            spike = 50.0 if step == 1234 else 0.0
            run.log({"train/loss": math.exp(-step * lr / 100) + spike, "odd/value": math.nan if step % 2 else 1.0}, step=step)
        run.log({"validation/accuracy": 1 - lr}, step=3000)
"""
MANY_METRICS = """
import penstock

with penstock.init(project="default", experiment="journey", name="many") as run:
    for step in range(3):
        run.log({f"layer/{i}": i + step for i in range(3000)} | {"train/loss": step}, step=step)
"""
LIVE_RUN = """
import math, pathlib, sys, time, penstock

with penstock.init(project="default", experiment="journey", name="live", config={"lr": 0.5}) as run:
    step = 0
    while not pathlib.Path(sys.argv[1]).exists():
        run.log({"train/loss": math.exp(-step / 300), "train/accuracy": 1 - math.exp(-step / 300)}, step=step)
        step += 1
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


class Browser:
    """A browser that writes down what it asked for and what went wrong."""

    def __init__(self, context: BrowserContext, platform: Platform) -> None:
        self.context = context
        self.platform = platform
        self.page: Page = context.new_page()
        self.hosts: set[str] = set()
        self.problems: list[str] = []
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("request", self._asked)
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.hosts.add(urlsplit(request.url).netloc)

    def _said(self, kind: str, text: str) -> None:
        # The browser notes every answer that is not 200; those are checked where they are expected.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.problems.append(text)

    def open(self, path: str) -> None:
        self.page.goto(self.platform.http + path)

    def sign_in(self) -> None:
        said = subprocess.run(
            [PENSTOCK, "open", "--print", "--json"], env=self.platform.env, capture_output=True, text=True, check=True
        )
        self.page.goto(json.loads(said.stdout)["setup_link"])
        self.page.wait_for_url(f"{self.platform.http}/projects")
        expect(self.page.get_by_role("heading", name="Runs")).to_be_visible(timeout=WAIT_MS)

    def shot(self, name: str) -> None:
        RESULTS.mkdir(exist_ok=True)
        self.page.screenshot(path=RESULTS / f"{name}.png")

    def cell(self, name: str, column: str) -> Locator:
        """A cell of a run's row. The first columns are pinned, so a row is in two pieces, told together by their id."""
        href = self.page.get_by_role("link", name=name, exact=True).get_attribute("href")
        assert href is not None
        return self.page.locator(f'.ag-row[row-id="{href.rpartition("/")[2]}"] [col-id="{column}"]')

    def open_run(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).click()
        expect(self.page.get_by_role("heading", name=name, exact=True)).to_be_visible(timeout=WAIT_MS)

    def curve(self, key: str) -> dict[str, list[float | None]]:
        """The points of the first curve of a chart, waiting until it is drawn."""
        plot = f'[data-chart="{key}"] .js-plotly-plot'
        self.page.wait_for_selector(f"{plot} .scatterlayer", state="attached")
        return self.page.evaluate(
            "selector => { const t = document.querySelector(selector).data[0];"
            " return {x: Array.from(t.x), y: Array.from(t.y)}; }",
            plot,
        )

    def wait_until(self, script: str, value: object) -> None:
        """Waits until a function of the page returns a value."""
        self.page.wait_for_function(f"value => ({script})() === value", arg=value)

    def wait_for_steps(self, key: str, steps: int) -> None:
        """Waits until a curve reaches a step."""
        self.page.wait_for_function(
            "([key, steps]) => { const plot = document.querySelector(`[data-chart='${key}'] .js-plotly-plot`);"
            " return plot && plot.data && plot.data.length && plot.data[0].x[plot.data[0].x.length - 1] >= steps; }",
            arg=[key, steps],
        )


@pytest.fixture
def browser(playwright: Playwright, platform: Platform, tmp_path: Path) -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert chromium is not None, "The browser tests need Chromium on PATH. For instance: sudo apt install chromium"
    context = playwright.chromium.launch_persistent_context(
        str(tmp_path / "profile"),
        executable_path=chromium,
        headless=True,
        args=CHROMIUM_OPTIONS,
        color_scheme="light",
        viewport={"width": 1440, "height": 900},
    )
    opened = Browser(context, platform)
    try:
        yield opened
        assert opened.problems == []
        assert opened.hosts <= {urlsplit(platform.http).netloc}
    finally:
        context.close()


def trained(platform: Platform, code: str, *arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=platform.env, stdout=subprocess.DEVNULL)


def test_the_journey(browser: Browser, platform: Platform, tmp_path: Path) -> None:
    page = browser.page

    # The setup link signs in once, and the secret leaves the address bar.
    page.goto(platform.setup_link)
    page.wait_for_url(f"{platform.http}/projects")
    expect(page.get_by_role("heading", name="Log your first run")).to_be_visible(timeout=WAIT_MS)
    cookies = {cookie["name"]: cookie for cookie in browser.context.cookies()}
    assert cookies["penstock_session"]["httpOnly"]
    assert cookies["penstock_session"]["sameSite"] == "Strict"
    assert page.evaluate("document.cookie") == ""

    # The empty project shows code for this very server, and no reload is needed when it was run.
    expect(page.locator(".empty")).to_contain_text(platform.http)
    expect(page.locator(".empty")).to_contain_text('penstock.init(project="default"')
    browser.shot("empty")
    assert trained(platform, FINISHED_RUNS).wait(120) == 0
    stop = tmp_path / "stop"
    live = trained(platform, LIVE_RUN, str(stop))
    try:
        expect(browser.cell("live", "state")).to_have_text("Running", timeout=WAIT_MS)
        expect(browser.cell("done-0.1", "state")).to_have_text("Finished")
        expect(page.locator("#runs-count")).to_have_text("3 runs")
        browser.shot("runs")

        # Latest values move in the table.
        cell = browser.cell("live", "metrics.train/loss")
        before = cell.inner_text()
        expect(cell).not_to_have_text(before, timeout=WAIT_MS)

        # Curves move on the run's page, and a zoom stays.
        browser.open_run("live")
        browser.wait_for_steps("train/loss", 20)
        first = browser.curve("train/loss")
        browser.wait_for_steps("train/loss", int(first["x"][-1] or 0) + 50)
        page.evaluate(
            "selector => document.querySelector(selector).layout.xaxis.range && window.Plotly.relayout("
            "document.querySelector(selector), {'xaxis.range': [5, 15]})",
            '[data-chart="train/loss"] .js-plotly-plot',
        )
        reached = int(browser.curve("train/loss")["x"][-1] or 0)
        browser.wait_for_steps("train/loss", reached + 50)
        zoom = page.evaluate(
            "selector => document.querySelector(selector).layout.xaxis.range",
            '[data-chart="train/loss"] .js-plotly-plot',
        )
        assert zoom == pytest.approx([5, 15])
        browser.shot("run-live")

        # Light and dark: chosen at once, remembered over a reload.
        assert page.locator("html").get_attribute("data-mantine-color-scheme") == "light"
        page.get_by_role("button", name="Switch between light and dark").click()
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
        browser.wait_for_steps("train/loss", 20)
        browser.shot("run-dark")
    finally:
        stop.touch()
        assert live.wait(60) == 0
    expect(page.locator("#run-state")).to_have_text("Finished", timeout=WAIT_MS)

    # Filter: by words, by the grammar, by mistake; the address keeps it.
    page.get_by_label("Breadcrumb").get_by_role("link", name="Runs").click()
    box = page.get_by_role("textbox", name="Filter runs")
    box.fill("done")
    expect(page.locator("#runs-count")).to_have_text("2 runs", timeout=WAIT_MS)
    box.fill("params.lr = 0.1 and metrics.`validation/accuracy` > 0.5")
    expect(page.locator("#runs-count")).to_have_text("1 run", timeout=WAIT_MS)
    page.wait_for_url(re.compile(r"filter=params\.lr"))
    page.reload()
    expect(page.locator("#runs-count")).to_have_text("1 run", timeout=WAIT_MS)
    box.fill("params.lr = = 1")
    expect(page.locator("#runs-problem")).to_contain_text("^", timeout=WAIT_MS)
    browser.shot("filter-problem")
    box.fill("")
    expect(page.locator("#runs-count")).to_have_text("3 runs", timeout=WAIT_MS)
    expect(page.locator("#runs-problem")).to_be_empty()

    # Sign out: the cookie is gone, the session is dead on the server too.
    secret = next(c["value"] for c in browser.context.cookies() if c["name"] == "penstock_session")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.wait_for_url(re.compile(r"/sign-in"))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    browser.shot("signed-out")
    assert browser.context.cookies() == []
    answer = browser.context.request.post(f"{platform.http}/session", data={"token": secret})
    assert answer.status == 401


def test_a_finished_run(browser: Browser) -> None:
    browser.sign_in()
    browser.open_run("done-0.1")
    curve = browser.curve("train/loss")
    # Reduced by the server, and the spike is where it was.
    assert len(curve["x"]) < 3000
    assert curve["y"][curve["x"].index(1234)] == pytest.approx(50.0, abs=1.0)
    assert curve["x"] == sorted(curve["x"])
    expect(browser.page.locator('[data-chart="odd/value"]')).to_contain_text("1,500 NaN")
    browser.page.get_by_role("tab", name="Overview").click()
    expect(browser.page.locator("#run-overview")).to_contain_text("Why")
    expect(browser.page.locator("#run-overview")).to_contain_text("lr")
    browser.shot("run-overview")


def test_runs_are_compared(browser: Browser) -> None:
    browser.sign_in()
    for name in ("done-0.1", "done-0.01"):
        browser.cell(name, "ag-Grid-SelectionColumn").get_by_role("checkbox").check()
    browser.page.get_by_role("link", name="Compare 2 runs").click()
    expect(browser.page.get_by_role("heading", name="Compare 2 runs")).to_be_visible(timeout=WAIT_MS)
    browser.curve("train/loss")
    drawn = browser.page.evaluate("document.querySelector('[data-chart=\"train/loss\"] .js-plotly-plot').data.length")
    assert drawn == 2
    expect(browser.page.locator(".differences")).to_contain_text("0.01")
    browser.shot("compare")

    # A click on a run's chip hides its curves, another shows them.
    drawn_runs = (
        "() => document.querySelector('[data-chart=\"train/loss\"] .js-plotly-plot').data"
        ".filter(curve => curve.visible).length"
    )
    chip = browser.page.locator(".legend-toggle").first
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    browser.wait_until(drawn_runs, 1)
    browser.shot("compare-hidden")
    chip.click()
    browser.wait_until(drawn_runs, 2)


def test_a_zoom_shows_every_point_and_a_double_click_takes_it_back(browser: Browser) -> None:
    browser.sign_in()
    browser.open_run("done-0.1")
    reduced = browser.curve("train/loss")["x"]
    assert len([step for step in reduced if 1200 <= (step or 0) <= 1300]) < 100
    plot = '[data-chart="train/loss"] .js-plotly-plot'
    browser.page.evaluate(
        "selector => window.Plotly.relayout(document.querySelector(selector), {'xaxis.range': [1200, 1300]})", plot
    )
    inside = (
        "() => document.querySelector('[data-chart=\"train/loss\"] .js-plotly-plot').data[0].x"
        ".filter(step => step >= 1200 && step <= 1300).length"
    )
    browser.wait_until(inside, 101)
    browser.shot("zoom")
    browser.page.locator(f"{plot} .nsewdrag").dblclick()
    browser.wait_until(
        "() => document.querySelector('[data-chart=\"train/loss\"] .js-plotly-plot').data[0].x.length", len(reduced)
    )


def test_a_run_with_thousands_of_metrics(browser: Browser, platform: Platform) -> None:
    assert trained(platform, MANY_METRICS).wait(120) == 0
    browser.sign_in()
    browser.open_run("many")
    page = browser.page
    browser.curve("train/loss")
    expect(page.locator("#charts-rest")).to_contain_text("61 of 3,001 metrics")
    page.get_by_role("button", name="layer 60 of 3,000").click()
    shown = page.locator('[data-chart^="layer/"]')
    assert [shown.nth(place).get_attribute("data-chart") for place in (1, 2, 10)] == ["layer/1", "layer/2", "layer/10"]
    page.get_by_role("button", name="Show 60 more").click()
    expect(page.locator(".section-more")).to_contain_text("120 of 3,000 shown", timeout=WAIT_MS)

    # Every key is found, also one that has no slot.
    page.get_by_role("textbox", name="Find metrics").fill("2998 layer")
    assert browser.curve("layer/2998")["y"] == [2998, 2999, 3000]
    expect(shown).to_have_count(1)
    expect(page.locator("#charts-rest")).to_be_empty()
    page.get_by_role("textbox", name="Find metrics").fill("nothing like it")
    expect(page.locator("#charts-none")).to_contain_text("No metric contains", timeout=WAIT_MS)
    expect(page.locator("#charts-none")).to_be_visible()
    expect(shown).to_have_count(0)
    browser.shot("many-metrics")

    # Its name, notes and tags can be changed, and it can be deleted.
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Edit").click()
    page.get_by_label("Name").fill("renamed")
    page.get_by_label("Notes").fill("Because *of it*.")
    page.get_by_label("Tags").fill("team = vision")
    browser.shot("edit")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="renamed", exact=True)).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("tab", name="Overview").click()
    expect(page.locator("#run-overview")).to_contain_text("Because of it.")
    expect(page.locator("#run-overview")).to_contain_text("vision")
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("button", name="Delete run").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible(timeout=WAIT_MS)
    browser.open("/projects/default?filter=renamed")
    expect(page.locator("#runs-count")).to_have_text("0 runs", timeout=WAIT_MS)
    expect(page.get_by_role("link", name="renamed", exact=True)).to_have_count(0)


def test_order_and_columns_are_kept_in_the_address(browser: Browser) -> None:
    browser.sign_in()
    page = browser.page
    page.get_by_role("columnheader", name="Run", exact=True).click()
    page.get_by_role("columnheader", name="Run", exact=True).click()
    page.wait_for_url(re.compile("sort=display_name%3Aasc"))
    expect(page.locator(".ag-pinned-left-cols-container .run-link").first).to_have_text("done-0.01")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("textbox", name="Columns of the table").fill("crea")
    page.get_by_role("option", name="Creator").click()
    page.wait_for_url(re.compile("column=creator"))
    address = page.url
    browser.open("/projects")
    page.goto(address)
    expect(page.locator(".ag-pinned-left-cols-container .run-link").first).to_have_text("done-0.01")


def test_a_restart_of_the_platform_leaves_no_gap_and_nothing_twice(
    browser: Browser, platform: Platform, tmp_path: Path
) -> None:
    browser.sign_in()
    stop = tmp_path / "stop"
    live = trained(platform, LIVE_RUN.replace('name="live"', 'name="restarted"'), str(stop))
    try:
        expect(browser.cell("restarted", "state")).to_have_text("Running", timeout=WAIT_MS)
        browser.open_run("restarted")
        browser.wait_for_steps("train/loss", 20)
        platform.stop()
        expect(browser.page.locator("#connection")).to_be_visible(timeout=WAIT_MS)
        browser.shot("connection-lost")
        platform.start()
        reached = int(browser.curve("train/loss")["x"][-1] or 0)
        browser.wait_for_steps("train/loss", reached + 100)
        expect(browser.page.locator("#notice")).to_be_empty(timeout=WAIT_MS)
        expect(browser.page.locator("#connection")).to_be_hidden(timeout=WAIT_MS)
        steps = browser.curve("train/loss")["x"]
        assert len(set(steps)) == len(steps)
        assert steps[0] == 0
        # While the server was away the browser noted each call that failed.
        away = ("the server did not respond", "DASHBOARD_UNAVAILABLE")
        browser.problems = [problem for problem in browser.problems if not any(words in problem for words in away)]
    finally:
        stop.touch()
        assert live.wait(60) == 0


def test_a_token_signs_in_and_a_wrong_one_does_not(browser: Browser, platform: Platform) -> None:
    browser.open("/projects/default?filter=done")
    page = browser.page
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Access token").fill("pst_" + "0" * 32 + "_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("Access token").fill(platform.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{platform.http}/projects/default?filter=done")
    expect(page.locator("#runs-count")).to_have_text("2 runs", timeout=WAIT_MS)


def test_a_used_link_and_an_ended_session_lead_to_the_sign_in(browser: Browser, platform: Platform) -> None:
    page = browser.page
    browser.open("/setup#psl_" + "0" * 32 + "_used")
    expect(page.get_by_role("alert")).to_contain_text("used before or has expired")
    browser.sign_in()
    ended = {"name": "penstock_session", "value": "pss_ended", "url": platform.http, "httpOnly": True}
    browser.context.add_cookies([ended])  # type: ignore[list-item] # a dictionary of that shape
    browser.open("/projects/default")
    page.wait_for_url(re.compile(r"/sign-in\?expired=1"))
    expect(page.get_by_role("alert")).to_contain_text("session has ended")


def test_models_their_versions_and_gates(browser: Browser, platform: Platform, tmp_path: Path) -> None:
    def penstock(*arguments: str) -> None:
        subprocess.run([PENSTOCK, *arguments], env=platform.env, capture_output=True, check=True)

    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"checks": [{"id": "floor", "threshold": {"metric": "acc", "min": 0.8}}]}))
    for value in ("0.85", "0.93"):
        penstock("model", "register", "reader (v2)", "--metric", f"acc={value}")
    penstock("gate", "set", "reader (v2)", str(policy))
    penstock("gate", "check", "reader (v2)/2")
    penstock("model", "alias", "reader (v2)/2", "production", "-m", "better on French")
    browser.sign_in()
    page = browser.page
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.get_by_role("heading", name="Models")).to_be_visible(timeout=WAIT_MS)
    page.locator("#models-filter").fill("aliases.production = 2")
    page.locator("#models-filter").press("Enter")
    page.wait_for_url(re.compile(r"/models\?filter="))
    browser.shot("models")
    page.get_by_role("link", name="reader (v2)", exact=True).click()
    expect(page.get_by_role("heading", name="reader (v2)")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("better on French")).to_be_visible()
    browser.shot("model")
    page.get_by_role("cell", name="2", exact=True).first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="reader (v2) / 2")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("acc is 0.93, within bounds.")).to_be_visible()
    browser.shot("model-version")
    page.get_by_role("link", name="Gates", exact=True).click()
    expect(page.get_by_role("heading", name="Gates")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("0.8 ≤ acc")).to_be_visible()
    browser.shot("gates")
    page.get_by_role("link", name="version 2", exact=True).click()
    expect(page.get_by_role("heading", name="reader (v2) / 2")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible(timeout=WAIT_MS)


def test_files_of_artifacts_and_runs(browser: Browser, platform: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    (folder / "plots").mkdir(parents=True)
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    (folder / "plots" / "loss.png").write_bytes(base64.b64decode(pixel))
    (folder / "table.csv").write_text("epoch,loss\n1,0.5\n")
    (folder / "page.html").write_text("<h1>Not ours</h1>")
    subprocess.run([PENSTOCK, "artifact", "put", "reader", folder], env=platform.env, capture_output=True, check=True)
    browser.sign_in()
    page = browser.page
    page.get_by_role("link", name="Artifacts", exact=True).click()
    page.get_by_role("link", name="reader", exact=True).click()
    page.get_by_role("cell", name="1", exact=True).first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="reader / 1")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("link", name="table.csv").click()
    expect(page.get_by_text("1 row, 2 columns")).to_be_visible(timeout=WAIT_MS)
    browser.shot("artifact-table")
    page.get_by_role("link", name="page.html").click()
    expect(page.get_by_text("<h1>Not ours</h1>")).to_be_visible(timeout=WAIT_MS)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    assert downloading.value.path().read_text() == "<h1>Not ours</h1>"
    page.get_by_role("link", name="plots").click()
    page.get_by_role("link", name="loss.png").click()
    shown = page.locator(".preview-image")
    expect(shown).to_be_visible(timeout=WAIT_MS)
    page.wait_for_function("document.querySelector('.preview-image').naturalWidth === 1")
    browser.shot("artifact-image")


def test_what_does_not_exist_is_said_in_words(browser: Browser) -> None:
    browser.sign_in()
    browser.open(f"/projects/default/runs/{'0' * 32}")
    expect(browser.page.get_by_role("heading", name="Not found")).to_be_visible(timeout=WAIT_MS)
    browser.open("/nowhere/at/all")
    expect(browser.page.get_by_role("heading", name="Nothing here")).to_be_visible(timeout=WAIT_MS)
    browser.open("/projects/not-there")
    expect(browser.page.locator(".message-page")).to_be_visible(timeout=WAIT_MS)


def test_the_first_paint_follows_the_system(playwright: Playwright, platform: Platform, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    context = playwright.chromium.launch_persistent_context(
        str(tmp_path / "profile"),
        executable_path=chromium,
        headless=True,
        args=CHROMIUM_OPTIONS,
        color_scheme="dark",
        env={**os.environ},
    )
    try:
        page = context.new_page()
        page.goto(f"{platform.http}/sign-in")
        assert page.locator("html").get_attribute("data-mantine-color-scheme") == "dark"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 24)"
    finally:
        context.close()
