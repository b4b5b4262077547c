"""Refuse a migration that breaks the release before it: both use one database while the new one starts.

Looked at are the Alembic migrations that are new here: their SQL, made offline, goes through squawk. Only for
PostgreSQL; for another database it is unknown. Exit codes: 0 none breaks it or unknown, 1 one does, 2 can't tell.
"""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import flags
import uv
from deploy import settings
from deploy.shell import Stop

SQUAWK = ("squawk-cli", "2.70.0")
# What the release before may still need, by squawk's rules, and how two releases do it. Its other rules are about
# style, or about how long a lock is held: Alembic's SQL is one transaction, and the timeouts are the bound.
DROPS = r"ban-drop-(column|table|view|type|schema|sequence|function|domain|default)|ban-revoke"
CONTRACTS = {
    DROPS: "release code that doesn't use it any more, then take it away",
    r"renaming-\w+|ban-set-schema|changing-column-type": "add a new one that the code writes too, then drop this one",
    r"adding-(required|not-nullable)-field": "let it be NULL, or give it a server_default, until all code writes it",
}
# Alembic's SQL doesn't say for which database it is.
ALEMBIC = """import runpy, sys
from alembic.runtime.migration import MigrationContext as Context
own = Context.__init__
Context.__init__ = lambda self, dialect, *rest, **more: print("-- for", dialect.name) or own(self, dialect, *rest, **more)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)"""


