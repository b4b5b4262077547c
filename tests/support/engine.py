"""A host to deploy to: a real Docker engine, an sshd whose sessions use it, and a registry, on loopback.

Proofs take the fixture `target`. By hand: `python -m tests.support.engine FOLDER` starts all of it, prints what to
export, and stays until it is ended; FOLDER keeps what it downloads.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import BUNDLE, made_once, python_image, unpacked
from tests.support.servers import Server

PACKAGES = (
    "containerd",
    "docker-buildx",
    "docker-cli",
    "docker-compose",
    "docker-registry",
    "docker.io",
    "tini",
)
BASE = "python:3.13-slim"  # what the Dockerfile of a project asks for
NEEDED = ("runc", "iptables", "ip", "unshare", "setpriv", "sshd", "ssh-keygen")
SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

# Nothing of the host changes for the engine's sake: no rule, no forwarding. So containers reach each other and
# are reached, but have no way out of the machine, and what is built has to use the host's network.
DOCKER = """#!/bin/sh
case "$1 ${{2-}}" in
"build "*) shift; set -- build --network host "$@" ;;
"buildx build" | "image build" | "builder build") first=$1; shift 2; set -- "$first" build --network host "$@" ;;
esac
exec {docker} "$@"
"""


def alone(programs: Path, *command: str) -> list[str]:
    """A command for a process that ends with the one that started it, and takes all that it started along:
    containers and mounts too.
    """
    with_its_children = ["setpriv", "--pdeathsig", "KILL", "unshare", "--kill-child", "--fork"]
    return [
        *with_its_children,
        "--pid",
        "--mount",
        "--mount-proc",
        str(programs / "docker-init"),
        "-g",
        "--",
        *command,
    ]


class Engine:
    """A Docker engine of its own, in a folder: `stop` is what happens when a host loses its power, and `start`
    what happens when it is back.
    """

    def __init__(self, folder: Path, caches: Path) -> None:
        self.folder, self.caches = folder, caches
        self.programs = folder / "bin"
        self.environment = {
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_CONFIG": str(folder / "config"),
            "PATH": f"{self.programs}:{SYSTEM}",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._link()

    def _link(self) -> None:
        files = unpacked(self.caches, "docker", PACKAGES) / "usr"
        for folder in (self.programs, self.folder / "config/cli-plugins"):
            folder.mkdir(parents=True)
        for name in ("dockerd", "docker-proxy"):
            (self.programs / name).symlink_to(files / "sbin" / name)
        for name in ("containerd", "containerd-shim-runc-v2", "docker-registry"):
            (self.programs / name).symlink_to(files / "bin" / name)
        (self.programs / "docker-init").symlink_to(files / "bin/tini-static")
        for plugin in (files / "libexec/docker/cli-plugins").iterdir():
            (self.folder / "config/cli-plugins" / plugin.name).symlink_to(plugin)
        docker = self.programs / "docker"
        docker.write_text(DOCKER.format(docker=shlex.quote(str(files / "bin/docker"))))
        docker.chmod(0o755)

    def start(self) -> None:
        """Start the engine and wait until it answers. Raises AssertionError with the end of its log."""
        missing = [name for name in NEEDED if shutil.which(name, path=SYSTEM) is None]
        assert not missing, f"not installed: {', '.join(missing)} (.ci/run has the packages)"
        self.number = _claim_addresses()
        # What a host has in /run, and so loses when it is started again.
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        (self.folder / "docker.sock").unlink(missing_ok=True)
        Path("/run/containerd").mkdir(exist_ok=True)
        run, programs = self.folder / "run", self.programs
        dockerd = {
            "data-root": self.folder / "data",
            "exec-root": run,
            "pidfile": run / "dockerd.pid",
            "host": self.environment["DOCKER_HOST"],
            "storage-driver": "overlay2",
            "iptables": "false",
            "ip6tables": "false",
            "ip-forward": "false",
            "ip-masq": "false",
            "bridge": f"proof{self.number}",
            "default-address-pool": f"base=10.{self.number}.128.0/17,size=24",
            # A port that is published without an address is the machine's own business.
            "ip": "127.0.0.1",
            "default-network-opt": "bridge=com.docker.network.bridge.host_binding_ipv4=127.0.0.1",
            "exec-opt": "native.cgroupdriver=cgroupfs",
            "cgroup-parent": f"/proof{self.number}",
            "userland-proxy-path": programs / "docker-proxy",
            "init-path": programs / "docker-init",
        }
        options = " ".join(shlex.quote(f"--{name}={value}") for name, value in dockerd.items())
        run.mkdir()
        with (self.folder / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                alone(
                    programs, "sh", "-ec", f"mount -t tmpfs tmpfs /run/containerd && exec dockerd {options}"
                ),
                env={"PATH": self.environment["PATH"], "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while self._call("version")[0]:
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(self.log())
            time.sleep(0.1)

    def stop(self) -> None:
        """End the engine and its containers at once. Bridges and control groups, which outlive them, are
        removed.
        """
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        self.process = None
        for bridge in _bridges(self.number):
            _ip("link", "delete", bridge)
        end = time.monotonic() + 10
        while left := _control_groups(f"proof{self.number}"):
            for group in left:
                with contextlib.suppress(OSError):  # busy until the last process in it is gone
                    group.rmdir()
            assert time.monotonic() < end, f"control groups are left behind: {left[:3]}"

    def left_behind(self) -> list[str]:
        """What of an engine that was stopped is still on the host: nothing, or it is a fault here."""
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        # All of an engine's processes are started with one of these.
        names = [str(path).encode() for path in (self.folder / "run", self.programs / "docker-proxy")]
        commands = [_read(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
        processes = [
            command.decode().replace("\0", " ")
            for command in commands
            if any(name in command for name in names)
        ]
        return [
            *_bridges(self.number),
            *map(str, _control_groups(f"proof{self.number}")),
            *(mount for mount in mounts if mount.startswith(str(self.folder))),
            *processes,
        ]

    def log(self) -> str:
        """The end of the engine's log."""
        return (self.folder / "dockerd.log").read_text(errors="replace")[-3000:]

    def docker(self, *arguments: str, code: int = 0, text: str = "", folder: Path | None = None) -> str:
        """Run docker; returns what it prints on standard output. Raises AssertionError for another exit code."""
        found, output, errors = self._call(*arguments, text=text, folder=folder)
        assert found == code, f"$ docker {' '.join(arguments)}\n{output}\n{errors}\nexit code {found}"
        return output

    def _call(self, *arguments: str, text: str = "", folder: Path | None = None) -> tuple[int, str, str]:
        done = subprocess.run(
            [str(self.programs / "docker"), *arguments],
            cwd=folder,
            env={**os.environ, **self.environment},
            input=text,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    # Images that a registry has elsewhere

    def python(self, version: str = "3.13") -> str:
        """The image that a project's Dockerfile begins with, made of Debian's packages; returns its name.

        Its Python is 3.13, whatever version it is named for: a project can ask for the one that the tests run on.
        """
        if not self._has(BASE):
            # What the image's programs trust is in its bundle, the machine's own way to the package index too.
            change = ["--change", f"ENV SSL_CERT_FILE={BUNDLE}"] if os.environ.get("SSL_CERT_FILE") else []
            self.docker(
                "import", "--change", 'CMD ["python3"]', *change, str(python_image(self.caches)), BASE
            )
        name = BASE.replace("3.13", version)
        self.docker("tag", BASE, name)
        return name

    def traefik(self, name: str) -> str:
        """Traefik from PyPI under the official image's name, such as traefik:v3.7; it has no shell."""

        def make(tar: Path) -> None:
            with tempfile.TemporaryDirectory() as made:
                files = {
                    "usr/local/bin/traefik": Path(sys.executable).with_name("traefik"),
                    BUNDLE[1:]: Path(BUNDLE),
                }
                for path, source in files.items():
                    (Path(made) / path).parent.mkdir(parents=True)
                    shutil.copy(source, Path(made) / path)
                (Path(made) / "tmp").mkdir(mode=0o1777)
                subprocess.run(["tar", "-C", made, "-cf", str(tar), "."], check=True)

        if not self._has(name):
            changes = ['ENTRYPOINT ["/usr/local/bin/traefik"]', "ENV PATH=/usr/local/bin", "EXPOSE 80"]
            options = [part for change in changes for part in ("--change", change)]
            self.docker("import", *options, str(made_once(self.caches / "traefik.tar", make)), name)
        return name

    def image_of_packages(self, name: str, packages: Iterable[str], *lines: str) -> str:
        """An image with packages of Debian 13, and more lines of a Dockerfile; returns its name."""
        if not self._has(name):
            install = "apt-get update -q && apt-get install -qq -y --no-install-recommends"
            dockerfile = [f"FROM {self.python()}", f"RUN {install} {' '.join(packages)}", *lines]
            self.docker("build", "--tag", name, "-", text="\n".join(dockerfile) + "\n")
        return name

    def _has(self, name: str) -> bool:
        return self._call("image", "inspect", name)[0] == 0


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):  # a process that is gone
        return path.read_bytes()
    return b""


