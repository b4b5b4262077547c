"""Our own workflows keep the rules of those that we ship."""

from __future__ import annotations

import re

import yaml

from tests.support.projects import ROOT

PINNED = re.compile(r"^\s*(?:- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*$")


def test_actions_are_pinned_and_rights_are_given_by_the_job() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        assert all(PINNED.match(line) for line in text.splitlines() if "uses:" in line), path
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {}
        assert all("permissions" in job and "timeout-minutes" in job for job in workflow["jobs"].values())


def test_ci_runs_what_the_readme_names() -> None:
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "\nmake test\n" in run and "\nmake proof\n" in run
    assert "```sh\nmake test\n```" in (ROOT / "README.md").read_text(encoding="utf-8")
