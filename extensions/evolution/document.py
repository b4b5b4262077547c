"""config/evolution.yml as YAML with its lines: what roadmap.py and settings.py, which read its blocks, refuse
in the same words.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import yaml

from ..errors import Refused
from ..project.git_and_files import shown

FILE = "config/evolution.yml"


def compose(project: Path) -> yaml.Node | None:
    """The whole file; None where it is missing or empty. Raises Refused, with the line,
    for what is no YAML."""
    try:
        content = (project / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{FILE}: expected a file that can be read ({error.strerror})") from error
    try:
        top = yaml.compose(content, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or "it can't be read"
        raise Refused(
            f"{FILE}{f':{mark.line + 1}' if mark else ''}: expected YAML: {shown(str(why))}"
        ) from error
    return None if top is None or is_null(top) else top


def where(node: yaml.Node) -> str:
    """The place of a node: `config/evolution.yml:12`."""
    return f"{FILE}:{node.start_mark.line + 1}"


def is_null(node: yaml.Node) -> bool:
    """Whether nothing is written there."""
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def mapping(node: yaml.Node, name: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key and value of each entry, by the key's text.

    Raises Refused for anything else, and for a key that stands there twice.
    """
    if not isinstance(node, yaml.MappingNode):
        raise Refused(f"{where(node)}: {name}: expected names with values, as in `name: value`")
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Refused(f"{where(key)}: {name}: expected a name")
        if key.value in found:
            raise Refused(f"{where(key)}: {shown(key.value)} stands there twice")
        found[key.value] = key, value
    return found


def meant(name: str, known: Iterable[str]) -> str:
    """What to say of a name that isn't among the known ones."""
    known = list(known)
    near = difflib.get_close_matches(name[:60], known, 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
