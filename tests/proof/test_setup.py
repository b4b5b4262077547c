"""`make setup` on a real host, and then the first deploy by the workflow, with what setup has stored."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path

import pytest

from extensions import cli
from tests.support.act import run_workflow
from tests.support.engine import Target
from tests.support.gh_stand_in import REPOSITORY, Gh
from tests.support.projects import Project, git
from tests.support.proofs import fresh_machine
from tests.support.servers import free_port

pytestmark = pytest.mark.proof


def test_from_nothing_to_a_green_first_deploy(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    template: Path,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target.clear()
    project = Project(tmp_path / "shop", template)
    project.copy("v1.0.0", level=2, image_registry=target.registry.name, repository=REPOSITORY)
    target.engine.python(project.answers()["python_version"])
    target.engine.traefik("traefik:v3.7")
    git(project.folder, "branch", "--move", "main")
    machine = fresh_machine(tmp_path_factory)
    machine.run("make install", project.folder)  # makes uv.lock

    # A person whose ssh gets to the host: by a key and a known_hosts of theirs, not by the workflow's.
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "key").write_text(target.ssh.key)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "known_hosts").write_text(target.ssh.known_hosts)
    known = f"-o UserKnownHostsFile={tmp_path}/known_hosts -o IdentitiesOnly=yes -i {tmp_path}/key"
    keygen = shutil.which("ssh-keygen")
    scripts = {
        "ssh": f'exec {shutil.which("ssh")} -F none {known} "$@"',
        "ssh-keygen": f'[ "$1" = -F ] && exec {keygen} "$@" -f {tmp_path}/known_hosts\nexec {keygen} "$@"',
    }
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    gh, port = Gh(programs), free_port()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(project.folder)
    template_text = project.read("config/staging.env.template")
    filled_in = template_text.replace("DEPLOY_HOST=", f"DEPLOY_HOST={target.ssh.address}")
    project.write("config/staging.env", f"{filled_in}API_PORT={port}\n")

    assert cli.main(["setup", "staging", "--yes"]) == 0, capsys.readouterr().out
    before = gh["secrets"], gh["variables"], target.ssh.sh("cat .ssh/authorized_keys")
    assert cli.main(["setup", "staging", "--yes"]) == 0
    assert (gh["secrets"], gh["variables"], target.ssh.sh("cat .ssh/authorized_keys")) == before

    version = git(project.commit().folder, "rev-parse", "HEAD").strip()
    secrets = {name.rpartition("/")[2]: value for name, value in gh["secrets"].items()}
    assert secrets["STAGING_SSH_KEY"] != target.ssh.key
    jobs = run_workflow(
        project.folder,
        "staging-deploy.yml",
        tmp_path / "act",
        {
            **machine.environment(uv=True),
            **target.docker,
            "PATH": f"{target.engine.programs}:{machine.path}",
        },
        repository=REPOSITORY,
        secrets={"GITHUB_TOKEN": "a-token", "REGISTRY_PASSWORD": "a-password", **secrets},
        variables={**gh["variables"], "REGISTRY_USERNAME": "someone"},
    )
    assert jobs["deploy"].conclusion == "success", jobs["deploy"].log[-3000:]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/-/health", timeout=5) as answer:
        assert json.load(answer)["version"] == version
