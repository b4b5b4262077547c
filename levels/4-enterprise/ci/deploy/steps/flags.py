"""flagd's definition for services: a deploy brings its own, `flags ENV=… APPLY=1` one for what runs.

Each release has a folder for it, so that a release that comes back has its flags as they were. The folder for
events is one for all. Both are mounted: a file that takes another's place is seen inside.
"""

import json
import os
import sys
from typing import Any

import experiments
import uv

from .. import settings
from ..compose import Compose
from ..host import Host
from ..pipeline import Deploy, Step
from ..shell import Held, Stop

# The container's user isn't the host's: it reads the one folder, and writes into the other. Those above are closed.
MAKE = "mkdir -p {folder} events && chmod 755 {folder} && chmod 777 events"
PUT = f"{MAKE} && cat > {{folder}}/new && chmod 644 {{folder}}/new && mv {{folder}}/new {{folder}}/flags.json"


def mount(deploy: Deploy) -> None:
    """Give the release's services both folders, and its flags. Raises Stop; Held where a file is wrong."""
    host, home = deploy.host, f"releases/{deploy.release.number}"
    compose = json.loads(host.read(f"cat {home}/compose.json"))
    for one in compose["services"].values():
        one["volumes"] = [*one.get("volumes", []), f"./{home}/flags:/flags:ro", "./events:/events"]
        one["environment"] |= {"FLAGS_FILE": "/flags/flags.json", "EVENTS_FOLDER": "/events"}
    host.write(f"{home}/compose.json", json.dumps(compose, indent=2) + "\n")
    try:
        made = experiments.of(host.environment)["flagd"]
    except SystemExit:
        raise Held(f"the flags of {host.environment} can't be made, as is said above") from None
    host.do(PUT.format(folder=f"{home}/flags"), text(made), "writing the flags")


def step() -> Step:
    """Return the step: the release is written, and nothing of it runs yet."""
    return Step("flags", "bring the flags", mount, only="deploy", after="prepare")


def apply(environment: str) -> None:
    """Have all that runs in an environment take the flags as they are here. Raises Stop."""
    made = experiments.of(environment)["flagd"]
    revision = made["metadata"]["version"]
    if environment == "local":
        uv.cache().joinpath("flags.new").write_text(text(made), encoding="utf-8")
        os.replace(uv.cache() / "flags.new", uv.cache() / "flags.json")
        print(f"local: revision {revision} in .cache/flags.json, which services that you start here read")
        return
    told = settings.read(environment)
    # No lease: a deploy may take hours, and this is also how something is switched off at once.
    with Host(told).connected() as host:
        running = Compose(host, told, settings.rules()).running()
        if not running:
            raise Stop(f"nothing runs in {environment}: a deploy brings the flags", 1)
        for number in running:
            if "yes" not in host.read(f"[ ! -e releases/{number}/flags ] || echo yes"):
                raise Stop(f"release {number} of {environment} is from before level 4: a deploy brings the flags", 1)
            host.read(PUT.format(folder=f"releases/{number}/flags"), text(made), "writing the flags")
        numbers = ", ".join(map(str, running))
        print(f"{environment}: revision {revision} for release {numbers}; services have it in a second")


def text(made: dict[str, Any]) -> str:
    """Return a definition as it is written."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.argv[0] = "flags"  # what messages begin with
    try:
        apply(os.environ.get("ENV", ""))
    except Stop as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.code)
