"""`levels api-docs`: write docs/api.md, an OpenAPI document for each web service, and the tests that hold
them against the apps.
"""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..project.git_and_files import counted, shown, text_of
from ..source import routes
from ..template import answers
from . import health, openapi, page, responses, route_test

PAGE = "docs/api.md"
TIME = 120  # seconds for a test that imports an app


@dataclass(frozen=True)
class Documented:
    """A service with its routes.

    `document` is the path of its OpenAPI document, `test` that of the test; both empty for a worker.
    """

    service: Mapping[str, str]
    found: routes.Routes
    document: str
    test: str
    answers: openapi.Answers
    health: Mapping[str, Mapping[str, Any]]
    version: str


def read(project: Path, services: Sequence[Mapping[str, str]]) -> list[Documented]:
    """The routes of all services, and where their documents stand: docs/openapi.json where one service is on
    the web.
    """
    web = [one for one in services if one["kind"] == "web"]
    result = []
    for service in services:
        name = service["name"]
        alone = len(web) == 1
        document = "" if service not in web else "docs/openapi.json" if alone else f"docs/openapi-{name}.json"
        found = routes.find(project, service)
        some = document and openapi.documented(found)
        module = name.replace("-", "_")
        test = f"tests/unit/{module}/test_{module}_api_docs.py" if some and service.get("app") else ""
        reader = responses.Reader(project, service["path"])
        probes = health.endpoints(project, service, found)
        result.append(
            Documented(service, found, document, test, reader.of, probes, _version(project, service["path"]))
        )
    return result


def _version(project: Path, path: str) -> str:
    """The version that the service's pyproject.toml says, or the project's; empty where none does."""
    for folder in dict.fromkeys((project / path, project)):
        try:
            told = tomllib.loads(text_of(str(folder / "pyproject.toml")))
        except (ValueError, RecursionError):
            continue
        for table in (
            told.get("project"),
            (told.get("tool") or {}).get("poetry") if isinstance(told.get("tool"), dict) else None,
        ):
            if isinstance(table, dict) and isinstance(table.get("version"), str) and table["version"].strip():
                return shown(table["version"].strip())
    return ""


def texts(project_name: str, services: Sequence[Documented], make: str) -> dict[str, str]:
    """What each file is to hold, by its path; the tests come last."""
    files = {PAGE: page.page(project_name, services)}
    for one in services:
        if one.document:
            document = openapi.document(
                project_name, one.service["name"], one.found, one.version, one.answers, one.health
            )
            files[one.document] = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    for one in services:
        if one.test:
            files[one.test] = route_test.route_test(
                one.document.removeprefix("docs/"), not one.found.unresolved, make, one.service
            )
    return files


def ours(file: Path) -> bool:
    """Whether a file was written by this command, as it says of itself."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    if file.suffix == ".json":
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return isinstance(document, dict) and document.get("x-generated-by") == openapi.MARK
    return text.startswith((page.MARK, route_test.MARK))


def why_it_is_there(project: Path, path: str) -> str:
    """Why a file is there that this command wrote; empty for any other."""
    known = (
        path == PAGE
        or (path.startswith("docs/openapi") and path.endswith(".json"))
        or path.endswith("_api_docs.py")
    )
    return (
        "written by `levels api-docs` from the routes in the source" if known and ours(project / path) else ""
    )


def run(project: Path, recorded: Mapping[str, Any], check: bool, as_json: bool) -> int:
    """Write the files, or with `check` say which are out of date. 0 done, 1 out of date or wrong about the
    app.

    Raises Refused, before anything is written, where a file stands that this command didn't write.
    """
    services = read(project, answers.recorded_services(recorded))
    make = answers.make(recorded)
    files = texts(str(recorded.get("project_name") or "this project"), services, make)
    refuse_others(project, files, ours, "levels api-docs")
    stale = _stale(project, files)
    if check:
        return _check(project, files, stale, services, as_json, make)
    for path in stale:
        (project / path).unlink()
    tests = {one.test for one in services if one.test}
    for path, text in files.items():
        if path not in tests:
            put(project / path, text)
    untested = {
        one.service["name"]: _test(project, one.test, files[one.test], make) for one in services if one.test
    }
    wrong = {name: why for name, why in untested.items() if why.startswith(WRONG)}
    if as_json:
        print(json.dumps(_report(services, files, stale, untested), indent=2))
    else:
        print("\n".join(_lines(project, services, stale, untested)))
    return 1 if wrong else 0


def refuse_others(project: Path, paths: Iterable[str], ours: Callable[[Path], bool], command: str) -> None:
    """Raises Refused where one of `paths` is a file that the command didn't write, or leads elsewhere."""
    for path in paths:
        file = project / path
        if (file.exists() or file.is_symlink()) and not (file.is_file() and ours(file)):
            raise Refused(
                f"{path}: stands here and was not written by `{command}`; move it away, then run this again"
            )
        above = next(one for one in file.parents if one.exists())
        if not above.is_dir() or not above.resolve().is_relative_to(project.resolve()):
            raise Refused(f"{path}: expected {above.name} to be a folder of the project")


