"""The live checklist: what a level needs, read from the project as it stands, and what a person does about
it.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from extensions.cli import main
from extensions.errors import Refused
from extensions.evolution import checklist, checks
from extensions.evolution.checklist import Item, check
from extensions.template import answers, layers
from tests.support.projects import LEVELS, ROOT, Project, git

AtLevel = Callable[..., Project]
MANIFESTS = layers.manifests(ROOT)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_github(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token, whoever runs this; GitHub is a stand-in where a test has one."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GH_CONFIG_DIR", str(tmp_path / "gh"))


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A stand-in of GitHub's API: a mapping from path to what a GET answers, or to a status.

    What isn't there is not found.
    """
    known: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.setdefault("asked", []).append(self.path)
            answer = known.get(self.path, 404)
            body = b'{"message": "no"}' if isinstance(answer, int) else json.dumps(answer).encode()
            self.send_response(answer if isinstance(answer, int) else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("GITHUB_TOKEN", "a-token-of-the-tests")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield known
    server.shutdown()


def items(project: Project, level: int | None = None, **recorded: Any) -> dict[str, Item]:
    """The checklist by key, for recorded answers with these changed."""
    found = check(project.folder, {**answers.recorded_answers(project.folder), **recorded}, level, now=NOW)
    return {item.key: item for item in found}


def states(project: Project, level: int | None = None) -> dict[str, str]:
    return {key: item.state for key, item in items(project, level).items()}


# The first day


@pytest.mark.parametrize("level", LEVELS)
def test_a_new_project_has_only_items_that_its_owner_can_do(fresh: AtLevel, level: int) -> None:
    found = items(fresh(level, two=True))
    owners_own = {
        "locked_dependencies": "make install",
        "api_documented": "make api-docs",
        "experiment": "config/experiments.yml",
        "experiments_flag": "a_b_testing",
    }
    todo = {key for key, item in found.items() if item.state == "todo"}
    assert todo <= set(owners_own)
    for key in todo:
        assert owners_own[key] in found[key].fix
    assert {key for key, item in found.items() if item.state == "unknown"} <= {
        "branch_rule",
        "staging_environment",
        "deployment_trigger",
        "deployment_secrets",
        "code_scanning",
    }
    assert sum(item.state == "done" for item in found.values()) >= 3 + level


@pytest.mark.parametrize("level", LEVELS)
def test_every_item_says_why_and_what_to_do(fresh: AtLevel, level: int) -> None:
    for item in items(fresh(1), level).values():
        assert item.title and not item.title.endswith(".") and len(item.title) < 90
        assert item.why.endswith(".") and item.detail
        assert bool(item.fix) == (item.state in ("todo", "unknown")), item


def test_the_manifests_name_every_check_once() -> None:
    named = [entry.key for manifest in MANIFESTS for entry in manifest.checks]
    assert len(named) == len(set(named))
    for manifest in MANIFESTS:
        text = (ROOT / f"extensions/evolution/checks/level_{manifest.level}.py").read_text()
        written = re.findall(r"^def ([a-z]\w*)\(facts: Facts\) -> Answer:", text, re.MULTILINE)
        assert written == [entry.key for entry in manifest.checks]
        for key in written:
            assert checks.title(checks.of_level(manifest.level, key))


def test_nothing_is_changed(at_level: AtLevel) -> None:
    project = at_level(4)
    before = project.tree()
    items(project)
    assert project.tree() == before


# Level 1


def test_a_service_that_never_calls_init_service_is_told_where_to(at_level: AtLevel) -> None:
    project = at_level(1, two=True)
    project.replace("services/market_data/app.py", "    return init_service(app, ", "    return str(")
    item = items(project)["health_endpoints"]
    assert (item.state, item.detail) == ("todo", "1 of 2 services don't have them")
    assert "services/market_data/app.py" in item.fix and 'init_service(app, "market-data")' in item.fix


@pytest.mark.parametrize(
    "line",
    [
        "# init_service(app, name)",
        "'init_service(app, name)'",
        "print('init_service(app)')",
        "init_services(app)",
    ],
)
def test_a_comment_or_a_text_is_no_call(at_level: AtLevel, line: str) -> None:
    project = at_level(1)
    project.replace("services/api/app.py", "    return init_service(app, ", f"    {line}\n    return str(")
    assert states(project)["health_endpoints"] == "todo"


@pytest.mark.parametrize(
    ("imported", "called"),
    [
        ("from health import init_service as begin", "begin(app, name)"),
        ("import health", "health.create_health_endpoint(app, name)"),
        ("from services.api.health import init_service", "init_service(app, name)"),
    ],
)
def test_the_call_is_found_by_whatever_name(at_level: AtLevel, imported: str, called: str) -> None:
    project = at_level(1)
    project.replace("services/api/app.py", "from .health import init_service\n", f"{imported}\n")
    project.replace("services/api/app.py", "    return init_service(app, ", f"    {called}\n    return str(")
    assert states(project)["health_endpoints"] == "done"


def test_a_health_route_of_the_persons_own_is_told_and_the_call_is_done(at_level: AtLevel) -> None:
    project = at_level(1)
    project.replace(
        "services/api/app.py",
        "    return init_service(app, ",
        "    app.get('/health')(len)\n    return init_service(app, ",
    )
    item = items(project)["health_endpoints"]
    assert item.state == "done"
    assert "api: your own /health (services/api/app.py:" in item.detail
    assert "deploys and images ask /-/health, which is ours" in item.detail


def test_own_checks_that_nobody_asks_are_to_do(at_level: AtLevel) -> None:
    project = at_level(1)
    project.write("services/api/checks.py", "def stock(): return True\n\n\nREADINESS = [stock]\n")
    item = items(project)["readiness_checks"]
    assert (
        item.state == "todo"
        and "services/api/checks.py is there and no readiness.py to ask it" in item.detail
    )
    assert "`- {service: api, kind: own}`" in item.fix and "make upgrade LEVEL=1" in item.fix
    project.write("services/api/readiness.py", "# what the answer brings\n")
    item = items(project, readiness=[{"service": "api", "kind": "own"}])["readiness_checks"]
    assert (item.state, item.detail) == ("done", "asked: checks.py of api")


def test_what_cannot_be_parsed_is_unknown_and_not_missing(at_level: AtLevel) -> None:
    project = at_level(1)
    project.write("services/api/app.py", "def create_app(:\n")
    item = items(project)["health_endpoints"]
    assert item.state == "unknown" and "services/api/app.py can't be parsed" in item.detail


def test_a_server_that_readiness_does_not_ask_is_named(at_level: AtLevel) -> None:
    project = at_level(1)
    assert states(project)["readiness_checks"] == "n/a"
    app = project.read("services/api/app.py")
    client = 'import redis\n\ncache = redis.Redis.from_url(os.environ["REDIS_URL"])\n'
    project.write(
        "services/api/app.py", app.replace("import urllib.request\n", f"import urllib.request\n{client}")
    )
    item = items(project)["readiness_checks"]
    assert item.state == "todo" and "in place of `[]`" in item.fix
    assert "api: redis at REDIS_URL by app.py:cache, optional (services/api/app.py:" in item.detail
    (entry,) = yaml.safe_load(item.fix.splitlines()[1])  # the lines are those of the answers file
    assert entry == {
        "service": "api",
        "kind": "redis",
        "target": "REDIS_URL",
        "required": False,
        "client": "app.py:cache",
    }
    assert items(project, readiness=[entry])["readiness_checks"].state == "done"
    for client, where in (
        ("app.py:redis_client", "services/api/app.py:redis_client"),
        ("gone.py:cache", "services/api/gone.py:cache"),
    ):
        item = items(project, readiness=[{**entry, "client": client}])["readiness_checks"]
        assert item.state == "todo" and item.detail == f"api: redis is asked by {where}, which isn't there"
    del entry["client"]  # as it was recorded before there were clients
    assert items(project, readiness=[entry])["readiness_checks"].detail == "asked: redis at REDIS_URL of api"


def test_what_readiness_cannot_ask_is_named_with_its_line(at_level: AtLevel) -> None:
    project = at_level(1)
    client = 'from elasticsearch import Elasticsearch\n\nsearch = Elasticsearch(os.environ["SEARCH_URL"])\n'
    project.replace("services/api/app.py", "import urllib.request\n", f"import urllib.request\n{client}")
    item = items(project)["readiness_checks"]
    assert item.state == "done" and re.search(
        r"not checked: api: elasticsearch at SEARCH_URL \(services/api/app.py:\d+ .*: no check asks this"
        r" kind",
        item.detail,
    )


def test_the_api_is_documented_once_the_docs_say_what_the_source_says(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = at_level(1, two=True)
    assert "docs/api.md is missing" in items(project)["api_documented"].detail
    monkeypatch.chdir(project.folder)
    assert main(["api-docs"]) == 0
    assert states(project)["api_documented"] == "done"
    project.replace("services/market_data/app.py", '"/changes/<symbol>"', '"/sums/<symbol>"')
    assert "out of date" in items(project)["api_documented"].detail
    # Where the Makefile is theirs, the files call make in another way.
    project.replace(".copier-answers.yml", "keep: []", "keep: [Makefile]")
    assert main(["api-docs"]) == 0
    assert states(project)["api_documented"] == "done"


def test_a_worker_has_no_api_to_document(at_level: AtLevel) -> None:
    services = [{"name": "bot", "path": "services/api", "kind": "worker", "code": "ours", "app": "worker.py"}]
    assert items(at_level(1), services=services)["api_documented"].state == "n/a"


def test_a_test_that_asserts_nothing_is_no_test(at_level: AtLevel) -> None:
    project = at_level(1)
    project.write(
        "tests/unit/api/test_api_app.py",
        "from services.api.app import percent_change\n\ndef test_it():\n    percent_change(1, 2)\n",
    )
    item = items(project)["unit_tests"]
    assert item.state == "todo" and "api: 0 of" in item.detail and "services/api/app.py" in item.fix
    project.write(
        "tests/unit/api/test_api_app.py",
        "from services.api.app import percent_change\n\ndef test_it():\n    assert percent_change(1, 2)\n",
    )
    assert states(project)["unit_tests"] == "done"


def test_a_pipeline_that_skips_pull_requests_or_the_check_is_no_pipeline(at_level: AtLevel) -> None:
    project = at_level(1)
    workflow = ".github/workflows/quality.yml"
    project.replace(workflow, "  pull_request:\n", "")
    assert "pull_request" in items(project)["quality_pipeline"].fix
    project.replace(workflow, "make -f levels.mk check", "echo make check is for later > note")
    project.write(
        ".github/workflows/theirs.yml",
        "on: [pull_request]\njobs:\n  a:\n    steps:\n      - run: make lint check\n",
    )
    assert items(project)["quality_pipeline"].detail == ".github/workflows/theirs.yml"
    project.write(
        ".github/workflows/theirs.yml",
        "on: [pull_request]\njobs:\n  a:\n    if: false\n    steps:\n      - run: make check\n",
    )
    assert states(project)["quality_pipeline"] == "todo"
    project.write(".github/workflows/theirs.yml", "jobs: [")
    assert states(project)["quality_pipeline"] == "unknown"


def test_a_deleted_file_can_be_brought_back_as_it_says(at_level: AtLevel) -> None:
    project = at_level(1)
    path = "config/local.env.template"
    git(project.folder, "rm", "--quiet", path)
    project.commit("gone")
    fix = items(project)["environment_files"].fix
    command = re.search(r"`(git checkout .* -- \S+)` brings", fix)
    assert command
    import subprocess

    subprocess.run(["sh", "-ec", command[1]], cwd=project.folder, check=True, capture_output=True)
    assert states(project)["environment_files"] == "done"


def test_a_committed_secret_is_seen(at_level: AtLevel) -> None:
    project = at_level(1)
    project.write("config/production.env", "PASSWORD=x\n")
    assert states(project)["environment_files"] == "done", "git ignores it"
    git(project.folder, "add", "--force", "config/production.env")
    item = items(project)["environment_files"]
    assert item.state == "todo" and "change the secrets" in item.fix


def test_the_lock_counts_once_it_is_in_git(at_level: AtLevel) -> None:
    project = at_level(1)
    project.write("uv.lock", "version = 1\n")
    assert states(project)["locked_dependencies"] == "todo"
    git(project.folder, "add", "uv.lock")
    assert states(project)["locked_dependencies"] == "done"


def test_a_baseline_is_asked_of_adopted_code_only(fresh: AtLevel, project: Project) -> None:
    assert "baseline" not in items(fresh(1))
    project.write(
        "shop/app.py", "from flask import Flask\n\napp = Flask(__name__)\n\n\ndef price(x):\n    return x\n"
    )
    git(project.folder, "init", "--quiet")
    project.commit("theirs").copy()
    found = items(project)
    assert found["baseline"].state == "todo" and "baseline" in found["baseline"].fix
    assert found["health_endpoints"].state == "todo" and "shop/app.py" in found["health_endpoints"].fix
    project.write("config/baseline.txt", "# none\n")
    assert "git add" in items(project)["baseline"].fix
    assert states(project.commit())["baseline"] == "done"


# Level 2 and beyond


def test_staging_is_known_from_the_deployment_log_or_from_the_settings(at_level: AtLevel) -> None:
    project = at_level(2)
    assert states(project)["staging_environment"] == "unknown"
    project.write("config/staging.env", "DEPLOY_HOST=\n")
    assert states(project)["staging_environment"] == "unknown"
    project.write("config/staging.env", "DEPLOY_HOST=me@host\n")
    assert states(project)["staging_environment"] == "done"
    (project.folder / "config/staging.env").unlink()
    line = {
        "kind": "deploy",
        "environment": "staging",
        "version": "a",
        "at": "2026-11-20T10:00:00Z",
        "by": "x",
        "outcome": "failure",
    }
    project.write("config/deploys.jsonl", json.dumps(line) + "\n")
    assert states(project)["staging_environment"] == "unknown", "it failed"
    project.write("config/deploys.jsonl", json.dumps({**line, "outcome": "success"}) + "\n")
    assert items(project)["staging_environment"].detail == "deployed to, last on 2026-11-20"


def test_a_service_that_the_integration_tests_pass_over_is_named(at_level: AtLevel) -> None:
    project = at_level(2)
    services = [{"name": "shop", "path": "shop", "kind": "web", "code": "theirs", "app": "app:app"}]
    recorded = {**answers.recorded_answers(project.folder), "services": services}
    found = {item.key: item for item in check(project.folder, recorded, now=NOW)}
    assert "shop is passed over" in found["integration_tests"].detail
    project.write("tests/integration/settings.json", '{"shop": {}}\n')
    found = {item.key: item for item in check(project.folder, recorded, now=NOW)}
    assert found["integration_tests"].state == "done"


def test_a_push_that_deploys_nothing_is_seen(at_level: AtLevel) -> None:
    project = at_level(2)
    assert states(project)["deployment_trigger"] == "unknown", "it stands nowhere on GitHub"
    project.replace(".github/workflows/staging-deploy.yml", '["main"]', '["trunk"]')
    assert "main" in items(project)["deployment_trigger"].fix
    (project.folder / ".github/workflows/staging-deploy.yml").unlink()
    assert {"staging_workflow", "deployment_trigger", "deployment_secrets"} <= {
        k for k, v in states(project).items() if v == "todo"
    }


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("PYSEC-1 2027-01-31 we parse no files", "done"),
        ("PYSEC-1 2026-11-24 the last day counts", "done"),
        ("PYSEC-1 2026-11-23 yesterday", "todo"),
        ("PYSEC-1 soon because", "todo"),
        ("findings: report", "todo"),
    ],
)
def test_exceptions_end_on_their_day(at_level: AtLevel, line: str, state: str) -> None:
    project = at_level(3)
    project.write(
        "config/security-exceptions.txt", project.read("config/security-exceptions.txt") + line + "\n"
    )
    assert states(project)["security_exceptions"] == state


