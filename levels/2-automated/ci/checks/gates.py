"""Hold the coverage: a floor for the services' lines, and a share of the lines that a branch changes.

The limits stand in config/gates.toml; without one a gate is shown and never fails. RECORD=1 writes what holds today,
of changed lines 80% at most; it raises a limit, and never lowers one. Exit codes: 0 held or without a limit, 1 not held, 2 there is a limit and no value.
"""

import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flags
import migrations
import uv
from deploy.shell import Stop

LIMITS = uv.ROOT / "config" / "gates.toml"
DIFF_COVER = ("diff-cover", "11.0.1")
# Name in the file: name in the table, the limit that RECORD=1 writes for a value.
GATES: dict[str, tuple[str, Callable[[float], float]]] = {
    "floor": ("coverage", lambda value: int(value * 10) / 10),
    "changed": ("changed lines", lambda value: min(80.0, int(value * 10) / 10)),
}


def limits() -> dict[str, float]:
    """Return the limits by name, in percent. Raises Stop at the first mistake."""
    try:
        told = tomllib.loads(LIMITS.read_text(encoding="utf-8")) if LIMITS.is_file() else {}
    except ValueError as error:
        raise Stop(f"config/gates.toml: expected TOML: {error}") from None
    for name, value in told.items():
        if name not in GATES:
            raise Stop(f"config/gates.toml: {name} is unknown, expected {' or '.join(GATES)}")
        if type(value) not in (int, float) or not 0 <= value <= 100:
            raise Stop(f"config/gates.toml: {name} is {value!r}, expected percent: a number from 0 to 100")
    return told


def coverage(kind: str, file: Path) -> None:
    """Write a report of coverage.py, json or xml, on the services without what is the template's. Raises Stop."""
    data = Path(os.environ.get("COVERAGE_FILE") or uv.ROOT / ".coverage")
    if not data.is_file():
        data = uv.ROOT / ".cache" / "coverage"
    if not data.is_file():
        raise Stop(f"nothing measured it: `{uv.MAKE} test` does, where pytest-cov is installed")
    sources = [path for one in uv.SERVICES for path in (uv.ROOT / one["path"]).rglob("*.py")]
    if newer := [path for path in sources if path.stat().st_mtime > data.stat().st_mtime]:
        raise Stop(f"{newer[0].relative_to(uv.ROOT)} is newer than the last run of the tests: `{uv.MAKE} test`")
    only = [
        f"--include={','.join(one['path'] + '/*' for one in uv.SERVICES)}",
        f"--omit={','.join(uv.PROJECT['ours'])}",
    ]
    command = [str(uv.VENV_PYTHON), "-m", "coverage", kind, "-o", str(file), "--fail-under=0", f"--data-file={data}"]
    said = uv.call([*command, *only], capture_output=True)
    if not file.is_file():
        raise Stop(f"coverage says: {(said.stdout + said.stderr).strip()[-200:] or 'nothing'}")


def floor(folder: Path) -> tuple[float, str]:
    """Return the percent of the services' lines that tests run. Raises Stop."""
    coverage("json", folder / "coverage.json")
    total = json.loads((folder / "coverage.json").read_text(encoding="utf-8"))["totals"]
    return total["percent_covered"], f"of {total['num_statements']} lines"


def changed(folder: Path) -> tuple[float, str]:
    """Return the percent of the changed lines that tests run, and those that none does. Raises Stop."""
    if migrations.git("cat-file", "-t", base := migrations.base()) != "commit":
        raise Stop("there is no commit before this one here to compare with")
    coverage("xml", folder / "coverage.xml")
    report = folder / "changed.json"
    command = [*uv.tool(*DIFF_COVER), str(folder / "coverage.xml"), f"--compare-branch={base}", "--include-untracked"]
    said = uv.call([*command, "--format", f"json:{report}"], capture_output=True)
    if not report.is_file():
        raise Stop(f"diff-cover says: {(said.stderr.strip().splitlines() or ['nothing'])[-1]}")
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    if not found["total_num_lines"]:
        return 100.0, "no line of the services changed"
    places = [
        f"{path}:{','.join(map(str, one['violation_lines']))}"
        for path, one in found["src_stats"].items()
        if one["violation_lines"]
    ]
    share = 100 * (1 - found["total_num_violations"] / found["total_num_lines"])
    return share, f"of {found['total_num_lines']} lines" + (
        f"; no test runs {' '.join(places)[:300]}" if places else ""
    )


def record(name: str, limit: float) -> None:
    """Write a limit into the file: into its line, or into a new one at the end."""
    text = LIMITS.read_text(encoding="utf-8") if LIMITS.is_file() else ""
    line = f"{name} = {limit:g}"
    new, found = re.subn(rf"(?m)^{name}\s*=\s*[\d.]+", line, text, count=1)
    LIMITS.write_text(new if found else f"{text.rstrip()}\n{line}\n".lstrip(), encoding="utf-8", newline="\n")
    print(f"config/gates.toml: {line}")


def main() -> int:
    """Print a line for each gate, on the page of a workflow's run too; return the exit code. Raises Stop."""
    told, codes = limits(), [0]
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in (("floor", floor), ("changed", changed)):
            title, recorded = GATES[name]
            limit = told.get(name)
            held = f"at least {limit:g}%" if limit is not None else f"no limit is recorded (`{uv.MAKE} gates RECORD=1`)"
            try:
                value, more = measure(Path(folder))
            except Stop as stop:
                flags.tell(f"{title}: unknown: {stop}; {held}")
                codes.append(0 if limit is None else 2)
                continue
            flags.tell(f"{title}: {value:.1f}% {more}; {held}")
            if os.environ.get("RECORD") and (limit is None or recorded(value) > limit):
                record(name, recorded(value))
            elif limit is not None and value < limit:
                codes.append(1)
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as stop:
        uv.fail(str(stop))
