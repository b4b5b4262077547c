"""The scanners of the target `security`: each yields what it finds, then prints how much it has looked at.

One that can't look at everything raises DidNotRun: that is never a pass.
"""

import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import check
import uv

EXCEPTIONS = "config/security-exceptions.txt"
GITLEAKS = "8.30.1"
RELEASES = "https://github.com/gitleaks/gitleaks/releases/download"
SHA256 = {
    "darwin_arm64": "b40ab0ae55c505963e365f271a8d3846efbc170aa17f2607f13df610a9aeb6a5",
    "darwin_x64": "dfe101a4db2255fc85120ac7f3d25e4342c3c20cf749f2c20a18081af1952709",
    "linux_arm64": "e4a487ee7ccd7d3a7f7ec08657610aa3606637dab924210b3aee62570fb4b080",
    "linux_x64": "551f6fc83ea457d62a0d98237cbad105af8d557003051f41f3e7ca7b3f2470eb",
}
NO_SECRET = "pragma: allowlist secret|gitleaks:allow"
# What counts where the project has no .gitleaks.toml. Lock files are full of hashes, which look like secrets.
SETTINGS = rf"""
[extend]
useDefault = true
[[allowlists]]
regexTarget = "line"
regexes = ['''{NO_SECRET}''']
[[allowlists]]
paths = ['''config/security-exceptions\.txt$''', '''(^|/)([\w.-]+\.lock|package-lock\.json|pnpm-lock\.yaml|go\.sum)$''']
"""
PIP_AUDIT = ("pip-audit", "2.10.1")
SEMGREP = ("semgrep", "1.185.0")
ZIZMOR = ("zizmor", "1.32.0")
# Ruff's rules S, without: assert, what binds all interfaces (a container must), URLs and programs that come from
# variables (most do), and random numbers that aren't for secrets.
NOT_ASKED = "S101,S104,S310,S311,S404,S603,S606,S607"
PASSWORDS = ("S105", "S106", "S107")
NAMES_PACKAGES = re.compile(r"(^|/)(\w+\.lock|[\w.-]*requirements[\w.-]*|pyproject\.toml|Pipfile|setup\.(py|cfg))$")
IS_WORKFLOW = re.compile(r"^\.github/(workflows/[^/]+|dependabot)\.ya?ml$|(^|/)action\.ya?ml$")
IS_DOCKERFILE = re.compile(r"(^|/)(Docker|Container)file(\.[\w.-]+)?$|\.dockerfile$", re.IGNORECASE)


class DidNotRun(Exception):
    """Why a scanner couldn't look at everything, in one line."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its id, where, a line for people, and other names of the same thing."""

    id: str
    path: str
    line: int
    text: str
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as editors and people read it; a file's name may hold a line end."""
        return f"{self.path if self.path.isprintable() else ascii(self.path)}:{self.line}: {self.text} [{self.id}]"


def found(kind: str, path: str, line: int, text: str, what: str = "") -> Finding:
    """Return a finding; its id comes from the file and `what`, else the line's text, so that code may move."""
    if not what:
        lines = lines_of(path)
        what = f"{text}\0{lines[line - 1].strip() if 0 < line <= len(lines) else ''}"
    key = hashlib.sha256(os.fsencode(f"{path}\0{what}")).hexdigest()[:12]
    return Finding(f"{kind}-{key}", path, line, text)


def lines_of(path: str) -> list[str]:
    """Return the lines of a file; none where a scanner couldn't write down its name."""
    file = uv.ROOT / path
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []


