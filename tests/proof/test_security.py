"""`make security` at level 3: secrets and known vulnerabilities are found, and what could not be looked at is
no good answer.

The scanners are the real ones, from the package index. The database of vulnerabilities is a stand-in on this
machine, since what the real one says changes from day to day; that pip-audit reaches the real one is not
shown here.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import string
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import copier
import pytest

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
    return fresh_machine(tmp_path_factory)


# Secrets


def test_a_new_project_has_no_secrets(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3, two=True)
    files = git(project.folder, "ls-files").splitlines()
    said = machine.run("make -f levels.mk security CHECK=secrets", project.folder)
    # The exceptions themselves are not looked at.
    assert said.splitlines()[-1] == f"secrets: {len(files) - 1} files looked at"
    assert git(project.folder, "status", "--porcelain") == ""


def test_a_token_is_found_by_file_and_line_and_is_not_printed(machine: Machine, at_level: AtLevel) -> None:
    project = at_level(3)
    project.write("services/api/keys.py", f'# before\n\nTOKEN = "{token()}"\n')
    said = machine.run(SECRETS, project.folder, code=1)
    assert re.search(r"^services/api/keys.py:3: GitHub Token \[secret-[0-9a-f]{12}\]$", said, re.MULTILINE), (
        said
    )
    assert token() not in said and "docs/security.md says what to do" in said
    machine.run("make -f levels.mk security CHECK=secrets", project.folder, code=2)  # so says make

    project.write(".gitignore", project.read(".gitignore") + "keys.py\n")
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
    assert [name for name in names if f"\n{name}:1: GitHub Token [" in said] == names, said
    assert " files looked at, 1 not: no text\n" in said
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
    assert f"(its exception ended on {YESTERDAY})" in machine.run(SECRETS, project.folder, code=1)


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
            said.startswith(f"{EXCEPTIONS}, line {number}: expected ID EXPIRY REASON")
            and said.count("\n") == 1
        ), said
    (project.folder / EXCEPTIONS).write_bytes(b"caf\xe9\n")
    assert machine.run(SECRETS, project.folder, code=2) == f"{EXCEPTIONS}: expected UTF-8\n"


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

    make = "make -f levels.mk security CHECK=secrets"
    said = machine.run(make, project.folder)
    assert "shop/keys.py:1: GitHub Token" in said and "which doesn't fail yet" in said
    assert "from now on others fail. Commit it." in machine.run(f"{make} RECORD=1", project.folder)
    written = project.read(EXCEPTIONS)
    assert "shop/keys.py:1: GitHub Token" in written and token() not in written
    assert "shop/keys.py" not in machine.run(make, project.folder)
    project.write("shop/new.py", f'TOKEN = "{token(2)}"\n')
    said = machine.run(SECRETS, project.folder, code=1)
    assert "shop/new.py:1: GitHub Token" in said and "shop/keys.py" not in said


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
    assert said.splitlines()[-1] == f"audit: {count} of {count} packages looked up"


def test_a_known_vulnerability_fails_until_there_is_an_exception(
    machine: Machine, installed: Project, database: Database
) -> None:
    database.holes = {"flask": hole("flask", "PYSEC-2099-1", "CVE-2099-1")}
    said = machine.run(AUDIT, installed.folder, code=1, **database.environment())
    assert re.search(r"^flask [\d.]+: PYSEC-2099-1, fixed in 99.0 \[PYSEC-2099-1\]$", said, re.MULTILINE), (
        said
    )
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
        "private-thing: not from a package index, so it can't be looked up [not-audited-private-thing]"
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
    assert said.startswith("audit: could not be done: ") and said.count("\n") == 1, said
    assert "; run it again once the database answers from this machine" in said and len(said) < 600, said
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
    assert "audit: could not be done: " in said and "services/api/keys.py:1: GitHub Token" in said
    assert "nothing was written down: not every check could be done" in said
    assert git(installed.folder, "status", "--porcelain") == ""


def test_without_an_installation_the_audit_says_what_to_do(machine: Machine, at_level: AtLevel) -> None:
    assert (
        machine.run(AUDIT, at_level(3).folder, code=2) == "audit: there is no .venv yet: run `make install`\n"
    )
