"""Stand-ins for ssh and docker, as scripts on PATH: they log what they are given, and answer as far as
ci/deploy asks.

The "host" is a folder: what ssh is given is run by a shell in it, where docker is a stand-in too. `host.json`
beside the log says what is wrong there. Run as `python stand_ins.py FOLDER ssh|docker ARGUMENTS…`; `StandIns`
makes the scripts and reads the log.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class StandIns:
    """A folder with the two scripts, the log of what they were given, and the host."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host, self.bin = folder, folder / "host", folder / "bin"
        for new in (folder, self.host, self.bin):
            new.mkdir()
        for name in ("ssh", "docker"):
            script = self.bin / name
            script.write_text(
                f"#!/bin/sh\nexec '{sys.executable}' -IS '{__file__}' '{folder}' {name} \"$@\"\n"
            )
            script.chmod(0o755)
        self.trouble()

    def trouble(self, **what: Any) -> None:
        """What is wrong on the host from now on; nothing else is.

        unreachable: ssh doesn't get there. registry: what it says instead of an answer. missing, unpulled:
        versions that it, or the host, hasn't. sick, unready: versions that don't start, or aren't ready.
        answers: service to the version that it names instead. port: one that is taken. astray: the proxy
        doesn't send requests on. taken_over: another deploy takes the lease before a command with that word.
        """
        (self.folder / "host.json").write_text(json.dumps(what))

    def log(self, program: str = "") -> list[dict[str, Any]]:
        """What was run, the first one first: program, arguments, input."""
        log = self.folder / "log.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [line for line in lines if program in ("", line["program"])]

    def compose(self, *commands: str) -> list[str]:
        """What Compose was given, each as `PROJECT COMMAND …`; only these commands."""
        calls = [
            parted(line["arguments"])
            for line in self.log("docker")
            if line["arguments"][:2] == ["compose", "--progress"]
        ]
        return [f"{project} {' '.join(rest)}" for project, _, rest in calls if rest[0] in commands]

    def running(self) -> dict[str, list[str]]:
        """The services of each Compose project that run."""
        return {
            project: [name for name, on in services.items() if on]
            for project, services in read_state(self.folder).items()
        }

    def file(self, name: str) -> Path:
        """A file of the environment staging on the host."""
        return self.host / "deploy" / "shop-staging" / name

    def words(self, name: str) -> list[str]:
        return self.file(name).read_text().split() if self.file(name).exists() else []

    def json(self, name: str) -> Any:
        return json.loads(self.file(name).read_text())


def digest(reference: str) -> str:
    """The digest of NAME:VERSION in the registry."""
    return "sha256:" + hashlib.sha256(reference.encode()).hexdigest()


def complain(message: str, code: int = 1) -> int:
    print(message, file=sys.stderr)
    return code


def read_state(folder: Path) -> dict[str, dict[str, bool]]:
    """Compose project to its containers, by service, and whether each runs."""
    file = folder / "containers.json"
    return json.loads(file.read_text()) if file.exists() else {}


def ssh(folder: Path, trouble: dict[str, Any], arguments: list[str], given: bytes) -> int:
    """Run the last argument on the host, as a login shell there would."""
    if trouble.get("unreachable"):
        return complain("ssh: connect to host: Connection refused", 255)
    if "-i" in arguments:
        key = Path(arguments[arguments.index("-i") + 1])
        if key.stat().st_mode & 0o077:
            return complain("WARNING: UNPROTECTED PRIVATE KEY FILE!", 255)
    if "-O" in arguments:
        return 0
    if trouble.get("taken_over", "\0") in arguments[-1]:
        lease = folder / "host/deploy/shop-staging/lease"
        lease.write_text("99" + lease.read_text()[1:])
    return subprocess.run(
        ["sh", "-c", arguments[-1]], cwd=folder / "host", input=given, check=False
    ).returncode


def parted(arguments: list[str]) -> tuple[str, list[str], list[str]]:
    """A Compose command line: the project, its files, and the command with its arguments."""
    assert arguments[:2] == ["compose", "--progress"] and arguments[3] == "-p", arguments
    assert arguments[5:7] == ["--project-directory", "."], arguments
    files, rest = [], arguments[7:]
    while rest[0] == "-f":
        files.append(rest[1])
        rest = rest[2:]
    return arguments[4], files, rest


