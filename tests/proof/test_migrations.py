"""The check of migrations at level 2: what the release before can't bear is refused, by the real Alembic and squawk;
and a release command's timeouts hold, on a real PostgreSQL.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.projects import Project, git
from tests.support.proofs import Machine, fresh_machine
from tests.support.servers import Server

pytestmark = pytest.mark.proof
pytest_plugins = ["tests.support.real_servers"]

CHECK = "PYTHONPATH=ci python3 ci/checks/migrations.py"
FOLDER = "services/api/migrations/versions"
TIMEOUTS = "PGOPTIONS='-c lock_timeout=1s -c statement_timeout=60s'"
COMMAND = f"cd services/api && {TIMEOUTS} alembic upgrade head"
ENV = """\
import os

from alembic import context
from sqlalchemy import create_engine

url = os.environ["DATABASE_URL"]
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
NEW_TABLE = (
    'op.create_table("orders", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("note", sa.Text))'
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


@pytest.fixture(scope="module")
def with_alembic(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory, fresh: Callable[..., Project], template: Path
) -> Project:
    """A project with Alembic installed, and one migration on main."""
    project = Project(tmp_path_factory.mktemp("alembic") / "shop", template)
    shutil.copytree(fresh(2).folder, project.folder, symlinks=True)
    project.replace(
        "pyproject.toml", '    "gunicorn', '    "alembic>=1.16",\n    "psycopg[binary]>=3",\n    "gunicorn'
    )
    machine.run("make install; cd services/api; ../../.venv/bin/alembic init migrations", project.folder)
    project.write("services/api/migrations/env.py", ENV)
    project.write("config/deploy.toml", f'[release]\ncommand = "{COMMAND}"\n')
    migration(project, "0001", None, NEW_TABLE)
    return project.commit("alembic").commit("something else")


@pytest.fixture
def shop(with_alembic: Project) -> Project:
    """The same on a branch of its own, as it was; its .venv is there."""
    git(with_alembic.folder, "checkout", "--quiet", "--force", "-B", "feature", "main")
    git(with_alembic.folder, "clean", "--quiet", "-d", "--force", "services")
    return with_alembic


def migration(
    project: Project,
    name: str,
    before: str | tuple[str, ...] | None,
    work: str,
    head: str = "",
    folder: str = FOLDER,
) -> None:
    project.write(
        f"{folder}/{name}_work.py",
        f'{head}import sqlalchemy as sa\nfrom alembic import op\n\nrevision = "{name}"\ndown_revision = {before!r}\n\n\n'
        f"def upgrade() -> None:\n    {work}\n",
    )


@pytest.mark.parametrize(
    ("work", "statement", "how"),
    [
        (
            'op.drop_column("orders", "note")',
            "ALTER TABLE orders DROP COLUMN note",
            "doesn't use it any more",
        ),
        ('op.drop_table("orders")', "DROP TABLE orders", "doesn't use it any more"),
        ('op.alter_column("orders", "note", server_default=None)', "DROP DEFAULT", "doesn't use it any more"),
        ('op.rename_table("orders", "sales")', "ALTER TABLE orders RENAME TO sales", "the code writes too"),
        (
            'op.alter_column("orders", "note", new_column_name="memo")',
            "RENAME note TO memo",
            "the code writes too",
        ),
        (
            'op.alter_column("orders", "note", type_=sa.Integer)',
            "ALTER COLUMN note TYPE INTEGER",
            "the code writes too",
        ),
        (
            'op.alter_column("orders", "note", nullable=False)',
            "note SET NOT NULL",
            "until all code writes it",
        ),
        (
            'op.add_column("orders", sa.Column("sum", sa.Integer, nullable=False))',
            "ALTER TABLE orders ADD COLUMN sum INTEGER NOT NULL",
            "until all code writes it",
        ),
        (
            'with op.batch_alter_table("orders") as batch:\n        batch.drop_column("note")',
            "ALTER TABLE orders DROP COLUMN note",
            "doesn't use it any more",
        ),
    ],
)
def test_what_the_release_before_may_need_is_refused_with_the_way_in_two_releases(
    machine: Machine, shop: Project, work: str, statement: str, how: str
) -> None:
    migration(shop, "0002", "0001", work)
    said = machine.run(CHECK, shop.folder, code=1)
    first, second = said.splitlines()
    assert first.startswith(f"{FOLDER}/0002_work.py: ") and statement in first, said
    assert "Two releases do it: " in second and how in second and "# contract: why" in second, said


@pytest.mark.parametrize(
    "work",
    [
        'op.add_column("orders", sa.Column("sum", sa.Integer))',
        'op.add_column("orders", sa.Column("sum", sa.Integer, nullable=False, server_default="0"))',
        'op.create_table("sales", sa.Column("id", sa.Integer, primary_key=True))',
        'op.alter_column("orders", "note", nullable=True)',
        'with op.get_context().autocommit_block():\n        op.create_index("by_note", "orders", ["note"], postgresql_concurrently=True)',
    ],
)
def test_what_only_adds_passes_without_a_word(machine: Machine, shop: Project, work: str) -> None:
    migration(shop, "0002", "0001", work)
    assert machine.run(CHECK, shop.folder) == ""


def test_an_accepted_contraction_passes_and_its_reason_is_shown(machine: Machine, shop: Project) -> None:
    head = "# contract: the release before doesn't read it\n"
    migration(shop, "0002", "0001", 'op.drop_column("orders", "note")', head)
    assert machine.run(CHECK, shop.folder) == (
        f"{FOLDER}/0002_work.py: not looked at, for it says: contract: the release before doesn't read it\n"
    )


def test_missing_timeouts_are_told_unless_the_command_or_env_py_has_them(
    machine: Machine, shop: Project
) -> None:
    migration(shop, "0002", "0001", 'op.add_column("orders", sa.Column("sum", sa.Integer))')
    shop.write("config/deploy.toml", "")
    said = machine.run(CHECK, shop.folder, code=1)
    assert "no lock_timeout and no statement_timeout: " in said and "Put PGOPTIONS='" in said, said
    shop.write("services/api/migrations/env.py", ENV + "# lock_timeout is the role's\n")
    assert "work.py: no statement_timeout: " in machine.run(CHECK, shop.folder, code=1)
    shop.write(
        "services/api/migrations/env.py", ENV + "# lock_timeout and statement_timeout are the role's\n"
    )
    assert machine.run(CHECK, shop.folder) == ""


def test_all_migrations_of_the_branch_are_looked_at_and_none_of_main(
    machine: Machine, shop: Project, tmp_path: Path
) -> None:
    assert machine.run(CHECK, shop.folder) == ""
    migration(shop, "0002", "0001", 'op.drop_column("orders", "note")')
    shop.commit()
    migration(shop, "0003", "0001", 'op.drop_table("orders")')
    shop.commit()
    migration(shop, "0004", ("0002", "0003"), "pass")  # two heads, merged; one more stays beside it
    migration(shop, "0005", "0001", 'op.rename_table("orders", "sales")')
    shop.commit()
    refused = [f"{FOLDER}/{name}_work.py" for name in ("0002", "0003", "0005")]

    def said(folder: Path, code: int = 1) -> list[str]:
        lines = machine.run(CHECK, folder, code=code).splitlines()
        return sorted(line.split(":")[0] for line in lines if not line.startswith("  "))

    assert said(shop.folder) == refused
    # As a workflow has it for a pull request: the merge with main, and the commits right before it.
    git(shop.folder, "checkout", "--quiet", "-B", "merged", "main")
    git(shop.folder, "merge", "--quiet", "--no-ff", "--message", "merge", "feature")
    for depth, expected in (
        (2, refused),
        (1, [refused[-1], "the commit before isn't in this checkout (fetch-depth)"]),
    ):
        clone = tmp_path / f"depth-{depth}"
        git(
            tmp_path,
            "clone",
            "--quiet",
            f"--depth={depth}",
            "--branch=merged",
            shop.folder.as_uri(),
            clone.name,
        )
        git(clone, "checkout", "--quiet", "--detach")
        git(clone, "branch", "--quiet", "--delete", "--force", "merged")
        git(clone, "remote", "remove", "origin")
        (clone / ".venv").symlink_to(shop.folder / ".venv")
        assert said(clone) == expected


@pytest.mark.parametrize(
    ("told", "code", "expected"),
    [
        ("sqlite://", 0, "unknown: not PostgreSQL (sqlite)"),
        ("mysql://u@localhost/x", 0, "unknown: not PostgreSQL (mysql)"),
        ("postgresql+psycopg://u@localhost/x", 1, "DROP COLUMN note"),
        ("nonsense", 2, "0002_work.py: its SQL can't be made: "),
    ],
)
def test_another_database_is_unknown(
    machine: Machine, shop: Project, told: str, code: int, expected: str
) -> None:
    migration(shop, "0002", "0001", 'op.drop_column("orders", "note")')
    said = machine.run(CHECK, shop.folder, code=code, DATABASE_URL=told)
    assert expected in said and "Traceback" not in said, said


def test_an_env_py_that_raises_is_told_in_one_line(machine: Machine, shop: Project) -> None:
    migration(shop, "0002", "0001", 'op.drop_column("orders", "note")')
    shop.write("services/api/migrations/env.py", 'import os\n\nos.environ["SECRET_KEY"]\n')
    said = machine.run(CHECK, shop.folder, code=2)
    assert said == f"migrations: {FOLDER}/0002_work.py: its SQL can't be made: KeyError: 'SECRET_KEY'\n"


def test_a_project_without_alembic_installed_is_unknown(
    machine: Machine, shop: Project, tmp_path: Path
) -> None:
    migration(shop, "0002", "0001", 'op.drop_column("orders", "note")')
    clone = tmp_path / "clone"
    shutil.copytree(shop.folder, clone, ignore=shutil.ignore_patterns(".venv"))
    machine.run("uv venv --quiet .venv", clone)
    assert machine.run(CHECK, clone) == (
        "unknown: the migrations can't be listed: alembic history: ModuleNotFoundError: No module named 'alembic'\n"
    )


def test_the_check_of_pull_requests_runs_it(machine: Machine, shop: Project) -> None:
    migration(shop, "0002", "0001", 'op.drop_column("orders", "note")')
    assert "migrations to fix" in machine.run("python3 ci/check.py migrations", shop.folder, code=1)


FLASK = """\
import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    db.init_app(app)
    Migrate(app, db)
    return app
"""


def test_migrations_that_flask_runs_are_looked_at(machine: Machine, shop: Project) -> None:
    """What Flask-Migrate writes, as it writes it."""
    shop.write("services/api/shop.py", FLASK)
    shop.write(
        "config/deploy.toml",
        f'[release]\ncommand = "cd services/api && {TIMEOUTS} flask --app shop db -d own upgrade"\n',
    )
    url = "postgresql+psycopg://u@localhost/x"
    machine.run(
        "uv pip install --quiet --python ../../.venv/bin/python flask-migrate;"
        " ../../.venv/bin/flask --app shop db -d own init",
        shop.folder / "services/api",
        DATABASE_URL=url,
    )
    migration(shop, "0001", None, 'op.drop_column("orders", "note")', folder="services/api/own/versions")
    said = machine.run(CHECK, shop.folder, code=1, DATABASE_URL=url)
    assert said.startswith("services/api/own/versions/0001_work.py: ALTER TABLE orders DROP COLUMN note: "), (
        said
    )


def test_the_timeouts_of_the_release_command_hold(
    machine: Machine, shop: Project, postgresql: Server
) -> None:
    """What waits for a lock gives up, and the database is as it was."""
    url = f"postgresql+psycopg://shop:hunter2@127.0.0.1:{postgresql.port}/postgres"
    release = f'PATH="$PWD/.venv/bin:$PATH"; {COMMAND}'
    machine.run(release, shop.folder, DATABASE_URL=url)
    migration(shop, "0002", "0001", 'op.add_column("orders", sa.Column("sum", sa.Integer))')
    hold = (
        "import os, psycopg, subprocess, sys\n"
        "with psycopg.connect(os.environ['DATABASE_URL'].replace('+psycopg', '')) as one:\n"
        "    one.execute('SELECT count(*) FROM orders')\n"
        "    sys.exit(subprocess.call(['sh', '-c', sys.argv[1]]))\n"
    )
    shop.write("services/api/hold.py", hold)
    began = time.monotonic()
    said = machine.run(
        '.venv/bin/python services/api/hold.py "$RELEASE"',
        shop.folder,
        code=1,
        DATABASE_URL=url,
        RELEASE=release,
    )
    assert "canceling statement due to lock timeout" in said, said
    assert time.monotonic() - began < 30
    machine.run(release, shop.folder, DATABASE_URL=url)
