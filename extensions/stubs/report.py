"""What `levels stubs` tells of a run, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..project.git_and_files import counted, shown
from .project import Result

MOST = 12  # lines of one kind in the text; JSON has all


def as_json(result: Result) -> dict[str, Any]:
    """The report as one document.

    Functions are those that an importer can reach; a test may assert several.
    """
    stubs = []
    for stub in result.stubs:
        tests = [
            {"name": one.name, "kind": one.kind, "function": one.qualname, "line": one.line}
            for one in stub.tests
        ]
        demoted = [
            {"name": one.name, "kind": one.kind, "function": one.qualname, "line": one.line, "why": why}
            for one, why in stub.demoted
        ]
        stubs.append(
            {
                "service": stub.service,
                "source": stub.source,
                "test": stub.test,
                "functions": stub.found.functions,
                "asserted": sorted(_asserted(stub)),
                "written": tests if stub.written else [],
                "weakened": [one.name for one in stub.tests if one.name in stub.weakened],
                "demoted": demoted,
                "without_expected_value": [
                    {"function": one.qualname, "line": one.line, "why": one.reason} for one in stub.without
                ],
                "signature_changed": [{"test_says": said, "code_says": now} for said, now in stub.changed],
                "function_gone": stub.gone,
                "not_appended": stub.kept_out or None,
            }
        )
    return {
        "functions": sum(stub.found.functions for stub in result.stubs),
        "asserted": sum(len(_asserted(stub)) for stub in result.stubs),
        "tests_written": sum(stub.written for stub in result.stubs),
        "files_written": sum(bool(stub.written) for stub in result.stubs),
        "run": result.ran,
        "why_not_run": result.why_not_run or None,
        "without_expected_value": dict(_reasons(result).most_common()),
        "unparsed": [{"file": file, "why": why} for file, why in result.unparsed],
        "modules": stubs,
    }


def text(result: Result) -> str:
    """The report for a terminal."""
    told = as_json(result)
    if not result.stubs and not result.unparsed:
        return "There is no module of yours to write tests for"
    read = counted(told["functions"], "function or method", "functions and methods")
    lines = [f"{read} read; tests assert something of {told['asserted']}"]
    written = counted(told["tests_written"], "new test")
    lines.append(
        f"{written} in {counted(told['files_written'], 'file')}" if told["tests_written"] else "No new test"
    )
    lines += _some(
        [f"  {shown(one.test)}: {counted(one.written, 'test')}" for one in result.stubs if one.written]
    )
    if not result.ran:
        lines.append(f"Nothing was run ({result.why_not_run}): only what can't be red by reading is written")
    demoted = [
        f"  {shown(stub.source)}:{one.line} {shown(one.name)}" + (f": {shown(why)}" if result.ran else "")
        for stub in result.stubs
        for one, why in stub.demoted
    ]
    if demoted:
        because = "" if result.ran else ", because it may be red"
        lines += [
            (
                f"{counted(len(demoted), 'candidate')} {'is' if len(demoted) == 1 else 'are'} not"
                f" written{because}:"
            ),
            *_some(demoted),
        ]
    reasons = _reasons(result)
    if reasons:
        number = sum(reasons.values())
        what = counted(number, "function or method", "functions and methods")
        lines.append(
            f"For {what} the source tells no expected value (`--all` writes a skeleton for those that aren't"
            " private):"
        )
        lines += _some([f"  {number} x {reason}" for reason, number in reasons.most_common()])
    for what, heading, rows in (
        ("module", "not read:", [f"  {shown(file)}: {why}" for file, why in result.unparsed]),
        (
            "test file",
            "not added to:",
            [f"  {shown(one.test)}: {one.kept_out}" for one in result.stubs if one.kept_out],
        ),
        (
            "signature",
            "changed since the tests were written; look at them:",
            [
                f"  {shown(one.test)}: {shown(said)} is {shown(now)} now"
                for one in result.stubs
                for said, now in one.changed
            ],
        ),
        (
            "tested function",
            "not in the module any more; look whether the tests of it still are of use:",
            [
                f"  {shown(one.test)}: {shown(said)} of {shown(one.source)}"
                for one in result.stubs
                for said in one.gone
            ],
        ),
    ):
        if rows:
            lines += [f"{counted(len(rows), what)} {heading}", *_some(rows)]
    return "\n".join(lines)


def _asserted(stub: Any) -> set[str]:
    """The functions of which a test says something, one that was there before too."""
    return {name for one in [*stub.tests, *stub.there] for name in (one.qualname, *one.covers)} & set(
        stub.found.outside
    )


def _reasons(result: Result) -> Counter[str]:
    return Counter(one.reason for stub in result.stubs for one in stub.without)


def _some(rows: list[str]) -> list[str]:
    return (
        rows if len(rows) <= MOST else [*rows[:MOST], f"  ... and {len(rows) - MOST} more (--json has all)"]
    )
