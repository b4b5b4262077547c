"""A deploy, or a rollback, as a list of named steps; ci/deploy/steps/*.py of higher levels add theirs.

Such a module has `step()`, which returns a Step that says after which one it comes. Up to the step `start`
nothing that runs is touched. From there on any failure brings back the release before, by itself. What is done
on the host can be done again: a deploy that was killed is put in order by the first step of the next one.
"""

import datetime
import getpass
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uv

from . import proxy, source
from .builds import Build
from .compose import Compose
from .host import Host, LeaseLost
from .releases import Release
from .settings import Rules, Settings
from .shell import Held, Stop

LOG = uv.ROOT / "config" / "deploys.jsonl"
# What the host keeps of its record: the last 5,000 lines. On a full disk the record before stays as it is.
APPEND = "touch log.jsonl; { tail -n 4999 log.jsonl && cat; } > log.jsonl.new && mv log.jsonl.new log.jsonl"


@dataclass
class Deploy:
    """What one deploy or rollback works on."""

    kind: str  # deploy or rollback
    host: Host
    target: Compose
    settings: Settings
    rules: Rules
    release: Release
    before: Release | None  # what ran well last, and comes back if this goes wrong
    note: str = ""
    told: list[str] = field(default_factory=list)  # what a person has to know if it goes wrong


@dataclass(frozen=True)
class Step:
    """A step: its name, what it does, the work, and where it is left out or put in."""

    name: str
    does: str
    run: Callable[[Deploy], None]
    only: str = ""  # deploy or rollback; else both
    after: str = ""  # for a step of a higher level: the name of the one that it follows


def settle(deploy: Deploy) -> None:
    """Put in order what an interrupted deploy left."""
    target, before = deploy.target, deploy.before
    there = [before.number] if before else []
    if target.running() != there or [target.serving()] != (there or [0]) or (before and not target.complete(before)):
        print("what ran well last doesn't run alone, or not whole: it comes back first", flush=True)
        try:
            restore(deploy)
        except Stop as stop:  # it, or the proxy, is broken: what is deployed now is the way out
            print(f"it doesn't come back, and is replaced as it is: {stop}", flush=True)
            for number in target.running():
                if number not in there:
                    target.down(number)


def prepare(deploy: Deploy) -> None:
    """Write the release, its settings and its Compose file to the host."""
    deploy.target.write(deploy.release)


def listen(deploy: Deploy) -> None:
    """Have the proxy run, and listen where this project needs it; what runs is reached there at once."""
    if deploy.release.names("web"):
        proxy.start(deploy.host, deploy.settings)
        known = proxy.reached(deploy.settings)
        if deploy.before and {*deploy.before.names("web")} <= {*known} and deploy.target.complete(deploy.before):
            send(deploy, deploy.before)


def pull(deploy: Deploy) -> None:
    """Have the images on the host; one that is there isn't asked for, so that a way back needs no registry."""
    # Compose would ask for it: of an image that is named by its digest it doesn't look whether it is there.
    one = "docker image inspect %s > /dev/null 2>&1 || docker pull --quiet %s > /dev/null || exit 1"
    script = "\n".join(one % (build.reference, build.reference) for build in deploy.release.builds)
    deploy.host.do(script, what="the host couldn't pull the images (if they are private: `docker login` there)")
    label = "docker image inspect --format '{{index .Config.Labels \"org.opencontainers.image.revision\"}}' "
    for build in deploy.release.builds:
        made_from = deploy.host.read(label + build.reference).strip()
        if (
            re.fullmatch(r"[0-9a-f]{40}", made_from)
            and re.fullmatch(r"[0-9a-f]{40}", build.version)
            and made_from != build.version
        ):
            raise Stop(f"{build.service}: the image was made from {made_from}, expected {build.version}", 1)


