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
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uv

from . import proxy, source
from .compose import Compose, names
from .host import Host, LeaseLost
from .releases import Release
from .settings import Rules, Settings
from .shell import Stop

LOG = uv.ROOT / "config" / "deploys.jsonl"


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
    good, serving = deploy.before.number if deploy.before else 0, deploy.target.serving()
    others = [number for number in deploy.target.running() if number != good]
    if others or serving != good:
        print(f"an earlier deploy was interrupted: {f'release {good} comes back' if good else 'what it left is removed'}")
        restore(deploy)


def prepare(deploy: Deploy) -> None:
    """Write the release, its settings and its Compose file to the host."""
    deploy.target.write(deploy.release, deploy.rules)


def listen(deploy: Deploy) -> None:
    """Have the proxy run, and listen where this project needs it."""
    if names("web"):
        proxy.start(deploy.host, deploy.settings)


def pull(deploy: Deploy) -> None:
    """Have the images on the host."""
    try:
        deploy.target.pull(deploy.release)
    except LeaseLost:
        raise
    except Stop as stop:
        raise Stop(f"{stop}\nthe host couldn't pull the images; `docker login` there, if they are private", 1) from stop


def back_up(deploy: Deploy) -> None:
    """Run the command on the host that DEPLOY_BEFORE_RELEASE names, such as a backup of the database."""
    if command := deploy.settings.plain("DEPLOY_BEFORE_RELEASE"):
        deploy.host.do(command)


def release_command(deploy: Deploy) -> None:
    """Run the release command of config/deploy.toml once, in the new image: migrations of the database."""
    rules = deploy.rules
    if not rules.release_command:
        return
    print(f"runs: {rules.release_command}", flush=True)
    once = f"run --rm --no-deps -T {rules.release_service} timeout {rules.release_seconds} sh -c"
    try:
        deploy.target.docker(deploy.release.number, f"{once} {quoted(rules.release_command)}")
    except LeaseLost:
        raise
    except Stop as stop:
        raise Stop(f"{stop}\nthe release command failed: nothing else was changed, the release before runs on", 1) from stop
    deploy.told.append("the release command had run: what it did to the database stays, and the release before runs on it")


def start(deploy: Deploy) -> None:
    """Start web services, and workers that may overlap, beside those of the release before."""
    deploy.target.up(deploy.release.number, [*names("web"), *sorted(deploy.rules.overlap)])


def ready(deploy: Deploy) -> None:
    """Wait until each of these is ready, and answers as the build that it is."""
    deploy.target.check(deploy.release, [*names("web"), *deploy.rules.overlap], deploy.rules.gate_seconds)


def workers(deploy: Deploy) -> None:
    """Stop the workers of the release before, then start the new ones: no two run at a time."""
    alone = [name for name in names("worker") if name not in deploy.rules.overlap]
    if deploy.before and deploy.before.number != deploy.release.number:
        deploy.target.stop(deploy.before.number, alone)
    deploy.target.up(deploy.release.number, alone)
    deploy.target.check(deploy.release, alone, deploy.rules.gate_seconds)


def traffic(deploy: Deploy) -> None:
    """Have the proxy send requests to the new web services."""
    if names("web"):
        proxy.send(deploy.host, deploy.settings, deploy.release.number)
    else:
        deploy.host.write("serving", f"{deploy.release.number}\n")


def smoke(deploy: Deploy) -> None:
    """Run the tests of tests/smoke through the proxy."""
    if any((uv.ROOT / "tests" / "smoke").glob("test_*.py")) and names("web"):
        smoke_tests(deploy.host, deploy.settings, deploy.rules)


def smoke_tests(host: Host, settings: Settings, rules: Rules) -> None:
    """Run the smoke tests against an environment; they are told the address of each service. Raises Stop."""
    with host.addresses(proxy.reached(settings), settings.plain("DEPLOY_BIND") or "127.0.0.1") as addresses:
        uv.ensure()
        environment = {**os.environ, "SMOKE_URLS": json.dumps(addresses)}
        command = [str(uv.VENV_PYTHON), "-m", "pytest", "-q", "--no-cov", "tests/smoke"]
        try:
            done = subprocess.run(command, cwd=uv.ROOT, env=environment, check=False, timeout=rules.smoke_seconds)
        except subprocess.TimeoutExpired:
            raise Stop(f"the smoke tests took longer than {rules.smoke_seconds} seconds", 1) from None
    if done.returncode:
        raise Stop("the smoke tests failed", 1)