def run(command: list[str], folder: Path = uv.ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program and return how it went; a file's name is made of bytes, which needn't be UTF-8."""
    options = {"encoding": "utf-8", "errors": "surrogateescape", "capture_output": True}
    return uv.call(command, cwd=folder, env={**uv.environment(), **more}, **options)


def answer(command: list[str], folder: Path = uv.ROOT, **more: str) -> Any:
    """Return the JSON that a scanner prints. Raises DidNotRun."""
    done = run(command, folder, **more)
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise DidNotRun(why(done.stderr)) from error


def why(said: str) -> str:
    """Return in one line why a tool that uv runs came to no result, from what was printed."""
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    if not said.startswith("error:"):  # which is how uv begins
        return f"{last[:300]}…" if len(last) > 300 else last
    address = re.search(r"https?://[^\s)@]+", said)
    return f"uv can't get the tool{f' from {address[0]}' if address else ''}: {last.removeprefix('  cause: ')}"


def files() -> list[str]:
    """Return the names of all files that git has or would take. Raises DidNotRun."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    if listed.returncode:
        raise DidNotRun("this is not a git repository")
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return [name for name in names if (uv.ROOT / name).is_file() and not (uv.ROOT / name).is_symlink()]


# ---- secrets ----


def secrets() -> Iterator[Finding]:
    """Look for secrets in the files as they are now, committed or not, then in the history of this branch."""
    names, in_tree = files(), set()
    with tempfile.TemporaryDirectory(dir=uv.cache()) as folder:
        # gitleaks would look at what git ignores too. The number says which file it is, whatever its name.
        for number, name in enumerate(names):
            copy = Path(folder, str(number), name)
            copy.parent.mkdir(parents=True)
            with (uv.ROOT / name).open("rb") as file:
                start = file.read(2)
            if start in (b"\xff\xfe", b"\xfe\xff"):  # gitleaks reads no UTF-16
                copy.write_text((uv.ROOT / name).read_bytes().decode("utf-16", "replace"), encoding="utf-8")
            else:
                os.link(uv.ROOT / name, copy)
        for hit in gitleaks("dir", ".", folder=Path(folder)):
            in_tree.add(hit["Secret"])
            yield secret(names[int(hit["File"].split("/")[0])], hit, hit["RuleID"])
    if run(["git", "rev-parse", "--is-shallow-repository"]).stdout.strip() == "true":
        raise DidNotRun("the history isn't here (in a workflow, give actions/checkout `fetch-depth: 0`)")
    commits = run(["git", "rev-list", "--count", "HEAD"]).stdout.strip() or "0"
    for hit in gitleaks("git", ".", "--log-opts=--full-history HEAD") if commits != "0" else []:
        if hit["Secret"] not in in_tree:
            yield secret(hit["File"], hit, f"{hit['RuleID']}, in the history: commit {hit['Commit'][:12]}")
    print(f"secrets: {len(names)} files and {commits} commits looked at")


def secret(name: str, hit: dict[str, Any], text: str) -> Finding:
    """Return a finding of gitleaks. The secret itself is in it only as a hash."""
    what = hashlib.sha1(os.fsencode(hit["Secret"]), usedforsecurity=False).hexdigest()
    return found("secret", name, hit["StartLine"], text, what)


def gitleaks(*arguments: str, folder: Path = uv.ROOT) -> list[dict[str, Any]]:
    """Return what gitleaks finds. Raises DidNotRun."""
    own = uv.ROOT / ".gitleaks.toml"
    settings = {"GITLEAKS_CONFIG": str(own)} if own.is_file() else {"GITLEAKS_CONFIG_TOML": SETTINGS}
    options = ["--report-format=json", "--report-path=-", "--exit-code=0", "--no-banner", "--log-level=error"]
    done = run([the_gitleaks(), *arguments, *options], folder, **settings)
    if done.returncode:
        raise DidNotRun(why(done.stderr))
    return list(json.loads(done.stdout or "[]"))


def the_gitleaks() -> str:
    """Return gitleaks: the one on PATH, if it isn't older, else the official release. Raises DidNotRun."""
    if on_path := shutil.which("gitleaks"):
        said = re.match(r"v?(\d+)\.(\d+)", run([on_path, "version"]).stdout)
        if said and (int(said[1]), int(said[2])) >= (8, 30):
            return on_path
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    target = f"{platform.system().lower()}_{machine}"
    address = f"{RELEASES}/v{GITLEAKS}/gitleaks_{GITLEAKS}_{target}.tar.gz"
    program = uv.cache() / f"gitleaks-{GITLEAKS}" / "gitleaks"
    if not program.exists():
        fetch(address, SHA256.get(target, "of a release for this machine"), program)
    return str(program)


def fetch(address: str, sha256: str, program: Path) -> None:
    """Take a program from an archive that has this hash. Raises DidNotRun."""
    try:
        with urllib.request.urlopen(address, timeout=60) as response:
            archive = response.read()
    except OSError as error:
        way_out = f"run it again where it can, or put gitleaks {GITLEAKS} or later on PATH"
        raise DidNotRun(f"{address} can't be had ({error}): {way_out}") from error
    if (got := hashlib.sha256(archive).hexdigest()) != sha256:
        raise DidNotRun(f"{address} has the SHA-256 {got}, expected {sha256}: take nothing from there")
    with tempfile.TemporaryDirectory(dir=uv.cache()) as folder, tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extract(program.name, folder, filter="data")
        Path(folder).chmod(0o755)
        shutil.copytree(folder, program.parent, dirs_exist_ok=True)


# ---- dependencies ----


def audit() -> Iterator[Finding]:
    """Look up what is installed in .venv among the known vulnerabilities; what can't be looked up is a finding."""
    try:
        uv.ensure()
    except SystemExit as error:
        raise DidNotRun("what the project needs can't be installed (see above)") from error
    frozen = run([uv.find(), "pip", "freeze", "--python", str(uv.VENV_PYTHON)])
    if frozen.returncode or not frozen.stdout.strip():
        raise DidNotRun(f"what is installed in .venv can't be listed: {why(frozen.stderr)}")
    pinned = []
    for line in frozen.stdout.splitlines():
        if re.fullmatch(r"[\w.-]+==\S+", line):
            pinned.append(line)
        elif not line.startswith("-e ") and uv.ROOT.as_uri() not in line:
            # From a repository or a URL: no database knows it. (What stands in this project isn't looked up.)
            yield of_package(line.split(" ", 1)[0], "not from a package index, so it can't be looked up")
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "requirements.txt")
        listed.write_text("\n".join(pinned) + "\n", encoding="utf-8")
        options = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--desc", "off"]
        packages = answer([*uv.tool(*PIP_AUDIT), *options, "--requirement", str(listed)])["dependencies"]
    # pip-audit passes over a package that it can't look up; with --strict it ends at the first. This names them all.
    skipped = [package for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages) or len(packages) < len(pinned):
        raise DidNotRun(f"the database answered for {len(packages) - len(skipped)} of the {len(pinned)} packages")
    for package in packages:
        if "skip_reason" in package:
            yield of_package(package["name"], package["skip_reason"])
        for hole in package.get("vulns", []):
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            text = f"{package['version']}: {hole['id']}, fixed in {fixed}"
            yield of_package(package["name"], text, hole["id"], tuple(hole.get("aliases", [])))
    print(f"audit: {len(packages) - len(skipped)} of {len(pinned)} packages looked up")


