"""The health addresses of this service: what they answer, from a Flask app and from a worker's own server."""

import importlib.util
import json
import urllib.request
from datetime import datetime
from pathlib import Path

import pytest

NAME = Path(__file__).parent.name
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def health():
    """The service's health.py, loaded by its place: others have one of the same name."""
    services = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))["services"]
    path = ROOT / next(service["path"] for service in services if service["name"].replace("-", "_") == NAME) / "health.py"
    spec = importlib.util.spec_from_file_location("health_of_" + NAME.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(health, monkeypatch, tmp_path):
    """A client of a Flask app with nothing but its health addresses, and no checks but those that a test writes."""
    flask = pytest.importorskip("flask", reason="without Flask a service answers by serve_health")
    app = health.create_health_endpoint(flask.Flask(NAME), NAME)
    monkeypatch.setattr(health, "__file__", str(tmp_path / "health.py"))
    return app.test_client()


@pytest.fixture
def checks(tmp_path):
    """A function that writes the service's checks.py."""
    return lambda code: (tmp_path / "checks.py").write_text(code, encoding="utf-8")


@pytest.fixture
def server(health, monkeypatch, tmp_path):
    """The address of a worker's health server, on a port that is free; there is nothing to check."""
    monkeypatch.setattr(health, "__file__", str(tmp_path / "health.py"))
    server = health.serve_health(NAME, port=0)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def get(url):
    """The JSON that a server on this machine answers, whatever proxies are set."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return json.load(response)


def check_health(answer):
    """Hold an answer of /health against what is promised."""
    assert answer.keys() == {"service", "status", "timestamp", "version", "environment"}
    assert (answer["service"], answer["status"]) == (NAME, "healthy")
    assert datetime.fromisoformat(answer["timestamp"]).tzinfo is not None


def test_health(client, monkeypatch):
    monkeypatch.setenv("SERVICE_VERSION", "1.2.3")
    monkeypatch.setenv("ENVIRONMENT", "testing")
    response = client.get("/health")
    check_health(response.json)
    assert (response.json["version"], response.json["environment"]) == ("1.2.3", "testing")
    assert response.headers["Cache-Control"] == "no-store"


def test_readiness_reports_no_check_that_it_does_not_make(client):
    response = client.get("/readiness")
    assert (response.status_code, response.json) == (200, {"ready": True, "status": "pass", "checks": {}})
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("listed", "code", "status"), [("READINESS", 503, "fail"), ("READINESS_OPTIONAL", 200, "warn")]
)
def test_only_a_required_check_takes_the_service_out(client, checks, listed, code, status):
    checks(f"def mail():\n    raise OSError('password=secret')\n\n{listed} = [mail]\n")
    response = client.get("/readiness")
    state = {"status": status, "required": code == 503}
    assert (response.status_code, response.json) == (
        code,
        {"ready": code == 200, "status": status, "checks": {"mail": state}},
    )


def test_why_a_check_failed_is_for_those_who_have_the_token(client, checks, monkeypatch):
    monkeypatch.setenv("HEALTH_TOKEN", "let-me-in")
    checks("def mail():\n    raise OSError('password=secret')\n\nREADINESS = [mail]\n")
    assert "error" not in client.get("/readiness", headers={"Authorization": "Bearer wrong"}).json["checks"]["mail"]
    response = client.get("/readiness", headers={"Authorization": "Bearer let-me-in"})
    assert response.json["checks"]["mail"]["error"] == "OSError"
    assert "secret" not in response.text


def test_a_worker_serves_its_health(server):
    check_health(get(f"{server}/health"))
    assert get(f"{server}/readiness") == {"ready": True, "status": "pass", "checks": {}}
