"""Each service that was here before answers both probes by its own application, whatever guards its routes."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = json.loads((ROOT / "config" / "levels.json").read_text(encoding="utf-8"))
SERVICES = {service["name"]: service for service in PROJECT["services"] if service["code"] == "theirs"}


@pytest.mark.parametrize("name", SERVICES)
def test_the_service_answers_its_probes(name):
    # In a process of its own: two services may have modules of the same name.
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    _, skipped, reason = done.stderr.rpartition("skipped: ")
    if skipped:
        pytest.skip(reason.strip())
    assert done.returncode == 0, done.stderr


def load(service):
    """Return the WSGI application of a service; of a worker its health's, so that no work is begun."""
    folder, worker = ROOT / service["path"], service["kind"] == "worker"
    package = f"{folder.name}." if (folder / "__init__.py").is_file() else ""
    module, _, name = (f"{package}health:" if worker else service["app"]).partition(":")
    top = module.partition(".")[0]
    places = (folder, folder.parent, ROOT)
    home = next(one for one in places if (one / top).is_dir() or (one / f"{top}.py").is_file())
    sys.path[:0] = [str(home), str(ROOT)]
    loaded = importlib.import_module(module)
    if worker:
        return loaded.serve_health(service["name"], port=0).get_app()
    app = getattr(loaded, name.removesuffix("()"))
    return app() if name.endswith("()") else app


def ask(application, path):
    """Return the status and the answer."""
    environ, status = {"PATH_INFO": path}, []
    setup_testing_defaults(environ)
    body = b"".join(application(environ, lambda line, *_: status.append(int(line.split()[0]))))
    return status[0], json.loads(body)


def main(service):
    """Ask both endpoints; return why nothing can be said, if so. Raises AssertionError for a wrong answer."""
    name, health = service["name"], ROOT / service["path"] / "health.py"
    if service["app"].startswith("uvicorn "):
        return f"skipped: {name} is an ASGI application, whose health is its own"
    try:
        app = load(service)
    except (Exception, SystemExit) as error:
        problem = type(error).__name__
        return f"skipped: {name} can't be started here ({problem}): set what it needs for the tests"
    if str(health) not in {getattr(one, "__file__", "") for one in list(sys.modules.values())}:
        return f"skipped: {name} doesn't call its health.py yet: `{PROJECT['make']} todo` says what to add"
    code, body = ask(app, "/-/health")
    assert (code, body["service"], body["status"]) == (200, name, "healthy")
    code, body = ask(app, "/-/readiness")
    assert (code, body["ready"]) in ((200, True), (503, False)), body
    # Only what the service says that it needs, and what isn't here, may say no.
    assert body["ready"] or health.with_name("readiness.py").is_file(), body
    return ""


if __name__ == "__main__":
    print(main(SERVICES[sys.argv[1]]), file=sys.stderr, flush=True)
    os._exit(0)  # threads that the application has started hold nothing up
