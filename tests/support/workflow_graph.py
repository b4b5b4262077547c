"""A project's workflows as GitHub reads them: which check runs an event makes, and what a job waits for.

It knows as much of GitHub's rules as holds for a deployment: a job runs once all that it `needs` succeeded,
unless its condition calls a status function; a step or job that may fail counts as a success; a called
workflow's check runs are `caller / job`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# A call of make as a workflow of ours makes it, and nothing else on the line.
MAKE = re.compile(r"make -f levels\.mk ([a-z][\w-]*(?: [A-Z]+=[\w-]+)*)")
WORD = re.compile(r"[\w-]+")
NO_SUITE = ("install", "images", "deploy", "propose")
# What builds or deploys, in whatever words.
ACTS = re.compile(
    r"\bmake\b[^\n;&|]*\s(images|deploy|rollback|promote|rollout)\b|-m deploy|\b(docker|podman|buildah|kubectl|helm|ssh|aws)\s"
)
ACTIONS = re.compile(r"^(docker/(login|build-push)-action|aws-actions/|azure/|google-github-actions/)")
# Without one of these a job doesn't run where something before it failed.
PAST_A_FAILURE = re.compile(r"\b(always|cancelled|failure)\s*\(")
# The only condition on an event that is known here.
ONLY_ON = re.compile(r"github\.event_name (==|!=) '(\w+)'")
# Events whose commit is the one that each job of the run checks out.
SAME_COMMIT = {"push", "workflow_dispatch", "schedule", "pull_request", "merge_group"}

Workflows = dict[str, dict[Any, Any]]


def read(folder: Path) -> Workflows:
    """The workflows of the project at `folder`, by file name."""
    files = sorted((folder / ".github/workflows").glob("*.yml"))
    workflows = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}
    for workflow in workflows.values():
        workflow["jobs"] = {
            name: one for key, job in workflow["jobs"].items() for name, one in each(key, job)
        }
    return workflows


def each(key: str, job: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A job, or those that its matrix lists, each with what `${{ matrix.… }}` stands for."""
    listed = job.get("strategy", {}).get("matrix", {}).get("include", [])
    for one in listed:
        text = yaml.safe_dump({name: part for name, part in job.items() if name != "strategy"}, width=1000)
        for name, value in one.items():
            text = text.replace(f"${{{{ matrix.{name} }}}}", str(value))
        yield f"{key} {' '.join(one.values())}", yaml.safe_load(text)
    if not listed:
        yield key, job


def events(workflow: dict[Any, Any]) -> dict[str, Any]:
    """What starts a workflow. (In YAML 1.1 the key `on` is true.)"""
    on = workflow[True]
    return on if isinstance(on, dict) else dict.fromkeys([on] if isinstance(on, str) else on)


def needs(job: dict[str, Any]) -> list[str]:
    listed = job.get("needs", [])
    return [listed] if isinstance(listed, str) else listed


def before(jobs: dict[str, Any], name: str) -> set[str]:
    """Every job that must have succeeded before `name` runs."""
    found: set[str] = set()
    left = [*needs(jobs[name])]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += needs(jobs[one])
    return found


def called(job: dict[str, Any]) -> Iterator[str]:
    """The make targets, with their variables,
    that a job calls one by one; none from a script that does more."""
    for step in job.get("steps", []):
        if (
            (found := MAKE.fullmatch(step.get("run", "").strip()))
            and "if" not in step
            and not step.get("continue-on-error")
        ):
            # A variable may stand in the step's environment, where no shell reads it.
            given = [
                f" {key}={value}" for key, value in step.get("env", {}).items() if WORD.fullmatch(str(value))
            ]
            yield found[1] + "".join(given)


def suites(job: dict[str, Any]) -> set[str]:
    """The suites that a job runs whole, or fails: `check`, `integration`, `security CHECK=audit`."""
    if job.get("continue-on-error"):
        return set()
    targets = (re.sub(r" ENV=\S+", "", target) for target in called(job))
    return {target for target in targets if target.split(" ")[0] not in NO_SUITE}


def acts(job: dict[str, Any]) -> bool:
    """Whether a job builds or deploys something."""
    steps = job.get("steps", [])
    return any(ACTS.search(step.get("run", "")) or ACTIONS.match(step.get("uses", "")) for step in steps)


def promotes(workflow: dict[Any, Any]) -> bool:
    """Whether a workflow is of pushes that change lines in config/releases, and so no code."""
    return bool((events(workflow).get("push") or {}).get("paths") == ["config/releases/*.yml"])


def unchecked(workflows: Workflows, checked: set[str]) -> list[str]:
    """A line for each way in which something may be built or deployed although a suite of that very commit
    hasn't passed.
    """
    found = []
    for file, workflow in workflows.items():
        jobs = workflow["jobs"]
        for name, job in jobs.items():
            if not acts(job):
                continue
            earlier = before(jobs, name)
            passed = set().union(*(suites(jobs[one]) for one in earlier))
            # What is promoted was checked when it was built.
            required = {"approved"} if promotes(workflow) else checked
            found += [f"{file}: {name} doesn't wait for {suite}" for suite in sorted(required - passed)]
            for one in sorted({name, *earlier}):
                if PAST_A_FAILURE.search(str(jobs[one].get("if", ""))):
                    found.append(f"{file}: {one} runs although something before it failed")
                if jobs[one].get("continue-on-error"):
                    found.append(f"{file}: {one} may fail without stopping {name}")
                for step in jobs[one].get("steps", []):
                    if "checkout" in step.get("uses", "") and {"ref", "repository"} & set(
                        step.get("with", {})
                    ):
                        found.append(f"{file}: {one} checks out another commit")
            for event in sorted(set(events(workflow)) - SAME_COMMIT):
                found.append(f"{file}: {event} may bring another commit than the one that was checked")
    return found


def check_runs(workflows: Workflows, event: str) -> Counter[str]:
    """The names of the check runs that an event makes, each with how often."""
    names: Counter[str] = Counter()
    for workflow in workflows.values():
        if event in events(workflow):
            for name in job_names(workflows, workflow):
                names[name] += 1
    return names


def job_names(workflows: Workflows, workflow: dict[Any, Any]) -> Iterator[str]:
    """The names of a workflow's check runs; those of one that it calls are `caller / job`."""
    for key, job in workflow["jobs"].items():
        name = job.get("name", key)
        if "uses" in job:
            callee = workflows[job["uses"].rpartition("/")[2]]
            yield from (f"{name} / {inner}" for inner in job_names(workflows, callee))
        else:
            yield name


def suites_on(workflows: Workflows, event: str) -> Counter[str]:
    """The suites that an event runs, each with how often."""
    jobs = [
        job
        for workflow in workflows.values()
        if event in events(workflow) and not promotes(workflow)
        for job in workflow["jobs"].values()
        if not (only := ONLY_ON.fullmatch(str(job.get("if", "")))) or (only[2] == event) == (only[1] == "==")
    ]
    return Counter(suite for job in jobs for suite in suites(job))
