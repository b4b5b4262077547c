"""Dashboards are what Grafana's own types say: no server of it can be had here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.debian import call, made_once
from tests.support.projects import ROOT
from tests.support.proofs import session_caches

pytestmark = pytest.mark.proof

DASHBOARDS = {
    file.stem: file.read_text()
    for file in sorted((ROOT / "levels/3-professional/monitoring/dashboards").glob("*.json"))
}
PACKAGES = ("@grafana/schema@13.2.0", "typescript@5.9.3")
# In JSON stand the values of enums, not their names; and the fields that Prometheus' annotations have of their own.
TYPES = """\
import type { AnnotationQuery, Dashboard } from "@grafana/schema";
type Plain<T> = T extends string ? `${T}` : T extends (infer E)[] ? Plain<E>[]
  : T extends number | boolean | null | undefined ? T : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Annotation = AnnotationQuery & { expr: string; titleFormat: string; textFormat: string };
type Ours = Omit<Dashboard, "annotations"> & { annotations: { list: Annotation[] } };
"""


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with TypeScript and Grafana's types."""
    if shutil.which("npm") is None:
        pytest.skip("npm isn't installed")

    def make(folder: Path) -> None:
        folder.mkdir()
        call("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES, folder=folder)

    return made_once(session_caches(tmp_path_factory) / "grafana-types", make)


def errors(checker: Path, dashboards: dict[str, str], tmp_path: Path) -> list[str]:
    """What TypeScript says of them, a line each."""
    values = (f"export const {name}: Plain<Ours> = {text};\n" for name, text in dashboards.items())
    (tmp_path / "check.ts").write_text(TYPES + "".join(values))
    (tmp_path / "node_modules").symlink_to(checker / "node_modules")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--preserveSymlinks"]
    done = subprocess.run(
        [str(checker / "node_modules/.bin/tsc"), *options, "check.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in done.stdout.splitlines() if "error TS" in line]


def test_dashboards_have_grafanas_types(checker: Path, tmp_path: Path) -> None:
    assert errors(checker, DASHBOARDS, tmp_path) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"w": 12', '"w": "12"'),
        ('"titleFormat"', '"titelFormat"'),
        ('"mode": "absolute"', '"mode": "absolut"'),
        ('"gridPos"', '"gridPosition"'),
    ],
)
def test_a_mistake_in_a_dashboard_is_found(checker: Path, tmp_path: Path, right: str, wrong: str) -> None:
    text = DASHBOARDS["overview"]
    assert right in text and errors(checker, {"overview": text.replace(right, wrong, 1)}, tmp_path)


def test_dashboards_find_services_by_their_labels_and_not_by_name() -> None:
    for name, text in DASHBOARDS.items():
        dashboard = json.loads(text)
        known = {one["name"] for one in dashboard["templating"]["list"]}
        assert {"project", "environment"} <= known, name
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len({*ids}), name
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                assert "$project" in target["expr"], f"{name}: {panel['title']}"
