"""Run the template's `levels` at the version that rendered this project; LEVELS_AS may name it with an extra."""

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
    folder = Path(address).expanduser()
    if folder.is_absolute() and folder.is_dir():  # a relative one was meant from where the copy was made
        address = folder.resolve().as_uri()
    elif ":" not in address:
        way_out = "write the template's address there, such as gh:owner/name, and commit it"
        uv.fail(f".copier-answers.yml: _src_path is {address}, no folder on this machine: {way_out}")
    elif "://" not in address:
        address = "ssh://" + address.replace(":", "/", 1)
    return f"git+{address}@{commit}"


# In a git hook these name the repository at work, and uv's git would take the template's for it.
SET_FOR_HOOKS = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_SHALLOW_FILE"),
)

os.chdir(uv.ROOT)
answers = Path(".copier-answers.yml")
template = os.environ.get("LEVELS_AS", "") + source(answers.read_text(encoding="utf-8") if answers.is_file() else "")
command = [uv.find(), "tool", "run", "--quiet", "--python", sys.executable, "--from", template, "levels"]
environment = {key: value for key, value in uv.environment().items() if key not in SET_FOR_HOOKS}
# In UTF-8 mode no letter of a file or a name is lost, whatever the locale.
os.execve(command[0], [*command, *sys.argv[1:]], {**environment, "PYTHONUTF8": "1"})
