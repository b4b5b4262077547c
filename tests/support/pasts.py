"""Projects with a past: commits of several people and a deployment log, week by week up to a given moment."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

from extensions.evolution.checklist import check
from extensions.template.answers import recorded_answers
from tests.support.projects import Project, git


def commits(project: Project, now: datetime, people_by_week: list[int]) -> Project:
    """Give the project a history: in each week, the last one being this, so many different people commit.

    Files stay as they are.
    """
    lines = []
    for back, people in enumerate(reversed(people_by_week)):
        for person in range(people):
            lines.append(
                (
                    now - timedelta(weeks=back, hours=1 + person),
                    f"Person {person} <person{person}@example.com>",
                )
            )
    stream = ["reset refs/heads/past\n\n"]
    for at, who in sorted(lines):
        stream.append(
            f"commit refs/heads/past\nauthor {who} {_git(at)}\ncommitter {who} {_git(at)}\ndata 4\nwork\n\n"
        )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=project.folder, input="".join(stream).encode(), check=True
    )
    tree = git(project.folder, "write-tree").strip()
    date = _git(now - timedelta(minutes=5))
    environment = {
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_DATE": date,
        "GIT_AUTHOR_NAME": "Person 0",
        "GIT_COMMITTER_NAME": "Person 0",
    }
    environment |= {"GIT_AUTHOR_EMAIL": "person0@example.com", "GIT_COMMITTER_EMAIL": "person0@example.com"}
    head = _run(project.folder, ["git", "commit-tree", tree, "-p", "past", "-m", "now"], environment)
    git(project.folder, "reset", "--quiet", "--soft", head)
    git(project.folder, "branch", "--quiet", "--delete", "--force", "past")
    return project


def deployments(project: Project, now: datetime, by_week: list[int]) -> Project:
    """Write a deployment log with so many deployments to production in each week, the last one being this."""
    entries = []
    for back, count in enumerate(reversed(by_week)):
        for number in range(count):
            at = now - timedelta(weeks=back, hours=2 + 160 * number / max(count, 1))
            entries.append(
                {
                    "kind": "deploy",
                    "environment": "production",
                    "version": "abc1234",
                    "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                }
            )
    entries.sort(key=lambda entry: entry["at"])
    project.write(
        "config/deploys.jsonl",
        "".join(json.dumps({**entry, "by": "A Tester", "outcome": "success"}) + "\n" for entry in entries),
    )
    return project


def finished(project: Project) -> Project:
    """Exempt the project from what its checklist has to do: what comes next is about something else."""
    todo = [
        item.key
        for item in check(project.folder, recorded_answers(project.folder), offline=True)
        if item.state == "todo"
    ]
    project.replace(
        "config/evolution.yml",
        "exempt:\n",
        "exempt:\n" + "".join(f"  {key}: this test is about something else\n" for key in todo),
    )
    return project


def _git(at: datetime) -> str:
    return f"{int(at.timestamp())} +0000"


def _run(folder: Path, command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
