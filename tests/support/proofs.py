"""What the proofs share: a machine as fresh as one can be had here, and commands that run on it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.projects import ROOT, git, make_template

ADDRESS = "https://github.com/copier-levels/copier-levels.git"
# How this machine reaches its package index; all else of the caller's environment stays behind.
PASSED_ON = re.compile(
    r"(https?|no|all)_proxy|ssl_cert_\w+|\w*ca_?bundle|\w*ca_certs|pip_(?!cache)\w+|uv_(default_)?index\w*|git_ssl_\w+",
    re.I,
)


class Machine:
    """A home folder with nothing in it but git's user, and a PATH with git, make and Python; uv is on it only
    where asked for.
    """

    def __init__(self, folder: Path, caches: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.gitconfig = self.home / ".gitconfig"
        self.gitconfig.write_text(
            "[user]\n\tname = A Tester\n\temail = tester@example.com\n[init]\n\tdefaultBranch = main\n"
        )
        bare, with_uv = folder / "bin", folder / "bin-uv"
        bare.mkdir()
        # A script and not a link: where Python's library stands is told by the path that it is started from.
        python = bare / "python3"
        python.write_text(f'#!/bin/sh\nexec {Path(sys.base_prefix, "bin", "python3")} "$@"\n')
        python.chmod(0o755)
        with_uv.mkdir()
        uv = find_uv(caches)
        for name in ("uv", "uvx"):
            (with_uv / name).symlink_to(uv.with_name(name))
        self.bare = f"{bare}:/usr/bin:/bin"
        self.path = f"{with_uv}:{self.bare}"
        assert shutil.which("uv", path=self.bare) is None, "uv stands in /usr/bin: this is no fresh machine"
        self.caches = caches

    def environment(self, uv: bool, **more: str) -> dict[str, str]:
        """The whole environment of a command. uv's and pip's caches are shared, for speed."""
        return {
            **{name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)},
            "HOME": str(self.home),
            "PATH": self.path if uv else self.bare,
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "UV_CACHE_DIR": str(self.caches / "uv"),
            "UV_PYTHON_INSTALL_DIR": str(self.caches / "python"),
            "UV_NO_GITHUB_FAST_PATH": "1",
            "PIP_CACHE_DIR": str(self.caches / "pip"),
            **more,
        }

    def run(self, command: str, folder: Path, code: int = 0, uv: bool = True, **env: str) -> str:
        """Run a shell command as a person would; returns what it prints.

        Raises AssertionError for another exit code than `code`.
        """
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=folder,
            env=self.environment(uv, **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=900,
            check=False,
        )
        assert done.returncode == code, (
            f"$ {command}\n{done.stdout}\nexit code {done.returncode}, expected {code}"
        )
        return done.stdout

    def commit(self, folder: Path) -> None:
        """Commit all that stands in a project, new or not."""
        self.run(
            "[ -d .git ] || git init --quiet; git add --all; git commit --quiet --allow-empty --message work",
            folder,
        )

    @contextmanager
    def serving(self, command: str, folder: Path, uv: bool = True, **env: str) -> Iterator[str]:
        """Start a server on a free port, given by PORT; yields its address once it answers, and ends it."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address, log = f"http://127.0.0.1:{port}", folder.parent / f"served-{port}.txt"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["sh", "-ec", command],
                cwd=folder,
                env=self.environment(uv, PORT=str(port), **env),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            end = time.monotonic() + 60
            while not answers(address + "/health"):
                assert server.poll() is None and time.monotonic() < end, f"$ {command}\n{log.read_text()}"
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def answers(url: str) -> bytes:
    """What a GET of a local address gives; nothing while nobody listens."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return bytes(response.read())
    except OSError:
        return b""


def session_caches(factory: pytest.TempPathFactory) -> Path:
    """The folder that a test session keeps its downloads in; PROOF_CACHE names one that outlives it."""
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    caches = Path(os.environ.get("PROOF_CACHE") or shared / "caches").resolve()
    caches.mkdir(parents=True, exist_ok=True)
    return caches


def fresh_machine(factory: pytest.TempPathFactory) -> Machine:
    """A machine of its own, with the session's caches."""
    return Machine(factory.mktemp("machine"), session_caches(factory))


def find_uv(caches: Path) -> Path:
    """The uv that the project's own set-up has, or one on PATH, or one from the package index."""
    found = next(filter(Path.exists, [ROOT / ".cache/uv/bin/uv", caches / "uv-venv/bin/uv"]), None)
    if found is None and (on_path := shutil.which("uv")):
        found = Path(on_path)
    if found is None:
        folder = caches / "uv-venv"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run(
            [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "uv>=0.8,<1"], check=True
        )
        found = folder / "bin/uv"
    return found.resolve()


def publish(machine: Machine, folder: Path) -> Path:
    """Put the work tree, tagged v1.0.0, where the README says that it is, for this machine's git.

    Returns the bare repository.
    """
    bare = folder / "published.git"
    template = make_template(folder / "template", "v1.0.0")
    git(folder, "clone", "--quiet", "--bare", str(template), str(bare))
    with machine.gitconfig.open("a") as config:
        config.write(f'[url "{bare.as_uri()}"]\n\tinsteadOf = {ADDRESS}\n')
    return bare
