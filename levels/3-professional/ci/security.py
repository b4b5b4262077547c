"""The make target `security`: secrets in the files, and known vulnerabilities in the installed packages.

    python3 ci/security.py [secrets|audit]   one of the two, or both
    python3 ci/security.py --record          write what they find into config/security-exceptions.txt, for 90 days

With ENV=production in the environment, as in the workflow, nothing is run where security_scanning is off for
it. Exit codes: 0 nothing found, 1 something found or not everything could be looked at, 2 something to
correct first.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flags
import uv

EXCEPTIONS = uv.ROOT / "config" / "security-exceptions.txt"
# The maintained fork of detect-secrets, by the makers of checkov. Its command still has the old name.
DETECT_SECRETS = ("bc-detect-secrets", "1.5.52")
PIP_AUDIT = ("pip-audit", "2.10.1")
# Lock files are full of hashes, which look like secrets.
LOCK_FILE = re.compile(r"(^|/)([\w.-]+\.lock|package-lock\.json|pnpm-lock\.yaml|go\.sum)$")
DAYS = 90
AGAIN = (
    "run it again once the database answers from this machine (pypi.org, unless another is named; a proxy goes into"
    " HTTPS_PROXY): docs/security.md"
)


class Stop(Exception):
    """Ends the run with a one-line message and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        """Take the line to print and the exit code."""
        super().__init__(message)
        self.code = code


@dataclass
class Finding:
    """One thing that was found: its id, a line for people, and other names of the same thing."""

    id: str
    text: str
    aliases: tuple[str, ...] = ()


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command at the project's root and return how it went."""
    return subprocess.run(
        command,
        cwd=uv.ROOT,
        env=uv.environment(),
        text=True,
        errors="surrogateescape",  # a file's name is made of bytes, and they needn't be UTF-8
        capture_output=True,
        check=False,
    )


# ---- the two checks ----


def secrets() -> list[Finding]:
    """Scan the files as they are now, committed or not.

    What git ignores isn't read, and neither is the history. Nothing is sent anywhere, and no secret is
    printed. Raises Stop when the scan doesn't work.
    """
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    if listed.returncode:
        raise Stop("secrets: this is not a git repository", 2)
    files = [name for name in sorted(set(listed.stdout.split("\0"))) if not LOCK_FILE.search(name)]
    files = [
        name
        for name in files
        if (path := uv.ROOT / name).is_file() and not path.is_symlink() and path != EXCEPTIONS
    ]
    found: dict[str, Finding] = {}
    with tempfile.TemporaryDirectory(dir=uv.cache()) as folder:
        readable = in_utf8(files, Path(folder))
        for copy, hit in scan(list(readable)):
            name = readable[copy]
            key = hashlib.sha256(os.fsencode(f"{name}\0{hit['hashed_secret']}")).hexdigest()[:12]
            # A file name may hold a line end.
            text = f"{name if name.isprintable() else ascii(name)}:{hit['line_number']}: {hit['type']}"
            found.setdefault(f"secret-{key}", Finding(f"secret-{key}", text))
    binary = len(files) - len(readable)
    print(f"secrets: {len(readable)} files looked at" + (f", {binary} not: no text" if binary else ""))
    return list(found.values())


def in_utf8(files: list[str], folder: Path) -> dict[str, str]:
    """Return what to scan, and the file that each stands for: itself, or a copy in `folder`.

    Binary files are left out.

    The scanner passes silently over a file that isn't UTF-8: such a text gets a copy that is. Raises Stop.
    """
    readable = {}
    for number, name in enumerate(files):
        try:
            content = (uv.ROOT / name).read_bytes()
        except OSError as error:
            raise Stop(f"secrets: {name!a} can't be read: {error.strerror}", 1) from error
        try:
            content.decode()
            readable[name] = name
        except ValueError:
            utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
            if b"\0" in content and not utf16:
                continue
            text = content.decode("utf-16" if utf16 else "latin-1", "replace")
            copy = folder / f"{number}{Path(name).suffix}"
            copy.write_text(text, encoding="utf-8", newline="")
            readable[str(copy.relative_to(uv.ROOT))] = name
    return readable


