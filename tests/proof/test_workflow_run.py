"""From a push to staging's answer, by the workflow file itself: for what is well, and for each way to fail."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import guestbook
from tests.support.act import Job, run_workflow
from tests.support.as_a_person import levels
from tests.support.engine import Target
from tests.support.load import Counts, Requests, under_load
from tests.support.projects import Project, git
from tests.support.proofs import Machine, fresh_machine
from tests.support.scale import SOAK
from tests.support.servers import free_port

pytestmark = pytest.mark.proof
JOBS = ("check", "integration", "images", "deploy")


@dataclass
class Staging:
    """A project whose pushes are released on a host."""

    project: Project
    machine: Machine
    target: Target
    folder: Path
    settings: dict[str, str]  # of staging
    service: str = "api"
    runs: int = 0

    def push(self, **after: Callable[[], object]) -> tuple[str, dict[str, Job]]:
        """Commit all that stands there, and run the workflow of the push; gives the commit, and what came of each job.

        `after` is what happens once a job has ended.
        """
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
                "STAGING_ENV": "".join(f"{name}={value}\n" for name, value in self.settings.items()),
            },
            variables={"STAGING_HOST": self.target.ssh.address, "REGISTRY_USERNAME": "someone"},
            after=after,
        )
        return version, jobs

    def url(self, path: str, service: str = "") -> str:
        """Where staging answers."""
        return f"http://127.0.0.1:{self.settings[f'{service or self.service}_PORT'.upper()]}{path}"

    def answer(self, service: str = "") -> tuple[str, str]:
        """The version that staging answers with, and the number of the release that the proxy sends to."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url("/-/health", service), timeout=5) as answer:
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
    return Staging(project, machine, target, folder, {"API_PORT": str(free_port())})


def ends(jobs: dict[str, Job]) -> dict[str, str]:
    """How each job ended, without the one that says what is missing."""
    assert jobs["not-set-up"].conclusion == "skipped"
    return {name: job.conclusion for name, job in jobs.items() if name != "not-set-up"}


def shown(jobs: dict[str, Job]) -> str:
    """What the jobs said in the end."""
    return "\n".join(f"{name}: {job.log[-3000:]} {job.notices}" for name, job in jobs.items())


def test_a_push_goes_to_staging_and_a_bad_one_leaves_it_as_it_was(staging: Staging) -> None:
    good, jobs = staging.push()
    assert ends(jobs) == dict.fromkeys(JOBS, "success"), shown(jobs)
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


# An application that was there before

APP, STORE, BOT = "guestbook/__init__.py", "guestbook/store.py", "services/bot/worker.py"
TIMEOUTS = "PGOPTIONS='-c lock_timeout=5s -c statement_timeout=60s'"
SMOKE = """
import json


def test_who_signed_is_listed(ask):
    body = json.dumps({"name": "a smoke test"}).encode()
    assert ask("guestbook", "/entries", "POST", body, {"Content-Type": "application/json"})[0] == 201
    status, _, text = ask("guestbook", "/entries")
    assert status == 200 and "a smoke test" in json.loads(text)["entries"], text
"""
TAKES = """\
    store = redis.Redis.from_url(os.getenv("REDIS_URL") or "redis://127.0.0.1")
    while not stop.wait(pause):
        store.lmove("signed", "greeted")
"""


