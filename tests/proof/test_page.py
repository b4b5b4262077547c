"""The detector's page, and that of the experiments, in a real browser, headless: an accessibility checker
finds nothing, and the figures are those of `--json`.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import test_road
from tests.support.experiment_events import START, plan, planted
from tests.support.pasts import commits, deployments, finished
from tests.support.projects import ROOT, TWO_SERVICES, Project
from tests.support.proofs import Machine, find_uv, fresh_machine

pytestmark = pytest.mark.proof

AXE = "axe-core@4.14.1"
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="chromium and chromium-driver are absent"
)
WIDTHS = {"phone": 390, "desk": 1280}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


@pytest.fixture(scope="module")
def axe(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("npm") is None:
        pytest.skip("npm is absent, and axe-core comes from there")
    folder = tmp_path_factory.mktemp("axe")
    machine.run(f"npm install --silent --no-fund --no-audit --prefix {folder} {AXE}", folder)
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Pages with the documents that they show: a first day, and a project with a past for which level 2 is
    due.
    """
    from extensions.analytics import page as analytics_page
    from extensions.evolution import page, road
    from extensions.evolution.detector import detect
    from extensions.template import answers

    now = datetime.now(UTC)
    folder = tmp_path_factory.mktemp("pages")
    pages: dict[str, tuple[Path, dict[str, Any]]] = {}
    for name in ("first-day", "due"):
        project = Project(folder / name, template).copy(services=[dict(service) for service in TWO_SERVICES])
        if name == "due":
            finished(project)
            project.replace("config/evolution.yml", "uptime_requirement: null", "uptime_requirement: 99.9%")
            deployments(commits(project, now, [1] * 10 + [4] * 10), now, [1, 2, 2, 3] * 5)
        document = detect(
            project.folder, answers.recorded_answers(project.folder), now=now, offline=True
        ).as_json()
        path = folder / f"{name}.html"
        path.write_text(page.render(document), encoding="utf-8")
        pages[name] = (path, document)
    assert pages["due"][1]["recommendation"]["level"] == 2
    seen = test_road.document()
    pages["road"] = (folder / "road.html", seen)
    pages["road"][0].write_text(road.render(seen, folder), encoding="utf-8")
    seen = experiments(folder)
    pages["experiments"] = (folder / "experiments.html", seen)
    pages["experiments"][0].write_text(analytics_page.render(seen), encoding="utf-8")
    return pages


def experiments(folder: Path) -> dict[str, Any]:
    """The document of four experiments: one to ship, of three variants with guardrails, one that runs on, one
    that is unhealthy, and one that nobody has seen.
    """
    from extensions.analytics import report
    from extensions.analytics.experiments import Metric

    rates = {"off": 0.2, "short": 0.26, "long": 0.17}
    more = {
        "refund": {"off": 0.05, "short": 0.052, "long": 0.07},
        "call": {"off": 0.01, "short": 0.01, "long": 0},
    }
    units = dict.fromkeys(rates, 6000)
    events = planted(folder / "e", units, rates, days=12, more=more)
    planted(events, {"a": 2500, "b": 2450}, {"a": 0.2, "b": 0.21}, days=9, flag="calm")
    planted(events, {"a": 2500, "b": 3000}, {"a": 0.2, "b": 0.21}, days=9, flag="crooked")
    (events / "web-2026-11-03-host-3.jsonl").write_text("broken\n")
    guardrails = (Metric("refund", "rate", "up", 0.5), Metric("call", "mean", "up"))
    two = {"variants": {"a": 1.0, "b": 1.0}}
    plans = [
        plan(variants=dict.fromkeys(rates, 1.0), guardrails=guardrails, sample=18_000),
        plan(**two, name="calm", flag="calm"),
        plan(**two, name="crooked", flag="crooked"),
        plan(**two, name="unseen", flag="unseen"),
    ]
    return report.make("shop", events, plans, ["idea"], START + timedelta(days=12))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, pages: dict[str, tuple[Path, dict[str, Any]]]) -> Callable[..., Any]:
    def look(name: str, width: int = 1280, dark: bool = False) -> Any:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(pages[name][0].as_uri())
        return browser

    return look


def past(metric: dict[str, Any], today: str) -> list[str]:
    """The days on which a metric is known: the Mondays of its history, and today if it has one."""
    days = [week for week, _ in metric["history"]]
    return [*days, today] if days and metric["value"] is not None and days[-1] < today else days


