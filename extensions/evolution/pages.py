"""What all pages have in common: one HTML file that needs nothing else, whose text is escaped."""

from __future__ import annotations

from pathlib import Path

import jinja2

from ..project.git_and_files import shown


def environment(*folders: Path) -> jinja2.Environment:
    """Jinja for templates in `folders`, then those here. Names of people and notes come from projects."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: shown(value) if type(value) is str else value,
    )
