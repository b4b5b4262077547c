"""The package as it will be published: built, installed from its file, and used."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support.projects import ROOT, git
from tests.support.proofs import ADDRESS, Machine, fresh_machine, publish

pytestmark = pytest.mark.proof

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


@pytest.fixture(scope="module")
def published(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the tag of this version, where the package says that it comes from."""
    bare = publish(machine, tmp_path_factory.mktemp("published"))
    git(bare, "tag", f"v{VERSION}", "v1.0.0")
    git(bare, "tag", "--delete", "v1.0.0")
    return bare


@pytest.fixture(scope="module")
def wheel(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    machine.run(f"uv build --quiet --out-dir {folder} {ROOT}", folder)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_template_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"copier_levels-{VERSION}.dist-info"
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "\nLicense-Expression: MIT\n" in metadata and "\nRequires-Python: >=3.11\n" in metadata
    shipped = [
        name
        for name in git(ROOT, "ls-files", "copier.yml", "levels", "extensions").splitlines()
        if (ROOT / name).is_file()
    ]
    assert not {f"copier_levels/_template/{name}" for name in shipped} - names, (
        "each file of the template, those with a dot too"
    )
    assert not [
        name for name in names if "__pycache__" in name or name.startswith(("tests/", "copier_levels/tests/"))
    ]


def test_a_project_made_by_the_package_can_be_updated(
    machine: Machine, published: Path, wheel: Path, tmp_path: Path
) -> None:
    """`uvx copier-levels new`, with the package's file in place of the index."""
    machine.run(f"uvx --quiet --from {wheel} copier-levels new my-service", tmp_path)
    project = tmp_path / "my-service"
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert (recorded["_src_path"], recorded["_commit"]) == (
        ADDRESS,
        f"v{VERSION}",
    ), "not a folder of this machine's"
    machine.commit(project)
    machine.run("make upgrade LEVEL=2", project)
    assert (project / ".github/workflows/staging-deploy.yml").is_file()


def test_a_version_that_is_not_there_is_told_in_one_line(
    machine: Machine, published: Path, wheel: Path, tmp_path: Path
) -> None:
    git(published, "tag", "kept", f"v{VERSION}")
    git(published, "tag", "--delete", f"v{VERSION}")
    try:
        said = machine.run(f"uvx --quiet --from {wheel} copier-levels new my-service", tmp_path, code=2)
    finally:
        git(published, "tag", f"v{VERSION}", "kept")
    assert "Traceback" not in said and said.startswith("levels: ") and f"v{VERSION}" in said
    assert not (tmp_path / "my-service").exists()
