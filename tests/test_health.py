"""What a service's health.py does when it runs: its checks, their deadline, and what a caller gets to see."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.projects import ROOT

SOURCE = ROOT / "levels/1-basic/@service/health.py"


@pytest.fixture
def health(tmp_path: Path) -> Iterator[ModuleType]:
    """health.py in a folder of its own, as a service has it. What it does to SIGTERM is taken back."""
    before = signal.getsignal(signal.SIGTERM)
    path = tmp_path / "health.py"
    path.write_bytes(SOURCE.read_bytes())
    spec = importlib.util.spec_from_file_location("health_of_a_test", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.DEADLINE = 0.3
    yield module
    signal.signal(signal.SIGTERM, before)


def readiness(health: ModuleType, code: str = "", listed: Any = ()) -> Any:
    """The readiness of a service with this checks.py and this readiness.json."""
    folder = Path(health.__file__ or "").parent
    if code:
        (folder / "checks.py").write_text(code)
    if listed:
        (folder / "readiness.json").write_text(json.dumps(listed))
    return health.Readiness(None, 0)


def asked(**headers: str) -> Callable[[str], str | None]:
    """A request's headers."""
    message = Message()
    for name, value in headers.items():
        message[name] = value
    return message.get


def test_a_check_that_hangs_fails_at_the_deadline_and_the_next_caller_at_once(health: ModuleType) -> None:
    health.DEADLINE = 2.0
    ready = readiness(health, "import time\ndef slow(): time.sleep(30)\nREADINESS = [slow]\n")
    begun = time.monotonic()
    first = ready.answer(details=True)
    assert first["checks"]["slow"]["error"] == "TimeoutError"
    assert 1.9 < time.monotonic() - begun < 10
    begun = time.monotonic()
    assert ready.answer(details=False)["status"] == "fail"
    assert time.monotonic() - begun < 1.5


def test_checks_run_at_once_and_have_one_deadline(health: ModuleType) -> None:
    code = "import time\ndef hang(): time.sleep(30)\n" + "".join(f"def check{n}(): return hang()\n" for n in range(20))
    ready = readiness(health, code + f"READINESS = [{', '.join(f'check{n}' for n in range(20))}]\n")
    begun = time.monotonic()
    assert len(ready.answer(details=False)["checks"]) == 20
    assert time.monotonic() - begun < 20 * health.DEADLINE / 2


def test_what_hangs_piles_up_no_threads_and_comes_back_by_itself(health: ModuleType) -> None:
    health.FRESH = 0.0
    ready = readiness(health, "import threading\ngate = threading.Event()\ndef hang(): gate.wait(20)\nREADINESS = [hang]\n")
    for _ in range(30):
        assert not ready.answer(details=False)["ready"]
    assert [thread.name for thread in threading.enumerate()].count("check hang") == 1
    next(module for name, module in sys.modules.items() if name.startswith("checks of ")).gate.set()
    end = time.monotonic() + 5
    while not ready.answer(details=False)["ready"]:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_hundred_callers_at_once_make_one_probe(health: ModuleType) -> None:
    health.DEADLINE = 5.0
    ready = readiness(health, "import time\ncalls = []\ndef count():\n    calls.append(1)\n    time.sleep(0.2)\nREADINESS = [count]\n")
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: ready.answer(details=False), range(100)))
    assert all(answer["ready"] for answer in answers)
    assert len(_calls()) == 1


def test_an_answer_is_kept_for_some_seconds(health: ModuleType) -> None:
    ready = readiness(health, "calls = []\ndef count(): calls.append(1)\nREADINESS = [count]\n")
    for _ in range(5):
        ready.answer(details=False)
    assert len(_calls()) == 1
    health.FRESH = 0.0
    ready.answer(details=False)
    assert len(_calls()) == 2


def _calls() -> list[int]:
    """What the last checks.py that was loaded has counted."""
    return [module for name, module in sys.modules.items() if name.startswith("checks of ")][-1].calls


@pytest.fixture(autouse=True)
def forget_checks() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("checks of ")]:
        del sys.modules[name]


