"""Start each service as the make target `run` does, and ask it how it is.

The make target `integration` runs this; elsewhere it is skipped, because it takes seconds and needs the services'
settings. A service is one entry of config/levels.json, and each gets a free port of its own. What docs/openapi.json
says of it is asked by schemathesis. A service that was here before the template is started once settings.json beside
this file says what it needs: {"shop": {"DEBUG": "1"}}.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))["services"]
SETTINGS = Path(__file__).with_name("settings.json")
START_SECONDS = 30
CONTRACT_SECONDS = 300
VERBS = {"get", "head", "post", "put", "patch", "delete", "options", "trace"}

pytestmark = pytest.mark.skipif(not os.environ.get("INTEGRATION"), reason="the make target `integration` runs this")


def missing_call(service):
    """Return the call that code from before has still to make to have health endpoints; None when it is
    there.
    """
    if service["kind"] == "worker" and " " in service["app"]:  # its health is served beside its command
        return None
    folder, module = ROOT / service["path"], service["app"].rpartition(" ")[2].partition(":")[0].partition(".")[0]
    # A wsgi.py beside a package may start it, and hold the call.
    for file in [*sorted(folder.rglob("*.py")), *folder.parent.glob(f"{module}.py")]:
        text = "" if file.name == "health.py" else file.read_text(encoding="utf-8", errors="replace")
        if "init_service(" in text or "create_health_endpoint(" in text or "serve_health(" in text:
            return None
    if service["kind"] == "worker":
        return f"serve_health({service['name']!r}, port)"
    if service["app"].startswith("uvicorn "):
        return "/-/health and /-/readiness of your own"
    return f"init_service(app, {service['name']!r})"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the answer that it is."""

    def redirect_request(self, *_):
        return None


def get(port, path):
    """Return (status code, body as a dict) of a GET, whatever proxies are set.

    Raises OSError while nobody listens.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text[:1] == b"{" else {}


def environment(service):
    """Return the settings to start a service with. Skips for code from before that isn't ready to be started."""
    settings = json.loads(SETTINGS.read_text(encoding="utf-8")) if SETTINGS.exists() else {}
    if service["code"] != "ours":
        if call := missing_call(service):
            pytest.skip(f"{service['name']} has no health endpoints yet: call {call} in {service['path']}")
        if service["name"] not in settings:
            pytest.skip(f"tests/integration/settings.json doesn't say what {service['name']} needs ({{}} for nothing)")
    return {str(name): str(value) for name, value in settings.get(service["name"], {}).items()}


@pytest.fixture(scope="module", params=SERVICES, ids=lambda service: service["name"])
def running(request, tmp_path_factory):
    """A started service and its port. Fails where it doesn't start."""
    service = request.param
    settings = environment(service)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output = tmp_path_factory.mktemp("output") / "output.txt"
    with output.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "ci" / "run.py")],
            cwd=ROOT,
            env={**os.environ, **settings, "SERVICE": service["name"], "PORT": str(port)},
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                get(port, "/-/health")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    said = output.read_text(encoding="utf-8", errors="replace")
                    pytest.fail(
                        f"{service['name']} did not start (exit code {process.poll()}). It said:\n{said}", pytrace=False
                    )
                time.sleep(0.1)
        yield service, port
    finally:
        # The whole group: a server has workers.
        for stop in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, stop)
                process.wait(10)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue


def test_health_answers(running):
    service, port = running
    code, body = get(port, "/-/health")
    assert code == 200
    assert set(body) >= {"service", "status", "timestamp", "version", "environment"}
    assert (body["service"], body["status"]) == (service["name"], "healthy")


def test_readiness_answers(running):
    _, port = running
    code, body = get(port, "/-/readiness")
    assert set(body) >= {"ready", "checks"}
    failed = [name for name, check in body["checks"].items() if check["status"] == "fail"]
    assert not failed, "what it needs is not there: tests/integration/settings.json says where it is"
    assert (code, body["ready"]) == (200, True)


def test_an_unknown_endpoint_is_no_success(running):
    service, port = running
    code, _ = get(port, "/no-such-endpoint-anywhere")
    # A guard may answer first, by asking for a login; what the service has no code for is never well, and no crash.
    assert code == 404 if service["code"] == "ours" else 300 <= code < 500


def test_it_answers_as_its_document_says(running, tmp_path):
    """Have each operation asked with values made from its schema; a 500 fails, and an answer otherwise than documented.

    Only by GET and HEAD, unless the service's entry in settings.json has CONTRACT_METHODS, such as "GET POST DELETE":
    what it works on then has to be there for the tests alone.
    """
    service, port = running
    files = [ROOT / "docs" / name for name in (f"openapi-{service['name']}.json", "openapi.json")]
    if service["kind"] == "worker":
        pytest.skip(f"{service['name']} is a worker, and answers no requests")
    if not (found := [file for file in files if file.is_file()]):
        pytest.skip(f"docs/openapi.json says nothing of {service['name']}: the target `api-docs` writes it")
    paths = json.loads(found[0].read_text(encoding="utf-8"))["paths"]
    methods = environment(service).get("CONTRACT_METHODS", "GET HEAD").split()
    operations = {(name.upper(), path) for path, ways in paths.items() for name in ways if name in VERBS}
    if not (asked := {one for one in operations if one[0] in methods}):
        pytest.skip(f"{service['name']} has no operation by {' or '.join(methods)}")
    config = SETTINGS.with_name("schemathesis.toml")
    command = [*json.loads(os.environ["SCHEMATHESIS"]), "--config-file", str(config), "run", str(found[0])]
    command += ["--no-color", "--url", f"http://127.0.0.1:{port}", "--report-har-path", str(tmp_path / "asked.json")]
    command += ["--include-method-regex", f"^({'|'.join(methods)})$"]
    told = tomllib.loads(config.read_text(encoding="utf-8")).get("phases", {}).get("coverage", {})
    if {*methods} <= {"GET", "HEAD"} and told.get("unexpected-methods") != []:
        command += ["--phases", "examples,fuzzing"]  # the other one asks by methods that aren't documented, DELETE too
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CONTRACT_SECONDS, check=False)
    if said.returncode:
        pytest.fail(f"{' '.join(command)}\n{said.stdout}{said.stderr}", pytrace=False)
    exchanged = json.loads((tmp_path / "asked.json").read_text(encoding="utf-8"))["log"]["entries"]
    for method, path in sorted(operations, key=lambda one: one[::-1]):
        how = how_asked(method, path, exchanged) if (method, path) in asked else "not asked"
        print(f"{service['name']}: {method} {path}: {how}")


def how_asked(method, path, exchanged):
    """Return how an operation answered: what is refused, or isn't there, says nothing of its code."""
    like = re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)))
    urls = [(one["request"]["url"].partition("://")[2], one) for one in exchanged if one["request"]["method"] == method]
    codes = {one["response"]["status"] for url, one in urls if like.fullmatch(url[url.find("/") :].partition("?")[0])}
    if codes - {401, 403, 404, 405}:
        return f"answered as documented ({', '.join(map(str, sorted(codes)))})"
    why = "it needs a login" if codes & {401, 403} else "it needs data that is there" if codes else "it got no request"
    return f"not really asked, because {why}: tests/integration/schemathesis.toml can say more"