def back_up(deploy: Deploy) -> None:
    """Run the command on the host that DEPLOY_BEFORE_RELEASE names, such as a backup of the database."""
    if command := deploy.settings.plain("DEPLOY_BEFORE_RELEASE"):
        # As input: it may hold a secret, and what a command line holds is to be seen by all who list processes.
        deploy.host.do(f"timeout {deploy.rules.release_seconds} sh -s", command + "\n", what="DEPLOY_BEFORE_RELEASE")


def release_command(deploy: Deploy) -> None:
    """Run the release command of config/deploy.toml once, in the new image: migrations of the database."""
    rules = deploy.rules
    if not rules.release_command:
        return
    deploy.told.append("the release command had begun: what it did to the database stays")
    once = f"run --rm --no-deps -T {rules.release_service} timeout {rules.release_seconds} sh -c"
    what = f"the release command ({rules.release_command})"
    # The project's programs, such as alembic, stand in its environment, which the image's PATH doesn't have.
    command = shlex.quote(f'PATH="$PWD/.venv/bin:$PATH"; {rules.release_command}')
    print(deploy.target.docker(deploy.release.number, f"{once} {command}", what=what), end="")


def beside(deploy: Deploy) -> list[str]:
    """Return the services of the release that may run beside those of the one before."""
    workers = deploy.release.names("worker")
    return [*deploy.release.names("web"), *(name for name in workers if name in deploy.rules.overlap)]


def start(deploy: Deploy) -> None:
    """Start web services, and workers that may overlap, beside those of the release before."""
    deploy.target.up(deploy.release.number, beside(deploy))


def ready(deploy: Deploy) -> None:
    """Wait until each of these is ready, and answers as the build that it is."""
    deploy.target.check(deploy.release, beside(deploy), deploy.rules.gate_seconds)


def workers(deploy: Deploy) -> None:
    """Stop the workers of the release before, then start the new ones: no two run at a time."""
    alone = [name for name in deploy.release.names("worker") if name not in deploy.rules.overlap]
    if deploy.before and deploy.before.number != deploy.release.number:
        old = [name for name in deploy.before.names("worker") if name not in deploy.rules.overlap]
        deploy.target.stop(deploy.before.number, old)
    deploy.target.up(deploy.release.number, alone)
    deploy.target.check(deploy.release, alone, deploy.rules.gate_seconds)


def traffic(deploy: Deploy) -> None:
    """Have the proxy send requests to the new web services, which start again by themselves from now on."""
    deploy.target.start_after_reboot(deploy.release.number)
    send(deploy, deploy.release)


def send(deploy: Deploy, release: Release) -> None:
    """Have requests go to a release; where no service has any, only write down that it is the one. Raises Stop."""
    if release.names("web"):
        proxy.send(deploy.host, deploy.settings, release)
    else:
        proxy.withdraw(deploy.host)
        deploy.host.write("serving", f"{release.number}\n")


def smoke(deploy: Deploy) -> None:
    """Run the tests of tests/smoke through the proxy."""
    if any((uv.ROOT / "tests" / "smoke").glob("test_*.py")) and deploy.release.names("web"):
        smoke_tests(deploy.host, deploy.settings, deploy.rules, deploy.release)


def smoke_tests(host: Host, settings: Settings, rules: Rules, release: Release) -> None:
    """Run the smoke tests against an environment; they are told the address of each service. Raises Stop."""
    with host.addresses(proxy.in_release(settings, release), settings.plain("DEPLOY_BIND") or "127.0.0.1") as addresses:
        uv.ensure()
        for address in addresses.values():
            certified(address, rules.gate_seconds)
        told = {"SMOKE_URLS": json.dumps(addresses), "SMOKE_METHODS": rules.gate_smoke_methods}
        hidden = ("DEPLOY_", "GITHUB_TOKEN", "PYTHONPATH")  # secrets of the deploy, and the way to its scripts
        environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | told
        command = [str(uv.VENV_PYTHON), "-m", "pytest", "-q", "--no-cov", "tests/smoke"]
        try:
            done = subprocess.run(command, cwd=uv.ROOT, env=environment, check=False, timeout=rules.gate_smoke_seconds)
        except subprocess.TimeoutExpired:
            raise Stop(f"the smoke tests took longer than {rules.gate_smoke_seconds} seconds", 1) from None
    if done.returncode:
        raise Stop("the smoke tests failed", 1)


