"""What the workflows of a project do, worked out from their files: nothing is deployed that wasn't checked,
and names stay.
"""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from extensions.template import layers
from tests.support import workflow_graph as graph
from tests.support.projects import LEVELS, ROOT, Project

AtLevel = Callable[..., Project]
MANIFESTS = layers.manifests(ROOT)
STAGING = "staging-deploy.yml"


def suites(level: int) -> set[str]:
    """What has to have passed at a level, as the manifests declare it."""
    declared = [suite.run for manifest in MANIFESTS[:level] for suite in manifest.suites]
    return {re.sub(r" ENV=\S+", "", run) for run in declared}


@pytest.mark.parametrize("two", [False, True], ids=["one service", "two services"])
@pytest.mark.parametrize("level", [2, 3, 4])
def test_nothing_is_built_or_deployed_that_the_checks_of_that_commit_have_not_passed(
    fresh: AtLevel, level: int, two: bool
) -> None:
    workflows = graph.read(fresh(level, two).folder)
    acting = {
        (file, name)
        for file, one in workflows.items()
        for name, job in one["jobs"].items()
        if graph.acts(job) and not graph.promotes(one)
    }
    assert acting == {(STAGING, "images"), (STAGING, "deploy")}
    assert {"check", "integration"} <= suites(level)
    assert graph.unchecked(workflows, suites(level)) == []


def test_a_promotion_waits_for_its_approval_and_builds_nothing(fresh: AtLevel) -> None:
    workflows = graph.read(fresh(3).folder)
    assert graph.events(workflows[STAGING])["push"]["paths-ignore"] == ["config/releases/**"]
    jobs = workflows["promote.yml"]["jobs"]
    assert [name for name, job in jobs.items() if graph.acts(job)] == ["deploy-production"]
    assert list(graph.called(jobs["deploy-production"])) == ["deploy ENV=production"]
    assert jobs["approved"]["permissions"] == {"contents": "read", "pull-requests": "read"}
    assert jobs["deploy-production"]["permissions"] == {"contents": "read", "packages": "read"}
    jobs["deploy-production"]["needs"] = []
    assert graph.unchecked(workflows, suites(3)) == [
        "promote.yml: deploy-production doesn't wait for approved"
    ]


Jobs = dict[str, Any]


def _step(job: dict[str, Any], part: str) -> dict[str, Any]:
    return next(step for step in job["steps"] if part in step.get("run", "") + step.get("uses", ""))


def _elsewhere(workflows: graph.Workflows) -> None:
    jobs = workflows[STAGING]["jobs"]
    workflows["elsewhere.yml"] = {
        True: {"push": None},
        "jobs": {"deploy": {**jobs.pop("deploy"), "needs": []}},
    }


