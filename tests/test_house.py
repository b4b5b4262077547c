"""The rules of the house, compared with the folders and what they render."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pathspec import GitIgnoreSpec

from extensions.template import layers, readiness
from extensions.template.manifest import manifest as manifest_of
from tests.support.projects import LEVELS, ROOT, Project

MANIFESTS = {manifest.level: manifest for manifest in layers.manifests(ROOT)}
FOLDERS = layers.layer_folders(ROOT)
ORIGINAL_FLAGS = {
    "health_endpoints",
    "basic_testing",
    "staging_deployment",
    "integration_testing",
    "monitoring_dashboards",
    "security_scanning",
    "blue_green_deployment",
    "a_b_testing",
}


def files_of(level: int) -> set[str]:
    """The files of a layer as the manifest names them."""
    folder = FOLDERS[level]
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {
        name.removesuffix(".jinja")
        for name in names
        if not name.startswith("_level/") and "__pycache__" not in name
    }


@pytest.mark.parametrize("level", LEVELS)
def test_the_manifest_names_every_file_of_its_layer_and_no_other(level: int) -> None:
    declared = [file.path for file in MANIFESTS[level].files]
    assert sorted(declared) == sorted(files_of(level))
    assert declared == sorted(declared, key=str.lower) or len(set(declared)) == len(declared)


@pytest.mark.parametrize("level", LEVELS)
def test_each_file_has_an_owner_and_a_reason(level: int) -> None:
    for file in MANIFESTS[level].files:
        assert file.owner in ("yours", "shared", "ours"), file
        assert 10 <= len(file.why) <= 100, file


@pytest.mark.parametrize(
    "wrong", [{"titel": "Basic"}, {"files": [{"path": "x", "owner": "ours", "wy": "it is there"}]}]
)
def test_a_manifest_takes_no_key_that_there_is_not(wrong: dict[str, Any]) -> None:
    given = yaml.safe_load((FOLDERS[1] / "_level" / "level.yml").read_text(encoding="utf-8"))
    assert manifest_of(given) == MANIFESTS[1]
    with pytest.raises(TypeError, match=r"titel|wy"):
        manifest_of({**given, **wrong})


def test_two_layers_never_render_one_path() -> None:
    services = [
        {
            "name": "market-data",
            "path": "services/market-data",
            "kind": "web",
            "code": "ours",
            "app": "",
            "checks": [],
        },
        {
            "name": "telegram-bot",
            "path": "services/telegram-bot",
            "kind": "worker",
            "code": "ours",
            "app": "",
            "checks": [],
        },
        {
            "name": "shop",
            "path": "src/shop",
            "kind": "web",
            "code": "theirs",
            "app": "",
            "checks": [{"probe": probe} for probe in readiness.MODULES],
        },
    ]
    paths = [path for _, _, path in layers.rendered_paths(layers.names_on_disk(ROOT), services)]
    assert len(paths) == len(set(paths))
    assert len({path.casefold() for path in paths}) == len(paths), "also on a disk that doesn't tell case"


@pytest.mark.parametrize("level", LEVELS)
def test_seeds_and_only_seeds_are_skipped_where_they_exist(level: int) -> None:
    """What the manifest calls yours is what Copier's `_skip_if_exists` matches."""
    questions = (
        yaml.safe_load((FOLDERS[level] / "_level" / "questions.yml").read_text(encoding="utf-8")) or {}
    )
    patterns = [pattern for folder in FOLDERS.values() for pattern in _skips(folder)]
    assert set(questions.get("_skip_if_exists", [])) <= set(patterns)
    matcher = GitIgnoreSpec.from_lines(patterns)
    for file in MANIFESTS[level].files:
        path = re.sub(r"@[a-z-]*name", "api", file.path)
        path = re.sub(r"@[a-z]+-module", "api", path)
        path = (
            re.sub(r"@[a-z]+", "services/api", path.replace(layers.ENVIRONMENT, "staging"))
            .replace("[[ service.module ]]", "api")
            .replace("[[ service.name ]]", "api")
        )
        assert matcher.match_file(path) == (file.owner == "yours"), path


def _skips(folder: Path) -> list[str]:
    return (yaml.safe_load((folder / "_level" / "questions.yml").read_text(encoding="utf-8")) or {}).get(
        "_skip_if_exists", []
    )


