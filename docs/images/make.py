"""The README's pictures, light and dark: `make docs` writes them.

levels-*.svg is drawn from the manifests. evolution-*.svg is what `make evolution` really says in a project of
a few people who deploy more and more often, which is made for it in a temporary folder.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from textwrap import wrap

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from extensions.template import layers
from extensions.template.manifest import Manifest
from tests.support.pasts import commits, deployments, finished
from tests.support.projects import ROOT, Project, make_template

FOLDER = Path(__file__).parent
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"
# Of each scheme: background, text, quiet text, line, and the colour of each level: GitHub's own.
SCHEMES = {
    "light": ("#ffffff", "#1f2328", "#59636e", "#d1d9e0", ("#1a7f37", "#0969da", "#8250df", "#bc4c00")),
    "dark": ("#0d1117", "#f0f6fc", "#9198a1", "#3d444d", ("#3fb950", "#4493f8", "#ab7df8", "#db6d28")),
}
COMMAND = ["evolution", "--offline"]


def levels_picture(scheme: str, manifests: list[Manifest]) -> str:
    """The levels as stairs, each with its title, what it brings and when it is due."""
    background, text, quiet, border, colours = SCHEMES[scheme]
    width, step, high, gap = 880, 34, 164, 14
    box = (width - gap * (len(manifests) + 1)) // len(manifests)
    tall = high + step * (len(manifests) - 1) + 2 * gap
    parts = [f'<rect width="{width}" height="{tall}" rx="8" fill="{background}"/>']
    for number, (manifest, colour) in enumerate(zip(manifests, colours, strict=True)):
        x, y = gap + number * (box + gap), gap + step * (len(manifests) - 1 - number)
        bottom = tall - gap - y
        parts.append(
            f'<rect x="{x}" y="{y}" width="{box}" height="{bottom}" rx="6" fill="none" stroke="{border}"/>'
        )
        parts.append(f'<rect x="{x}" y="{y}" width="{box}" height="5" rx="2" fill="{colour}"/>')
        parts.append(_line(x + 12, y + 31, f"{manifest.level}  {manifest.title}", text, 16, "600"))
        said = manifest.summary.removesuffix(".")
        for row, words in enumerate(wrap(said, 27)):
            parts.append(_line(x + 12, y + 55 + 17 * row, words, quiet, 12))
    title = "Four levels, from Basic to Enterprise: what each one brings"
    return _svg(width, tall, title, "".join(parts))


def _line(x: int, y: int, words: str, colour: str, size: int, weight: str = "400") -> str:
    font = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
    style = f'font-family="{font}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(words)}</text>'


def _svg(width: int, height: int, title: str, inside: str) -> str:
    box = f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    return f"{head}<title>{escape(title)}</title>{inside}</svg>\n"


def said(work: Path) -> str:
    """The first part of what `make evolution` says in a project at level 1 that has outgrown it."""
    template = make_template(work / "template", "v1.0.0")
    project, now = Project(work / "shop", template).copy(), datetime.now(UTC)
    commits(project, now, [1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4])
    finished(deployments(project, now, [1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4])).commit("deployments")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); from extensions import cli; cli.main({COMMAND})",
        ],
        cwd=project.folder,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.partition("\nmeasured ")[0]  # the measurements and what is unknown follow


def terminal_picture(scheme: str, text: str) -> str:
    """A terminal with what a command said."""
    background, ink, quiet, border, colours = SCHEMES[scheme]
    width = max(len(line.rstrip()) for line in text.splitlines()) + 1
    console = Console(
        record=True, width=width, file=io.StringIO(), color_system="truecolor", force_terminal=True
    )
    console.print(Text("$ make evolution", style=f"bold {colours[0]}"))
    for line in text.rstrip().splitlines():
        loud = re.match(r"Level \d|  do  |level  ", line)
        console.print(Text(line.rstrip(), style=f"bold {ink}" if loud else ink), soft_wrap=True)
    theme = TerminalTheme(_rgb(background), _rgb(ink), [_rgb(quiet)] * 8)
    svg = console.export_svg(title="make evolution", theme=theme, unique_id="evolution")
    svg = re.sub(
        r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL
    )  # a font that would be fetched from elsewhere
    svg = svg.replace("Fira Code, monospace", FONT).replace("rgba(255,255,255,0.35)", border)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE).rstrip() + "\n"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def main() -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory(prefix="copier-levels-docs.") as folder:
        text = said(Path(folder))
    for scheme in SCHEMES:
        pictures = {
            "levels": levels_picture(scheme, layers.manifests(ROOT)),
            "evolution": terminal_picture(scheme, text),
        }
        for name, picture in pictures.items():
            (FOLDER / f"{name}-{scheme}.svg").write_text(picture, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
