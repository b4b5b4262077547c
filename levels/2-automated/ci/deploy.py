"""Bring the services to one host and back: docker compose over ssh.

    python3 ci/deploy.py images            build and push the image of each service, tagged with the commit
    python3 ci/deploy.py images staging    the same in a workflow, if that may go on to deploy it to staging
    python3 ci/deploy.py deploy staging    start the images of this commit (or --version) on the host
    python3 ci/deploy.py rollback staging  start the version that ran well before
    python3 ci/deploy.py status staging    say what runs there, and how it is

--dry-run prints the commands and runs none. Settings and secrets come from config/<environment>.env, which
git ignores; in a workflow from variables: DEPLOY_ENV_FILE (that file's text), DEPLOY_HOST, DEPLOY_SSH_KEY,
DEPLOY_KNOWN_HOSTS.

A workflow deploys a commit only while it is the tip of its branch: an older one that is run again, or took
longer, doesn't go over a newer one. The way back is rollback, or --version.

Exit codes: 0 done, 1 it went wrong on the way, 2 something to set or correct first, told in one line.
"""

import argparse
import base64
import datetime
import getpass
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import flags
import uv

LOG = uv.ROOT / "config" / "deploys.jsonl"
WAIT_SECONDS = 120
DRY_RUN = False


class Stop(Exception):
    """Ends the run with a one-line message and an exit code."""

    def __init__(self, message: str, code: int = 2) -> None:
        """Take the line to print and the exit code."""
        super().__init__(message)
        self.code = code


def run(command: list[str], text: str = "", show_text: bool = True) -> str:
    """Run a command with `text` as its standard input; return what it printed. All docker and ssh goes here.

    In a dry run, print it instead and return nothing. `show_text` is False where the text holds secrets.
    Raises Stop when the command fails.
    """
    if DRY_RUN:
        print("+ " + shlex.join(command))
        if text:
            print(
                text.rstrip("\n")
                if show_text
                else f"  ({len(text.splitlines())} lines with secrets, not shown)"
            )
        return ""
    try:
        # Without text the command gets no input at all, or ssh would wait for a keyboard.
        done = subprocess.run(
            command, input=text, text=True, stdout=subprocess.PIPE, check=False, cwd=uv.ROOT
        )
    except FileNotFoundError as error:
        raise Stop(f"{command[0]} is not installed") from error
    if done.returncode:
        print(done.stdout, end="", file=sys.stderr)
        raise Stop(f"failed with exit code {done.returncode}: {shlex.join(command)}", 1)
    return done.stdout


# ---- what is to be deployed ----


def image(project: dict[str, Any], service: str, version: str) -> str:
    """Return the name of a service's image. Raises Stop when nobody said where the repository stands."""
    repository = project["repository"] or os.environ.get("GITHUB_REPOSITORY", "")
    if not repository:
        how = f"{uv.MAKE} set repository=owner/name"
        raise Stop(f"images are named after the repository, which is empty: {how}")
    return f"{project['image_registry']}/{repository.lower()}/{service}:{version}"


