"""What real applications run on, beside what is proposed for them. They are fetched from PyPI by hash, unpacked, and only read.

`runs_on` is what each needs as it comes, by its own documentation and default settings. Nothing else may be proposed; what is needed and
not found is named, because a person has to add it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from extensions.source.dependencies import find
from tests.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof


@dataclass(frozen=True)
class Application:
    release: str
    sha256: str
    package: str
    runs_on: set[tuple[str, str]]  # kind and target
    missed: set[str]  # kinds that it runs on and that are not found
    seen: set[str]  # kinds whose libraries its source uses or names, among others


APPLICATIONS = [
    # Forty kinds of databases to draw charts from, none of which it runs on. By its config.py, its own data is in SQLite, and
    # so is Celery's queue: "in a production setting you'll want to use a proper broker".
    Application(
        "apache-superset==6.1.0",
        "4b5886b2d6389a32df790aeae2532ad72529bce1af93b6edf2d1b2a8bf658748",
        "superset",
        set(),
        set(),
        {"sql", "broker", "redis", "postgresql", "mysql", "s3", "http"},
    ),
    # "Indico needs PostgreSQL and Redis": addresses stand in indico.conf, as SQLALCHEMY_DATABASE_URI, REDIS_CACHE_URL and CELERY_BROKER.
    Application(
        "indico==3.2.9",
        "194d2e31ccaabd2b9af7809e67d60d942faee35a6b4de36f0c2c280a32ed84c3",
        "indico",
        {("postgresql", "SQLALCHEMY_DATABASE_URI"), ("redis", "CACHE_REDIS_URL"), ("redis", "CELERY_BROKER")},
        set(),
        {"http"},
    ),
    # configs/default.py: SQLite, Redis as Celery's broker, and as a store of who is online.
    Application(
        "flaskbb==2.0.2",
        "58a6490057efa31de28e2f44dc6a179743206fa4f601dde1558ef712697b9395",
        "flaskbb",
        {("redis", "CELERY_BROKER_URL"), ("redis", "REDIS_URL")},
        set(),
        {"sql", "http"},
    ),
    # PostgreSQL, Solr and Redis. The first two are made by functions that other modules call when it starts.
    Application(
        "ckan==2.12.0",
        "3b41cb4860286813fbcd18c57341e96edba266e2e492aeea92c4e03ce9e2934e",
        "ckan",
        {("redis", "ckan.redis.url")},
        {"postgresql", "http"},
        {"postgresql", "sql", "http"},
    ),
    # Files below its base folder, no server.
    Application(
        "octoprint==1.11.8",
        "21fef2f84f9b730dab905c3d22c0476f4877cadf6c129c8a75be8e5b5546241e",
        "octoprint",
        set(),
        set(),
        {"http"},
    ),
    # By default SQLite and a folder; databases, S3 and Redis are what a person may choose.
    Application(
        "mlflow==3.18.0",
        "be7d84ba0d0b12392f5b53260cdb3e6d7b7ef4b80c29da90a89b5a1f6db7102f",
        "mlflow",
        set(),
        set(),
        {"sql", "redis", "s3", "http"},
    ),
    # It manages PostgreSQL servers that people add; its own settings are in SQLite, unless CONFIG_DATABASE_URI says otherwise.
    Application(
        "pgadmin4==9.18",
        "9ea084fc416265e4fc95c9fb6e6ae0f6668d34da8670c9b65c79cea054124356",
        "pgadmin4",
        set(),
        set(),
        {"postgresql", "sql", "broker", "http"},
    ),
    # Answers from memory.
    Application("httpbin==0.10.4", "71862093f371c3a39cfcdcd2f073aaf610b6433f9d4c0130248e676453fca65d", "httpbin", set(), set(), set()),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def unpacked(application: Application, machine: Machine, folder: Path) -> Path:
    """The wheel's files. pip refuses one that isn't the one that was read."""
    (folder / "wanted.txt").write_text(f"{application.release} --hash=sha256:{application.sha256}\n")
    downloads = machine.caches / "wheels" / application.package
    if not list(downloads.glob("*.whl")):
        pip = machine.home / "pip"
        make = f"test -x {pip}/bin/pip || python3 -m venv {pip}"
        get = f"{pip}/bin/pip download --quiet --no-deps --only-binary :all: --dest {downloads} -r {folder}/wanted.txt"
        machine.run(f"{make}; {get}", folder)
    with zipfile.ZipFile(next(downloads.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "source", [name for name in wheel.namelist() if name.endswith(".py")])
    return folder / "source"


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda one: one.package)
def test_a_real_application_is_proposed_what_it_runs_on_and_nothing_else(
    machine: Machine, tmp_path: Path, application: Application
) -> None:
    source = unpacked(application, machine, tmp_path)
    found = find(source, {"name": "web", "path": application.package})
    proposed = {(one.kind, one.target) for one in found if one.proposed}
    seen = {one.kind for one in found if not one.proposed}
    assert proposed == application.runs_on, found
    assert seen == application.seen, found
    assert application.missed <= seen  # not proposed, and still shown
    for one in found:
        for line in one.evidence:
            file, _, rest = line.partition(":")
            assert line.startswith("and ") or ((source / file).is_file() and rest[0].isdigit()), line
