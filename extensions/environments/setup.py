"""`levels setup`: what a first deploy to an environment needs, in order. What a machine can do is done, once
a person has seen it.

It looks before it does anything, so that it can be run again. No secret is printed, and none stays in a file:
the key of the workflow is made in a folder that only its owner can read, and goes to GitHub from there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ..errors import Refused
from ..evolution.facts import Facts
from ..project.git_and_files import shown
from ..template import answers
from . import settings

State = Literal["done", "machine", "yours", "unknown"]
MARKS: dict[State, str] = {"done": "[x]", "machine": "[>]", "yours": "[ ]", "unknown": "[?]"}
SECONDS = 60  # for one command, ssh and gh both ask over the network
WAY = "a way to the host"
ASK_HOST = (
    "command -v flock; command -v timeout; docker version --format 'engine {{.Server.Version}}';"
    " echo compose $(docker compose version --short); cat .docker/config.json"
)


@dataclass(frozen=True)
class Item:
    """One thing that has to be there: how it stands, what was seen or is to be done, and what does it."""

    what: str
    state: State
    detail: str = ""
    do: Callable[[], None] | None = None


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    errors: str

    @property
    def why(self) -> str:
        """The last line of what it complained about."""
        lines = [line for line in self.errors.splitlines() if line.strip()]
        return shown(lines[-1].strip()) if lines else f"exit code {self.code}"


def run(command: Sequence[str], text: str = "") -> Said:
    """Run a command with `text` as its input. Never raises for what it does."""
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return Said(127, "", f"{command[0]} is not installed")
    except subprocess.TimeoutExpired:
        return Said(124, "", f"{command[0]} didn't answer within {SECONDS} seconds")
    return Said(done.returncode, done.stdout, done.stderr)


class Setup:
    """An environment that is being set up. Raises Refused where the project has no such environment.

    `items` looks anew each time.
    """

    def __init__(self, project: Path, recorded: Mapping[str, Any], environment: str, now: datetime) -> None:
        self.facts, self.environment = Facts(project, recorded, now, offline=True), environment
        self.prefix = environment.upper().replace("-", "_")
        self.file = f"config/{environment}.env"
        self.template = f"{self.file}.template"
        if not self.facts.text(self.template):
            known = ", ".join(answers.environment_names(recorded))
            raise Refused(f"ENV is {environment!r}, expected one with a config/ENV.env.template: {known}")

    def items(self) -> list[Item]:
        """What is needed, in order, and how it stands. Asks the host and GitHub. Raises Refused."""
        self.facts = Facts(self.facts.folder, self.facts.recorded, self.facts.now, offline=True)
        here = [self._settings_file(), self._settings()]
        if not self.address:
            return [*here, Item("the host", "yours", f"set DEPLOY_HOST in {self.file}, as user@host")]
        here += self._host()
        if not any(one.what == WAY and one.state == "done" for one in here):
            return [*here, Item("GitHub", "unknown", "looked at once the host can be reached")]
        used = any(f"secrets.{self.prefix}_SSH_KEY" in workflow.text for workflow in self.facts.workflows)
        if not used:
            return [*here, Item("GitHub", "done", f"no workflow deploys to {self.environment} at this level")]
        return [*here, *self._github()]

    # ---- here ----

    def _settings_file(self) -> Item:
        if (self.facts.folder / self.file).is_file():
            return Item(self.file, "done", "is there")
        if run(["git", "-C", str(self.facts.folder), "check-ignore", "--quiet", self.file]).code:
            return Item(self.file, "yours", "git doesn't ignore it: add *.env to .gitignore first")
        return Item(self.file, "machine", f"copy {self.template}", self._copy)

    def _copy(self) -> None:
        shutil.copyfile(self.facts.folder / self.template, self.facts.folder / self.file)

    def _settings(self) -> Item:
        seen = settings.report(self.facts, self.environment)
        names = [one.name for one in seen.missing] + seen.misplaced
        if names:
            told = f"`{self.facts.make} env ENV={self.environment}` says more of {', '.join(names)}"
            return Item("the settings that the code reads", "yours", told)
        return Item("the settings that the code reads", "done", "all are set, or have a value in the code")

    @property
    def address(self) -> str:
        """user@host or user@host:port, from the settings; empty where it isn't set."""
        try:
            text = (self.facts.folder / self.file).read_text(encoding="utf-8")
        except OSError:
            return ""
        found = re.search(r"(?m)^DEPLOY_HOST=(['\"]?)(\w[\w.-]*@\w[\w.-]*(?::\d+)?)\1\s*$", text)
        return found[2] if found else ""

    # ---- the host ----

    def _ssh(self, script: str, text: str = "") -> Said:
        name, _, port = self.address.partition(":")
        options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10"]
        return run(["ssh", *options, *(["-p", port] if port else []), "--", name, script], text)

    @cached_property
    def known_host(self) -> str:
        """The lines of the person's known_hosts about the host: a key that they have looked at."""
        host, _, port = self.address.partition("@")[2].partition(":")
        said = run(["ssh-keygen", "-F", f"[{host}]:{port}" if port and port != "22" else host])
        return "".join(f"{line}\n" for line in said.out.splitlines() if line and not line.startswith("#"))

    def _host(self) -> list[Item]:
        name, _, port = self.address.partition(":")
        if not self.known_host:
            way = f"-p {port} {name}" if port else name
            how = f"`ssh {way}`, and compare the key that it shows with the host's own"
            return [Item("the host's key", "yours", how)]
        items = [Item("the host's key", "done", "stands in your known_hosts")]
        said = self._ssh(f"{ASK_HOST} 2>/dev/null; true")
        if said.code:
            return [*items, Item(WAY, "yours", f"ssh to {name}: {said.why}")]
        items.append(Item(WAY, "done", f"ssh to {name} works"))
        lacks = []
        for program, least in (("engine", (25, 0)), ("compose", (2, 20))):
            found = re.search(rf"{program} v?(\d+)[.](\d+)", said.out)
            if not found or (int(found[1]), int(found[2])) < least:
                lacks.append(f"Docker's {program} {least[0]}.{least[1]} or later")
        lacks += [f"{program}(1)" for program in ("flock", "timeout") if f"/{program}\n" not in said.out]
        who = name.partition("@")[0]
        how = (
            f"for {who}; https://docs.docker.com/engine/install says how, and `sudo usermod -aG docker {who}`"
        )
        told = f"install {', '.join(lacks)} there, {how}" if lacks else "its engine and Compose can do it"
        items.append(Item("Docker on the host", "yours" if lacks else "done", told))
        registry = str(self.facts.recorded.get("image_registry", "ghcr.io")).partition("/")[0]
        if f'"{registry}"' in said.out:
            items.append(Item("the registry", "done", f"the host is logged in at {registry}"))
        else:
            how = (
                f"if its images are private: `docker login {registry}` there, with a token that may only read"
            )
            items.append(Item("the registry", "unknown", f"the host isn't logged in at {registry}; {how}"))
        return items

    # ---- GitHub ----

    def _gh(self, *arguments: str, text: str = "") -> Said:
        return run(["gh", *arguments], text)

    def _github(self) -> list[Item]:
        repository = self.facts.repository
        if not repository:
            how = f"push the project to GitHub, and say where: `{self.facts.make} set repository=owner/name`"
            return [Item("the repository", "yours", how)]
        if (said := self._gh("auth", "status")).code:
            return [Item("GitHub", "yours", f"`gh auth login` ({said.why})")]
        if (said := self._gh("api", f"repos/{repository}")).code:
            return [Item("GitHub", "unknown", f"{repository}: {said.why}")]
        environment = self._environment(repository)
        if environment.state not in ("done", "machine"):
            return [environment]
        # The variable that switches the workflow on is the last one.
        return [
            self._ruleset(repository),
            environment,
            *self._secrets(repository),
            *self._variables(repository),
        ]

    def _environment(self, repository: str) -> Item:
        path = f"repos/{repository}/environments/{self.environment}"
        said = self._gh("api", path)
        self.at: tuple[str, ...] = ("--env", self.environment)
        what = f"GitHub's environment {self.environment}"
        if not said.code:
            return Item(what, "done", "is there")
        if "404" not in said.errors:
            return Item(what, "unknown", said.why)
        if self._json("api", f"repos/{repository}").get("private") and self._plan_has_none(repository):
            self.at = ()
            return Item(
                what, "done", "the plan has none for private repositories: the repository holds the secrets"
            )
        return Item(what, "machine", "make it", lambda: self._must("api", "--method", "PUT", path))

    def _plan_has_none(self, repository: str) -> bool:
        """Whether GitHub refuses to list environments at all, as it does for private repositories on Free."""
        return bool(self._gh("api", f"repos/{repository}/environments").code)

    def _json(self, *arguments: str) -> Any:
        said = self._gh(*arguments)
        if said.code:
            raise Refused(f"gh {' '.join(arguments[:2])}: {said.why}")
        try:
            return json.loads(said.out)
        except ValueError:
            raise Refused(f"gh {' '.join(arguments[:2])}: expected JSON") from None

    def _must(self, *arguments: str, text: str = "") -> None:
        if (said := self._gh(*arguments, text=text)).code:
            raise Refused(f"gh {' '.join(arguments[:3])}: {said.why}")

    def _listed(self, kind: str, repository: str, fields: str) -> dict[str, Any]:
        """The secrets or variables of the environment, and of the repository, by name."""
        found: dict[str, Any] = {}
        for at in {(), self.at}:
            said = self._gh(kind, "list", "--repo", repository, *at, "--json", fields)
            if not said.code:
                found |= {one["name"]: one for one in json.loads(said.out or "[]")}
            elif not at or "404" not in said.errors:  # an environment that is yet to be made has none
                raise Refused(f"gh {kind} list: {said.why}")
        return found

    def _secrets(self, repository: str) -> list[Item]:
        there = self._listed("secret", repository, "name,updatedAt")
        items = []
        where = f"in the environment {self.environment}" if self.at else "in the repository"

        def put(name: str, text: str) -> None:
            self._must("secret", "set", name, "--repo", repository, *self.at, text=text)

        def key() -> None:
            put(f"{self.prefix}_SSH_KEY", self._new_key())

        texts: dict[str, tuple[str, Callable[[], None]]] = {
            "SSH_KEY": ("make a key, have the host accept it, store it", key),
            "KNOWN_HOSTS": (
                "store the host's key",
                lambda: put(f"{self.prefix}_KNOWN_HOSTS", self.known_host),
            ),
            "ENV": (
                f"store {self.file}",
                lambda: put(
                    f"{self.prefix}_ENV", (self.facts.folder / self.file).read_text(encoding="utf-8")
                ),
            ),
        }
        for end, (told, do) in texts.items():
            name = f"{self.prefix}_{end}"
            what = f"the secret {name}"
            if name not in there:
                items.append(Item(what, "machine", f"{told} {where}", do))
            elif end == "ENV" and self._is_newer(str(there[name].get("updatedAt", ""))):
                items.append(Item(what, "machine", f"{self.file} has changed since: store it again", do))
            else:
                items.append(Item(what, "done", "is there; what it holds can't be read back"))
        return items

    def _is_newer(self, updated: str) -> bool:
        changed = (self.facts.folder / self.file).stat().st_mtime
        try:
            return changed > datetime.fromisoformat(updated).timestamp()
        except ValueError:
            return False

    def _new_key(self) -> str:
        """Make a key for the workflow alone, and have the host accept it; return its private half."""
        comment = f"{self.facts.recorded['project_name']}-{self.environment}, for {self.facts.repository}"
        with tempfile.TemporaryDirectory(prefix="levels-") as folder:
            file = Path(folder, "key")
            said = run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file)])
            if said.code:
                raise Refused(f"ssh-keygen: {said.why}")
            public = file.with_suffix(".pub").read_text(encoding="utf-8")
            accept = "umask 077; mkdir -p .ssh && cat >> .ssh/authorized_keys"
            if (said := self._ssh(accept, public)).code:
                raise Refused(f"the host doesn't take the key: {said.why}")
            return file.read_text(encoding="utf-8")

    def _variables(self, repository: str) -> list[Item]:
        there = self._listed("variable", repository, "name,value")
        urls = {one["name"]: one["url"] for one in answers.environments(self.facts.recorded)}
        url, items = urls.get(self.environment, ""), []

        def put(name: str, value: str) -> Callable[[], None]:
            return lambda: self._must("variable", "set", name, "--repo", repository, "--body", value)

        name = f"{self.prefix}_URL"
        if there.get(name, {}).get("value"):
            items.append(Item(f"the variable {name}", "done", "is set"))
        elif url:
            items.append(Item(f"the variable {name}", "machine", f"set it to {url}", put(name, url)))
        else:
            how = f"GitHub shows it with a deployment: `gh variable set {name} --body https://…`"
            items.append(Item(f"the variable {name}", "unknown", how))
        name = f"{self.prefix}_HOST"
        if there.get(name, {}).get("value") == self.address:
            items.append(Item(f"the variable {name}", "done", "is set: the workflow is on"))
        elif there.get(name, {}).get("value"):
            said = shown(there[name]["value"])
            how = f"it is {said}, and {self.file} says {self.address}: which of the two holds?"
            items.append(Item(f"the variable {name}", "yours", how))
        else:
            told = f"set it to {self.address}, which switches the workflow on"
            items.append(Item(f"the variable {name}", "machine", told, put(name, self.address)))
        return items

    def _ruleset(self, repository: str) -> Item:
        branch = str(self.facts.recorded.get("default_branch", "main"))
        what = f"a rule that a merge to {branch} needs the green checks"
        said = self._gh("api", f"repos/{repository}/rulesets")
        if said.code:
            return Item(what, "unknown", f"{said.why}; GitHub Free has rulesets for public repositories only")
        if any(one.get("name") == branch for one in json.loads(said.out or "[]")):
            return Item(what, "done", "a ruleset of that name is there")
        file = ".github/ruleset.json"
        if not self.facts.text(file):
            return Item(what, "yours", self.facts.missing(file))
        path = str(self.facts.folder / file)
        do: Callable[[], None] = lambda: self._must(  # noqa: E731
            "api", "--method", "POST", f"repos/{repository}/rulesets", "--input", path
        )
        return Item(what, "machine", f"import {file}", do)


def text(items: Sequence[Item], environment: str) -> str:
    """What is needed and how it stands, for people."""
    lines = [f"{environment}: [x] is there, [>] can be done here, [ ] is yours to do, [?] can't be told"]
    return "\n".join([*lines, *(f"  {MARKS[one.state]} {one.what}: {one.detail}" for one in items)])


def carry_out(setup: Setup, items: Sequence[Item], say: Callable[[str], None]) -> None:
    """Do what a machine can, in order. The last one, which switches the workflow on, only where nothing
    before it is left to the person.

    Raises Refused where something can't be done: what was done before stays, and running it again goes on.
    """
    if items[0].do:  # what the others say hangs on the settings
        say(f"{items[0].what}: {items[0].detail}")
        items[0].do()
        items = setup.items()
    left = [one.what for one in items[:-1] if one.state == "yours"]
    for one in items:
        if one.do and not (one is items[-1] and left):
            say(f"{one.what}: {one.detail}")
            one.do()
