"""Run candidates on the project's Python: in a copy of the project, without network, with time limits, twice
in different order.

The two runs go side by side, each in a copy of its own. On Linux they can write nowhere else (landlock.py).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..project.git_and_files import shown
from ..source.files import SKIPPED

EACH = 10.0  # seconds for a test
ALL = 300.0  # seconds for all of them, and ONE more for each
ONE = 1.0
DEATHS = 10  # tests that may each end the interpreter before the rest isn't run any more
LONGEST = 200  # characters that are told of an exception
LARGEST = 20_000_000  # bytes: a larger file is not copied
PASSED_ON = (
    "PATH",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PATHEXT",
    "COMSPEC",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
)

Case = tuple[str, str, int]  # test file, name of the test, number of the case


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended: green, or why it is not."""

    green: bool
    why: str = ""


def interpreter(project: Path) -> Path | None:
    """The project's Python, where it has pytest; None where there is none."""
    folders = [
        project / ".venv",
        *([Path(os.environ["VIRTUAL_ENV"])] if os.environ.get("VIRTUAL_ENV") else []),
    ]
    for folder in folders:
        for name in ("bin/python", "Scripts/python.exe"):
            python = folder / name
            if python.is_file() and has(python, "pytest"):
                return python
    return None


def has(python: Path, module: str) -> bool:
    """Whether this interpreter starts and finds a module, which isn't imported."""
    ask = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    try:
        done = subprocess.run(
            [str(python), "-c", ask], capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def run(
    project: Path,
    files: Mapping[str, bytes],
    wanted: Mapping[str, Sequence[str]],
    python: Path,
    each: float = EACH,
    hypothesis: bool = False,
) -> dict[Case, Outcome]:
    """What became of the `wanted` tests (names by test file) when `files` (path from the project: content)
    are in place.

    Nothing of the project is written to. Every wanted test is a key at least once; one that never ran says
    why. A test is green that is so in both runs, the second backwards and with other hashes: one that hangs
    on order or chance is none.
    """
    settings = {"each": each, "hypothesis": hypothesis}
    stop = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="levels-stubs.", ignore_cleanup_errors=True) as folder,
        ThreadPoolExecutor(2) as pool,
    ):
        works = [Path(folder, name) for name in ("forwards", "backwards")]
        for work in works:
            _prepare(work, project, files)
        runs = [
            pool.submit(_all, work, wanted, python, {**settings, "backwards": work is works[1]}, stop)
            for work in works
        ]
        try:
            first, second = (one.result() for one in runs)
        finally:  # who interrupts this doesn't wait for them
            stop.set()
    for case, outcome in second.items():
        if not outcome.green and first.get(case, Outcome(True)).green:
            first[case] = Outcome(False, f"green once, then {outcome.why}")
    return first