EXPERIMENT = """\
experiments:
  checkout:
    hypothesis: "It sells more"
    owner: ada
    flag: new-checkout
    unit: user
    variants: {a: 1, b: 1}
    control: a
"""


def test_experiments_of_ones_own(at_level: AtLevel) -> None:
    project = at_level(4)
    project.write("config/experiments.yml", EXPERIMENT)
    project.replace(
        "config/feature-flags.yml",
        "      monitoring_dashboards: true\n",
        "      monitoring_dashboards: true\n      a_b_testing: true\n",
    )
    found = items(project)
    assert [found[key].state for key in ("experiments", "experiment", "experiments_flag")] == ["done"] * 3
    assert found["experiments_flag"].detail == "on in production"
    assert found["experiments"].detail == "1 in config/experiments.yml, 0 running"
    project.replace("config/experiments.yml", "control: a", "control: c")
    assert (
        "line 8: experiments.checkout.control: expected one of a, b" in items(project)["experiments"].detail
    )


FLAGS = "config/feature-flags.yml"


def with_flags(project: Project, *lines: str) -> Project:
    """The project with flags of its own, one a line, the first in line 37."""
    project.replace(
        FLAGS, "  # Yours, below.\n", "".join(f"  {line}\n" for line in ["# Yours, below.", *lines])
    )
    return project


