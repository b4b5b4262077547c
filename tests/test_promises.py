"""Promises 1, 2, 3 and 5 of the README, over all levels."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import copier
import pytest
from plumbum import local

from extensions.moving import migrate
from extensions.template import answers, layers
from tests.support.edits import EDITS, edit
from tests.support.projects import LEVELS, ROOT, Project, git, make_template, release
from tests.support.released import Release, missing, to_start_from

PAIRS = [(i, j) for i in LEVELS for j in LEVELS if i != j]
AtLevel = Callable[..., Project]


def without_answers(project: Project) -> dict[str, str]:
    """The tree, but for the answers file."""
    return {path: entry for path, entry in project.tree().items() if path != ".copier-answers.yml"}


# Promise 1: update equals fresh


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_an_updated_project_is_the_one_that_a_fresh_copy_gives(
    at_level: AtLevel, fresh: AtLevel, old: int, new: int
) -> None:
    project = at_level(old).move(new)
    assert without_answers(project) == without_answers(fresh(new))
    updated, expected = project.answers(), fresh(new).answers()
    assert {key: updated[key] for key in expected} == expected
    if new > old:  # on the way down the answers of the higher level stay, for the way up again
        assert updated == expected


@pytest.mark.parametrize(("old", "new"), [(1, 4), (4, 1), (2, 3)])
def test_also_with_two_services(at_level: AtLevel, fresh: AtLevel, old: int, new: int) -> None:
    assert without_answers(at_level(old, two=True).move(new)) == without_answers(fresh(new, two=True))


@pytest.mark.parametrize("released", to_start_from())
@pytest.mark.parametrize(("old", "new"), [(1, 1), (2, 2), (3, 3), (4, 4), (1, 4)])
def test_a_project_of_a_released_version_moves_to_this_one(
    tmp_path: Path, fresh: AtLevel, released: Release, old: int, new: int
) -> None:
    if why := missing(released.commit):
        pytest.skip(why)
    clone = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(clone))
    here = make_template(tmp_path / "here", "here")
    git(clone, "fetch", "--quiet", str(here), "HEAD")
    git(clone, "checkout", "--quiet", released.commit)
    git(clone, "tag", "--force", released.tag)  # a clone without tags serves, too
    git(clone, "read-tree", "-u", "--reset", "FETCH_HEAD")
    release(clone, "v1000.0.0")
    project = Project(tmp_path / "shop", clone).copy(ref=released.tag, level=old)
    before = project.tree()
    owners = layers.owners(ROOT, answers.recorded_services(project.answers()))
    seeds = {path for path, (_, owner, _) in owners.items() if owner == "yours" and path in before}
    updated = without_answers(project.update("v1000.0.0", level=new))
    assert {path: updated[path] for path in seeds & {*updated}} == {
        path: before[path] for path in seeds & {*updated}
    }, "what people own stays as it was seeded"
    expected = without_answers(fresh(new))
    assert {**updated, **{path: expected[path] for path in seeds & {*updated}}} == expected


# Promise 2: your edits stay


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_edits_in_every_file_come_through_a_move(
    at_level: AtLevel, tmp_path: Path, fresh: AtLevel, old: int, new: int
) -> None:
    """The result is the fresh copy with the same edits; and on the way down, what was edited and is the
    person's.
    """
    project = at_level(old)
    edited = edit(project)
    assert len(edited) >= 17
    project.commit().move(new)
    assert project.conflicts() == []
    expected = Project(tmp_path / "expected", project.template)
    shutil.copytree(fresh(new).folder, expected.folder)
    edit_only(expected, edited)
    got, want = without_answers(project), without_answers(expected)
    extra = set(got) - set(want)
    assert {path: got[path] for path in want} == want
    assert all(path in edited for path in extra), "only what was edited stays behind on the way down"


def edit_only(project: Project, paths: list[str]) -> None:
    """The edits again, in those files only that had them."""
    for path, place, text in EDITS:
        if path in paths and (project.folder / path).is_file():
            project.write(
                path,
                (
                    project.read(path) + text
                    if place is None
                    else project.read(path).replace(place, text.format(place))
                ),
            )


def test_what_was_edited_and_goes_is_kept_or_named(
    at_level: AtLevel, capfd: pytest.CaptureFixture[str]
) -> None:
    project = at_level(4)
    edit(project)
    head = project.commit() and git(project.folder, "rev-parse", "--short", "HEAD").strip()
    project.move(1)
    said = capfd.readouterr().err
    assert "SHOP_NAME" in project.read("config/staging.env.template")
    assert "kept config/staging.env.template: you changed it" in said
    assert not (project.folder / ".github/workflows/staging-deploy.yml").exists()
    gone = ".github/workflows/staging-deploy.yml"
    assert f"removed {gone}, which you had changed: `git show {head}:./{gone}` has it" in said
    assert "make mine" in git(project.folder, "show", f"{head}:./.github/workflows/staging-deploy.yml")
    assert "integration.yml" not in said, "what nobody edited goes without a word"


def test_down_and_up_again_keeps_the_answers(at_level: AtLevel, fresh: AtLevel) -> None:
    project = at_level(2)
    project.update(copier.VcsRef.CURRENT, image_registry="registry.example.com").commit()
    project.move(1).commit()
    assert project.answers()["image_registry"] == "registry.example.com"
    project.move(2)
    assert project.answers()["image_registry"] == "registry.example.com"
    assert "registry.example.com" in project.read(".github/workflows/staging-deploy.yml")
    project.commit().update(copier.VcsRef.CURRENT, image_registry="ghcr.io")
    assert without_answers(project) == without_answers(fresh(2))


# Environments

THREE = [
    {"name": "dev", "url": "https://dev.example.com"},
    {"name": "qa", "url": ""},
    {"name": "live", "url": ""},
]


def test_environments_are_the_same_whether_they_came_at_once_or_later(
    at_level: AtLevel, tmp_path: Path, template: Path
) -> None:
    project = at_level(2).update(copier.VcsRef.CURRENT, environments=["dev", "qa", "live"]).commit()
    project.update(copier.VcsRef.CURRENT, environments=THREE, level=3).commit()
    fresh = Project(tmp_path / "fresh" / "shop", template).copy(level=3, environments=THREE)
    assert without_answers(project) == without_answers(fresh)
    assert project.answers() == fresh.answers() and project.answers()["environments"] == THREE
    workflow = project.read(".github/workflows/staging-deploy.yml")
    assert "make -f levels.mk deploy ENV=dev" in workflow and "secrets.DEV_SSH_KEY" in workflow
    assert 'url: "https://dev.example.com"' in workflow and "STAGING_" not in workflow
    project.move(1).commit().move(3)
    assert without_answers(project) == without_answers(fresh)


def test_an_environment_that_comes_or_goes_is_told_with_what_it_leaves(
    at_level: AtLevel, capfd: pytest.CaptureFixture[str]
) -> None:
    project = at_level(2)
    project.update(copier.VcsRef.CURRENT, environments=["staging", "qa", "production"])
    assert "config/qa.env is there to be filled in; git ignores it" in capfd.readouterr().err
    staging = project.read("config/staging.env.template")
    settings = staging.replace("staging needs", "qa needs").replace("config/staging", "config/qa")
    assert settings == project.read("config/qa.env.template") == project.read("config/qa.env")
    assert not (project.folder / "config/production.env").exists(), "that environment was there before"
    project.write("config/qa.env.template", settings + "QA_NAME=\n")
    project.commit().update(copier.VcsRef.CURRENT, environments=["production"])
    said = capfd.readouterr().err
    assert "kept config/qa.env.template: you changed it" in said
    assert "QA_NAME" in project.read("config/qa.env.template")
    assert not (project.folder / "config/staging.env.template").exists()
    assert "qa is no environment any more: what was deployed there runs on until you stop it" in said
    assert "config/qa.env stays on this machine" in said and "config/staging.env stays" not in said
    assert "a merge is deployed to production from here on" in said


# Across two versions whose extension code differs


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as v1.0.0, and as v1.1.0 with other extension code, a changed file and a new one."""
    template = make_template(tmp_path_factory.mktemp("versions") / "copier-levels", "v1.0.0")
    hook = template / "extensions" / "rendering" / "closing.py"
    hook.write_text(
        hook.read_text()
        + '\n\ndef greeting() -> str:\n    """New in this version."""\n    return "hello from v1.1.0"\n'
    )
    extension = template / "extensions" / "rendering" / "hook.py"
    text = extension.read_text()
    assert text.count("            all_layers=self.manifests,\n") == 1
    extension.write_text(
        text.replace(
            "            all_layers=self.manifests,\n",
            "            all_layers=self.manifests,\n            greeting=closing.greeting,\n",
        )
    )
    layer = template / "levels" / "1-basic"
    branches = layer / "docs" / "branches.md.jinja"
    branches.write_text(
        branches.read_text().replace(
            "# Branches and pull requests\n", "# Branches and pull requests, [[ greeting() ]]\n"
        )
    )
    pyproject = layer / "pyproject.toml.jinja"
    pyproject.write_text(
        pyproject.read_text().replace("show_missing = true\n", "show_missing = true\nskip_covered = true\n")
    )
    (layer / "docs" / "new.md").write_text("New in v1.1.0\n")
    manifest = layer / "_level" / "level.yml"
    manifest.write_text(
        manifest.read_text().replace(
            "files:\n", 'files:\n  - {path: docs/new.md, owner: shared, why: "new"}\n'
        )
    )
    release(template, "v1.1.0")
    return template


