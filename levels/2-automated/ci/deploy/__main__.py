"""Bring builds of the services to one host and back: docker compose over ssh, with a proxy in front.

    images [ENV]           build and push the image of each service, once for a commit
    deploy ENV             make a release of this commit's builds (or --version's, or --release's), and run it
    rollback ENV           bring back the release that ran well before (or --release)
    status ENV             say which release runs there, and how it is
    logs ENV               print the last lines of its services
    history ENV            print the record of deploys on its host, a line of JSON each
    smoke ENV              run tests/smoke against it

--dry-run says what would change, and changes nothing. Settings and secrets come from config/<environment>.env,
which git ignores; in a workflow from variables: DEPLOY_ENV_FILE (that file's text), DEPLOY_HOST,
DEPLOY_SSH_KEY, DEPLOY_KNOWN_HOSTS, DEPLOY_BUILDS (the digests that the job `images` made).

Exit codes: 0 done, 1 it went wrong on the way, 2 something to set or correct first, told in one line.
"""

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable

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
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="deploy", description=__doc__, formatter_class=plain)
    parser.add_argument("command", choices=["images", "deploy", "rollback", "status", "logs", "history", "smoke"])
    parser.add_argument("environment", nargs="?", default="", help="such as staging")
    parser.add_argument("--version", default="", help="the commit whose builds are deployed; this one, when not given")
    parser.add_argument("--release", default="", help="for rollback NUMBER, for deploy one of the first environment, or ENV/NUMBER")
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
            elif asked.command == "history":
                print(host.read("cat log.jsonl 2> /dev/null || true"), end="")
            elif asked.command == "smoke":
                pipeline.smoke_tests(host, told, rules, running(target))
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
    if version and wanted:
        raise Stop("VERSION and RELEASE are given, expected one of them")
    if not re.fullmatch(r"\w[\w.-]{0,127}", version or "HEAD", re.ASCII):
        raise Stop(f"VERSION is {version!r}, expected the tag of an image, such as a commit")
    decided, file = ([], "") if version or wanted else pipeline.decided(environment)
    if not (version or wanted) and not source.may_go_on(environment, "deployed", file):
        return
    proxy.listens(target.settings)  # what isn't right there is told before anything is done
    made = builds_of_release(wanted, environment) if wanted else decided or builds.of(version or source.commit())
    on = target.settings.plain("FEATURE_FLAGS") or flags.of(environment)["runtime"]

    def plan() -> Deploy:
        before, number = target.last(), target.next_number()
        # In a dry run the settings aren't sent, so that they count as unchanged.
        revision = target.settings_revision(number) if host.lease else before.settings if before else 0
        release = Release(number, environment, tuple(made), revision, on, pipeline.now(), pipeline.who())
        note = direction(release, before, bool(version or wanted or decided))
        return Deploy("deploy", host, target, target.settings, target.rules, release, before, note)

    go(plan, f"deploys {made[0].version}", dry_run)


def rollback(target: Compose, wanted: str, dry_run: bool) -> None:
    """Bring back the release that ran well before the one that runs, or the one that is named. Raises Stop."""
    host, environment = target.host, target.host.environment
    if wanted and not wanted.isdecimal():
        raise Stop(f"RELEASE is {wanted!r}, expected the number of a release of {environment}")

    def plan() -> Deploy:
        good = target.good()
        earlier = [number for number in good if number != good[-1]]
        if wanted and int(wanted) not in target.kept():
            kept = ", ".join(map(str, target.kept())) or "none"
            raise Stop(f"release {wanted} of {environment} isn't kept on the host; those that are: {kept}")
        if not earlier and not wanted:
            raise Stop(f"no earlier release has run well in {environment}", 1)
        release, note = target.release(int(wanted or earlier[-1])), "the database was not taken back"
        return Deploy("rollback", host, target, target.settings, target.rules, release, target.last(), note)

    go(plan, "goes back", dry_run)