def _prepare(work: Path, project: Path, files: Mapping[str, bytes]) -> None:
    """Put the project, the tests and the plugin into a new folder."""
    work.mkdir()
    copied(project, work / "project")
    for path, content in files.items():
        (work / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (work / "project" / path).write_bytes(content)
    for name in ("plugin", "landlock"):
        shutil.copy(Path(__file__).with_name(f"{name}.py"), work / f"levels_stubs_{name}.py")


def copied(project: Path, to: Path) -> None:
    """Copy what tests may need of a project: no hidden folders, no virtual environments, no large files, no
    .env with its secrets.
    """

    def left_out(folder: str, names: list[str]) -> set[str]:
        out = {
            name
            for name in names
            if name in SKIPPED - {"build", "dist"}
            or (name[0] == "." and os.path.isdir(os.path.join(folder, name)))
        }
        if "pyvenv.cfg" in names:
            return set(names)
        out |= {name for name in names if name.startswith(".env.") or name.endswith(".env")}
        for name in names:
            path = os.path.join(folder, name)
            special = not os.path.islink(path) and not os.path.isfile(path) and not os.path.isdir(path)
            if special or (os.path.isfile(path) and os.path.getsize(path) > LARGEST):
                out.add(name)
        return out

    with contextlib.suppress(shutil.Error):  # a file that can't be read is missing in the copy
        shutil.copytree(project, to, symlinks=True, ignore=left_out, ignore_dangling_symlinks=True)


def _all(
    work: Path,
    wanted: Mapping[str, Sequence[str]],
    python: Path,
    settings: Mapping[str, Any],
    stop: threading.Event,
) -> dict[Case, Outcome]:
    """Run what is wanted; a test that ends the interpreter is left out of the next try."""
    until = time.monotonic() + ALL + ONE * sum(map(len, wanted.values()))
    outcomes: dict[Case, Outcome] = {}
    collection: dict[str, str] = {}
    said = ""
    ended: set[Case] = set()  # all cases of these
    for _ in range(DEATHS):
        log = work / "log.jsonl"
        log.unlink(missing_ok=True)
        remaining = until - time.monotonic()
        if remaining <= 0 or stop.is_set():
            said = "the time for all of them was over"
            break
        code, said = _once(work, wanted, set(outcomes) | ended, python, settings, remaining, stop)
        current: Case | None = None
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []:
            try:
                told = json.loads(line)
            except ValueError:  # the line that was being written
                continue
            if told.get("collection") is not None:
                collection[told["collection"]] = told["why"]
            elif told.get("start"):
                current = _case(told["start"])
            elif told.get("test"):
                case = _case(told["test"])
                green = told["state"] == "passed" and outcomes.get(case, Outcome(True)).green
                why = _in_words(_sentence(told["why"])) or told["state"]
                outcomes[case] = Outcome(green, "" if green else why)
                current = None
        if code in (0, 1, 5) and current is None:
            said = ""
            break
        if current is None:
            break
        ended.add((*current[:2], -1))
        outcomes[current] = Outcome(False, f"it ended the run ({said or f'exit code {code}'})")
    ran = {(file, name) for file, name, _ in outcomes}
    for file, names in wanted.items():
        why = next(
            (text for node, text in collection.items() if node and (node == file or file.endswith(node))),
            said,
        )
        for name in names:
            if (file, name) not in ran:
                outcomes[file, name, 0] = Outcome(False, f"it never ran: {_sentence(why) or 'not collected'}")
    return outcomes


def _sentence(text: str) -> str:
    """What an exception says in one line: the first paragraph, pytest's explanation of the values with it.

    What is too long ends where a sentence or an explanation does, else at a word, with an ellipsis.
    """
    told = shown(" ".join(text.strip().partition("\n\n")[0].split())).removesuffix(":")
    told = re.sub(r" \+ (where|and) ", r", \1 ", told)
    if len(told) <= LONGEST:
        return told
    ends = [end.start() for end in re.finditer(r"\. |, where |, and ", told[:LONGEST])]
    if ends and ends[-1] > LONGEST // 4:
        return told[: ends[-1]]
    return f"{told[:LONGEST].rpartition(' ')[0] or told[:LONGEST]} …"


def _in_words(why: str) -> str:
    """What Hypothesis says at length, for people who don't know it."""
    if why.startswith(
        ("FailedHealthCheck: It looks like this test is filtering", "Unsatisfiable", "Unsatisfied")
    ):
        return "it refuses nearly all the values that could be made for it"
    return re.sub(
        r"ExceptionGroup: Hypothesis found (\d+) distinct failures.*",
        r"\1 different exceptions, for values made for it",
        why,
    )


def _case(told: list[object]) -> Case:
    file, name, number = told
    return str(file), str(name), int(str(number))


def _once(
    work: Path,
    wanted: Mapping[str, Sequence[str]],
    done: set[Case],
    python: Path,
    settings: Mapping[str, Any],
    limit: float,
    stop: threading.Event,
) -> tuple[int, str]:
    """One subprocess; its exit code and the last line of what it said.

    It is ended after `limit` seconds, and when told to `stop`.
    """
    root = work / "project"
    settings = {
        **settings,
        "log": str(work / "log.jsonl"),
        "work": str(work),
        "root": str(root),
        "wanted": {file: list(names) for file, names in wanted.items()},
        "done": sorted(done),
    }
    (work / "empty.ini").write_text("[pytest]\n")
    (work / "home").mkdir(exist_ok=True)
    env = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    env |= {
        "HOME": str(work / "home"),
        "USERPROFILE": str(work / "home"),
        "TMPDIR": str(work / "home"),
        "TEMP": str(work / "home"),
    }
    env |= {
        "PYTHONPATH": str(work),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "2" if settings["backwards"] else "1",
    }
    env["LEVELS_STUBS"] = json.dumps(settings)
    # Their own options may ask for plugins, coverage or many processes.
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "levels_stubs_plugin",
        "-c",
        str(work / "empty.ini"),
        f"--rootdir={root}",
        "--tb=no",
    ]
    options += ["--continue-on-collection-errors"]
    command = [*_without_network(), str(python), "-m", "pytest", *options, *wanted]
    process = subprocess.Popen(
        command,
        cwd=root,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    until, said = time.monotonic() + limit, None
    while said is None and time.monotonic() < until and not stop.is_set():
        with contextlib.suppress(subprocess.TimeoutExpired):
            said, _ = process.communicate(timeout=0.2)
    _end(process)  # and what a test has started and left
    if said is None:
        return -1, "the time for all of them was over"
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return process.returncode, shown(lines[-1])[:150] if lines else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.communicate()


# Without a network, and in a namespace of processes that end with it; or only the first.
_WAYS = (("-rnp", "--fork", "--kill-child"), ("-rn",))


@functools.cache
def _without_network() -> tuple[str, ...]:
    """The command before a command that leaves it no network, where this system lets a user do that."""
    unshare = shutil.which("unshare")
    if not unshare or sys.platform != "linux":
        return ()
    for way in _WAYS:
        try:
            done = subprocess.run([unshare, *way, "true"], capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.SubprocessError):
            return ()
        if done.returncode == 0:
            return (unshare, *way)
    return ()
