"""The answer `readiness`: what is proposed, what is rendered from it, and how it changes with the services."""

from __future__ import annotations

import json
import stat
from typing import Any

import copier
import pytest
from copier.errors import UserMessageError

from extensions import moves
from tests.projects import Project

APP = """\
import os
import redis
from flask import Flask

cache = redis.Redis.from_url(os.environ["REDIS_URL"])
parts = redis.Redis(host=os.environ["OTHER_HOST"])


def create_app():
    return Flask(__name__)
"""
DATABASE = {"kind": "postgresql", "target": "DATABASE_URL", "required": True}


def test_a_new_service_has_nothing_to_check(project: Project) -> None:
    project.copy(services=["api"])
    assert project.answers()["readiness"] == []
    assert not [path for path in project.tree() if "probes" in path or "readiness" in path]


def test_what_the_code_runs_on_is_proposed_with_its_lines(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.write("shop/__init__.py", APP)
    project.write("requirements.txt", "flask\nredis\n")
    copier.run_copy(str(project.template), project.folder, defaults=True, unsafe=True)
    assert project.answers()["readiness"] == [{"service": "shop", "kind": "redis", "target": "REDIS_URL", "required": False}]
    said = capfd.readouterr().err
    assert "shop: redis at REDIS_URL, optional (shop/__init__.py:5" in said
    assert "not checked:\n  shop: redis at OTHER_HOST (" in said


def test_only_what_is_checked_is_rendered(project: Project) -> None:
    services = [{"name": "market-data"}, {"name": "bot", "kind": "worker"}]
    readiness = [
        {"service": "bot", **DATABASE},
        {"service": "bot", **DATABASE, "kind": "redis", "target": "CACHE_URL"},
        {"service": "bot", **DATABASE, "kind": "redis", "target": "QUEUE_URL", "required": False},
    ]
    project.copy(services=services, readiness=readiness)
    rendered = {path for path in project.tree() if "probes" in path or "readiness" in path}
    assert rendered == {f"services/bot/{name}" for name in ("readiness.json", "probes/redis_probe.py", "probes/sql_probe.py")}
    listed = json.loads(project.read("services/bot/readiness.json"))
    assert [(one["name"], one["required"]) for one in listed] == [
        ("postgresql", True),
        ("redis:CACHE_URL", True),
        ("redis:QUEUE_URL", False),
    ]
    assert not any(stat.S_IXUSR & (project.folder / path).stat().st_mode for path in rendered)


def test_every_kind_renders_and_stays_through_all_levels(project: Project) -> None:
    kinds = ("postgresql", "mysql", "sql", "redis", "rabbitmq", "broker", "mongodb", "http")
    readiness = [{"service": "api", "kind": kind, "target": f"{kind.upper()}_URL", "required": True} for kind in kinds]
    project.copy(readiness=readiness)
    before = project.tree()
    project.move(4).commit("up").move(1)
    assert project.tree().keys() == before.keys()
    assert project.answers()["readiness"] == readiness


def test_the_checks_of_a_service_go_with_it(project: Project) -> None:
    project.copy(services=["api", "orders"], readiness=[{"service": "orders", **DATABASE}, {"service": "api", **DATABASE}])
    project.update(copier.VcsRef.CURRENT, services=["api"])
    assert project.answers()["readiness"] == [{"service": "api", **DATABASE}]
    assert not (project.folder / "services/orders/readiness.json").exists()
    assert (project.folder / "services/api/probes/sql_probe.py").is_file()
    assert project.conflicts() == []


def test_an_edited_answer_is_taken(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.copy()
    project.replace(".copier-answers.yml", "readiness: []", f"readiness: {json.dumps([{'service': 'api', **DATABASE}])}")
    monkeypatch.chdir(project.folder)
    assert moves.move(project.folder, {"level": 1}) == 0
    assert (project.folder / "services/api/readiness.json").is_file()
    fresh = Project(project.folder.parent / "fresh", project.template).copy(readiness=[{"service": "api", **DATABASE}])
    theirs, ours = fresh.tree(), project.tree()
    assert {path for path in theirs.keys() | ours.keys() if theirs.get(path) != ours.get(path)} <= {".copier-answers.yml"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"service": "apii", **DATABASE}, "readiness[0].service: expected one of api, got apii"),
        ({"service": "api", **DATABASE, "target": "redis://:hunter2@x"}, 'as DATABASE_URL, got "..."'),
        ({"service": "api"}, "readiness[0]: expected a mapping with service, kind, target, required"),
        ({"service": "api", **DATABASE, "required": "yes"}, 'readiness[0].required: expected true or false, got "yes"'),
        ("postgresql", "readiness[0]: expected a mapping"),
    ],
)
def test_what_cannot_be_checked_is_refused_before_anything_is_written(project: Project, entry: Any, said: str) -> None:
    with pytest.raises(UserMessageError) as error:
        project.copy(services=["api"], readiness=[entry])
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)
    assert not project.folder.exists() or not any(project.folder.iterdir())
