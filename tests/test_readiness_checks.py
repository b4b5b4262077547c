"""A service's readiness.py when it runs: its checks, their deadline, and what a caller gets to see."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support import a_service
from tests.support.a_service import Answer
from tests.support.projects import ROOT

PROBES = ROOT / "levels/1-basic"


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The folder of a service that has a readiness.py."""
    return a_service.make(tmp_path, readiness=True)


@pytest.fixture
def health(service: Path) -> Iterator[ModuleType]:
    """Its health.py. A check has 0.3 seconds, so that a test of the deadline is quick."""
    with a_service.loaded(service / "health.py") as module:
        module.load(service / "readiness.py", None).DEADLINE = 0.3
        yield module


def module_of(health: ModuleType) -> Any:
    """The readiness.py that a health.py has loaded."""
    return health.load(health.HERE.with_name("readiness.py"), None)


def readiness(health: ModuleType, code: str = "", listed: Any = ()) -> Any:
    """The readiness of a service with this checks.py and this readiness.json."""
    if code:
        health.HERE.with_name("checks.py").write_text(code)
    if listed:
        health.HERE.with_name("readiness.json").write_text(json.dumps(listed))
    return module_of(health).Readiness(None, health.load)


def app(health: ModuleType, code: str = "", listed: Any = ()) -> Any:
    """A WSGI application around which its endpoints stand."""
    readiness(health, code, listed)
    return health.create_health_endpoint(lambda environ, start_response: [], "shop")


def test_a_check_that_hangs_fails_at_the_deadline_and_the_next_caller_at_once(health: ModuleType) -> None:
    module_of(health).DEADLINE = 2.0
    ready = readiness(health, "import time\ndef slow(): time.sleep(30)\nREADINESS = [slow]\n")
    begun = time.monotonic()
    first = ready.answer("Bearer the token")
    assert first["checks"]["slow"]["error"] == "TimeoutError"
    assert 1.9 < time.monotonic() - begun < 10
    begun = time.monotonic()
    assert ready.answer("")["status"] == "fail"
    assert time.monotonic() - begun < 1.5


def test_checks_run_at_once_and_have_one_deadline(health: ModuleType) -> None:
    code = "import time\ndef hang(): time.sleep(30)\n" + "".join(
        f"def check{n}(): return hang()\n" for n in range(20)
    )
    ready = readiness(health, code + f"READINESS = [{', '.join(f'check{n}' for n in range(20))}]\n")
    begun = time.monotonic()
    assert len(ready.answer("")["checks"]) == 20
    assert time.monotonic() - begun < 20 * module_of(health).DEADLINE / 2


def test_what_hangs_piles_up_no_threads_and_comes_back_by_itself(health: ModuleType) -> None:
    module_of(health).FRESH = 0.0
    ready = readiness(
        health, "import threading\ngate = threading.Event()\ndef hang(): gate.wait(20)\nREADINESS = [hang]\n"
    )
    for _ in range(30):
        assert not ready.answer("")["ready"]
    assert [thread.name for thread in threading.enumerate()].count("check hang") == 1
    next(module for name, module in sys.modules.items() if "checks of " in name).gate.set()
    end = time.monotonic() + 5
    while not ready.answer("")["ready"]:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_hundred_callers_at_once_make_one_probe(health: ModuleType) -> None:
    module_of(health).DEADLINE = 5.0
    ready = readiness(
        health,
        "import time\ncalls = []\ndef count():\n  calls.append(1)\n  time.sleep(0.2)\nREADINESS = [count]\n",
    )
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: ready.answer(""), range(100)))
    assert all(answer["ready"] for answer in answers)
    assert len(_calls()) == 1


def test_an_answer_is_kept_for_some_seconds(health: ModuleType) -> None:
    ready = readiness(health, "calls = []\ndef count(): calls.append(1)\nREADINESS = [count]\n")
    for _ in range(5):
        ready.answer("")
    assert len(_calls()) == 1
    module_of(health).FRESH = 0.0
    ready.answer("")
    assert len(_calls()) == 2


def _calls() -> list[int]:
    """What the last checks.py that was loaded has counted."""
    return [module for name, module in sys.modules.items() if "checks of " in name][-1].calls


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTH_TOKEN", "the token")