def certified(address: str, seconds: int) -> None:
    """Wait until an address has its certificate: the first one of a host name takes a while. Raises Stop."""
    end, said = time.monotonic() + seconds, ""
    while address.startswith("https:"):
        try:
            urllib.request.urlopen(address + "/-/health", timeout=5).close()
            return
        except OSError as error:
            said = str(error)
        if time.monotonic() > end:
            raise Stop(f"{address} doesn't answer with a certificate after {seconds} seconds: {said}", 1)
        time.sleep(1)


def keep(deploy: Deploy) -> None:
    """Write down that this release is the one; from here on a failure takes nothing back."""
    good, number = deploy.target.good(), deploy.release.number
    deploy.host.do(f"touch releases/{number}/passed")
    # Those that a rollback leaves are no way back: the next one goes further.
    write_good(deploy, up_to(good, number) if deploy.kind == "rollback" and number in good else [*good, number])


def up_to(good: list[int], number: int) -> list[int]:
    """Return a list of releases up to the last time that one of them is in it."""
    return good[: len(good) - good[::-1].index(number)]


def write_good(deploy: Deploy, good: list[int]) -> None:
    """Write down which releases passed, the last one last. Raises Stop."""
    deploy.host.write("good", "".join(f"{number}\n" for number in good))


def drain(deploy: Deploy) -> None:
    """Let the release before finish what it has, and remove it."""
    for number in deploy.target.running():
        if number != deploy.release.number:
            deploy.target.down(number)


def prune(deploy: Deploy) -> None:
    """Remove images and settings that no way back needs any more."""
    good = deploy.target.good()[-deploy.rules.keep_releases :]
    write_good(deploy, good)
    # Those that a rollback left may be wanted again.
    deploy.target.prune(sorted({*good, *deploy.target.kept()[-deploy.rules.keep_releases :]}))


STEPS = [
    Step("settle", "put in order what an interrupted deploy left", settle),
    Step("prepare", "write the release to the host", prepare, only="deploy"),
    Step("listen", "have the proxy listen", listen),
    Step("pull", "have the images on the host", pull),
    Step("back-up", "run DEPLOY_BEFORE_RELEASE", back_up, only="deploy"),
    Step("release-command", "run the release command", release_command, only="deploy"),
    Step("start", "start it beside the release before", start),
    Step("ready", "wait until it is ready", ready),
    Step("workers", "stop the old workers, start the new ones", workers),
    Step("traffic", "send requests to it", traffic),
    Step("smoke", "run the smoke tests", smoke),
    Step("keep", "keep it", keep),
    Step("drain", "let the release before finish, and remove it", drain),
    Step("prune", "remove what is too old to go back to", prune),
]


def steps(kind: str) -> list[Step]:
    """Return the steps of a deploy or a rollback, in their order, with those of higher levels. Raises Stop."""
    found = list(STEPS)
    for file, module in modules():
        step: Step = module.step()
        known = [one.name for one in found]
        if step.after not in known:
            raise Stop(f"ci/deploy/steps/{file.name}: after={step.after!r}, expected one of {', '.join(known)}")
        found.insert(known.index(step.after) + 1, step)
    return [step for step in found if step.only in ("", kind)]