FAULTS: dict[str, tuple[Callable[[graph.Workflows, Jobs], Any], str]] = {
    "one suite less": (
        lambda _, jobs: jobs["images"]["needs"].remove("check"),
        "images doesn't wait for check",
    ),
    "the last suite less": (
        lambda _, jobs: jobs["images"].pop("needs"),
        "deploy doesn't wait for integration",
    ),
    "always": (lambda _, jobs: jobs["images"].update({"if": "always()"}), "images runs although"),
    "not cancelled": (
        lambda _, jobs: jobs["deploy"].update({"if": "${{ !cancelled() }}"}),
        "deploy runs although",
    ),
    "after a failure": (lambda _, jobs: jobs["check"].update({"if": "failure()"}), "check runs although"),
    "a job that may fail": (
        lambda _, jobs: jobs["check"].update({"continue-on-error": True}),
        "check may fail",
    ),
    "a step that may fail": (
        lambda _, jobs: _step(jobs["check"], " check").update({"continue-on-error": True}),
        "images doesn't wait for check",
    ),
    "a step on a condition": (
        lambda _, jobs: _step(jobs["integration"], " integration").update({"if": "vars.X"}),
        "deploy doesn't wait for integration",
    ),
    "an exit code that is lost": (
        lambda _, jobs: _step(jobs["check"], " check").update({"run": "make -f levels.mk check || true"}),
        "images doesn't wait for check",
    ),
    "another commit": (
        lambda _, jobs: _step(jobs["images"], "checkout")["with"].update({"ref": "main"}),
        "images checks out another commit",
    ),
    "another workflow": (
        lambda workflows, _: _elsewhere(workflows),
        "elsewhere.yml: deploy doesn't wait for check",
    ),
    "another event": (
        lambda workflows, _: workflows[STAGING][True].update({"workflow_run": None}),
        "workflow_run may bring another commit",
    ),
    "another job that deploys": (
        lambda _, jobs: jobs.update({"mine": {"steps": [{"run": "ssh host docker compose up"}]}}),
        "mine doesn't wait for check",
    ),
    "an action that builds": (
        lambda _, jobs: jobs.update({"mine": {"steps": [{"uses": "docker/build-push-action@v7"}]}}),
        "mine doesn't wait for integration",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fresh: AtLevel, fault: str) -> None:
    workflows = copy.deepcopy(graph.read(fresh(3).folder))
    plant, expected = FAULTS[fault]
    plant(workflows, workflows[STAGING]["jobs"])
    found = graph.unchecked(workflows, suites(3))
    assert any(expected in line for line in found), found


def required(level: int) -> list[str]:
    return [name for manifest in MANIFESTS[:level] for name in manifest.required]


@pytest.mark.parametrize("event", ["pull_request", "push"])
def test_names_of_check_runs_stay_with_each_level(fresh: AtLevel, event: str) -> None:
    """A branch rule that holds for level n waits for nothing at level n + 1 that never comes."""
    before: set[str] = set()
    for level in LEVELS:
        names = graph.check_runs(graph.read(fresh(level).folder), event)
        assert set(required(level)) <= set(names), f"level {level}"
        assert all(number == 1 for number in names.values()), "two check runs of one name can't be told apart"
        assert before <= set(names), f"level {level} lacks {before - set(names)}"
        before = set(names)


def test_a_called_workflow_has_another_name() -> None:
    """So that the derivation of names isn't too kind: what calls a workflow renames its check runs."""
    quality = {True: {"workflow_call": None}, "jobs": {"check": {"name": "check"}}}
    caller = {True: {"push": None}, "jobs": {"main": {"uses": "./.github/workflows/quality.yml"}}}
    assert set(graph.check_runs({"quality.yml": quality, "caller.yml": caller}, "push")) == {"main / check"}


@pytest.mark.parametrize("event", ["pull_request", "push"])
@pytest.mark.parametrize("level", LEVELS)
def test_each_suite_runs_once_for_a_commit(fresh: AtLevel, level: int, event: str) -> None:
    assert graph.suites_on(graph.read(fresh(level).folder), event) == dict.fromkeys(suites(level), 1)


@pytest.mark.parametrize("path", ["staging-deploy.yml", "quality.yml", "integration.yml"])
def test_each_suite_of_ours_runs_once_where_a_workflow_is_the_persons(project: Project, path: str) -> None:
    """A workflow of the template's name that stood there before is not overwritten; the others make up for
    it.
    """
    project.write(
        f".github/workflows/{path}",
        "on: push\njobs: {mine: {runs-on: ubuntu-24.04, steps: [{run: ./mine}]}}\n",
    )
    project.copy(level=2, keep=[f".github/workflows/{path}"])
    counted = graph.suites_on(graph.read(project.folder), "push")
    assert counted == {"check": 1, "integration": 1}


@pytest.mark.parametrize("level", LEVELS[1:])
def test_make_ci_runs_each_suite(fresh: AtLevel, level: int) -> None:
    make = ["make", "--dry-run", "-f", "levels.mk", "ci"]
    said = subprocess.run(make, cwd=fresh(level).folder, capture_output=True, text=True, check=True).stdout
    run = re.findall(r"ci/(\w+)\.py", said)
    assert sorted(run) == sorted({suite.split()[0] for suite in suites(level)})


def test_what_a_manifest_requires_is_what_its_suites_are_called() -> None:
    for manifest in MANIFESTS:
        jobs = [suite.job for suite in manifest.suites]
        assert (manifest.required or jobs) == jobs


@pytest.mark.parametrize("level", LEVELS)
def test_a_run_is_only_cancelled_where_it_is_a_pull_requests(fresh: AtLevel, level: int) -> None:
    for file, workflow in graph.read(fresh(level).folder).items():
        for where in (workflow, *workflow["jobs"].values()):
            cancels = where.get("concurrency", {}).get("cancel-in-progress", False)
            assert cancels is False or cancels == "${{ github.event_name == 'pull_request' }}", file


@pytest.mark.parametrize("level", LEVELS)
def test_jobs_have_the_rights_that_they_need_and_one_uv(fresh: AtLevel, level: int) -> None:
    [pinned] = re.findall(r'^PINNED = "(.*)"$', fresh(level).read("ci/uv.py"), re.MULTILINE)
    written = {"images": {"packages"}, "weekly": {"issues"}}
    for file, workflow in graph.read(fresh(level).folder).items():
        assert workflow["permissions"] == {}, file
        assert workflow["name"] in (workflow["name"].capitalize(), "quality"), "one spelling of names"
        for name, job in workflow["jobs"].items():
            writes = {right for right, how in job["permissions"].items() if how != "read"}
            assert writes == written.get(name, set()), f"{file}: {name}"
            for step in job["steps"]:
                if "setup-uv" in step.get("uses", ""):
                    assert step["with"]["version"] == pinned, f"{file}: {name}"


def test_a_deployment_is_given_more_time_than_its_deadlines_take_together(fresh: AtLevel) -> None:
    """Else GitHub ends it within seconds, which is too short for the way back."""
    project = fresh(2)
    rules = project.read("ci/deploy/settings.py").split("class Rules:")[1].split("def rules")[0]
    seconds = {name: int(number) for name, number in re.findall(r"(\w+)_seconds: int = (\d+)", rules)}
    assert set(seconds) == {"release", "gate", "gate_smoke"}
    # Web services and workers start, are checked, and go back in as long; five minutes are for the images.
    longest = sum(seconds.values()) + 8 * seconds["gate"] + 300
    assert graph.read(project.folder)[STAGING]["jobs"]["deploy"]["timeout-minutes"] * 60 > longest


def test_no_job_is_there_only_to_read_a_flag(fresh: AtLevel) -> None:
    for workflow in graph.read(fresh(4).folder).values():
        for name, job in workflow["jobs"].items():
            assert not [step for step in job["steps"] if "flags" in step.get("run", "")], name
