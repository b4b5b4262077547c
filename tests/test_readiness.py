"""The answer `readiness`: what is proposed, what is rendered from it, and how it changes with the
services.
"""

from __future__ import annotations

import json
import stat
from typing import Any

import copier
import pytest
from copier.errors import UserMessageError

from extensions.moving import moves
from extensions.template import readiness
from tests.support.projects import Project

APP = """\
import os
import redis
from flask import Flask

cache = redis.Redis.from_url(os.environ["REDIS_URL"])
parts = redis.Redis(host=os.environ["OTHER_HOST"])


def create_app():
    app = Flask(__name__)
    app.sessions = redis.Redis(host=os.environ["SESSIONS_HOST"])
    return app
"""
DATABASE = {"kind": "postgresql", "target": "DATABASE_URL", "required": True}


def test_a_new_service_has_nothing_to_check(project: Project) -> None:
    project.copy(services=["api"])
    assert project.answers()["readiness"] == []
    assert not [path for path in project.tree() if "probes" in path or "readiness" in path]


def test_what_the_code_runs_on_is_proposed_with_its_lines(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write("shop/__init__.py", APP)
    project.write("requirements.txt", "flask\nredis\n")
    copier.run_copy(str(project.template), project.folder, defaults=True, unsafe=True)
    redis = {"service": "shop", "kind": "redis", "required": False}
    assert project.answers()["readiness"] == [
        {**redis, "target": "", "client": "__init__.py:parts"},  # a host alone is no address
        {**redis, "target": "REDIS_URL", "client": "__init__.py:cache"},
    ]
    said = capfd.readouterr().err
    assert "shop: redis at REDIS_URL by __init__.py:cache, optional (shop/__init__.py:5" in said
    assert "shop: redis at OTHER_HOST by __init__.py:parts, optional (shop/__init__.py:6" in said
    assert "not checked:\n  shop: redis at SESSIONS_HOST (shop/__init__.py:11" in said
    assert "): no setting has all that its client is made of, and no module a client\n" in said


def test_a_client_is_rendered_and_names_its_check_where_there_is_no_target(project: Project) -> None:
    redis = {"service": "api", "kind": "redis", "required": True}
    entries = [{**redis, "target": "", "client": "cache.py:client"}, {**redis, "target": "QUEUE_URL"}]
    project.copy(services=["api"], readiness=entries)
    listed = [
        {"probe": "redis", "kind": "redis", "required": True, **one}
        for one in (
            {"name": "redis:cache.py:client", "target": "", "client": "cache.py:client"},
            {"name": "redis:QUEUE_URL", "target": "QUEUE_URL"},
        )
    ]
    assert json.loads(project.read("services/api/readiness.json")) == listed
    assert project.answers()["readiness"] == entries


def test_own_checks_bring_readiness_py_and_nothing_else(project: Project) -> None:
    entries = [{"service": "api", "kind": "own"}]
    project.copy(services=["api", "orders"], readiness=entries)
    found = {path for path in project.tree() if "readiness" in path or "probes" in path}
    assert found == {"services/api/readiness.json", "services/api/readiness.py"}
    assert json.loads(project.read("services/api/readiness.json")) == []
    assert project.answers()["readiness"] == entries
    before = project.commit().tree()
    assert project.move(2).commit("up").move(1).tree().keys() == before.keys()
    assert project.answers()["readiness"] == entries


def test_only_what_is_checked_is_rendered(project: Project) -> None:
    services = [{"name": "market-data"}, {"name": "bot", "kind": "worker"}]
    entries = [
        {"service": "bot", **DATABASE},
        {"service": "bot", **DATABASE, "kind": "redis", "target": "CACHE_URL"},
        {"service": "bot", **DATABASE, "kind": "redis", "target": "QUEUE_URL", "required": False},
    ]
    project.copy(services=services, readiness=entries)
    rendered = {path for path in project.tree() if "probes" in path or "readiness" in path}
    names = ("readiness.json", "readiness.py", "probes/redis_probe.py", "probes/sql_probe.py")
    assert rendered == {f"services/bot/{name}" for name in names}
    listed = json.loads(project.read("services/bot/readiness.json"))
    assert [(one["name"], one["required"]) for one in listed] == [
        ("postgresql", True),
        ("redis:CACHE_URL", True),
        ("redis:QUEUE_URL", False),
    ]
    assert not any(stat.S_IXUSR & (project.folder / path).stat().st_mode for path in rendered)


def test_every_kind_renders_and_stays_through_all_levels(project: Project) -> None:
    entries = [
        {"service": "api", "kind": kind, "target": f"{kind.upper()}_URL", "required": True}
        for kind in readiness.PROBES
    ]
    entries += [
        {**one, "target": f"{one['kind'].upper()}_2", "client": "db.py:client"}
        for one in entries
        if one["kind"] in readiness.BY_CLIENT
    ]
    project.copy(readiness=entries)
    before = project.tree()
    assert {path for path in before if "/probes/" in path} == {
        f"services/api/probes/{name}_probe.py" for name in readiness.MODULES
    }
    project.move(4).commit("up").move(1)
    assert project.tree().keys() == before.keys()
    assert project.answers()["readiness"] == entries


def test_the_checks_of_a_service_go_with_it(project: Project) -> None:
    project.copy(
        services=["api", "orders"],
        readiness=[{"service": "orders", **DATABASE}, {"service": "api", **DATABASE}],
    )
    project.update(copier.VcsRef.CURRENT, services=["api"])
    assert project.answers()["readiness"] == [{"service": "api", **DATABASE}]
    assert not (project.folder / "services/orders/readiness.json").exists()
    assert (project.folder / "services/api/probes/sql_probe.py").is_file()
    assert project.conflicts() == []


def test_an_edited_answer_is_taken(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.copy()
    project.replace(
        ".copier-answers.yml", "readiness: []", f"readiness: {json.dumps([{'service': 'api', **DATABASE}])}"
    )
    monkeypatch.chdir(project.folder)
    assert moves.move(project.folder, {"level": 1}) == 0
    assert (project.folder / "services/api/readiness.json").is_file()
    fresh = Project(project.folder.parent / "fresh", project.template).copy(
        readiness=[{"service": "api", **DATABASE}]
    )
    theirs, ours = fresh.tree(), project.tree()
    assert {path for path in theirs.keys() | ours.keys() if theirs.get(path) != ours.get(path)} <= {
        ".copier-answers.yml"
    }


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"service": "apii", **DATABASE}, "readiness[0].service: expected one of api, got apii"),
        ({"service": "api", **DATABASE, "target": "redis://:hunter2@x"}, 'as DATABASE_URL, got "..."'),
        ({"service": "api"}, "readiness[0]: expected a mapping with service, kind, target, required"),
        ({"service": "apii", "kind": "own"}, "readiness[0].service: expected one of api, got apii"),
        (
            {"service": "api", **DATABASE, "kind": "own"},
            "readiness[0]: expected {service: api, kind: own} and no more",
        ),
        (
            {"service": "api", **DATABASE, "required": "yes"},
            'readiness[0].required: expected true or false, got "yes"',
        ),
        ("postgresql", "readiness[0]: expected a mapping"),
        (
            {"service": "api", **DATABASE, "target": ""},
            "readiness[0].target: expected the name of the setting",
        ),
        *[
            ({"service": "api", **DATABASE, "client": where}, "readiness[0].client: expected FILE.py:NAME")
            for where in (
                "../db.py:engine",
                "/db.py:engine",
                "a/../db.py:engine",
                "db.py",
                "db:engine",
                "db.py:a-b",
                "db.py:a.b",
                "",
                None,
            )
        ],
        ({"service": "api", **DATABASE, "client": "redis://:hunter2@x"}, 'got "redis://...@x"'),
        (
            {"service": "api", **DATABASE, "kind": "http", "client": "a.py:b"},
            "readiness[0].client: http is asked by its target alone",
        ),
        (
            {"service": "api", **DATABASE, "kind": "s3", "target": "", "client": "a.py:b"},
            (
                "readiness[0].target: a client needs a name to ask for; say which setting holds it, as"
                " UPLOAD_BUCKET"
            ),
        ),
        (
            {"service": "api", **DATABASE, "colour": "red"},
            "readiness[0]: expected a mapping with service, kind, target, required, and client",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused_before_anything_is_written(
    project: Project, entry: Any, said: str
) -> None:
    with pytest.raises(UserMessageError) as error:
        project.copy(services=["api"], readiness=[entry])
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)
    assert not project.folder.exists() or not any(project.folder.iterdir())
