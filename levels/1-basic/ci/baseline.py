"""The check where code was here before (`code: theirs`): in that, only what is not in the baseline fails.

    python3 ci/baseline.py              everything, or the steps that it is told
    python3 ci/baseline.py baseline     accept what is found today (config/baseline.txt)

What couldn't run is no finding: tests that can't be collected, an application that can't be imported, a tool that
stops. It is told, never recorded, and never green.

Exit codes: 0 passed, 1 not passed, 2 can't tell.
"""

import configparser
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import check
import poetry
import run
import starts
import uv

BASELINE = uv.ROOT / "config" / "baseline.txt"
HEALTH_TESTS = [f"tests/unit/test_{name}health_endpoints.py" for name in ("", "adopted_")]
OURS = [service for service in uv.SERVICES if service["code"] == "ours"]
SHARED = [path for path in ["services/serving.py"] if (uv.ROOT / path).is_file()]  # what new services share
STOPPED = {"import", "collection", "stopped"}  # rules of what couldn't run
IMPORT_SECONDS = 60
IMPORTS = """
import importlib, os, sys
sys.path[:0] = sys.argv[3:]
getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
sys.stdout.flush(), os._exit(0)
"""
RAN: Counter[str] = Counter()  # the tests that ran, of this run
THEIRS = [service for service in uv.SERVICES if service["code"] != "ours"]


class Finding(NamedTuple):
    """One thing that a tool complains of."""

    path: str
    rule: str
    message: str
    line: int = 0

    def key(self) -> str:
        """Return what the baseline remembers: no line numbers, so that code may move."""
        return f"{self.path}: {self.rule}: " + re.sub(r"\d+", "N", self.message)

    def __str__(self) -> str:
        """Return it as editors and people read it."""
        return f"{self.path}:{self.line or 1}: {self.rule}: {self.message}"


def main(arguments: list[str]) -> int:
    """Run the steps that `arguments` name; return the exit code."""
    more = check.more()
    if unknown := [name for name in arguments if name not in {*STEPS, *more, "fix", "baseline"}]:
        uv.fail(f"{unknown[0]}: expected {', '.join([*STEPS, *more])}, fix or baseline")
    uv.ensure()
    if "fix" in arguments:
        return check.fix([*settings(), *new_code()]) if new_code() else 0
    if "baseline" in arguments:
        return record()
    known, passed = baseline(), True
    if THEIRS and not BASELINE.exists():
        print(
            f"check: code that was here before is left out until `{uv.MAKE} baseline` records what is found there today"
        )
    for name, step in STEPS.items():
        if not arguments or name in arguments:
            new = unknown_to(known, step())
            stopped = [finding for finding in new if finding.rule in STOPPED]
            # Which tests fail has been told by pytest, unless some of them always did.
            shown = new if name != "test" or known else stopped
            said = f"{len(new)} to fix" if len(new) > len(stopped) else "could not run (see above)" if new else "ok"
            print("\n".join([*map(str, shown), f"{name:7} {said}"]), flush=True)
            passed = passed and not new
    codes = {0 if passed else 1}
    for name, step in more.items():
        if not arguments or name in arguments:
            codes.add(code := step())
            print(f"{name:7} {check.said(code)}", flush=True)
    return 1 if 1 in codes else 2 if any(codes) else 0


def record() -> int:
    """Write what every step finds now into the baseline."""
    if not THEIRS:
        uv.fail(f"nothing was here before (no service has `code: theirs`): fix what `{uv.MAKE} check` finds")
    first = not BASELINE.exists()
    BASELINE.touch()
    try:
        everything = [finding for step in STEPS.values() for finding in step()]
    except SystemExit:  # a tool that can't run has said why
        BASELINE.unlink() if first else None
        raise
    stopped = [finding for finding in everything if finding.rule in STOPPED]
    found = Counter(one.key() for one in everything if not is_new(one) and not brought(one) and one not in stopped)
    lines = [f"{count} {key}\n" for key, count in sorted(found.items())]
    head = "# What was found when this was recorded, and how often. Only what goes beyond it fails.\n"
    BASELINE.write_text(head + "".join(lines), encoding="utf-8")
    print(f"config/baseline.txt: {found.total()} findings recorded; commit it")
    apps = [service["name"] for service in THEIRS if importable(service)]
    unable = {one.path for one in stopped if one.rule == "import"}
    ran = f"{', '.join(name for name in apps if name not in unable) or 'no application'} can be imported; {RAN.total()} tests ran"
    print(f"{ran}, {len([one for one in stopped if one.rule != 'import'])} parts couldn't")
    print(
        "\n".join(f"not recorded, because it couldn't run: {one.path}: {one.message}" for one in stopped),
        end="\n" * bool(stopped),
    )
    return 1 if stopped else 0


