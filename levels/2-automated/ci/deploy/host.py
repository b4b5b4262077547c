"""The host of an environment: a folder in the user's home, driven over ssh, and a lease on it.

A lease is what one deploy has at a time. It is a file on the host with a number that rises with each one, a
time until which it holds, and who took it and why. Each command of the deploy runs while a lock on the host
is held, and only after the lease was found to be still the deploy's own. So an owner that was paused, and
whose lease somebody has taken over meanwhile, is refused at its next command, and can't be in the middle of
one while it is taken over.
"""

import contextlib
import os
import re
import shlex
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import uv

from .settings import Settings, secret_prefix
from .shell import Failed, Stop, run

LEASE_SECONDS = int(os.environ.get("DEPLOY_LEASE_SECONDS") or 120)
LOST = 75  # exit codes of what runs on the host: the lease is another's now,
TAKEN = 77  # somebody else has it,
BUSY = 76  # and a command of theirs still runs there

# The file has a line each: number, until (seconds since 1970, by the host's clock), owner, since, message.
# A person's command may end with any exit code: it isn't to be taken for one of ours, or of ssh's.
HOLD = """exec 9>lock; flock -w 900 9 || exit 70
[ "$(sed -n 1p lease 2>/dev/null)" = {number} ] || exit {lost}
renew() {{ {{ echo {number}; echo $(($(date +%s) + {seconds})); sed -n '3,$p' lease; }} > lease.new && mv lease.new lease; }}
renew || :
( {script}
) 9>&-
code=$?
renew || :
case $code in {lost}|255) code=1;; esac; exit $code"""
TAKE = """exec 9>lock; flock -w 20 9 || {{ cat lease; exit {busy}; }}
now=$(date +%s); until=$(sed -n 2p lease 2>/dev/null); number=$(sed -n 1p lease 2>/dev/null)
[ "${{until:-0}}" -le "$now" ] || {{ cat lease; exit {taken}; }}
number=$((${{number:-0}} + 1))
{{ echo $number; echo $((now + {seconds})); echo {owner}; date -u +%Y-%m-%dT%H:%M:%SZ; echo {message}; }} > lease.new &&
mv lease.new lease && echo $number"""
GIVE_BACK = """exec 9>lock; flock -w 20 9 || exit 70
[ "$(sed -n 1p lease)" = {number} ] && {{ echo {number}; echo 0; sed -n '3,$p' lease; }} > lease.new && mv lease.new lease"""


class LeaseLost(Exception):
    """Another deploy has taken over: nothing more may be done on the host, not even to undo."""