@pytest.mark.parametrize(("old", "new"), [(1, 1), (2, 2), (4, 4), (1, 4), (4, 1)])
def test_a_new_version_whose_extension_differs_comes_with_edits_kept(
    tmp_path: Path, two_versions: Path, old: int, new: int
) -> None:
    fresh = Project(tmp_path / "fresh" / "shop", two_versions).copy(ref="v1.1.0", level=new)
    project = Project(tmp_path / "shop", two_versions).copy(ref="v1.0.0", level=old)
    plain = Project(tmp_path / "plain" / "shop", two_versions)
    shutil.copytree(project.folder, plain.folder)
    plain.update("v1.1.0", level=new)
    assert without_answers(plain) == without_answers(fresh)

    edited = edit(project)
    project.commit().update("v1.1.0", level=new)
    assert project.conflicts() == []
    edit_only(fresh, edited)
    got, want = without_answers(project), without_answers(fresh)
    assert {path: got[path] for path in want} == want


def test_a_line_that_both_changed_is_marked_and_listed(
    tmp_path: Path, two_versions: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "shop", two_versions).copy(ref="v1.0.0")
    project.replace("docs/branches.md", "# Branches and pull requests\n", "# How we branch\n")
    project.commit().update("v1.1.0")
    assert project.conflicts() == ["docs/branches.md"]
    assert "<<<<<<<" in project.read("docs/branches.md")
    assert (
        "conflict: docs/branches.md: both you and the template changed the same lines"
        in capfd.readouterr().err
    )


