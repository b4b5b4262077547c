"""Experiments at level 4 with the real OpenFeature, flagd's provider and gunicorn: who gets which variant, what
every worker has after a change, and the events.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import ROOT, Project
from tests.support.servers import becomes_true, free_port

pytestmark = pytest.mark.proof

AtLevel = Callable[..., Project]
CODE = ROOT / "levels/4-enterprise/runtime/experiments.py"
KEY = "0123456789abcdef0123456789abcdef"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# What the quantile 0.999 of chi-square is, by degrees of freedom: fair assignments exceed it once in 1,000.
CRITICAL = {1: 10.83, 3: 16.27}
SHOP = """\
import os

from flask import Flask

from runtime.experiments import converted, variant
from services.api.health import init_service

app = Flask(__name__)


@app.get("/see/<user>")
def see(user):
    return {"pid": os.getpid(), "variant": variant("new-checkout", user, default="nothing")}


@app.get("/buy/<user>")
def buy(user):
    converted("checkout", user, value=19.9)
    return {"pid": os.getpid()}


app = init_service(app, "api")
"""


def flagd(revision: str, targeting: object = None, **weights: int) -> str:
    """A definition of the flag new-checkout, as ci/experiments.py makes it."""
    flag: dict[str, Any] = {"state": "ENABLED", "variants": {name: name for name in weights}}
    flag["defaultVariant"] = next(iter(weights))
    flag["metadata"] = {"experiment": "new-checkout"}
    shares = {"fractional": [list(pair) for pair in weights.items()]}
    someone = {"!": [{"in": [{"var": "targetingKey"}, ["", None]]}]}
    flag["targeting"] = {"if": [{"and": [someone, *([targeting] if targeting else [])]}, shares]}
    return json.dumps({"metadata": {"version": revision}, "flags": {"new-checkout": flag}})


def put(file: Path, text: str) -> None:
    """Put a file there as `make flags APPLY=1` does: another takes its place."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, file)


