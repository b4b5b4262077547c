"""The make target `security`: secrets, vulnerable packages, unsafe code, containers and workflows.

    python3 ci/security.py [secrets|audit|code]   one of these, or all
    python3 ci/security.py --record    accept what they find in config/security-exceptions.txt, for 90 days
    python3 ci/security.py --issue     keep one issue on GitHub that says how many findings there are

With ENV=production in the environment, as in the workflows, nothing is run where security_scanning is off for
it. Exit codes: 0 nothing found, 1 something found or not everything could be looked at, 2 something to
correct first.
"""

import argparse
import datetime
import json
import os
import re
import sys
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

import flags
import scans
import uv

EXCEPTIONS = uv.ROOT / scans.EXCEPTIONS
# What the ids of a scanner's findings begin with; those of `audit` are the database's.
KINDS = {"secret": "secrets", "code": "code"}
DAYS = 90
TITLE = "What the security scanners find"
BOT = "github-actions[bot]"


class Until(NamedTuple):
    """An exception's last day, and the line that it stands in."""

    day: datetime.date
    line: int


def exceptions() -> tuple[bool, dict[str, Until]]:
    """Read config/security-exceptions.txt: whether findings fail, and the exceptions by the id of their finding.

    Without the file findings fail and there are no exceptions. Ends the script at a line that isn't right.
    """
    fail, known = True, {}
    try:
        lines = EXCEPTIONS.read_text(encoding="utf-8").splitlines() if EXCEPTIONS.exists() else []
    except ValueError:
        uv.fail(f"{scans.EXCEPTIONS}: expected UTF-8")
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
            known[words[0]] = Until(datetime.date.fromisoformat(words[1]), number)
        except ValueError:
            expected = "expected ID EXPIRY REASON, such as PYSEC-2024-123 2027-01-31 why"
            uv.fail(f"{scans.EXCEPTIONS}, line {number}: {expected}")
    return fail, known


def look(names: list[str]) -> tuple[list[scans.Finding], dict[str, str]]:
    """Run scanners; return what they find, and why one didn't run: what the others find is told all the same."""
    found: dict[str, scans.Finding] = {}
    missing = {}
    for name in names:
        try:
            for finding in scans.ALL[name]():
                found.setdefault(finding.id, finding)
        except (scans.DidNotRun, OSError) as error:
            missing[name] = str(error)
            print(f"{name}: didn't run: {error}", file=sys.stderr)
    return sorted(found.values(), key=lambda one: (one.path, one.line, one.id)), missing


def past(found: list[scans.Finding], known: dict[str, Until]) -> list[tuple[scans.Finding, str]]:
    """Return the findings that no exception holds for, each with what there is to say about one that ended."""
    today, open_ones = datetime.date.today(), []
    for finding in found:
        ends = max((known[name] for name in (finding.id, *finding.aliases) if name in known), default=None)
        if ends is None:
            open_ones.append((finding, ""))
        elif ends.day < today:
            ended = f" (its exception in {scans.EXCEPTIONS}:{ends.line} ended on {ends.day})"
            open_ones.append((finding, ended))
    return open_ones


def gone(found: list[scans.Finding], known: dict[str, Until], looked: set[str]) -> dict[str, Until]:
    """Return the exceptions for what isn't found any more, by those scanners that looked at everything."""
    there = {name for finding in found for name in (finding.id, *finding.aliases)}
    kinds = {name: KINDS.get(name.split("-")[0], "audit") for name in known}
    return {name: ends for name, ends in known.items() if name not in there and kinds[name] in looked}