def test_a_password_in_an_exception_is_shown_to_nobody(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HEALTH_TOKEN", "the token")
    ready = readiness(health, "def leak(): raise ConnectionError('redis://:hunter2@cache')\nREADINESS = [leak]\n")
    for headers in (asked(), asked(Authorization="Bearer the token"), asked(Accept="application/health+json")):
        code, _, text = health.reply("api", ready, headers)
        assert (code, "hunter2" in text) == (503, False)
    assert "leak: ConnectionError" in caplog.text
    assert "hunter2" not in caplog.text


def test_names_and_states_are_public_and_the_rest_needs_the_token(health: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = readiness(health, "def leak(): raise ConnectionError\nREADINESS = [leak]\n")
    public = {"leak": {"status": "fail", "required": True}}
    assert json.loads(health.reply("api", ready, asked(Authorization="Bearer "))[2])["checks"] == public
    monkeypatch.setenv("HEALTH_TOKEN", "tökén")
    assert json.loads(health.reply("api", ready, asked(Authorization="Bearer token"))[2])["checks"] == public
    detailed = json.loads(health.reply("api", ready, {"Authorization": "Bearer tökén"}.get)[2])["checks"]["leak"]
    assert (detailed["error"], detailed["about"]) == ("ConnectionError", "")


def test_own_checks_fail_by_raising_or_by_false(health: ModuleType) -> None:
    code = "def a(): return False\ndef b(): raise KeyError\ndef c(): return None\ndef d(): return 0\n"
    code += "READINESS = [c, d]\nREADINESS_OPTIONAL = [a, b]\n"
    answer = readiness(health, code).answer(details=False)
    assert {name: state["status"] for name, state in answer["checks"].items()} == {"c": "pass", "d": "pass", "a": "warn", "b": "warn"}
    assert (answer["ready"], answer["status"]) == (True, "warn")


def test_own_checks_that_cannot_be_loaded_fail(health: ModuleType) -> None:
    answer = readiness(health, "import nothing_of_that_name\nREADINESS = []\n").answer(details=True)
    assert answer["checks"]["checks.py"]["error"] == "ModuleNotFoundError"
    assert not answer["ready"]


def test_a_checks_py_that_is_about_something_else_is_not_even_imported(health: ModuleType, tmp_path: Path) -> None:
    ready = readiness(health, f"open({str(tmp_path / 'imported')!r}, 'w')\ndef check_account(): raise OSError\n")
    assert ready.answer(details=False) == {"ready": True, "status": "pass", "checks": {}}
    assert not (tmp_path / "imported").exists()


def test_an_address_that_is_not_set_fails_its_check(health: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CACHE_URL", raising=False)
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes/http_probe.py").write_bytes((ROOT / "levels/1-basic/@http/probes/http_probe.py").read_bytes())
    listed = [{"name": "http", "probe": "http", "kind": "http", "target": "CACHE_URL", "required": True}]
    state = readiness(health, listed=listed).answer(details=True)["checks"]["http"]
    assert (state["status"], state["error"], state["about"]) == ("fail", "NotSet", "http at CACHE_URL")


def test_another_service_is_asked_over_http(health: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes/http_probe.py").write_bytes((ROOT / "levels/1-basic/@http/probes/http_probe.py").read_bytes())
    listed = [{"name": "http", "probe": "http", "kind": "http", "target": "PEER_URL", "required": False}]
    monkeypatch.setenv("no_proxy", "*")
    peer = health.serve_health("peer", port=0)
    monkeypatch.setenv("PEER_URL", f"http://127.0.0.1:{peer.server_port}/health")
    try:
        assert readiness(health, listed=listed).answer(details=True)["checks"]["http"]["status"] == "pass"
        monkeypatch.setattr(peer.RequestHandlerClass, "do_HEAD", lambda self: self.send_error(502), raising=False)
        assert readiness(health).answer(details=True)["checks"]["http"]["error"] == "HTTPError"
    finally:
        peer.shutdown()
        peer.server_close()
    answer = readiness(health).answer(details=True)
    assert (answer["ready"], answer["checks"]["http"]["status"], answer["checks"]["http"]["error"]) == (True, "warn", "URLError")


PROBE = "def probe(app, client, address, seconds):\n    {}\n"


def clients(health: ModuleType, probe: str, target: str = "", client: str = "db/store.py:store") -> dict[str, Any]:
    """The state of a check that asks by a client, with this body of its probe."""
    folder = Path(health.__file__ or "").parent
    (folder / "probes").mkdir()
    (folder / "probes/its_probe.py").write_text(PROBE.format(probe))
    entry = {"name": "store", "probe": "its", "kind": "redis", "target": target, "client": client, "required": True}
    return readiness(health, listed=[entry]).answer(details=True)["checks"]["store"]


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
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module(monkeypatch, tmp_path / "elsewhere/store.py", "store", "store = [2]\n")
    mine = module(monkeypatch, tmp_path / "db/store.py", "shop.db.store", "store = []\n")
    state = clients(health, "client.append(1)", target="STORE_URL")
    assert (state["status"], state["about"]) == ("pass", "redis at STORE_URL")
    assert mine.store == [1]


@pytest.mark.parametrize("code", [None, "", "store = None\n"], ids=["not loaded", "no such name", "not made"])
def test_without_its_client_a_check_asks_by_the_address(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str | None
) -> None:
    if code is not None:
        module(monkeypatch, tmp_path / "db/store.py", "store", code)
    monkeypatch.setenv("STORE_URL", "redis://cache")
    assert clients(health, "assert (client, address()) == (None, 'redis://cache')", target="STORE_URL")["status"] == "pass"


def test_without_client_and_address_a_check_fails_and_imports_nothing(health: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db/store.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nstore = 1\n")
    state = clients(health, "raise AssertionError")
    assert (state["status"], state["error"], state["about"]) == ("fail", "NotLoaded", "redis at db/store.py:store")
    assert not (tmp_path / "imported").exists()


def test_looking_for_a_client_wakes_no_lazy_module(health: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nstore = 1\n")
    spec = importlib.util.spec_from_file_location("lazy", tmp_path / "lazy.py")
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    monkeypatch.setitem(sys.modules, "odd", object())  # what some libraries put there
    spec.loader.exec_module(lazy)
    assert health.made("lazy.py:store") is None and not (tmp_path / "imported").exists()


def test_a_client_that_hangs_costs_one_thread(health: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may have no timeout of its own: the deadline holds all the same."""
    health.FRESH = 0.0
    module(monkeypatch, tmp_path / "db/store.py", "store", "import threading\nstore = threading.Event()\n")
    assert clients(health, "client.wait(20)")["error"] == "TimeoutError"
    ready = readiness(health)
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: ready.answer(details=True), range(100)))
    assert {answer["checks"]["store"]["error"] for answer in answers} == {"TimeoutError"}
    assert [thread.name for thread in threading.enumerate()].count("check store") == 2  # one for each of two readinesses
    sys.modules["store"].store.set()


def test_a_password_in_a_clients_exception_is_shown_to_nobody(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module(monkeypatch, tmp_path / "db/store.py", "store", "store = 'redis://:hunter2@cache'\n")
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


def test_health_json_is_for_those_who_ask_for_it(health: ModuleType) -> None:
    code, headers, text = health.reply("api", None, asked(Accept="application/health+json, */*"))
    assert (code, headers["Content-Type"], json.loads(text)["status"]) == (200, "application/health+json", "pass")
    ready = readiness(health, "def leak(): raise OSError\nREADINESS_OPTIONAL = [leak]\n")
    document = json.loads(health.reply("api", ready, asked(Accept="application/health+json"))[2])
    assert (document["status"], document["checks"]["leak"]) == ("warn", [{"status": "warn", "required": False}])
    code, headers, text = health.reply("api", None, asked(Accept="*/*"))
    assert (headers["Content-Type"], json.loads(text)["status"]) == ("application/json", "healthy")


def test_no_check_is_made_for_health(health: ModuleType) -> None:
    ready = readiness(health, "calls = []\ndef count(): calls.append(1)\nREADINESS = [count]\n")
    health.reply("api", None, asked())
    assert ready.checks == []
    assert not any(name.startswith("checks of ") for name in sys.modules)


def test_a_handler_of_sigterm_that_was_there_is_still_called(health: ModuleType) -> None:
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    ready = health.Readiness(None, 0.2)
    assert ready.answer(details=False)["ready"]
    os.kill(os.getpid(), signal.SIGTERM)
    assert ready.answer(details=False)["checks"] == {"shutdown": {"status": "fail", "required": True}}
    assert told == []
    end = time.monotonic() + 5
    while not told:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert told == [signal.SIGTERM]


def test_two_services_in_one_process_share_one_handler(health: ModuleType) -> None:
    health.Readiness(None, 0)
    mine = signal.getsignal(signal.SIGTERM)
    health.Readiness(None, 0)
    assert signal.getsignal(signal.SIGTERM) is mine


def test_off_the_main_thread_no_handler_is_touched(health: ModuleType) -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=health.Readiness, args=(None, 0))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_worker_says_no_after_sigterm_and_ends_though_a_check_hangs(tmp_path: Path) -> None:
    """The process of a worker: what it has begun is finished first, and nothing that hangs holds it."""
    (tmp_path / "health.py").write_bytes(SOURCE.read_bytes())
    (tmp_path / "checks.py").write_text("import time\ndef hang(): time.sleep(600)\nREADINESS_OPTIONAL = [hang]\n")
    (tmp_path / "worker.py").write_text(
        "import signal, threading, time, health\n"
        "stop = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: stop.set())\n"
        "print(health.serve_health('bot', port=0).server_port, flush=True)\n"
        "while not stop.wait(0.1): pass\n"
        "time.sleep(1)\n"
        "print('finished', flush=True)\n"
    )
    worker = subprocess.Popen([sys.executable, "worker.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    try:
        address = f"http://127.0.0.1:{int(worker.stdout.readline())}/readiness"
        assert _get(address) == (200, "warn")
        worker.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert _get(address) == (503, "fail")
        assert worker.wait(5) == 0
        assert worker.stdout.read() == "finished\n"
    finally:
        worker.kill()


def _get(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return response.status, json.load(response)["status"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["status"]
