"""`levels owner`: who a file belongs to."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from ..errors import Refused
from ..template import answers, layers
from ..template.place import root
from .arguments import project_answers

HELP = "who a file belongs to: yours, shared or ours, and why it is there"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    from ..apidocs import threat_model, write

    project = Path.cwd()
    recorded = project_answers(project)
    if not options.file:
        raise Refused("owner: expected a file, as in FILE=levels.mk")
    # By the words of the path alone: a link in the project is the project's, wherever it leads.
    path = Path(os.path.normpath(project / options.file))
    if not path.is_relative_to(project):
        raise Refused(f"{options.file}: expected a file of this project, which stands in {project}")
    name = path.relative_to(project).as_posix()
    owners = layers.owners(root(), answers.recorded_services(recorded), answers.environment_names(recorded))
    if path.is_dir() and not path.is_symlink():
        files = sorted(one for one in [*owners, ".copier-answers.yml"] if (project / one).is_file())
        inside = [one for one in files if name in (".", *map(str, Path(one).parents))]
        example = f", such as {inside[0]}" if inside else ""
        raise Refused(f"{options.file}: a folder; expected a file{example}")
    level, owner, why = owners.get(name, (0, "yours", "not from the template"))
    if name == ".copier-answers.yml":
        level, owner, why = 1, "ours", "the answers that this project was rendered from"
    if level and answers.kept(name, recorded["keep"]):
        taken = "it stood here before, or you took it over (`keep`), and the template leaves it alone"
        owner, why = "yours", f"{why}; {taken}"
        if name in recorded["keep"]:
            why += (
                f"; `{answers.make(recorded)} set keep=-{name}` shows how it differs from the template's, and"
                " hands it over"
            )
    if not level and (written := write.why_it_is_there(project, name)):
        owner, why = "ours", written
    if not level and owner == "yours" and not os.path.lexists(project / name):
        raise Refused(
            f"{options.file}: there is no such file here, and the template brings none of that name"
        )
    if not level and name == threat_model.PAGE and threat_model.ours(project / name):
        owner, why = "shared", "written by `levels threat-model` from the source; what follows is yours"
    if options.json:
        print(json.dumps({"file": name, "owner": owner, "level": level or None, "why": why}))
    else:
        print(f"{name}: {owner}{f', level {level}' if level else ''}: {why}")
    return 0
