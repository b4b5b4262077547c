"""The Jinja extension: what `copier.yml`, path parts and templates may call.

Thin: each function hands on to a module.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from copier.errors import UserMessageError
from jinja2 import BytecodeCache, Environment, Template, pass_context
from jinja2.bccache import Bucket
from jinja2.ext import Extension
from jinja2.runtime import Context

from ..errors import Refused
from ..project import environment
from ..source import files
from ..template import answers, layers, readiness
from . import closing, complete_answers, preflight, proposals

if TYPE_CHECKING:
    from . import adoption


class Levels(Extension):
    """One per Jinja environment, which Copier makes anew for each render: what is worked out once per render
    is kept here.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.template = Path(environment.loader.searchpath[0])  # type: ignore[union-attr]
        self.services: list[dict[str, Any]] | None = None
        self.adopts = False
        self.uncommitted: list[str] = []
        self.found = readiness.Proposal([], [], [])
        self.reading: adoption.Reading | None = None
        self.proposals: dict[str, str] | None = None
        self.manifests = layers.manifests(self.template)
        # Clean names of folders in the house: what Copier renders for them, with the values that are its own.
        # Those of a kind have one text, which is compiled once.
        self.parts: dict[str, tuple[str, dict[str, Any]]] = {
            **{
                folder.name: ("[[ layer_root(layer) ]]", {"layer": number})
                for number, folder in layers.layer_folders(self.template).items()
            },
            **{
                part: (
                    "[% yield service from each(group, named) %][[ service[named] ]][% endyield %]",
                    {"group": group, "named": value},
                )
                for part, (group, value) in layers.FOR_EACH.items()
            },
            **{
                part: (
                    "[% yield environment from each_environment() %]"
                    f"{part.replace(layers.ENVIRONMENT, '[[ environment.name ]]')}[% endyield %]",
                    {},
                )
                for name in layers.names_on_disk(self.template)
                for part in [name.rpartition("/")[2].removesuffix(layers.SUFFIX)]
                if layers.ENVIRONMENT in part
            },
        }
        environment.globals.update(
            answers_file=self.answers_file,
            check_answers=self.check_answers,
            closing_message=self.closing_message,
            each=self.each,
            each_environment=self.each_environment,
            kept_paths=self.kept_paths,
            layer_root=self.layer_root,
            level_choices=self.level_choices,
            owned=self.owned,
            problem=self.problem,
            proposed=self.proposed,
            seeding=self.seeding,
            services_found=self.services_found,
            all_layers=self.manifests,
        )
        environment.filters.update(quoted=quoted, markdown=markdown, shown=layers.shown)
        remember_compiled(environment, self.parts)

    # While the answers are collected

    @pass_context
    def check_answers(self, context: Context) -> str:
        """Look at the answers that were given or recorded, before the first question."""
        given = context.get_all()
        environment.for_copier(_project(context))  # for plain `copier update`; our command has done it before
        if answers.has_credentials(given["_copier_answers"].get("_src_path") or ""):
            raise UserMessageError(
                "_src_path: the address holds a user or a password, which would be recorded; let git's"
                " credential helper give them"
            )
        try:
            answers.check(given, len(self.manifests))
        except Refused as error:
            raise UserMessageError(str(error)) from error
        return ""

    @pass_context
    def problem(self, context: Context, key: str, value: Any) -> str:
        """For validators: what is wrong with what was typed.

        Given and recorded answers were looked at before.
        """
        return answers.problem(key, value)

    @pass_context
    def proposed(self, context: Context, key: str) -> str:
        """The default of a question that the project itself answers, as YAML."""
        project = _project(context)
        if key == "services":
            return json.dumps(self._services(project))
        if key == "adopted":
            if recorded := answers.recorded_answers(project):  # what stands there now may be ours
                return str(recorded["adopted"])
            theirs = (
                answers.service(entry, (), lambda path: files.theirs(project, path))["code"]
                for entry in context["services"]
            )
            return str("theirs" in theirs or files.theirs(project, "."))
        if key == "readiness":
            return json.dumps(self._readiness(project, context["services"]))
        if self.proposals is None:
            self.proposals = proposals.propose(project)
        return self.proposals[key]

    def _services(self, project: Path) -> list[Any]:
        """The services that stand in the project, or a new one where no code does."""
        if not project.is_dir():
            return ["api"]
        reading = self._read(project)
        if reading.services or not files.theirs(project, "."):
            return [one.answer() for one in reading.services] or ["api"]
        expected = (
            "say which there are, as in --data 'services=[{name: shop, path: src/shop}]', or --data"
            " 'services=[api]' for a new one"
        )
        raise UserMessageError(
            "; ".join([f"services: none was found in the code that stands here: {expected}", *reading.notes])
        )

    def _readiness(self, project: Path, services: list[Any]) -> list[dict[str, Any]]:
        """What the person's code runs on.

        A project that has answers is not read again: what it checks is decided there.
        """
        if answers.recorded_answers(project) or not project.is_dir():
            return []
        in_full = [answers.service(entry, (), lambda path: files.theirs(project, path)) for entry in services]
        if all(service["code"] == "ours" for service in in_full):
            return []
        from ..source import dependencies  # as large as all the rest of what is loaded here

        self.found = readiness.propose(in_full, lambda service: dependencies.find(project, service))
        return self.found.entries

    @pass_context
    def services_found(self, context: Context) -> str:
        """What to show in a terminal before services that were found are taken; empty where nobody is to be
        asked.
        """
        conf = context["_copier_conf"]
        if (
            conf["defaults"]
            or conf["quiet"]
            or "services" in conf["data"]
            or answers.recorded_answers(_project(context))
            or not sys.stdin.isatty()
        ):
            return ""
        reading = self._read(_project(context))
        return "\n".join([*closing.found(reading), "Take these?"]) if reading.services else ""

    @pass_context
    def level_choices(self, context: Context) -> str:
        """The menu for a terminal.

        Nothing elsewhere: Copier answers a wrong choice with a traceback, `check` with one line.
        """
        conf = context["_copier_conf"]
        if conf["defaults"] or "level" in conf["data"]:
            return "[]"
        return json.dumps({f"{one.level} {one.title}: {one.summary}": one.level for one in self.manifests})

    def _read(self, project: Path) -> adoption.Reading:
        if self.reading is None:
            from . import adoption  # a new project has nothing to read, and an update has read it

            self.reading = adoption.read(project) if project.is_dir() else adoption.Reading()
        return self.reading

    # While files are rendered

    def services_in_full(self, context: Context) -> list[dict[str, Any]]:
        """The services in full, each with its checks; completes the answers when first called."""
        if self.services is None:
            given = context.get_all()
            # Else they were asked for.
            if not given.get("confirm_services", True) and given["_copier_conf"]["defaults"]:
                raise UserMessageError(
                    "services: say which, as in --data 'services=[{name: api, path: services/api}]'"
                )
            commit = given["_copier_answers"].get("_commit")
            first = not answers.recorded_answers(_project(context))
            if first:
                self.uncommitted = preflight.uncommitted(_project(context))
            try:
                self.services = complete_answers.complete(
                    given, _project(context), self.template, commit, self._read
                )
            except Refused as error:
                raise UserMessageError(str(error)) from error
            theirs = (service["path"] for service in self.services if service["code"] == "theirs")
            self.adopts = first and any(files.theirs(_project(context), path) for path in theirs)
            self.environment.globals["all_layers"] = layers.manifests(
                self.template, answers.environment_names(given)
            )
            applying = layers.applying(self.template, {**given, "services": self.services})
            self.environment.globals["make"] = answers.make(given)
            self.environment.globals["layers"] = [
                manifest for manifest in applying if manifest.level <= given["level"]
            ]
        return self.services

    @pass_context
    def layer_root(self, context: Context, number: int) -> str:
        """Where a layer lands: at the project's root, or nowhere."""
        self.services_in_full(context)
        return "." if context["level"] >= number else ""

    @pass_context
    def each(self, context: Context, group: str, named: str) -> list[dict[str, Any]]:
        """The services of a group, for a path part that is named by a value of theirs."""
        return layers.each(layers.groups(self.services_in_full(context))[group], named)

    @pass_context
    def each_environment(self, context: Context) -> list[dict[str, str]]:
        """The environments, for a file that there is one of for each."""
        self.services_in_full(context)
        return answers.environments(context.get_all())

    @pass_context
    def owned(self, context: Context, owner: str) -> list[str]:
        """The paths of an owner that are rendered for these answers, in order."""
        services = self.services_in_full(context)
        never = layers.left_out(self.template, {**context.get_all(), "services": services})
        paths = layers.owners(self.template, services).items()
        return sorted(
            path
            for path, (level, belongs_to, _) in paths
            if belongs_to == owner
            and level <= context["level"]
            and path not in never
            and not answers.kept(path, context["keep"])
        )

    @pass_context
    def kept_paths(self, context: Context) -> str:
        """What `_exclude` holds for the answers: a pattern a line."""
        given = {**context.get_all(), "services": self.services_in_full(context)}
        never = layers.left_out(self.template, given) | layers.empty_folders(self.template, given)
        return "\n".join(map(complete_answers.exclude_pattern, [*context["keep"], *sorted(never)]))

    @pass_context
    def seeding(self, context: Context) -> bool:
        """Whether tests are to be written from the source after this rendering: a copy over code that was
        there before.
        """
        return self.adopts and context["_copier_operation"] == "copy" and context["seed_tests"] != "none"

    @pass_context
    def answers_file(self, context: Context) -> str:
        """What stands in the answers file."""
        self.services_in_full(context)
        # In the order of the questions: Copier's own hangs on which answers were given by `--data`.
        order = {key: number for number, key in enumerate(answers.CHECKS, 1)}
        given = sorted(context["_copier_answers"].items(), key=lambda answer: order.get(answer[0], 0))
        recorded = {k: v for k, v in given if not k.startswith("confirm_")}
        return answers.file_text(recorded).rstrip("\n")

    @pass_context
    def closing_message(self, context: Context) -> str:
        """What to do next, after `copier copy`."""
        return closing.message(
            _project(context),
            context.get_all(),
            self.services_in_full(context),
            self.reading,
            self.found,
            self.uncommitted,
        )


