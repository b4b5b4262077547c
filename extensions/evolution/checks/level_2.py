"""Level 2, Automated: a push reaches staging, and each service is started before a merge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml

from ...template import answers
from ..facts import Facts, Workflow
from . import Answer, done, todo, unknown

WORKFLOW = ".github/workflows/staging-deploy.yml"
MAKE_DEPLOY = r"\bmake\b[^\n;&|]*\sdeploy\b[^\n;&|]*\bENV={}(?![\w-])"
MAKE_INTEGRATION = re.compile(r"\bmake\b[^\n;&|]*\sintegration\b")
SECRET = re.compile(r"\bsecrets\.([A-Z][A-Z0-9_]*)\b")


def staging_environment(facts: Facts) -> Answer:
    """A staging environment

    A place like production where a change can be seen, and where it may fail.
    """
    known = facts.ask_github(f"/actions/variables/{_host(facts)}")
    if known.body:
        return done(f"the variable {_host(facts)} is set")
    settings = re.search(r"(?m)^DEPLOY_HOST=(?!\s*$)", facts.text(f"config/{_first(facts)}.env"))
    if deployed := _deployed(facts):
        return done(f"deployed to, last on {deployed}")
    if settings and known.why:
        return done(f"config/{_first(facts)}.env names its host")
    how = f"set up a host, then the variable {_host(facts)}: docs/staging.md says how"
    if known.why:
        return unknown(
            f"no deployment to {_first(facts)} is recorded; {known.why}",
            f"{how}\n{facts.to_ask('gh variable list')}",
        )
    return todo(f"the variable {_host(facts)} is not set", how)


def staging_workflow(facts: Facts) -> Answer:
    """A workflow that deploys to staging

    What a machine does the same way each time, nobody forgets on a Friday.
    """
    found = _deploys(facts)
    if found:
        return done(found[0].path)
    if facts.broken:
        return unknown(next(iter(facts.broken.values())), "fix it: GitHub can't run it either")
    if facts.text(WORKFLOW):
        return todo(
            "staging-deploy.yml doesn't deploy",
            f"have a step of it run `make -f levels.mk deploy ENV={_first(facts)}`",
        )
    return todo(f"no workflow deploys to {_first(facts)}", facts.missing(WORKFLOW))


def integration_tests(facts: Facts) -> Answer:
    """Integration tests start every service

    Unit tests are green for a service that doesn't start.
    """
    file = "tests/integration/test_integration_services.py"
    runs = [workflow.path for workflow in facts.workflows if MAKE_INTEGRATION.search(workflow.commands)]
    if not facts.text(file):
        return todo("there are none", facts.missing(file))
    if not runs:
        return todo("no workflow runs them", facts.missing(".github/workflows/integration.yml"))
    theirs = [service["name"] for service in facts.services if service["code"] == "theirs"]
    settings = facts.text("tests/integration/settings.json") or "{}"
    try:
        told = set(json.loads(settings))
    except (ValueError, TypeError):
        return todo(
            "tests/integration/settings.json is not JSON", 'fix it: it holds {"service": {"NAME": "value"}}'
        )
    silent = [name for name in theirs if name not in told]
    if silent:
        example = json.dumps({silent[0]: {}})
        return todo(
            f"{', '.join(silent)} {'is' if len(silent) == 1 else 'are'} passed over",
            f"say in tests/integration/settings.json what it needs to start: {example} for nothing",
        )
    return done(f"{file}, run by {runs[0]}")


def deployment_trigger(facts: Facts) -> Answer:
    """Every push to the default branch is deployed by itself

    What is merged is on staging minutes later, and one change at a time.
    """
    branch = facts.recorded.get("default_branch", "main")
    found = _deploys(facts)
    for workflow in found:
        push = workflow.events.get("push", False)
        branches = (push or {}).get("branches", [branch]) if push is not False else []
        if branch in ([branches] if isinstance(branches, str) else branches):
            return _evidence(facts, workflow.path)
    if not found:
        return todo(f"no workflow deploys to {_first(facts)}", facts.missing(WORKFLOW))
    return todo(
        f"{found[0].path} doesn't run for a push to {branch}",
        f"add `push: branches: [{branch}]` below its `on:`",
    )


def _evidence(facts: Facts, workflow: str) -> Answer:
    """Whether a workflow that a push starts has deployed: a file alone deploys nothing."""
    host = facts.ask_github(f"/actions/variables/{_host(facts)}")
    deployed = facts.ask_github(f"/deployments?environment={_first(facts)}&per_page=1")
    if deployed.body:
        last = deployed.body[0]
        said = facts.ask_github(f"/deployments/{last.get('id')}/statuses?per_page=1")
        state = said.body[0].get("state") if said.body else said.why or "not told"
        if state == "success":
            return done(f"{workflow}, last on {str(last.get('created_at', ''))[:10]}")
        return unknown(
            f"how the last deployment to {_first(facts)} went: {state}", facts.to_ask("gh run list")
        )
    if not host.why and not host.body:
        how = f"set the secrets of {_first(facts)}, then that variable: docs/staging.md says how"
        return todo(f"{workflow} deploys nothing until the variable {_host(facts)} is set", how)
    if why := host.why or deployed.why:
        return unknown(
            f"whether {workflow} has deployed: {why}",
            facts.to_ask("gh run list --workflow staging-deploy.yml"),
        )
    return todo(
        f"{workflow} has deployed nothing yet", "run it by hand, once: `gh workflow run staging-deploy.yml`"
    )


def deployment_secrets(facts: Facts) -> Answer:
    """The secrets of staging are set

    The workflow reaches the host with them; they stand at GitHub and in no file.
    """
    wanted = sorted(
        {name for workflow in _deploys(facts) for name in _secrets(facts, workflow)} - {"GITHUB_TOKEN"}
    )
    if not wanted:
        return (
            todo(f"no workflow deploys to {_first(facts)}", facts.missing(WORKFLOW))
            if not _deploys(facts)
            else done("the workflow needs none")
        )
    here, there = (
        facts.ask_github(f"/environments/{_first(facts)}/secrets"),
        facts.ask_github("/actions/secrets"),
    )
    how = (
        f"set {', '.join(wanted)} (GitHub: Settings, Environments, {_first(facts)}): docs/staging.md"
        " says what they hold"
    )
    if here.why or there.why:
        return unknown(
            here.why or there.why, f"{how}\n{facts.to_ask(f'gh secret list --env {_first(facts)}')}"
        )
    names = {secret["name"] for said in (here, there) for secret in (said.body or {}).get("secrets", [])}
    missing = [name for name in wanted if name not in names]
    return todo(f"missing: {', '.join(missing)}", how) if missing else done(", ".join(wanted))


def _secrets(facts: Facts, workflow: Workflow) -> Iterator[str]:
    """The secrets that the steps of a workflow name, without those of steps that wait for a file which isn't
    there.
    """
    for job in yaml.load(workflow.text, Loader=answers.LOADER)["jobs"].values():
        for step in job.get("steps") or ():
            waits = re.search(r"hashFiles\('([^'*]+)'\) != ''", str(step.get("if", "")))
            if not waits or facts.text(waits[1]):
                yield from SECRET.findall(str(step))


def _deploys(facts: Facts) -> list[Workflow]:
    command = re.compile(MAKE_DEPLOY.format(_first(facts)))
    return [workflow for workflow in facts.workflows if command.search(workflow.commands)]


def _first(facts: Facts) -> str:
    """The environment that a merge is deployed to."""
    return answers.environment_names(facts.recorded)[0]


def _host(facts: Facts) -> str:
    """The variable that switches its workflow on."""
    return f"{_first(facts).upper().replace('-', '_')}_HOST"


def _deployed(facts: Facts) -> str:
    """The day of the last deployment to staging that succeeded, from the deployment log; empty where there is
    none.
    """
    return max(_days(facts.text("config/deploys.jsonl"), _first(facts)), default="")


def _days(log: str, environment: str) -> Iterator[str]:
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if (
            isinstance(entry, dict)
            and entry.get("kind") == "deploy"
            and entry.get("environment") == environment
            and entry.get("outcome") == "success"
        ):
            yield str(entry.get("at", ""))[:10]
