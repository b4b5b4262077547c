"""Level 3, Professional: secrets, vulnerable packages and unsafe code are looked for."""

from __future__ import annotations

import re
from datetime import date

from ..facts import Facts
from . import Answer, done, not_applicable, todo, unknown

WORKFLOW = ".github/workflows/security.yml"
EXCEPTIONS = "config/security-exceptions.txt"
MAKE_SECURITY = re.compile(r"\bmake\b[^\n;&|]*\ssecurity\b|\bci/security\.py\b")


def security_workflow(facts: Facts) -> Answer:
    """Secrets and vulnerable packages are looked for with every change, and every week

    A package becomes known as vulnerable without anybody changing a line.
    """
    found = [workflow for workflow in facts.workflows if MAKE_SECURITY.search(workflow.commands)]
    if not found:
        if facts.broken:
            return unknown(next(iter(facts.broken.values())), "fix it: GitHub can't run it either")
        return todo("no workflow looks for them", facts.missing(WORKFLOW))
    missing = [
        event
        for event in ("pull_request", "schedule")
        if not any(event in workflow.events for workflow in found)
    ]
    if missing:
        return todo(
            f"{found[0].path} doesn't run on {' and '.join(missing)}",
            f"add {' and '.join(missing)} below its `on:`",
        )
    return done(found[0].path)


def security_exceptions(facts: Facts) -> Answer:
    """No security exception is past its day

    An exception is a promise to look again; a new finding fails.
    """
    text = facts.text(EXCEPTIONS)
    if not text:
        return todo(f"{EXCEPTIONS} is missing", facts.missing(EXCEPTIONS))
    lines = [
        (number, line.split())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if any(words[:2] == ["findings:", "report"] for _, words in lines):
        return todo(
            "findings are only printed so far",
            f"`{facts.make} security RECORD=1`, once, and commit what it writes",
        )
    past = []
    for number, words in ((number, words) for number, words in lines if words[0] != "findings:"):
        try:
            if date.fromisoformat(words[1]) < facts.now.date():
                past.append(words[0])
        except (ValueError, IndexError):
            return todo(
                f"{EXCEPTIONS}:{number} is not `ID EXPIRY REASON`",
                "fix the line, as in PYSEC-2024-123 2027-01-31 why",
            )
    if past:
        return todo(
            f"past their day: {', '.join(past)}",
            f"fix what they except, or give them a new day and a reason in {EXCEPTIONS}",
        )
    exceptions = sum(words[0] != "findings:" for _, words in lines)
    return done(f"{exceptions} exception{'' if exceptions == 1 else 's'}, none past its day")


def code_scanning(facts: Facts) -> Answer:
    """Code scanning is on

    It sees what crosses function and file, such as a request's text that ends in SQL.
    """
    repository = facts.ask_github("")  # first: nothing more is asked where a token may not see the next one
    said = facts.ask_github("/code-scanning/default-setup")
    how = "switch CodeQL's default setup on (GitHub: Settings, Advanced Security, Code scanning)"
    if isinstance(said.body, dict) and said.body.get("state") == "configured":
        languages = ", ".join(said.body.get("languages") or [])
        return done(f"CodeQL's default setup is on{f': {languages}' if languages else ''}")
    if isinstance(repository.body, dict) and repository.body.get("private"):
        return not_applicable("the repository is private, and GitHub scans those with Advanced Security only")
    if said.why:
        look = facts.to_ask("gh api repos/{owner}/{repo}/code-scanning/default-setup")
        return unknown(said.why, f"{how}\n{look}")
    return todo("CodeQL's default setup is not on", how)
