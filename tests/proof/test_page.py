"""The detector's page in a real browser, headless: an accessibility checker finds nothing, and its figures
are those of `--json`.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import test_road
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
    return pages


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
    charted = [days for one in document["metrics"].values() if len(days := past(one, today)) > 1]
    assert (charted != []) == (name == "due")
    assert len(texts("figure")) == len(charted)
    assert sorted(texts("figure tbody td:first-child")) == sorted(day for days in charted for day in days)
    assert texts("main .command") == [document["next"]["command"]]
    assert document["next"]["command"] == ("make upgrade LEVEL=2" if name == "due" else "make todo")


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", ["first-day", "due", "road"])
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
def test_the_page_asks_nobody_for_anything(opened: Callable[..., Any]) -> None:
    browser = opened("due")
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == [], "no error, and nothing that its own policy forbids"


@needs_browser
def test_it_prints_on_a_few_sheets(opened: Callable[..., Any]) -> None:
    browser = opened("due")
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
    assert "copier_levels/evolution/checks/level_1.py" in names