def test_a_path_of_theirs_that_a_new_version_would_write_is_kept(tmp_path: Path, two_versions: Path) -> None:
    project = Project(tmp_path / "shop", two_versions).copy(ref="v1.0.0")
    project.write("docs/new.md", "Mine\n")
    project.commit().update("v1.1.0")
    assert project.read("docs/new.md") == "Mine\n"
    assert project.answers()["keep"] == ["docs/new.md"]


# Promise 5: pure rendering


def test_what_stands_in_the_project_changes_nothing_that_is_rendered(
    at_level: AtLevel, fresh: AtLevel
) -> None:
    project = at_level(1)
    project.write("services/extra/app.py", "from flask import Flask\n\napp = Flask(__name__)\n")
    project.write(
        "shop/__init__.py", "from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n"
    )
    project.commit().move(2)
    got = without_answers(project)
    assert {
        path: entry for path, entry in got.items() if not path.startswith(("services/extra", "shop/"))
    } == without_answers(fresh(2))


def test_a_copy_elsewhere_from_the_same_answers_is_the_same(
    tmp_path: Path, template: Path, fresh: AtLevel
) -> None:
    expected = fresh(4, two=True)
    data = {key: value for key, value in expected.answers().items() if not key.startswith("_")}
    project = Project(tmp_path / "elsewhere" / "another-name", template).copy(**data)
    assert project.tree() == expected.tree()


# Migrations


def test_migrations_of_the_crossed_layers_run_in_order_and_can_run_twice(
    at_level: AtLevel, capfd: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1).move(4)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("level ")]
    assert said == [
        "level 2: config/staging.env is there to be filled in; git ignores it",
        "level 2: config/production.env is there to be filled in; git ignores it",
    ]
    assert "config/staging.env" not in project.tree(), "it will hold secrets"
    script = ROOT / "extensions" / "after_update.py"
    again = subprocess.run(
        ["python3", str(script), str(ROOT)], cwd=project.folder, capture_output=True, text=True, check=True
    )
    assert (again.stdout, again.stderr) == ("", "")

    (project.folder / "runtime/__pycache__").mkdir()
    project.write(
        "config/security-exceptions.txt",
        project.read("config/security-exceptions.txt") + "PYSEC-2020-1 2020-01-31 old\n",
    )
    project.commit().move(1).commit()
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("level ")]
    assert [line.split(":")[0] for line in said] == ["level 2"] * 3
    assert not (project.folder / "runtime").exists()
    assert (project.folder / "config/staging.env").exists()
    project.move(3)
    assert (
        "level 3: config/security-exceptions.txt: the exception for PYSEC-2020-1 ended on 2020-01-31"
        in capfd.readouterr().err
    )


