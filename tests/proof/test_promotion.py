"""Promotion on a real host: three environments, an approval that the API is asked for, the way back, and drift."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.act import Job, run_workflow
from tests.support.deployed import Shop
from tests.support.engine import Target
from tests.support.github_api import serving
from tests.support.github_stand_in import REPOSITORY, TOKEN, GitHub
from tests.support.load import Requests, under_load
from tests.support.projects import ROOT, Project, git
from tests.support.proofs import find_uv

pytestmark = pytest.mark.proof
pytest_plugins = ["tests.support.engine"]

# What `gh pr create` does: the API refuses what the real one refuses.
GH = f"""#!{sys.executable}
import json, os, sys, urllib.request
words = sys.argv[1:]
assert words[:2] == ["pr", "create"], words
given = dict(zip((word[2:] for word in words[2::2]), words[3::2]))
request = urllib.request.Request(
    os.environ["GITHUB_API_URL"] + "/repos/{REPOSITORY}/pulls", json.dumps(given).encode(),
    {{"Authorization": "Bearer {TOKEN}", "User-Agent": "gh"}},
)
number = json.load(urllib.request.urlopen(request))["number"]
print("https://github.com/{REPOSITORY}/pull/" + str(number))
"""


class Promoted(Shop):
    """A shop with three environments on one host, a bare repository, and GitHub's API over that."""

    def __init__(self, folder: Path, template: Path, target: Target) -> None:
        super().__init__(
            Project(folder / "shop", template),
            target,
            ["api"],
            small=["api"],
            level=3,
            repository=REPOSITORY,
            environments=["staging", "qa", "production"],
        )
        self.act = folder / "act"
        (self.folder / "tests/smoke/test_smoke.py").unlink()  # installing its tools is proven elsewhere
        self.project.commit()
        for name in ("qa", "production"):
            self.environment(name, GREETING=name)
        self.bare = folder / "shop.git"
        git(folder, "clone", "--quiet", "--bare", str(self.folder), str(self.bare))
        git(self.folder, "remote", "add", "origin", str(self.bare))
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "gh").write_text(GH)
        (self.bin / "gh").chmod(0o755)
        # What the workflow runs on: Python with the packages of the tests, and uv.
        (self.bin / "python3").symlink_to(sys.executable)
        (self.bin / "uv").symlink_to(find_uv(folder))
        self.github = GitHub(self.bare)
        self.api = ""

    def make(self, *words: str, code: int = 0, **env: str) -> str:
        """Of `make promote` the command behind it, which uv brings from the template elsewhere."""
        if words[0] != "promote":
            return super().make(*words, code=code, **env)
        given = dict(word.partition("=")[::2] for word in words[1:]) | env
        options = ["--dry-run"] if given.pop("DRY_RUN", "") else []
        options += [part for name, value in given.items() for part in (f"--{name.lower()}", value)]
        done = subprocess.run(
            [sys.executable, "-m", "extensions", "promote", *options],
            cwd=self.folder,
            env=self.variables(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def variables(self, **more: str) -> dict[str, str]:
        found = super().variables(GITHUB_API_URL=self.api, **more)
        return {**found, "PATH": f"{self.bin}:{found['PATH']}"}

    def commits(self, text: str) -> str:
        """Another version, pushed and with its images."""
        self.project.write("services/api/version", text)
        version = self.build(text)
        git(self.folder, "push", "--quiet", "origin", "HEAD:main")
        return version

    def promote(self, to: str, **given: str) -> tuple[int, str]:
        """Open the pull request; its number, and what was said."""
        said = self.make("promote", f"TO={to}", **given)
        return len(self.github.numbered), said

    def merged(self, number: int) -> dict[str, Job]:
        """Merge a pull request, and run what follows."""
        before = git(self.bare, "rev-parse", "main").strip()
        self.github.merge(number)
        git(self.folder, "pull", "--quiet", "--ff-only", "origin", "main")
        return self.workflow(before)

    def workflow(self, before: str, **more: str) -> dict[str, Job]:
        there = self.target.environment
        secrets = {"GITHUB_TOKEN": TOKEN}
        variables = {}
        for name in ("qa", "production"):
            prefix = name.upper()
            settings = (self.folder / f"config/{name}.env").read_text()
            secrets |= {f"{prefix}_SSH_KEY": there["DEPLOY_SSH_KEY"], f"{prefix}_ENV": settings}
            secrets |= {f"{prefix}_KNOWN_HOSTS": there["DEPLOY_KNOWN_HOSTS"]}
            variables |= {f"{prefix}_HOST": there["DEPLOY_HOST"], f"{prefix}_URL": "https://example.com"}
        environment = {
            name: value
            for name, value in self.variables(GITHUB_REPOSITORY=REPOSITORY, **more).items()
            if not name.startswith("DEPLOY_SSH")
        }
        return run_workflow(
            self.folder,
            "promote.yml",
            self.act,
            environment,
            payload={"before": before},
            repository=REPOSITORY,
            secrets=secrets,
            variables=variables,
        )


@pytest.fixture(scope="module")
def shop(target: Target, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Promoted]:
    target.clear()
    target.engine.traefik("traefik:v3.7")
    made = Promoted(tmp_path_factory.mktemp("promotion"), template, target)
    with serving(made.github) as address:
        made.api = address
        yield made


@pytest.fixture(scope="module")
def versions(shop: Shop) -> list[str]:
    """The first one runs everywhere, put there by hand as at level 2; the second on staging."""
    assert isinstance(shop, Promoted)
    first = shop.commits("first")
    shop.make("deploy", "ENV=staging")
    for name in ("qa", "production"):
        shop.make("deploy", f"ENV={name}", "RELEASE=1")
    second = shop.commits("second")
    shop.make("deploy", "ENV=staging")
    return [first, second]


def test_the_first_promotion_takes_over_what_runs(shop: Promoted, versions: list[str]) -> None:
    first, second = versions
    branches = git(shop.bare, "for-each-ref")
    said = shop.make("promote", "FROM=staging", "TO=production", DRY_RUN="1")
    assert f'release: {{"version": "{second}", "from": "staging/2"' in said and "Somebody else" in said
    assert (git(shop.bare, "for-each-ref"), shop.github.numbered) == (branches, [])
    images = {*shop.target.engine.docker("images", "--quiet").split()}
    staging = shop.record()
    requests = Requests(shop.url(environment="production"), pause=0.004)
    with under_load(requests, 8) as counts:
        number, said = shop.promote("production", FROM="staging")
        assert f"pull/{number}" in said
        tip = git(shop.bare, "rev-parse", "main").strip()
        # Its author alone isn't enough, nor is a stranger.
        shop.github.review(number, "author")
        shop.github.review(number, "stranger", may="read")
        jobs = shop.merged(number)
        assert (jobs["approved"].conclusion, jobs["deploy-production"].conclusion) == ("failure", "skipped")
        assert "nobody but its author approved #1 as it was merged" in jobs["approved"].log
        assert shop.ask(environment="production") == (1, first)
        shop.github.review(number, "colleague")
        jobs = shop.workflow(tip)
        assert {name: job.conclusion for name, job in jobs.items()} == {
            "approved": "success",
            "deploy-qa": "skipped",
            "deploy-production": "success",
        }, jobs["deploy-production"].log
        assert f"production: {second}, approved by colleague in #1" in jobs["approved"].log
        shop.runs(2, second, "production")
        # Back at once, by hand.
        shop.make("rollback", "ENV=production")
        shop.runs(1, first, "production")
        said = shop.make("status", "ENV=production", code=1)
        assert f"drift: builds: {first} runs, and config/releases/production.yml says {second}" in said
        # And on again by hand, from the line; no image is asked for by its tag.
        shop.make("deploy", "ENV=production")
        shop.runs(3, second, "production")
    assert not counts.failed, str(counts)
    assert counts.versions.keys() == {first, second}
    print(f"production: {counts}")
    assert {*shop.target.engine.docker("images", "--quiet").split()} == images and shop.record() == staging
    assert [line["version"] for line in shop.record("qa")] == [first], "that one was left alone"
    assert git(shop.folder, "status", "--porcelain").split() == ["M", "config/deploys.jsonl"]
    said = shop.make("status")
    assert "drift" not in said and said.count("  well") == 3


def test_drift_is_named(shop: Promoted, versions: list[str]) -> None:
    number = shop.ask(environment="production")[0]
    engine, name = shop.target.engine, f"shop-production-{number}"
    assert "drift" not in shop.make("status")
    shop.environment("production", GREETING="hunter2", MORE="x")
    said = shop.make("status", code=1)
    assert "drift: settings: GREETING, MORE on the host differ from config/production.env here" in said
    assert "hunter2" not in said and said.count("drift") == 1
    shop.environment("production", GREETING="production")
    shop.project.replace("config/releases/production.yml", versions[1], versions[0])
    line = shop.project.read("config/releases/production.yml")
    digest = json.loads(line.partition("release: ")[2])["builds"]["api"]
    shop.project.replace("config/releases/production.yml", digest, "sha256:" + "0" * 64)
    assert "drift: builds:" in shop.make("status", code=1)
    git(shop.folder, "checkout", "config/releases")
    # A container beside the release, one of other settings in its place, and one of another image.
    image = engine.docker("inspect", "--format", "{{.Config.Image}}", f"{name}-api-1").strip()
    engine.docker("run", "--detach", "--name", "mine", "--network", f"{name}_default", image, "sleep", "99")
    assert "drift: mine was started by hand beside the release" in shop.make("status", code=1)
    engine.docker("rm", "--force", "mine")
    folder = shop.there("production")
    file = folder / f"releases/{number}/compose.json"
    whole = file.read_text()
    up = (
        "compose",
        "-p",
        name,
        "--project-directory",
        str(folder),
        "-f",
        str(file),
        "up",
        "--detach",
        "--wait",
    )
    engine.docker(*up)
    assert "drift" not in shop.make("status"), "what compose finds as it was isn't drift"
    aside = folder / "mine.json"
    changed = json.loads(whole)
    changed["services"]["api"]["environment"]["DEBUG"] = "1"
    aside.write_text(json.dumps(changed))
    engine.docker(*(str(aside) if word == str(file) else word for word in up))
    said = shop.make("status", code=1)
    assert f"drift: {name}-api-1 was started by hand: its settings aren't those of its release" in said
    file.write_text(json.dumps(changed))
    said = shop.make("status", code=1)
    assert (
        f"drift: releases/{number}/compose.json was edited on the host" in said and said.count("drift") == 1
    )
    file.write_text(whole)
    shop.make("deploy", "ENV=production")
    assert "drift" not in shop.make("status")


def test_down_to_level_2_with_a_promotion_open_and_up_again(shop: Promoted) -> None:
    third = shop.commits("third")
    shop.make("deploy", "ENV=staging")
    requests = Requests(shop.url(environment="production"), pause=0.004)
    with under_load(requests, 8) as counts:
        number, _ = shop.promote("production", FROM="staging")
        shop.project.commit().move(2)
        git(shop.project.commit("down").folder, "push", "--quiet", "origin", "HEAD:main")
        version = shop.build("at level 2")
        shop.make("deploy", "ENV=staging")
        at_level_2 = shop.record()[-1]["release"]
        shop.make("deploy", "ENV=production", f"RELEASE={at_level_2}")
        assert shop.ask(environment="production")[1] == version
        shop.project.commit().move(3)
        git(shop.project.commit("up").folder, "push", "--quiet", "origin", "HEAD:main")
        tip = git(shop.bare, "rev-parse", "main").strip()
        shop.github.review(number, "colleague")
        jobs = shop.merged(number)
        assert jobs["deploy-production"].conclusion == "success", (tip, jobs["approved"].log)
        assert shop.ask(environment="production")[1] == third, jobs["deploy-production"].log
    assert not counts.failed, str(counts)
    print(f"down and up: {counts}")
