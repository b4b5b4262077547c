"""Adoption: `copier copy` over a repository that stands already finds its services, adds, and changes
nothing.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import copier
import pytest
from copier.errors import UserMessageError

from extensions.evolution.checks import level_1
from extensions.evolution.facts import Facts
from extensions.rendering.closing import call
from extensions.template import layers
from tests.support.projects import LEVELS, ROOT, Project, git

FACTORY = """from flask import Flask


def create_app():
    app = Flask(__name__)

    @app.get("/")
    def index():
        return "hello"

    return app
"""
MODULE = """from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "hello"
"""
UGLY = """import os,sys
from flask import *
app=Flask(__name__)
def f(x=[]):
  try: return x+undefined
  except: pass
"""
WORKER = 'def main():\n    print("working")\n\n\nif __name__ == "__main__":\n    main()\n'

# name: (files, the services that are found as name, path, kind, app)
REPOSITORIES: dict[str, tuple[dict[str, str], list[tuple[str, str, str, str]]]] = {
    "a package at the root": (
        {
            "shop/__init__.py": FACTORY,
            "requirements.txt": "flask\n",
            "tests/test_shop.py": "def test_it():\n    assert True\n",
        },
        [("shop", "shop", "web", "shop:create_app()")],
    ),
    "a package under src": (
        {
            "src/shop/__init__.py": "",
            "src/shop/web.py": MODULE,
            "setup.py": "from setuptools import setup\n\nsetup(name='shop')\n",
        },
        [("shop", "src/shop", "web", "shop.web:app")],
    ),
    "a service with a hyphen in its name": (
        {"services/market-data/app.py": MODULE, "services/market-data/requirements.txt": "flask\n"},
        [("market-data", "services/market-data", "web", "app:app")],
    ),
    "a worker without HTTP": (
        {"worker.py": WORKER, "requirements.txt": "requests\n"},
        [("repo", ".", "worker", "worker.py")],
    ),
    "two services with a hyphen and the same modules": (
        {
            "services/market-data/app.py": MODULE,
            "services/market-data/config.py": "DEBUG = True\n",
            "services/telegram-bot/bot.py": WORKER,
            "services/telegram-bot/config.py": "DEBUG = True\n",
        },
        [
            ("market-data", "services/market-data", "web", "app:app"),
            ("telegram-bot", "services/telegram-bot", "worker", "bot.py"),
        ],
    ),
    "everything of its own": (
        {
            "app.py": MODULE,
            "Makefile": "all:\n\techo theirs\n",
            "pyproject.toml": '[project]\nname = "theirs"\nversion = "1"\n',
            "Dockerfile": "FROM scratch\n",
            "README.md": "# Theirs\n",
            ".gitignore": "*.log\n",
            ".github/workflows/ci.yml": "on: push\njobs: {}\n",
            ".github/workflows/quality.yml": "on: push\njobs: {}\n",
            "tests/test_app.py": "def test_it():\n    assert True\n",
            "docs/deployment.md": "Theirs\n",
        },
        [("repo", ".", "web", "app:app")],
    ),
    "Poetry": (
        {
            "shop/__init__.py": MODULE,
            "pyproject.toml": (
                '[tool.poetry]\nname = "shop"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.12"\n'
            ),
        },
        [("shop", "shop", "web", "shop:app")],
    ),
    "code that no linter would pass": (
        {"services/old/app.py": UGLY},
        [("old", "services/old", "web", "app:app")],
    ),
    "files that a later level would write": (
        {
            "shop/__init__.py": FACTORY,
            ".github/workflows/security.yml": "on: push\njobs: {}\n",
            ".github/workflows/staging-deploy.yml": "on: push\njobs: {}\n",
            "config/staging.env.template": "THEIRS=\n",
            "ci/security.py": "# theirs\n",
            "shop/capabilities/variants.py": "# theirs\n",
        },
        [("shop", "shop", "web", "shop:create_app()")],
    ),
}


def repository(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """A repository with these files, committed. Returns its tree."""
    theirs = Project(folder, Path())
    for path, text in files.items():
        theirs.write(path, text)
    git(folder, "init", "--quiet")
    return theirs.commit("theirs").tree()


@pytest.mark.parametrize("name", REPOSITORIES)
def test_adoption_finds_the_services_and_only_adds_at_every_level(
    template: Path, tmp_path: Path, name: str
) -> None:
    files, services = REPOSITORIES[name]
    folder = tmp_path / "repo"
    before = repository(folder, files)
    project = Project(folder, template)
    copier.run_copy(str(template), folder, defaults=True, unsafe=True, quiet=True)
    found = [(s["name"], s["path"], s["kind"], s["app"]) for s in project.answers()["services"]]
    assert found == services
    assert all(service["code"] == "theirs" for service in project.answers()["services"])
    for level in (1, 2, 3, 4, 1):
        if project.answers()["level"] != level:
            project.move(level)
        after = project.tree()
        assert {path: after.get(path) for path in before} == before, f"at level {level}"
        folders = [
            inner for inner, below, names in os.walk(folder) if not below + names and ".git/" not in inner
        ]
        assert folders == [], f"at level {level}"
        assert project.conflicts() == []
        project.commit()
    kept = project.answers()["keep"]
    assert set(kept) <= set(files)


def test_what_would_change_how_their_code_is_built_or_tested_stays_out(
    template: Path, tmp_path: Path
) -> None:
    """A pyproject.toml of ours would override their setup.cfg, and a .dockerignore of ours what their
    Dockerfile copies.
    """
    repository(
        tmp_path / "repo",
        {"shop.py": MODULE, "Dockerfile": "FROM scratch\nCOPY docs /docs\n", "setup.cfg": "[tool:pytest]\n"},
    )
    project = Project(tmp_path / "repo", template).copy()
    assert not (project.folder / "pyproject.toml").exists()
    assert not (project.folder / ".dockerignore").exists()
    assert project.answers()["keep"] == ["Dockerfile"]


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_levels_services_need_is_installed_beside_their_own(
    template: Path, tmp_path: Path, level: int
) -> None:
    manifests = layers.manifests(template)
    needed = [one for manifest in manifests[:level] for one in manifest.dependencies]
    assert bool(needed) == (level >= 3)
    theirs, new = tmp_path / "theirs", Project(tmp_path / "new", template).copy(level=level)
    repository(theirs, REPOSITORIES["a package at the root"][0])
    Project(theirs, template).copy(level=level)
    code = "import sys; sys.path.insert(0, 'ci'); import ways; print(*ways.added(), sep='\\n')"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=theirs, capture_output=True, text=True, check=True
    )
    assert set(needed) <= set(said.stdout.splitlines())
    own = tomllib.loads(new.read("pyproject.toml"))["project"]["dependencies"]
    assert own == ["flask>=3.1,<4", "gunicorn>=27,<28", *needed]


def test_the_closing_message_says_what_to_add_and_where(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    repository(tmp_path / "repo", {"shop/__init__.py": FACTORY, "Makefile": "all:\n"})
    copier.run_copy(str(template), tmp_path / "repo", defaults=True, unsafe=True)
    said = capfd.readouterr().err
    assert "Left as they were (`keep`): Makefile" in said
    assert (
        "shop/__init__.py:5 builds a Flask app in create_app(): add there `from shop.health import"
        " init_service`" in said
    )
    assert 'init_service(app, "shop")' in said
    assert "make -f levels.mk install baseline" in said and "make -f levels.mk check" in said


CALLED = FACTORY.replace("    return app\n", '    init_service(app, "shop")\n    return app\n')
NEEDS = FACTORY.replace("create_app()", "create_app(config)")
VARIANTS: dict[str, dict[str, str]] = {
    "new": {},
    "adopted": {"shop/__init__.py": FACTORY},
    "adopted, with a Makefile": {"shop/__init__.py": FACTORY, "Makefile": "all:\n"},
    "adopted, with the call": {"shop/__init__.py": f"from shop.health import init_service\n{CALLED}"},
    "adopted, with the call beside its package": {
        "shop/__init__.py": NEEDS,
        "wsgi.py": "from shop import create_app, health\n\napp = create_app({})\nhealth.init_service(app, 'shop')\n",
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_comes_next_can_be_copied_into_a_shell(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    folder = tmp_path / "it's mine"
    if VARIANTS[name]:
        repository(folder, VARIANTS[name])
    copier.run_copy(
        str(template), folder, data={"project_name": "shop", "level": 2}, defaults=True, unsafe=True
    )
    said = capfd.readouterr().err
    block = [line.strip() for line in said.partition("\nNext:\n")[2].strip().splitlines()]
    words = [shlex.split(line, comments=True)[0] for line in block]
    assert words == ["cd", "make", "make", "git"]
    assert shlex.split(block[0]) == ["cd", str(folder)]
    make = "make -f levels.mk" if "Makefile" in VARIANTS[name] else "make"
    assert all(line.startswith(f"{make} ") for line in block[1:3])
    assert " check" in block[1] + block[2]
    assert ("Yours to add, by hand:" in said) == (bool(VARIANTS[name]) and "the call" not in name)
    assert ("add there" in said) == (bool(VARIANTS[name]) and "the call" not in name)
    facts = Facts(folder, Project(folder, template).answers(), datetime.now(UTC), offline=True)
    assert level_1.health_endpoints(facts).state == ("todo" if "add there" in said else "done")
    # At level 2 the integration tests skip a service that doesn't make the call.
    tests = runpy.run_path(str(folder / "tests/integration/test_integration_services.py"))
    missing = [tests["missing_call"](service) for service in tests["SERVICES"]]
    assert missing == (["init_service(app, 'shop')"] if "add there" in said else [None])


def test_a_health_route_of_their_own_is_told_at_adoption_and_by_the_checklist(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    route = '\n\n@app.get("/health")\ndef health():\n    return {"status": "ok"}\n'
    folder = tmp_path / "repo"
    repository(folder, {"shop/__init__.py": MODULE + route, "requirements.txt": "flask\n"})
    project = Project(folder, template)
    copier.run_copy(str(template), folder, data={"level": 2}, defaults=True, unsafe=True)
    line = "shop: your own /health (shop/__init__.py:11) goes on answering there; deploys and images ask"
    assert f"\n{line} /-/health, which is ours\n" in capfd.readouterr().err
    call = '\nfrom shop.health import init_service\n\ninit_service(app, "shop")\n'
    project.write("shop/__init__.py", MODULE + route + call)
    item = level_1.health_endpoints(Facts(folder, project.answers(), datetime.now(UTC), offline=True))
    assert item.state == "done"
    assert line in item.detail


def test_what_was_not_committed_is_named_and_theirs_can_be_told_apart(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "repo"
    repository(folder, {"shop/__init__.py": FACTORY, ".gitignore": "*.log\n"})
    project = Project(folder, template)
    project.write("shop/__init__.py", f"{FACTORY}\n# mine\n")
    for path in ("a name", "new/one", "new/two", "two\nlines", "some.log"):
        project.write(path, "mine\n")
    copier.run_copy(str(template), folder, defaults=True, unsafe=True)
    said = capfd.readouterr().err
    assert "Not committed before this: shop/__init__.py, a name, new/ and 1 more. Commit what is" in said
    assert project.read("shop/__init__.py").endswith("# mine\n")


def test_a_repository_with_all_committed_is_told_nothing_of_it(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    repository(tmp_path / "repo", {"shop/__init__.py": FACTORY})
    copier.run_copy(str(template), tmp_path / "repo", defaults=True, unsafe=True)
    assert "Not committed" not in capfd.readouterr().err


def test_the_readme_says_which_server_runs_a_web_service_of_theirs(template: Path, tmp_path: Path) -> None:
    said = "make run         # by gunicorn if you install it, else by Flask's development server\n"
    repository(tmp_path / "repo", {"shop/__init__.py": FACTORY})
    assert said in Project(tmp_path / "repo", template).copy().read("README.md")
    repository(tmp_path / "worker", {"worker.py": WORKER})
    assert "gunicorn" not in Project(tmp_path / "worker", template).copy().read("README.md")
    assert "gunicorn" not in Project(tmp_path / "new", template).copy().read("README.md")


def test_make_is_called_their_way_in_every_file_where_the_makefile_is_theirs(
    template: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "repo"
    files = {"shop/__init__.py": FACTORY, "bot/worker.py": WORKER, "Makefile": "all:\n"}
    repository(folder, files)
    project = Project(folder, template)
    services = [{"name": "shop", "path": "shop"}, {"name": "bot", "path": "bot"}, "api"]
    project.copy(level=LEVELS[-1], services=services, repository="acme/shop")
    targets = "|".join(sorted(target.name for one in layers.manifests(ROOT) for target in one.targets))
    plain = re.compile(rf"\bmake +({targets})\b")
    found = {
        f"{path}: {line.strip()}"
        for path in project.tree().keys() - files.keys()
        for line in project.read(path).splitlines()
        if plain.search(line)
    }
    assert found == set()
    assert project.read(".copier-answers.yml").startswith("# ") and "`make -f levels.mk set" in project.read(
        ".copier-answers.yml"
    )


CALLS = [
    ({"name": "shop", "path": "shop", "app": "shop:create_app()"}, "shop.health"),
    ({"name": "shop", "path": "src/shop", "app": "shop.web:app"}, "shop.health"),
    ({"name": "api", "path": "services/api", "app": "api:app"}, "health"),
    ({"name": "shop", "path": "services/shop", "app": "shop:create_app()"}, "health"),
    ({"name": "bot", "path": "services/bot", "kind": "worker", "app": "bot.py"}, "health"),
    ({"name": "bot", "path": "bot", "kind": "worker", "app": "__main__.py"}, "bot.health"),
    ({"name": "shop", "path": "shop", "app": "wsgi:app"}, "shop.health"),
    ({"name": "shop", "path": "shop", "app": ""}, "shop.health"),
    ({"name": "shop", "path": "services/flat", "app": ""}, "health"),
]


@pytest.mark.parametrize(("service", "module"), CALLS)
def test_the_import_that_is_told_is_the_one_that_works_where_the_service_starts(
    tmp_path: Path, service: dict[str, str], module: str
) -> None:
    for path in (
        "shop/__init__.py",
        "shop/web.py",
        "src/shop/__init__.py",
        "services/api/api.py",
        "services/bot/bot.py",
        "bot/__main__.py",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "services/shop/shop").mkdir(parents=True)
    assert f"`from {module} import " in call(tmp_path, {"kind": "web", **service})


def test_code_in_which_no_service_is_found_is_refused_with_what_to_say(
    template: Path, tmp_path: Path
) -> None:
    """An example service and a pyproject.toml of ours are nothing to put beside it unasked."""
    repository(
        tmp_path / "repo",
        {
            "main.py": "import tornado.web\n\napp = tornado.web.Application()\n",
            "setup.cfg": "[tool:pytest]\n",
        },
    )
    with pytest.raises(
        UserMessageError, match="services: none was found in the code that stands here: say which there are"
    ):
        copier.run_copy(str(template), tmp_path / "repo", defaults=True, unsafe=True, quiet=True)
    project = Project(tmp_path / "repo", template).copy(services=["api"])
    assert project.answers()["adopted"] is True
    assert (project.folder / "services/api/app.py").exists() and not (
        project.folder / "pyproject.toml"
    ).exists()


BESIDE = {
    "services/api/app.py": MODULE,
    "orders/__init__.py": MODULE,
    "services/mailer/main.py": WORKER,
    "services/chores/app.py": MODULE,
}


def test_of_a_service_that_is_named_by_hand_the_source_says_how_it_starts(
    template: Path, tmp_path: Path
) -> None:
    repository(tmp_path / "repo", BESIDE)
    services = [
        "api",
        {"name": "shop", "path": "orders"},
        {"name": "post", "path": "services/mailer"},
        {"name": "new"},
    ]
    services += [{"name": "chores", "path": "services/chores", "kind": "worker"}]
    project = Project(tmp_path / "repo", template).copy(services=services)
    told = [(one["name"], one["kind"], one["code"], one["app"]) for one in project.answers()["services"]]
    assert told == [
        ("api", "web", "theirs", "app:app"),
        ("shop", "web", "theirs", "orders:app"),
        ("post", "worker", "theirs", "main.py"),
        ("new", "web", "ours", "services.new.app:create_app()"),
        ("chores", "worker", "theirs", ""),
    ]


@pytest.mark.parametrize("named", [{}, {"services": ["api", {"name": "shop", "path": "orders"}]}])
def test_an_app_that_is_no_service_is_told(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], named: dict[str, Any]
) -> None:
    repository(tmp_path / "repo", BESIDE)
    copier.run_copy(str(template), tmp_path / "repo", data=named, defaults=True, unsafe=True)
    seen = (
        "orders/__init__.py:3 builds the Flask app app: no service unless `services` names it, as {name:"
        " orders, path: orders}"
    )
    assert (seen in capfd.readouterr().err) == (not named)


def test_a_repository_with_nothing_but_a_readme_is_new(template: Path, tmp_path: Path) -> None:
    repository(tmp_path / "repo", {"README.md": "# Shop\n", "LICENSE": "MIT\n", ".gitignore": "*.log\n"})
    project = Project(tmp_path / "repo", template).copy()
    assert project.answers()["adopted"] is False
    assert project.answers()["keep"] == [".gitignore", "README.md"]
    assert (project.folder / "pyproject.toml").exists()


def test_a_second_copy_over_the_same_project_keeps_its_edits(
    at_level: Callable[[int], Project], template: Path
) -> None:
    project = at_level(1)
    before = project.tree()
    project.commit()
    copier.run_copy(
        str(template), project.folder, data=project.answers(), defaults=True, unsafe=True, quiet=True
    )
    assert project.tree() == before


# What is refused, before anything is written

Prepare = Callable[[Path], None]


def _sub_folder(folder: Path) -> None:
    (folder / "README.md").write_text("theirs\n")
    git(folder.parent, "init", "--quiet")
    (folder.parent / "x").write_text("x\n")


def _no_commit(folder: Path) -> None:
    (folder / "README.md").write_text("theirs\n")
    git(folder, "init", "--quiet")


def _another_template(folder: Path) -> None:
    (folder / ".copier-answers.yml").write_text("_commit: v1\n_src_path: gh:acme/other\nproject: x\n")


def _file_for_a_folder(folder: Path) -> None:
    (folder / "config").write_text("a file\n")


def _folder_for_a_file(folder: Path) -> None:
    (folder / "levels.mk").mkdir()
    (folder / "levels.mk" / "x").write_text("x\n")


def _link_out(folder: Path) -> None:
    (folder.parent / "outside").mkdir()
    (folder / "config").symlink_to(folder.parent / "outside")


def _broken_link(folder: Path) -> None:
    (folder / "ci").symlink_to("nowhere")


def _other_case(folder: Path) -> None:
    (folder / "Config").mkdir()
    (folder / "Config" / "x").write_text("x\n")


def _ignored(folder: Path) -> None:
    (folder / ".gitignore").write_text("*.log\nconfig/\n")
    repository(folder, {})


REFUSED: list[tuple[Prepare, str]] = [
    (_sub_folder, "repo: a sub-folder of the repository"),
    (_no_commit, ".git: the repository holds files but no commit"),
    (_another_template, ".copier-answers.yml: the project was made by another Copier template"),
    (_file_for_a_folder, "config: a file where the template needs a folder"),
    (_folder_for_a_file, "levels.mk: a folder stands where the template has a file"),
    (_link_out, "config: a symbolic link that leads out of the project"),
    (_broken_link, "ci: a broken symbolic link where the template needs a folder"),
    (_other_case, "Config: differs only by case from the template's config"),
    (_ignored, ".gitignore:2: the rule config/ would hide config/"),
]


@pytest.mark.parametrize(
    ("prepare", "message"), REFUSED, ids=[prepare.__name__[1:] for prepare, _ in REFUSED]
)
def test_a_repository_that_cannot_be_adopted_is_refused_and_untouched(
    template: Path, tmp_path: Path, prepare: Prepare, message: str
) -> None:
    folder = tmp_path / "here" / "repo"
    folder.mkdir(parents=True)
    prepare(folder)
    before = listing(folder)
    with pytest.raises(UserMessageError) as refused:
        copier.run_copy(str(template), folder, defaults=True, unsafe=True, quiet=True)
    assert message in str(refused.value)
    assert listing(folder) == before


def listing(folder: Path) -> list[str]:
    """Everything below a folder, git's own files aside."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if ".git" not in path.relative_to(folder).parts
    )


