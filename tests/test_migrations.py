"""The check of migrations at level 2, without Alembic: where it looks, and that it costs nothing where there is none.

What it finds is shown by tests/proof/test_migrations.py, with the real Alembic and squawk.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml

from tests.support.projects import Project, git

CHECK = "ci/checks/migrations.py"
AtLevel = Callable[..., Project]


def run(project: Project, *command: str, path: str = "/nowhere") -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": f"{project.folder}/ci:{project.folder}/ci/checks", "PATH": path}
    return subprocess.run(
        [sys.executable, *command], cwd=project.folder, env=env, capture_output=True, text=True, check=False
    )


def test_a_project_without_alembic_hears_nothing_and_no_program_is_run(at_level: AtLevel) -> None:
    project = at_level(2)
    done = run(project, CHECK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # It isn't silent because it can't see: with an alembic.ini git is asked, which isn't there.
    project.write("services/api/alembic.ini", "[alembic]\n")
    assert "'git'" in run(project, CHECK).stderr


def test_a_change_without_migrations_needs_no_alembic(at_level: AtLevel) -> None:
    project = at_level(2)
    project.write("services/api/alembic.ini", "[alembic]\n")
    project.commit()
    done = run(project, CHECK, path="/usr/bin:/bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_mistake_in_the_settings_is_told_in_one_line(at_level: AtLevel) -> None:
    project = at_level(2)
    project.write("config/deploy.toml", "[release]\ncommand = 1\n")
    done = run(project, CHECK)
    assert (done.returncode, done.stderr) == (
        2,
        "migrations: config/deploy.toml: release.command is 1, expected a text\n",
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("", ["services/api", "alembic"]),
        ("python migrate.py", ["services/api", "alembic"]),
        ("alembic upgrade head", [".", "alembic"]),
        ("cd services/api && alembic upgrade head", ["services/api", "alembic"]),
        ("cd /srv/services/api && alembic upgrade head", ["services/api", "alembic"]),
        ("cd /elsewhere && alembic upgrade head", ["services/api", "alembic"]),
        (
            "cd services/api && PGOPTIONS='-c lock_timeout=5s' python -m alembic -n 'our own' upgrade heads",
            ["services/api", "alembic", "-n", "our own"],
        ),
        ("alembic --config=db/alembic.ini upgrade head && echo", [".", "alembic", "--config=db/alembic.ini"]),
        ("./backup; .venv/bin/flask --app shop db upgrade", [".", "flask", "--app", "shop", "db"]),
    ],
)
def test_alembic_is_called_as_the_release_command_calls_it(
    at_level: AtLevel, told: str, expected: list[str]
) -> None:
    """Nothing else that the command holds is run."""
    project = at_level(2)
    project.write("services/api/alembic.ini", "[alembic]\n")
    ask = (
        "import json, sys, migrations, uv\n"
        "[(folder, command)] = migrations.calls(sys.argv[1])\n"
        "print(json.dumps([str(folder.relative_to(uv.ROOT)), *command]))"
    )
    done = run(project, "-c", ask, told)
    assert json.loads(done.stdout) == expected, done.stderr


def test_what_is_new_is_told_from_where_the_branch_left_main(at_level: AtLevel) -> None:
    project = at_level(2)
    ask = ("-c", "import migrations; print(migrations.base())")

    def base() -> str:
        return run(project, *ask, path="/usr/bin:/bin").stdout.strip()

    git(project.folder, "branch", "--move", "--force", "main")
    empty = git(project.folder, "hash-object", "-t", "tree", "/dev/null").strip()
    assert base() == empty, "all is new in the first commit"
    first = git(project.folder, "rev-parse", "HEAD").strip()
    project.commit()
    assert base() == first, "on main, what the last commit brought"
    left = git(project.folder, "rev-parse", "HEAD").strip()
    git(project.folder, "checkout", "--quiet", "-b", "feature")
    project.commit().commit()
    assert base() == left
    git(project.folder, "update-ref", "refs/remotes/origin/main", first)
    assert base() == first, "what the remote's branch hasn't yet is new too"


def test_the_workflows_that_check_have_the_commit_before(fresh: AtLevel) -> None:
    for name in ("quality", "staging-deploy"):
        workflow = yaml.safe_load(fresh(2).read(f".github/workflows/{name}.yml"))
        assert workflow["jobs"]["check"]["steps"][0]["with"]["fetch-depth"] == 2