_code: dict[tuple[Any, ...], CodeType] = {}


class Literal:
    """What stands for the template of a text that has nothing of Jinja in it, as most path parts: compiling
    it would cost a millisecond.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def render(self, *_: Any, **__: Any) -> str:
        """The text as it stands."""
        return self.text


class CompiledFiles(BytecodeCache):
    """The compiled templates of files: `copier update` renders most of them twice or three times, each time
    from another clone.
    """

    def __init__(self, syntax: tuple[str | bool, ...]) -> None:
        self.syntax = syntax

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give `bucket` the code of a file with the same content, where there is some."""
        bucket.code = _code.get((bucket.checksum, self.syntax))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code that was just compiled."""
        if bucket.code is not None:
            _code[bucket.checksum, self.syntax] = bucket.code


def remember_compiled(environment: Environment, parts: Mapping[str, tuple[str, dict[str, Any]]]) -> None:
    """Have `environment` compile each string and each file once, over all renders of one process.

    Copier compiles every path part of every file again, and the answers file's name with each of them; that
    was half of a copy's time. `parts` is what path parts stand for: a text of Jinja's, and values for it.
    """
    # What the compiled code hangs on; two versions of the template may differ in it.
    syntax = (
        environment.variable_start_string,
        environment.block_start_string,
        environment.keep_trailing_newline,
    )
    environment.bytecode_cache = CompiledFiles(syntax)
    compiled: dict[str, Template | Literal] = {}
    from_string = environment.from_string

    def once(source: str, *arguments: Any, **options: Any) -> Template | Literal:
        if arguments or options or not isinstance(source, str):
            return from_string(source, *arguments, **options)
        # Each compilation makes Copier's yield extension forget the last yield; so must this.
        environment.preprocess("")
        if source not in compiled:
            text, values = parts.get(source, (source, None))
            if "[" not in text:  # every delimiter begins with it
                compiled[source] = Literal(text)
            else:
                if (text, syntax) not in _code:
                    _code[text, syntax] = environment.compile(text)
                compiled[source] = environment.template_class.from_code(
                    environment, _code[text, syntax], environment.make_globals(values)
                )
        return compiled[source]

    environment.from_string = once  # type: ignore[assignment, method-assign]


def _project(context: Context) -> Path:
    return Path(str(context["_copier_conf"]["dst_path"]))


def quoted(value: Any) -> str:
    """A string in quotes, as YAML, TOML and JSON all read it."""
    return json.dumps(str(value), ensure_ascii=False)


def markdown(value: Any) -> str:
    """Text that Markdown shows as it stands."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", str(value))
