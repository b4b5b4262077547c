"""Variants of experiments, by OpenFeature with flagd's provider in the process, and the events that are counted.

    from runtime.experiments import converted, variant

    if variant("new-checkout", user_id) == "on": …
    converted("checkout", user_id, value=19.9)

It does something only while FEATURE_FLAGS holds `a_b_testing`, and never fails a request. flagd's definition is
the file FLAGS_FILE: a new one is taken within a second, a broken one leaves the last good one. Events go to the
folder EVENTS_FOLDER, with a pseudonym by EVENTS_KEY in place of the unit; they are kept for EVENTS_DAYS days.

    python runtime/experiments.py forget     delete the events of the unit that standard input names
    python runtime/experiments.py summary    what the folder's events come to, as JSON
"""

import atexit
import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

FLAG = "a_b_testing"
ROOT = Path(__file__).resolve().parents[1]
LOOK = 0.5  # seconds between two looks at the file, and between two writes of events
CACHED = 100_000  # answers that are remembered, until the definition or the day changes
WAITING = 100_000  # events that wait to be written at most: those beyond are lost, and counted
DAY = re.compile(r"-(\d{4}-\d\d-\d\d)-[^/]*\.jsonl$")
log = logging.getLogger("experiments")


def on() -> bool:
    """Return whether this process runs experiments."""
    return FLAG in map(str.strip, os.environ.get("FEATURE_FLAGS", "").split(","))


def pseudonym(unit: str) -> str:
    """Return what stands for a unit in events; empty without EVENTS_KEY."""
    key = os.environ.get("EVENTS_KEY", "").encode()
    return hmac.new(key, unit.encode(), "sha256").hexdigest()[:32] if key else ""


@contextmanager
def locked(folder: Path, how: int) -> Iterator[None]:
    """Hold the folder's lock: its writers share it, who deletes events has it alone."""
    with open(folder / ".lock", "a", encoding="utf-8") as file:
        with suppress(OSError):
            os.chmod(file.fileno(), 0o666)  # services may run as different users
        fcntl.flock(file, how)
        yield


class Events:
    """The events of this process: a thread writes them, so that no request waits for a disk."""

    def __init__(self) -> None:
        self.told: set[str] = set()
        self.forget_all()
        atexit.register(self.flush)

    def forget_all(self) -> None:
        """Begin without events, as a fork has to: its parent writes what it had."""
        self.waiting: deque[tuple[str, str]] = deque()
        self.writing, self.cleaned = threading.Lock(), ""
        self.thread: threading.Thread | None = None

    def tell(self, text: str, *about: object) -> None:
        """Log a line once."""
        if text not in self.told:
            self.told.add(text)
            log.warning(text, *about)

    def put(self, unit: str, event: dict[str, Any]) -> None:
        """Have an event of a unit written, with `event` between its time and its pseudonym."""
        who = pseudonym(unit)
        if not who or not os.environ.get("EVENTS_FOLDER"):
            lacks = "EVENTS_FOLDER" if who else "EVENTS_KEY"
            return self.tell("no events are written: %s isn't set", lacks)
        if len(self.waiting) >= WAITING:
            return self.tell("events are lost: more than %s wait to be written", WAITING)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": now, "event": event.pop("event"), "service": os.environ.get("SERVICE_NAME", "unknown")}
        version = {key: event.pop(key) for key in ("feature_flag.version",) if key in event}
        line |= {**event, "feature_flag.context.id": who, **version}
        self.waiting.append((now[:10], json.dumps(line, ensure_ascii=False)))
        if self.thread is None:
            self.thread = threading.Thread(target=self._write, name="events", daemon=True)
            self.thread.start()

    def _write(self) -> None:
        while True:
            time.sleep(LOOK)
            self.flush()

    def flush(self) -> None:
        """Write what waits: one file a process and day, whole lines at once. Logs what stands in the way, once."""
        with self.writing:
            lines: dict[str, list[str]] = defaultdict(list)
            while self.waiting:
                day, line = self.waiting.popleft()
                lines[day].append(line)
            for day, those in lines.items():
                try:
                    folder = Path(os.environ["EVENTS_FOLDER"])
                    folder.mkdir(parents=True, exist_ok=True)
                    service = re.sub(r"[^\w.-]", "_", os.environ.get("SERVICE_NAME", "unknown"))
                    file = folder / f"{service}-{day}-{socket.gethostname()}-{os.getpid()}.jsonl"
                    with locked(folder, fcntl.LOCK_SH), open(file, "ab") as to:
                        to.write("".join(f"{line}\n" for line in those).encode())
                    if self.cleaned != day:
                        self.cleaned = day
                        clean(folder)
                except (OSError, KeyError) as error:
                    self.waiting.extendleft((day, line) for line in reversed(those))
                    return self.tell("events wait: EVENTS_FOLDER can't be written: %s", error)