def git(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run git at the project's root and return how it went. Raises Stop where it takes a minute."""
    command = ["git", *arguments]
    try:
        return subprocess.run(
            command,
            cwd=uv.ROOT,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **environment},
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired as error:
        raise Stop(f"git {arguments[0]} didn't answer within a minute", 1) from error


def commit() -> str:
    """Return the commit that is checked out. Raises Stop where there is none."""
    found = git("rev-parse", "HEAD")
    if found.returncode:
        raise Stop("there is no commit yet: a version is a commit")
    return found.stdout.strip()


def superseded() -> str:
    """Return why a workflow may not deploy what it checked out: that isn't the tip of its branch (any more).

    Empty where it is, and where no workflow runs this. Raises Stop where it can't be told: then nothing is
    deployed.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return ""
    ref = os.environ.get("GITHUB_REF", "")
    branch = ref.removeprefix("refs/heads/")
    if branch == ref:
        return f"a workflow deploys the tip of a branch, and this is {ref or 'no branch'}"
    # Without a remote the branch stands here.
    remote = "origin" if "origin" in git("remote").stdout.split() else "."
    listed = git("ls-remote", remote, ref, **read_access())
    if listed.returncode:
        said = (listed.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Stop(
            f"nothing was deployed: whether this is the tip of {branch} can't be told: git ls-remote: {said}",
            1,
        )
    tips = [line.split("\t")[0] for line in listed.stdout.splitlines() if line.endswith(f"\t{ref}")]
    if not tips:
        return f"the branch {branch} is gone"
    return "" if tips == [commit()] else f"{branch} stands at {tips[0]} by now, and this is {commit()}"


def read_access() -> dict[str, str]:
    """Return git's environment to read the repository with the workflow's token, for that server alone."""
    token, server = os.environ.get("GITHUB_TOKEN"), os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    if not token:
        return {}
    header = "Authorization: basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
    settings = {"GIT_CONFIG_COUNT": "2"}
    # The empty one forgets a header that the checkout left behind.
    for number, value in enumerate(["", header]):
        settings |= {
            f"GIT_CONFIG_KEY_{number}": f"http.{server}/.extraheader",
            f"GIT_CONFIG_VALUE_{number}": value,
        }
    return settings


def may_go_on(environment: str, output: str) -> bool:
    """Return whether a workflow may deploy this commit; its later steps and jobs get that as an output.

    Where it may not, the reason is on the page of the run. Raises Stop where it can't be told.
    """
    why = superseded()
    if why:
        flags.tell(f"Nothing was deployed to {environment}: {why}.")
    if path := os.environ.get("GITHUB_OUTPUT"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{output}={'false' if why else 'true'}\n")
    return not why


def secret_prefix(environment: str) -> str:
    """Return what the names of an environment's secrets begin with."""
    return environment.upper().replace("-", "_")


def environment_file(environment: str) -> dict[str, str]:
    """Return the KEY=value lines of config/<environment>.env, or of DEPLOY_ENV_FILE. Raises Stop."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", environment):
        raise Stop(f"ENV is {environment!r}, expected the name of an environment, such as ENV=staging")
    text = os.environ.get("DEPLOY_ENV_FILE", "")
    if not text:
        file = uv.ROOT / "config" / f"{environment}.env"
        if not file.is_file() and os.environ.get("CI"):
            raise Stop(
                f"the secret {secret_prefix(environment)}_ENV is missing: docs/staging.md says what it holds"
            )
        if not file.is_file():
            own = file.with_name(f"{environment}.env.template").is_file()
            template = f"config/{environment if own else 'staging'}.env.template"
            raise Stop(f"config/{environment}.env is missing: copy {template} and fill it in")
        try:
            text = file.read_text(encoding="utf-8")
        except ValueError:
            # Without the error's own words: they quote the file.
            raise Stop(f"config/{environment}.env: expected UTF-8") from None
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key.strip()):
            # The line itself may hold a secret: it is not printed.
            raise Stop(f"config/{environment}.env, line {number}: expected NAME=value")
        values[key.strip()] = value.strip()
    return values


def plain(values: dict[str, str], name: str) -> str:
    """Return a value without its quotes; an empty text when it isn't set."""
    return values.get(name, "").strip("\"'")


def compose(project: dict[str, Any], environment: str, version: str, values: dict[str, str]) -> str:
    """Return the compose file, as JSON (which is YAML): each service at `version`, with a health check."""
    services = {}
    features = plain(values, "FEATURE_FLAGS") or flags.of(environment)["runtime"]
    for number, service in enumerate(project["services"]):
        name = service["name"]
        port_name = name.upper().replace("-", "_") + "_PORT"
        port = plain(values, port_name) or str(8000 + number)
        if not port.isdigit():
            raise Stop(f"config/{environment}.env: {port_name} is {port!r}, expected a number")
        services[name] = {
            "image": image(project, name, version),
            "env_file": ["app.env"],
            "environment": {
                "ENVIRONMENT": environment,
                "FEATURE_FLAGS": features,
                "PORT": "8000",
                "SERVICE_NAME": name,
                "SERVICE_VERSION": version,
            },
            "ports": [f"{plain(values, 'DEPLOY_BIND') or '127.0.0.1'}:{port}:8000"],
            "restart": "unless-stopped",
            "healthcheck": {
                "test": ["CMD", "python", "-c", HEALTH],
                "interval": "10s",
                "timeout": "5s",
                "retries": 6,
                "start_period": "20s",
            },
        }
    return json.dumps({"services": services}, indent=2) + "\n"


# What runs inside a container: it fails unless /-/health answers 200, and prints the answer. No proxy that
# the environment names is asked, and not the application's own /health, which may say anything.
HEALTH = "import urllib.request as r; r.getproxies = dict; print(r.urlopen('http://127.0.0.1:8000/-/health',timeout=4).read().decode())"


# ---- the host ----


class Host:
    """One environment on one host: a folder in the user's home, driven over ssh."""

    def __init__(self, project: dict[str, Any], environment: str, values: dict[str, str], keys: Path) -> None:
        """Take the project, the environment, its settings, and an empty folder for the key. Raises Stop."""
        where = os.environ.get("DEPLOY_HOST") or plain(values, "DEPLOY_HOST")
        if not (found := re.fullmatch(r"(\w[\w.-]*@\w[\w.-]*?)(?::(\d+))?", where)):
            raise Stop(
                f"DEPLOY_HOST is {where!r}, expected user@host or user@host:port (config/{environment}.env)"
            )
        self.name = f"{project['project']}-{environment}"
        self.started = False  # whether this run has changed what runs there
        self.ssh = [
            "ssh",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "ConnectTimeout=10",
        ]
        if found[2]:
            self.ssh += ["-p", found[2]]
        for secret in ("SSH_KEY", "KNOWN_HOSTS"):
            if os.environ.get("CI") and not os.environ.get(f"DEPLOY_{secret}"):
                name = f"{secret_prefix(environment)}_{secret}"
                raise Stop(f"the secret {name} is missing: docs/staging.md says what it holds")
        if key := os.environ.get("DEPLOY_SSH_KEY"):
            self.ssh += ["-o", "IdentitiesOnly=yes", "-i", self._secret_file(keys / "key", key)]
        if known := os.environ.get("DEPLOY_KNOWN_HOSTS"):
            self.ssh += ["-o", f"UserKnownHostsFile={self._secret_file(keys / 'known_hosts', known)}"]
        self.ssh += ["--", found[1]]

    @staticmethod
    def _secret_file(file: Path, text: str) -> str:
        """Write a file that only its owner can read; return its path. ssh wants a line end at the end of a
        key.
        """
        file.touch(mode=0o600)
        file.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        return str(file)

    def sh(self, script: str, text: str = "", show_text: bool = True) -> str:
        """Run a line of shell in this environment's folder on the host and return what it printed.

        Raises Stop.
        """
        folder = f"deploy/{self.name}"
        enter = f"umask 077 && mkdir -p {folder}/releases && cd {folder} && "
        return run([*self.ssh, enter + script], text, show_text)

    def compose(self, version: str, arguments: str) -> str:
        """Run docker compose with the compose file of `version`. Raises Stop."""
        return self.sh(
            f"docker compose -p {self.name} --project-directory . -f releases/{version}.json {arguments}"
        )

    def versions(self) -> list[str]:
        """Return the versions that have run well, oldest first."""
        return self.sh("cat versions 2>/dev/null || true").split()

    def current(self) -> str:
        """Return the version that was started last, or nothing."""
        return self.sh("cat current 2>/dev/null || true").strip()

    def start(self, version: str) -> None:
        """Start a version whose compose file is there, wait until it is healthy, and check that it answers.

        Raises Stop.
        """
        try:
            self.compose(version, "pull --quiet")
        except Stop as stop:
            raise Stop(
                f"{stop}\nare the images there? `{uv.MAKE} images` pushes those of this commit", 1
            ) from stop
        self.started = True
        self.sh(f"echo {version} > current")
        self.compose(version, f"up --detach --wait --wait-timeout {WAIT_SECONDS} --remove-orphans")
        if wrong := self.unhealthy(version):
            raise Stop(f"{version} was started, but {'; '.join(wrong)}", 1)

    def unhealthy(self, version: str) -> list[str]:
        """Ask each service of `version` for its health, print a line for each, and return what is wrong."""
        wrong = []
        for service in self.compose(version, "config --services").split():
            try:
                answer = json.loads(
                    self.compose(version, f"exec -T {service} python -c {shlex.quote(HEALTH)}")
                )
                state, running = answer.get("status"), answer.get("version")
            except (Stop, ValueError, AttributeError):
                # Nobody answers, or it isn't JSON, or JSON but not an object.
                state, running = "no answer", "unknown"
            print(f"{service}: {state}, version {running}")
            if state != "healthy":
                wrong.append(f"{service} is not healthy ({state})")
            elif running != version:
                wrong.append(f"{service} answers as version {running}")
        return wrong


# ---- the commands ----


def images(project: dict[str, Any], environment: str) -> None:
    """Build and push the image of each service; for an environment only if a workflow may deploy to it.

    Raises Stop.
    """
    if flags.off("staging_deployment", environment, f"the deployment to {environment}"):
        return
    if environment and not may_go_on(environment, "deploy"):
        return
    if git("status", "--porcelain").stdout and not DRY_RUN:
        raise Stop("there are changes that are not committed: an image is tagged with its commit")
    for service in project["services"]:
        name = image(project, service["name"], commit())
        # A service with a Dockerfile of its own is built from its folder.
        own = (uv.ROOT / service["path"] / "Dockerfile").is_file()
        what = [service["path"]] if own else ["--build-arg", f"SERVICE={service['path']}", "."]
        run(["docker", "build", "--tag", name, *what])
        run(["docker", "push", name])
    if environment:
        may_go_on(environment, "deploy")  # asked again, because a build takes its time


def deploy(
    host: Host, project: dict[str, Any], environment: str, version: str, asked: str, values: dict[str, str]
) -> str:
    """Start `version` on the host; return a note for the deployment log. Raises Stop.

    An older version than the one that runs there is started only where it was `asked` for by name.
    """
    # First of all, because it tells what isn't right: until then nothing changes on the host.
    wanted = compose(project, environment, version, values)
    back = host.current()
    if not older(version, back):
        back = ""
    elif not asked:
        how = f"`{uv.MAKE} rollback ENV={environment}`, or `{uv.MAKE} deploy ENV={environment} VERSION={version}`"
        raise Stop(
            f"{version} is older than {back}, which runs in {environment}: `git pull`; or to go back {how}"
        )
    else:
        print(f"{environment} goes back from {back} to {version}, which is older")
    # Lines for this script are not for the services.
    inside = {key: value for key, value in values.items() if not key.startswith("DEPLOY_")}
    host.sh("cat > app.env", "".join(f"{key}={value}\n" for key, value in inside.items()), show_text=False)
    host.sh(f"cat > releases/{version}.json", wanted)
    host.start(version)
    host.sh(f'[ "$(tail -n 1 versions 2>/dev/null)" = {version} ] || echo {version} >> versions')
    return f"back from {back}" if back else ""


def older(version: str, than: str) -> bool:
    """Return whether git knows here that one version is a commit before another."""
    if version == than or not re.fullmatch(r"[0-9a-f]{40}", than):
        return False
    return git("merge-base", "--is-ancestor", version, than).returncode == 0


def before(host: Host) -> str:
    """Return the version that ran well before the current one; it is the last of the list now. Raises Stop."""
    current, well = host.current(), host.versions()
    if DRY_RUN:
        current, well = "NOW", ["BEFORE", "NOW"]
    # A version that never became healthy is current, but not in the list: then the last of the list is the
    # one.
    while well and well[-1] == current:
        well.pop()
    if not well:
        raise Stop("no earlier version has run there", 1)
    # Before the start: if that goes wrong, the next rollback goes further back, and not to the version that
    # was left.
    host.sh("cat > versions", "".join(f"{version}\n" for version in well))
    return well[-1]


def status(host: Host) -> None:
    """Print what runs on the host. Raises Stop when it is not well."""
    current = host.current()
    if DRY_RUN:
        current = "NOW"
    if not current:
        raise Stop("nothing has been deployed there", 1)
    if wrong := host.unhealthy(current):
        raise Stop("; ".join(wrong), 1)


def record(kind: str, environment: str, version: str, outcome: str, note: str = "") -> None:
    """Add a deploy or a rollback to the deployment log.

    CI, which can't commit it, writes none: GitHub lists them.
    """
    if DRY_RUN or os.environ.get("CI"):
        return
    line = {
        "kind": kind,
        "environment": environment,
        "version": version,
        "at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": git("config", "user.name").stdout.strip() or getpass.getuser(),
        "outcome": outcome,
        **({"note": note} if note else {}),
    }
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"written to {LOG.relative_to(uv.ROOT)}: commit it")


