"""Deployments by make: what reaches the host and in which order, what a person is told, and the way back.

ssh and docker are stand-ins here (tests/support/stand_ins.py): scripts that log what they are given and
answer as the real ones would. What only a real sshd, engine and proxy can show is proven in tests/proof.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extensions.evolution import deployment_log
from tests.support.projects import Project, git
from tests.support.stand_ins import StandIns, digest

AtLevel = Callable[..., Project]
SECRET = "hunter2-is-no-password"
STAGING = f"# ours\nDEPLOY_HOST=deployer@staging.example.org:2222\n\nDATABASE_URL='postgres://u:{SECRET}@db/$x'\nLOG_LEVEL=INFO\n"
STEPS = (
    "settle prepare listen pull back-up release-command start ready workers traffic smoke keep drain prune"
)


class Shop:
    """A project at level 2 whose staging is a stand-in."""

    def __init__(self, project: Project, host: StandIns) -> None:
        self.project, self.host, self.folder = project, host, project.folder
        project.replace("config/levels.json", '"repository": ""', '"repository": "Me/Shop"')
        project.commit()
        project.write("config/staging.env", STAGING)
        # What runs the smoke tests: it writes down what it is given, and fails where the folder has a file `broken`.
        python = self.folder / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\necho "$SMOKE_URLS" "$@" > .venv/asked\n! [ -e .venv/broken ]\n')
        python.chmod(0o755)
        (self.folder / ".venv/.installed").touch()

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
        return self.run(sys.executable, "-P", "-m", "deploy", *arguments, **{"PYTHONPATH": "ci", **env})

    def make(self, *arguments: str) -> tuple[int, str, str]:
        return self.run("make", "-f", "levels.mk", f"PYTHON={sys.executable}", *arguments)

    def started(self, *versions: str) -> None:
        """Deploy these, one after the other; all go well."""
        for version in versions:
            code, _, errors = self.deploy("deploy", "staging", "--version", version)
            assert code == 0, errors

    def fails(self, version: str, **trouble: Any) -> tuple[str, str]:
        """Deploy a version that goes wrong on the way; gives output and errors."""
        self.host.trouble(**trouble)
        code, out, errors = self.deploy("deploy", "staging", "--version", version)
        assert code == 1, errors
        self.host.trouble()
        return out, errors

    def told(self, *arguments: str, **env: str) -> str:
        """The one line that the script says; the host was not changed, and nothing written down."""
        code, out, errors = self.deploy(*arguments, **env)
        assert (code, out, errors.count("\n")) == (2, "", 1), out + errors
        assert SECRET not in errors
        assert self.host.log("ssh") == [] and self.deployment_log() == []
        return errors

    def recorded(self) -> list[dict[str, Any]]:
        """The record on the host."""
        return [json.loads(line) for line in self.host.file("log.jsonl").read_text().splitlines()]

    def deployment_log(self) -> list[dict[str, Any]]:
        file = self.folder / deployment_log.FILE
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def proxy(self, name: str) -> Any:
        """A file of the proxy on the host."""
        return json.loads((self.host.host / "deploy/proxy" / name).read_text())

    def head(self) -> str:
        return git(self.folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def shop(at_level: AtLevel, tmp_path: Path) -> Shop:
    return Shop(at_level(2), StandIns(tmp_path / "stand-ins"))


@pytest.fixture
def two(at_level: AtLevel, tmp_path: Path) -> Shop:
    return Shop(at_level(2, two=True), StandIns(tmp_path / "stand-ins"))


def reference(service: str, version: str) -> str:
    """What docker is told to run."""
    name = f"ghcr.io/me/shop/{service}"
    return f"{name}@{digest(f'{name}:{version}')}"


# What goes out


def test_a_deployment_starts_each_service_at_this_commit(two: Shop) -> None:
    version = two.head()
    code, out, errors = two.make("deploy", "ENV=staging")
    assert (code, errors) == (0, "")
    assert f"market-data: healthy, version {version}\n" in out
    assert f"telegram-bot: healthy, version {version}\n" in out
    assert out.endswith(f"staging: release 1 runs, {version}\n")
    steps = [line.partition(":")[0] for line in out.splitlines() if line.partition(":")[0] in STEPS.split()]
    assert " ".join(steps) == STEPS

    services = two.host.json("releases/1/compose.json")["services"]
    assert list(services) == ["market-data", "telegram-bot"]
    for name, service in services.items():
        assert service["image"] == reference(name, version)
        assert service["env_file"] == ["settings/1.env"] and "ports" not in service
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
    assert services["market-data"]["networks"]["deploy-proxy"] == {"aliases": ["shop-staging-1-market-data"]}
    assert "deploy-proxy" not in services["telegram-bot"]["networks"]
    assert two.host.running() == {
        "deploy-proxy": ["traefik"],
        "shop-staging-1": ["market-data", "telegram-bot"],
    }
    assert (two.host.words("good"), two.host.words("serving")) == (["1"], ["1"])


def test_a_release_holds_what_it_is_made_of_but_no_value_of_a_setting(shop: Shop) -> None:
    shop.started("one")
    release = shop.host.json("releases/1/release.json")
    name = "ghcr.io/me/shop/api"
    build = {
        "service": "api",
        "kind": "web",
        "image": name,
        "version": "one",
        "digest": digest(f"{name}:one"),
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", release.pop("at"))
    assert release == {
        "number": 1,
        "environment": "staging",
        "builds": [build],
        "settings": 1,
        "flags": "",
        "by": "A Tester",
    }


def test_web_services_start_beside_the_old_ones_and_workers_after_them(two: Shop) -> None:
    two.started("one", "two")
    assert two.host.compose("up", "stop", "down")[-4:] == [
        "shop-staging-2 up --detach --no-deps --wait --wait-timeout 60 market-data",
        "shop-staging-1 stop telegram-bot",
        "shop-staging-2 up --detach --no-deps --wait --wait-timeout 60 telegram-bot",
        "shop-staging-1 down --remove-orphans",
    ]


def test_a_worker_of_which_two_may_run_starts_beside_the_old_one(two: Shop) -> None:
    two.project.write(
        "config/deploy.toml",
        "[service.telegram-bot]\noverlap = true\nstop_seconds = 7\n[gate]\nseconds = 5\n",
    )
    two.started("one", "two")
    assert two.host.compose("up", "stop")[-1] == (
        "shop-staging-2 up --detach --no-deps --wait --wait-timeout 5 market-data telegram-bot"
    )
    services = two.host.json("releases/2/compose.json")["services"]
    assert [service["stop_grace_period"] for service in services.values()] == ["40s", "7s"]


def test_the_services_get_the_settings_but_not_those_of_the_deployment(shop: Shop) -> None:
    shop.started("one")
    settings = shop.host.file("settings/1.env")
    assert settings.read_text() == f"DATABASE_URL='postgres://u:{SECRET}@db/$x'\nLOG_LEVEL=INFO\n"
    assert settings.stat().st_mode & 0o077 == 0, "for that user only"


def test_settings_that_are_the_same_are_no_new_revision(shop: Shop) -> None:
    shop.started("one", "two")
    shop.project.write("config/staging.env", STAGING + "NEW=1\n")
    shop.started("three")
    used = [shop.host.json(f"releases/{number}/release.json")["settings"] for number in (1, 2, 3)]
    assert used == [1, 1, 3]
    assert sorted(file.name for file in shop.host.file("settings").iterdir()) == ["1.env", "3.env"]


def test_the_host_is_known_and_nobody_is_asked_for_a_password(shop: Shop) -> None:
    shop.started("one")
    for call in (one for one in shop.host.log("ssh") if "-O" not in one["arguments"]):
        options, destination = call["arguments"][:-3], call["arguments"][-3:-1]
        assert destination == ["--", "deployer@staging.example.org"]
        assert options[-2:] == ["-p", "2222"]
        assert {"BatchMode=yes", "StrictHostKeyChecking=yes"} <= set(options)


# The proxy


def test_the_proxy_sends_requests_to_the_release_and_says_which_it_is(two: Shop) -> None:
    two.started("one", "two")
    needs = two.proxy("listens/shop-staging.json")["services"]["traefik"]
    assert needs["ports"] == ["127.0.0.1:8000:8000"], "the worker needs none"
    assert needs["environment"]["TRAEFIK_ENTRYPOINTS_P8000_ADDRESS"] == ":8000"
    # A proxy on the same host, in front of this one, is believed; one on 0.0.0.0 would be anybody.
    assert needs["environment"]["TRAEFIK_ENTRYPOINTS_P8000_FORWARDEDHEADERS_INSECURE"] == "true"
    http = two.proxy("routes/shop-staging.yml")["http"]
    (servers,) = [service["loadBalancer"]["servers"] for service in http["services"].values()]
    assert servers == [{"url": "http://shop-staging-2-market-data:8000"}]
    (header,) = http["middlewares"].values()
    assert header == {"headers": {"customResponseHeaders": {"X-Release": "2"}}}
    assert len(two.host.compose("up")) == 2 * 3, (
        "the proxy is asked for each time; where nothing differs it runs on"
    )


def test_ports_and_address_can_be_set(shop: Shop) -> None:
    shop.project.write("config/staging.env", STAGING + "DEPLOY_BIND=0.0.0.0\nAPI_PORT='9100'\n")
    shop.started("one")
    needs = shop.proxy("listens/shop-staging.json")["services"]["traefik"]
    assert needs["ports"] == ["0.0.0.0:9100:9100"]
    assert not [name for name in needs["environment"] if "FORWARDEDHEADERS" in name]


def test_a_host_name_has_the_proxy_ask_for_a_certificate(shop: Shop) -> None:
    settings = "DEPLOY_API_HOST=shop.example.org\nDEPLOY_ACME_EMAIL=me@example.org\n"
    shop.project.write("config/staging.env", STAGING + settings)
    (shop.folder / "tests/smoke/test_smoke.py").unlink()  # there is no such host
    shop.started("one")
    needs = shop.proxy("listens/shop-staging.json")["services"]["traefik"]
    assert needs["ports"] == ["443:443", "80:80"]
    assert needs["environment"]["TRAEFIK_CERTIFICATESRESOLVERS_ACME_ACME_EMAIL"] == "me@example.org"
    router = shop.proxy("routes/shop-staging.yml")["http"]["routers"]["shop-staging-api"]
    assert router["rule"] == "Host(`shop.example.org`)" and router["tls"] == {"certResolver": "acme"}


def test_a_port_that_is_taken_is_named_and_the_proxy_listens_as_before(shop: Shop) -> None:
    shop.started("one")
    before = shop.proxy("listens/shop-staging.json")
    shop.project.write("config/staging.env", STAGING + "API_PORT=9100\n")
    out, errors = shop.fails("two", port=9100)
    assert "is a port taken (127.0.0.1:9100:9100)? config/staging.env can set another" in out
    assert errors.endswith("listen failed\nwhat ran before runs on\n")
    assert shop.proxy("listens/shop-staging.json") == before
    assert [file.name for file in (shop.host.host / "deploy/proxy/listens").iterdir()] == [
        "shop-staging.json"
    ]


# Images


def test_images_are_built_and_pushed_once_for_a_commit(two: Shop) -> None:
    two.project.write("services/telegram_bot/Dockerfile", "FROM scratch\n")
    two.project.commit()
    version = two.head()
    two.host.trouble(missing=[version])
    code, out, errors = two.make("images")
    assert (code, errors) == (0, "")
    names = [f"ghcr.io/me/shop/{name}:{version}" for name in ("market-data", "telegram-bot")]
    assert out == "".join(
        f"{name.split('/')[-1].split(':')[0]}: {version} is {digest(name)}\n" for name in names
    )
    builds = [call["arguments"] for call in two.host.log("docker") if call["arguments"][1] == "build"]
    for build, name, what in zip(
        builds,
        names,
        (["--build-arg", "SERVICE=services/market_data", "."], ["services/telegram_bot"]),
        strict=True,
    ):
        assert build[2:5] == ["--push", "--tag", name] and build[-len(what) :] == what
        assert f"org.opencontainers.image.revision={version}" in build
        assert "--sbom=true" not in build, "docker's plain builder can't"

    two.host.trouble()
    code, out, _ = two.make("images")
    assert code == 0 and f"market-data: {version} is in the registry already" in out
    assert len([call for call in two.host.log("docker") if call["arguments"][1] == "build"]) == 2


def test_a_workflow_builds_with_cache_origin_and_contents_and_hands_on_the_digests(
    shop: Shop, tmp_path: Path
) -> None:
    output, version = tmp_path / "output", shop.head()
    output.touch()
    shop.host.trouble(missing=[version])
    code, _, errors = shop.deploy("images", GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(output))
    assert (code, errors) == (0, "")
    build = shop.host.log("docker")[-1]["arguments"]
    assert {"--sbom=true", "--provenance=mode=max", "--cache-from", "--cache-to"} <= set(build)
    builds = output.read_text().strip().removeprefix("builds=")
    assert json.loads(builds) == {"api": digest(f"ghcr.io/me/shop/api:{version}")}

    # The job after it needs no answer from the registry.
    shop.host.trouble(registry="connection refused")
    code, _, errors = shop.deploy("deploy", "staging", DEPLOY_BUILDS=builds)
    assert (code, errors) == (0, "")
    compose = shop.host.json("releases/1/compose.json")
    assert compose["services"]["api"]["image"] == reference("api", version)


def test_images_of_what_is_not_committed_are_not_built(shop: Shop) -> None:
    shop.project.write("services/api/new.py", "")
    assert shop.told("images") == (
        "there are changes that are not committed: an image is tagged with its commit\n"
    )
    assert shop.host.log() == []


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (
            {"missing": ["two"]},
            "the registry has no image ghcr.io/me/shop/api:two: `make images` builds and pushes that of this"
            " commit\n",
        ),
        (
            {"registry": "dial tcp: connection refused"},
            "what the registry has of ghcr.io/me/shop/api:two can't be told: ERROR: dial tcp: connection"
            " refused\n",
        ),
    ],
    ids=["no image", "no registry"],
)
def test_what_the_registry_has_not_is_told_before_the_host_is_touched(
    shop: Shop, trouble: dict[str, Any], message: str
) -> None:
    out, errors = shop.fails("two", **trouble)
    assert (out, errors) == ("", message) and shop.host.log("ssh") == []


def test_a_file_or_folder_of_theirs_that_is_called_deploy_is_not_taken_for_ours(shop: Shop) -> None:
    for path in ("deploy.py", "deploy/__main__.py", "deploy/__init__.py"):
        shop.project.write(path, "raise SystemExit('theirs')\n")
    assert shop.make("status", "ENV=staging")[2].startswith("nothing has been deployed to staging\n")


# A dry run


def test_a_dry_run_of_images_prints_what_would_be_run(shop: Shop) -> None:
    code, out, errors = shop.make("images", "DRY_RUN=1")
    assert (code, errors) == (0, "")
    assert out.startswith("would run: docker buildx build --push --tag ghcr.io/me/shop/api:")
    assert shop.host.log() == []


def test_a_dry_run_shows_what_differs_and_the_steps_and_changes_nothing(two: Shop) -> None:
    code, out, errors = two.make("deploy", "ENV=staging", "VERSION=one", "DRY_RUN=1")
    assert (code, errors) == (0, "")
    first, api, _, steps, *listed = out.splitlines()
    assert (first, steps) == ("staging: release none -> 1", "steps:")
    assert api == f"  market-data: new, one ({digest('ghcr.io/me/shop/market-data:one')})"
    assert " ".join(line.split(":")[0].strip() for line in listed) == STEPS

    two.started("one", "one", "two")
    before = snapshot(two.host.host)
    calls = len(two.host.compose("up", "down", "stop", "pull"))
    code, out, errors = two.make("rollback", "ENV=staging", "DRY_RUN=1")
    assert (code, errors) == (0, "") and out.startswith(
        "staging: release 3 -> 2\n  market-data: two -> one ("
    )
    assert "prepare:" not in out, "a release is written once"
    out = two.make("deploy", "ENV=staging", "VERSION=two", "DRY_RUN=1")[1]
    assert out.startswith("staging: release 3 -> 4\n  nothing differs\n")
    assert SECRET not in out and snapshot(two.host.host) == before and len(two.deployment_log()) == 3
    assert len(two.host.compose("up", "down", "stop", "pull")) == calls


def snapshot(folder: Path) -> dict[str, str]:
    return {str(file): file.read_text() for file in folder.rglob("*") if file.is_file()}


# What is told before anything is done


@pytest.mark.parametrize("command", ["deploy", "rollback", "status", "logs", "smoke"])
def test_a_name_that_is_no_environment_is_refused(shop: Shop, command: str) -> None:
    for environment in ("../x", "prod; reboot", "", "a" * 40):
        line = shop.told(command, environment)
        assert line == f"ENV is {environment!r}, expected the name of an environment, such as ENV=staging\n"


def test_a_shell_in_a_name_is_not_run(shop: Shop) -> None:
    for argument in (
        "ENV=staging; touch hacked",
        "ENV=`touch hacked`",
        "VERSION=1; touch hacked",
        "VERSION=../x",
        "RELEASE=1; touch hacked",
        "RELEASE=../x/1",
    ):
        code, _, errors = shop.make("deploy", "ENV=staging", argument)
        assert code == 2 and "expected" in errors
    for command, argument in (("rollback", "RELEASE=`touch hacked`"), ("logs", "SERVICE=api; touch hacked")):
        code, _, errors = shop.make(command, "ENV=staging", argument)
        assert code == 2 and "expected" in errors
    assert not list(shop.folder.parent.rglob("hacked")) and shop.host.log("ssh") == []


def test_settings_that_are_missing_are_named_with_what_to_do(shop: Shop) -> None:
    (shop.folder / "config/staging.env").unlink()
    assert (
        shop.told("deploy", "staging")
        == "config/staging.env is missing: copy config/staging.env.template and fill it in\n"
    )
    assert (
        shop.told("deploy", "qa")
        == "ENV is 'qa', expected production, staging, or one with a config/qa.env\n"
    )


@pytest.mark.parametrize("missing", ["ENV", "SSH_KEY", "KNOWN_HOSTS"])
def test_a_workflow_names_the_secret_that_is_missing(shop: Shop, missing: str) -> None:
    (shop.folder / "config/staging.env").unlink()
    secrets = {"DEPLOY_ENV_FILE": STAGING, "DEPLOY_SSH_KEY": "a key", "DEPLOY_KNOWN_HOSTS": "a host"}
    secrets["DEPLOY_ENV_FILE" if missing == "ENV" else f"DEPLOY_{missing}"] = ""
    assert f"the secret STAGING_{missing} is missing: docs/staging.md" in shop.told(
        "deploy", "staging", CI="true", **secrets
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("LOG_LEVEL=INFO\n", "DEPLOY_HOST is '', expected user@host or user@host:port"),
        ("DEPLOY_HOST=-oProxyCommand=reboot@x\n", "expected user@host or user@host:port"),
        (STAGING + SECRET, "config/staging.env, line 6: expected NAME=value"),
        (STAGING + "API_PORT=http\n", "config/staging.env: API_PORT is 'http', expected a number from 1"),
        (STAGING + "API_PORT=70000\n", "config/staging.env: API_PORT is '70000', expected a number from 1"),
        (STAGING + "DEPLOY_BIND=localhost\n", "DEPLOY_BIND is 'localhost', expected an address such as"),
        (
            STAGING + "DEPLOY_API_HOST=https://x.org\n",
            "DEPLOY_API_HOST is 'https://x.org', expected a host name",
        ),
    ],
    ids=["no host", "an option as host", "no value", "no port", "no such port", "no address", "no host name"],
)
def test_a_wrong_setting_is_told_before_the_host_is_touched(shop: Shop, settings: str, message: str) -> None:
    shop.project.write("config/staging.env", settings)
    assert message in shop.told("deploy", "staging")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gate\n", "expected TOML: "),
        ("[gate]\nsecond = 6\n", "gate.second is unknown, expected one of release.service, release.command"),
        ("seconds = 6\n", "seconds is unknown, expected one of "),
        ("[gate.seconds]\nweb = 6\n", "gate.seconds.web is unknown, expected one of "),
        ("[gate]\nseconds = '6'\n", "gate.seconds is '6', expected a number from 1 to 86400"),
        ("[gate]\nseconds = 0\n", "gate.seconds is 0, expected a number from 1 to 86400"),
        ("[keep]\nreleases = true\n", "keep.releases is True, expected a number from 1 to 86400"),
        ("[release]\ncommand = ['a']\n", "release.command is ['a'], expected a text"),
        (
            "[release]\nservice = 'shop'\n",
            "release.service is 'shop', expected one of market-data, telegram-bot",
        ),
        ("[service.shop]\noverlap = true\n", "service.shop.overlap is unknown, expected one of "),
        (
            "[service.telegram-bot]\noverlap = 'yes'\n",
            "service.telegram-bot.overlap is 'yes', expected true or",
        ),
        (
            "[service.market-data]\noverlap = true\n",
            "service.market-data.overlap is for workers; web services always",
        ),
    ],
)
def test_a_mistake_in_the_rules_is_told_before_the_host_is_touched(
    two: Shop, text: str, message: str
) -> None:
    two.project.write("config/deploy.toml", text)
    assert two.told("deploy", "staging").startswith(f"config/deploy.toml: {message}")


def test_without_rules_and_with_the_file_as_it_comes_the_same_holds(shop: Shop) -> None:
    shop.started("one")
    (shop.folder / "config/deploy.toml").unlink()
    shop.started("one")
    first, second = (shop.host.json(f"releases/{number}/compose.json") for number in (1, 2))
    assert json.loads(json.dumps(first).replace("staging-1-", "staging-2-")) == second


def test_settings_in_another_encoding_are_told_without_quoting_them(shop: Shop) -> None:
    (shop.folder / "config/staging.env").write_bytes(STAGING.encode("utf-16"))
    assert shop.told("deploy", "staging") == "config/staging.env: expected UTF-8\n"


def test_digests_of_a_job_that_are_none_are_refused(shop: Shop) -> None:
    for given in ("{", '["sha256"]', '{"api": "latest"}'):
        assert shop.told("deploy", "staging", DEPLOY_BUILDS=given) == (
            "DEPLOY_BUILDS: expected JSON, a digest for each service, as the job `images` writes it\n"
        )


def test_without_a_repository_there_are_no_names_for_images(shop: Shop) -> None:
    shop.project.replace("config/levels.json", "Me/Shop", "")
    assert "images are named after the repository, which is empty" in shop.told("deploy", "staging")
    code, _, errors = shop.deploy("deploy", "staging", GITHUB_REPOSITORY="Me/Shop")
    assert (code, errors) == (0, "")


# What goes wrong on the way


def comes_back(two: Shop, **trouble: Any) -> tuple[str, str]:
    """A second release goes wrong: the first one runs again, alone, and both places say so."""
    two.started("one")
    out, errors = two.fails("two", **trouble)
    assert errors.endswith("\nrelease 1 (one) is back\n")
    assert two.host.running()["shop-staging-1"] == ["market-data", "telegram-bot"]
    assert "shop-staging-2" not in two.host.running()
    assert (two.host.words("good"), two.host.words("serving")) == (["1"], ["1"])
    assert two.proxy("routes/shop-staging.yml")["http"]["middlewares"]["shop-staging-release"] == {
        "headers": {"customResponseHeaders": {"X-Release": "1"}}
    }
    for record in (two.recorded(), two.deployment_log()):
        assert [(line["version"], line["outcome"]) for line in record] == [
            ("one", "success"),
            ("two", "failure"),
        ]
    return out, errors


def test_a_release_that_does_not_start_is_taken_back_with_its_last_lines(two: Shop) -> None:
    out, errors = comes_back(two, sick=["two"])
    assert "release 2 was not deployed to staging: start failed\n" in errors
    assert "container shop-staging-2-market-data-1 is unhealthy" in errors, "docker's own words"
    assert "--- shop-staging-2-market-data-1: exited, exit code 3" in errors
    assert "the last lines of shop-staging-2-market-data-1" in errors
    assert "start failed: docker compose up --detach" in out
    assert not [line for line in two.host.compose("stop") if "telegram-bot" in line], "it was never touched"


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (
            {"answers": {"market-data": "zero"}},
            "ready failed: market-data: it answers as version zero, expected two",
        ),
        (
            {"unready": ["two"]},
            "ready failed: market-data: not ready after 60 seconds: /-/readiness answered 503: the database",
        ),
        (
            {"answers": {"telegram-bot": "zero"}},
            "workers failed: telegram-bot: it answers as version zero, expected two",
        ),
    ],
    ids=["another build", "not ready", "a worker's"],
)
def test_what_fails_after_the_start_is_taken_back(two: Shop, trouble: dict[str, Any], message: str) -> None:
    two.started("one")
    two.host.trouble(**trouble)
    code, out, errors = two.deploy("deploy", "staging", "--version", "two")
    assert code == 1 and errors.endswith("release 1 (one) is back\n")
    assert message in out


def test_a_proxy_that_sends_requests_nowhere_is_seen_before_anything_is_started(two: Shop) -> None:
    two.started("one")
    two.host.trouble(astray=True)
    code, out, errors = two.deploy("deploy", "staging", "--version", "two")
    assert code == 1 and "listen failed: " in out and errors.endswith("what ran before runs on\n")
    two.host.trouble()
    two.started("three")
    assert set(two.host.running()) == {"deploy-proxy", "shop-staging-3"}


def test_the_old_worker_starts_only_after_the_new_one_is_gone(two: Shop) -> None:
    comes_back(two, answers={"telegram-bot": "zero"})
    *_, down, up = two.host.compose("up", "down", "stop")
    assert down == "shop-staging-2 down --remove-orphans"
    assert up.startswith("shop-staging-1 up ") and up.endswith(" telegram-bot")


def test_a_first_release_that_fails_leaves_nothing_that_runs(shop: Shop) -> None:
    _, errors = shop.fails("one", sick=["one"])
    assert errors.endswith("\nnothing ran before, and nothing runs now\n")
    assert shop.host.running() == {"deploy-proxy": ["traefik"]} and shop.host.words("good") == []
    assert not (shop.host.host / "deploy/proxy/routes/shop-staging.yml").exists()
    shop.started("two")
    assert shop.host.words("good") == ["2"], "a number is given once"


def test_images_that_the_host_cannot_pull_change_nothing_that_runs(shop: Shop) -> None:
    shop.started("one")

    def calls() -> list[str]:
        return [
            line for line in shop.host.compose("up", "down", "stop") if not line.startswith("deploy-proxy ")
        ]

    before = calls()
    out, errors = shop.fails("two", unpulled=["two"])
    assert "the host couldn't pull the images (if they are private: `docker login` there)" in out
    assert errors.endswith("pull failed\nwhat ran before runs on\n")
    assert calls() == before
    assert shop.deploy("status", "staging")[0] == 0


def test_the_release_command_runs_once_in_the_new_image_before_anything_is_switched(shop: Shop) -> None:
    shop.project.write("config/deploy.toml", '[release]\ncommand = "echo one >> migrated && echo did it"\n')
    code, out, _ = shop.deploy("deploy", "staging", "--version", "one")
    assert code == 0 and "did it" in out and shop.host.words("migrated") == ["one"]
    assert [line.split()[1] for line in shop.host.compose("run", "up")[-2:]] == ["run", "up"]
    _, errors = shop.fails("two", sick=["two"])
    assert (
        "the release command had begun: what it did to the database stays\nrelease 1 (one) is back" in errors
    )
    assert shop.deploy("rollback", "staging", "--release", "1")[0] == 0
    assert shop.host.words("migrated") == ["one"] * 2, "a way back migrates nothing"

    shop.project.write("config/deploy.toml", '[release]\ncommand = "exit 3"\n')
    calls = len([line for line in shop.host.compose("up", "down") if line.startswith("shop-")])
    out, errors = shop.fails("three")
    assert "release-command failed: the release command (exit 3): exit code 3" in out
    assert errors.endswith("what it did to the database stays\nwhat ran before runs on\n")
    assert len([line for line in shop.host.compose("up", "down") if line.startswith("shop-")]) == calls


def test_a_command_of_the_host_runs_before_the_release_command_and_is_not_shown(shop: Shop) -> None:
    shop.project.write("config/staging.env", STAGING + "DEPLOY_BEFORE_RELEASE='echo saved > backup'\n")
    shop.started("one")
    assert shop.host.words("backup") == ["saved"]
    shop.project.write("config/staging.env", STAGING + f"DEPLOY_BEFORE_RELEASE='exit 4; : {SECRET}'\n")
    out, errors = shop.fails("two")
    assert "back-up failed: DEPLOY_BEFORE_RELEASE: exit code 4" in out and SECRET not in out + errors
    assert shop.host.running()["shop-staging-1"] == ["api"]


@pytest.mark.parametrize("command", ["deploy", "rollback", "status", "logs"])
def test_a_host_that_is_not_reached_is_an_error(shop: Shop, command: str) -> None:
    shop.host.trouble(unreachable=True)
    code, _, errors = shop.deploy(command, "staging")
    assert code == 1 and errors.endswith(
        "Connection refused\ndeployer@staging.example.org can't be reached, or the connection was lost (ssh"
        " says why, above)\n"
    )
    assert shop.deployment_log() == []


# One deploy at a time


def test_while_one_deploy_has_the_lease_another_is_refused_and_told_whose_it_is(shop: Shop) -> None:
    shop.started("one")
    number, until, owner, since, message = shop.host.file("lease").read_text().splitlines()
    assert (number, until, owner, message) == ("1", "0", "A Tester", "deploys one")
    until = str(int(time.time()) + 60)
    shop.host.file("lease").write_text(f"2\n{until}\nAda (workflow run 7)\n{since}\ndeploys two\n")
    for command in ("deploy", "rollback"):
        code, out, errors = shop.deploy(
            command, "staging", *(["--release", "1"] if command == "rollback" else [])
        )
        assert (code, out) == (1, "")
        assert errors == (
            f"staging is being deployed by Ada (workflow run 7) since {since}: deploys two."
            " Try again when that is over; if its process has died, in 120 seconds\n"
        )
    assert shop.host.words("good") == ["1"] and shop.deploy("status", "staging")[0] == 0

    shop.host.file("lease").write_text(f"2\n{int(time.time()) - 1}\nAda\n{since}\ndeploys two\n")
    shop.started("two")
    assert shop.host.words("lease")[0] == "3", "the number rises with each one"


def test_a_deploy_whose_lease_was_taken_over_does_no_more_not_even_back(shop: Shop) -> None:
    shop.started("one")
    _, errors = shop.fails("two", taken_over=" up --detach --no-deps")
    assert errors == "another deploy of staging has taken over: this one stopped, and changed no more\n"
    assert shop.host.running()["shop-staging-1"] == ["api"] and "shop-staging-2" not in shop.host.running()
    assert shop.host.words("lease")[0] == "99", "the other's lease is not given back"
    assert len(shop.recorded()) == 1


def test_what_an_interrupted_deploy_left_is_put_in_order_first(two: Shop) -> None:
    """As if it had been killed after it had switched, before it was kept."""
    two.started("one", "two")
    two.host.file("good").write_text("1\n")
    said = two.deploy("status", "staging")[2]
    assert "a deploy is under way, or was interrupted: the next one puts that in order" in said
    code, out, _ = two.deploy("deploy", "staging", "--version", "three")
    assert code == 0 and "what ran well last doesn't run alone, or not whole: it comes back first\n" in out
    assert two.host.words("good") == ["1", "3"]
    assert set(two.host.running()) == {"deploy-proxy", "shop-staging-3"}


# The way back, and how it is


def test_each_rollback_goes_one_good_release_further_back(shop: Shop) -> None:
    shop.started("one", "two")
    shop.fails("bad", sick=["bad"])
    shop.started("three")
    for number, version in ((2, "two"), (1, "one")):
        code, out, _ = shop.deploy("rollback", "staging")
        assert code == 0 and f"api: healthy, version {version}\n" in out
        assert out.endswith(f"staging: release {number} runs, {version} (the database was not taken back)\n")
    code, _, errors = shop.deploy("rollback", "staging")
    assert (code, errors) == (1, "no earlier release has run well in staging\n")
    assert shop.deploy("status", "staging")[0] == 0
    shop.started("four")
    assert shop.host.words("good") == ["1", "5"], "what was left is no way back"


def test_a_release_that_runs_no_more_and_does_not_come_back_is_replaced(shop: Shop) -> None:
    """Its database may have got another password: the deploy that knows it is the way out."""
    shop.started("one")
    state = {"deploy-proxy": {"traefik": True}, "shop-staging-1": {"api": False}}
    (shop.host.folder / "containers.json").write_text(json.dumps(state))
    shop.host.trouble(sick=["one"])
    code, out, errors = shop.deploy("deploy", "staging", "--version", "two")
    assert code == 0 and errors.startswith("container shop-staging-1-api-1 is unhealthy\n")
    assert "it doesn't come back, and is replaced as it is" in out
    assert shop.host.running()["shop-staging-2"] == ["api"] and "shop-staging-1" not in shop.host.running()


def test_two_services_on_one_port_are_refused(tmp_path: Path, at_level: AtLevel) -> None:
    shop = Shop(at_level(2, two=True), StandIns(tmp_path / "stand-ins"))
    text = shop.project.read("config/levels.json").replace('"kind": "worker"', '"kind": "web"')
    shop.project.write("config/levels.json", text)
    shop.project.write("config/staging.env", STAGING + "TELEGRAM_BOT_PORT=8000\n")
    code, _, errors = shop.deploy("deploy", "staging", "--version", "one")
    assert code == 2 and "telegram-bot has the host name or port of another service: 8000" in errors


def test_a_rollback_goes_to_the_release_that_is_named(shop: Shop) -> None:
    shop.started("one", "two", "three")
    assert shop.deploy("rollback", "staging", "--release", "1")[0] == 0
    assert shop.host.words("good") == ["1"]
    code, _, errors = shop.deploy("rollback", "staging", "--release", "9")
    assert (code, errors) == (2, "release 9 of staging isn't kept on the host; those that are: 1, 2, 3\n")
    assert shop.deploy("rollback", "staging", "--release", "two")[2] == (
        "RELEASE is 'two', expected the number of a release of staging\n"
    )


def test_a_rollback_that_fails_leaves_the_release_that_runs(shop: Shop) -> None:
    shop.started("one", "two")
    shop.host.trouble(unready=["one"])
    code, _, errors = shop.deploy("rollback", "staging")
    assert code == 1 and errors.endswith("\nrelease 2 (two) is back\n")
    assert shop.host.words("good") == ["1", "2"] and shop.host.running()["shop-staging-2"] == ["api"]
    lines = [(line["kind"], line["release"], line["outcome"]) for line in shop.recorded()]
    assert lines[2:] == [("rollback", 1, "failure")]


def test_production_gets_the_builds_that_ran_on_staging(shop: Shop) -> None:
    shop.started("one", "two")
    shop.project.write("config/production.env", "DEPLOY_HOST=deployer@example.org\nAPI_PORT=9000\n")
    code, out, errors = shop.make("deploy", "ENV=production", "RELEASE=1")
    assert (code, errors) == (0, "")
    assert out.startswith("builds of release 1 of staging, one, for production\n")
    production = shop.host.host / "deploy/shop-production/releases/1/compose.json"
    assert json.loads(production.read_text())["services"]["api"]["image"] == reference("api", "one")
    assert shop.make("deploy", "ENV=staging", "RELEASE=production/1")[0] == 0
    for wanted, message in (
        ("staging/9", "there is no release 9 of staging; those that ran well: 1, 2, 3\n"),
        ("qa/1", "ENV is 'qa', expected production, staging, or one with a config/qa.env\n"),
        ("one", "RELEASE is 'one', expected the number of a release of staging, or ENV/NUMBER\n"),
    ):
        code, out, errors = shop.deploy("deploy", "production", "--release", wanted)
        assert (code, out, errors) == (2, "", message)
    both = shop.deploy("deploy", "production", "--release", "1", "--version", "one")
    assert both == (2, "", "VERSION and RELEASE are given, expected one of them\n")


def test_the_folder_of_another_project_on_the_host_is_not_taken(shop: Shop) -> None:
    """The staging of `shop-eu` and the `eu-staging` of `shop` would share one."""
    shop.deploy("deploy", "staging", "--version", "one")
    assert shop.host.file("of").read_text() == "shop, staging"
    shop.host.file("of").write_text("sh, op-staging")
    told = "the folder deploy/shop-staging on the host is of sh, op-staging, not of shop, staging: expected another name\n"
    before = len(shop.host.log("docker"))
    for option in ([], ["--dry-run"]):
        assert shop.deploy("deploy", "staging", "--version", "two", *option)[::2] == (2, told)
    assert [one for one in shop.host.log("docker")[before:] if "up" in one["arguments"]] == []


def test_a_release_in_another_format_is_told_in_one_line(shop: Shop) -> None:
    shop.deploy("deploy", "staging", "--version", "one")
    file = shop.host.file("releases/1/release.json")
    for text in ("{", '{"builds": []}', file.read_text().replace('"at"', '"on"')):
        file.write_text(text)
        code, _, errors = shop.deploy("status", "staging")
        told = "deploy/shop-staging/releases/1/release.json on the host: expected it as this version of ci/deploy writes it\n"
        assert (code, errors) == (1, told)


def test_what_is_too_old_goes_and_what_a_way_back_needs_stays(shop: Shop) -> None:
    shop.project.write("config/deploy.toml", "[keep]\nreleases = 2\n")
    for number, version in enumerate(("one", "two", "one", "three"), 1):
        shop.project.write("config/staging.env", f"{STAGING}NUMBER={number}\n")
        shop.started(version)
    removed = [
        call["arguments"][2] for call in shop.host.log("docker") if call["arguments"][:2] == ["image", "rm"]
    ]
    assert removed == [reference("api", "two")], "release 3 runs the image of release 1"
    assert sorted(file.name for file in shop.host.file("settings").iterdir()) == ["3.env", "4.env"]


def test_status_says_how_each_service_is(two: Shop) -> None:
    code, _, errors = two.make("status", "ENV=staging")
    # 2 says make; the script says 1.
    assert code == 2 and errors.startswith("nothing has been deployed to staging\n")
    two.started("one")
    code, out, errors = two.make("status", "ENV=staging")
    assert (code, errors) == (0, "")
    assert re.fullmatch(
        r"staging: release 1, since \S+Z, by A Tester\nmarket-data: healthy, version one\ntelegram-bot: healthy,"
        r" version one\n",
        out,
    )
    two.host.trouble(answers={"telegram-bot": "zero"})
    code, out, errors = two.deploy("status", "staging")
    assert code == 1 and "market-data: healthy, version one\n" in out
    assert errors == "telegram-bot: it answers as version zero, expected one\n"


def test_logs_are_those_of_what_runs(two: Shop) -> None:
    two.started("one", "two")
    lines = [f"the last lines of shop-staging-2-{name}-1\n" for name in ("market-data", "telegram-bot")]
    assert two.make("logs", "ENV=staging") == (0, "".join(lines), "")
    assert two.make("logs", "ENV=staging", "SERVICE=telegram-bot") == (0, lines[1], "")
    code, _, errors = two.deploy("logs", "staging", "--service", "shop")
    assert (code, errors) == (2, "SERVICE is 'shop', expected one of market-data, telegram-bot\n")


# The smoke tests


def test_smoke_tests_are_told_where_the_services_answer_and_a_failure_takes_the_release_back(
    two: Shop,
) -> None:
    two.project.write("tests/smoke/test_it.py", "")
    two.started("one")
    asked = re.fullmatch(
        r'\{"market-data": "http://127\.0\.0\.1:(\d+)"\} -m pytest .* ?tests/smoke\n',
        two.project.read(".venv/asked"),
    )
    ways = [call["arguments"][-3] for call in two.host.log("ssh") if "forward" in call["arguments"]]
    assert asked and ways == [f"127.0.0.1:{asked[1]}:127.0.0.1:8000"]
    two.project.write(".venv/broken", "")
    out, errors = two.fails("two")
    assert "smoke failed: the smoke tests failed" in out and errors.endswith("release 1 (one) is back\n")
    assert two.deploy("smoke", "staging")[::2] == (1, "the smoke tests failed\n")


# The record


def test_a_deployment_by_a_person_is_written_down_as_the_levels_command_does(shop: Shop) -> None:
    shop.started("one", "two")
    code, out, _ = shop.deploy("rollback", "staging")
    assert code == 0 and "written to config/deploys.jsonl: commit it\n" in out
    deployment_log.record(shop.folder, "deploy", "staging", None, "success", "")
    deployment_log.record(shop.folder, "rollback", "staging", None, "success", "")
    _, deployed, rolled_back, plain, back = shop.deployment_log()
    assert {**deployed, "at": ""} == {**plain, "version": "two", "release": 2, "at": ""}
    note = {"note": "the database was not taken back"}
    assert {**rolled_back, "at": ""} == {**back, "version": "one", "release": 1, "at": "", **note}
    assert back["kind"] == "rollback"
    assert len(deployed["at"]) == len(plain["at"]) and deployed["at"][-1] == "Z"
    assert deployment_log.read(shop.folder, time.time() + 60).left_out == ()


def test_the_record_on_the_host_says_which_builds_and_how_long(shop: Shop) -> None:
    shop.started("one")
    (line,) = shop.recorded()
    (there,) = shop.deployment_log()
    assert line.pop("builds") == {"api": digest("ghcr.io/me/shop/api:one")} and line.pop("seconds") > 0
    assert line == there


def test_the_record_on_the_host_is_printed_and_keeps_its_last_5000_lines(shop: Shop) -> None:
    assert shop.deploy("history", "staging") == (0, "", "")
    shop.host.file("log.jsonl").write_text("".join(f'{{"old": {number}}}\n' for number in range(6000)))
    shop.started("one")
    code, out, errors = shop.deploy("history", "staging")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, errors, len(lines)) == (0, "", 5000)
    assert lines[0] == {"old": 1001} and lines[-1]["version"] == "one"
    assert out == shop.host.file("log.jsonl").read_text()


def test_a_workflow_writes_no_deployment_log(shop: Shop) -> None:
    secrets = {"CI": "true", "DEPLOY_SSH_KEY": "a key", "DEPLOY_KNOWN_HOSTS": "a host"}
    code, out, _ = shop.deploy("deploy", "staging", GITHUB_ACTOR="ada", GITHUB_RUN_ID="7", **secrets)
    assert code == 0 and "deploys.jsonl" not in out
    assert shop.recorded()[0]["by"] == "ada (workflow run 7)"
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
        ["logs", "staging"],
        ["rollback", "staging"],
    ):
        _, out, errors = shop.deploy(*command, **env)
        assert SECRET not in out + errors
    log = shop.host.log()
    assert log and not [call for call in log if SECRET in " ".join(call["arguments"])]
    if "missing" not in trouble:
        assert SECRET in "".join(call["input"] for call in log), "that is how they get there"
    assert all("-i" in call["arguments"] for call in log if call["program"] == "ssh"), (
        "the key of the workflow is used"
    )
    assert list((tmp_path / "tmp").iterdir()) == [], "the key is gone"
    everything = snapshot(shop.host.host)
    assert not [name for name, text in everything.items() if SECRET in text and "/settings/" not in name]


def test_git_and_images_do_not_take_up_the_settings(shop: Shop) -> None:
    assert git(shop.folder, "status", "--porcelain", "--untracked-files=all") == ""
    assert "config/*.env" in shop.project.read(".dockerignore").splitlines()