def _bridges(number: int) -> list[str]:
    """The bridges with addresses of an engine."""
    return [
        link["ifname"]
        for link in json.loads(_ip("-json", "address"))
        if any(one.get("local", "").startswith(f"10.{number}.") for one in link.get("addr_info", []))
    ]


def _claim_addresses() -> int:
    """Make the bridge `proofN` with addresses 10.N.0.0/16 that nobody has here; returns N."""
    for number in random.sample(range(100, 250), 150):
        if f" 10.{number}." in _ip("address") + _ip("route"):
            continue
        with contextlib.suppress(subprocess.CalledProcessError):  # another engine was faster
            _ip("link", "add", f"proof{number}", "type", "bridge")
            _ip("address", "add", f"10.{number}.0.1/20", "dev", f"proof{number}")
            _ip("link", "set", f"proof{number}", "up")
            return number
    raise AssertionError("no addresses are free here for an engine")


def _control_groups(name: str) -> list[Path]:
    """The control groups of an engine, the innermost first."""
    top = Path("/sys/fs/cgroup")
    tops = [path for path in (top / name, *(one / name for one in top.iterdir())) if path.is_dir()]
    found = [path for one in tops for path in (one, *one.rglob("*")) if path.is_dir()]
    return sorted(found, key=lambda path: -len(path.parts))