def scan(names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the finding for each that the scanner has. Raises Stop when the scan doesn't work."""
    detect_secrets = [*uv.tool(*DETECT_SECRETS)[:-1], "detect-secrets"]
    # In portions, because a command line has a limited length. --no-verify: or it would try out what it
    # finds.
    for start in range(0, len(names), 500):
        portion = [f"./{name}" for name in names[start : start + 500]]
        done = run([*detect_secrets, "scan", "--no-verify", "--all-files", *portion])
        try:
            results = json.loads(done.stdout)["results"]
        except (ValueError, KeyError) as error:
            raise Stop(f"secrets: could not be done: {why(done.stderr)}; run it again", 1) from error
        for name, hits in results.items():
            for hit in hits:
                yield name.removeprefix("./"), hit


def audit() -> list[Finding]:
    """Look up what is installed in .venv among the known vulnerabilities.

    A package that can't be looked up is a finding too. Raises Stop when nothing could be looked up.
    """
    if not uv.VENV_PYTHON.exists():
        raise Stop(f"audit: there is no .venv yet: run `{uv.MAKE} install`", 2)
    frozen = run([uv.find(), "pip", "freeze", "--python", str(uv.VENV_PYTHON)])
    if frozen.returncode:
        raise Stop(f"audit: can't list what is installed: {last_line(frozen.stderr)}", 1)
    pinned, found = [], []
    for line in frozen.stdout.splitlines():
        if re.fullmatch(r"[\w.-]+==\S+", line):
            pinned.append(line)
        elif not line.startswith("-e ") and uv.ROOT.as_uri() not in line:
            # From a repository or a URL: no database knows it. (What stands in this project isn't looked up.)
            name = line.split(" ", 1)[0]
            found.append(
                Finding(f"not-audited-{name}", f"{name}: not from a package index, so it can't be looked up")
            )
    if not pinned:
        raise Stop(f"audit: nothing is installed in .venv: run `{uv.MAKE} install`", 2)
    with tempfile.TemporaryDirectory() as folder:
        listed, report = Path(folder, "requirements.txt"), Path(folder, "report.json")
        listed.write_text("\n".join(pinned) + "\n", encoding="utf-8")
        arguments = [
            "--disable-pip",
            "--no-deps",
            "--progress-spinner",
            "off",
            "--format",
            "json",
            "--desc",
            "off",
        ]
        done = run([*uv.tool(*PIP_AUDIT), *arguments, "--output", str(report), "--requirement", str(listed)])
        try:
            packages = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        except (OSError, ValueError, KeyError) as error:
            raise Stop(f"audit: could not be done: {why(done.stderr)}; {AGAIN}", 1) from error
    # pip-audit passes over a package that it can't look up; with --strict it ends at the first. This names
    # them all.
    skipped = [package for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages) or len(packages) < len(pinned):
        raise Stop(
            f"audit: could not be done: the database answered for {len(packages) - len(skipped)} of the"
            f" {len(pinned)} packages that are installed; {AGAIN}",
            1,
        )
    for package in packages:
        if "skip_reason" in package:
            found.append(Finding(f"not-audited-{package['name']}", package["skip_reason"]))
        for hole in package.get("vulns", []):
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            text = f"{package['name']} {package['version']}: {hole['id']}, fixed in {fixed}"
            found.append(Finding(hole["id"], text, tuple(hole.get("aliases", []))))
    print(f"audit: {len(packages) - len(skipped)} of {len(pinned)} packages looked up")
    return found


def why(text: str) -> str:
    """Return in one line why a tool that uv runs came to no result, from what was printed."""
    last = last_line(text)
    if not text.startswith("error:"):  # which is how uv begins
        return f"{last[:300]}…" if len(last) > 300 else last
    address = re.search(r"https?://[^\s)@]+", text)
    return f"uv can't get the tool{f' from {address[0]}' if address else ''}: {last.removeprefix('  cause: ')}"


def last_line(text: str) -> str:
    """Return the last line of what a tool said: that is where the reason stands."""
    return (text.strip().splitlines() or ["it said nothing"])[-1]


# ---- exceptions ----


def exceptions() -> tuple[bool, dict[str, datetime.date]]:
    """Read config/security-exceptions.txt: whether findings fail, and the last day of each exception.

    Without the file findings fail and there are no exceptions. Raises Stop on a line that isn't right.
    """
    fail, known = True, {}
    try:
        lines = EXCEPTIONS.read_text(encoding="utf-8").splitlines() if EXCEPTIONS.exists() else []
    except ValueError as error:
        raise Stop("config/security-exceptions.txt: expected UTF-8", 2) from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "findings:" and words[1:] in (["fail"], ["report"]):
            fail = words[1] == "fail"
            continue
        try:
            if len(words) < 3:
                raise ValueError
            known[words[0]] = datetime.date.fromisoformat(words[1])
        except ValueError as error:
            expected = "expected ID EXPIRY REASON, such as PYSEC-2024-123 2027-01-31 why"
            raise Stop(f"config/security-exceptions.txt, line {number}: {expected}", 2) from error
    return fail, known


def record(found: list[Finding]) -> None:
    """Add an exception for each finding, and let new ones fail from now on."""
    until = datetime.date.today() + datetime.timedelta(days=DAYS)
    text = EXCEPTIONS.read_text(encoding="utf-8") if EXCEPTIONS.exists() else "findings: fail\n"
    text = re.sub(r"(?m)^findings:.*$", "findings: fail", text)
    lines = dict.fromkeys(f"{finding.id} {until} not looked at yet: {finding.text}\n" for finding in found)
    EXCEPTIONS.write_text(text.rstrip("\n") + "\n" + "".join(lines), encoding="utf-8")
    print(
        f"config/security-exceptions.txt: {len(lines)} written down, until {until}; from now on others fail. Commit it."
    )


def main() -> int:
    """Run the checks that are asked for, print what they find, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "check", metavar="CHECK", nargs="?", choices=["secrets", "audit", "both"], default="both"
    )
    parser.add_argument(
        "--record", action="store_true", help="write the findings into config/security-exceptions.txt"
    )
    asked = parser.parse_args()
    what = "the security checks" if asked.check == "both" else f"the check {asked.check}"
    if flags.off("security_scanning", os.environ.get("ENV", ""), what):
        return 0
    found: list[Finding] = []
    code = 0
    try:
        fail, known = exceptions()
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    for name, check in (("secrets", secrets), ("audit", audit)):
        if asked.check not in (name, "both"):
            continue
        try:
            found += check()
        except Stop as stop:
            # The other check still runs: one that can't be done is no reason not to do the other.
            print(stop, file=sys.stderr)
            code = max(code, stop.code)
    today = datetime.date.today()
    open_ones = []
    for finding in found:
        until = max((known[name] for name in (finding.id, *finding.aliases) if name in known), default=None)
        if until is None or until < today:
            open_ones.append(finding)
            print(f"{finding.text} [{finding.id}]" + (f" (its exception ended on {until})" if until else ""))
    if asked.record:
        if code:
            print("nothing was written down: not every check could be done", file=sys.stderr)
        else:
            record(open_ones)
        return code
    if open_ones and not fail:
        print(
            f"{len(open_ones)} found, which doesn't fail yet: after `{uv.MAKE} security RECORD=1` new ones will."
        )
    elif open_ones:
        print(f"{len(open_ones)} found. docs/security.md says what to do with each.")
        code = max(code, 1)
    return code


if __name__ == "__main__":
    sys.exit(main())
