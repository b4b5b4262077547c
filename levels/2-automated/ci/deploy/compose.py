"""The target `compose`: one host with Docker, where each release is a Compose project beside the one before.

A web service of a new release starts beside the old one. Once it is ready, the proxy sends requests there, and
then the old one finishes what it has and goes. A worker stops first, unless two may run at a time.
"""

import json
import shlex

import uv

from . import proxy
from .builds import Build
from .host import Host, compose_command
from .releases import Release
from .settings import Rules, Settings
from .shell import Stop

# What runs inside a container: it asks until the service is ready or the seconds are over, and prints what
# health and readiness answered. No proxy that the environment names is asked, and not the application's own
# /health, which may say anything.
ASK = """
import json, sys, time, urllib.error, urllib.request
urllib.request.getproxies = dict
def ask(path):
    try:
        with urllib.request.urlopen('http://127.0.0.1:8000/-/' + path, timeout=4) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode(errors='replace')]
    except OSError as error:
        return [0, str(error)]
end = time.monotonic() + float(sys.argv[1])
while (said := [ask('health'), ask('readiness')]) and time.monotonic() < end:
    if said[0][0] == said[1][0] == 200:
        break
    time.sleep(0.2)
print(json.dumps(said))
"""

# The engine's own check: as the image has it, but asked often until the service has started.
HEALTH = "import urllib.request as r; r.getproxies = dict; r.urlopen('http://127.0.0.1:8000/-/health', timeout=4)"


def compose_file(release: Release, rules: Rules) -> str:
    """Return the Compose file of a release, as JSON (which is YAML): each service with its health check."""
    project = f"{uv.PROJECT['project']}-{release.environment}"
    web, services = release.names("web"), {}
    # Asked often until the service has started, then now and then.
    times = {"start_period": f"{rules.gate_seconds}s", "start_interval": "500ms", "interval": "12s", "timeout": "5s"}
    for build in release.builds:
        name, network = build.service, {}
        if name in web:
            network = {proxy.NETWORK: {"aliases": [f"{project}-{release.number}-{name}"]}}
        told = {"ENVIRONMENT": release.environment, "FEATURE_FLAGS": release.flags, "PORT": "8000"}
        if name in web and name in rules.stop_seconds:
            told["GUNICORN_CMD_ARGS"] = f"--graceful-timeout {rules.stop_seconds[name]}"
        services[name] = {
            "image": build.reference,
            "env_file": [f"settings/{release.settings}.env"],
            "environment": {**told, "SERVICE_NAME": name, "SERVICE_VERSION": build.version},
            # It doesn't start again by itself until it is known to be well: a process that can't start is
            # seen at once. Then `traffic` sets it to unless-stopped.
            "restart": "no",
            "init": True,
            "extra_hosts": ["host.docker.internal:host-gateway"],
            "networks": {"default": {}, **network},
            "logging": proxy.LOGS,
            "stop_grace_period": f"{rules.stop_seconds.get(name, 40)}s",
            "healthcheck": {"test": ["CMD", "python", "-c", HEALTH], "retries": 3, **times},
        }
    networks = {proxy.NETWORK: {"external": True}} if web else {}
    return json.dumps({"services": services, "networks": networks}, indent=2) + "\n"