@dataclass
class Guestbook(Staging):
    """The same with an application that was adopted, and a service and a worker of ours beside it."""

    stores: guestbook.Stores = field(kw_only=True)
    good: tuple[str, str] = ("", "")  # the version and the release that answer

    @contextmanager
    def load(self, clients: int = 4, pause: float = 0.05) -> Iterator[tuple[Counts, Counts]]:
        """Have clients read and sign meanwhile. What they sign is taken out again."""
        body, headers = b'{"name": "a client"}', (("Content-Type", "application/json"),)
        read = Requests(self.url("/entries"), pause=pause)
        sign = Requests(read.url, "POST", body, pause=pause, headers=headers)
        with under_load(read, clients // 2) as got, under_load(sign, clients // 2) as sent:
            yield got, sent
        self.stores.sql("DELETE FROM entries WHERE name = 'a client'")

    def one_release(self) -> None:
        """Exactly the good release is there, with each of its services. Raises AssertionError."""
        shown = self.target.engine.docker(
            "ps",
            "--all",
            "--format",
            '{{.Label "com.docker.compose.project"}} {{.Label "com.docker.compose.service"}}',
        )
        found = sorted(line for line in shown.splitlines() if line.startswith("shop-staging-"))
        assert found == [f"shop-staging-{self.good[1]} {name}" for name in ("api", "bot", "guestbook")]
        assert self.answer() == self.answer("api") == self.good


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory, template: Path, target: Target) -> Guestbook:
    """Somebody's repository as its person brings it to staging: adopted, a service and a worker added, moved up, set up."""
    target.clear()
    stores = guestbook.Stores(target.engine)
    folder = tmp_path_factory.mktemp("adopted")
    project = guestbook.repository(Project(folder / "shop", template))
    project.copy("v1.0.0", level=1, image_registry=target.registry.name, repository="me/shop")
    for words in (["service", "api"], ["service", "bot", "--worker"], ["upgrade", "2"]):
        if (
            words[0] == "upgrade"
        ):  # it takes an edit of the answers along: without Redis the application is of no use
            asked = "  target: REDIS_URL\n  required: "
            project.replace(".copier-answers.yml", f"{asked}false", f"{asked}true")
        done = levels(project.folder, *words)
        assert done.returncode == 0, done.stderr
        project.commit(" ".join(words))
    services = project.answers()["services"]
    assert [(one["name"], one["code"]) for one in services] == [
        ("guestbook", "theirs"),
        ("api", "ours"),
        ("bot", "ours"),
    ]
    target.engine.python(project.answers()["python_version"])
    target.engine.traefik("traefik:v3.7")
    # What the closing message and the checklist ask of a person.
    project.replace(APP, "from . import store\n", "from . import store\nfrom .health import init_service\n")
    project.replace(APP, "    return app\n", '    init_service(app, "guestbook")\n    return app\n')
    here = stores.settings("127.0.0.1", "integration")
    project.write("tests/integration/settings.json", json.dumps({"guestbook": here}))
    release = f'[release]\nservice = "guestbook"\ncommand = "{TIMEOUTS} alembic upgrade head"\n'
    project.write("config/deploy.toml", f'{release}[gate]\nseconds = 15\nsmoke_methods = "GET HEAD POST"\n')
    project.write("tests/smoke/test_guestbook.py", SMOKE)
    # A worker that takes what the application has put into Redis.
    loop = "    while not stop.wait(pause):\n        asyncio.run(work(inbox))\n"
    project.replace(BOT, loop, TAKES)
    project.replace(BOT, "from services.serving", "import redis\nfrom services.serving")
    machine = fresh_machine(tmp_path_factory)
    machine.run("make install format baseline", project.folder)
    settings = {f"{name}_PORT": str(free_port()) for name in ("GUESTBOOK", "API")}
    settings |= {"PAUSE_SECONDS": "1", **stores.settings("host.docker.internal")}
    return Guestbook(project, machine, target, folder, settings, "guestbook", stores=stores)


def test_an_adopted_application_goes_from_push_to_answer_with_its_database_and_its_cache(
    adopted: Guestbook,
) -> None:
    version, jobs = adopted.push()
    assert ends(jobs) == dict.fromkeys(JOBS, "success"), shown(jobs)
    assert "9 passed" in jobs["integration"].log, shown(jobs)  # three for each service, theirs too
    adopted.good = (version, "1")
    adopted.one_release()
    assert adopted.stores.sql("SELECT version_num FROM alembic_version") == ["0001"], "the release command"
    assert adopted.stores.sql("SELECT name FROM entries") == ["a smoke test"]
    end = time.monotonic() + 20
    while adopted.stores.redis("LRANGE", "greeted", "0", "-1") != ["a smoke test"]:
        assert time.monotonic() < end, "the worker didn't take what was signed"
        time.sleep(0.2)


@dataclass(frozen=True)
class Bad:
    """A push that doesn't get to staging: what is wrong with it, how its jobs end, and what a job says."""

    name: str
    edits: tuple[tuple[str, str, str], ...]  # of a file; where there is nothing to replace it is a new one
    ends: str  # those of JOBS, by their first letters: success, failure, skipped
    told: tuple[str, ...]  # the job, and words of what it says
    settings: Mapping[str, str] = field(default_factory=dict)  # of staging, other than they were
    after: str = ""  # the job after which ...
    happens: str = ""  # the registry is gone, or the branch moves on
    seen_by_clients: bool = False
    in_proof: bool = True  # else in a soak only: the same lines of the project, at another time


