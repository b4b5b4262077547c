"""Deploys of level 3 to environments whose hosts are stand-ins, to see what holds them up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.projects import Project
from tests.support.stand_ins import StandIns


class Deploys:
    """A project with these environments, in order; called, it deploys to one of them."""

    def __init__(self, project: Project, folder: Path, environments: Sequence[str], prometheus: str) -> None:
        self.project, self.host = project, StandIns(folder / "stand-ins")
        levels = json.loads(project.read("config/levels.json"))
        levels |= {"environments": dict.fromkeys(environments, ""), "repository": "me/shop"}
        project.write("config/levels.json", json.dumps(levels))
        (project.folder / "tests/smoke/test_smoke.py").unlink()
        for number, name in enumerate(environments):
            project.write(
                f"config/{name}.env",
                f"DEPLOY_HOST=deployer@{name}.example.org\nAPI_PORT={8000 + number}\nPROMETHEUS_URL={prometheus}\n",
            )

    def __call__(self, environment: str, **more: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a deploy."""
        ours = {
            name: value
            for name, value in os.environ.items()
            if name not in ("CI", "REASON")
            and not name.startswith(("DEPLOY_", "GITHUB_", "MAKE", "PROMETHEUS"))
        }
        path = f"{self.host.bin}:{os.environ['PATH']}"
        done = subprocess.run(
            [sys.executable, "-P", "-m", "deploy", "deploy", environment, "--version", "one"],
            cwd=self.project.folder,
            env={**ours, "PATH": path, "PYTHONPATH": "ci", **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def record(self, environment: str) -> list[dict[str, Any]]:
        """What the environment's host has on record."""
        file = self.host.host / f"deploy/shop-{environment}/log.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