def record(open_ones: list[scans.Finding], stale: dict[str, Until]) -> None:
    """Add an exception for each finding, take out those for what is gone, and let new findings fail from now on."""
    until = datetime.date.today() + datetime.timedelta(days=DAYS)
    text = EXCEPTIONS.read_text(encoding="utf-8") if EXCEPTIONS.exists() else "findings: fail\n"
    text = re.sub(r"(?m)^findings:.*$", "findings: fail", text)
    out = {finding.id for finding in open_ones} | set(stale)
    kept = [line for line in text.rstrip("\n").split("\n") if not out & set(line.split()[:1])]
    new = [f"{finding.id} {until} not looked at yet: {str(finding).rsplit(' [', 1)[0]}" for finding in open_ones]
    EXCEPTIONS.write_text("\n".join([*kept, *new]) + "\n", encoding="utf-8")
    print(f"{scans.EXCEPTIONS}: {len(new)} written down, until {until}; from now on others fail. Commit it.")


def track(told: dict[str, str]) -> None:
    """Open, change or close the one issue. It says how many there are and not where: others may read it.

    Raises OSError where GitHub doesn't answer or refuses.
    """
    base = (
        f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    )

    def ask(method: str, address: str, **body: str) -> Any:
        headers = {"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(address, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    mine = ask("GET", f"{base}?{urllib.parse.urlencode({'creator': BOT, 'state': 'open', 'per_page': 100})}")
    numbers = [one["number"] for one in mine if one["title"] == TITLE and one["user"].get("login") == BOT]
    where = f"{os.environ.get('GITHUB_SERVER_URL')}/{os.environ['GITHUB_REPOSITORY']}/actions/runs"
    lines = [f"- {name}: {what}" for name, what in told.items() if what != "ok"]
    body = "\n".join([*lines, "", f"Each one stands in [the run]({where}/{os.environ.get('GITHUB_RUN_ID')})."])
    body += " docs/security.md says what to do with it. This issue closes itself once there is none."
    if lines and not numbers:
        ask("POST", base, title=TITLE, body=body)
    for number in numbers:
        ask("PATCH", f"{base}/{number}", **({"body": body} if lines else {"state": "closed"}))


def main() -> int:
    """Run the scanners that are asked for, print what they find, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", metavar="CHECK", nargs="?", choices=[*scans.ALL, "all", "both"], default="all")
    parser.add_argument("--record", action="store_true", help=f"write the findings into {scans.EXCEPTIONS}")
    parser.add_argument("--issue", action="store_true", help="keep an issue on GitHub up to date")
    asked = parser.parse_args()
    names = [asked.check] if asked.check in scans.ALL else list(scans.ALL)
    what = "the security checks" if len(names) > 1 else f"the check {asked.check}"
    if flags.off("security_scanning", os.environ.get("ENV", ""), what):
        return 0
    fail, known = exceptions()
    found, missing = look(names)
    open_ones = past(found, known)
    stale = gone(found, known, set(names) - set(missing))
    for finding, ended in open_ones:
        print(f"{finding}{ended}")
    for name, ends in stale.items():
        print(f"{scans.EXCEPTIONS}:{ends.line}: {name} isn't found any more: take the line out")
    if asked.record:
        if missing:
            print("nothing was written down: not every check could be done", file=sys.stderr)
        else:
            record([finding for finding, _ in open_ones], stale)
        return int(bool(missing))
    wrong = [KINDS.get(id.split("-")[0], "audit") for id in [*(finding.id for finding, _ in open_ones), *stale]]
    told = {name: f"{count} to fix" if (count := wrong.count(name)) else "ok" for name in names}
    told |= dict.fromkeys(missing, "didn't run")
    print("\n".join(f"{name:7} {text}" for name, text in told.items()))
    try:
        if asked.issue:
            track(told)
    except OSError as error:
        missing["issue"] = str(error)
        print(f"the issue on GitHub couldn't be kept up to date: {error}", file=sys.stderr)
    if wrong and not fail:
        print(f"{len(wrong)} found, which doesn't fail yet: after `{uv.MAKE} security RECORD=1` new ones will.")
    elif wrong:
        print(f"{len(wrong)} found. docs/security.md says what to do with each.")
    return int(bool(missing) or (bool(wrong) and fail))


if __name__ == "__main__":
    sys.exit(main())