def test_what_takes_the_place_of_codeqls_workflow_is_told_once(at_level: AtLevel) -> None:
    project, path = at_level(3), ".github/workflows/code-scanning.yml"
    spec = importlib.util.spec_from_file_location("level_3", ROOT / "levels/3-professional/_level/migrate.py")
    assert spec and spec.loader
    level_3 = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(level_3)
    project.write(path, "on: push\n")
    project.commit()
    assert list(level_3.stay(project.folder)) == []
    (project.folder / path).unlink()
    [told] = level_3.stay(project.folder)
    assert told.startswith(f"{path} is gone: ") and "default setup" in told
    project.commit()
    assert list(level_3.stay(project.folder)) == []


def test_a_job_of_yours_in_the_checks_workflow_is_named_when_pushes_go_elsewhere(
    at_level: AtLevel, capfd: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1)
    edit(project)
    project.commit().move(2)
    [line] = [line for line in capfd.readouterr().err.splitlines() if "quality.yml" in line]
    assert line.endswith("a job of yours for a push goes there (mine)")


def test_the_lock_file_follows_what_a_move_changes(
    tmp_path: Path, two_versions: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """uv itself is stood in for: it needs a package index."""
    project = Project(tmp_path / "shop", two_versions).copy(ref="v1.0.0")
    project.write("uv.lock", "version = 1\n")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(UV)
    uv.chmod(0o755)
    with local.env(PATH=f"{uv.parent}:/usr/bin:/bin"):  # what Copier hands on to migrations
        project.commit().move(2).commit()
        assert "uv.lock" not in capfd.readouterr().err, "pyproject.toml did not change"
        project.update("v1.1.0").commit()
    assert "level 1: uv.lock follows pyproject.toml" in capfd.readouterr().err
    assert project.read("uv.lock") == "version = 1\nlocked\n"


UV = """#!/bin/sh
case "$1" in
--version) echo uv 0.13.9 ;;
lock) test -e fails && { echo nothing fits >&2; exit 1; }; test -e fits || echo locked >> uv.lock ;;
esac
"""


PINNED = re.search(r'PINNED = "(.+)"', (ROOT / "levels/1-basic/ci/uv.py").read_text())[1]  # type: ignore[index]


@pytest.mark.parametrize("where", ["named by uv itself", "in the project's .cache"])
@pytest.mark.parametrize("what", ["", "fits", "fails"])
def test_the_lock_file_follows_where_uv_is_not_on_path(
    at_level: AtLevel, where: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = at_level(1)
    uv = project.folder / (f".cache/uv-{PINNED}/bin/uv" if "cache" in where else ".elsewhere/uv")
    project.write(uv.relative_to(project.folder).as_posix(), UV)
    uv.chmod(0o755)
    project.write("uv.lock", "version = 1\n")
    project.commit().write("pyproject.toml", project.read("pyproject.toml") + "# changed by the move\n")
    if what:
        project.write(what, "")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("UV", raising=False)
    if "cache" not in where:
        monkeypatch.setenv("UV", str(uv))
    layer = ROOT / "levels/1-basic/_level/migrate.py"
    said = list(migrate._load(layer).stay(project.folder))
    sure = (
        "pyproject.toml changed, and uv.lock could not be made anew (nothing fits): run the make target"
        " `install` and commit it"
    )
    assert said == {"": ["uv.lock follows pyproject.toml"], "fits": [], "fails": [sure]}[what]
    assert project.read("uv.lock") == ("version = 1\n" if what else "version = 1\nlocked\n")


def test_a_migration_that_fails_is_told_and_the_move_stands(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    template = make_template(tmp_path / "template", "v1.0.0")
    (template / "levels/3-professional/_level/migrate.py").write_text(
        "def enter(project):\n    yield 1 / 0\n"
    )
    release(template, "v1.1.0")
    project = Project(tmp_path / "shop", template).copy().move(3)
    assert "level 3: enter failed (ZeroDivisionError: division by zero)" in capfd.readouterr().err
    assert project.answers()["level"] == 3


# Services and keep


@pytest.mark.parametrize("services", [["api", "orders"], [{"name": "api"}, {"name": "orders"}]])
def test_the_short_form_leaves_a_service_what_it_is(at_level: AtLevel, services: list[object]) -> None:
    project = at_level(1)
    before, known = project.tree(), project.answers()["services"]
    project.commit().update(copier.VcsRef.CURRENT, services=services)
    after = project.tree()
    assert project.answers()["services"][0] == known[0]
    assert set(before) <= set(after)
    assert {path for path in before if before[path] != after[path]} == {
        ".copier-answers.yml",
        "README.md",
        "config/levels.json",
        "docs/deployment.md",
    }


def test_a_service_is_added_with_everything_that_the_level_has_for_it(
    at_level: AtLevel, fresh: AtLevel
) -> None:
    project = at_level(2)
    project.update(copier.VcsRef.CURRENT, services=[*project.answers()["services"], "orders"])
    assert {
        "services/orders/app.py",
        "services/orders/health.py",
        "tests/unit/orders/test_orders_app.py",
    } <= set(project.tree())
    assert '"orders"' in project.read("config/levels.json")


def test_a_service_that_drops_out_keeps_what_people_put_into_it(
    at_level: AtLevel, capfd: pytest.CaptureFixture[str]
) -> None:
    project = at_level(2, two=True)
    project.write(
        "services/telegram_bot/worker.py", project.read("services/telegram_bot/worker.py") + "\n# mine\n"
    )
    project.write("services/telegram_bot/commands.py", '"""Mine."""\n')
    project.write(
        "services/telegram_bot/health.py", project.read("services/telegram_bot/health.py") + "\n# mine\n"
    )
    project.commit().update(copier.VcsRef.CURRENT, services=project.answers()["services"][:1])
    said = capfd.readouterr().err
    assert project.read("services/telegram_bot/worker.py").endswith("# mine\n")
    assert (project.folder / "services/telegram_bot/commands.py").exists()
    assert "kept services/telegram_bot/worker.py: you changed it" in said
    assert project.read("services/telegram_bot/health.py").endswith("# mine\n")
    assert not (project.folder / "tests/unit/telegram_bot").exists(), "nobody changed its tests"


def test_what_git_cannot_bring_back_is_named(at_level: AtLevel, capfd: pytest.CaptureFixture[str]) -> None:
    project = at_level(1)
    project.write(".git/info/attributes", "Dockerfile filter=broken\n")
    for key, value in {"clean": "cat", "smudge": "false", "required": "true"}.items():
        git(project.folder, "config", f"filter.broken.{key}", value)
    project.update(copier.VcsRef.CURRENT, keep=["Dockerfile"])
    said = capfd.readouterr().err
    assert "removed Dockerfile, and git can't bring it back" in said and ":./Dockerfile` has it" in said


def test_a_service_that_nobody_changed_drops_out_whole(at_level: AtLevel, fresh: AtLevel) -> None:
    project = at_level(2, two=True)
    project.update(copier.VcsRef.CURRENT, services=project.answers()["services"][1:])
    assert not [path for path in project.tree() if "market" in path]


def test_a_service_that_is_renamed_keeps_its_folder_and_edits(at_level: AtLevel) -> None:
    project = at_level(1)
    edit(project)
    services = [{**project.answers()["services"][0], "name": "orders"}]
    project.commit().update(copier.VcsRef.CURRENT, services=services)
    assert project.conflicts() == []
    assert '"/mine"' in project.read("services/api/app.py")
    assert "def test_mine" in project.read("tests/unit/api/test_api_app.py"), (
        "an edited test stays where it was"
    )
    assert (project.folder / "tests/unit/orders/test_orders_app.py").exists()


def test_a_file_taken_over_stays_and_can_be_given_back(at_level: AtLevel, fresh: AtLevel) -> None:
    project = at_level(1)
    project.write("Dockerfile", "FROM scratch\n")
    project.commit().update(copier.VcsRef.CURRENT, keep=["Dockerfile"]).commit()
    assert project.read("Dockerfile") == "FROM scratch\n"
    project.move(2).commit()
    assert project.read("Dockerfile") == "FROM scratch\n"
    project.replace(".copier-answers.yml", "keep:\n- Dockerfile\n", "keep: []\n")
    project.commit().move(3)
    assert project.read("Dockerfile") == "FROM scratch\n", (
        "given back means: merged again, with this as the person's edit"
    )
    assert project.answers()["keep"] == []


def test_a_seed_that_was_deleted_stays_deleted(at_level: AtLevel) -> None:
    project = at_level(1)
    (project.folder / "tests/unit/api/test_api_app.py").unlink()
    project.commit().move(2).commit()
    assert not (project.folder / "tests/unit/api/test_api_app.py").exists()
    project.move(3)
    assert not (project.folder / "tests/unit/api/test_api_app.py").exists()