def baseline() -> Counter[str]:
    """Return how often each finding stands in the baseline."""
    lines = BASELINE.read_text(encoding="utf-8").splitlines() if THEIRS and BASELINE.exists() else []
    known: Counter[str] = Counter()
    for line in lines:
        count, _, key = line.partition(" ")
        if count.isdecimal() and not re.match(r"[^:]+: pytest: stopped with exit code", key):  # of an earlier version
            known[key] = int(count)
    return known


def unknown_to(known: Counter[str], findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are beyond what the baseline has; of several alike, the last ones."""
    left, new = known.copy(), []
    for finding in findings:
        left[finding.key()] -= 1
        if left[finding.key()] < 0:
            new.append(finding)
    return new


def is_new(finding: Finding) -> bool:
    """Tell whether it is in new code; pytest names modules by dots."""
    place = finding.path.removesuffix(".py").replace(".", "/") + "/"
    return any(place.startswith(f"{path.removesuffix('.py').replace('.', '/')}/") for path in new_code())


def brought(finding: Finding) -> bool:
    """Tell whether it is in a test that the template brought."""
    return any(Path(test).stem in finding.path for test in HEALTH_TESTS)


def importable(service: dict[str, str]) -> bool:
    """Tell whether a service has an application that can be asked for by name."""
    return service["kind"] == "web" and ":" in service["app"]


def apps() -> list[Finding]:
    """Import each application that was here before, in a process of its own, with the settings of this machine."""
    found = []
    for service in filter(importable, THEIRS):
        module, _, name = service["app"].rpartition(" ")[2].partition(":")
        home = starts.home(uv.ROOT / service["path"], module)
        command = [
            str(uv.VENV_PYTHON),
            "-c",
            IMPORTS,
            module,
            name.removesuffix("()"),
            str(home),
            str(uv.ROOT),
        ]
        env = {**run.local_settings(), **os.environ}
        try:
            done = uv.call(
                command,
                cwd=home,
                env=env,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=IMPORT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            said = f"importing {module} doesn't end within {IMPORT_SECONDS} s: it may wait for a server"
        else:
            places = re.findall(r'File "([^"]+)", line (\d+)', done.stderr)
            own = [
                (file, line)
                for file, line in places
                if file.startswith(f"{uv.ROOT}/") and not file.startswith(f"{uv.VENV}/")
            ]
            at = f" ({relative(own[-1][0])}:{own[-1][1]})" if own else ""
            said = f"{module} can't be imported: {last_line(done.stderr)}{at}" if done.returncode else ""
        found += [Finding(service["name"], "import", said)] if said else []
    return found


def lint() -> list[Finding]:
    """Have ruff look for mistakes: everywhere, except that code which was here before waits for its baseline."""
    return ruff(["check"], ["."] if BASELINE.exists() else new_code())


def form() -> list[Finding]:
    """Have ruff look at the format, of new code only: nobody wants what was here before reformatted."""
    # A file that doesn't parse has been told by the linter.
    return [found for found in ruff(["format", "--check"], new_code()) if found.rule == "unformatted"]


def types() -> list[Finding]:
    """Have mypy check what is new in one go, and each other service by itself: two may have modules of the same name."""
    command = [*check.mypy(), "--no-color-output", "--no-pretty"]
    if not configured("mypy", "mypy.ini", ".mypy.ini"):
        command.append("--ignore-missing-imports")
    found = []
    new = [service["path"] for service in OURS] + SHARED
    runs = [["--explicit-package-bases", *new]] if new else []
    runs += [[service["path"]] for service in THEIRS] if BASELINE.exists() else []
    for paths in runs:
        done = uv.call([*command, *paths], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        errors = re.findall(r"^(.+?):(?:(\d+):)?(?:\d+:)? error: (.*?)(?:  \[([\w-]+)\])?$", done.stdout, re.MULTILINE)
        if done.returncode and not errors:
            uv.fail(f"mypy could not check {paths[-1]}: {last_line(done.stdout)}")
        found += [Finding(relative(path), rule or "mypy", text, int(line or 0)) for path, line, text, rule in errors]
    return found


def test() -> list[Finding]:
    """Run the tests as the project always did, and our own where those settings leave them out."""
    report = uv.cache() / "tests.xml"
    report.unlink(missing_ok=True)
    # --continue…: a module that can't be imported shall not hide what the others find.
    options = ["--continue-on-collection-errors", f"--junitxml={report}"]
    code = pytest([*options, *coverage()])
    failed, seen = results(report, code)
    tests = [test for test in HEALTH_TESTS if Path(test).stem not in seen and (uv.ROOT / test).is_file()]
    if tests:
        failed += results(report, pytest([*options, *tests]))[0]
    check.summarize()
    return failed


def pytest(options: Iterable[str]) -> int:
    """Run pytest in .venv; return its exit code."""
    os.environ.setdefault("COVERAGE_FILE", str(uv.cache() / "coverage"))  # their .gitignore may not know it
    return subprocess.call([str(uv.VENV_PYTHON), "-m", "pytest", *options], cwd=uv.ROOT)


def results(report: Path, code: int) -> tuple[list[Finding], str]:
    """Return what failed, by pytest's report and exit code, and the names of the modules that ran, in one string."""
    if code in {2, 3, 4} or not report.exists():
        return [Finding("tests", "stopped", f"pytest stopped with exit code {code}, so no test ran (see above)")], ""
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = []
    RAN.update(one.get("classname", "") for one in cases if one.find("error") is None and one.find("skipped") is None)
    for case in cases:
        error, path = case.find("error"), case.get("classname") or case.get("name") or ""
        if error is not None and error.get("message") == "collection failure":
            why = next((line for line in reversed((error.text or "").splitlines()) if line.startswith("E ")), "E ?")[
                1:
            ].strip()
            failed.append(Finding(path, "collection", f"{case.get('name')} can't be collected: {why}"))
        elif error is not None or case.find("failure") is not None:
            failed.append(Finding(path, "test", f"{case.get('name')} failed"))
    if code == 1 and not failed:
        failed = [Finding("tests", "pytest", "did not pass (see above)")]
    return failed, " ".join(case.get("classname", "") for case in cases)


def coverage() -> list[str]:
    """Return pytest's options for coverage: none where the project measures it by its own settings."""
    settings = [uv.ROOT / name for name in ("pyproject.toml", "pytest.ini", ".pytest.ini", "setup.cfg", "tox.ini")]
    if any("--cov" in path.read_text(encoding="utf-8") for path in settings if path.is_file()):
        return []
    # A threshold that was set for other tests and files than these is not ours to fail.
    return [
        *(f"--cov={service['path']}" for service in uv.SERVICES),
        *(["--cov-fail-under=0"] if THEIRS else []),
    ]


def new_code() -> list[str]:
    """Return the paths whose code is new: everything, where nothing was here before."""
    paths = [path for service in OURS for path in (service["path"], f"tests/unit/{service['name'].replace('-', '_')}")]
    paths += [*SHARED, *HEALTH_TESTS] if OURS else []
    return [path for path in paths if (uv.ROOT / path).exists()] if THEIRS else ["."]


def ruff(command: list[str], paths: list[str]) -> list[Finding]:
    """Return what a ruff command finds in `paths`. Ends the script where ruff can't run."""
    if not paths:
        return []
    done = uv.call([*check.ruff(*command), *settings(), "--output-format", "json", *paths], capture_output=True)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        uv.fail(f"ruff could not run: {last_line(done.stderr)}")
    return [
        Finding(relative(one["filename"]), one["code"] or "syntax", one["message"] or "", one["location"]["row"])
        for one in found
    ]


def settings() -> list[str]:
    """Return the settings for ruff that the project doesn't have, as options."""
    options = []
    if THEIRS and OURS:
        options += ["--config", f"src={json.dumps(['.', 'src'])}"]
    if not configured("ruff", "ruff.toml", ".ruff.toml"):
        options += ["--target-version", f"py{uv.PROJECT['python'].replace('.', '')}"]
    return options


def configured(tool: str, *files: str) -> bool:
    """Tell whether the project has settings for `tool`: one of its `files`, or a section in a common one."""
    if any((uv.ROOT / name).is_file() for name in files):
        return True
    setup = configparser.RawConfigParser(strict=False)
    setup.read(uv.ROOT / "setup.cfg", encoding="utf-8")
    return tool in poetry.toml(uv.ROOT / "pyproject.toml").get("tool", {}) or setup.has_section(tool)


def last_line(output: str) -> str:
    """Return the last line of an output, which usually says what is wrong."""
    return (output.strip().splitlines() or ["no output"])[-1].strip()


def relative(path: str) -> str:
    """Return `path` as seen from the project's root."""
    return os.path.relpath(uv.ROOT / path, uv.ROOT).replace(os.sep, "/")


STEPS: dict[str, Callable[[], list[Finding]]] = {
    "lint": lint,
    "format": form,
    "types": types,
    "app": apps,
    "test": test,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
