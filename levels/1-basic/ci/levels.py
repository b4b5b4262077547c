"""Run the template's `levels` command at the version that rendered this project; `make upgrade` and others do."""

import os
import re
import sys
from pathlib import Path

import uv


def source(answers: str) -> str:
    """Return where uv finds the command, as git+<address>@<commit>, from the text of .copier-answers.yml."""
    recorded = dict(re.findall(r"^(_src_path|_commit): *['\"]?(.*?)['\"]? *$", answers, re.MULTILINE))
    if len(recorded) < 2:
        uv.fail(".copier-answers.yml: expected _src_path and _commit, which a copy from a git repository records")
    # What `git describe` calls v1.2.0-3-gabc1234 is the commit abc1234.
    address, commit = recorded["_src_path"], re.sub(r"^.*-\d+-g", "", recorded["_commit"])
    address = re.sub(r"^gh:(.*?)(\.git)?$", r"https://github.com/\1.git", address).removeprefix("git+")
    if Path(address).expanduser().is_dir():
        address = Path(address).expanduser().resolve().as_uri()
    elif ":" not in address:
        uv.fail(f".copier-answers.yml: _src_path is {address}, no folder here; expected an address such as gh:owner/name")
    elif "://" not in address:
        address = "ssh://" + address.replace(":", "/", 1)
    return f"git+{address}@{commit}"


os.chdir(uv.ROOT)
answers = Path(".copier-answers.yml")
if not answers.is_file():
    uv.fail(".copier-answers.yml is missing: it says which version of the template this project stands at")
template = source(answers.read_text(encoding="utf-8"))
command = [uv.find(), "tool", "run", "--quiet", "--python", sys.executable, "--from", template, "levels"]
os.execve(command[0], [*command, *sys.argv[1:]], uv.environment())
