"""Each service's own application answers both probes, whatever guards its routes."""

import http.client
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from wsgiref.simple_server import make_server

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))
SERVICES = {service["name"]: service for service in PROJECT["services"]}


@pytest.mark.parametrize("name", SERVICES)
def test_the_service_answers_its_probes(name):
    # In a process of its own: two services may have modules of the same name.
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if "skipped: " in done.stderr:
        pytest.skip(done.stderr.rpartition("skipped: ")[2].strip())
    assert done.returncode == 0, done.stderr


def serve(service):
    """Serve the application as it is elsewhere, on a free port; return the server."""
    folder, worker = ROOT / service["path"], service["kind"] == "worker"
    package = f"{folder.name}." if (folder / "__init__.py").is_file() else ""
    module, _, name = (f"{package}health:" if worker else service["app"]).partition(":")
    top = module.partition(".")[0]
    places = (folder, folder.parent, ROOT)
    home = next(one for one in places if (one / top).is_dir() or (one / f"{top}.py").is_file())
    sys.path[:0] = [str(home), str(ROOT)]
    loaded = importlib.import_module(module)
    if worker:
        return loaded.serve_health(service["name"], port=0)
    app = getattr(loaded, name.removesuffix("()"))
    server = make_server("127.0.0.1", 0, app() if name.endswith("()") else app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main(service):
    """Ask both endpoints; return why nothing can be said, if so. Raises AssertionError for a wrong answer."""
    name, health, theirs = service["name"], ROOT / service["path"] / "health.py", service["code"] == "theirs"
    try:
        server = serve(service)
    except (Exception, SystemExit) as error:
        if not theirs:
            raise
        return (
            f"skipped: {name} can't be started here ({type(error).__name__}): set what it needs for the tests"
        )
    if theirs and str(health) not in {getattr(one, "__file__", "") for one in list(sys.modules.values())}:
        return f"skipped: {name} doesn't call its health.py yet: `{PROJECT['make']} todo` says what to add"
    answers = {}
    for endpoint in ("health", "readiness"):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.request("GET", f"/-/{endpoint}")
        response = connection.getresponse()
        answers[endpoint] = (response.status, json.loads(response.read()))
    code, body = answers["health"]
    assert (code, body["service"], body["status"]) == (200, name, "healthy")
    code, body = answers["readiness"]
    # Only what the service says that it needs, and what isn't here, may say no.
    assert (code, body["ready"]) == (200, True) or (
        code == 503 and health.with_name("readiness.py").is_file()
    ), body
    return ""


if __name__ == "__main__":
    said = main(SERVICES[sys.argv[1]])
    print(said, file=sys.stderr, flush=True)
    os._exit(0)  # threads that the application has started hold nothing up