def test_own_checks_fail_by_raising_or_by_false(health: ModuleType) -> None:
    code = "def a(): return False\ndef b(): raise KeyError\ndef c(): return None\ndef d(): return 0\n"
    code += "READINESS = [c, d]\nREADINESS_OPTIONAL = [a, b]\n"
    answer = readiness(health, code).answer("")
    assert {name: state["status"] for name, state in answer["checks"].items()} == {
        "c": "pass",
        "d": "pass",
        "a": "warn",
        "b": "warn",
    }
    assert (answer["ready"], answer["status"]) == (True, "warn")


def test_own_checks_that_cannot_be_loaded_fail(health: ModuleType) -> None:
    answer = readiness(health, "import nothing_of_that_name\nREADINESS = []\n").answer("Bearer the token")
    assert answer["checks"]["checks.py"]["error"] == "ModuleNotFoundError"
    assert not answer["ready"]


def test_a_checks_py_that_is_about_something_else_is_not_even_imported(
    health: ModuleType, service: Path
) -> None:
    ready = readiness(
        health, f"open({str(service / 'imported')!r}, 'w')\ndef check_account(): raise OSError\n"
    )
    assert ready.answer("") == {"ready": True, "status": "pass", "checks": {}}
    assert not (service / "imported").exists()


def test_a_setting_that_is_empty_fails_its_check(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, service: Path
) -> None:
    monkeypatch.delenv("CACHE_URL", raising=False)
    (service / "probes").mkdir()
    (service / "probes/http_probe.py").write_bytes(
        (ROOT / "levels/1-basic/@http/probes/http_probe.py").read_bytes()
    )
    listed = [{"name": "http", "probe": "http", "kind": "http", "target": "CACHE_URL", "required": True}]
    state = readiness(health, listed=listed).answer("Bearer the token")["checks"]["http"]
    assert (state["status"], state["error"], state["about"]) == ("fail", "NotSet", "http at CACHE_URL")


PROBE = "def probe(app, client, address, seconds):\n    {}\n"


def clients(
    health: ModuleType, probe: str, target: str = "", client: str = "db/store.py:store"
) -> dict[str, Any]:
    """The state of a check that asks by a client, with this body of its probe."""
    folder = Path(health.__file__ or "").parent
    (folder / "probes").mkdir()
    (folder / "probes/its_probe.py").write_text(PROBE.format(probe))
    entry = {
        "name": "store",
        "probe": "its",
        "kind": "redis",
        "target": target,
        "client": client,
        "required": True,
    }
    return readiness(health, listed=[entry]).answer("Bearer the token")["checks"]["store"]


