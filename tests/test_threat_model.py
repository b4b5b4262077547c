"""`levels threat-model`: what the source says is on the page, what it doesn't settle is unknown on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from extensions import cli
from tests.support.projects import Project

AtLevel = Callable[..., Project]
PAGE = "docs/threat-model.md"
SHOP = """import os
from functools import wraps

from flask import Blueprint, Flask, abort, current_app, request, session
from flask_login import login_required
from redis import Redis
from sqlalchemy import Column, String
from sqlalchemy.orm import Mapped, declarative_base

from .health import init_service

Base = declarative_base()
cache = Redis.from_url(os.environ["CACHE_URL"])
PAYMENT_API_KEY = os.environ["PAYMENT_API_KEY"]
shop = Blueprint("shop", __name__)


class Customer(Base):
    email = Column(String)
    colour = Column(String)
    birthday: Mapped[str]


@shop.post("/orders")
def order():
    return {}


@shop.get("/catalogue")
def catalogue():
    return {}


@shop.delete("/orders/<int:number>")
@login_required
def cancel(number):
    return {}


def create_app():
    app = Flask(__name__)
    app.register_blueprint(shop)
    app.register_blueprint(__import__(os.environ["EXTRA"]).blueprint)

    @app.before_request
    def guard():
        if request.path.startswith("/admin") and "user" not in session:
            abort(403)

    return init_service(app, "api")
"""


@pytest.fixture
def shop(at_level: AtLevel, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = at_level(3)
    project.write("services/api/app.py", SHOP)
    project.write(
        "config/staging.env.template", project.read("config/staging.env.template") + "SMTP_PASSWORD=\n"
    )
    project.commit()
    monkeypatch.chdir(project.folder)
    return project


def section(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}\n\n")[1].split("\n## ")[0]


def test_the_page_says_what_is_open_stored_and_secret(
    shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["threat-model"]) == 0
    page = shop.read(PAGE)
    routes = section(page, "What api exposes")
    assert "3 routes; of 2 the source shows no login, and 1 of those may change something" in routes
    rows = [line for line in routes.splitlines() if line.startswith("| `")]
    assert [row.split(" | ")[0] for row in rows] == [
        "| `/orders`",
        "| `/catalogue`",
        "| `/orders/<int:number>`",
    ]
    assert "| POST | nothing that the source shows |" in rows[0] and "`login_required`" in rows[2]
    assert "Without a login, by the template: `/-/health`" in routes
    assert "- api: redis, at `CACHE_URL` ([services/api/app.py]" in section(
        page, "What it stores and reaches"
    )
    people = section(page, "Data about people, by the names of fields")
    assert "`email`" in people and "`birthday`" in people and "colour" not in people
    secrets = section(page, "Secrets, by name")
    assert (
        "`PAYMENT_API_KEY`: [services/api/app.py]" in secrets
        and "`SMTP_PASSWORD`: [config/staging" in secrets
    )
    assert "CACHE_URL" not in secrets
    guards = section(page, "What guards it")
    assert (
        "limit of bodies: on\n" in guards
        and "new ones fail; 0 exceptions" in guards
        and "SECURITY.md" in guards
    )
    unknown = section(page, "Unknown")
    assert "which routes are added in [services/api/app.py]" in unknown
    assert "whether the function before each request in [services/api/app.py]" in unknown
    assert f"{PAGE}: 3 routes, 2 without a login; 2 secrets by name; 2 unknown" in capsys.readouterr().out


def test_what_is_written_below_stays_and_the_rest_follows_the_source(
    shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["threat-model", "--check"]) == 1
    assert "out of date\nrun `make threat-model` and commit" in capsys.readouterr().out
    assert not (shop.folder / PAGE).exists()
    assert cli.main(["threat-model"]) == 0
    shop.write(PAGE, shop.read(PAGE) + "\nWe accept that the catalogue is open.\n")
    before = shop.read(PAGE)
    assert cli.main(["threat-model", "--check"]) == 0
    shop.write("services/api/app.py", "# moved\n\n" + SHOP)
    assert cli.main(["threat-model", "--check"]) == 0, "lines that move are no news"
    shop.write("services/api/app.py", SHOP.replace('get("/catalogue")', 'get("/goods")'))
    shop.replace("config/security.toml", "enabled = true", "enabled = false")
    assert cli.main(["threat-model", "--check"]) == 1
    assert cli.main(["threat-model"]) == 0
    after = shop.read(PAGE)
    assert after == before.replace("`/catalogue`", "`/goods`").replace(
        "limit of bodies: on", "limit of bodies: off"
    )
    capsys.readouterr()
    assert cli.main(["owner", PAGE]) == 0
    assert "written by `levels threat-model`" in capsys.readouterr().out


def test_for_programs(shop: Project, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["threat-model", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [one["asks"] for one in told["routes"]["api"]] == [[], [], ["login_required"]] and told[
        "out_of_date"
    ]


def test_a_page_of_somebody_elses_is_refused(shop: Project, capsys: pytest.CaptureFixture[str]) -> None:
    shop.write(PAGE, "# Ours\n")
    assert cli.main(["threat-model"]) == 2
    said = capsys.readouterr().err
    assert (
        f"{PAGE}: stands here and was not written by `levels threat-model`" in said and said.count("\n") == 1
    )
    assert shop.read(PAGE) == "# Ours\n"


def test_text_of_the_source_is_text_on_the_page(shop: Project) -> None:
    rule = "/a|b`c<path:x>"
    shop.write("services/api/app.py", SHOP.replace('"/catalogue"', json.dumps(rule)))
    cli.main(["threat-model"])
    assert "| `` /a\\|b`c<path:x> `` | GET |" in shop.read(PAGE)


def test_the_wrapper_reaches_it(at_level: AtLevel, tmp_path: Path) -> None:
    assert "ci/levels.py threat-model $${CHECK:+--check}" in at_level(3).read("ci/level-3.mk")