def modules() -> Iterator[tuple[Path, Any]]:
    """Yield the modules of higher levels, each with its file, in the order of the files' names."""
    for file in sorted(Path(__file__).with_name("steps").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"deploy.steps.{file.stem}", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield file, module


def decided(environment: str) -> tuple[list[Build], str]:
    """Return the builds that a file of the repository names for an environment, and the file; none where none does.

    A module of a higher level says so by a function of this name. Raises Stop.
    """
    for _, module in modules():
        if hasattr(module, "decided") and (found := module.decided(environment)):
            return found
    return [], ""


def carry_out(deploy: Deploy) -> None:
    """Go through the steps; where one fails, bring back what ran before, and record either. Raises Stop."""
    began, begun = time.monotonic(), [""]
    number, environment = deploy.release.number, deploy.host.environment
    try:
        for step in steps(deploy.kind):
            begun.append(step.name)
            print(f"{step.name}: {step.does}", flush=True)
            step.run(deploy)
    except (LeaseLost, Held):
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)  # GitHub sends two: the second doesn't stop the way back
        said = f"{begun[-1]} failed: {str(error) or 'interrupted'}"
        print(said, flush=True)
        if "keep" in begun[:-1]:
            record(deploy, "success", began, said)
            raise Stop(
                f"release {number} runs in {environment}; the next deploy puts in order what failed", 1
            ) from error
        end = (
            bring_back(deploy)
            if "start" in begun
            else "what ran before runs on"
            if deploy.before
            else "nothing ran before"
        )
        record(deploy, "failure", began, said[:300])
        failed = f"release {number} was not deployed to {environment}: {begun[-1]} failed"
        raise Stop("\n".join([failed, *deploy.told, end]), 1) from error
    record(deploy, "success", began, deploy.note)


def bring_back(deploy: Deploy) -> str:
    """Bring back the release before; return what to say about it."""
    try:
        restore(deploy)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return f"what ran before couldn't be brought back, which the next deploy tries first: {str(error) or 'interrupted'}"
    if deploy.before is None:
        return "nothing ran before, and nothing runs now"
    return f"release {deploy.before.number} ({deploy.before.version}) is back"


def restore(deploy: Deploy) -> None:
    """Have exactly the release that ran well last run, or nothing where none did. Raises Stop."""
    target, before, wrong = deploy.target, deploy.before, None
    if before:
        target.up(before.number, before.names("web"))
        try:
            send(deploy, before)
        except Stop as stop:  # the proxy is at fault: the rest is put in order all the same
            wrong = stop
    else:
        proxy.withdraw(deploy.host)
        write_good(deploy, [])
    for number in target.running():
        if before is None or number != before.number:
            target.down(number)
    if before:
        # After the others are gone: of a worker no two run at a time.
        target.up(before.number, before.names("worker"))
        target.start_after_reboot(before.number)
        good = target.good()
        write_good(deploy, up_to(good, before.number) if before.number in good else [*good, before.number])
    if wrong:
        raise wrong


def who() -> str:
    """Return who deploys: the person, or the one who started the workflow, with the run."""
    if actor := os.environ.get("GITHUB_ACTOR"):
        return f"{actor} (workflow run {os.environ.get('GITHUB_RUN_ID', 'unknown')})"
    return source.git("config", "user.name").stdout.strip() or getpass.getuser()


def now() -> str:
    """Return the time in UTC, in whole seconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record(deploy: Deploy, outcome: str, began: float, note: str) -> None:
    """Write down how it went: on the host, and by hand in the project's deployment log too.

    A workflow can't commit that; GitHub lists its deployments.
    """
    release, environment = deploy.release, deploy.host.environment
    line = {"kind": deploy.kind, "environment": environment, "version": release.version, "release": release.number}
    line |= {"at": now(), "by": who(), "outcome": outcome, **({"note": note} if note else {})}
    there = {**line, "builds": {one.service: one.digest for one in release.builds}}
    there["seconds"] = round(time.monotonic() - began, 1)
    try:
        deploy.host.do(APPEND, json.dumps(there, ensure_ascii=False) + "\n", "log.jsonl")
    except (Stop, LeaseLost) as error:
        print(f"not recorded on the host: {error}")
    if not os.environ.get("CI"):
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, ensure_ascii=False) + "\n")
        print(f"written to {LOG.relative_to(uv.ROOT)}: commit it")
