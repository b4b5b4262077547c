"""config/security.toml at level 3: headers, flags of cookies and the limit of bodies, as a client sees them."""

from __future__ import annotations

import importlib.util
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import Project
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof

AtLevel = Callable[..., Project]
FILE = "config/security.toml"
ROUTES = """

@prices.post("/echo")
def echo() -> ResponseReturnValue:
    return request.get_data()


@prices.get("/login")
def login() -> ResponseReturnValue:
    session["user"] = 1
    return "in", {"X-Frame-Options": "SAMEORIGIN"}


def json_error("""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def ask(url: str, body: bytes | None = None) -> tuple[int, Any]:
    """The status and the headers of an answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, body), timeout=10) as response:
            return response.status, response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def test_a_service_answers_with_headers_flags_and_a_limit(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    project.replace("services/api/app.py", "\n\ndef json_error(", ROUTES)
    project.replace(
        "services/api/app.py",
        "import Blueprint, Flask, current_app",
        "import Blueprint, Flask, current_app, request, session",
    )
    project.replace(
        "services/api/app.py",
        "    log_requests(app)\n",
        '    log_requests(app)\n    app.secret_key = "of the test"\n',
    )
    machine.run("make install", project.folder)
    with machine.serving("make run", project.folder) as address:
        for path, status in (("/nothing", 404), ("/login", 200)):
            code, headers = ask(address + path)
            assert code == status and headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers.get_all("X-Frame-Options") == ["SAMEORIGIN"], "the application's own stays"
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= {*headers["Set-Cookie"].split("; ")}
        assert ask(address + "/echo", b"x" * 1_048_576)[0] == 200
        assert ask(address + "/echo", b"x" * 1_048_577)[0] == 413
        assert ask(address + "/-/health")[1]["Content-Security-Policy"] is None, "a probe has no visitor"
    project.replace(FILE, "enabled = true", "enabled = false")
    with machine.serving("make run", project.folder) as address:
        code, headers = ask(address + "/login")
        assert headers["X-Content-Type-Options"] is None and "Secure" not in headers["Set-Cookie"]
        assert ask(address + "/echo", b"x" * 1_048_577)[0] == 200
    project.replace(FILE, "enabled = false", 'enabled = "no"')
    said = machine.run("PORT=1 timeout 60 make run || true", project.folder)
    assert f"{FILE}: enabled = 'no': expected enabled, max_body_bytes, cookies, headers" in said


def module(folder: Path, text: str | None) -> Any:
    """runtime/security.py of a project with this config/security.toml."""
    (folder / "runtime").mkdir()
    (folder / "config").mkdir()
    path = folder / "runtime/security.py"
    path.write_bytes((Path(__file__).parents[2] / "levels/3-professional/runtime/security.py").read_bytes())
    if text is not None:
        (folder / FILE).write_text(text)
    spec = importlib.util.spec_from_file_location("security_headers", path)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_what_the_application_has_set_stays(tmp_path: Path) -> None:
    from flask import Flask  # of the group `proof`, so not above: `make test` collects this file

    app = Flask("shop")
    app.config.update(MAX_CONTENT_LENGTH=5, SESSION_COOKIE_SAMESITE="Strict", REMEMBER_COOKIE_SAMESITE="None")
    module(
        tmp_path, 'max_body_bytes = 9\ncookies = {samesite = "Lax", secure = true, httponly = false}'
    ).init(app, "api")
    assert app.config["MAX_CONTENT_LENGTH"] == 5
    assert [app.config[f"{kind}_COOKIE_SAMESITE"] for kind in ("SESSION", "REMEMBER")] == ["Strict", "None"]
    assert app.config["SESSION_COOKIE_SECURE"] is True and app.config["REMEMBER_COOKIE_SECURE"] is True
    assert app.config["SESSION_COOKIE_HTTPONLY"] is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("enabld = true", "enabld = True: expected enabled, max_body_bytes"),
        ('max_body_bytes = "1"', "max_body_bytes = '1': expected"),
        ("headers = {A = 1}", "headers.A = 1: expected a text of one line"),
        ('headers = {A = "b\\nC: d"}', "headers.A = 'b\\nC: d': expected a text of one line"),
        ('cookies = {samesite = "lax"}', "cookies.samesite = 'lax': expected what its comments say"),
        ("cookies = {secur = true}", "cookies.secur = True: expected what its comments say"),
        ("enabled =", "expected TOML: "),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    from flask import Flask

    with pytest.raises(ValueError, match=r"config/security\.toml: ") as error:
        module(tmp_path, text).init(Flask("shop"), "api")
    assert told in str(error.value) and "\n" not in str(error.value)


def test_without_the_file_it_warns_and_a_worker_needs_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from flask import Flask

    found = module(tmp_path, None)
    found.init(object(), "bot")
    assert not caplog.records
    found.init(Flask("shop"), "api")
    assert "isn't here: no security headers" in caplog.text