class Compose:
    """What a deploy can do on the host. All of it can be done again; nothing here decides what to do."""

    def __init__(self, host: Host, settings: Settings, rules: Rules) -> None:
        """Take the host, and what the deployment is told."""
        self.host, self.settings, self.rules = host, settings, rules

    # ---- what is there ----

    def good(self) -> list[int]:
        """Return the numbers of the releases that passed, the last one last. It is the one that shall run."""
        return [int(word) for word in self.host.words("good")]

    def last(self) -> Release | None:
        """Return the release that passed last, and so shall run; None where none did."""
        good = self.good()
        return self.release(good[-1]) if good else None

    def serving(self) -> int:
        """Return the number of the release that requests go to, or 0."""
        return int((self.host.words("serving") or ["0"])[0])

    def next_number(self) -> int:
        """Return the number after those of all releases that were ever begun here."""
        return 1 + max((int(word) for word in self.host.read("ls releases").split() if word.isdecimal()), default=0)

    def release(self, number: int) -> Release:
        """Return a release. Raises Stop where the host has none of that number."""
        text = self.host.read(f"cat releases/{number}/release.json 2>/dev/null || true")
        if not text:
            known = ", ".join(map(str, self.good()[-5:])) or "none yet"
            raise Stop(f"there is no release {number} of {self.host.environment}; those that ran well: {known}")
        try:
            return Release.read(text)
        except (ValueError, LookupError, TypeError):
            how = "expected it as this version of ci/deploy writes it"
            raise Stop(f"deploy/{self.host.name}/releases/{number}/release.json on the host: {how}", 1) from None

    def running(self) -> list[int]:
        """Return the numbers of the releases that have containers, running or not."""
        prefix = f"{self.host.name}-"
        shown = self.host.read("docker ps --all --format '{{.Label \"com.docker.compose.project\"}}'").split()
        found = {name.removeprefix(prefix) for name in shown if name.startswith(prefix)}
        return sorted(int(number) for number in found if number.isdecimal())

    # ---- what can be done ----

    def write(self, release: Release) -> None:
        """Put a release's files there; nothing runs yet. Raises Stop."""
        folder = f"releases/{release.number}"
        self.host.do(f"mkdir -p {folder}")
        self.host.write(f"{folder}/compose.json", compose_file(release, self.rules))
        self.host.write(f"{folder}/release.json", release.text())

    def settings_revision(self, number: int) -> int:
        """Return the revision of the settings as they are now: the last one's, or a new one, `number`.

        The values stay on the host, where only this user can read them. Raises Stop.
        """
        script = """mkdir -p releases/%d; last=$(ls settings | sed -n 's/^\\([0-9]*\\)[.]env$/\\1/p' | sort -n | tail -n 1); cat > settings/new
if cmp -s settings/new "settings/$last.env"; then rm settings/new; echo $last; else mv settings/new settings/%d.env; echo %d; fi"""
        return int(self.host.do(script % (number, number, number), self.settings.of_services(), "writing the settings"))

    def command(self, number: int) -> str:
        """Return the beginning of a docker compose command line for a release."""
        return compose_command(self.host, number)

    def docker(self, number: int, arguments: str, show: str = "", what: str = "") -> str:
        """Run docker compose for a release, under the lease; `what` is how it is named when it fails.

        Then the last lines and the health of the services in `show` are printed. Raises Stop.
        """
        told = f" || {{ code=$?; {self.evidence(number, show)}; exit $code; }}" if show else ""
        return self.host.do(f"{self.command(number)} {arguments}{told}", what=what or f"docker compose {arguments}")

    def evidence(self, number: int, services: str) -> str:
        """Return shell that prints the health and the last lines of services."""
        state = (
            "--- {{.Name}}: {{.State.Status}}, exit code {{.State.ExitCode}}{{with .State.Health}}, {{.Status}}{{end}}"
        )
        health = "{{with .State.Health}}{{range .Log}}{{println .Output}}{{end}}{{end}}"
        shown = f"docker inspect --format {shlex.quote(state)} $one; docker inspect --format {shlex.quote(health)} $one"
        # Above what gunicorn says of its own end, some thirty lines, is what it ended of.
        return self.last_lines(number, services, 60, f"{{ {shown} | grep . | tail -n 3; }} 2>&1; ")

    def last_lines(self, number: int, services: str, lines: int, first: str = "") -> str:
        """Return shell that prints the last lines of services, after what `first` does for each container."""
        each = f"{first}docker logs --tail {lines} $one 2>&1"
        return f"for one in $({self.command(number)} ps --all --quiet {services}); do {each}; done"

    def up(self, number: int, services: list[str]) -> None:
        """Start services and wait until they are up; at once told where one ends. Raises Stop."""
        if services:
            these = " ".join(services)
            self.docker(number, f"up --detach --no-deps --wait --wait-timeout {self.rules.gate_seconds} {these}", these)

    def stop(self, number: int, services: list[str]) -> None:
        """Stop services of a release in their own time, as far as they are there. Raises Stop."""
        known = {build.service for build in self.release(number).builds}
        if these := [name for name in services if name in known]:
            self.docker(number, f"stop {' '.join(these)}")

    def down(self, number: int) -> None:
        """Stop a release in its own time, and remove its containers. Raises Stop."""
        self.docker(number, "down --remove-orphans")

    def check(self, release: Release, services: list[str], seconds: float) -> None:
        """Wait until each service is ready and answers as its build; print a line for each. Raises Stop."""
        for build in (one for one in release.builds if one.service in services):
            if wrong := self.wrong(release.number, build, seconds):
                print(self.host.read(f"{{ {self.evidence(release.number, build.service)}; }} || true"))
                raise Stop(f"{build.service}: {wrong}", 1)

    def wrong(self, number: int, build: Build, seconds: float) -> str:
        """Return what is wrong with a service that runs, after at most `seconds`; print how it is."""
        try:
            said = self.host.read(
                f"{self.command(number)} exec -T {build.service} python -c {shlex.quote(ASK)} {seconds}"
            )
            (health, answer), (ready, why) = json.loads(said)
        except (Stop, ValueError):
            return "it doesn't run"
        try:
            version = json.loads(answer).get("version")
        except (ValueError, AttributeError):
            version = "unknown"
        print(f"{build.service}: {'healthy' if health == 200 else 'not healthy'}, version {version}", flush=True)
        if health != 200:
            return f"/-/health answered {health or 'nothing'}: {answer[:300]}"
        if version != build.version:
            return f"it answers as version {version}, expected {build.version}"
        unready = f"not ready after {seconds:g} seconds: /-/readiness answered {ready}: {why[:300]}"
        return "" if ready == 200 else unready

    def complete(self, release: Release) -> bool:
        """Return whether all services of a release run. Raises Stop."""
        running = self.host.read(f"{self.command(release.number)} ps --services --status running").split()
        return {build.service for build in release.builds} <= {*running}

    def start_after_reboot(self, number: int) -> None:
        """Have the engine start a release's services again where they end, or the host was off. Raises Stop."""
        every = f"$({self.command(number)} ps --all --quiet)"
        self.host.do(f"docker update --restart unless-stopped {every} > /dev/null", what="docker update")

    def kept(self) -> list[int]:
        """Return the numbers of the releases that passed once and are kept, in their order. Raises Stop."""
        found = self.host.read(
            "cd releases; for one in *; do [ ! -e $one/passed ] || [ ! -e $one/compose.json ] || echo $one; done"
        )
        return sorted(map(int, found.split()))

    def prune(self, keep: list[int]) -> None:
        """Remove images and settings of all releases but these; those of other environments stay. Raises Stop."""
        kept = " ".join(map(str, keep))
        revisions = " ".join(str(self.release(number).settings) for number in keep)
        self.host.do(
            f"""for one in $(ls releases); do
case " {kept} " in *" $one "*) continue ;; esac; [ -e releases/$one/compose.json ] || continue
for image in $(sed -n 's/.*"image": "\\([^"]*\\)".*/\\1/p' releases/$one/compose.json); do
  used=$(for file in ../*/releases/*/compose.json; do [ $file = ../{self.host.name}/releases/$one/compose.json ] || grep -lF -- "$image" $file; done)
  [ -n "$used" ] || docker image rm "$image" > /dev/null 2>&1
done
rm -f releases/$one/compose.json
done
for file in settings/*.env; do case " {revisions} " in *" $(basename "$file" .env) "*) ;; *) rm -f "$file" ;; esac; done; true""",
            what="removing what is too old",
        )
