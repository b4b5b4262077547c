"""Deployments by make: what reaches the host, what a person is told, and the way back.

ssh and docker are stand-ins here (tests/support/stand_ins.py): scripts that log what they are given and
answer as the real ones would. So these tests show what is sent, and what is made of the answers. They can't
show that a real sshd lets us in, that a real Compose takes the file or waits as it promises, that an image
can be pulled, or that a health check in a container finds its Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extensions.evolution import deployment_log
from tests.support.projects import Project, git
from tests.support.stand_ins import StandIns

AtLevel = Callable[..., Project]
SECRET = "hunter2-is-no-password"
STAGING = f"# ours\nDEPLOY_HOST=deployer@staging.example.org:2222\n\nDATABASE_URL='postgres://u:{SECRET}@db/$x'\nLOG_LEVEL=INFO\n"


class Shop:
    """A project at level 2 whose staging is a stand-in."""

    def __init__(self, project: Project, host: StandIns) -> None:
        self.project, self.host, self.folder = project, host, project.folder
        project.replace("config/levels.json", '"repository": ""', '"repository": "Me/Shop"')
        project.commit()
        project.write("config/staging.env", STAGING)

    def run(self, *command: str, **env: str) -> tuple[int, str, str]:
        """Run a command with the stand-ins on PATH; gives exit code, output and errors."""
        ours = {
            name: value
            for name, value in os.environ.items()
            if name != "CI" and not name.startswith(("DEPLOY_", "GITHUB_", "MAKE"))
        }
        path = f"{self.host.bin}:{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**ours, "PATH": path, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def deploy(self, *arguments: str, **env: str) -> tuple[int, str, str]:
        return self.run(sys.executable, "ci/deploy.py", *arguments, **env)

    def make(self, *arguments: str) -> tuple[int, str, str]:
        return self.run("make", "-f", "levels.mk", f"PYTHON={sys.executable}", *arguments)

    def started(self, *versions: str) -> None:
        """Deploy these, one after the other; all go well."""
        for version in versions:
            code, _, errors = self.deploy("deploy", "staging", "--version", version)
            assert code == 0, errors

    def deployment_log(self) -> list[dict[str, Any]]:
        file = self.folder / deployment_log.FILE
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def head(self) -> str:
        return git(self.folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def shop(at_level: AtLevel, tmp_path: Path) -> Shop:
    return Shop(at_level(2), StandIns(tmp_path / "stand-ins"))


@pytest.fixture
def two(at_level: AtLevel, tmp_path: Path) -> Shop:
    return Shop(at_level(2, two=True), StandIns(tmp_path / "stand-ins"))


# What goes out


def test_a_deployment_starts_each_service_at_this_commit(two: Shop) -> None:
    version = two.head()
    code, out, errors = two.make("deploy", "ENV=staging")
    assert (code, errors) == (0, "")
    assert f"market-data: healthy, version {version}\ntelegram-bot: healthy, version {version}\n" in out
    assert f"staging: {version} runs\n" in out

    services = json.loads(two.host.file(f"releases/{version}.json").read_text())["services"]
    assert list(services) == ["market-data", "telegram-bot"]
    for number, (name, service) in enumerate(services.items()):
        assert service["image"] == f"ghcr.io/me/shop/{name}:{version}"
        assert service["ports"] == [f"127.0.0.1:{8000 + number}:8000"]
        assert service["env_file"] == ["app.env"] and service["restart"] == "unless-stopped"
        assert service["environment"] == {
            "ENVIRONMENT": "staging",
            "FEATURE_FLAGS": "",
            "PORT": "8000",
            "SERVICE_NAME": name,
            "SERVICE_VERSION": version,
        }
        how, python, _, line = service["healthcheck"]["test"]
        assert (how, python) == ("CMD", "python") and "/-/health" in line
        compile(line, "the health check", "exec")
    assert (two.host.words("versions"), two.host.words("current")) == ([version], [version])


def test_docker_pulls_before_it_starts_and_waits_until_all_are_healthy(shop: Shop) -> None:
    shop.started("one")
    pull, up, *rest = shop.host.docker()
    assert pull == "pull --quiet"
    assert up.startswith("up --detach --wait --wait-timeout ") and "--remove-orphans" in up
    assert [line.split(" python")[0] for line in rest] == ["config --services", "exec -T api"]


def test_the_services_get_the_settings_but_not_those_of_the_deployment(shop: Shop) -> None:
    shop.started("one")
    settings = shop.host.file("app.env")
    assert settings.read_text() == f"DATABASE_URL='postgres://u:{SECRET}@db/$x'\nLOG_LEVEL=INFO\n"
    assert settings.stat().st_mode & 0o077 == 0, "for that user only"


def test_the_host_is_known_and_nobody_is_asked_for_a_password(shop: Shop) -> None:
    shop.started("one")
    for call in shop.host.log("ssh"):
        options, destination = call["arguments"][:-3], call["arguments"][-3:-1]
        assert destination == ["--", "deployer@staging.example.org"]
        assert options[-2:] == ["-p", "2222"]
        assert {"BatchMode=yes", "StrictHostKeyChecking=yes"} <= set(options)


def test_ports_and_address_can_be_set(two: Shop) -> None:
    two.project.write("config/staging.env", STAGING + "DEPLOY_BIND=0.0.0.0\nTELEGRAM_BOT_PORT='9100'\n")
    two.started("one")
    services = json.loads(two.host.file("releases/one.json").read_text())["services"]
    assert [service["ports"] for service in services.values()] == [
        ["0.0.0.0:8000:8000"],
        ["0.0.0.0:9100:8000"],
    ]


def test_images_are_built_and_pushed_with_the_commit_as_tag(two: Shop) -> None:
    two.project.write("services/telegram_bot/Dockerfile", "FROM scratch\n")
    two.project.commit()
    version = two.head()
    assert two.make("images") == (0, "", "")
    one, other = f"ghcr.io/me/shop/market-data:{version}", f"ghcr.io/me/shop/telegram-bot:{version}"
    assert two.host.docker() == [
        f"build --tag {one} --build-arg SERVICE=services/market_data .",
        f"push {one}",
        f"build --tag {other} services/telegram_bot",
        f"push {other}",
    ]


def test_images_of_what_is_not_committed_are_not_built(shop: Shop) -> None:
    shop.project.write("services/api/new.py", "")
    code, _, errors = shop.deploy("images")
    assert (code, errors) == (
        2,
        "there are changes that are not committed: an image is tagged with its commit\n",
    )
    assert shop.host.log() == []


# A dry run


@pytest.mark.parametrize("command", ["images", "deploy", "rollback", "status"])
def test_a_dry_run_prints_what_would_be_run_and_runs_nothing(shop: Shop, command: str) -> None:
    code, out, errors = shop.make(command, "ENV=staging", "DRY_RUN=1")
    assert (code, errors) == (0, "")
    assert "+ docker build " in out if command == "images" else "+ ssh " in out
    assert SECRET not in out
    assert shop.host.log() == [] and shop.deployment_log() == []


# What is told before anything is done


def told(shop: Shop, *arguments: str, **env: str) -> str:
    """The one line that the script says; nothing was sent anywhere, and nothing written down."""
    code, out, errors = shop.deploy(*arguments, **env)
    assert (code, out, errors.count("\n")) == (2, "", 1), errors
    assert SECRET not in errors
    assert shop.host.log() == [] and shop.deployment_log() == []
    return errors


@pytest.mark.parametrize("command", ["deploy", "rollback", "status"])
def test_a_name_that_is_no_environment_is_refused(shop: Shop, command: str) -> None:
    for environment in ("../x", "prod; reboot", "", "Staging", "a" * 40):
        line = told(shop, command, environment)
        assert line == f"ENV is {environment!r}, expected the name of an environment, such as ENV=staging\n"


def test_a_shell_in_a_name_is_not_run(shop: Shop) -> None:
    for argument in (
        "ENV=staging; touch hacked",
        "ENV=`touch hacked`",
        "VERSION=1; touch hacked",
        "VERSION=../x",
    ):
        code, _, errors = shop.make("deploy", "ENV=staging", argument)
        assert code == 2 and "expected" in errors
    assert not (shop.folder / "hacked").exists() and shop.host.log() == []


def test_settings_that_are_missing_are_named_with_what_to_do(shop: Shop) -> None:
    (shop.folder / "config/staging.env").unlink()
    assert (
        told(shop, "deploy", "staging")
        == "config/staging.env is missing: copy config/staging.env.template and fill it in\n"
    )
    assert (
        told(shop, "deploy", "qa")
        == "config/qa.env is missing: copy config/staging.env.template and fill it in\n"
    )


@pytest.mark.parametrize("missing", ["ENV", "SSH_KEY", "KNOWN_HOSTS"])
def test_a_workflow_names_the_secret_that_is_missing(shop: Shop, missing: str) -> None:
    (shop.folder / "config/staging.env").unlink()
    secrets = {"DEPLOY_ENV_FILE": STAGING, "DEPLOY_SSH_KEY": "a key", "DEPLOY_KNOWN_HOSTS": "a host"}
    secrets["DEPLOY_ENV_FILE" if missing == "ENV" else f"DEPLOY_{missing}"] = ""
    assert f"the secret STAGING_{missing} is missing: docs/staging.md" in told(
        shop, "deploy", "staging", CI="true", **secrets
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("LOG_LEVEL=INFO\n", "DEPLOY_HOST is '', expected user@host or user@host:port"),
        ("DEPLOY_HOST=-oProxyCommand=reboot@x\n", "expected user@host or user@host:port"),
        (STAGING + SECRET, "config/staging.env, line 6: expected NAME=value"),
        (STAGING + "API_PORT=http\n", "config/staging.env: API_PORT is 'http', expected a number"),
    ],
    ids=["no host", "an option as host", "no value", "no port"],
)
def test_a_wrong_setting_is_told_before_the_host_is_touched(shop: Shop, settings: str, message: str) -> None:
    shop.project.write("config/staging.env", settings)
    assert message in told(shop, "deploy", "staging")


def test_settings_in_another_encoding_are_told_without_quoting_them(shop: Shop) -> None:
    (shop.folder / "config/staging.env").write_bytes(STAGING.encode("utf-16"))
    assert told(shop, "deploy", "staging") == "config/staging.env: expected UTF-8\n"


def test_without_a_repository_there_are_no_names_for_images(shop: Shop) -> None:
    shop.project.replace("config/levels.json", "Me/Shop", "")
    assert "images are named after the repository, which is empty" in told(shop, "deploy", "staging")
    code, _, errors = shop.deploy("deploy", "staging", GITHUB_REPOSITORY="Me/Shop")
    assert (code, errors) == (0, "")


# What goes wrong on the way


def test_a_version_that_does_not_become_healthy_fails_and_the_way_back_is_named(shop: Shop) -> None:
    shop.started("one")
    shop.host.trouble(sick=["two"])
    code, out, errors = shop.deploy("deploy", "staging", "--version", "two")
    assert code == 1 and "two runs" not in out
    assert errors.endswith("\nback to the version before: make rollback ENV=staging\n")
    assert "container shop-staging-api-1 is unhealthy" in errors, "docker's own words"
    assert (shop.host.words("versions"), shop.host.words("current")) == (["one"], ["two"])
    assert [(line["version"], line["outcome"]) for line in shop.deployment_log()] == [
        ("one", "success"),
        ("two", "failure"),
    ]

    code, out, _ = shop.make("rollback", "ENV=staging")
    assert code == 0 and out.endswith("staging: one runs\n")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('{"status": "healthy", "version": "zero"}', "api answers as version zero"),
        ('{"status": "sick", "version": "one"}', "api is not healthy (sick)"),
        ("<h1>It works!</h1>", "api is not healthy (no answer)"),
        ('"ok"', "api is not healthy (no answer)"),
        ("", "api is not healthy (no answer)"),
    ],
    ids=["another version", "not healthy", "no JSON", "no object", "nothing"],
)
def test_a_service_that_answers_wrongly_fails_the_deployment(shop: Shop, answer: str, message: str) -> None:
    shop.host.trouble(answers={"api": answer})
    code, _, errors = shop.deploy("deploy", "staging", "--version", "one")
    assert code == 1 and f"one was started, but {message}" in errors
    assert shop.host.words("versions") == [], "it didn't run well"


def test_without_images_the_old_version_goes_on_running(shop: Shop) -> None:
    shop.started("one")
    shop.host.trouble(missing=["two"])
    code, _, errors = shop.deploy("deploy", "staging", "--version", "two")
    assert code == 1 and "are the images there? `make images` pushes those of this commit" in errors
    assert "rollback" not in errors and len(shop.deployment_log()) == 1, "nothing has changed"
    assert (shop.host.words("versions"), shop.host.words("current")) == (["one"], ["one"])
    assert shop.deploy("status", "staging")[:2] == (0, "api: healthy, version one\n")


@pytest.mark.parametrize("command", ["deploy", "rollback", "status"])
def test_a_host_that_is_not_reached_is_an_error(shop: Shop, command: str) -> None:
    shop.host.trouble(unreachable=True)
    code, _, errors = shop.deploy(command, "staging")
    assert code == 1 and "Connection refused\nfailed with exit code 255: ssh " in errors
    assert shop.deployment_log() == []


# The way back, and how it is


def test_each_rollback_goes_one_good_version_further_back(shop: Shop) -> None:
    shop.started("one", "two", "two", "three")
    for version in ("two", "one"):
        code, out, _ = shop.deploy("rollback", "staging")
        assert (code, out.splitlines()[0]) == (0, f"api: healthy, version {version}")
        assert out.endswith(f"staging: {version} runs\n")
    code, _, errors = shop.deploy("rollback", "staging")
    assert (code, errors) == (1, "no earlier version has run there\n")
    assert shop.deploy("status", "staging")[:2] == (0, "api: healthy, version one\n")


def test_a_rollback_that_fails_does_not_lead_back_to_the_version_that_was_left(shop: Shop) -> None:
    shop.started("one", "two", "three")
    shop.host.trouble(sick=["two"])
    code, _, errors = shop.deploy("rollback", "staging")
    assert code == 1 and errors.endswith("\nback to the version before: make rollback ENV=staging\n")
    code, out, _ = shop.deploy("rollback", "staging")
    assert code == 0 and out.endswith("staging: one runs\n")
    lines = [(line["kind"], line["version"], line["outcome"]) for line in shop.deployment_log()]
    assert lines[3:] == [("rollback", "two", "failure"), ("rollback", "one", "success")]


def test_after_a_rollback_deployments_go_on(shop: Shop) -> None:
    shop.started("one", "two")
    shop.deploy("rollback", "staging")
    shop.started("three")
    assert shop.host.words("versions") == ["one", "three"]


def test_status_says_how_each_service_is(two: Shop) -> None:
    code, _, errors = two.make("status", "ENV=staging")
    # 2 says make; the script says 1.
    assert code == 2 and errors.startswith("nothing has been deployed there\n")
    two.started("one")
    assert two.make("status", "ENV=staging") == (
        0,
        "market-data: healthy, version one\ntelegram-bot: healthy, version one\n",
        "",
    )
    two.host.trouble(answers={"telegram-bot": "{}"})
    code, out, errors = two.deploy("status", "staging")
    assert code == 1 and "market-data: healthy, version one\n" in out
    assert errors == "telegram-bot is not healthy (None)\n"


# The deployment log


def test_a_deployment_by_a_person_is_written_down_as_the_levels_command_does(shop: Shop) -> None:
    shop.started("one", "two")
    code, out, _ = shop.deploy("rollback", "staging")
    assert code == 0 and "written to config/deploys.jsonl: commit it\n" in out
    deployment_log.record(shop.folder, "deploy", "staging", None, "success", "")
    deployment_log.record(shop.folder, "rollback", "staging", None, "success", "")
    _, deployed, rolled_back, plain, back = shop.deployment_log()
    assert list(deployed) == list(plain) and {**deployed, "at": ""} == {**plain, "version": "two", "at": ""}
    assert {**rolled_back, "at": ""} == {**back, "version": "one", "at": ""} and back["kind"] == "rollback"
    assert len(deployed["at"]) == len(plain["at"]) and deployed["at"][-1] == "Z"
    assert deployment_log.read(shop.folder, time.time() + 60).left_out == ()


def test_a_workflow_writes_no_deployment_log(shop: Shop) -> None:
    code, out, _ = shop.deploy(
        "deploy", "staging", CI="true", DEPLOY_SSH_KEY="a key", DEPLOY_KNOWN_HOSTS="a host"
    )
    assert code == 0 and "deploys.jsonl" not in out
    assert shop.deployment_log() == [] and git(shop.folder, "status", "--porcelain") == ""


# Secrets


@pytest.mark.parametrize(
    "trouble",
    [{}, {"sick": ["one"]}, {"missing": ["one"]}, {"answers": {"api": "no"}}],
    ids=lambda t: "".join(t) or "well",
)
def test_secrets_are_neither_printed_nor_given_as_arguments(
    shop: Shop, tmp_path: Path, trouble: dict[str, Any]
) -> None:
    """Arguments can be seen by everybody on a machine."""
    (shop.folder / "config/staging.env").unlink()
    (tmp_path / "tmp").mkdir()
    shop.host.trouble(**trouble)
    env = {
        "CI": "true",
        "DEPLOY_HOST": "deployer@staging.example.org",
        "DEPLOY_ENV_FILE": STAGING,
        "DEPLOY_SSH_KEY": f"-----BEGIN KEY-----\n{SECRET}\n-----END KEY-----",
        "DEPLOY_KNOWN_HOSTS": f"staging.example.org ssh-ed25519 {SECRET}",
        "TMPDIR": str(tmp_path / "tmp"),
    }
    for command in (
        ["deploy", "staging", "--version", "one"],
        ["status", "staging"],
        ["rollback", "staging"],
    ):
        _, out, errors = shop.deploy(*command, **env)
        assert SECRET not in out + errors
    log = shop.host.log()
    assert log and not [call for call in log if SECRET in " ".join(call["arguments"])]
    assert SECRET in "".join(call["input"] for call in log), "that is how they get there"
    assert all("-i" in call["arguments"] for call in log if call["program"] == "ssh"), (
        "the key of the workflow is used"
    )
    assert list((tmp_path / "tmp").iterdir()) == [], "the key is gone"


def test_git_and_images_do_not_take_up_the_settings(shop: Shop) -> None:
    assert git(shop.folder, "status", "--porcelain", "--untracked-files=all") == ""
    assert "config/*.env" in shop.project.read(".dockerignore").splitlines()