def keep(deploy: Deploy) -> None:
    """Write down that this release is the one; from here on a failure takes nothing back."""
    good = deploy.target.good()
    if deploy.kind == "rollback" and deploy.release.number in good:
        # Those that were left are no way back: the next rollback goes further.
        good = good[: len(good) - good[::-1].index(deploy.release.number)]
    else:
        good.append(deploy.release.number)
    deploy.target.keep(deploy.release.number, good)


def drain(deploy: Deploy) -> None:
    """Let the release before finish what it has, and remove it."""
    for number in deploy.target.running():
        if number != deploy.release.number:
            deploy.target.down(number)


def prune(deploy: Deploy) -> None:
    """Remove images and settings that no way back needs any more."""
    deploy.target.prune({deploy.release.number, *deploy.target.good()[-deploy.rules.keep :]})


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
    for file in sorted(Path(__file__).with_name("steps").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"deploy.steps.{file.stem}", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        step: Step = module.step()
        places = [number for number, one in enumerate(found) if one.name == step.after]
        if not places:
            raise Stop(f"ci/deploy/steps/{file.name}: after={step.after!r}, expected one of {', '.join(one.name for one in found)}")
        found.insert(places[0] + 1, step)
    return [step for step in found if step.only in ("", kind)]


def carry_out(deploy: Deploy) -> None:
    """Go through the steps; where one fails, bring back what ran before, and record either. Raises Stop."""
    began, touched, kept = time.monotonic(), False, False
    try:
        for step in steps(deploy.kind):
            touched = touched or step.name == "start"
            print(f"{step.name}: {step.does}", flush=True)
            step.run(deploy)
            kept = kept or step.name == "keep"
    except LeaseLost:
        raise
    except (Stop, KeyboardInterrupt) as error:
        said = str(error) or "interrupted"
        if kept:
            record(deploy, "success", began, f"{step.name} failed")
            raise Stop(f"{said}\nrelease {deploy.release.number} runs, and {step.name} failed: the next deploy puts that in order", 1) from None
        print(f"{step.name} failed: {said}", flush=True)
        end = f"release {deploy.before.number} runs on" if deploy.before else "nothing ran before"
        if touched:
            end = bring_back(deploy)
        record(deploy, "failure", began, f"{step.name}: {said.splitlines()[-1][:200]}")
        raise Stop("\n".join([f"release {deploy.release.number} was not deployed to {deploy.host.environment}: {step.name} failed", *deploy.told, end]), 1) from None
    record(deploy, "success", began, deploy.note)


def bring_back(deploy: Deploy) -> str:
    """Bring back the release before; return what to say about it."""
    try:
        restore(deploy)
    except (Stop, KeyboardInterrupt) as error:
        return f"and what ran before couldn't be brought back: {error}\nthe next deploy, or `{uv.MAKE} rollback`, tries that first"
    return f"release {deploy.before.number} ({deploy.before.version}) is back" if deploy.before else "nothing ran before, and nothing runs now"


def restore(deploy: Deploy) -> None:
    """Have exactly the release that ran well last run, or nothing where none did. Raises Stop."""
    target, before = deploy.target, deploy.before
    others = [number for number in target.running() if before is None or number != before.number]
    if before is None:
        proxy.withdraw(deploy.host)
    else:
        services = [build.service for build in before.builds]
        web = [name for name in services if name in names("web")]
        target.up(before.number, web)
        if web:
            proxy.send(deploy.host, deploy.settings, before.number)
        else:
            deploy.host.write("serving", f"{before.number}\n")
    for number in others:
        target.down(number)
    if before is not None:
        # After the others are gone: of a worker no two run at a time.
        target.up(before.number, [name for name in services if name not in web])
        target.keep(before.number, target.good())


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
    line = {
        "kind": deploy.kind,
        "environment": deploy.host.environment,
        "version": deploy.release.version,
        "release": deploy.release.number,
        "at": now(),
        "by": who(),
        "outcome": outcome,
        **({"note": note} if note else {}),
    }
    there = {**line, "builds": {one.service: one.digest for one in deploy.release.builds}, "seconds": round(time.monotonic() - began, 1)}
    try:
        deploy.host.do("cat >> log.jsonl", json.dumps(there, ensure_ascii=False) + "\n")
    except Stop as stop:
        print(f"not recorded on the host: {stop}")
    if not os.environ.get("CI"):
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, ensure_ascii=False) + "\n")
        print(f"written to {LOG.relative_to(uv.ROOT)}: commit it")


def quoted(text: str) -> str:
    """Return a text as one word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"