SECOND = "migrations/versions/0002_work.py"
UNIQUE = f"""{guestbook.HEAD}revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("entries", sa.Column("place", sa.Text))
    op.create_index("one_of_a_name", "entries", ["name"], unique=True)
"""
BAD = [
    Bad(
        "its tests fail",
        ((APP, '@app.get("/entries")', '@app.get("/entry")'),),
        "fskk",
        ("check", "test_there_are_routes_to_read_and_to_sign"),
        in_proof=False,  # as above
    ),
    Bad(
        "its integration tests find no Redis",
        (("tests/integration/settings.json", '"redis://127.0.0.1:', '"redis://127.0.0.2:'),),
        "sfkk",
        ("integration", "what it needs is not there", "redis"),
    ),
    Bad(
        "its image can't be built",
        # What only an image installs.
        (("requirements-prod.txt", "", "flask>=99\n"),),
        "ssfk",
        ("images", "flask>=99"),
    ),
    Bad(
        "the registry is gone",
        (),
        "ssfk",
        ("images", "connection refused"),
        after="check",
        happens="registry",
    ),
    Bad(
        "the branch moves on before the images are made",
        (("README.md", "# Guestbook", "# A guestbook"),),
        "sssk",
        ("images", "Nothing was deployed to staging: main stands at "),
        after="check",
        happens="branch",
        in_proof=False,
    ),
    Bad(
        "the branch moves on once the images are made",
        (("README.md", "# Guestbook", "# Our guestbook"),),
        "sssf",
        ("deploy", "Nothing was deployed to staging: main stands at "),
        after="images",
        happens="branch",
    ),
    Bad(
        "its migration fails on what is in the database",
        ((SECOND, "", UNIQUE),),
        "sssf",
        ("deploy", "UniqueViolation", "release-command failed", "what ran before runs on"),
    ),
    Bad(
        "its settings name a Redis that isn't there",
        (("config/deploy.toml", "seconds = 15", "seconds = 6"),),
        "sssf",
        ("deploy", "guestbook: not ready after 6 seconds: /-/readiness answered 503", "redis", "release 1 ("),
        settings={"REDIS_URL": "redis://host.docker.internal:1/0"},
    ),
    Bad(
        "what it answers fails the smoke test",
        ((APP, "entries=names", "entries=names[200:]"),),
        "sssf",
        ("deploy", "test_who_signed_is_listed", "the smoke tests failed", "release 1 ("),
        seen_by_clients=True,
    ),
]


@pytest.mark.soak
@pytest.mark.parametrize(
    "bad", [bad for bad in BAD if bad.in_proof or SOAK], ids=lambda bad: bad.name.replace(" ", "-")
)
def test_a_push_that_goes_wrong_leaves_staging_as_it_was(adopted: Guestbook, bad: Bad) -> None:
    project, registry = adopted.project, adopted.target.registry
    settings, texts = dict(adopted.settings), {path: project.read(path) for path, old, _ in bad.edits if old}
    adopted.settings.update(bad.settings)
    for path, old, new in bad.edits:
        project.write(path, new) if not old else project.replace(path, old, new)
    happens = registry.stop if bad.happens == "registry" else lambda: project.commit("on")
    try:
        with adopted.load() as (got, sent):
            version, jobs = adopted.push(**({bad.after: happens} if bad.after else {}))
    finally:
        if bad.happens == "registry":
            registry.start()
        adopted.settings.update(settings)
        for path, old, _ in bad.edits:
            project.write(path, texts[path]) if old else (project.folder / path).unlink()
    how = {"s": "success", "f": "failure", "k": "skipped"}
    assert ends(jobs) == dict(zip(JOBS, map(how.get, bad.ends), strict=True)), shown(jobs)
    said = jobs[bad.told[0]].log + "".join(jobs[bad.told[0]].notices)
    assert all(words in said for words in bad.told[1:]), said
    assert guestbook.PASSWORD not in "".join(job.log for job in jobs.values())
    # Staging: the same release, whole; every client was answered, the database is as it was.
    adopted.one_release()
    for counts in (got, sent):
        assert not counts.failed, str(counts)
        assert bad.seen_by_clients or set(counts.named) == {adopted.good[1]}, str(counts)
        assert counts.requests > 20 and list(counts.releases)[-1][2] == adopted.good[1]
    assert adopted.stores.sql("SELECT version_num FROM alembic_version") == ["0001"]
    tags = f"http://{registry.name}/v2/me/shop/bot/tags/list"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(tags, timeout=5) as answer:
        assert (version in json.load(answer)["tags"]) == (bad.ends == "sssf"), "whether its images were made"


@pytest.mark.soak
def test_pushes_under_load_are_answered_by_the_next_release_without_a_gap(adopted: Guestbook) -> None:
    adopted.stores.sql("DELETE FROM entries")
    guestbook.migration(
        adopted.project, "0002", "0001", 'op.add_column("entries", sa.Column("place", sa.Text))'
    )
    numbers, seconds = [int(adopted.good[1])], []
    with adopted.load(8, pause=0.01) as (got, sent):
        for turn in range(3 if SOAK else 1):
            adopted.project.write("README.md", f"# Guestbook {turn}\n")
            begun = time.monotonic()
            version, jobs = adopted.push()
            assert ends(jobs) == dict.fromkeys(JOBS, "success"), shown(jobs)
            adopted.good = (version, adopted.answer()[1])
            adopted.one_release()
            numbers.append(int(adopted.good[1]))
            seconds.append(min(end for _, end, release in got.releases if release == adopted.good[1]) - begun)
    for counts in (got, sent):
        assert not counts.failed and counts.went_back == 0, str(counts)
        assert set(counts.named) == set(map(str, numbers)), str(counts)
    assert numbers == sorted(set(numbers))
    assert adopted.stores.sql("SELECT version_num FROM alembic_version") == ["0002"]
    print(f"from a push to its answer: {[round(one, 1) for one in seconds]} s; GET: {got}; POST: {sent}")