def output(command: list[str], what: str, **options: str | Path) -> str:
    """Return what a command prints; `what` is how it is named when it fails. Raises Stop with its last line."""
    # Where no database is told, one that isn't there is: offline nothing connects to it.
    env = {"DATABASE_URL": "postgresql://nobody@localhost/none", **uv.environment()}
    env.pop("PYTHONPATH", None)  # ci/, where a module may have the name of one of the project's
    done = uv.call(command, env=env, capture_output=True, **options)
    if done.returncode and not done.stdout.startswith("["):  # squawk's findings are no failure
        raise Stop(f"{what}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return done.stdout


def git(*arguments: str) -> str:
    """Return what git prints, or nothing where it can't."""
    return uv.call(["git", *arguments], capture_output=True).stdout.strip()


def base() -> str:
    """Return the commit to compare with: where this one left the default branch, or else the one before it.

    For a pull request a workflow checks out a merge, and the one before is the branch that it goes to. Empty where
    the checkout is too shallow to tell.
    """
    answers = uv.ROOT / ".copier-answers.yml"
    text = answers.read_text(encoding="utf-8") if answers.is_file() else ""
    branch = (re.findall(r"(?m)^default_branch: *['\"]?(.*?)['\"]? *$", text) or ["main"])[0]
    for name in (f"origin/{branch}", branch):
        if (found := git("merge-base", "HEAD", name)) and found != git("rev-parse", "HEAD"):
            return found
    shallow = git("rev-parse", "--is-shallow-repository") == "true"
    nothing = "" if shallow else git("hash-object", "-t", "tree", os.devnull)
    return git("rev-parse", "--verify", "--quiet", "HEAD^") or nothing


def calls(told: str) -> list[tuple[Path, list[str]]]:
    """Return where Alembic is and how it is called: as the release command does, else for each alembic.ini."""
    found = re.search(r"(?:\bcd\s+(\S+)\s*&&.*?)?\b(alembic|flask)\b([^;&|]*?)\bupgrade\b", told)
    # In the image the project is in /srv.
    if found and (folder := uv.ROOT / (found[1] or "").removeprefix("/srv/")).is_dir():
        return [(folder, [found[2], *shlex.split(found[3])])]
    folders = dict.fromkeys([uv.ROOT, *(uv.ROOT / service["path"] for service in uv.SERVICES)])
    return [(folder, ["alembic"]) for folder in folders if (folder / "alembic.ini").is_file()]


def lint(sql: str) -> list[tuple[str, str]]:
    """Return what squawk finds in SQL, each time the rule and the statement; .squawk.toml counts. Raises Stop."""
    squawk = [*uv.tool(*SQUAWK)[:-1], "squawk", "--reporter", "json", "--stdin-filepath", "migration.sql"]
    lines, found = sql.splitlines(keepends=True), json.loads(output(squawk, "squawk could not run", input=sql))
    places = [sum(map(len, lines[: one["line"]])) + one["column"] for one in found]
    whole = [" ".join(sql[sql.rfind(";", 0, at) + 1 :].split(";")[0].split()) for at in places]
    return [(one["rule_name"], statement) for one, statement in zip(found, whole, strict=True)]


def look_at(file: Path, id: str, before: str, alembic: list[str], folder: Path, told: str) -> int:
    """Print what is wrong with one migration; return the exit code. Raises Stop where its SQL can't be made."""
    name = os.path.relpath(file, uv.ROOT)
    if accepted := re.search(r"(?m)^\s*# contract: *(\S.*)$", file.read_text(encoding="utf-8")):
        print(f"{name}: not looked at, for it says: contract: {accepted[1]}")
        return 0
    range = id if before == "<base>" else f"{before}:{id}"
    made = output([*alembic, "upgrade", range, "--sql"], f"{name}: its SQL can't be made", cwd=folder)
    kind = (re.findall(r"(?m)^-- for (\w+)$", made) or ["can't be told"])[0]
    if kind != "postgresql":
        flags.tell(f"{name}: unknown: not PostgreSQL ({kind}), so whether the release before bears it wasn't looked at")
        return 0
    # With what it depends on, Alembic gives more than the one migration.
    parts = re.split(r"(?m)^-- Running upgrade .*-> (\S+)$", made)
    found = lint("".join(sql for one, sql in zip(parts[1::2], parts[2::2], strict=True) if one == id))
    if "syntax-error" in dict(found):
        flags.tell(f"{name}: unknown in part: squawk can't read all of its SQL")
    wrong = [(sql, how) for rule, sql in found for rules, how in CONTRACTS.items() if re.fullmatch(rules, rule)]
    for sql, how in wrong:
        print(f"{name}: {sql}: the release before runs on while this is done, and may need it.")
        print(f"  Two releases do it: {how}. If nothing needs it any more, write `# contract: why` into the file.")
    env = file.parents[1] / "env.py"
    known = told + (env.read_text(encoding="utf-8") if env.is_file() else "")
    needed = [one for one in ("lock", "statement") if f"require-{one}-timeout" in dict(found)]
    missing = [f"{one}_timeout" for one in needed if f"{one}_timeout" not in known]
    if missing:
        print(f"{name}: no {' and no '.join(missing)}: while it waits for a lock, all who come after it wait too.")
        print(
            "  Put PGOPTIONS='-c lock_timeout=5s -c statement_timeout=60s' before the release command in",
            settings.DEPLOY,
        )
    return int(bool(wrong or missing))


def main() -> int:
    """Look at each migration that is new; return the exit code. Where there is none, nothing is run. Raises Stop."""
    told = settings.rules().release_command
    if not (found := calls(told)):
        return 0
    since, code = base(), 0
    added = git("diff", "--name-only", "--no-renames", "--diff-filter=A", "-z", since, "--", "*.py") if since else ""
    added += "\0" + git("ls-files", "--others", "--exclude-standard", "-z", "--", "*.py")
    new = {(uv.ROOT / path).resolve() for path in added.split("\0") if path}
    if since and not new:
        return 0
    for folder, command in found:
        alembic = [str(uv.VENV_PYTHON), "-c", ALEMBIC, *command]
        try:
            history = output([*alembic, "history", "--verbose"], " ".join([*command, "history"]), cwd=folder)
        except Stop as stop:
            flags.tell(f"unknown: the migrations can't be listed: {stop}")
            continue  # they may have been like that before this level came, which turns no branch red
        if not since:
            print("the commit before isn't in this checkout (fetch-depth): only the newest migration is looked at")
        form = r"(?m)^Rev: (\S+)(.*)\n(?:Parent|Merges): ([^\s,]+).*\n(?:.+\n)*?Path: (.+)$"
        for id, marks, before, path in reversed(re.findall(form, history)):
            if Path(path).resolve() in new or not (since or "head)" not in marks):
                code = max(code, look_at(Path(path), id, before, alembic, folder, told))
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as stop:
        uv.fail(str(stop))
