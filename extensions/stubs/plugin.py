"""A pytest plugin for the run of candidates: no network, no writes elsewhere, a time limit for each test, and
what became of each.

It is copied beside the tests and runs on the project's Python, so it imports nothing of this package.
Settings come in LEVELS_STUBS, JSON.
"""

import faulthandler
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import levels_stubs_landlock as landlock  # type: ignore[import-not-found]  # landlock.py, as it is called there
import pytest

SETTINGS = json.loads(os.environ["LEVELS_STUBS"])
LOG = open(SETTINGS["log"], "a", encoding="utf-8")  # noqa: SIM115  it lives as long as the process
ITEMS: dict[str, tuple[str, str, int]] = {}
SLOW: set[tuple[str, str]] = set()
STATUS = [0]


class TooLong(BaseException):
    """A test went over its time."""


def _refuse(*_arguments: object, **_options: object) -> None:
    raise OSError("no network while candidates run")


def _tell(**what: Any) -> None:
    LOG.write(json.dumps(what) + "\n")
    LOG.flush()


def _ring(*_arguments: object) -> None:
    raise TooLong(f"took longer than {SETTINGS['each']} seconds")


landlock.write_only_below([SETTINGS["work"], "/dev"])
for _name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, _name, _refuse)
for _name in ("create_connection", "getaddrinfo", "gethostbyname", "create_server"):
    setattr(socket, _name, _refuse)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the candidates that still wait for their turn."""
    wanted = {file: set(names) for file, names in SETTINGS["wanted"].items()}
    done = {tuple(one) for one in SETTINGS["done"]}
    kept: list[pytest.Item] = []
    count: dict[tuple[str, str], int] = {}
    for item in items:
        file = os.path.relpath(item.path, SETTINGS["root"]).replace(os.sep, "/")
        name = getattr(item, "originalname", None) or item.name
        number = count[file, name] = count.get((file, name), -1) + 1
        if name in wanted.get(file, ()) and not {(file, name, number), (file, name, -1)} & done:
            ITEMS[item.nodeid] = (file, name, number)
            kept.append(item)
    items[:] = kept[::-1] if SETTINGS["backwards"] else kept
    if SETTINGS["hypothesis"]:
        _warm_up()


def _warm_up() -> None:
    """Have Hypothesis make its tables, which takes a second or two,
    before the time of the first test begins."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    @settings(derandomize=True, deadline=None, max_examples=1)
    @given(text=st.text())
    def holds(text: str) -> None:
        assert isinstance(text, str)

    holds()


def pytest_runtest_logstart(nodeid: str, location: object) -> None:
    _tell(start=ITEMS.get(nodeid))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        text = str(report.longrepr).strip().splitlines()
        _tell(collection=report.nodeid, why=text[-1].removeprefix("E   ") if text else "")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """One case that takes too long is enough to know of a test, and two tests of their file: its module may
    hang.
    """
    file, name, _ = ITEMS[item.nodeid]
    if (file, name) in SLOW:
        raise TooLong("another of its cases took too long")
    if sum(file == slow for slow, _ in SLOW) >= 2:
        raise TooLong("two tests of this module took too long")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Ring after the time of one test; where there are no alarms, end the process."""
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, SETTINGS["each"])
        # For what swallows the alarm, or is no Python.
        faulthandler.dump_traceback_later(SETTINGS["each"] + 2, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        timer = threading.Timer(SETTINGS["each"], os._exit, (70,))
        timer.daemon = True
        timer.start()
        yield
        timer.cancel()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Tell how each phase of a test ended, and with which exception."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" or report.outcome != "passed":
        kind = ""
        if call.excinfo is not None:
            kind = f"{call.excinfo.type.__name__}: {call.excinfo.value}"[:2000]
            if call.excinfo.type is TooLong:
                SLOW.add(ITEMS[item.nodeid][:2])
        state = "skipped" if report.skipped else report.outcome
        _tell(test=ITEMS.get(item.nodeid), state=state, why=kind)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    """Keep the exit code for the end."""
    STATUS[0] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End at once: threads that a module has started would keep the process."""
    sys.stdout.flush()
    os._exit(STATUS[0])