def go(plan: Callable[[], Deploy], why: str, dry_run: bool) -> None:
    """Carry out what `plan` says once the host is this deploy's own, or in a dry run say it. Raises Stop."""
    planned = plan()
    environment = planned.host.environment
    planned.host.check()
    steps = pipeline.steps(planned.kind)  # a wrong step of a higher level is told before anything is done
    if dry_run:
        print(
            f"{environment}: release {planned.before.number if planned.before else 'none'} -> {planned.release.number}"
        )
        print("\n".join(f"  {line}" for line in differences(planned.before, planned.release)))
        print("steps:\n" + "\n".join(f"  {step.name}: {step.does}" for step in steps))
        return
    with planned.host.leased(pipeline.who(), why):
        planned = plan()
        planned.host.write("of", planned.host.of)
        pipeline.carry_out(planned)
    release, note = planned.release, planned.note
    print(f"{environment}: release {release.number} runs, {release.version}{f' ({note})' if note else ''}")


def direction(release: Release, before: Release | None, asked: bool) -> str:
    """Return what to note where a release goes back to an older commit. Raises Stop where nobody asked for it."""
    if before is None or not source.older(release.version, before.version):
        return ""
    if asked:
        return f"back from {before.version}, which is newer"
    how = f"`{uv.MAKE} rollback ENV={release.environment}`, or VERSION={release.version}"
    raise Stop(f"{release.version} is older than {before.version}, which runs: `git pull`; or to go back {how}")


def builds_of_release(wanted: str, environment: str) -> list[builds.Build]:
    """Return the builds of a release: NUMBER is one of the first environment's, ENV/NUMBER one of another's. Raises Stop."""
    found, first = re.fullmatch(r"(?:([a-z][a-z0-9-]{0,30})/)?([0-9]{1,9})", wanted), next(iter(uv.PROJECT["environments"]))
    if not found:
        raise Stop(f"RELEASE is {wanted!r}, expected the number of a release of {first}, or ENV/NUMBER")
    if os.environ.get("DEPLOY_ENV_FILE"):
        raise Stop(
            "RELEASE is looked up on the other environment's host, so it is for deploying by hand; VERSION= isn't"
        )
    other = settings.read(found[1] or first)
    with Host(other).connected() as host:
        release = Compose(host, other, settings.Rules()).release(int(found[2]))
    named = {service["name"] for service in uv.SERVICES}
    if {build.service for build in release.builds} != named:
        raise Stop(f"release {wanted} has builds of other services than this project has: {', '.join(sorted(named))}")
    print(f"builds of release {release.number} of {other.environment}, {release.version}, for {environment}")
    return list(release.builds)


def status(target: Compose) -> None:
    """Print what runs on the host, and how it is. Raises Stop when it is not well."""
    release, environment = running(target), target.host.environment
    print(f"{environment}: release {release.number}, since {release.at}, by {release.by}")
    wrong = [f"{one.service}: {why}" for one in release.builds if (why := target.wrong(release.number, one, 0))]
    if target.serving() != release.number or target.running() != [release.number]:
        wrong.append("a deploy is under way, or was interrupted: the next one puts that in order")
    if wrong:
        raise Stop("; ".join(wrong), 1)


def logs(target: Compose, service: str) -> None:
    """Print the last lines of what runs. Raises Stop."""
    names = [one["name"] for one in uv.SERVICES]
    if service and service not in names:
        raise Stop(f"SERVICE is {service!r}, expected one of {', '.join(names)}")
    print(target.host.read(target.last_lines(running(target).number, service, 200)), end="")


def running(target: Compose) -> Release:
    """Return the release that runs. Raises Stop where none does."""
    if release := target.last():
        return release
    raise Stop(f"nothing has been deployed to {target.host.environment}", 1)


if __name__ == "__main__":
    sys.argv[0] = "deploy"  # what messages of the scripts beside this package begin with
    sys.exit(main())