def _stale(project: Path, files: Mapping[str, str]) -> list[str]:
    """What an earlier run wrote and this one has no use for."""
    found = [*project.glob("docs/openapi*.json"), *project.glob("tests/unit/*/test_*_api_docs.py")]
    paths = sorted(one.relative_to(project).as_posix() for one in found if ours(one))
    return [path for path in paths if path not in files]


def _check(
    project: Path,
    files: Mapping[str, str],
    stale: Sequence[str],
    services: Sequence[Documented],
    as_json: bool,
    make: str,
) -> int:
    # A test may be missing: it isn't written where the app can't be made without its servers.
    tests = {one.test for one in services}
    late = [
        path
        for path, text in files.items()
        if text_at(project / path) != text and not (path in tests and not (project / path).exists())
    ]
    late += stale
    if as_json:
        print(json.dumps({"out_of_date": sorted(late)}, indent=2))
    elif late:
        print(
            "\n".join(
                [
                    *(f"{path}: out of date" for path in sorted(late)),
                    f"run `{make} api-docs` and commit what it writes",
                ]
            )
        )
    else:
        print("the API docs say what the source says")
    return 1 if late else 0


def text_at(file: Path) -> str:
    """What a file holds; empty where it isn't there or isn't text."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, ValueError):
        return ""


def put(file: Path, text: str) -> None:
    """Write a file whole or not at all; one that holds the text already is left alone."""
    if text_at(file) == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(text.encode("utf-8"))
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


# The test

WRONG = "the document and the app differ"


def _test(project: Path, path: str, text: str, make: str) -> str:
    """Write the test once it is green in the project's own environment; why it isn't written, or empty."""
    file = project / path
    python = next(
        (one for one in (project / ".venv/bin/python", project / ".venv/Scripts/python.exe") if one.exists()),
        None,
    )
    if python is None:
        return f"there is no .venv to try it in: run `{make} install`, then this again"
    # Tried under a name that pytest doesn't collect by itself.
    trial = file.with_name(f"trial_{os.getpid()}_{file.name}")
    put(trial, text)
    try:
        # The name is last, so that no setting of theirs adds other tests; their addopts may ask for what
        # isn't there.
        command = [
            str(python),
            "-m",
            "pytest",
            "-q",
            "-rfE",
            "-p",
            "no:cacheprovider",
            "-o",
            "addopts=",
            str(trial),
        ]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=project, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME,
            check=False, encoding="utf-8", errors="replace",
        )  # fmt: skip
        said = done.stdout + done.stderr
        why = "" if done.returncode == 0 else _why(said)
    except subprocess.TimeoutExpired:
        why = f"the app was not made within {TIME} s"
    finally:
        trial.unlink(missing_ok=True)
    if why:
        if ours(file):
            file.unlink()
    else:
        put(file, text)
    return why


def _why(said: str) -> str:
    lines = said.splitlines()
    reasons = [line[2:].strip() for line in lines if line.startswith("E  ")]
    failed = any(line.startswith("FAILED") for line in lines)
    differs = [
        line.removeprefix("AssertionError: ") for line in reasons if line.startswith("AssertionError: ")
    ]
    if failed and differs:
        return shown(f"{WRONG}: {differs[0]}")[:300]
    last = [line for line in reasons if line] or [line for line in lines if line.strip()] or ["no output"]
    what = "the test stops by itself" if failed else "the app can't be made here"
    return shown(f"{what}: {last[-1]}")[:300]


# The report


def _report(
    services: Sequence[Documented],
    files: Mapping[str, str],
    stale: Sequence[str],
    untested: Mapping[str, str],
) -> dict[str, Any]:
    left_out = {one.test for one in services if untested.get(one.service["name"])}
    return {
        "written": [path for path in files if path not in left_out],
        "removed": list(stale),
        "services": [
            {
                "name": one.service["name"],
                "routes": len(openapi.documented(one.found)),
                "unresolved": [
                    {"file": it.file, "line": it.line, "what": it.what, "why": it.why}
                    for it in one.found.unresolved
                ],
                "test": one.test if one.test and not untested[one.service["name"]] else None,
                "untested": untested.get(one.service["name"]) or None,
            }
            for one in services
        ],
    }


def _lines(
    project: Path, services: Sequence[Documented], stale: Sequence[str], untested: Mapping[str, str]
) -> list[str]:
    lines = []
    for one in services:
        name, count = one.service["name"], len(openapi.documented(one.found))
        if not one.document:
            lines.append(f"{name}: a worker, no routes")
            continue
        lines.append(
            f"{name}: {counted(count, 'route')}, {len(one.found.unresolved)} not resolved: {one.document}"
        )
        lines += [f"  {shown(it.file)}:{it.line}: {shown(it.what)}: {it.why}" for it in one.found.unresolved]
        if not one.test:
            lines.append(
                "  no test: "
                + ("no route is found" if count == 0 else "how the service starts isn't known (`app`)")
            )
        elif untested[name]:
            lines.append(f"  no test: {untested[name]}")
        else:
            lines.append(f"  compared with the app by {one.test}")
    return [*lines, *(f"removed {path}: no longer needed" for path in stale), f"{PAGE} is for people"]
