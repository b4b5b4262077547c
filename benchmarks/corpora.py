"""The code for which tests are written when writers are compared: libraries and Flask applications from PyPI,
fetched by their hashes.

`corpus` is the one that the issue names, where `levels stubs` was developed. `held-out` was chosen
afterwards, by what it is and not by how anybody does on it, and nothing was changed for its sake.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from extensions.source.files import aside, walk
from extensions.source.modules import Function, Module, read_file

RELEASES = {
    "boltons==26.2.0": "41942cbce440211bbcf2487ccdc356964ad674f95a01068b8a0dd7a1d1fed036",
    "humanize==4.17.0": "02d0899527760efe18011944f882df4970943b4cdff7b5a0ba7fed43a576ef98",
    "python-slugify==9.2.0": "7298dcfc65e9ccdf834b3c398f163af0d09a9a8fc1ee6a7b2dffd8d38bfb756e",
    "toolz==1.2.0": "890f820b1cb8152785aaf9386d8707770110809035800985ca65cb24ce1120ef",
    "inflection==0.5.1": "f38b2b640938a4f35ade69ac3d053042959b62a0f1076a5bbaa1b9526605a8a2",
}
NEEDED = ("pytest>=9,<10", "hypothesis[cli,ghostwriter]>=6.140,<7", "text-unidecode>=1.3,<2")


@dataclass(frozen=True)
class App:
    """A Flask application: its source distribution, the folder in there above the package, and what `levels`
    records of the service.
    """

    release: str
    sha256: str
    folder: str
    package: str
    app: str


@dataclass(frozen=True)
class Corpus:
    """Libraries by their hashes, applications, and what all of them need to be imported."""

    releases: Mapping[str, str]
    apps: tuple[App, ...]
    needs: tuple[str, ...]


CORPORA = {
    "corpus": Corpus(
        RELEASES,
        (
            App(
                "flask==3.1.3",
                "0ef0e52b8a9cd932855379197dd8f94047b359ca0a78695144304cb45f87c9eb",
                "flask-3.1.3/examples/tutorial",
                "flaskr",
                "flaskr:create_app()",
            ),
            App(
                "httpbin==0.10.4",
                "6023a5a2e8fb8e91abdd6d34d1f1f455092f97d567c25600e1b48ee1178aa738",
                "httpbin-0.10.4",
                "httpbin",
                "httpbin:app",
            ),
        ),
        # httpbin asks for its own version, so it is installed; the copy that is measured stands before it on
        # the path.
        ("text-unidecode>=1.3,<2", "flask==3.1.3", "httpbin==0.10.4"),
    ),
    # Of helpers for iterating, sorting, dates, validating and colours a well-known pure Python library each,
    # and two applications that run without a server beside them.
    "held-out": Corpus(
        {
            "more-itertools==11.2.1": "35a7377edd1dd6608dcb2cdf534ded55ea32d49448875ad042cd3f879fb1ded0",
            "natsort==8.4.0": "4732914fb471f56b5cce04d7bae6f164a592c7712e1c85f9ef585e197299521c",
            "python-dateutil==4.0.0": "a5e246f79eb80475e691bf93862cead98decd8a498cf53ba0516fcdc0f50dc1c",
            "validators==0.36.0": "c52ad00435e385b95fa4d6dd3081cb20c0660e7fd07b214523c8584dd2edba34",
            "webcolors==25.10.0": "032c727334856fc0b968f63daa252a1ac93d33db2f5267756623c210e57a4f1d",
        },
        (
            App(
                "ihatemoney==7.2.1",
                "e74fc718f68e1ec400cf9c4364025a91febb86c9b523aeb33a52e5adbeaa77e1",
                "ihatemoney-7.2.1",
                "ihatemoney",
                "ihatemoney.run:create_app()",
            ),
            App(
                "sqlite-web==0.8.2",
                "ef4348978c16f81e809f2bfc1905cbfad2b381ad4f532e30c27afd702ffc6283",
                "sqlite_web-0.8.2",
                "sqlite_web",
                "sqlite_web.sqlite_web:app",
            ),
        ),
        ("tzdata", "ihatemoney==7.2.1", "sqlite-web[wsgi]==0.8.2"),
    ),
}


@dataclass(frozen=True)
class Target:
    """A module: the project that it stands in, its service as `levels` knows it,
    its path from the project."""

    project: Path
    service: Mapping[str, str]
    file: str

    @property
    def part(self) -> str:
        return "applications" if self.service["kind"] == "web" else "libraries"

    @property
    def module(self) -> str:
        """The name under which it is imported."""
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def fetched(work: Path, corpus: Corpus) -> list[Target]:
    """Every module of the corpus that has a public function, below `work`.

    The packages take turns, so that a part is a fair part.
    """
    fetch(work, work / "libraries", corpus.releases)
    projects = [
        (work / "libraries", {"name": "library", "path": ".", "kind": "worker", "code": "theirs", "app": ""})
    ]
    for app in corpus.apps:
        unpack(work, app)
        service = {"name": app.package, "path": app.package, "kind": "web", "code": "theirs", "app": app.app}
        projects.append((work / app.package, service))
    packages: dict[str, list[Target]] = {}
    for project, service in projects:
        for folder, names in walk(project):
            for name in names:
                file = f"{folder}/{name}".lstrip("/")
                if (
                    folder.split("/")[0] not in ("", "bin")
                    and not aside(file)
                    and public_functions(project, file)
                ):
                    packages.setdefault(file.split("/")[0], []).append(Target(project, service, file))
    return [one for one in chain(*zip_longest(*packages.values())) if one]


def public_functions(project: Path, file: str) -> set[str]:
    """The functions at the top of a module that an importer may call."""
    module = read_file(project, file)

    def public(one: Function) -> bool:
        return one.kind == "function" and not one.nested and not one.name.startswith("_")

    return {one.name for one in module.functions if public(one)} if isinstance(module, Module) else set()


def fetch(work: Path, source: Path, releases: Mapping[str, str] = RELEASES) -> None:
    """Libraries, by their hashes, without what they depend on. `work` has an environment `tools`."""
    wanted = work / "wanted.txt"
    wanted.write_text(
        "".join(f"{name} --hash=sha256:{digest}\n" for name, digest in releases.items()), encoding="utf-8"
    )
    only = ("--no-deps", "--only-binary", ":all:", "--require-hashes")
    uv(
        "pip",
        "install",
        "--quiet",
        "--python",
        str(work / "tools"),
        "--target",
        str(source),
        *only,
        "-r",
        str(wanted),
    )


def unpack(work: Path, app: App) -> None:
    """The package of an application, alone in a folder of its name: not the tests that it came with."""
    if not (work / "pip").exists():
        environment(work / "pip", "pip")
    wanted = work / "wanted.txt"
    wanted.write_text(f"{app.release} --hash=sha256:{app.sha256}\n", encoding="utf-8")
    where = work / "archives" / app.package
    name = app.release.partition("==")[0]
    download = (
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        name,
        "--dest",
        str(where),
        "-r",
        str(wanted),
    )
    subprocess.run([str(work / "pip/bin/pip"), *download], check=True)
    archive = next(where.iterdir())
    # Not by tarfile: Python 3.11.2, which is Debian's, knows no `filter` yet.
    subprocess.run(
        ["tar", "--extract", "--no-same-owner", "--file", str(archive), "--directory", str(where)], check=True
    )
    shutil.copytree(where / app.folder / app.package, work / app.package / app.package)


def environment(folder: Path, *requirements: str) -> None:
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    # Else each start of Python compiles what it imports: here nothing may write bytecode.
    uv("pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder), *requirements)


def uv(*arguments: str) -> None:
    own = Path(__file__).parents[1] / ".cache/uv/bin/uv"
    subprocess.run([str(own) if own.exists() else "uv", *arguments], check=True)