def test_a_file_that_differs_only_by_case_is_kept(template: Path, tmp_path: Path) -> None:
    repository(tmp_path / "repo", {"shop.py": MODULE, "Readme.md": "theirs\n", "makefile": "all:\n"})
    project = Project(tmp_path / "repo", template).copy()
    assert project.answers()["keep"] == ["Makefile", "README.md"]
    assert not {"Makefile", "README.md"} & set(os.listdir(project.folder))


def test_a_broken_link_where_a_file_would_go_is_kept(template: Path, tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "README.md").symlink_to("nowhere")
    repository(tmp_path / "repo", {"shop.py": MODULE})
    project = Project(tmp_path / "repo", template).copy()
    assert project.answers()["keep"] == ["README.md"]
    assert os.readlink(project.folder / "README.md") == "nowhere"


def test_names_that_gitignore_reads_as_patterns_are_kept_as_they_are(
    at_level: Callable[[int], Project],
) -> None:
    project = at_level(1)
    odd = ["# notes.md", "!important.md", "a b.md", "[x].md", "star*.md"]
    for path in odd:
        project.write(path, "mine\n")
    project.commit().update(copier.VcsRef.CURRENT, keep=odd)
    assert project.answers()["keep"] == odd
    assert all(project.read(path) == "mine\n" for path in odd)
    assert (project.folder / "README.md").exists()


def test_their_tests_are_as_green_beside_ours(template: Path, tmp_path: Path) -> None:
    """One pytest run collects theirs and ours, also where modules bear the same names."""
    files = {
        **REPOSITORIES["two services with a hyphen and the same modules"][0],
        "tests/test_app.py": "def test_theirs():\n    assert True\n",
        "tests/unit/test_health.py": "def test_theirs():\n    assert True\n",
    }
    repository(tmp_path / "repo", files)
    project = Project(tmp_path / "repo", template).copy(level=4)
    done = subprocess.run(
        [os.sys.executable, "-m", "pytest", "-q"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
