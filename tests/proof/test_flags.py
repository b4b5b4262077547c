"""Flags where Python lacks PyYAML, and `make flags` with figures, by the command of a published template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.projects import Project, git
from tests.support.proofs import ADDRESS, Machine, fresh_machine, publish

pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def test_a_machine_with_neither_uv_nor_pyyaml_resolves_the_flags(
    machine: Machine, at_level: Callable[..., Project], tmp_path: Path
) -> None:
    project = at_level(2)
    folder = project.folder
    project.replace(
        "config/feature-flags.yml", "      integration_testing: true\n", "      integration_testing: false\n"
    )
    python = tmp_path / "bare" / "bin" / "python"
    machine.run(f"python3 -m venv {tmp_path / 'bare'}; {python} -c 'import json'", folder)
    machine.run(f"{python} -c 'import yaml'", folder, code=1)
    said = machine.run(f"make -f levels.mk PYTHON={python} integration ENV=staging", folder, uv=False)
    assert "the integration tests: not run, because integration_testing is off for staging" in said
    said = machine.run(f"make -f levels.mk PYTHON={python} integration ENV=stagin", folder, code=2, uv=False)
    assert "expected one of local, staging, production, got 'stagin'" in said
    assert git(folder, "status", "--porcelain") == " M config/feature-flags.yml\n"


def test_measured_flags_come_from_the_template_at_the_version_of_the_project(
    machine: Machine, tmp_path: Path
) -> None:
    publish(machine, tmp_path)
    machine.run(f"uvx --from git+{ADDRESS} levels new shop --level 2", tmp_path)
    machine.commit(tmp_path / "shop")
    said = machine.run("make flags ENV=staging", tmp_path / "shop")
    assert "when staging_deployment.enabled: holds (staging_deployment is on)\n" in said
    assert "when user_base > 10000: unknown (user_base is unknown: " in said