def module(monkeypatch: pytest.MonkeyPatch, path: Path, name: str, code: str) -> ModuleType:
    """A module of the service that something has imported under this name."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, loaded)
    spec.loader.exec_module(loaded)
    return loaded


def test_a_client_is_found_by_its_file_whatever_its_module_is_called(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, service: Path
) -> None:
    module(monkeypatch, service / "elsewhere/store.py", "store", "store = [2]\n")
    mine = module(monkeypatch, service / "db/store.py", "shop.db.store", "store = []\n")
    state = clients(health, "client.append(1)", target="STORE_URL")
    assert (state["status"], state["about"]) == ("pass", "redis at STORE_URL")
    assert mine.store == [1]


@pytest.mark.parametrize("code", [None, "", "store = None\n"], ids=["not loaded", "no such name", "not made"])
def test_without_its_client_a_check_asks_by_the_setting(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, service: Path, code: str | None
) -> None:
    if code is not None:
        module(monkeypatch, service / "db/store.py", "store", code)
    monkeypatch.setenv("STORE_URL", "redis://cache")
    assert (
        clients(health, "assert (client, address()) == (None, 'redis://cache')", target="STORE_URL")["status"]
        == "pass"
    )


def test_without_client_and_setting_a_check_fails_and_imports_nothing(
    health: ModuleType, service: Path
) -> None:
    (service / "db").mkdir()
    (service / "db/store.py").write_text(f"open({str(service / 'imported')!r}, 'w')\nstore = 1\n")
    state = clients(health, "raise AssertionError")
    assert (state["status"], state["error"], state["about"]) == (
        "fail",
        "NotLoaded",
        "redis at db/store.py:store",
    )
    assert not (service / "imported").exists()


def test_looking_for_a_client_wakes_no_lazy_module(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, service: Path
) -> None:
    (service / "lazy.py").write_text(f"open({str(service / 'imported')!r}, 'w')\nstore = 1\n")
    spec = importlib.util.spec_from_file_location("lazy", service / "lazy.py")
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    monkeypatch.setitem(sys.modules, "odd", object())  # what some libraries put there
    spec.loader.exec_module(lazy)
    assert module_of(health).made("lazy.py:store") is None and not (service / "imported").exists()


def test_a_client_that_hangs_costs_one_thread(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, service: Path
) -> None:
    """It may have no timeout of its own: the deadline holds all the same."""
    module_of(health).FRESH = 0.0
    module(monkeypatch, service / "db/store.py", "store", "import threading\nstore = threading.Event()\n")
    assert clients(health, "client.wait(20)")["error"] == "TimeoutError"
    ready = readiness(health)
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: ready.answer("Bearer the token"), range(100)))
    assert {answer["checks"]["store"]["error"] for answer in answers} == {"TimeoutError"}
    assert [thread.name for thread in threading.enumerate()].count(
        "check store"
    ) == 2  # one for each of two readinesses
    sys.modules["store"].store.set()


def test_a_password_in_a_clients_exception_is_shown_to_nobody(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, service: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module(monkeypatch, service / "db/store.py", "store", "store = 'redis://:hunter2@cache'\n")
    state = clients(health, "raise ConnectionError(client)")
    assert state["error"] == "ConnectionError" and "hunter2" not in str(state) + caplog.text


@pytest.mark.parametrize("address", ["{}", "memcached://{}", "{}, memcached://{}"])
def test_memcached_is_asked_for_its_version(address: str) -> None:
    probe = load(ROOT / "levels/1-basic/@memcached/probes/memcached_probe.py").probe
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        said = b"VERSION 1.6.18\r\n"

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    assert connection.recv(64) == b"version\r\n"
                    connection.sendall(said)

        threading.Thread(target=answer, daemon=True).start()
        probe(None, None, lambda: address.format(place, place), 2)
        said = b"HTTP/1.1 400 Bad Request\r\n"
        with pytest.raises(ConnectionError):
            probe(None, None, lambda: address.format(place, place), 2)
        server.shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError):
        probe(None, None, lambda: address.format(place, place), 2)


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Through the endpoints


def test_a_password_in_an_exception_is_shown_to_nobody(
    health: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    code = "def leak(): raise ConnectionError('redis://:hunter2@cache')\nREADINESS = [leak]\n"
    shop = app(health, code)
    for authorization in ("", "Bearer the token"):
        answer = Answer(shop, "/-/readiness", HTTP_AUTHORIZATION=authorization)
        assert (answer.code, "hunter2" in answer.text) == (503, False)
    assert "leak: ConnectionError" in caplog.text
    assert "hunter2" not in caplog.text


def test_names_and_states_are_public_and_the_rest_needs_the_token(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = app(health, "def leak(): raise ConnectionError\nREADINESS = [leak]\n")
    public = {"leak": {"status": "fail", "required": True}}
    monkeypatch.setenv("HEALTH_TOKEN", "")
    for path in ("/-/readiness", "/readiness"):
        assert Answer(shop, path).json["checks"] == public
        assert Answer(shop, path, HTTP_AUTHORIZATION="Bearer ").json["checks"] == public
    monkeypatch.setenv("HEALTH_TOKEN", "tökén")
    assert Answer(shop, "/-/readiness", HTTP_AUTHORIZATION="Bearer token").json["checks"] == public
    sent = "Bearer tökén".encode().decode("latin-1")  # as a server hands on what came
    detailed = Answer(shop, "/-/readiness", HTTP_AUTHORIZATION=sent).json["checks"]["leak"]
    assert (detailed["error"], detailed["about"]) == ("ConnectionError", "")


@pytest.mark.parametrize(
    ("listed", "code", "status"), [("READINESS", 503, "fail"), ("READINESS_OPTIONAL", 200, "warn")]
)
def test_only_a_required_check_takes_the_service_out(
    health: ModuleType, listed: str, code: int, status: str
) -> None:
    answer = Answer(app(health, f"def mail(): raise OSError\n\n{listed} = [mail]\n"), "/-/readiness")
    state = {"status": status, "required": code == 503}
    assert (answer.code, answer.json) == (
        code,
        {"ready": code == 200, "status": status, "checks": {"mail": state}},
    )


def test_no_check_is_made_for_the_liveness_probe(health: ModuleType) -> None:
    shop = app(health, "calls = []\ndef count(): calls.append(1)\nREADINESS = [count]\n")
    assert Answer(shop, "/-/health").code == 200
    assert not any("checks of " in name for name in sys.modules)
    assert Answer(shop, "/-/readiness").json["checks"] == {"count": {"status": "pass", "required": True}}
    assert _calls() == [1]


def test_while_it_drains_nothing_is_asked(health: ModuleType) -> None:
    shop = app(health, "calls = []\ndef count(): calls.append(1)\nREADINESS = [count]\n")
    shop.extensions["readiness_refusals"]["shutdown"] = lambda: True
    assert Answer(shop, "/-/readiness").json["checks"] == {"shutdown": {"status": "fail", "required": True}}
    assert not any("checks of " in name for name in sys.modules)


def test_checks_py_without_a_readiness_py_is_not_passed_over(service: Path) -> None:
    """That nobody asks it may not look as if all were well."""
    (service / "readiness.py").unlink()
    (service / "checks.py").write_text("def stock(): ...\nREADINESS = [stock]\n")
    with a_service.loaded(service / "health.py") as health:
        answer = Answer(
            health.create_health_endpoint(lambda environ, start_response: [], "shop"), "/-/readiness"
        )
        assert (answer.code, list(answer.json["checks"])) == (
            503,
            ["checks.py, without a readiness.py that asks it"],
        )


def test_own_checks_import_from_their_package(service: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(service.parents[1]))
    (service / "stock.py").write_text("def fresh(): return True\n")
    (service / "checks.py").write_text("from .stock import fresh\n\nREADINESS = [fresh]\n")
    code = "import services.shop.health as h; print(h.Health(None, None, 'shop').readiness({}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=service.parents[1], capture_output=True, text=True, check=False
    )
    assert "'fresh': {'status': 'pass'" in done.stdout, done.stdout + done.stderr


# The probe of another service


@pytest.fixture
def peer() -> Iterator[tuple[str, dict[str, int], list[str]]]:
    """The URL of a server, the codes that it answers by method, and the methods that it has been asked by."""
    codes, asked = {"HEAD": 200, "GET": 200}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.command)
            self.send_response(codes[self.command])
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", codes, asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("head", "get", "passes", "methods"),
    [
        (200, 500, True, ["HEAD"]),
        (404, 500, True, ["HEAD"]),
        (502, 200, False, ["HEAD"]),
        (503, 200, False, ["HEAD"]),
        (501, 200, True, ["HEAD", "GET"]),
        (501, 503, False, ["HEAD", "GET"]),
        (405, 200, True, ["HEAD", "GET"]),
        (405, 503, False, ["HEAD", "GET"]),
        (405, 404, True, ["HEAD", "GET"]),
        (501, 501, False, ["HEAD", "GET"]),
    ],
)
def test_a_server_that_knows_no_head_is_asked_by_get(
    peer: Any, monkeypatch: pytest.MonkeyPatch, head: int, get: int, passes: bool, methods: list[str]
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    url, codes, asked = peer
    codes |= {"HEAD": head, "GET": get}
    probe = load(PROBES / "@http/probes/http_probe.py").probe
    if passes:
        probe(None, None, lambda: url, 2)
    else:
        with pytest.raises(OSError):
            probe(None, None, lambda: url, 2)
    assert asked == methods


def test_a_worker_that_is_not_ready_fails_its_peers_probe(
    health: ModuleType, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    readiness(health, "def queue(): return False\nREADINESS = [queue]\n")
    server = health.serve_health("bot", port=0)
    probe = load(PROBES / "@http/probes/http_probe.py").probe
    try:
        probe(None, None, lambda: f"http://127.0.0.1:{server.server_port}/-/health", 2)
        with pytest.raises(OSError, match="503"):
            probe(None, None, lambda: f"http://127.0.0.1:{server.server_port}/-/readiness", 2)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(OSError):
        probe(None, None, lambda: f"http://127.0.0.1:{server.server_port}/-/health", 2)
