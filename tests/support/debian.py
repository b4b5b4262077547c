"""Programs and root file systems from Debian's packages, without installing anything."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITE = "trixie"  # its Python is the one of python:3.13-slim
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """Return a file or folder that `make` wrote; it is made once, whatever number of processes ask for it.

    `make` is given a path beside it, so that what was interrupted is never taken for finished.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f"{path.name}.lock")):
        if not path.exists():
            unfinished = path.with_name(f"{path.name}.unfinished")
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            make(unfinished)
            unfinished.rename(path)
    return path


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock that every process on this machine respects."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def call(*command: str, folder: Path | None = None) -> str:
    """Run a command; returns what it prints. Raises AssertionError with its last lines when it fails."""
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"$ {' '.join(command)}\n{done.stdout[-3000:]}"
    return done.stdout


def unpacked(caches: Path, name: str, packages: Iterable[str]) -> Path:
    """Return a folder with these packages of Debian 13, unpacked and not installed, without what they need.

    The machine's own apt, which may be another release's, stays as it is.
    """

    def make(folder: Path) -> None:
        apt = folder / "apt"
        for sub in ("lists/partial", "archives/partial", "downloads"):
            (apt / sub).mkdir(parents=True)
        (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
        options = {
            "Dir::Etc::SourceList": apt / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::State::Lists": apt / "lists",
            "Dir::State::Status": "/dev/null",
            "Dir::Cache": apt,
            "APT::Sandbox::User": "root",
        }
        command = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in options.items())]
        call(*command, "update", folder=apt)
        call(*command, "download", *packages, folder=apt / "downloads")
        for package in sorted((apt / "downloads").glob("*.deb")):
            call("dpkg", "-x", str(package), str(folder))
        shutil.rmtree(apt)

    return made_once(caches / name, make)


def python_image(caches: Path) -> Path:
    """Return a root file system with Python 3.13 where the official image has it, as a tar file; needs root."""

    def make(tar: Path) -> None:
        root = tar.with_name(f"{tar.name}.root")
        shutil.rmtree(root, ignore_errors=True)
        packages = "python3,python3-pip,python3-venv,ca-certificates"
        call("debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(root), MIRROR)
        if bundle := os.environ.get("SSL_CERT_FILE"):  # this machine's way to the package index
            shutil.copyfile(bundle, f"{root}{BUNDLE}")
        for name in ("python", "python3"):
            (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        for downloads in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / downloads)
            (root / downloads / "partial").mkdir(parents=True)
        call("tar", "--directory", str(root), "--create", "--file", str(tar), ".")
        shutil.rmtree(root)

    return made_once(caches / "python-3.13-slim.tar", make)
