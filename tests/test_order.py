"""The order of deployments: a workflow deploys the tip of its branch only, and going back is asked for, said
and written down.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.projects import ROOT, Project, git
from tests.support.stand_ins import StandIns
from tests.test_deploy import STAGING, Shop

AtLevel = Callable[..., Project]
COMPOSE = (ROOT / "levels/2-automated/ci/deploy/compose.py").read_text(encoding="utf-8")
HEALTH = re.findall(r'^HEALTH = "(.*)"$', COMPOSE, re.MULTILINE)[0]
ASK = re.findall(r'^ASK = """(.*?)"""$', COMPOSE, re.MULTILINE | re.DOTALL)[0]


class Pushed(Shop):
    """A shop whose branch stands in a bare repository, and whose checkout stands at a commit as a runner's
    does.
    """

    def __init__(self, project: Project, host: StandIns, bare: Path) -> None:
        super().__init__(project, host)
        git(self.folder, "branch", "-M", "main")
        self.bare, self.first = bare, self.head()
        git(bare.parent, "init", "--quiet", "--bare", str(bare))
        git(self.folder, "remote", "add", "origin", str(bare))
        self.push()

    def push(self, *options: str) -> str:
        git(self.folder, "push", "--quiet", *options, "origin", "HEAD:refs/heads/main")
        return self.head()

    def newer(self) -> str:
        """Push another commit, while the checkout stays where it was; returns the new one."""
        here = self.head()
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", "newer")
        pushed = self.push()
        git(self.folder, "checkout", "--quiet", "--detach", here)
        return pushed

    def workflow(self, *command: str, **env: str) -> tuple[int, str, str, str]:
        """Run the deploy as a workflow of a push does; gives exit code, output, errors, and what the step's
        outputs are.
        """
        output = self.folder.parent / "output"
        output.write_text("")
        given = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_OUTPUT": str(output),
            "DEPLOY_SSH_KEY": "a key",
            "DEPLOY_KNOWN_HOSTS": "a host",
            "DEPLOY_ENV_FILE": STAGING,
        }
        return *self.deploy(*command, **{**given, **env}), output.read_text()


@pytest.fixture
def pushed(at_level: AtLevel, tmp_path: Path) -> Pushed:
    return Pushed(at_level(2), StandIns(tmp_path / "stand-ins"), tmp_path / "shop.git")


def test_the_tip_of_the_branch_is_deployed(pushed: Pushed) -> None:
    code, out, errors, output = pushed.workflow("images", "staging")
    assert (code, errors) == (0, "") and output.splitlines()[-2:-1] == ["deploy=true"]
    code, out, errors, output = pushed.workflow("deploy", "staging")
    assert (code, errors, output) == (0, "", "deployed=true\n") and out.endswith(
        f"staging: release 1 runs, {pushed.first}\n"
    )


def test_an_older_commit_that_is_run_again_does_not_go_over_a_newer_one(
    pushed: Pushed, tmp_path: Path
) -> None:
    newer = pushed.newer()
    page = tmp_path / "page.md"
    for command, name in (("images", "deploy"), ("deploy", "deployed")):
        code, out, errors, output = pushed.workflow(
            command, "staging", GITHUB_STEP_SUMMARY=str(page), GITHUB_RUN_ATTEMPT="2"
        )
        assert (code, errors, output) == (0, "", f"{name}=false\n")
        reason = (
            f"Nothing was deployed to staging: main stands at {newer} by now, and this is {pushed.first}."
        )
        assert out == f"::notice::{reason}\n" and reason in page.read_text()
    assert pushed.host.log() == [], "neither an image nor the host was touched"


def test_a_branch_that_moves_on_while_images_are_built_is_seen(pushed: Pushed) -> None:
    """Docker's stand-in pushes a commit, as a colleague may while the build takes its time."""
    docker = pushed.host.bin / "docker"
    git(pushed.folder, "commit", "--quiet", "--allow-empty", "--message", "newer")
    newer = pushed.head()
    git(pushed.folder, "checkout", "--quiet", "--detach", pushed.first)
    push = f"git -C '{pushed.folder}' push --quiet origin {newer}:refs/heads/main"
    docker.write_text(docker.read_text().replace("exec ", f'[ "$2" != build ] || {push}\nexec '))
    pushed.host.trouble(missing=[pushed.first])
    code, out, _, output = pushed.workflow("images", "staging")
    assert code == 0 and output.startswith("deploy=true\ndeploy=false\n"), "the last one holds"
    assert newer in out