def test_flags_of_ones_own_have_an_owner_and_a_type(at_level: AtLevel) -> None:
    project = at_level(4)
    assert states(project)["flag_owners"] == "n/a"
    with_flags(
        project,
        "dark_mode: {enabled: true, owner: ada, type: release}",
        "new_search: {enabled: true, owner: bob}",
        "beta: {enabled: false}",
    )
    found = items(project)["flag_owners"]
    first = (
        project.read(FLAGS).splitlines().index("  dark_mode: {enabled: true, owner: ada, type: release}") + 1
    )
    assert found.detail.splitlines() == [
        f"{FLAGS}:{first + 1}: new_search has no type",
        f"{FLAGS}:{first + 2}: beta has no owner and no type",
    ]
    project.replace(FLAGS, "owner: bob}", "owner: bob, type: operational}")
    project.replace(FLAGS, "beta: {enabled: false}", "beta: {enabled: false, owner: bob, type: permission}")
    assert states(project)["flag_owners"] == "done"


def test_flags_that_have_done_their_work_are_named_with_their_places(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = at_level(4)
    assert states(project)["stale_flags"] == "done"
    with_flags(
        project,
        "old_one: {enabled: true}",
        "kill_switch: {enabled: true, type: operational}",
        "switched: {enabled: true}",
        "in_production: {enabled: false}",
        "past: {enabled: false, expires: 2026-11-01}",
        "unused: {enabled: false}",
    )
    names = ["old_one", "kill_switch", "switched", "in_production", "past"]
    project.write("services/api/uses.py", "".join(f"print({name!r})\n" for name in names))
    project.replace(FLAGS, "{health_endpoints: true, ", "{in_production: true, health_endpoints: true, ")
    for environment in ("staging", "production"):
        text = project.read(FLAGS)
        place = f"  {environment}:\n    override:\n"
        assert place in text
        project.write(FLAGS, text.replace(place, f"{place}      in_production: true\n"))

    def day(when: datetime, message: str) -> None:
        for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
            monkeypatch.setenv(name, when.isoformat())
        project.commit(message)

    first = project.read(FLAGS).splitlines().index("  old_one: {enabled: true}") + 1
    assert "old_one" not in items(project)["stale_flags"].detail, "nothing is known of 90 days ago"
    day(NOW - timedelta(days=100), "flags")
    project.replace(FLAGS, "  switched: {enabled: true}", "  switched: {enabled: false}")
    day(NOW - timedelta(days=50), "off")
    project.replace(FLAGS, "  switched: {enabled: false}", "  switched: {enabled: true}")
    day(NOW - timedelta(days=49), "on")
    assert items(project)["stale_flags"].detail.splitlines() == [
        f"{FLAGS}:{first}: old_one is on everywhere for 90 days or more: services/api/uses.py:1",
        f"{FLAGS}:{first + 3}: in_production is on everywhere for 90 days or more: services/api/uses.py:4",
        f"{FLAGS}:{first + 4}: past was to go by 2026-11-01: services/api/uses.py:5",
        f"{FLAGS}:{first + 5}: unused is asked for by no code",
    ]


def test_an_experiment_that_is_long_over_is_named(at_level: AtLevel) -> None:
    project = at_level(4)
    over = '    started: {"at": "2026-06-01T00:00:00Z", "plan": {}}\n    ended: {"at": "%s", "serve": "b"}\n'
    for at, state in (("2026-08-01T00:00:00Z", "todo"), ("2026-11-01T00:00:00Z", "done")):
        project.write("config/experiments.yml", EXPERIMENT + over % at)
        found = items(project)["stale_flags"]
        assert found.state == state
        assert state == "done" or found.detail.startswith(
            "config/experiments.yml:2: checkout ended 2026-08-01"
        )


# GitHub


def test_what_github_knows_is_asked(at_level: AtLevel, github: dict[str, Any]) -> None:
    project = at_level(3)
    base = "/repos/acme/shop"
    github[base] = {"private": False}
    found = items(project, repository="acme/shop")
    waiting = ("branch_rule", "staging_environment", "deployment_secrets", "code_scanning")
    assert [found[key].state for key in waiting] == ["unknown", "todo", "todo", "todo"]
    github[f"{base}/rules/branches/main"] = [
        {"type": "deletion"},
        {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": "check"}]}},
    ]
    github[f"{base}/actions/variables/STAGING_HOST"] = {"name": "STAGING_HOST", "value": "me@host"}
    github[f"{base}/environments/staging/secrets"] = {
        "secrets": [{"name": "STAGING_SSH_KEY"}, {"name": "STAGING_ENV"}]
    }
    github[f"{base}/code-scanning/default-setup"] = {
        "state": "configured",
        "languages": ["actions", "python"],
    }
    found = items(project, repository="acme/shop")
    assert [found[key].state for key in waiting] == ["done", "done", "todo", "done"]
    assert found["deployment_secrets"].detail == "missing: STAGING_KNOWN_HOSTS"
    assert found["code_scanning"].detail == "CodeQL's default setup is on: actions, python"
    github[f"{base}/actions/secrets"] = {"secrets": [{"name": "STAGING_KNOWN_HOSTS"}]}
    github[f"{base}/rules/branches/main"] = []
    assert items(project, repository="acme/shop")["deployment_secrets"].state == "done"
    assert items(project, repository="acme/shop")["branch_rule"].state == "todo"


def test_a_push_deploys_by_itself_once_it_has(at_level: AtLevel, github: dict[str, Any]) -> None:
    """A workflow's file alone deploys nothing: without a host, secrets or a repository it never ran."""
    project, base = at_level(2), "/repos/acme/shop"
    github[base] = {"private": False}

    def said() -> tuple[str, str]:
        item = items(project, repository="acme/shop")["deployment_trigger"]
        return item.state, item.detail

    assert said()[0] == "todo" and "until the variable STAGING_HOST is set" in said()[1]
    github[f"{base}/actions/variables/STAGING_HOST"] = {"name": "STAGING_HOST", "value": "me@host"}
    assert said()[0] == "todo" and "has deployed nothing yet" in said()[1]
    github[f"{base}/deployments?environment=staging&per_page=1"] = [
        {"id": 7, "created_at": "2026-11-20T10:00:00Z"}
    ]
    github[f"{base}/deployments/7/statuses?per_page=1"] = [{"state": "in_progress"}]
    assert said() == ("unknown", "how the last deployment to staging went: in_progress")
    github[f"{base}/deployments/7/statuses?per_page=1"] = [{"state": "success"}]
    assert said() == ("done", ".github/workflows/staging-deploy.yml, last on 2026-11-20")
    github[f"{base}/deployments?environment=staging&per_page=1"] = 403
    assert said()[0] == "unknown"


def test_a_repository_that_may_not_be_seen_is_unknown(at_level: AtLevel, github: dict[str, Any]) -> None:
    found = items(at_level(3), repository="acme/hidden")
    assert {found[key].state for key in ("branch_rule", "staging_environment", "code_scanning")} == {
        "unknown"
    }
    assert "knows no acme/hidden" in found["code_scanning"].detail


def test_a_private_repository_needs_no_code_scanning(at_level: AtLevel, github: dict[str, Any]) -> None:
    github["/repos/acme/shop"] = {"private": True}
    assert items(at_level(3), repository="acme/shop")["code_scanning"].state == "n/a"


def test_github_is_asked_once_where_it_refuses(at_level: AtLevel, github: dict[str, Any]) -> None:
    for path in ("/repos/acme/shop/rules/branches/main", "/repos/acme/shop/actions/variables/STAGING_HOST"):
        github[path] = 401
    found = items(at_level(3), repository="acme/shop")
    assert "401" in found["branch_rule"].detail and found["code_scanning"].state == "unknown"
    assert len(github["asked"]) == 1


# Exemptions and the command


def exempt(project: Project, *lines: str) -> None:
    project.replace(
        "config/evolution.yml", "exempt:\n", "exempt:\n" + "".join(f"  {line}\n" for line in lines)
    )


def test_an_exemption_has_a_reason_and_counts_for_what_is_to_do_only(at_level: AtLevel) -> None:
    project = at_level(1)
    exempt(
        project,
        "locked_dependencies: we release  a library",
        "health_endpoints: not needed",
        "branch_rule: I work alone",
    )
    found = items(project)
    assert (found["locked_dependencies"].state, found["locked_dependencies"].detail) == (
        "exempt",
        "we release a library",
    )
    assert found["branch_rule"].state == "exempt"
    assert found["health_endpoints"].state == "done"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "locked_dependency: because",
            "exempt: locked_dependency is not known; did you mean locked_dependencies?",
        ),
        ("locked_dependencies:", "exempt: locked_dependencies: expected the reason"),
        ("locked_dependencies: true", "exempt: locked_dependencies: expected the reason"),
        ("locked_dependencies: [a]", "exempt: locked_dependencies: expected the reason"),
    ],
)
def test_an_exemption_that_cannot_be_taken_is_named_with_its_line(
    at_level: AtLevel, line: str, message: str
) -> None:
    project = at_level(1)
    exempt(project, line)
    number = project.read("config/evolution.yml").splitlines().index(f"  {line}") + 1
    with pytest.raises(Refused) as refused:
        items(project)
    assert str(refused.value).startswith(f"config/evolution.yml:{number}: {message}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("target_level: next", "target_level: 5", "target_level: expected next or a level from 1 to 4"),
        (
            "target_level: next",
            "target_levle: next",
            "the key target_levle is not known; did you mean target_level?",
        ),
        ("target_level: next", "target_level: [", "expected YAML"),
        ("  monitoring: false", "  monitoring: soon", "features: monitoring: expected true or false"),
        ("exempt:\n", "exempt: nothing\n", "exempt: expected names with values"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_its_place(
    at_level: AtLevel, old: str, new: str, message: str
) -> None:
    project = at_level(1)
    project.replace("config/evolution.yml", old, new)
    with pytest.raises(Refused, match=rf"^config/evolution\.yml:\d+: .*{re.escape(message)}") as refused:
        items(project)
    assert "\n" not in str(refused.value)


def run(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.chdir(project.folder)
    capsys.readouterr()
    code = main(["todo", *arguments])
    return code, *capsys.readouterr()


def test_it_holds_a_project_at_its_level(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1)
    exempt(project, *(f"{key}: not now" for key, state in states(project).items() if state == "todo"))
    code, out, _ = run(project, monkeypatch, capsys)
    assert code == 0, "what is ahead doesn't fail"
    assert (
        "[~] The versions" in out
        and "not now" in out
        and "Level 2, Automated (ahead: `make preview LEVEL=2`)" in out
    )
    code, out, _ = run(project, monkeypatch, capsys, "--level", "2", "--json")
    seen = json.loads(out)
    assert (code, seen["passed"], seen["held_to"], seen["level"]) == (1, False, 2, 1)
    fixes = {item["key"]: item["fix"] for item in seen["items"]}
    assert "`make upgrade LEVEL=2` brings" in fixes["staging_workflow"]


def test_it_looks_ahead_to_the_target_level(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1)
    project.replace("config/evolution.yml", "target_level: next", "target_level: 3")
    project.replace("config/evolution.yml", "  monitoring: false", "  monitoring: true")
    project.replace("config/evolution.yml", "  security_scanning: false", "  security_scanning: true")
    _, out, _ = run(project, monkeypatch, capsys)
    assert "Level 3, Professional (ahead" in out and "Level 4" not in out
    assert "Wanted: security_scanning: comes with level 3" in out
    assert "Wanted: monitoring: comes with level 3" in out


def test_next_is_the_level_after_that_of_the_project(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for level, ahead in ((3, 4), (4, 4)):
        project = at_level(level)
        _, out, _ = run(project, monkeypatch, capsys, "--json")
        assert json.loads(out)["target_level"] == ahead
        monkeypatch.chdir(project.folder.parent)
        shutil.rmtree(project.folder)


def test_without_its_settings_it_still_runs(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1)
    (project.folder / "config/evolution.yml").unlink()
    _, out, _ = run(project, monkeypatch, capsys)
    assert "Level 1, Basic" in out and "Level 2" not in out


def test_bad_input_is_exit_code_2(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1)
    code, out, err = run(project, monkeypatch, capsys, "--level", "9")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_text_of_the_project_cannot_play_with_the_terminal(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1)
    project.replace(
        "config/evolution.yml", "exempt:\n", 'exempt:\n  locked_dependencies: "\\e[31mred\\e[0m"\n'
    )
    _, out, _ = run(project, monkeypatch, capsys)
    assert "\x1b" not in out and "\\x1b[31mred" in out


def test_the_template_leaves_the_block_for_exemptions_empty(fresh: AtLevel) -> None:
    assert yaml.safe_load(fresh(1).read("config/evolution.yml"))["exempt"] is None


def test_the_page_lists_every_item() -> None:
    """docs/checklist.md, compared with the manifests and the checks."""
    told = re.findall(
        r"^\| (\d) \| `(\w+)` \| (.*?)(?: \(.*\))? \|$",
        (ROOT / "docs/checklist.md").read_text(),
        re.MULTILINE,
    )
    named = [(manifest.level, entry.key) for manifest in MANIFESTS for entry in manifest.checks]
    assert told == [(str(level), key, checks.title(checks.of_level(level, key))) for level, key in named]


def test_what_does_not_apply_is_counted_in_the_singular_and_the_plural(at_level: AtLevel) -> None:
    project = at_level(1)
    seen = checklist.report(project.folder, project.answers(), None, offline=True)
    for count, said in ((1, "1 doesn't apply"), (2, "2 don't apply")):
        states = ["n/a"] * count + ["done"] * (len(seen.items) - count)
        items = [replace(item, state=state, level=1) for item, state in zip(seen.items, states, strict=True)]
        head = checklist.text(replace(seen, items=items), project.answers()).splitlines()[0]
        assert head.endswith(f", {said}"), head


def test_what_to_set_up_is_a_line_that_can_be_read_at_a_glance() -> None:
    for manifest in layers.manifests(ROOT):
        for step in manifest.setup:
            assert len(f"{step.what} ({step.where}): {step.why}") <= 170, step
