"""Who is one person among the names and addresses of commits, and who is none.

git's mailmap has been applied before. What is left: one address in different case, GitHub's two forms of a
noreply address, and one name with several addresses. Names that machines and set-ups give to everybody (root,
Your Name) join nothing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

Identity = tuple[str, str]  # name and address, as git has them

NOREPLY = re.compile(r"(?:\d+\+)?([^@+]+)@users\.noreply\.github\.com", re.I)
NOBODYS_NAME = {
    "", "(no author)", "admin", "administrator", "debian", "no author", "root", "test", "ubuntu",
    "unknown", "user", "your name",
}  # fmt: skip
# A bot says so in brackets, or with a dash or underscore before the word. "Jan Bot" is a person: Bot is a
# name.
BOT = re.compile(r"\[bot\]|[-_]bot$", re.I)
# Programs that commit under a name without the word. GitHub is who commits what is edited on its site.
BOT_NAMES = {
    "allcontributors", "codecov", "copilot", "cursor agent", "dependabot", "dependabot-preview",
    "devin ai", "github", "github action",
    "github actions", "github-actions", "greenkeeper", "hosted weblate", "imgbot", "mergify",
    "pre-commit-ci", "pyup", "renovate", "snyk",
    "web-flow", "weblate",
}  # fmt: skip
BOT_ADDRESSES = {
    "actions@github.com", "copilot@github.com", "cursoragent@cursor.com", "noreply@anthropic.com",
    "noreply@github.com",
    "support@dependabot.com",
}  # fmt: skip


def is_bot(identity: Identity, named: Iterable[str] = ()) -> bool:
    """Whether a program commits under this name; `named` are names and addresses that the project itself
    calls bots.
    """
    name, address = identity[0].strip().lower(), identity[1].strip().lower()
    local = address.partition("@")[0]
    if {name, address} & {one.lower() for one in named}:
        return True
    return name in BOT_NAMES or address in BOT_ADDRESSES or bool(BOT.search(name) or BOT.search(local))


def same_person(identities: Iterable[Identity]) -> Mapping[Identity, Identity]:
    """Each identity to the one that stands for its person: the one that occurs most."""
    often = Counter(identities)
    group = {one: one for one in often}

    def top(one: Identity) -> Identity:
        while group[one] != one:
            group[one] = group[group[one]]
            one = group[one]
        return one

    for key_of in (_address, _name):
        for alike in _by(often, key_of).values():
            for one in alike[1:]:
                group[top(one)] = top(alike[0])
    people = defaultdict(list)
    for one in often:
        people[top(one)].append(one)
    standing = {head: max(alike, key=lambda one: (often[one], one)) for head, alike in people.items()}
    return {one: standing[top(one)] for one in often}


def _by(often: Mapping[Identity, int], key_of: Callable[[Identity], str]) -> dict[str, list[Identity]]:
    """Identities by what `key_of` says of them; nothing said, nothing joined."""
    found = defaultdict(list)
    for one in often:
        if key := key_of(one):
            found[key].append(one)
    return found


def _address(identity: Identity) -> str:
    address = identity[1].strip().lower()
    noreply = NOREPLY.fullmatch(address)
    return f"github:{noreply[1]}" if noreply else address


def _name(identity: Identity) -> str:
    name = " ".join(identity[0].casefold().split())
    return "" if name in NOBODYS_NAME else name