class Host:
    """One environment on one host. Used as a context, which has a connection that all commands share."""

    def __init__(self, settings: Settings) -> None:
        """Take the environment's settings. Raises Stop where they don't say how the host is reached."""
        self.environment = settings.environment
        self.name, self.of = (f"{uv.PROJECT['project']}{between}{settings.environment}" for between in ("-", ", "))
        where = os.environ.get("DEPLOY_HOST") or settings.plain("DEPLOY_HOST")
        if not (found := re.fullmatch(r"(\w[\w.-]*@\w[\w.-]*?)(?::(\d+))?", where)):
            raise Stop(
                f"DEPLOY_HOST is {where!r}, expected user@host or user@host:port (config/{self.environment}.env)"
            )
        self.address, self.port = found[1], found[2]
        for secret in ("SSH_KEY", "KNOWN_HOSTS"):
            if os.environ.get("CI") and not os.environ.get(f"DEPLOY_{secret}"):
                name = f"{secret_prefix(self.environment)}_{secret}"
                raise Stop(f"the secret {name} is missing: docs/staging.md says what it holds")
        self.lease = 0
        self.lost = False

    @contextlib.contextmanager
    def connected(self) -> Iterator["Host"]:
        """Keep the keys in files that only their owner can read, and one connection open, until the end."""
        with tempfile.TemporaryDirectory(prefix="ssh-") as folder:
            self.ssh = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10"]
            # A host that has gone is noticed, instead of waited for.
            self.ssh += ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]
            self.ssh += ["-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/c", "-o", "ControlPersist=60"]
            if self.port:
                self.ssh += ["-p", self.port]
            if key := os.environ.get("DEPLOY_SSH_KEY"):
                self.ssh += ["-o", "IdentitiesOnly=yes", "-i", secret_file(Path(folder, "key"), key)]
            if known := os.environ.get("DEPLOY_KNOWN_HOSTS"):
                self.ssh += ["-o", f"UserKnownHostsFile={secret_file(Path(folder, 'known_hosts'), known)}"]
            try:
                yield self
            finally:
                if Path(folder, "c").exists():
                    with contextlib.suppress(Stop):
                        run([*self.ssh, "-q", "-O", "exit", "--", self.address])

    def read(self, script: str, text: str = "", what: str = "") -> str:
        """Run shell in this environment's folder on the host; return what it printed.

        `what` is how it is named when it fails. Raises Stop.
        """
        folder = f"deploy/{self.name}"
        enter = f"umask 077; mkdir -p {folder}/releases {folder}/settings && cd {folder} || exit 1\n"
        try:
            # By sh, whatever shell the user has there.
            line = "exec sh -c " + shlex.quote(enter + script)
            return run([*self.ssh, "--", self.address, line], text, what or script.splitlines()[0][:120])
        except Failed as failed:
            if failed.exit_code == LOST:
                self.lost = True
                raise self._lost() from None
            if failed.exit_code == 255:
                raise Stop(
                    f"{self.address} can't be reached, or the connection was lost (ssh says why, above)", 1
                ) from None
            raise

    def check(self) -> None:
        """Look whether the host has what a deploy needs. Raises Stop where it lacks something."""
        ask = "command -v flock; command -v timeout; docker version --format 'engine {{.Server.Version}}'; echo compose $(docker compose version --short)"
        said = self.read(f"{ask}; echo of $(cat of 2> /dev/null)", what="asking the host what it has")
        for name, least in (("engine", (25, 0)), ("compose", (2, 20))):
            found = re.search(rf"{name} v?(\d+)[.](\d+)", said)
            if not found or (int(found[1]), int(found[2])) < least:
                has = f"has {found[0]}" if found else f"gives no version of it to {self.address.split('@')[0]}"
                raise Stop(f"the host needs Docker's {name} {least[0]}.{least[1]} or later, and {has}")
        for name in ("flock", "timeout"):
            if f"/{name}\n" not in said:
                raise Stop(f"the host has no {name}: on Debian it comes with util-linux and coreutils")
        # The project shop-eu has a staging, and shop may have an eu-staging: their folder would be one.
        if (of := said.splitlines()[-1].removeprefix("of").strip()) not in ("", self.of):
            raise Stop(f"the folder deploy/{self.name} on the host is of {of}, not of {self.of}: expected another name")

    def do(self, script: str, text: str = "", what: str = "") -> str:
        """Run shell that changes something there, under the lease. Raises Stop; LeaseLost where that is gone."""
        if self.lost:
            raise self._lost()
        held = HOLD.format(number=self.lease, seconds=LEASE_SECONDS, script=script, lost=LOST)
        return self.read(held, text, what or script.splitlines()[0][:120])

    def write(self, name: str, text: str) -> None:
        """Write a file there, whole or not at all. Raises Stop."""
        self.do(f"cat > {name}.new && mv {name}.new {name}", text)

    def words(self, name: str) -> list[str]:
        """Return the words of a file there; none where it is missing. Raises Stop."""
        return self.read(f"cat {name} 2>/dev/null || true").split()

    @contextlib.contextmanager
    def addresses(self, reached: dict[str, tuple[str, str]], bind: str) -> Iterator[dict[str, str]]:
        """Give the address of each web service meanwhile: its host name's, or a way to its port through ssh.

        Raises Stop.
        """
        found, ways = {}, []
        bind = "127.0.0.1" if bind == "0.0.0.0" else bind
        for service, (name, port) in reached.items():
            found[service] = f"https://{name}"
            if not name:
                with socket.socket() as free:
                    free.bind(("127.0.0.1", 0))
                    here = free.getsockname()[1]
                ways.append(f"127.0.0.1:{here}:{bind}:{port}")
                found[service] = f"http://127.0.0.1:{here}"
        for way in ways:
            run([*self.ssh, "-O", "forward", "-L", way, "--", self.address])
        try:
            yield found
        finally:
            for way in ways:
                with contextlib.suppress(Stop):
                    run([*self.ssh, "-q", "-O", "cancel", "-L", way, "--", self.address])

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"another deploy of {self.environment} has taken over: this one stopped, and changed no more")

    @contextlib.contextmanager
    def leased(self, owner: str, message: str) -> Iterator[None]:
        """Have the lease meanwhile, renewed in the background. Raises Stop where somebody else has it."""
        words = {"owner": shlex.quote(owner), "message": shlex.quote(message)}
        taken = f"( {TAKE.format(seconds=LEASE_SECONDS, taken=TAKEN, busy=BUSY, **words)}\n) || {{ code=$?; echo refused $code; }}"
        *lines, last = self.read(taken).splitlines() or [""]
        if last.startswith("refused"):
            _, _, who, since, why = (lines + [""] * 5)[:5]
            if last not in (f"refused {TAKEN}", f"refused {BUSY}"):
                raise Stop(f"the lease on {self.environment} couldn't be taken ({last})", 1)
            died = f"if its process has died, in {LEASE_SECONDS} seconds"
            if last == f"refused {BUSY}":
                died = "a command of it still runs on the host"
            said = f"{self.environment} is being deployed by {who or 'somebody'} since {since}: {why}"
            raise Stop(f"{said}. Try again when that is over; {died}", 1)
        self.lease = int(last)
        over = threading.Event()

        def renew() -> None:
            while not over.wait(LEASE_SECONDS / 3):
                with contextlib.suppress(Stop, LeaseLost):  # the next step says so, in words of its own
                    self.do("true")

        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            over.set()
            renewing.join(20)  # or it would renew what is given back here
            with contextlib.suppress(Stop):
                if not self.lost:
                    self.read(GIVE_BACK.format(number=self.lease))


def compose_command(host: Host, number: int) -> str:
    """Return the beginning of a docker compose command line for a release, in its environment's folder."""
    return f"docker compose --progress quiet -p {host.name}-{number} --project-directory . -f releases/{number}/compose.json"


def secret_file(file: Path, text: str) -> str:
    """Write a file that only its owner can read; return its path. ssh wants a line end after a key."""
    file.touch(mode=0o600)
    file.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    return str(file)
