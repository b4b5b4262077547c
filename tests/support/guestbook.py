"""A small application as somebody has it who never heard of this template: Flask, PostgreSQL by SQLAlchemy, Redis,
Alembic, requirements.txt, tests that need none of these.
"""

from __future__ import annotations

import time

from tests.support.engine import Engine
from tests.support.projects import Project, git
from tests.support.servers import free_port

FILES = {
    "requirements.txt": "flask>=3\nsqlalchemy>=2\npsycopg[binary]>=3.2\nredis>=5\nalembic>=1.13\ngunicorn>=22\n",
    "README.md": "# Guestbook\n",
    ".gitignore": "__pycache__/\n*.pyc\n",
    "guestbook/__init__.py": """\
import os

from flask import Flask, jsonify, request
from sqlalchemy import select

from . import store


def create_app():
    app = Flask(__name__)

    @app.get("/entries")
    def entries():
        with store.engine().connect() as connection:
            found = connection.execute(select(store.entries.c.name).order_by(store.entries.c.id.desc()).limit(200))
            names = [name for name, in found]
        seen = store.cache().incr("seen")
        return jsonify(version=os.environ.get("SERVICE_VERSION", ""), entries=names, seen=seen)

    @app.post("/entries")
    def sign():
        with store.engine().begin() as connection:
            connection.execute(store.entries.insert().values(name=request.get_json()["name"]))
        store.cache().rpush("signed", request.get_json()["name"])
        return jsonify(version=os.environ.get("SERVICE_VERSION", "")), 201

    return app
""",
    "guestbook/store.py": """\
import functools
import os

import redis
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine

metadata = MetaData()
entries = Table(
    "entries", metadata, Column("id", Integer, primary_key=True), Column("name", Text, nullable=False)
)


@functools.cache
def engine():
    return create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)


@functools.cache
def cache():
    return redis.Redis.from_url(os.environ["REDIS_URL"])
""",
    "tests/test_guestbook.py": """\
from guestbook import create_app


def test_there_are_routes_to_read_and_to_sign():
    rules = {(rule.rule, *sorted(rule.methods)) for rule in create_app().url_map.iter_rules()}
    assert ("/entries", "OPTIONS", "POST") in rules
    assert ("/entries", "GET", "HEAD", "OPTIONS") in rules
""",
    "conftest.py": "",
    "alembic.ini": "[alembic]\nscript_location = migrations\n",
    "migrations/env.py": """\
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
""",
}
HEAD = "import sqlalchemy as sa\nfrom alembic import op\n\n"


def migration(project: Project, name: str, before: str | None, work: str) -> str:
    """Write a migration; returns its path."""
    path = f"migrations/versions/{name}_work.py"
    ids = f'revision = "{name}"\ndown_revision = {before!r}\n'
    project.write(path, f"{HEAD}{ids}\n\ndef upgrade():\n    {work}\n")
    return path


def repository(project: Project) -> Project:
    """Have the application in a project's folder, committed as its people would."""
    for path, text in FILES.items():
        project.write(path, text)
    columns = 'sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, nullable=False)'
    migration(project, "0001", None, f'op.create_table("entries", {columns})')
    git(project.folder, "init", "--quiet", "--initial-branch", "main")
    return project.commit("theirs")


# What its staging and its integration tests run on, each an image of Debian's packages.
PASSWORD = "hunter2"
POSTGRESQL = (
    f"USER postgres\nRUN cd && echo {PASSWORD} > password && PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) &&"
    " initdb -D data -U shop -A scram-sha-256 --pwfile=password -N -E UTF8 --locale=C &&"
    " echo 'host all all all scram-sha-256' >> data/pg_hba.conf\n"
    """CMD ["sh", "-c", "exec /usr/lib/postgresql/*/bin/postgres -D ~/data -c listen_addresses='*'"]"""
)
REDIS = 'CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]'


class Stores:
    """PostgreSQL and Redis as containers of an engine, reached by other containers and from this machine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ports = {name: free_port() for name in ("postgresql", "redis")}
        for name, package, port, lines in (
            ("postgresql", "postgresql", 5432, POSTGRESQL),
            ("redis", "redis-server", 6379, REDIS),
        ):
            image = engine.image_of_packages(f"{name}:proof", [package], lines)
            # host.docker.internal of a container is the address of the engine's own bridge.
            places = [
                f"--publish={address}:{self.ports[name]}:{port}"
                for address in ("127.0.0.1", f"10.{engine.number}.0.1")
            ]
            engine.docker("run", "--detach", "--name", name, *places, image)
        self.sql("SELECT 1", "postgres", wait=True)
        self.sql("CREATE DATABASE integration", "postgres")

    def settings(self, host: str, database: str = "postgres") -> dict[str, str]:
        """What the application needs to reach them from somewhere."""
        postgresql, redis = self.ports.values()
        return {
            "DATABASE_URL": f"postgresql+psycopg://shop:{PASSWORD}@{host}:{postgresql}/{database}",
            "REDIS_URL": f"redis://{host}:{redis}/{int(database != 'postgres')}",
        }

    def sql(self, statement: str, database: str = "postgres", wait: bool = False) -> list[str]:
        """What PostgreSQL answers, a line each."""
        command = [
            "exec",
            "--env",
            f"PGPASSWORD={PASSWORD}",
            "postgresql",
            "psql",
            "-h",
            "127.0.0.1",
            "-U",
            "shop",
        ]
        end = time.monotonic() + 30
        while True:
            try:
                return self.engine.docker(*command, "-Atc", statement, database).splitlines()
            except AssertionError:
                if not wait or time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def redis(self, *words: str) -> list[str]:
        """What Redis answers, a line each."""
        return self.engine.docker("exec", "redis", "redis-cli", *words).splitlines()