@pytest.mark.parametrize("level", LEVELS)
def test_a_layer_names_no_higher_one(level: int) -> None:
    """Its text grows by what the manifests declare."""
    higher = [manifest for number, manifest in MANIFESTS.items() if number > level]
    own = files_of(level)
    words = {file.path for manifest in higher for file in manifest.files if "@" not in file.path} - own
    words |= {f"level-{manifest.level}.mk" for manifest in higher}
    for path in sorted(FOLDERS[level].rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8")
            named = [word for word in sorted(words) if word in text]
            assert not named, f"{path.relative_to(ROOT)} names {named}"
            assert not re.search(r"\blevel\s*>=\s*[2-9]", text) or "_level" in path.parts, path


def test_python_files_ship_verbatim() -> None:
    # The tests of a service import it by its package's name, which is an answer.
    examples = {"test_[[ service.module ]]_app.py.jinja", "test_[[ service.module ]]_worker.py.jinja"}
    assert {path.name for path in ROOT.glob("levels/**/*.py.jinja")} == examples


def mypy(folder: Path, *arguments: str) -> str:
    """What mypy finds in a folder, as strictly as it goes where no package of the project's is installed."""
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--no-error-summary"]
    # Flask is unknown here, and so is what has to be ignored of it.
    unknown = [
        "--no-warn-unused-ignores",
        "--disable-error-code=untyped-decorator",
        "--disable-error-code=no-any-return",
    ]
    cache = ["--config-file=", "--cache-dir", str(ROOT / ".cache" / "mypy-of-levels")]
    environment = {**os.environ, "MYPYPATH": "."}
    done = subprocess.run(
        [*command, *unknown, *cache, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "level", [level for level in LEVELS if (FOLDERS[level] / "_level" / "migrate.py").is_file()]
)
def test_what_a_move_runs_is_typed(level: int) -> None:
    assert mypy(FOLDERS[level] / "_level", "migrate.py") == ""


def test_the_code_of_a_project_is_typed(project: Project) -> None:
    """With two services and a check of each kind: all the Python that levels/ has, but for what people write
    themselves, their tests.
    """
    services = [{"name": "market-data"}, {"name": "telegram-bot", "kind": "worker"}]
    checks = [
        {"service": "market-data", "kind": kind, "target": "THE_URL", "required": True}
        for kind in sorted(readiness.PROBES)
    ]
    project.copy(level=4, services=services, readiness=checks)
    python = [path for path in project.tree() if path.endswith(".py") and not path.startswith("tests/")]
    scripts = [path for path in python if path.startswith("ci/")]
    assert {"services/market_data/health.py", "services/telegram_bot/health.py"} <= set(python) and scripts
    # The scripts import each other as Python does that is started in their folder, all else from the root.
    bases = "--explicit-package-bases"
    assert mypy(project.folder / "ci", bases, *(path.removeprefix("ci/") for path in scripts)) == ""
    assert mypy(project.folder, bases, *sorted({*python} - {*scripts})) == ""


def test_paths_of_the_template_suit_windows() -> None:
    for name in layers.names_on_disk(ROOT):
        assert not re.search(r'[<>:"|?*\\]', name), name
        assert all(not part.endswith((" ", ".")) for part in name.split("/")), name
        assert len(name) < 150, name


def test_no_answer_choice_or_inner_folder_bears_a_layers_name() -> None:
    """The extension gives these names a meaning wherever they stand alone."""
    special = {folder.name for folder in FOLDERS.values()} | set(layers.FOR_EACH)
    for folder in FOLDERS.values():
        inner = {part for path in folder.rglob("*") for part in path.relative_to(folder).parts}
        assert not inner & {one.name for one in FOLDERS.values()}
        questions = yaml.safe_load((folder / "_level" / "questions.yml").read_text(encoding="utf-8")) or {}
        defaults = {
            str(question.get("default")) for question in questions.values() if isinstance(question, dict)
        }
        assert not defaults & special


@pytest.mark.parametrize("two", [False, True], ids=["one service", "two services"])
@pytest.mark.parametrize("level", LEVELS)
def test_what_is_rendered_is_clean(fresh: Callable[..., Project], level: int, two: bool) -> None:
    """No leftovers of Jinja, no empty line where a condition was, valid YAML, TOML and JSON, one newline at
    the end.
    """
    import tomllib

    project = fresh(level, two)
    for path in project.tree():
        text = project.read(path)
        assert text.endswith("\n") and not text.endswith("\n\n"), path
        assert not re.search(r"\[\[ |\[% |\[# | %\]", text), path
        assert (
            ("\r" not in text and "\t" not in text.replace("\n\t", "\n"))
            or path.endswith(".mk")
            or path == "Makefile"
        ), path
        assert all(line == line.rstrip() for line in text.splitlines()), path
        if path.endswith(".py"):
            compile(text, path, "exec")
        else:
            assert "\n\n\n" not in text, path
        if path.endswith((".yml", ".yaml")):
            yaml.safe_load(text)
        if path.endswith(".toml"):
            tomllib.loads(text)
        if path.endswith(".json"):
            json.loads(text)


def test_the_originals_keys_stand_in_the_configuration(fresh: Callable[..., Project]) -> None:
    evolution: dict[str, Any] = yaml.safe_load(fresh(1).read("config/evolution.yml"))
    assert (evolution["current_level"], evolution["target_level"]) == (1, "next")
    assert set(evolution["features"]) == {
        "automated_testing",
        "staging_deployment",
        "monitoring",
        "security_scanning",
    }
    assert evolution["roadmap"]["level_2_trigger"].startswith(
        "when_team_size > 2 OR deployment_frequency > weekly"
    )
    assert evolution["roadmap"]["level_3_trigger"].startswith(
        "when_production_traffic > 1000_users OR uptime_requirement > 99%"
    )
    assert evolution["roadmap"]["level_4_trigger"] == "when_multiple_services OR geographic_distribution"
    flags: dict[str, Any] = yaml.safe_load(fresh(1).read("config/feature-flags.yml"))
    assert set(flags["features"]) == ORIGINAL_FLAGS
    assert set(flags["environments"]) == {"local", "staging", "production"}
    assert yaml.safe_load(fresh(4).read("config/evolution.yml"))["current_level"] == 4


def test_what_a_level_claims_is_a_flag_of_the_original_or_a_known_one() -> None:
    claimed = [feature for manifest in MANIFESTS.values() for feature in manifest.features]
    assert set(claimed) <= ORIGINAL_FLAGS | {"service_metrics"}
    assert len(claimed) == len(set(claimed))


def test_the_flags_of_a_level_stand_under_its_heading(fresh: Callable[..., Project]) -> None:
    text = fresh(1).read("config/feature-flags.yml")
    for level, manifest in MANIFESTS.items():
        section = text.split(f"# Level {level} Features")[1].split("# Level ")[0]
        for feature in ORIGINAL_FLAGS.intersection(manifest.features):
            assert f"\n  {feature}:\n" in section


HOSTILE = (
    """It's "the" shop: {{ 1 }} [[ 2 ]] ${{ x }} $(reboot) `reboot` <b> | # % \\ \\n 🚀 ~ * _ - &amp; %(x)s"""
)


@pytest.mark.parametrize("level", LEVELS)
def test_no_text_breaks_out_of_a_file(project: Project, level: int) -> None:
    """Promise 8, for the one answer that is free text."""
    import tomllib

    project.copy(
        level=level, project_description=HOSTILE, repository="acme/shop.py", default_branch="release/1.x"
    )
    assert tomllib.loads(project.read("pyproject.toml"))["project"]["description"] == HOSTILE
    assert yaml.safe_load(project.read(".copier-answers.yml"))["project_description"] == HOSTILE
    for path in project.tree():
        if path.endswith((".yml", ".yaml")):
            yaml.safe_load(project.read(path))
        if path.endswith(".json"):
            json.loads(project.read(path))
    pushed = ".github/workflows/quality.yml" if level == 1 else ".github/workflows/staging-deploy.yml"
    workflow = yaml.safe_load(project.read(pushed))
    assert workflow[True]["push"]["branches"] == ["release/1.x"]
    project.move(5 - level if level != 5 - level else 1)
    assert project.answers()["project_description"] == HOSTILE


def test_copie_renders_the_work_tree(copie: Any) -> None:
    """As template developers know it: pytest-copie's fixture, on the checkout itself."""
    result = copie.copy(extra_answers={"project_name": "shop", "level": 2})
    assert (result.exit_code, result.exception) == (0, None)
    assert result.answers["level"] == 2
    assert (result.project_dir / ".github/workflows/staging-deploy.yml").is_file()