def main() -> int:
    """Read the command line, do it, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["images", "deploy", "rollback", "status"])
    parser.add_argument("environment", nargs="?", default="", help="such as staging")
    parser.add_argument("--version", default="", help="the tag of the images; the commit, when not given")
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args()
    global DRY_RUN
    DRY_RUN = asked.dry_run
    try:
        project = uv.PROJECT
        if asked.command == "images":
            images(project, asked.environment)
            return 0
        values = environment_file(asked.environment)
        with tempfile.TemporaryDirectory() as keys:
            host = Host(project, asked.environment, values, Path(keys))
            if asked.command == "status":
                status(host)
            else:
                change(host, project, asked.command, asked.environment, asked.version, values)
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    return 0


def change(
    host: Host, project: dict[str, Any], command: str, environment: str, version: str, values: dict[str, str]
) -> None:
    """Deploy or roll back, and put the outcome into the deployment log. Raises Stop."""
    asked, version, note = version, version or commit(), ""
    if not re.fullmatch(r"\w[\w.-]{0,127}", version, re.ASCII):
        raise Stop(f"VERSION is {version!r}, expected the tag of an image, such as a commit")
    if command == "deploy" and not asked and not may_go_on(environment, "deployed"):
        return
    try:
        if command == "rollback":
            version = before(host)
            host.start(version)
        else:
            note = deploy(host, project, environment, version, asked, values)
    except Stop as stop:
        if not host.started:
            raise
        record(command, environment, version, "failure")
        raise Stop(f"{stop}\nback to the version before: {uv.MAKE} rollback ENV={environment}", 1) from stop
    record(command, environment, version, "success", note)
    if not DRY_RUN:
        print(f"{environment}: {version} runs")


if __name__ == "__main__":
    sys.exit(main())
