"""Rendered workflows run here, by act, and what came of them is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.act import Job, run_workflow
from tests.support.engine import Target
from tests.support.projects import Project, git
from tests.support.proofs import answers, fresh_machine
from tests.support.servers import free_port

pytestmark = pytest.mark.proof

# Every way that a job can end, and what a step has of secrets, variables, outputs and the repository.
WORKFLOW = """
on: [push]
jobs:
  first:
    name: The first
    runs-on: ubuntu-24.04
    outputs:
      word: ${{ steps.say.outputs.word }}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
      - id: say
        env:
          TOLD: ${{ secrets.TOLD }}
          KEY: ${{ secrets.KEY }}
        run: |
          echo "word=${{ vars.WORD }}" >> "$GITHUB_OUTPUT"
          echo "# Done" >> "$GITHUB_STEP_SUMMARY"
          echo "::notice title=A title::A text"
          echo "told $TOLD and ${#KEY} characters, untold <$UNTOLD>, $GITHUB_REPOSITORY, $(git ls-remote origin main), $(ls)"
  fails:
    needs: first
    runs-on: ubuntu-24.04
    steps:
      - name: Fail
        run: echo "word ${{ needs.first.outputs.word }}"; exit 3
      - name: Never
        run: echo never
  waits:
    needs: fails
    runs-on: ubuntu-24.04
    steps:
      - run: echo never
  tells:
    needs: fails
    if: failure()
    runs-on: ubuntu-24.04
    steps:
      - run: echo told
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    return {"HOME": str(tmp_path / "home"), "PATH": "/usr/local/bin:/usr/bin:/bin"}


def test_each_end_of_a_job_is_told(project: Project, tmp_path: Path, environment: dict[str, str]) -> None:
    project.write(".github/workflows/all.yml", WORKFLOW)
    project.write("here.txt", "")
    git(project.folder, "init", "--quiet", "--initial-branch", "main")
    tip = git(project.commit().folder, "rev-parse", "HEAD").strip()
    project.write("not-committed.txt", "")
    jobs = run_workflow(
        project.folder,
        "all.yml",
        tmp_path / "act",
        environment,
        secrets={"TOLD": "hunter2", "KEY": 'a "b"\n$c d\n', "UNTOLD": "hunter3"},
        variables={"WORD": "plain"},
    )
    assert {name: job.conclusion for name, job in jobs.items()} == {
        "first": "success",
        "fails": "failure",
        "waits": "skipped",
        "tells": "success",
    }
    first = jobs["first"]
    assert first.outputs == {"say": {"word": "plain"}} and first.summary == "# Done\n"
    assert first.notices == ["notice: A title: A text"]
    assert "told *** and 11 characters, untold <>, someone/shop, " in first.log
    assert tip in first.log and "here.txt" in first.log and "not-committed" not in first.log
    assert jobs["fails"] == Job("failure", steps={"Fail": "failure"}, log="word plain\n")


def test_an_action_without_a_stand_in_is_named(
    project: Project, tmp_path: Path, environment: dict[str, str]
) -> None:
    project.write(".github/workflows/all.yml", WORKFLOW.replace("actions/checkout@", "someone/unknown@"))
    git(project.folder, "init", "--quiet", "--initial-branch", "main")
    project.commit()
    with pytest.raises(AssertionError, match=r"someone/unknown@3d3c42e5.*: it has no stand-in"):
        run_workflow(project.folder, "all.yml", tmp_path / "act", environment)


def test_where_staging_is_not_set_up_the_workflow_says_what_to_set(
    project: Project, tmp_path: Path, environment: dict[str, str]
) -> None:
    project.copy("v1.0.0", level=2)
    run = (project.folder, "staging-deploy.yml", tmp_path / "act", environment)
    jobs = run_workflow(*run, only="not-set-up")
    assert {name for name, job in jobs.items() if job.conclusion == "success"} == {"not-set-up"}
    (notice,) = jobs["not-set-up"].notices
    assert notice.startswith("notice: Staging is not set up: ") and "STAGING_HOST" in notice
    shutil.rmtree(tmp_path / "act")
    jobs = run_workflow(*run, only="not-set-up", variables={"STAGING_HOST": "root@127.0.0.1:22"})
    assert {job.conclusion for job in jobs.values()} == {"skipped"}


def test_a_push_is_on_staging_by_the_workflow_itself(
    project: Project, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, target: Target
) -> None:
    machine, port = fresh_machine(tmp_path_factory), free_port()
    project.copy("v1.0.0", level=2, image_registry=target.registry.name)
    target.engine.python(project.answers()["python_version"])
    git(project.folder, "branch", "--move", "main")
    machine.run("make install", project.folder)  # makes uv.lock
    version = git(project.commit("uv.lock").folder, "rev-parse", "HEAD").strip()
    jobs = run_workflow(
        project.folder,
        "staging-deploy.yml",
        tmp_path / "act",
        {**machine.environment(uv=True), **target.docker, "PATH": f"{target.engine.programs}:{machine.path}"},
        repository=project.answers()["repository"] or "someone/shop",
        secrets={
            "GITHUB_TOKEN": "a-token",
            "REGISTRY_PASSWORD": "any-will-do",
            "STAGING_SSH_KEY": target.ssh.key,
            "STAGING_KNOWN_HOSTS": target.ssh.known_hosts,
            "STAGING_ENV": f"API_PORT={port}\n",
        },
        variables={"STAGING_HOST": target.ssh.address, "REGISTRY_USERNAME": "someone"},
    )
    logs = "\n".join(f"{name}: {job.log[-3000:]} {job.notices}" for name, job in jobs.items())
    assert {name: job.conclusion for name, job in jobs.items()} == {
        "check": "success",
        "integration": "success",
        "images": "success",
        "deploy": "success",
        "not-set-up": "skipped",
    }, logs
    assert json.loads(answers(f"http://127.0.0.1:{port}/-/health"))["version"] == version
