"""What services have counted, on the host of ENV; here, without ENV, in the folder EVENTS_FOLDER.

`events summary` prints what the events come to, as JSON; `events forget` deletes those of the unit UNIT.
"""

import os
import sys

import uv

from . import settings
from .compose import Compose
from .host import Host
from .shell import Stop, run

CODE = "runtime/experiments.py"


def inside(environment: str, command: str, text: str = "") -> str:
    """Run a command of runtime/experiments.py where the events are; return what it printed. Raises Stop."""
    if not environment:
        if not os.environ.get("EVENTS_FOLDER"):
            raise Stop("neither ENV nor EVENTS_FOLDER says where the events are")
        return run([sys.executable, str(uv.ROOT / CODE), command], text)
    told = settings.read(environment)
    with Host(told).connected() as host:
        target = Compose(host, told, settings.rules())
        if (release := target.last()) is None:
            raise Stop(f"nothing has been deployed to {environment}", 1)
        # In a container: its user owns the files, and it knows the key.
        within = f"{target.command(release.number)} exec -T {release.builds[0].service} python"
        return host.read(f"{within} {CODE} {command}", text, command)


def main(command: str) -> int:
    """Do it, and return the exit code."""
    environment, unit = os.environ.get("ENV", ""), os.environ.get("UNIT", "")
    try:
        if command != "forget":
            print(inside(environment, command), end="")
        elif not unit:
            raise Stop("UNIT is empty, expected the unit whose events are deleted, such as a user's id")
        else:
            print(f"{inside(environment, command, unit).strip()} events deleted")
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