def test_a_branch_that_moves_on_between_images_and_deployment_is_seen(pushed: Pushed) -> None:
    assert "deploy=false" not in pushed.workflow("images", "staging")[3]
    pushed.newer()
    code, out, _, output = pushed.workflow("deploy", "staging")
    assert (code, output) == (0, "deployed=false\n") and "main stands at" in out
    assert [call for call in pushed.host.log() if call["program"] == "ssh"] == []


def test_a_branch_that_is_gone_is_not_deployed(pushed: Pushed) -> None:
    git(pushed.bare, "update-ref", "-d", "refs/heads/main")
    code, out, _, output = pushed.workflow("deploy", "staging")
    assert (code, output) == (0, "deployed=false\n") and "the branch main is gone" in out


def test_a_branch_of_a_similar_name_is_not_taken_for_it(pushed: Pushed) -> None:
    git(pushed.folder, "push", "--quiet", "origin", "HEAD:refs/heads/x/refs/heads/main")
    newer = pushed.newer()
    _, out, _, output = pushed.workflow("deploy", "staging")
    assert output == "deployed=false\n" and newer in out


def test_a_tag_is_no_tip_of_a_branch(pushed: Pushed) -> None:
    code, out, _, output = pushed.workflow(
        "deploy", "staging", GITHUB_EVENT_NAME="workflow_dispatch", GITHUB_REF="refs/tags/v1"
    )
    assert (code, output) == (0, "deployed=false\n") and "this is refs/tags/v1" in out


def test_a_run_by_hand_of_the_workflow_for_an_old_commit_deploys_nothing(pushed: Pushed) -> None:
    pushed.newer()
    _, out, _, output = pushed.workflow("images", "staging", GITHUB_EVENT_NAME="workflow_dispatch")
    assert output == "deploy=false\n" and "main stands at" in out


def test_where_it_cannot_be_told_nothing_is_deployed_and_the_reason_is_said(pushed: Pushed) -> None:
    git(pushed.folder, "remote", "set-url", "origin", str(pushed.bare) + "-moved")
    for command in ("images", "deploy"):
        code, out, errors, output = pushed.workflow(command, "staging")
        assert (code, out, output) == (1, "", "")
        assert errors.startswith(
            "nothing was deployed: whether this is the tip of main can't be told: git ls-remote: "
        )
        assert errors.count("\n") == 1
    assert pushed.host.log() == []


def test_the_token_reaches_git_by_the_environment_and_for_its_server_alone(pushed: Pushed) -> None:
    seen = pushed.folder.parent / "seen"
    script = pushed.host.bin / "git"
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    script.write_text(
        f'#!/bin/sh\n[ "$1" != ls-remote ] || {{ echo "$@"; env | grep ^GIT_CONFIG; }} > {seen}\nexec {real}'
        ' "$@"\n'
    )
    script.chmod(0o755)
    code, out, errors, _ = pushed.workflow(
        "deploy", "staging", GITHUB_TOKEN="t0ken", GITHUB_SERVER_URL="https://github.example.org"
    )
    assert code == 0, errors
    arguments, *environment = seen.read_text().splitlines()
    assert arguments == "ls-remote origin refs/heads/main" and "t0ken" not in out + errors
    assert {line.partition("=")[2] for line in environment if "_KEY_" in line} == {
        "http.https://github.example.org/.extraheader"
    }
    values = sorted(line.partition("=")[2] for line in environment if "_VALUE_" in line)
    assert values == [
        "",
        "Authorization: basic eC1hY2Nlc3MtdG9rZW46dDBrZW4=",
    ], "and what the checkout left is forgotten first"


def test_a_person_may_deploy_what_no_branch_stands_at(pushed: Pushed) -> None:
    pushed.newer()
    assert pushed.deploy("deploy", "staging")[0] == 0
    assert pushed.host.json("releases/1/release.json")["builds"][0]["version"] == pushed.first


# Going back


