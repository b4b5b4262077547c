"""The `levels` command: everything that helps people to decide and to move, at the version that rendered the project.

Exit codes: 0 done, 1 the answer is no (a conflict, a check), 2 bad input, told in one line.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from .template import answers, layers
from .template.place import root as template_root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except answers.Refused as error:
        print(f"levels: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("levels: stopped; nothing more is done", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong with a command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` says what it takes\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="levels", description="CI/CD that grows with a project: start it, look ahead, move it.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    new = commands.add_parser("new", help="start a project, or adopt the repository that stands at DEST")
    new.add_argument("dest", type=Path, metavar="DEST")
    new.add_argument("--level", help="the level to start at (1)")
    new.add_argument("--data", action="append", default=[], metavar="KEY=VALUE", help="an answer, as for copier; can be repeated")
    new.add_argument("--defaults", action="store_true", help="ask nothing")
    new.set_defaults(run=_new)

    upgrade = commands.add_parser("upgrade", help="move to a level, up or down, staying on the version")
    upgrade.add_argument("level", metavar="LEVEL")
    upgrade.set_defaults(run=_upgrade)

    update = commands.add_parser("update", help="take the newest version of the template, staying on the level")
    update.set_defaults(run=_update)

    preview = commands.add_parser("preview", help="what moving to a level would bring; changes nothing")
    preview.add_argument("level", metavar="LEVEL")
    preview.add_argument("--json", action="store_true")
    preview.set_defaults(run=_preview)

    whose = commands.add_parser("whose", help="whose a file is: yours, shared or ours, and why it is there")
    whose.add_argument("file", metavar="FILE")
    whose.add_argument("--json", action="store_true")
    whose.set_defaults(run=_whose)

    service = commands.add_parser("service", help="add a service")
    service.add_argument("name", metavar="NAME")
    service.add_argument("--worker", action="store_true", help="one without HTTP, as a bot")
    service.set_defaults(run=_service)

    keep = commands.add_parser("keep", help="take a file over: the template never touches it again; or give it back")
    keep.add_argument("file", metavar="FILE")
    keep.add_argument(
        "--back", action="store_true", help="show how it differs from the template's, and let the template merge into it again"
    )
    keep.set_defaults(run=_keep)

    record = commands.add_parser("record", help="write a deploy, a rollback, an incident or its end into the ledger")
    record.add_argument("kind", choices=["deploy", "rollback", "incident", "restored"])
    record.add_argument("--environment", default="production")
    record.add_argument("--version", help="what was deployed (the commit)")
    record.add_argument("--outcome", choices=["success", "failure"], default="success", help="of a deploy or a rollback")
    record.add_argument("--at", default="", metavar="TIME", help="when it was, such as 2026-11-24T09:30; now, where it isn't given")
    record.add_argument("--note", default="", help="one line on what happened")
    record.set_defaults(run=_record)

    todo = commands.add_parser("todo", help="what this level still needs, and how to do it; exit code 1 where something is to do")
    todo.add_argument("--level", help="hold the project to this level instead of its own")
    todo.add_argument("--json", action="store_true")
    todo.add_argument("--offline", action="store_true", help="don't ask GitHub")
    todo.set_defaults(run=_todo)

    evolution = commands.add_parser("evolution", help="what the project measures of itself, and which level is due")
    evolution.add_argument("--json", action="store_true")
    evolution.add_argument("--html", type=Path, metavar="FILE", help="write a page, too")
    evolution.add_argument("--offline", action="store_true", help="ask neither GitHub nor Prometheus")
    evolution.set_defaults(run=_evolution)

    flags = commands.add_parser("flags", help="what is on and why, and whether its trigger holds")
    flags.add_argument("environment", nargs="?", default="", metavar="ENV", help="such as staging (all of them)")
    flags.add_argument("--env-line", action="store_true", help="only FEATURE_FLAGS=…, for a service's environment")
    flags.add_argument("--offline", action="store_true", help="ask neither GitHub nor Prometheus for figures")
    flags.add_argument("--json", action="store_true")
    flags.set_defaults(run=_flags)

    propose = commands.add_parser("propose", help="keep one issue and one pull request about the next level")
    propose.add_argument("--dry-run", action="store_true", help="show what it would do; GitHub is asked nothing")
    propose.set_defaults(run=_propose)

    api_docs = commands.add_parser("api-docs", help="write docs/api.md and OpenAPI documents from the routes in the source")
    api_docs.add_argument("--check", action="store_true", help="write nothing; exit 1 where they are out of date")
    api_docs.add_argument("--json", action="store_true")
    api_docs.set_defaults(run=_api_docs)

    stubs = commands.add_parser("stubs", help="write tests of what the source says of itself; a test file that stands is only appended to")
    stubs.add_argument("paths", nargs="*", metavar="PATH", help="modules or folders of services (all)")
    stubs.add_argument("--all", action="store_true", help="a skeleton, skipped, for each function of which nothing can be asserted")
    stubs.add_argument("--read", action="store_true", help="don't run the code: write only what can't be red by reading")
    stubs.add_argument("--json", action="store_true")
    stubs.set_defaults(run=_stubs)
    return parser


def project_answers(project: Path) -> dict[str, Any]:
    """The recorded answers of the project in `project`. Raises Refused where none are."""
    recorded = answers.recorded_answers(project)
    if not recorded:
        raise answers.Refused(f"{project / '.copier-answers.yml'}: expected the answers of this template; run it in the project's folder")
    check(recorded)
    return recorded


def check(given: dict[str, Any]) -> None:
    """Look at answers. Raises Refused."""
    answers.check(given, len(layers.layer_folders(template_root())))


def level_of(text: str) -> int:
    """A level from the command line. Raises Refused."""
    if not text:
        raise answers.Refused("LEVEL: expected a level, as in LEVEL=2")
    level = int(text) if text.isdecimal() else text
    check({"level": level})
    return int(level)


def _new(options: argparse.Namespace) -> int:
    from .moving import moves

    data: dict[str, Any] = {}
    for pair in options.data:
        key, separator, value = pair.partition("=")
        if not separator:
            raise answers.Refused(f"--data {pair}: expected KEY=VALUE")
        known = ["level", "confirm_services", *answers.CHECKS]
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise answers.Refused(
                f"--data {key}: there is no such answer{f'; did you mean {near[0]}?' if near else ', see docs/answers.md'}"
            )
        data[key] = value
    if options.level is not None:
        data["level"] = level_of(options.level)
    defaults = options.defaults or not sys.stdin.isatty()
    return moves.new(options.dest, data, defaults)


def _upgrade(options: argparse.Namespace) -> int:
    from .moving import moves

    project_answers(Path.cwd())
    return moves.move(Path.cwd(), {"level": level_of(options.level)})


def _update(options: argparse.Namespace) -> int:
    from .moving import moves

    project_answers(Path.cwd())
    return moves.move(Path.cwd(), {}, newest=True)


def _service(options: argparse.Namespace) -> int:
    from .moving import moves

    project = Path.cwd()
    recorded = project_answers(project)
    entry = {"name": options.name, "kind": "worker" if options.worker else "web"}
    services = [*recorded["services"], entry]
    check({"services": services})
    return moves.move(project, {"services": services})


def _keep(options: argparse.Namespace) -> int:
    from .moving import moves

    project = Path.cwd()
    recorded = project_answers(project)
    check({"keep": [options.file]})
    if options.back:
        return moves.give_back(project, recorded, options.file)
    if options.file not in layers.owners(template_root(), answers.recorded_services(recorded)):
        raise answers.Refused(f"{options.file}: expected a file of the template's; the others are yours anyway")
    return moves.move(project, {"keep": sorted({*recorded["keep"], options.file})})


def _preview(options: argparse.Namespace) -> int:
    from .moving import preview

    recorded = project_answers(Path.cwd())
    seen = preview.preview(recorded, level_of(options.level))
    print(json.dumps(seen, indent=2) if options.json else preview.text(seen))
    return 0


def _whose(options: argparse.Namespace) -> int:
    from .apidocs import command

    recorded = project_answers(Path.cwd())
    if not options.file:
        raise answers.Refused("whose: expected a file, as in FILE=levels.mk")
    path = Path(options.file)
    path = path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
    name = path.as_posix().removeprefix("./")
    services = answers.recorded_services(recorded)
    level, owner, why = layers.owners(template_root(), services).get(name, (0, "yours", "not from the template"))
    if name == ".copier-answers.yml":
        level, owner, why = 1, "ours", "the answers that this project was rendered from"
    if level and answers.kept(name, recorded["keep"]):
        owner, why = "yours", f"{why}; it stood here before, or you took it over (`keep`), and the template leaves it alone"
    if not level and (written := command.whose(Path.cwd(), name)):
        owner, why = "ours", written
    if options.json:
        print(json.dumps({"file": name, "owner": owner, "level": level or None, "why": why}))
    else:
        print(f"{name}: {owner}{f', level {level}' if level else ''}: {why}")
    return 0


def _record(options: argparse.Namespace) -> int:
    from .evolution import deployment_log

    project = Path.cwd()
    project_answers(project)
    print(deployment_log.record(project, options.kind, options.environment, options.version, options.outcome, options.note, options.at))
    return 0


def _todo(options: argparse.Namespace) -> int:
    from .evolution import checklist

    project = Path.cwd()
    recorded = project_answers(project)
    level = level_of(options.level) if options.level is not None else None
    seen = checklist.report(project, recorded, level, offline=options.offline)
    print(json.dumps(seen, indent=2, ensure_ascii=False) if options.json else checklist.text(seen, recorded))
    return 0 if seen["passed"] else 1


def _evolution(options: argparse.Namespace) -> int:
    from .evolution import command

    project = Path.cwd()
    return command.evolution(project, project_answers(project), as_json=options.json, html=options.html, offline=options.offline)


def _flags(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from .evolution import flags, metrics

    project = Path.cwd()
    recorded = project_answers(project)
    if options.env_line and not options.environment:
        raise answers.Refused("ENV: expected an environment, as in `levels flags staging --env-line`")
    now = datetime.now(UTC)
    measured = {} if options.env_line else metrics.measure(project, recorded, now=now, offline=options.offline)
    document = flags.report(project, recorded["level"], options.environment, measured, now.date())
    if options.env_line:
        print(f"FEATURE_FLAGS={document['environments'][0]['feature_flags']}")
    else:
        print(json.dumps(document, indent=2) if options.json else flags.text(document, measured))
    return 0


def _propose(options: argparse.Namespace) -> int:
    from .evolution import proposal

    project = Path.cwd()
    for line in proposal.propose(project, project_answers(project), now=datetime.now(UTC), dry_run=options.dry_run):
        print(line)
    return 0


def _api_docs(options: argparse.Namespace) -> int:
    from .apidocs import command

    return command.run(Path.cwd(), project_answers(Path.cwd()), options.check, options.json)


def _stubs(options: argparse.Namespace) -> int:
    from .stubs import project, report

    recorded = project_answers(Path.cwd())
    modules = project.chosen(Path.cwd(), recorded, [path for path in options.paths if path])
    say = (lambda text: None) if options.json else (lambda text: print(f"levels: {text}", file=sys.stderr, flush=True))
    read_only = options.read or recorded["seed_tests"] == "read"  # said once, it holds for every run
    result = project.stubs(Path.cwd(), modules, read_only=read_only, skeletons=options.all, say=say)
    print(json.dumps(report.as_json(result), indent=2) if options.json else report.text(result))
    return 0
