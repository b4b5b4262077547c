"""A new service is a package that Python imports from the project's root, whatever hyphens its name has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from copier.errors import UserMessageError

from extensions.template import answers
from tests.support.projects import Project


def test_a_name_with_a_hyphen_stands_in_a_folder_without(project: Project) -> None:
    services = project.copy(services=["market-data", {"name": "news-bot", "kind": "worker"}]).answers()[
        "services"
    ]
    assert [(one["name"], one["path"], one["app"]) for one in services] == [
        ("market-data", "services/market_data", "services.market_data.app:create_app()"),
        ("news-bot", "services/news_bot", "services.news_bot.worker"),
    ]
    assert (project.folder / "services/market_data/__init__.py").is_file()
    assert "from services.market_data import app\n" in project.read(
        "tests/unit/market_data/test_market_data_app.py"
    )


def test_a_folder_of_that_very_name_is_the_adopted_service(project: Project) -> None:
    project.write("services/market-data/app.py", "from flask import Flask\n\napp = Flask(__name__)\n")
    (one,) = project.copy(services=["market-data"]).answers()["services"]
    assert (one["path"], one["code"], one["app"]) == ("services/market-data", "theirs", "app:app")
    assert not (project.folder / "services/serving.py").exists()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("services/market-data", "services/market_data"),
        ("src/2nd", "services/market_data"),
        ("apps/class", "services/market_data"),
    ],
)
def test_a_new_service_where_python_cannot_import_it_is_refused(
    project: Project, path: str, said: str
) -> None:
    with pytest.raises(
        UserMessageError,
        match=f"expected a folder that Python can import, as {said}, since the service is new",
    ):
        project.copy(services=[{"name": "market-data", "path": path}])
    assert not (project.folder / "README.md").exists()


def test_a_path_that_is_said_may_stand_anywhere() -> None:
    one = answers.service({"name": "bot", "path": "src/bot", "kind": "worker"}, (), lambda path: False)
    answers.check_new([one])
    assert one["app"] == "src.bot.worker"


CHECK = "import sys\n\nimport uv\n\nprint(f'looked at {len(uv.SERVICES)} service')\nsys.exit({code})\n"


@pytest.mark.parametrize(("code", "said"), [(0, "ok"), (1, "to fix"), (2, "could not run (see above)")])
def test_every_script_of_ci_checks_is_a_check(project: Project, code: int, said: str) -> None:
    project.copy()
    project.write("ci/checks/prices.py", CHECK.replace("{code}", str(code)))
    done = checked(project, "ci/check.py", "prices")
    assert done.returncode == code, done.stderr
    assert done.stdout.split("\n")[-2] == f"prices  {said}" and "looked at 1 service" in done.stdout


def test_each_script_of_ci_checks_is_told_by_its_own_outcome(project: Project) -> None:
    """In an adopted project too, where one that failed comes before one that passes."""
    project.write("shop.py", "from flask import Flask\n\napp = Flask(__name__)\n")
    project.copy()
    for name, code in (("amounts", 1), ("bills", 2), ("prices", 0)):
        project.write(f"ci/checks/{name}.py", CHECK.replace("{code}", str(code)))
    done = checked(project, "ci/baseline.py", "amounts", "bills", "prices")
    told = [line for line in done.stdout.splitlines() if "looked at" not in line and "left out" not in line]
    assert told == ["amounts to fix", "bills   could not run (see above)", "prices  ok"], done.stderr
    assert done.returncode == 1
    assert checked(project, "ci/baseline.py", "prices").returncode == 0
    assert checked(project, "ci/baseline.py", "bills", "prices").returncode == 2


def checked(project: Project, *command: str) -> subprocess.CompletedProcess[str]:
    """Just these checks, with an environment that counts as installed."""
    python = project.folder / ".venv/bin/python"
    if not python.exists():
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
        (project.folder / ".venv/.installed").touch()
    return subprocess.run(
        [sys.executable, *command],
        cwd=project.folder,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("ci", ["", "1"])
def test_ci_installs_what_is_locked(project: Project, ci: str, tmp_path: Path) -> None:
    """A stand-in for uv writes down how it is called."""
    project.copy()
    project.write("uv.lock", "version = 1\n")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo uv 0.13.9 || echo "$@" >> {tmp_path}/called\n')
    uv.chmod(0o755)
    env = {**os.environ, "PATH": f"{uv.parent}:{os.environ['PATH']}", "CI": ci}
    (project.folder / ".venv").mkdir()
    subprocess.run(
        [sys.executable, "ci/uv.py"], cwd=project.folder, env=env, capture_output=True, check=False
    )
    called = (tmp_path / "called").read_text().splitlines()
    assert called[1] == ("sync --inexact --locked" if ci else "sync --inexact")


def test_ci_without_a_lock_file_warns_once(project: Project, tmp_path: Path) -> None:
    project.copy()
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\n[ "$1" = --version ] && echo uv 0.13.9\nexit 0\n')
    uv.chmod(0o755)
    env = {**os.environ, "PATH": f"{uv.parent}:{os.environ['PATH']}", "CI": "true"}
    (project.folder / ".venv").mkdir()
    done = subprocess.run(
        [sys.executable, "ci/uv.py"], cwd=project.folder, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.count("uv.lock isn't committed")) == (0, 1)
