"""What the tests share: the template as a repository of its own, and projects made from it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.expected_skips import unexpected
from tests.support.projects import ROOT, TWO_SERVICES, Project, make_template


def pytest_configure(config: pytest.Config) -> None:
    # Tests that use `copie` take the template from here.
    config.option.template = str(ROOT)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, a test that is skipped for a reason that nobody expected (tests/support/expected_skips.py) fails
    the session.
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    found = unexpected(
        [
            report.longrepr[2]
            for report in reporter.stats.get("skipped", [])
            if isinstance(report.longrepr, tuple)
        ]
    )
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("")
        reporter.write_line("skipped, and not expected in CI: " + "; ".join(found), red=True)


@pytest.fixture(scope="session", autouse=True)
def hermetic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of the tests' own: no person's git or copier settings, no cache."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = A Tester\n\temail = tester@example.com\n[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n'
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    patch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    patch.setenv("COPIER_SETTINGS_PATH", str(home / "settings.yml"))
    patch.setenv("COPIER_CACHE_DIR", str(home / "copier"))
    for name in [name for name in os.environ if name.startswith("GIT_") and "CONFIG" not in name]:
        patch.delenv(name)
    patch.delenv("MAKELEVEL", raising=False)  # the command would talk as to somebody who called make
    (home / "settings.yml").write_text("{}\n")
    yield
    patch.undo()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, hermetic: None) -> Path:
    """The template as it stands in the work tree, committed and tagged v1.0.0 in a repository of its own."""
    return make_template(tmp_path_factory.mktemp("template") / "copier-levels", "v1.0.0")


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Project:
    """A folder that holds nothing yet."""
    return Project(tmp_path / "shop", template)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Callable[..., Project]:
    """A fresh copy at a level, made once per level and set of services: to compare with, or to clone; not to
    change.
    """
    copies: dict[tuple[int, bool], Project] = {}

    def at(level: int, two: bool = False) -> Project:
        if (level, two) not in copies:
            folder = tmp_path_factory.mktemp(f"fresh{level}") / "shop"
            copies[level, two] = Project(folder, template).copy(
                level=level, **({"services": [dict(s) for s in TWO_SERVICES]} if two else {})
            )
        return copies[level, two]

    return at


@pytest.fixture
def at_level(project: Project, fresh: Callable[..., Project]) -> Callable[..., Project]:
    """A project of its own at a level, as a fresh copy gives it."""

    def at(level: int, two: bool = False) -> Project:
        shutil.copytree(fresh(level, two).folder, project.folder, symlinks=True)
        return project

    return at
