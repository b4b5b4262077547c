"""What a project weighs at levels 2 to 4, and what each further service adds: so that growth is decided, not found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.projects import Project


def weight(project: Project) -> tuple[int, int]:
    """Files and lines of a project, without what Copier keeps for itself."""
    files = [path for path in project.tree() if path != ".copier-answers.yml"]
    return len(files), sum(len(project.read(path).splitlines()) for path in files)


@pytest.mark.parametrize(("level", "files", "lines"), [(2, 60, 3500), (3, 80, 5500), (4, 100, 7500)])
def test_a_level_stays_within_its_budget(fresh: Callable[..., Project], level: int, files: int, lines: int) -> None:
    found = weight(fresh(level))
    assert found[0] <= files and found[1] <= lines, found


def test_a_further_service_stays_within_its_budget(fresh: Callable[..., Project], project: Project) -> None:
    more = weight(project.copy(level=4, services=["api", "orders"]))
    assert more[1] - weight(fresh(4))[1] <= 300