def clean(folder: Path) -> None:
    """Delete the files of days that are over for more than EVENTS_DAYS, or 90. Raises OSError."""
    days = os.environ.get("EVENTS_DAYS", "")
    first = datetime.now(UTC).date() - timedelta(days=int(days) if days.isdecimal() and len(days) < 6 else 90)
    for file in folder.glob("*.jsonl"):
        if (found := DAY.search(file.name)) and found[1] < first.isoformat():
            file.unlink(missing_ok=True)


class Experiments:
    """The variants that this process hands out."""

    def __init__(self) -> None:
        self.on, self.events, self.client, self.provider = on(), Events(), None, None
        self.hooked = False
        self.fork()
        os.register_at_fork(after_in_child=self.fork)

    def fork(self) -> None:
        """Begin anew: a fork has none of its parent's threads, and maybe a lock of theirs."""
        self.lock, self.next_look = threading.Lock(), 0.0
        self.seen: tuple[int, ...] = ()
        self.cache: dict[Any, str | None] = {}
        self.booleans: set[str] = set()
        self.today = ""
        self.events.forget_all()

    def variant(self, flag: str, unit: object, /, default: str = "off", **about: Any) -> str:
        """Return the name of the variant of `flag` that `unit` gets; always the same one. `about` is for targeting.

        That is `default` where nothing is known: experiments are off, there is no such flag, or no definition yet.
        """
        if not self.on:
            return default
        try:
            if time.monotonic() >= self.next_look:
                self.look()
            who = "" if unit is None else str(unit)
            key = (flag, who, repr(sorted(about.items()))) if about else (flag, who)
            cache = self.cache  # a new definition has another, so that no answer of the old one gets into it
            try:
                return cache[key] or default
            except KeyError:
                found = self.evaluate(flag, who, about)
            if len(cache) >= CACHED:
                cache.clear()
            cache[key] = found
            return found or default
        except Exception as error:  # whatever it is: the request goes on
            self.events.tell("%s: no variant, so the default one: %s: %s", flag, type(error).__name__, error)
            return default

    def converted(self, name: str, unit: object, value: float = 1.0) -> None:
        """Count a conversion of `unit`: what experiments have for their goal and guardrails."""
        try:
            if self.on and unit not in (None, ""):
                self.events.put(str(unit), {"event": "conversion", "name": str(name), "value": float(value)})
        except Exception as error:
            self.events.tell("%s: a conversion isn't counted: %s: %s", name, type(error).__name__, error)

    def evaluate(self, flag: str, who: str, about: dict[str, Any]) -> str | None:
        """Ask OpenFeature; the hook that writes exposures is called by it. Return None where nothing is known."""
        if self.client is None:
            return None
        context = import_module("openfeature.evaluation_context").EvaluationContext(who, about)
        ask = self.client.get_boolean_details if flag in self.booleans else self.client.get_string_details
        details = ask(flag, False if flag in self.booleans else "", context)
        if details.error_code:
            self.events.tell(f"{flag}: no variant, so the default one: %s", details.error_message or details.error_code)
        return details.variant

    def look(self) -> None:
        """Take the definition where it has changed. One thread looks; the others go on with what there is."""
        if not self.lock.acquire(blocking=self.client is None):
            return
        try:
            self.next_look = time.monotonic() + LOOK
            if self.today != (today := time.strftime("%Y-%m-%d", time.gmtime())):
                self.today = today
                self.cache = {}  # so that each day has its exposures
            file = Path(os.environ.get("FLAGS_FILE") or ROOT / ".cache" / "flags.json")
            stat = file.stat() if file.is_file() else None
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size) if stat else (0, 0, 0)
            if seen == self.seen:
                return
            first, self.seen = not self.seen, seen
            good = Path(
                tempfile.gettempdir(), f"flags-{os.geteuid()}-{hashlib.sha256(bytes(file)).hexdigest()[:12]}.json"
            )
            try:
                self.take(file.read_text(encoding="utf-8"), good)
            except Exception as error:
                log.error("%s: not taken, the last good flags stay: %s: %s", file, type(error).__name__, error)
                if first and good.is_file() and good.stat().st_uid == os.geteuid():
                    with suppress(Exception):
                        self.take(good.read_text(encoding="utf-8"), good)
        finally:
            self.lock.release()

    def take(self, text: str, good: Path) -> None:
        """Have OpenFeature answer by this definition, and keep it in `good`. Raises whatever is wrong with it."""
        flagd, api = import_module("openfeature.contrib.provider.flagd"), import_module("openfeature.api")
        told = json.loads(text)
        kinds = {name: {type(value) for value in one["variants"].values()} for name, one in told["flags"].items()}
        for name, one in told["flags"].items():
            if one["defaultVariant"] not in one["variants"]:
                raise ValueError(f"{name}: defaultVariant: expected one of its variants")
        import_module("openfeature.contrib.tools.flagd.core").FlagdCore().set_flags(text)
        with tempfile.NamedTemporaryFile("w", dir=good.parent, encoding="utf-8", delete=False) as file:
            file.write(text)
        os.replace(file.name, good)
        # Its own look at the file misses one that isn't newer, and logs a broken one each time: it has `good` alone.
        config = import_module("openfeature.contrib.provider.flagd.config")
        new = flagd.FlagdProvider(
            resolver_type=config.ResolverType.FILE, offline_flag_source_path=str(good), deadline_ms=10_000
        )
        if self.client is None or self.provider is None:
            api.set_provider_and_wait(new)
            if not self.hooked:
                api.add_hooks([hook(self.events)])
            self.provider, self.client, self.hooked = new, api.get_client(), True
        else:
            # Another provider in its place would be unready for a moment, and everybody get the default meanwhile.
            new.initialize(import_module("openfeature.evaluation_context").EvaluationContext())
            self.provider.resolver, new.resolver = new.resolver, self.provider.resolver
            new.shutdown()
        self.booleans = {name for name, kind in kinds.items() if kind == {bool}}
        self.cache = {}
        log.info("flags: revision %s", told["metadata"]["version"])


