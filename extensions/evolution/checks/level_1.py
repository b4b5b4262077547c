"""Level 1, Basic: a service says how it is, its functions are tested, and a pull request is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ...rendering import closing
from ...template import answers
from ..code import start_file
from ..facts import Facts
from . import Answer, done, not_applicable, todo, unknown

MAKE_CHECK = re.compile(r"\bmake\b[^\n;&|]*\scheck\b|\bci/check\.py\b")


def health_endpoints(facts: Facts) -> Answer:
    """Health endpoints in all services

    Whoever deploys or watches a service asks it how it is, at /-/health and /-/readiness, which no guard of
    yours can keep from answering. The one call in your code is also where higher levels come in. It is looked
    for in the source; the tests ask the application itself.
    """
    from ...source import routes

    missing, unsure, seen = [], [], []
    for service in facts.services:
        code, name = facts.code[service["name"]], service["name"]
        if not facts.text(_inside(service, "health.py")):
            return todo(f"{name} has no health.py", facts.missing(_inside(service, "health.py")))
        if closing.beside(service):
            seen.append(f"{name}: served beside {service['app'].split()[0]}")
            continue
        shares = any(one["path"] == service["path"] and one is not service for one in facts.services)
        special = shares or service["app"].startswith("uvicorn ")
        found = closing.calls(facts.folder, service, facts.services) if special else code.init_calls
        if found:
            seen.append(f"{name}: called in {found[0]}")
            seen += [closing.own_probe(name, route) for route in routes.own_probes(facts.folder, service)]
        elif code.unparsed:
            unsure.append(f"{name}: {code.unparsed[0]} can't be parsed")
        else:
            place = start_file(facts.folder, service) or service["path"]
            missing.append(f"in {place} add {closing.call(facts.folder, service)}")
    if missing:
        return todo(f"{len(missing)} of {len(facts.services)} services don't have them", "\n".join(missing))
    if unsure:
        return unknown("\n".join(unsure), "fix what Python can't parse")
    return done("\n".join(seen))


def readiness_checks(facts: Facts) -> Answer:
    """Readiness asks what a service runs on

    Traffic that reaches an instance without its database fails. What it asks is yours to say, in the
    answer `readiness`.
    """
    from ...source import dependencies
    from ...template import readiness

    # Proposed at adoption for code that was there before; new code grows into it.
    services = [{**service, "code": "theirs"} for service in facts.services]
    found = readiness.propose(services, lambda service: dependencies.find(facts.folder, service))
    asked, level = facts.recorded.get("readiness", ()), facts.recorded["level"]
    seen = [f"seen in the source, not checked: {line}" for line in found.seen]
    if gone := [where for entry in asked if "client" in entry and (where := _without_client(facts, entry))]:
        return todo(
            "\n".join(gone),
            "say in .copier-answers.yml, below `readiness:`, where the client is: as `client:"
            " 'cache.py:client'`",
        )
    own = [service for service in facts.services if "READINESS" in facts.text(_inside(service, "checks.py"))]
    if unasked := [service for service in own if not facts.text(_inside(service, "readiness.py"))]:
        service = unasked[0]
        if any(entry["service"] == service["name"] for entry in asked):
            how = facts.missing(_inside(service, "readiness.py"))
        else:
            how = (
                f"write `- {{service: {service['name']}, kind: own}}` into .copier-answers.yml, below"
                f" `readiness:`, and before you commit `{facts.make} upgrade LEVEL={level}`"
            )
        return todo(
            f"{_inside(service, 'checks.py')} is there and no readiness.py to ask it, so readiness says 503",
            how,
        )
    if missing := readiness.lacking(found.entries, asked):
        place = "below `readiness:`" if asked else "below `readiness:` in place of `[]`"
        how = (
            f"write what you want of these into .copier-answers.yml, {place}, and before you commit"
            f" `{facts.make} upgrade LEVEL={level}`:"
        )
        return todo(
            "\n".join(
                ["the source runs on what is not asked:", *(found.checked[index] for index in missing), *seen]
            ),
            "\n".join([how, *(answers.line(found.entries[index]) for index in missing)]),
        )
    if not found.entries and not asked:
        return (
            done("\n".join(seen))
            if seen
            else not_applicable("no service runs on a server that its source tells of")
        )
    names = sorted(
        (
            f"checks.py of {entry['service']}"
            if entry["kind"] == readiness.OWN
            else f"{entry['kind']} at {entry['target'] or entry['client']} of {entry['service']}"
        )
        for entry in asked
    )
    return done("\n".join([f"asked: {', '.join(names)}", *seen]))


def _without_client(facts: Facts, entry: Mapping[str, Any]) -> str:
    """What is wrong with the client that a check asks by; empty where its name stands in its file."""
    service = next(service for service in facts.services if service["name"] == entry["service"])
    file, _, name = entry["client"].partition(":")
    found = re.search(rf"\b{re.escape(name)}\b", facts.text(_inside(service, file)))
    return (
        ""
        if found
        else (
            f"{entry['service']}: {entry['kind']} is asked by {_inside(service, file)}:{name}, which isn't"
            " there"
        )
    )


def unit_tests(facts: Facts) -> Answer:
    """Unit tests for the critical functions

    What no test asserts breaks without a word. The largest functions without one are named first.
    """
    said, without = [], []
    for service in facts.services:
        functions = facts.code[service["name"]].functions
        if not functions:
            continue
        bare = sorted(
            (one for one in functions if one.name not in facts.tests.names),
            key=lambda one: (-one.lines, one.place),
        )
        text = (
            f"{service['name']}: {len(functions) - len(bare)} of {len(functions)} public functions are named"
            " in a test"
        )
        said.append(text + (f"; the largest without is {bare[0].name} ({bare[0].place})" if bare else ""))
        if len(bare) == len(functions):
            without.append(bare[0].place.rpartition(":")[0])
    if not said:
        return not_applicable("no service has a public function")
    if without and facts.tests.unparsed:
        return unknown(f"{facts.tests.unparsed[0]} can't be parsed", "fix what Python can't parse")
    if without:
        return todo(
            "\n".join(said),
            f"write a test that calls a function of {', '.join(without)} and asserts what it returns",
        )
    return done("\n".join(said))


def quality_pipeline(facts: Facts) -> Answer:
    """A quality pipeline for every pull request

    Lint, types and tests run where everybody sees the result, before a merge and not after it.
    """
    runs = [workflow.path for workflow in facts.workflows if MAKE_CHECK.search(workflow.commands)]
    asked = [
        w.path
        for w in facts.workflows
        if w.path in runs and {"pull_request", "pull_request_target", "merge_group"} & set(w.events)
    ]
    if asked:
        return done(asked[0])
    if facts.broken:
        return unknown(next(iter(facts.broken.values())), "fix it: GitHub can't run it either")
    if runs:
        return todo(
            f"{runs[0]} doesn't run for pull requests", f"add `pull_request:` below `on:` in {runs[0]}"
        )
    if facts.workflows and facts.text(".github/workflows/quality.yml"):
        return todo("quality.yml doesn't run the check", "have a step of it run `make -f levels.mk check`")
    return todo("no workflow runs the check", facts.missing(".github/workflows/quality.yml"))


def baseline(facts: Facts) -> Answer:
    """What the linters find in earlier code is recorded

    Until then code that was here before is left out of the check; afterwards only what is new fails.
    """
    if "config/baseline.txt" in facts.tracked:
        return done("config/baseline.txt")
    if facts.text("config/baseline.txt"):
        return todo("config/baseline.txt is not committed", "`git add config/baseline.txt`, and commit")
    return todo(
        "there is no config/baseline.txt", f"`{facts.make} install baseline`, and commit config/baseline.txt"
    )


def locked_dependencies(facts: Facts) -> Answer:
    """The versions of all dependencies are locked

    Without the lock a test is green today and red tomorrow, because something that you depend on has changed.
    """
    if facts.recorded["adopted"] or "pyproject.toml" in facts.recorded["keep"]:
        return not_applicable(
            "how this code's dependencies are installed was yours before, and so is what locks them"
        )
    if "uv.lock" in facts.tracked:
        return done("uv.lock")
    return todo("uv.lock is not committed", f"`{facts.make} install`, then `git add uv.lock`, and commit")


def environment_files(facts: Facts) -> Answer:
    """Settings stand in environment files, and no secret is committed

    A new colleague sees what can be set, and what is secret stays on the machine that it is for.
    """
    secret = sorted(path for path in facts.tracked if re.fullmatch(r"(.*/)?\.env|config/[^/]*\.env", path))
    if secret:
        return todo(
            f"git tracks {secret[0]}",
            f"`git rm --cached {secret[0]}`, commit, and change the secrets in it: they are in the history",
        )
    if not facts.text("config/local.env.template"):
        return todo("config/local.env.template is missing", facts.missing("config/local.env.template"))
    return done("config/local.env.template")


def api_documented(facts: Facts) -> Answer:
    """API endpoints are documented

    Whoever calls a service reads docs/api.md and the OpenAPI document, and not your source.
    """
    if not facts.web:
        return not_applicable("there is no web service")
    from ...apidocs import write

    files = write.texts(facts.recorded["project_name"], write.read(facts.folder, facts.services), facts.make)
    # A test may be missing: it isn't written where the app can't be made without its servers.
    late = [
        path
        for path, text in files.items()
        if facts.text(path) != text and (facts.text(path) or not path.startswith("tests/"))
    ]
    if late:
        state = "out of date" if facts.text(late[0]) else "missing"
        return todo(f"{late[0]} is {state}", f"`{facts.make} api-docs`, and commit what it writes")
    return done(write.PAGE)


def branch_rule(facts: Facts) -> Answer:
    """A merge needs the green check

    A check that nobody has to wait for is passed over on the day that matters.
    """
    branch = facts.recorded.get("default_branch", "main")
    rules = facts.ask_github(f"/rules/branches/{quote(branch, safe='')}")
    if rules.why or not isinstance(rules.body, list):
        return unknown(
            rules.why or f"GitHub knows no branch {branch}", facts.to_ask(f"gh ruleset check {branch}")
        )
    checks = [
        rule.get("parameters", {}).get("required_status_checks", [])
        for rule in rules.body
        if rule.get("type") == "required_status_checks"
    ]
    contexts = sorted({str(check.get("context")) for group in checks for check in group})
    if "check" in contexts:
        return done(f"{branch} requires {', '.join(contexts)}")
    return todo(
        f"nothing requires `check` before a merge to {branch}",
        "make the ruleset of docs/branches.md (GitHub: Settings, Rules)",
    )


def _inside(service: dict[str, str], name: str) -> str:
    return name if service["path"] == "." else f"{service['path']}/{name}"
