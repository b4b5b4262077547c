"""The documentation holds what it says: links lead somewhere, commands exist, and the tables are complete."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from docs.images.make import levels_picture
from extensions.errors import Refused
from extensions.template import layers
from extensions.template.answers import check
from tests.support.projects import ROOT, Project

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MANIFESTS = layers.manifests(ROOT)

# What the original document names. It is no part of this repository.
ORIGINAL_PATHS = {
    ".github/workflows/",
    "config/evolution.yml",
    "config/feature-flags.yml",
    "config/production.env",
    "config/staging.env",
    "scripts/evolution_detector.py",
    "scripts/generate-checklist.sh",
    "scripts/generators/generate-deployment.py",
    "scripts/generators/generate-docs.py",
    "scripts/generators/generate-tests.py",
    "scripts/setup/init-level-1.sh",
    "scripts/setup/upgrade-to-level-2.sh",
    "scripts/setup/upgrade-to-level-3.sh",
    "scripts/setup/upgrade-to-level-4.sh",
    "services/{service}/health.py",
    "templates/level-1-basic/",
    "templates/level-1-basic/health_endpoint_template.py",
    "templates/level-1-basic/test_template.py",
    "templates/level-2-automated/",
    "templates/level-2-automated/production.env.template",
    "templates/level-2-automated/staging-deploy.yml",
    "templates/level-2-automated/staging.env.template",
    "templates/level-2-automated/test_api_integration.py",
    "templates/level-3-professional/",
    "templates/level-4-enterprise/",
    "tests/integration/",
    "tests/unit/test_{module}.py",
}
ORIGINAL_KEYS = {
    *("current_level", "target_level", "level_2_trigger", "level_3_trigger", "level_4_trigger"),
    *("automated_testing", "staging_deployment", "monitoring", "security_scanning"),
    *(
        "health_endpoints",
        "basic_testing",
        "integration_testing",
        "monitoring_dashboards",
        "blue_green_deployment",
        "a_b_testing",
    ),
    *(
        "service",
        "status",
        "timestamp",
        "version",
        "environment",
        "ready",
        "checks",
        "SERVICE_VERSION",
        "ENVIRONMENT",
    ),
}


def without_code(text: str) -> str:
    """Markdown without what stands in code: a link there is none."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))


def code(text: str) -> str:
    """What stands in code."""
    return "\n".join(re.findall(r"^ *```.*?^ *```|`[^`\n]+`", text, re.MULTILINE | re.DOTALL))


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(
        r"^#+ +(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(page: Path, root: Path) -> None:
    """Raises AssertionError for a link in `page` that leads nowhere, or out of `root`."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists() and to.is_relative_to(root.resolve()), f"{page.relative_to(root)}: {target}"
        if anchor:
            assert anchor in anchors(to.read_text(encoding="utf-8")), f"{page.relative_to(root)}: {target}"


def rows(page: str, heading: str = "") -> list[list[str]]:
    """The cells of the tables of a page, or of those below one of its headings."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    if heading:
        text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if not set("".join(line)) <= set("- |")]


def test_pictures_are_there_light_and_dark_and_fetch_nothing() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert len(shown) == 4 and {name.replace("-dark", "-light") for name in shown} < set(shown)
    for name in shown:
        picture = (ROOT / name).read_text(encoding="utf-8")
        ElementTree.fromstring(picture)
        outside = picture.replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")
        assert "://" not in outside and "<script" not in picture


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_of_the_levels_is_drawn_from_the_manifests(scheme: str) -> None:
    picture = (ROOT / f"docs/images/levels-{scheme}.svg").read_text(encoding="utf-8")
    assert picture == levels_picture(scheme, MANIFESTS), "`make docs` draws it again"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    check_links(page, ROOT)


def test_links_of_a_rendered_project_lead_to_files(fresh: Callable[..., Project]) -> None:
    project = fresh(4, two=True)
    pages = [path for path in project.folder.rglob("*.md") if ".venv" not in path.parts]
    assert len(pages) >= 6
    for page in pages:
        check_links(page, project.folder)


def test_every_decision_has_the_same_parts() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len({page.name[:4] for page in decisions}) == len(decisions)
    for page in decisions:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
        ], page.name