@needs_browser
@pytest.mark.parametrize("name", ["first-day", "due"])
def test_the_figures_on_the_page_are_those_of_json(
    opened: Callable[..., Any], pages: dict[str, tuple[Path, dict[str, Any]]], name: str
) -> None:
    document = pages[name][1]
    browser = opened(name)

    def texts(selector: str) -> list[str]:
        return browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())", selector
        )

    today = document["at"][:10]
    assert texts(".headline") == [document["verdict"]["headline"]]
    parts = [part for stage in document["roadmap"] for part in stage["parts"]]
    outcomes = {True: "holds", False: "not yet", None: "unknown"}
    shown = [[part["name"], part["shown"], part["against"], outcomes[part["outcome"]]] for part in parts]
    cells = texts(".road tbody th, .road tbody td")
    assert [cells[n : n + 4] for n in range(0, len(cells), 4)] == shown
    known = {one["metric"]: one for one in document["metrics"].values() if one["value"] is not None}
    rows = browser.execute_script(
        "return [...document.querySelectorAll('tr[data-metric]')].map(r => [r.dataset.metric,"
        " r.cells[1].textContent.trim()])"
    )
    assert dict(rows) == {metric: one["shown"] for metric, one in known.items()}
    dora = ("deployment_frequency", "lead_time", "change_failure_rate", "time_to_restore")
    assert texts(".dora dd:first-of-type") == [known.get(one, {"shown": "unknown"})["shown"] for one in dora]
    assert len([one for one in dora if one in known]) == (2 if name == "due" else 0)
    charted = [days for one in document["metrics"].values() if len(days := past(one, today)) > 1]
    assert (charted != []) == (name == "due")
    assert len(texts("figure")) == len(charted)
    assert sorted(texts("figure tbody td:first-child")) == sorted(day for days in charted for day in days)
    assert texts("main .command") == [document["next"]["command"]]
    assert document["next"]["command"] == ("make upgrade LEVEL=2" if name == "due" else "make todo")


@needs_browser
def test_the_figures_of_experiments_are_those_of_json(
    opened: Callable[..., Any], pages: dict[str, tuple[Path, dict[str, Any]]]
) -> None:
    from extensions.analytics.page import charts, rows

    document = pages["experiments"][1]
    browser = opened("experiments")
    states = [one["verdict"]["state"] for one in document["experiments"]]
    assert states == ["ship", "keep running", "unhealthy", "no data"]
    for one in document["experiments"]:
        inside = f"article[data-experiment='{one['name']}']"

        def texts(selector: str, inside: str = inside) -> list[str]:
            return browser.execute_script(
                "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())",
                f"{inside} {selector}",
            )

        assert texts(".headline") == [one["verdict"]["sentence"]]
        assert texts(".tag") == [one["verdict"]["state"]]
        shown = list(rows(one))
        assert len(shown) == sum(1 + len(two["guardrails"]) for two in one["comparisons"])
        cells = browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(r => [...r.cells].map(c => c.textContent))",
            f"{inside} tr[data-row]",
        )
        assert cells == [
            [
                f"{row.metric}, {row.role}",
                row.variant,
                row.treatment,
                row.control,
                row.change,
                row.interval,
                row.state,
                row.adjusted,
            ]
            for row in shown
        ]
        looks = [look["day"] for two in one["comparisons"] for look in two["over_time"]]
        assert texts("figure tbody td:first-child") == looks
        assert len(texts("figure svg")) == len(list(charts(one))) == len(one["comparisons"])
        for variant, units in one["units"].items():
            assert f"{variant}: {units:,}" in texts("dd")


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", ["first-day", "due", "road", "experiments"])
def test_an_accessibility_checker_finds_nothing(
    opened: Callable[..., Any], axe: str, name: str, width: int, dark: bool
) -> None:
    browser = opened(name, width, dark)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width, (
        "nothing stands out at the side"
    )
    browser.execute_script(axe)
    found = browser.execute_async_script(
        "axe.run().then(arguments[0], error => arguments[0]({violations: [String(error)], passes: []}))"
    )
    assert found["violations"] == [], json.dumps(found["violations"], indent=1)[:2000]
    assert len(found["passes"]) > 15, "it looked"


@needs_browser
def test_the_checker_would_find_something(opened: Callable[..., Any], axe: str) -> None:
    browser = opened("due")
    browser.execute_script(
        "document.querySelector('.headline').style.color = '#eee';"
        " document.documentElement.removeAttribute('lang')"
    )
    browser.execute_script(axe)
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    assert {"color-contrast", "html-has-lang"} <= {one["id"] for one in found["violations"]}


@needs_browser
@pytest.mark.parametrize("name", ["due", "experiments"])
def test_the_page_asks_nobody_for_anything(opened: Callable[..., Any], name: str) -> None:
    browser = opened(name)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == [], "no error, and nothing that its own policy forbids"


@needs_browser
@pytest.mark.parametrize("name", ["due", "experiments"])
def test_it_prints_on_a_few_sheets(opened: Callable[..., Any], name: str) -> None:
    browser = opened(name)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF") and 1 <= printed.count(b"/Type /Page\n") <= 5


def test_the_package_contains_the_pages_template(tmp_path: Path) -> None:
    """`uvx` runs the command from a wheel: what isn't in it can't be rendered there."""
    import subprocess

    uv = find_uv(tmp_path)
    subprocess.run(
        [str(uv), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), "--python", sys.executable],
        cwd=ROOT,
        check=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "copier_levels/evolution/page.html.jinja" in names
    assert "copier_levels/analytics/analytics.html.jinja" in names
    assert "copier_levels/evolution/checks/level_1.py" in names
