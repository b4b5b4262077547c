"""From a push to staging's answer, by the workflow file itself: for what is well, and for each way to fail."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.act import Job, run_workflow
from tests.support.engine import Target
from tests.support.projects import Project, git
from tests.support.proofs import Machine, fresh_machine
from tests.support.servers import free_port

pytestmark = pytest.mark.proof


@dataclass
class Staging:
    """A project whose pushes are released on a host."""

    project: Project
    machine: Machine
    target: Target
    folder: Path
    port: int
    runs: int = 0

    def push(self) -> tuple[str, dict[str, Job]]:
        """Commit all that stands there, and run the workflow of the push; gives the commit, and what came of each job."""
        version = git(self.project.commit().folder, "rev-parse", "HEAD").strip()
        self.runs += 1
        programs = f"{self.target.engine.programs}:{self.machine.path}"
        jobs = run_workflow(
            self.project.folder,
            "staging-deploy.yml",
            self.folder / f"act-{self.runs}",
            {**self.machine.environment(uv=True), **self.target.docker, "PATH": programs},
            repository=self.project.answers()["repository"] or "someone/shop",
            secrets={
                "GITHUB_TOKEN": "a-token",
                "REGISTRY_PASSWORD": "a-password",
                "STAGING_SSH_KEY": self.target.ssh.key,
                "STAGING_KNOWN_HOSTS": self.target.ssh.known_hosts,
                "STAGING_ENV": f"API_PORT={self.port}\n",
            },
            variables={"STAGING_HOST": self.target.ssh.address, "REGISTRY_USERNAME": "someone"},
        )
        return version, jobs

    def answer(self) -> tuple[str, str]:
        """The version that staging answers with, and the number of the release that the proxy sends to."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/-/health", timeout=5) as answer:
            return json.load(answer)["version"], answer.headers["X-Release"]


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory, template: Path, target: Target) -> Staging:
    target.clear()
    folder = tmp_path_factory.mktemp("staging")
    project = Project(folder / "shop", template)
    target.engine.python(
        project.copy("v1.0.0", level=2, image_registry=target.registry.name).answers()["python_version"]
    )
    target.engine.traefik("traefik:v3.7")
    git(project.folder, "branch", "--move", "main")
    project.replace("config/deploy.toml", "seconds = 60 ", "seconds = 15 ")
    machine = fresh_machine(tmp_path_factory)
    machine.run("make install", project.folder)  # makes uv.lock
    return Staging(project, machine, target, folder, free_port())


def ends(jobs: dict[str, Job]) -> dict[str, str]:
    """How each job ended, without the one that says what is missing."""
    assert jobs["not-set-up"].conclusion == "skipped"
    return {name: job.conclusion for name, job in jobs.items() if name != "not-set-up"}


def test_a_push_goes_to_staging_and_a_bad_one_leaves_it_as_it_was(staging: Staging) -> None:
    good, jobs = staging.push()
    shown = "\n".join(f"{name}: {job.log[-3000:]} {job.notices}" for name, job in jobs.items())
    assert ends(jobs) == dict.fromkeys(("check", "integration", "images", "deploy"), "success"), shown
    assert staging.answer() == (good, "1")
    built = json.loads(jobs["images"].outputs["images"]["builds"])
    assert built["api"].startswith("sha256:") and f'"{built["api"]}"' in staging.target.ssh.sh(
        "cat deploy/shop-staging/releases/1/release.json"
    ), "what was built is what was released"
    assert "2 passed" in jobs["deploy"].log, "the smoke tests"

    # It starts in the pull request, and not where it is deployed to.
    project, app = staging.project, "services/api/app.py"
    before = project.read(app)
    raises = '    if os.getenv("ENVIRONMENT") == "staging":\n        raise RuntimeError("nothing is here")\n'
    project.replace(app, "    set_up_logs()\n", f"    set_up_logs()\n{raises}")
    _, jobs = staging.push()
    assert ends(jobs) == {
        "check": "success",
        "integration": "success",
        "images": "success",
        "deploy": "failure",
    }
    assert "RuntimeError: nothing is here" in jobs["deploy"].log
    assert f"release 1 ({good}) is back" in jobs["deploy"].log
    assert staging.answer() == (good, "1")

    project.write(app, before)
    project.write("tests/unit/test_wrong.py", "def test_wrong() -> None:\n    assert 1 == 2\n")
    wrong, jobs = staging.push()
    assert ends(jobs) == {
        "check": "failure",
        "integration": "success",
        "images": "skipped",
        "deploy": "skipped",
    }
    assert staging.answer() == (good, "1")
    tags = f"http://{staging.target.registry.name}/v2/someone/shop/api/tags/list"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(tags, timeout=5) as answer:
        assert good in (there := json.load(answer)["tags"]) and wrong not in there, "no image was built"
