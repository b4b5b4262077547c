"""Bring builds of the services to one host and back: docker compose over ssh, with a proxy in front.

    images [ENV]           build and push the image of each service, once for a commit
    deploy ENV             make a release of this commit's builds (or --version's, or --release's), and run it
    rollback ENV           bring back the release that ran well before (or --release)
    status ENV             say which release runs there, and how it is
    logs ENV               print the last lines of its services
    smoke ENV              run tests/smoke against it

--dry-run says what would change, and changes nothing. Settings and secrets come from config/<environment>.env,
which git ignores; in a workflow from variables: DEPLOY_ENV_FILE (that file's text), DEPLOY_HOST,
DEPLOY_SSH_KEY, DEPLOY_KNOWN_HOSTS, DEPLOY_BUILDS (the digests that the job `images` made).

Exit codes: 0 done, 1 it went wrong on the way, 2 something to set or correct first, told in one line.
"""

import argparse
import re
import signal
import sys

import flags
import uv

from . import builds, pipeline, proxy, settings, source
from .compose import Compose
from .host import Host, LeaseLost
from .pipeline import Deploy
from .releases import Release, differences
from .shell import Stop


def main() -> int:
    """Read the command line, do it, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="deploy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["images", "deploy", "rollback", "status", "logs", "smoke"])
    parser.add_argument("environment", nargs="?", default="", help="such as staging")
    parser.add_argument("--version", default="", help="the commit whose builds are deployed; this one, when not given")
    parser.add_argument(
        "--release", default="", help="NUMBER of this environment; for deploy also ENV/NUMBER of another"
    )
    parser.add_argument("--service", default="", help="whose logs; all, when not given")
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a workflow that is cancelled takes it back, too
    try:
        if asked.command == "images":
            builds.make(asked.environment, asked.dry_run)
            return 0
        told, rules = settings.read(asked.environment), settings.rules()
        with Host(told).connected() as host:
            target = Compose(host, told, rules)
            if asked.command == "status":
                status(target)
            elif asked.command == "logs":
                logs(target, asked.service)
            elif asked.command == "smoke":
                pipeline.smoke_tests(host, told, rules)
            elif asked.command == "rollback":
                rollback(target, asked.release, asked.dry_run)
            else:
                deploy(target, asked.version, asked.release, asked.dry_run)
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    except (LeaseLost, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        return 1
    return 0


def deploy(target: Compose, version: str, wanted: str, dry_run: bool) -> None:
    """Make a release and run it; an older commit than the one that runs only where it is asked for. Raises Stop."""
    host, environment = target.host, target.host.environment
    asked = version or wanted
    if version and wanted:
        raise Stop("VERSION and RELEASE are given, expected one of them")
    if not re.fullmatch(r"\w[\w.-]{0,127}", version or "HEAD", re.ASCII):
        raise Stop(f"VERSION is {version!r}, expected the tag of an image, such as a commit")
    if not asked and not source.may_go_on(environment, "deployed"):
        return
    pipeline.steps("deploy")  # what isn't right there is told before anything is done
    proxy.listens(target.settings)
    made = builds_of_release(wanted, environment) if wanted else builds.of(version or source.commit())
    on = target.settings.plain("FEATURE_FLAGS") or flags.of(environment)["runtime"]

    def prepared(number: int, revision: int) -> tuple[Release, Release | None, str]:
        good = target.good()
        before = target.release(good[-1]) if good else None
        release = Release(number, environment, tuple(made), revision, on, pipeline.now(), pipeline.who())
        return release, before, direction(release, before, bool(asked))

    number = max(target.numbers(), default=0) + 1
    if dry_run:
        release, before, note = prepared(number, before_settings(target))
        print(f"{environment}: release {before.number if before else 'none'} -> {number}{f', {note}' if note else ''}")
        print("\n".join(f"  {line}" for line in differences(before, release)))
        print("  settings: compared on the host when it is deployed")
        print("steps:\n" + "\n".join(f"  {step.name}: {step.does}" for step in pipeline.steps("deploy")))
        return
    with host.leased(pipeline.who(), f"deploys {made[0].version[:40]}"):
        number = max(target.numbers(), default=0) + 1
        host.do(f"mkdir releases/{number}")
        release, before, note = prepared(number, target.settings_revision(number))
        if note:
            print(f"{environment}: {note}")
        pipeline.carry_out(Deploy("deploy", host, target, target.settings, target.rules, release, before, note))
    print(f"{environment}: release {number} runs, {release.version}")


def before_settings(target: Compose) -> int:
    """Return the revision of the settings of what runs, for a comparison that leaves them out."""
    good = target.good()
    return target.release(good[-1]).settings if good else 0


def direction(release: Release, before: Release | None, asked: bool) -> str:
    """Return what to note where a release goes back to an older commit. Raises Stop where nobody asked for it."""
    if before is None or not source.older(release.version, before.version):
        return ""
    environment = release.environment
    if not asked:
        how = (
            f"`{uv.MAKE} rollback ENV={environment}`, or `{uv.MAKE} deploy ENV={environment} VERSION={release.version}`"
        )
        raise Stop(
            f"{release.version} is older than {before.version}, which runs in {environment}: `git pull`; or to go back {how}"
        )
    return f"back from {before.version}, which is newer"


def builds_of_release(wanted: str, environment: str) -> list[builds.Build]:
    """Return the builds of a release: NUMBER is one of staging's, ENV/NUMBER one of another's. Raises Stop."""
    found = re.fullmatch(r"(?:([a-z][a-z0-9-]{0,30})/)?([0-9]{1,9})", wanted)
    if not found:
        raise Stop(f"RELEASE is {wanted!r}, expected the number of a release of staging, or ENV/NUMBER")
    other = settings.read(found[1] or "staging")
    with Host(other).connected() as host:
        release = Compose(host, other, settings.Rules()).release(int(found[2]))
    named = {service["name"] for service in uv.SERVICES}
    if {build.service for build in release.builds} != named:
        raise Stop(f"release {wanted} has builds of other services than this project has: {', '.join(sorted(named))}")
    print(f"builds of release {release.number} of {other.environment}, {release.version}, for {environment}")
    return list(release.builds)


def rollback(target: Compose, wanted: str, dry_run: bool) -> None:
    """Bring back the release that ran well before the one that runs, or the one that is named. Raises Stop."""
    host, environment = target.host, target.host.environment
    if wanted and not wanted.isdecimal():
        raise Stop(f"RELEASE is {wanted!r}, expected the number of a release of {environment}")

    def chosen() -> tuple[Release, Release]:
        good = target.good()
        earlier = [number for number in good if number != good[-1]]
        if not wanted and not earlier:
            raise Stop(f"no earlier release has run well in {environment}", 1)
        return target.release(int(wanted or earlier[-1])), target.release(good[-1])

    release, before = chosen()
    if dry_run:
        print(f"{environment}: release {before.number} -> {release.number}")
        print("\n".join(f"  {line}" for line in differences(before, release)))
        print("steps:\n" + "\n".join(f"  {step.name}: {step.does}" for step in pipeline.steps("rollback")))
        return
    with host.leased(pipeline.who(), "goes back"):
        release, before = chosen()
        pipeline.carry_out(Deploy("rollback", host, target, target.settings, target.rules, release, before))
    print(f"{environment}: release {release.number} runs, {release.version}; the database is as it was")


def status(target: Compose) -> None:
    """Print what runs on the host, and how it is. Raises Stop when it is not well."""
    good, serving, environment = target.good(), target.serving(), target.host.environment
    if not good:
        raise Stop(f"nothing has been deployed to {environment}", 1)
    release = target.release(good[-1])
    print(f"{environment}: release {release.number}, since {release.at}, by {release.by}")
    wrong = [found for build in release.builds if (found := target.wrong(release.number, build, 0))]
    if serving != release.number or target.running() != [release.number]:
        wrong.append("a deploy is under way, or was interrupted: the next one puts that in order")
    if wrong:
        raise Stop("; ".join(wrong), 1)


def logs(target: Compose, service: str) -> None:
    """Print the last lines of what runs. Raises Stop."""
    names = [one["name"] for one in uv.SERVICES]
    if service and service not in names:
        raise Stop(f"SERVICE is {service!r}, expected one of {', '.join(names)}")
    if not (good := target.good()):
        raise Stop(f"nothing has been deployed to {target.host.environment}", 1)
    print(target.host.read(f"{target.command(good[-1])} logs --no-color --tail 200 {service} 2>&1"), end="")


if __name__ == "__main__":
    sys.exit(main())
