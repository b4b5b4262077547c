"""Stand-ins for ssh and docker, as scripts on PATH: they log what they are given, and answer as far as
ci/deploy.py asks.

The "host" is a folder: what ssh is given is run by a shell in it, where docker is a stand-in too. `host.json`
beside the log says what is wrong there. Run as `python stand_ins.py FOLDER ssh|docker ARGUMENTS…`; `StandIns`
makes the scripts and reads the log.
"""

from __future__ import annotations

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

        unreachable: ssh doesn't get there. missing, sick: versions without an image, or that don't become
        healthy. answers: service to what its /health says instead.
        """
        (self.folder / "host.json").write_text(json.dumps(what))

    def log(self, program: str = "") -> list[dict[str, Any]]:
        """What was run, the first one first: program, arguments, input."""
        log = self.folder / "log.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [line for line in lines if program in ("", line["program"])]

    def docker(self) -> list[str]:
        """What docker was given, without the options that are the same each time."""
        return [
            " ".join(line["arguments"][7 if line["arguments"][0] == "compose" else 0 :])
            for line in self.log("docker")
        ]

    def file(self, name: str) -> Path:
        """A file of the environment staging on the host."""
        return self.host / "deploy" / "shop-staging" / name

    def words(self, name: str) -> list[str]:
        return self.file(name).read_text().split() if self.file(name).exists() else []


def complain(message: str, code: int = 1) -> int:
    print(message, file=sys.stderr)
    return code


def ssh(folder: Path, trouble: dict[str, Any], arguments: list[str], given: bytes) -> int:
    """Run the last argument on the host, as a login shell there would."""
    if trouble.get("unreachable"):
        return complain("ssh: connect to host: Connection refused", 255)
    if "-i" in arguments:
        key = Path(arguments[arguments.index("-i") + 1])
        if key.stat().st_mode & 0o077:
            return complain("WARNING: UNPROTECTED PRIVATE KEY FILE!", 255)
    return subprocess.run(
        ["sh", "-c", arguments[-1]], cwd=folder / "host", input=given, check=False
    ).returncode


def docker(folder: Path, trouble: dict[str, Any], arguments: list[str]) -> int:
    """Do as `docker compose -p NAME --project-directory .

    -f FILE COMMAND…` does; build and push say nothing.
    """
    if arguments[0] != "compose":
        return 0
    command, rest = arguments[7], arguments[8:]
    try:
        services = json.loads(Path(arguments[6]).read_text())["services"]
    except FileNotFoundError:
        return complain(f"open {arguments[6]}: no such file or directory")
    versions = {name: service["image"].rpartition(":")[2] for name, service in services.items()}
    running = folder / "running.json"
    if command == "config":
        print("\n".join(services))
    elif command == "pull":
        if set(versions.values()) & set(trouble.get("missing", [])):
            return complain("manifest unknown")
    elif command == "up":
        if missing := [
            file for service in services.values() for file in service["env_file"] if not Path(file).is_file()
        ]:
            return complain(f"env file {missing[0]} not found")
        running.write_text(
            json.dumps(
                {name: service["environment"]["SERVICE_VERSION"] for name, service in services.items()}
            )
        )
        if set(versions.values()) & set(trouble.get("sick", [])):
            return complain("container shop-staging-api-1 is unhealthy")
    elif command == "exec":
        name = rest[1]
        if not running.exists():
            return complain(f'service "{name}" is not running')
        healthy = {"service": name, "status": "healthy", "version": json.loads(running.read_text())[name]}
        print(trouble.get("answers", {}).get(name, json.dumps(healthy)))
    else:
        return complain(f"unknown docker command: compose {command}", 16)
    return 0


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