def targets(text: str) -> set[str]:
    """The make targets that code in a text names."""
    # What `make set` is given are answers.
    calls = re.findall(
        r"\bmake(?: -f levels\.mk)?((?: (?:[a-z][a-z-]*|[A-Z_]+=(?:\"[^\"]*\"|[^\s`]*)))+)",
        re.sub(r"\bmake set\b.*", "make set", code(text)),
    )
    return {word for call in calls for word in re.sub(r"[A-Z_]+=(\"[^\"]*\"|\S*)", "", call).split()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_make_targets_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    known |= {target.name for manifest in MANIFESTS for target in manifest.targets} | {"help"}
    text = page.read_text(encoding="utf-8")
    if page.name.startswith("0005-"):
        text = text.replace("`make record deploy`", "")  # what it decides against
    assert targets(text) <= known


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_make_targets_in_the_pages_of_a_project_exist_at_that_level(
    fresh: Callable[..., Project], level: int
) -> None:
    project = fresh(level)
    known = {
        target.name for manifest in MANIFESTS if manifest.level <= level for target in manifest.targets
    } | {"help"}
    for page in project.folder.rglob("*.md"):
        assert targets(page.read_text(encoding="utf-8")) <= known, page.relative_to(project.folder)


def test_answers_are_those_that_are_asked() -> None:
    asked = {}
    for folder in layers.layer_folders(ROOT).values():
        questions = yaml.safe_load((folder / "_level" / "questions.yml").read_text(encoding="utf-8")) or {}
        asked |= {f"`{name}`": folder.name[0] for name in questions if not name.startswith("_")}
    text = (ROOT / "docs" / "answers.md").read_text(encoding="utf-8").split("\n## ")[0]
    told = re.findall(r"^\| (`\w+`) \| (\d) \|", text, re.MULTILINE)
    assert dict(told) == asked and len(told) == len(asked)


def test_bad_values_are_refused_as_the_page_says() -> None:
    for given, told in (row[:2] for row in rows("answers.md", "Bad values")[1:]):
        key, _, value = given.strip("`").partition("=")
        with pytest.raises(Refused) as refused:
            check({key: value}, 4)
        assert f"`{refused.value}`" in told


def test_everything_of_the_original_is_mapped() -> None:
    told = {word for row in rows("from-the-original.md") for word in re.findall(r"`([^`]+)`", row[0])}
    words = {word for text in told for word in re.findall(r"[\w-]+", text)}
    assert not {path for path in ORIGINAL_PATHS if path not in {text.removeprefix("./") for text in told}}
    assert words >= ORIGINAL_KEYS | {
        "create_health_endpoint",
        "EvolutionDetector",
        "TestGenerator",
        "generate_upgrade_recommendation",
    }


def test_every_file_that_has_its_path_from_the_original_is_mapped() -> None:
    text = (ROOT / "docs" / "from-the-original.md").read_text(encoding="utf-8")
    for manifest in MANIFESTS:
        for path in (file.path.replace("@service/", "services/{service}/") for file in manifest.files):
            if path in ORIGINAL_PATHS or path.removesuffix(".template") in ORIGINAL_PATHS:
                assert f"`{path}`" in text, path


def test_what_the_original_became_exists(fresh: Callable[..., Project]) -> None:
    project = fresh(4)
    for row in rows("from-the-original.md"):
        for path in re.findall(r"`((?:config|ci|docs|services|tests|\.github)/[^`]*|Dockerfile)`", row[1]):
            here = path.replace("NAME", "api")
            assert (project.folder / here).exists(), path


def test_why_a_figure_is_unknown_is_told_as_the_page_has_it() -> None:
    evolution = ROOT / "extensions" / "evolution"
    source = "".join(path.read_text(encoding="utf-8") for path in evolution.rglob("*.py"))
    table = rows("measuring.md", "When a figure is unknown")[1:]
    named = [span for row in table for span in re.findall("`(.*?)`", row[0])]
    assert len(named) > 10
    for span in named:
        for part in re.split(r"\d+ days|\d+|production", span):
            assert part.strip() in source or span == "detected dubious ownership", span


def test_what_adoption_refuses_is_what_the_page_lists() -> None:
    """Each message stands in the source, but for what is put into it."""
    source = re.sub(
        r'"\s+f?"', "", (ROOT / "extensions" / "rendering" / "preflight.py").read_text(encoding="utf-8")
    )
    for message, *_ in rows("adoption.md", "What is refused")[1:]:
        fixed = re.split(r"…|config\b\S*|\(.*", message.strip("`").partition(": ")[2])
        assert max(fixed, key=len).strip(" ,") in source, message