def docker(folder: Path, trouble: dict[str, Any], arguments: list[str]) -> int:
    """Do as docker does, and print what it prints."""
    if arguments[0] == "version":
        print(f"engine {trouble.get('engine', '26.1.5')}")
    elif arguments == ["compose", "version", "--short"]:
        print(trouble.get("compose", "2.26.1"))
    elif arguments[0] == "compose":
        return compose(folder, trouble, *parted(arguments))
    elif arguments[:2] == ["buildx", "build"]:
        made = {"containerimage.digest": digest(arguments[arguments.index("--tag") + 1])}
        Path(arguments[arguments.index("--metadata-file") + 1]).write_text(json.dumps(made))
    elif arguments[:2] == ["buildx", "imagetools"]:
        if trouble.get("registry"):
            return complain(f"ERROR: {trouble['registry']}")
        if arguments[-1].rpartition(":")[2] in trouble.get("missing", []):
            return complain(f"ERROR: {arguments[-1]}: not found")
        print(json.dumps({"digest": digest(arguments[-1])}))
    elif arguments[:2] == ["image", "inspect"]:
        if "--format" not in arguments:
            return 1  # the host has none yet
        print(trouble.get("made_from", ""))
    elif arguments[0] == "pull":
        name = arguments[-1].partition("@")[0]
        if arguments[-1] in [f"{name}@{digest(f'{name}:{one}')}" for one in trouble.get("unpulled", [])]:
            return complain("manifest unknown")
    elif arguments[:2] == ["ps", "-aq"] or arguments == ["ps", "--all", "--quiet"]:
        return 0
    elif arguments[0] == "ps":
        for project, services in read_state(folder).items():
            if "--all" in arguments or project == "deploy-proxy":
                print("\n".join([project] * len(services)))
    elif arguments[0] == "logs":
        print(f"the last lines of {arguments[-1]}")
    elif arguments[0] == "inspect":
        print(f"--- {arguments[-1]}: exited, exit code 3")
    elif arguments[0] == "update":
        return 0 if arguments[3:] else complain('"docker update" requires at least 1 argument.')
    elif arguments[:2] != ["image", "rm"]:
        return complain(f"unknown command: docker {' '.join(arguments)}", 16)
    return 0


def compose(folder: Path, trouble: dict[str, Any], project: str, files: list[str], command: list[str]) -> int:
    if gone := [file for file in files if not Path(file).is_file()]:
        return complain(f"open {gone[0]}: no such file or directory")
    parts = [json.loads(Path(file).read_text()) for file in files]
    services = {name: service for part in parts for name, service in part["services"].items()}
    versions = {name: service["environment"].get("SERVICE_VERSION", "") for name, service in services.items()}
    ports = [port for part in parts for one in part["services"].values() for port in one.get("ports", [])]
    state = read_state(folder)
    mine, (verb, *rest) = state.setdefault(project, {}), command
    named = [word for word in rest if word in services]
    code = 0
    if verb == "run":
        return subprocess.run(rest[rest.index(named[0]) + 1 :], check=False).returncode
    elif verb == "up":
        settings = [file for service in services.values() for file in service.get("env_file", [])]
        if missing := [file for file in settings if not Path(file).is_file()]:
            return complain(f"env file {missing[0]} not found")
        if "deploy-proxy" not in state and any("deploy-proxy" in part.get("networks", {}) for part in parts):
            return complain("network deploy-proxy declared as external, but could not be found")
        if any(f"{trouble.get('port')}:" in port for port in ports):
            return complain("Bind for 127.0.0.1 failed: port is already allocated")
        mine |= dict.fromkeys(named or services, True)
        if {versions[name] for name in named} & set(trouble.get("sick", [])):
            code = complain(f"container {project}-{named[0]}-1 is unhealthy")
    elif verb == "--dry-run":
        print("\n".join(f" DRY-RUN MODE -  Container {project}-{name}-1  Running" for name in mine))
    elif verb == "stop":
        mine |= dict.fromkeys(named, False)
    elif verb == "down":
        del state[project]
    elif command == ["ps", "--services", "--status", "running"]:
        print("\n".join(name for name, runs in mine.items() if runs))
    elif verb == "ps":
        print("\n".join(f"{project}-{name}-1" for name in named or mine if name in mine))
    elif verb == "exec":
        if not mine.get(named[0]):
            return complain(f'service "{named[0]}" is not running')
        version = trouble.get("answers", {}).get(named[0], versions[named[0]])
        if "X-Release" in rest[-1]:
            return complain("HTTP Error 502: Bad Gateway") if trouble.get("astray") else 0
        health = [200, json.dumps({"service": named[0], "status": "healthy", "version": version})]
        late = version in trouble.get("unready", [])
        print(json.dumps([health, [503, "the database doesn't answer"] if late else [200, "{}"]]))
    else:
        return complain(f"unknown docker command: compose {verb}", 16)
    (folder / "containers.json").write_text(json.dumps({name: one for name, one in state.items() if one}))
    return code


def main() -> int:
    folder, program, arguments = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    trouble = json.loads((folder / "host.json").read_text())
    given = sys.stdin.buffer.read() if program == "ssh" else b""
    line = {"program": program, "arguments": arguments, "input": given.decode()}
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    os.umask(0o022)
    return ssh(folder, trouble, arguments, given) if program == "ssh" else docker(folder, trouble, arguments)


if __name__ == "__main__":
    sys.exit(main())