def test_an_older_commit_goes_over_a_newer_one_only_where_it_is_asked_for(pushed: Pushed) -> None:
    newer = pushed.newer()
    git(pushed.folder, "checkout", "--quiet", newer)
    pushed.started(newer)
    git(pushed.folder, "checkout", "--quiet", pushed.first)
    code, out, errors = pushed.deploy("deploy", "staging")
    assert (code, out) == (2, "") and errors.count("\n") == 1
    assert errors == (
        f"{pushed.first} is older than {newer}, which runs: `git pull`; or to go back `make rollback"
        f" ENV=staging`, or VERSION={pushed.first}\n"
    )
    assert pushed.host.words("good") == ["1"] and len(pushed.deployment_log()) == 1

    code, out, _ = pushed.deploy("deploy", "staging", "--version", pushed.first)
    note = f"back from {newer}, which is newer"
    assert code == 0 and out.endswith(f"staging: release 2 runs, {pushed.first} ({note})\n")
    assert pushed.deployment_log()[-1]["note"] == note
    code, out, _ = pushed.deploy("deploy", "staging", "--version", newer)
    assert code == 0 and "back from" not in out and "note" not in pushed.deployment_log()[-1]


def test_a_workflow_goes_back_where_it_is_asked_to(pushed: Pushed) -> None:
    """By a job of the person's own: `make deploy VERSION=…` and `make rollback` say which."""
    newer = pushed.newer()
    pushed.started(pushed.first, newer)
    code, _, errors, _ = pushed.workflow("deploy", "staging", "--version", pushed.first)
    assert code == 0, errors
    assert pushed.workflow("rollback", "staging")[0] == 0
    said = pushed.deploy("status", "staging")
    assert said[0] == 0 and said[1].endswith(f"api: healthy, version {newer}\n")
    assert pushed.host.words("good") == ["1", "2"]


# What a deployment asks a service


@contextmanager
def answering(**said: tuple[int, str]) -> Iterator[int]:
    """A service that answers these paths (`own` is /health, `ours` below /-/); yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, text = said["ours" if self.path in ("/-/health", "/-/readiness") else "own"]
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def ask(port: int, script: str = ASK, **env: str) -> subprocess.CompletedProcess[str]:
    """Run what a container is asked by, as it does there; for half a second."""
    command = [sys.executable, "-c", script.replace(":8000", f":{port}"), "0.5"]
    outside = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(command, env={**outside, **env}, capture_output=True, text=True, check=False)


WELL = '{"status": "healthy", "version": "one"}'


PROXIES = {
    "none": {},
    "http_proxy": {"http_proxy": "http://127.0.0.1:9"},
    "HTTP_PROXY with exceptions": {"HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": "example.org"},
    "all_proxy": {"all_proxy": "socks5://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"},
}


@pytest.mark.parametrize("proxies", PROXIES.values(), ids=PROXIES)
def test_no_proxy_is_asked_for_the_health_of_a_container(proxies: dict[str, str]) -> None:
    with answering(ours=(200, WELL)) as port:
        assert json.loads(ask(port, **proxies).stdout) == [[200, WELL]] * 2
        assert ask(port, HEALTH, **proxies).returncode == 0


@pytest.mark.parametrize("proxies", PROXIES.values(), ids=PROXIES)
def test_no_proxy_is_asked_by_the_health_check_of_the_image(proxies: dict[str, str]) -> None:
    dockerfile = (ROOT / "levels/1-basic/Dockerfile.jinja").read_text(encoding="utf-8").replace("\\\n", "")
    command = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", dockerfile, re.MULTILINE)
    assert command is not None
    python, *arguments = json.loads(command[1])
    assert python == "python"
    outside = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with answering(ours=(200, WELL)) as port:
        env = {**outside, **proxies, "PORT": str(port)}
        assert subprocess.run([sys.executable, *arguments], env=env, check=False).returncode == 0


@pytest.mark.parametrize(
    "own",
    [(200, '{"status": "ok"}'), (401, "who are you?"), (500, "")],
    ids=["another answer", "a login", "an error"],
)
def test_what_an_application_says_at_its_own_health_endpoint_fails_no_deployment(
    own: tuple[int, str],
) -> None:
    with answering(own=own, ours=(200, WELL)) as port:
        assert json.loads(ask(port).stdout) == [[200, WELL]] * 2
        assert ask(port, HEALTH).returncode == 0


def test_a_service_that_is_not_well_fails_the_check() -> None:
    with answering(ours=(503, "{}")) as port:
        assert json.loads(ask(port).stdout) == [[503, "{}"]] * 2
        assert ask(port, HEALTH).returncode != 0
    assert [code for code, _ in json.loads(ask(1).stdout)] == [0, 0], "nobody listens"
    assert ask(1, HEALTH).returncode != 0