class Registry(Server):
    """A registry on loopback, without a password; `name` is what an image's name begins with."""

    user = ""

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(
            lambda data, port: alone(
                engine.programs, f"{engine.programs}/docker-registry", "serve", f"{data}/config.yml"
            ),
            folder,
        )
        self.name = f"127.0.0.1:{self.port}"
        settings = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.name},
        }
        (folder / "config.yml").write_text(json.dumps(settings))


SSHD = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys {folder}/home/.ssh/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
SetEnv {variables}
ForceCommand cd "$HOME" && exec sh -c "${{SSH_ORIGINAL_COMMAND:-exec sh -l}}"
"""


class SshServer(Server):
    """An sshd with keys of its own on loopback, whose sessions have an empty home folder and an engine's docker."""

    user = ""

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(
            lambda data, port: alone(
                engine.programs, "/usr/sbin/sshd", "-D", "-e", "-f", f"{data}/sshd_config"
            ),
            folder,
        )
        self.home = folder / "home"
        self.home.mkdir()
        self.address = f"root@127.0.0.1:{self.port}"  # as DEPLOY_HOST takes it
        for name in ("key", "host_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)],
                check=True,
            )
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        self.key = (folder / "key").read_text()
        self.known_hosts = f"[127.0.0.1]:{self.port} {(folder / 'host_key.pub').read_text()}"
        (folder / "known_hosts").write_text(self.known_hosts)
        variables = {**engine.environment, "HOME": str(self.home)}
        settings = " ".join(f'"{name}={value}"' for name, value in variables.items())
        (folder / "sshd_config").write_text(SSHD.format(port=self.port, folder=folder, variables=settings))
        Path("/run/sshd").mkdir(
            mode=0o755, exist_ok=True
        )  # where it locks itself in before somebody has logged in

    def sh(self, command: str, code: int = 0, text: str = "") -> str:
        """Run a command in a session; returns what it prints. Raises AssertionError for another exit code."""
        options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.folder}/known_hosts"]
        who = ["-i", str(self.folder / "key"), "-p", str(self.port), "root@127.0.0.1"]
        done = subprocess.run(
            ["ssh", *options, *who, command], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"$ {command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@dataclass(frozen=True)
class Target:
    """A host to deploy to, and the registry that it takes images from."""

    engine: Engine
    registry: Registry
    ssh: SshServer

    @property
    def docker(self) -> dict[str, str]:
        """What a command here needs for docker to be this engine, but for PATH, where `engine.programs` come first."""
        return {name: value for name, value in self.engine.environment.items() if name != "PATH"}

    @property
    def environment(self) -> dict[str, str]:
        """What a command here needs for docker to be this engine, and a deploy to go to this host."""
        return {
            **self.engine.environment,
            "DEPLOY_HOST": self.ssh.address,
            "DEPLOY_SSH_KEY": self.ssh.key,
            "DEPLOY_KNOWN_HOSTS": self.ssh.known_hosts,
        }

    def clear(self) -> None:
        """Remove containers, networks, volumes and the sessions' files; images stay."""
        docker = self.engine.docker
        if containers := docker("ps", "--all", "--quiet").split():
            docker("rm", "--force", "--volumes", *containers)
        docker("network", "prune", "--force")
        docker("volume", "prune", "--all", "--force")
        shutil.rmtree(self.ssh.home)
        self.ssh.home.mkdir()


@contextmanager
def started(caches: Path) -> Iterator[Target]:
    """Start an engine that has the base image, a registry and an sshd; end them and remove their folder."""
    folder = Path(tempfile.mkdtemp(prefix="engine."))  # short, because of the length of a socket's path
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        for name in ("engine", "registry", "ssh"):
            (folder / name).mkdir()
        engine = Engine(folder / "engine", caches)
        stack.callback(engine.stop)
        engine.start()
        registry, ssh = Registry(folder / "registry", engine), SshServer(folder / "ssh", engine)
        for server in (registry, ssh):
            stack.callback(server.stop)
            server.start()
        engine.python()
        yield Target(engine, registry, ssh)


def main() -> None:
    """Start a host for a person, and print what to export."""
    with started(Path(sys.argv[1]).resolve()) as host:
        names = {**host.environment, "REGISTRY": host.registry.name, "SSH_HOME": str(host.ssh.home)}
        names["PATH"] = f"{host.engine.programs}:$PATH"
        for name, value in names.items():
            quoted = f'"{value}"' if name == "PATH" else shlex.quote(value)
            print(f"export {name}={quoted}")
        print("# it stays up until this is ended", flush=True)
        signal.pause()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    main()