def of_package(name: str, text: str, id: str = "", aliases: tuple[str, ...] = ()) -> Finding:
    """Return a finding about a package, at the line of the file that brings it; lock files come first."""
    names = re.compile(rf"""^\W*(name = )?["']?{re.sub(r"[-_.]+", "[-_.]+", name)}(?![\w.-])""", re.IGNORECASE)
    for path in sorted(filter(NAMES_PACKAGES.search, files()), key=lambda path: (not path.endswith(".lock"), path)):
        if number := next((number for number, line in enumerate(lines_of(path), 1) if names.match(line)), 0):
            break
    else:
        path, number = ".venv", 1
    return Finding(id or f"not-audited-{name}", path, number, f"{name} {text}", aliases)


# ---- code ----


def code() -> Iterator[Finding]:
    """Look at Python by ruff's rules S, at it and at YAML by semgrep, at Dockerfiles, and at workflows by zizmor."""
    names = files()
    ruff = [*check.ruff("check"), "--select", "S", "--ignore", NOT_ASKED, "--output-format", "json"]
    ruff += ["--isolated", "--no-cache", "--target-version", f"py{uv.PROJECT['python'].replace('.', '')}"]
    for hit in answer([*ruff, "--per-file-ignores", "**/tests/**:S", "."]):
        path, line = os.path.relpath(hit["filename"], uv.ROOT), hit["location"]["row"]
        if not (hit["code"] in PASSWORDS and re.search(NO_SECRET, "".join(lines_of(path)[line - 1 : line]))):
            yield found("code", path, line, f"{hit['code']}: {hit['message']}")
    rules = [*uv.tool(*SEMGREP), "scan", "--config", "ci/security-rules.yml", "--metrics", "off", "--json"]
    said = answer([*rules, "--disable-version-check", "--quiet", "."])
    if broken := [error for error in said["errors"] if error["level"] == "error"]:
        text = broken[0].get("message") or broken[0].get("long_msg", "no reason given")
        raise DidNotRun(f"semgrep: {' '.join(text.split())[:300]}")
    for hit in said["results"]:
        rule = hit["check_id"].rsplit(".", 1)[-1]
        yield found("code", hit["path"], hit["start"]["line"], f"{rule}: {hit['extra']['message']}")
    for name in filter(IS_DOCKERFILE.search, names):
        if line := runs_as_root(lines_of(name)):
            yield found("code", name, line, "root-image: what runs in it is root: end it with USER and a number")
    of_github = list(filter(IS_WORKFLOW.search, names))
    zizmor = [*uv.tool(*ZIZMOR), "--offline", "--quiet", "--format", "json", *of_github]
    for hit in answer(zizmor) if of_github else []:
        [place] = [one for one in hit["locations"] if one["symbolic"]["kind"] == "Primary"][:1]
        path = os.path.normpath(place["symbolic"]["key"]["Local"]["verbatim_path"])
        line = place["concrete"]["location"]["start_point"]["row"] + 1
        yield found("code", path, line, f"{hit['ident']}: {hit['desc']}: {place['symbolic']['annotation']}")
    print(f"code: {len(names)} files looked at")


def runs_as_root(dockerfile: list[str]) -> int:
    """Return the line of a Dockerfile's last stage that makes it run as root; 0 where it doesn't."""
    stages: dict[str, str] = {}
    user, name, at = "", "", 1
    for number, line in enumerate(dockerfile, 1):
        words = [word for word in line.split() if not word.startswith("--")]
        if words[:1] and words[0].upper() == "FROM" and len(words) > 1:
            base, name, at = words[1], words[-1], number
            user = stages.get(base, base if "nonroot" in base else "")
        elif words[:1] and words[0].upper() == "USER" and len(words) > 1:
            user, at = words[1], number
        stages[name] = user
    return at if user.split(":")[0] in ("", "root", "0") else 0


ALL = {"secrets": secrets, "audit": audit, "code": code}