class Shop:
    """gunicorn with two workers, started in a project."""

    def __init__(self, project: Project, folder: Path, *options: str) -> None:
        self.project, self.options = project, options
        self.flags, self.events, self.temporary = folder / "flags.json", folder / "events", folder / "tmp"
        self.temporary.mkdir()
        project.write("services/api/app.py", SHOP)
        self.log = folder / "log.txt"

    def start(self) -> None:
        self.port = free_port()
        ours = {"FLAGS_FILE": str(self.flags), "EVENTS_FOLDER": str(self.events), "EVENTS_KEY": KEY}
        ours |= {"FEATURE_FLAGS": "a_b_testing", "SERVICE_NAME": "api", "TMPDIR": str(self.temporary)}
        command = [sys.executable, "-m", "gunicorn", "--config", "python:services.serving", "--workers", "2"]
        command += [
            "--threads",
            "4",
            "--bind",
            f"127.0.0.1:{self.port}",
            *self.options,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "services.api.app:app"],
                cwd=self.project.folder,
                env={**os.environ, **ours},
                stdout=log,
                stderr=log,
            )
        becomes_true(lambda: self.ask("see", "nobody-yet") is not None, 30)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def ask(self, what: str, user: str) -> dict[str, Any] | None:
        try:
            with OPENER.open(f"http://127.0.0.1:{self.port}/{what}/{user}", timeout=10) as answer:
                return dict(json.loads(answer.read()))
        except OSError:
            return None

    def seen(self, users: int = 200) -> dict[str, str]:
        """What these users see."""
        answers = {f"user-{number}": self.ask("see", f"user-{number}") for number in range(users)}
        return {user: answer["variant"] for user, answer in answers.items() if answer}

    def by_worker(self, user: str) -> dict[int, str]:
        """What each of the workers answers, the newest answer of each."""
        answers = [self.ask("see", user) for _ in range(60)]
        return {answer["pid"]: answer["variant"] for answer in answers if answer}

    def written(self) -> list[dict[str, Any]]:
        files = sorted(self.events.glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


SERVERS = {"plain": (), "preloaded": ("--preload",), "gevent": ("--worker-class=gevent",)}


@pytest.fixture(params=SERVERS)
def shop(request: pytest.FixtureRequest, at_level: AtLevel, tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "host"
    folder.mkdir()
    shop = Shop(at_level(4), folder, *SERVERS[request.param])
    put(shop.flags, flagd("1", old=50, new=50))
    shop.start()
    yield shop
    if shop.process.poll() is None:
        shop.stop()


def test_every_worker_has_a_new_revision_under_load_without_a_restart(shop: Shop) -> None:
    before = shop.by_worker("user-1")
    assert len(before) == 2, "both workers answer"
    answers: list[dict[str, Any] | None] = []
    over = threading.Event()

    def load(number: int) -> None:
        while not over.is_set():
            answers.append(shop.ask("see", f"user-{number}-{len(answers)}"))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for revision in range(2, 12):
        put(shop.flags, flagd(str(revision), old=revision % 2, new=1 - revision % 2))
        time.sleep(0.6)
    put(shop.flags, flagd("12", old=0, new=1))
    time.sleep(1)
    over.set()
    for thread in threads:
        thread.join()
    assert len(answers) > 500 and None not in answers, "no request failed"
    assert {answer["variant"] for answer in answers if answer} == {"old", "new"}, "nobody ever got nothing"
    assert shop.by_worker("user-1") == dict.fromkeys(before, "new"), "the same processes"


def test_a_user_keeps_the_variant_over_restarts_and_reloads(shop: Shop) -> None:
    first = shop.seen()
    assert set(first.values()) == {"old", "new"} and len(first) == 200
    put(shop.flags, flagd("2", old=50, new=50))
    time.sleep(1)
    assert shop.seen() == first
    shop.stop()
    shop.start()
    assert shop.seen() == first
    put(shop.flags, flagd("3", old=40, new=60))
    time.sleep(1)
    later = shop.seen()
    moved = {user for user in first if later[user] != first[user]}
    assert moved and {first[user] for user in moved} == {"old"} and len(moved) < 40, "a tenth, one way only"


def test_a_broken_file_keeps_the_last_good_one_also_for_a_worker_that_starts(shop: Shop) -> None:
    first = shop.seen(50)
    for broken in ("{", '{"flags": []}', flagd("2", old=1, new=1).replace('"old"', '"older"', 1), ""):
        put(shop.flags, broken)
        time.sleep(0.7)
        assert shop.seen(50) == first, broken
    for pid in shop.by_worker("user-1"):
        os.kill(pid, signal.SIGKILL)
    becomes_true(lambda: len(shop.by_worker("user-1")) == 2, 30)
    assert shop.seen(50) == first, "a worker that began on the broken file"
    shop.flags.unlink()
    time.sleep(0.7)
    assert shop.seen(50) == first
    put(shop.flags, flagd("3", old=0, new=1))
    time.sleep(1)
    assert set(shop.seen(50).values()) == {"new"}
    said = [line for line in shop.log.read_text().splitlines() if "not taken" in line]
    assert 2 <= len(said) <= 20, "once for each file and process, not at each look"
    assert "Traceback" not in shop.log.read_text()


def test_exposures_and_conversions_are_written_by_every_process(shop: Shop) -> None:
    assignments = shop.seen(300)
    for number in range(0, 300, 3):
        shop.ask("buy", f"user-{number}")
    workers = {*shop.by_worker("user-0")}
    shop.stop()
    events = shop.written()
    exposures = [one for one in events if one["event"] == "feature_flag.evaluation"]
    conversions = [one for one in events if one["event"] == "conversion"]
    keys = ["time", "event", "service", "feature_flag.key", "feature_flag.result.variant"]
    assert list(exposures[0]) == [*keys, "feature_flag.context.id", "feature_flag.version"]
    assert list(conversions[0]) == ["time", "event", "service", "name", "value", "feature_flag.context.id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", exposures[0]["time"])
    assert {one["feature_flag.version"] for one in exposures} == {"1"}
    by_unit = {one["feature_flag.context.id"]: one["feature_flag.result.variant"] for one in exposures}
    # Those that the fixture asked for are there too.
    assert len(by_unit) == 301 and Counter(assignments.values()) <= Counter(by_unit.values())
    assert len(exposures) <= 2 * 301, "once a process, unit and day"
    assert len(conversions) == 100 and {one["value"] for one in conversions} == {19.9}
    assert {one["feature_flag.context.id"] for one in conversions} <= set(by_unit)
    names = [file.name for file in shop.events.glob("*.jsonl")]
    found = [re.fullmatch(r"api-\d{4}-\d\d-\d\d-(.+)-(\d+)\.jsonl", name) for name in names]
    assert all(found) and workers == {int(one[2]) for one in found if one}
    assert "user-" not in "".join(file.read_text() for file in shop.events.glob("*"))


def test_a_unit_is_forgotten_while_others_are_written(shop: Shop) -> None:
    sent = 0
    over = threading.Event()

    def load() -> None:
        nonlocal sent
        while not over.is_set():
            shop.ask("buy", "ada")
            shop.ask("buy", f"user-{sent}")
            sent += 1

    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(1)
    told = {**os.environ, "EVENTS_FOLDER": str(shop.events), "EVENTS_KEY": KEY}
    forget = [sys.executable, str(CODE), "forget"]
    for _ in range(20):
        subprocess.run(forget, input="ada", text=True, env=told, check=True, capture_output=True)
    over.set()
    thread.join()
    shop.stop()
    done = subprocess.run(forget, input="ada", text=True, env=told, check=True, capture_output=True)
    assert int(done.stdout) > 0
    others = [one for one in shop.written() if one["event"] == "conversion"]
    assert len(others) == sent, "none of anybody else is lost"
    again = subprocess.run(forget, input="ada", text=True, env=told, check=True, capture_output=True)
    assert again.stdout == "0\n"


def test_a_folder_that_cannot_be_written_fails_no_request(at_level: AtLevel, tmp_path: Path) -> None:
    shop = Shop(at_level(4), tmp_path)
    put(shop.flags, flagd("1", old=50, new=50))
    shop.events.write_text("not a folder")
    shop.start()
    try:
        assert len(shop.seen(50)) == 50 and shop.ask("buy", "user-1")
        time.sleep(1.5)
        shop.events.unlink()
        time.sleep(1)
    finally:
        shop.stop()
    assert len({one["feature_flag.context.id"] for one in shop.written()}) == 51, "they waited, and are there"
    assert shop.log.read_text().count("EVENTS_FOLDER can't be written") <= 2


# In one process


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module, loaded afresh, with its folder for temporary files."""
    monkeypatch.setenv("FEATURE_FLAGS", "a_b_testing")
    monkeypatch.setenv("FLAGS_FILE", str(tmp_path / "flags.json"))
    monkeypatch.setenv("EVENTS_FOLDER", str(tmp_path / "events"))
    monkeypatch.setenv("EVENTS_KEY", KEY)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spec = importlib.util.spec_from_file_location("experiments_of_a_test", CODE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "experiments_of_a_test", module)
    spec.loader.exec_module(module)
    return module


# From open-feature/flagd-testbed at 3.9.0, gherkin/targeting.feature and flags/custom-ops.json: what the examples tagged
# fractional-v3 say, which flagd's evaluators in all languages have to give.
CARDS: list[list[object]] = [["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]
UNIT = {"var": "unit"}
VECTORS: dict[str, tuple[list[Any], dict[Any, str]]] = {
    "fractional-flag": (
        [{"cat": [{"var": "$flagd.flagKey"}, UNIT]}, *CARDS],
        {"jack": "diamonds", "queen": "diamonds", "ten": "clubs", "nine": "clubs", "3": "spades"},
    ),
    "fractional-flag-shorthand": (
        [["heads"], ["tails", 1]],
        {"jon@company.com": "tails", "jane@company.com": "tails"},
    ),
    "fractional-flag-A-shared-seed": (
        [{"cat": ["shared-seed", UNIT]}, *CARDS],
        {"seven": "hearts", "eight": "hearts", "nine": "diamonds", "two": "diamonds"},
    ),
    "fractional-basic-flag": (
        [UNIT, *([f"bucket{number}", 4] for number in range(1, 26))],
        {
            True: "bucket5",
            False: "bucket1",
            "user1": "bucket22",
            "user2": "bucket16",
            123: "bucket20",
            456: "bucket12",
            1.23: "bucket14",
            4.56: "bucket18",
        },
    ),
}


@pytest.mark.parametrize("flag", VECTORS)
def test_the_hash_gives_what_flagd_publishes(module: Any, tmp_path: Path, flag: str) -> None:
    shares, expected = VECTORS[flag]
    names = {one: one for one in expected.values()} | {"other": "other"}
    one = {
        "state": "ENABLED",
        "variants": names,
        "defaultVariant": "other",
        "targeting": {"fractional": shares},
    }
    put(tmp_path / "flags.json", json.dumps({"metadata": {"version": "1"}, "flags": {flag: one}}))
    assert {unit: module.variant(flag, unit, unit=unit) for unit in expected} == expected


def chi_square(counts: list[int], expected: list[float]) -> float:
    return math.fsum((count - share) ** 2 / share for count, share in zip(counts, expected, strict=True))


@pytest.mark.parametrize("weights", [{"a": 50, "b": 50}, {"a": 1, "b": 9}, {"a": 5, "b": 3, "c": 1, "d": 1}])
@pytest.mark.parametrize("units", ["user-{}", "{}", "{}@example.org"])
def test_assignment_is_uniform(module: Any, tmp_path: Path, weights: dict[str, int], units: str) -> None:
    put(tmp_path / "flags.json", flagd("1", **weights))
    number, whole = 20_000, sum(weights.values())
    counts = Counter(module.variant("new-checkout", units.format(one)) for one in range(number))
    found = [counts[name] for name in weights]
    expected = [number * weight / whole for weight in weights.values()]
    assert sum(found) == number and chi_square(found, expected) < CRITICAL[len(weights) - 1]


def test_two_flags_assign_independently(module: Any, tmp_path: Path) -> None:
    flags = json.loads(flagd("1", a=1, b=1))
    flags["flags"]["another"] = flags["flags"]["new-checkout"]
    put(tmp_path / "flags.json", json.dumps(flags))
    pairs = Counter(
        (module.variant("new-checkout", f"u{one}"), module.variant("another", f"u{one}"))
        for one in range(20_000)
    )
    assert chi_square([*pairs.values()], [5_000] * 4) < CRITICAL[3]


def test_51_to_49_that_should_be_halves_is_seen_in_50_000_units(module: Any, tmp_path: Path) -> None:
    put(tmp_path / "flags.json", flagd("1", old=51, new=49))
    counts = Counter(module.variant("new-checkout", f"user-{one}") for one in range(50_000))
    assert chi_square([counts["old"], counts["new"]], [25_000] * 2) > CRITICAL[1]
    put(tmp_path / "flags.json", flagd("2", old=50, new=50))
    time.sleep(module.LOOK)
    counts = Counter(module.variant("new-checkout", f"user-{one}") for one in range(50_000))
    assert chi_square([counts["old"], counts["new"]], [25_000] * 2) < CRITICAL[1]


def test_who_is_not_asked_for_gets_control_and_is_not_counted(module: Any, tmp_path: Path) -> None:
    put(tmp_path / "flags.json", flagd("1", {"==": [{"var": "country"}, "DE"]}, old=0, new=1))
    assert module.variant("new-checkout", "ada", country="DE") == "new"
    assert module.variant("new-checkout", "ada", country="FR") == "old"
    assert module.variant("new-checkout", "bob") == "old"
    assert [module.variant("new-checkout", nobody, country="DE") for nobody in (None, "")] == ["old", "old"]
    assert module.variant("new-checkout", 0, country="DE") == "new", "a number is a unit"
    module.experiments.events.flush()
    lines = [line for file in (tmp_path / "events").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(lines) == 2


def test_openfeatures_own_client_gives_the_same_and_is_counted(module: Any, tmp_path: Path) -> None:
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext

    flags = json.loads(flagd("1", old=50, new=50))
    on = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}
    flags["flags"]["dark_mode"] = on
    put(tmp_path / "flags.json", json.dumps(flags))
    assert module.variant("dark_mode", "ada") == "on"
    client = api.get_client()
    assert client.get_boolean_value("dark_mode", False, EvaluationContext("ada")) is True
    expected = [module.variant("new-checkout", f"u{one}") for one in range(50)]
    module.experiments.cache.clear()
    got = [client.get_string_value("new-checkout", "x", EvaluationContext(f"u{one}")) for one in range(50)]
    assert got == expected
    module.experiments.events.flush()
    text = "".join(file.read_text() for file in (tmp_path / "events").glob("*.jsonl"))
    assert text.count("\n") == 100 and "dark_mode" not in text, "a flag that is no experiment isn't counted"


def test_an_answer_of_the_old_definition_is_not_remembered_by_the_new_one(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The definition changes while a thread evaluates by the old one."""
    put(tmp_path / "flags.json", flagd("1", old=1, new=0))
    module.variant("new-checkout", "bob")
    evaluate = module.experiments.evaluate

    def slow(*words: Any) -> str | None:
        found = evaluate(*words)
        put(tmp_path / "flags.json", flagd("2", old=0, new=1))
        module.experiments.look()
        return str(found)

    monkeypatch.setattr(module.experiments, "evaluate", slow)
    assert module.variant("new-checkout", "ada") == "old"
    monkeypatch.setattr(module.experiments, "evaluate", evaluate)
    assert module.variant("new-checkout", "ada") == "new"


def test_attributes_of_any_kind_do_no_harm(module: Any, tmp_path: Path) -> None:
    put(tmp_path / "flags.json", flagd("1", {"in": ["a", {"var": "groups"}]}, old=0, new=1))
    assert module.variant("new-checkout", "ada", groups=["a", "b"]) == "new"
    assert module.variant("new-checkout", "ada", groups=["b"]) == "old"
    assert module.variant("new-checkout", "ada", groups=object()) == "old"


def test_without_a_key_nothing_is_written_and_that_is_said_once(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("EVENTS_KEY")
    put(tmp_path / "flags.json", flagd("1", old=50, new=50))
    for one in range(10):
        assert module.variant("new-checkout", f"user-{one}") in ("old", "new")
        module.converted("checkout", f"user-{one}")
    module.experiments.events.flush()
    assert not (tmp_path / "events").exists()
    assert [line.getMessage() for line in caplog.records if "EVENTS_KEY" in line.getMessage()] == [
        "no events are written: EVENTS_KEY isn't set"
    ]


def test_without_the_flag_or_a_definition_all_get_the_default(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.variant("new-checkout", "ada", default="old") == "old", "no definition yet"
    put(tmp_path / "flags.json", flagd("1", old=0, new=1))
    time.sleep(module.LOOK)
    assert module.variant("new-checkout", "ada", default="old") == "new"
    monkeypatch.setenv("FEATURE_FLAGS", "other")
    off = module.Experiments()
    assert off.variant("new-checkout", "ada", default="old") == "old" and off.client is None
    off.converted("checkout", "ada")
    assert not off.events.waiting


def test_each_day_has_a_file_and_old_ones_go(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "flags.json", flagd("1", old=50, new=50))
    folder = tmp_path / "events"
    folder.mkdir()
    monkeypatch.setenv("EVENTS_DAYS", "30")
    today = datetime.now(UTC).date()
    for days in (29, 30, 31, 400):
        (folder / f"api-{today - timedelta(days=days)}-h-1.jsonl").write_text("{}\n")
    (folder / "notes-of-mine.jsonl").write_text("")
    module.variant("new-checkout", "ada")
    module.experiments.today = "yesterday"
    module.experiments.next_look = 0.0
    module.variant("new-checkout", "ada")
    events = module.experiments.events
    assert len(events.waiting) == 2, "a new day has its exposures"
    (day, line), *_ = events.waiting
    events.waiting.append(("2099-01-01", line))
    events.flush()
    kept = sorted(file.name for file in folder.glob("*.jsonl"))
    ours = [name for name in kept if name.endswith(f"-{os.getpid()}.jsonl")]
    assert len(ours) == 2 and any(day in name for name in ours) and any("2099-01-01" in name for name in ours)
    left = [f"api-{today - timedelta(days=days)}-h-1.jsonl" for days in (29, 30)]
    # Seen from 2099 nothing is older than it was: the clock decides, not the names.
    assert sorted(left) == [name for name in kept if name.endswith("-h-1.jsonl")]
    assert "notes-of-mine.jsonl" in kept


def test_cached_evaluations_are_far_quicker_than_the_providers_own(module: Any, tmp_path: Path) -> None:
    """A figure for docs/experiments.md is printed with -s."""
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext

    put(tmp_path / "flags.json", flagd("1", old=50, new=50))
    users = [f"user-{one}" for one in range(5_000)]
    for user in users:
        module.variant("new-checkout", user)

    def rate(ask: Callable[[str], object], times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            for user in users:
                ask(user)
        return times * len(users) / (time.perf_counter() - began)

    client = api.get_client()
    hooks = module.import_module("openfeature.hook")
    cached = rate(lambda user: module.variant("new-checkout", user), 20)
    hooks.clear_hooks()
    plain = rate(lambda user: client.get_string_value("new-checkout", "", EvaluationContext(user)), 1)
    print(f"\n{cached:,.0f} evaluations a second cached, {plain:,.0f} by the provider alone")
    assert cached > 100_000 and cached > 3 * plain


@pytest.fixture(autouse=True)
def no_provider() -> Iterator[None]:
    """OpenFeature is one for the process: each test begins without a provider and hooks."""
    yield
    from openfeature import api

    api.shutdown()