def hook(events: Events) -> Any:
    """Return OpenFeature's hook that writes an exposure where somebody takes part in an experiment."""

    class Exposures(import_module("openfeature.hook").Hook):  # type: ignore[misc]
        def after(self, hook_context: Any, details: Any, hints: Any) -> None:
            about, who = details.flag_metadata, hook_context.evaluation_context.targeting_key
            if who and "experiment" in about and details.reason == "TARGETING_MATCH":
                of_it = {"key": details.flag_key, "result.variant": details.variant, "version": about.get("version")}
                exposure = {f"feature_flag.{key}": value for key, value in of_it.items()}
                with suppress(Exception):  # what a hook raises would change the answer
                    events.put(who, {"event": "feature_flag.evaluation", **exposure})

    return Exposures()


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a folder; what isn't one is left out."""
    for file in sorted(folder.glob("*.jsonl")):
        with suppress(FileNotFoundError), open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with suppress(ValueError, TypeError):
                    if {"time", "feature_flag.context.id"} <= {*(event := json.loads(line))}:
                        yield event


def summary(folder: Path) -> dict[str, Any]:
    """Return what the events come to: days, units by flag and variant, and by conversion units and their sums."""
    days: set[str] = set()
    exposed: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    daily: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for event in read(folder):
        who, name = str(event["feature_flag.context.id"]), str(event.get("name"))
        days.add(day := str(event["time"])[:10])
        if event.get("event") == "conversion":
            sums[name][who] += float(event.get("value") or 0)
            daily[name].add((day, who))
        else:
            exposed[str(event.get("feature_flag.key"))][str(event.get("feature_flag.result.variant"))].add(who)
    shown = {flag: {name: len(units) for name, units in by.items()} for flag, by in exposed.items()}
    conversions = {
        name: {
            "units": len(by),
            "daily": len(daily[name]),
            "sum": sum(by.values()),
            "squares": sum(one * one for one in by.values()),
        }
        for name, by in sums.items()
    }
    return {"days": sorted(days), "exposed": shown, "conversions": conversions}


def forget(folder: Path, unit: str) -> int:
    """Delete a unit's events; return how many there were. Raises OSError; ValueError without EVENTS_KEY."""
    if not (who := pseudonym(unit)):
        raise ValueError("EVENTS_KEY isn't set, so nothing can be told of a unit")
    gone, sign = 0, f'"feature_flag.context.id": "{who}"'
    with locked(folder, fcntl.LOCK_EX):
        for file in folder.glob("*.jsonl"):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            kept = [line for line in lines if sign not in line]
            if len(kept) < len(lines):
                gone += len(lines) - len(kept)
                new = file.with_suffix(".new")
                new.write_text("".join(kept), encoding="utf-8")
                os.replace(new, file)
    return gone


experiments = Experiments()
variant, converted = experiments.variant, experiments.converted


def init(app: Any, service_name: str) -> Experiments:
    """Put the process's Experiments into app.extensions["experiments"], where `import` finds it too."""
    os.environ.setdefault("SERVICE_NAME", service_name)
    # Loaded by its place here, and maybe by its name before: there is one of it all the same.
    ours: Experiments = sys.modules.setdefault("runtime.experiments", sys.modules[__name__]).experiments
    app.extensions["experiments"] = ours
    return ours


if __name__ == "__main__":
    try:
        folder = Path(os.environ.get("EVENTS_FOLDER") or sys.exit("EVENTS_FOLDER isn't set: there are no events"))
        print(forget(folder, sys.stdin.read()) if sys.argv[1:] == ["forget"] else json.dumps(summary(folder)))
    except (OSError, ValueError) as error:
        sys.exit(str(error))
