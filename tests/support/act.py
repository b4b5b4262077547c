"""Run a rendered workflow here, by act: its jobs, steps, conditions, secrets and outputs are real, on this machine and
not on a runner's. Actions, which are JavaScript from elsewhere, have stand-ins. What act doesn't know: environments,
permissions, concurrency, and how to keep a secret of several lines out of a log.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.projects import git

ACT = Path(sys.executable).with_name("act")

# What runs instead of an action, in the job's folder. Python and uv are on PATH already.
STAND_INS = {
    "actions/checkout": (
        'git clone --quiet "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY.git" . && git checkout --quiet'
        " ${{ inputs.ref && format('\"{0}\"', inputs.ref) || format('-B \"{0}\" {1}', github.ref_name, github.sha) }}"
    ),
    "actions/setup-python": "python3 --version",
    "astral-sh/setup-uv": "uv --version",
    "sigstore/cosign-installer": "cosign version",
    "docker/login-action": (
        'printf %s "${{ inputs.password }}" |'
        ' docker login --username "${{ inputs.username }}" --password-stdin "${{ inputs.registry }}"'
    ),
    # GitHub's builder is a container from Docker's registry. That of an engine itself has no attestations, and puts no
    # cache into a registry, so those options are left out; and builds need the network that the engine's wrapper gives.
    "docker/setup-buildx-action": """
mkdir -p "$RUNNER_TEMP/buildx"
cat > "$RUNNER_TEMP/buildx/docker" <<END
#!/bin/sh
for word; do
  shift
  case "\\$word" in
    --cache-from | --cache-to) value=next ;;
    --sbom=* | --provenance=*) ;;
    *) [ -n "\\$value" ] || set -- "\\$@" "\\$word"; value= ;;
  esac
done
exec $(command -v docker) "\\$@"
END
chmod +x "$RUNNER_TEMP/buildx/docker"
echo "$RUNNER_TEMP/buildx" >> "$GITHUB_PATH"
""",
}


@dataclass
class Job:
    """What came of a job: `conclusion` is success, failure or skipped, as GitHub says it."""

    conclusion: str = "skipped"
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)  # by the step's id
    steps: dict[str, str] = field(default_factory=dict)  # name to success, failure or skipped
    notices: list[str] = field(default_factory=list)  # and warnings and errors, as "notice: title: text"
    summary: str = ""
    log: str = ""


def run_workflow(
    project: Path,
    workflow: str,
    folder: Path,
    environment: Mapping[str, str],
    *,
    event: str = "push",
    payload: Mapping[str, Any] | None = None,
    only: str = "",
    repository: str = "someone/shop",
    secrets: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    after: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Job]:
    """Run a workflow of a project's last commit, or `only` one job and what it needs; returns what came of each job.

    `environment` is all that the steps have. `folder` is for act's own files. `after` has what happens once the job of
    a name has ended, while the others go on. Raises AssertionError for an action that has no stand-in, and when act
    can't run the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # As on GitHub: what isn't committed, or is ignored, isn't there.
    pushed = folder / "pushed"
    shutil.rmtree(pushed, ignore_errors=True)
    git(project, "clone", "--quiet", str(project), str(pushed))
    address = f"https://github.com/{repository}.git"
    git(pushed, "remote", "set-url", "origin", address)
    # Whoever asks GitHub's git asks the project's folder, also for where a branch stands by now.
    settings = folder / "gitconfig"
    settings.write_text(
        f'[include]\n\tpath = {environment["HOME"]}/.gitconfig\n[url "{project.as_uri()}"]\n\tinsteadOf = {address}\n'
    )
    file = pushed / ".github/workflows" / workflow
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    event_file, secrets_file = folder / "event.json", folder / "secrets.yml"
    event_file.write_text(json.dumps(payload or {}))
    # In a file, because what is in act's own environment is in every step's.
    secrets_file.touch(mode=0o600)
    secrets_file.write_text(yaml.safe_dump(dict(secrets or {})))
    command = [str(ACT), event, "--workflows", str(file), "--json", "--actor", "someone"]
    command += ["--eventpath", str(event_file), "--secret-file", str(secrets_file)]
    command += ["--no-skip-checkout", "--no-cache-server", "--container-daemon-socket", "-"]
    for runner in {str(job.get("runs-on")) for job in content["jobs"].values()}:
        command += ["--platform", f"{runner}=-self-hosted"]
    if only:
        command += ["--job", only]
    if "GITHUB_API_URL" in environment:  # else act says GitHub's own
        command += ["--env", f"GITHUB_API_URL={environment['GITHUB_API_URL']}"]
    for name, value in (variables or {}).items():
        command += ["--var", f"{name}={value}"]
    for action in sorted(set(re.findall(r"^ *(?:- )?uses: *([^\s#]+)", file.read_text(), re.MULTILINE))):
        command += ["--local-repository", f"{action}={_stand_in(action, folder)}"]
    jobs, said = {name: Job() for name in content["jobs"]}, ""
    with (folder / "errors").open("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=pushed,
            # act gives its steps a terminal, which runners don't.
            env={
                **environment,
                "GIT_CONFIG_GLOBAL": str(settings),
                "XDG_CACHE_HOME": str(folder / "cache"),
                "GIT_PAGER": "cat",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        late = threading.Timer(900, process.kill)
        late.start()
        for line in process.stdout or ():
            said += line
            if line.startswith("{") and (ended := _read(json.loads(line), jobs)):
                (after or {}).get(ended, bool)()
        code = process.wait()
        late.cancel()
        errors.seek(0)
        ran = any(job.conclusion != "skipped" for job in jobs.values())
        assert ran or code == 0, f"{said[-3000:]}\n{errors.read()}"
    return jobs


def _stand_in(action: str, folder: Path) -> Path:
    name = action.partition("@")[0]
    assert name in STAND_INS, f"{action}: it has no stand-in in tests/support/act.py"
    made = folder / "actions" / name.replace("/", "-")
    made.mkdir(parents=True, exist_ok=True)
    known = re.findall(r"inputs\.(\w+)", STAND_INS[name])
    (made / "action.yml").write_text(
        yaml.safe_dump(
            {
                "name": name,
                "inputs": {one: {"default": ""} for one in known},
                "runs": {"using": "composite", "steps": [{"shell": "bash", "run": STAND_INS[name]}]},
            }
        )
    )
    return made


def _read(line: dict[str, Any], jobs: dict[str, Job]) -> str:
    """Take in one line of what act says; returns the name of the job that ends with it."""
    job = jobs.get(line.get("jobID", ""))
    if job is None:
        return ""
    if line.get("raw_output"):
        job.log += line["msg"]
    match line.get("command"):
        case "set-output":
            job.outputs.setdefault("/".join(line.get("stepID", [])), {})[line["name"]] = line["arg"]
        case "notice" | "warning" | "error" as kind:
            title = line.get("kvPairs", {}).get("title", "")
            job.notices.append(": ".join(filter(None, [kind, title, line["arg"]])))
        case "summary":
            job.summary += line["content"]
    if "stepResult" in line and line.get("stage") == "Main":
        job.steps[line["step"]] = line["stepResult"]
    if result := line.get("jobResult"):  # of a matrix, one that failed is enough
        job.conclusion = "failure" if "failure" in (result, job.conclusion) else result
        return str(line["jobID"])
    return ""
