"""A stand-in of GitHub's API for issues and pull requests, over a local bare repository.

It refuses what the real one refuses.

https://docs.github.com/rest/issues/issues and https://docs.github.com/rest/pulls/pulls say what that is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.projects import git

TOKEN = "github_pat_of_the_test"
REPOSITORY = "team/shop"


class Refuses(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GitHub:
    """The state: what people and programs have opened, the token's rights, and each request that changed
    something.
    """

    def __init__(self, bare: Path) -> None:
        self.bare = bare
        self.rights = {"issues", "pull_requests"}
        self.numbered: list[dict[str, Any]] = []  # issues and pull requests share their numbers
        self.writes: list[str] = []
        self.may: dict[str, str] = {}  # login to permission; everybody may read
        self.reviews: dict[int, list[dict[str, Any]]] = {}  # by the number of the pull request

    def add(self, body: str, association: str = "NONE", title: str = "Hello") -> dict[str, Any]:
        """An issue that somebody else opened."""
        return self._new(title=title, body=body, author_association=association)

    def issues(self, state: str = "open") -> list[dict[str, Any]]:
        return [one for one in self.numbered if "pull_request" not in one and one["state"] == state]

    def requests(self) -> list[dict[str, Any]]:
        return [one for one in self.numbered if "pull_request" in one]

    def answer(self, method: str, address: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON."""
        try:
            found = self._answer(
                method, address, headers.get("Authorization", ""), json.loads(body or "null")
            )
        except Refuses as refused:
            return refused.status, {}, {"message": str(refused)}
        return 201 if method == "POST" else 200, {}, found

    def _answer(self, method: str, address: str, token: str, given: Any) -> Any:
        """What a request is answered. Raises Refuses."""
        if token != f"Bearer {TOKEN}":
            raise Refuses(401, "Bad credentials")
        url = urlsplit(address)
        if found := re.fullmatch(rf"/repos/{REPOSITORY}/collaborators/([\w-]+)/permission", url.path):
            return {"permission": self.may.get(found[1], "read"), "user": {"login": found[1]}}
        if method == "GET" and (more := self._of_a_commit(url.path)) is not None:
            if "pull_requests" not in self.rights:
                raise Refuses(403, "Resource not accessible by integration")
            return _page(more, {key: values[0] for key, values in parse_qs(url.query).items()})
        found = re.fullmatch(rf"/repos/{REPOSITORY}/(issues|pulls)(?:/(\d+))?", url.path)
        if not found:
            raise Refuses(404, "Not Found")
        kind, number = found.groups()
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if method != "GET" and {"issues": "issues", "pulls": "pull_requests"}[kind] not in self.rights:
            raise Refuses(403, "Resource not accessible by personal access token")
        if method == "GET":
            return self._listed(kind, query)
        self.writes.append(f"{method} {url.path}")
        if len(given.get("body") or "") > 65536:
            raise Refuses(422, "Validation Failed: body is too long (maximum is 65536 characters)")
        if method == "PATCH" and number:
            one = next((one for one in self.numbered if one["number"] == int(number)), None)
            if one is None:
                raise Refuses(404, "Not Found")
            one.update(given)
            return one
        if method == "POST" and not number:
            if not given.get("title"):
                raise Refuses(422, "Validation Failed: title is missing")
            return (
                self._new(**given, author_association="MEMBER") if kind == "issues" else self._request(given)
            )
        raise Refuses(404, "Not Found")

    def _listed(self, kind: str, query: dict[str, str]) -> list[dict[str, Any]]:
        state = query.get("state", "open")
        # The list of issues holds the pull requests too.
        listed = [
            one
            for one in self.numbered
            if state in ("all", one["state"]) and (kind == "issues" or "pull_request" in one)
        ]
        if head := query.get("head"):
            listed = [one for one in listed if f"team:{one['head']['ref']}" == head]
        if query.get("direction") != "asc":
            listed.reverse()
        return _page(listed, query)

    def _of_a_commit(self, path: str) -> list[dict[str, Any]] | None:
        """The pull requests that a commit came by, or the reviews of one."""
        if found := re.fullmatch(rf"/repos/{REPOSITORY}/pulls/(\d+)/reviews", path):
            return [self._shown(one, int(found[1])) for one in self.reviews.get(int(found[1]), [])]
        if not (found := re.fullmatch(rf"/repos/{REPOSITORY}/commits/([0-9a-f]+)/pulls", path)):
            return None
        known = git(self.bare, "rev-list", "--all").split()
        if found[1] not in known:
            raise Refuses(422, f"No commit found for SHA: {found[1]}")
        return [one for one in self.requests() if found[1] in one.get("commits", [])]

    def _shown(self, review: dict[str, Any], number: int) -> dict[str, Any]:
        return {"pull_request_url": f"https://api.github.com/repos/{REPOSITORY}/pulls/{number}", **review}

    def review(
        self, number: int, login: str, state: str = "APPROVED", may: str = "write", kind: str = "User"
    ) -> None:
        """Somebody with this permission says what they think of a pull request as it stands."""
        self.may[login] = may
        one = self.numbered[number - 1]
        user = {"login": login, "type": kind}
        head = one["head"]["sha"] or git(self.bare, "rev-parse", one["head"]["ref"]).strip()
        said = {"user": user, "state": state, "commit_id": head}
        self.reviews.setdefault(number, []).append(said)

    def merge(self, number: int) -> str:
        """Merge a pull request by a merge commit; returns that."""
        one = self.numbered[number - 1]
        head, base = one["head"]["ref"], one["base"]["ref"]
        tip, onto = (git(self.bare, "rev-parse", name).strip() for name in (head, base))
        tree = git(self.bare, "merge-tree", "--write-tree", onto, tip).strip()
        message = f"Merge pull request #{number} from team/{head}"
        made = git(self.bare, "commit-tree", tree, "-p", onto, "-p", tip, "-m", message).strip()
        git(self.bare, "update-ref", f"refs/heads/{base}", made)
        one["commits"] = [made, *git(self.bare, "rev-list", f"{onto}..{tip}").split()]
        one["head"]["sha"], one["merge_commit_sha"] = tip, made
        one.update(state="closed", merged_at="2026-12-01T06:00:00Z")
        return made

    def _new(self, **what: Any) -> dict[str, Any]:
        one = {
            "number": len(self.numbered) + 1,
            "state": "open",
            "body": None,
            "user": {"type": "User"},
            **what,
        }
        self.numbered.append(one)
        return one

    def _request(self, given: Any) -> dict[str, Any]:
        head, base = given["head"], given["base"]
        branches = git(self.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
        for field, name in (("head", head), ("base", base)):
            if name not in branches:
                raise Refuses(422, f"Validation Failed: {field} is invalid")
        if not git(self.bare, "rev-list", f"{base}..{head}").strip():
            raise Refuses(422, f"Validation Failed: No commits between {base} and {head}")
        if any(one["head"]["ref"] == head and one["state"] == "open" for one in self.requests()):
            raise Refuses(422, f"Validation Failed: A pull request already exists for team:{head}.")
        request = {
            "head": {"ref": head, "sha": ""},
            "base": {"ref": base},
            "user": {"login": "author", "type": "User"},
            "pull_request": {},
            "merged_at": None,
            "title": given["title"],
            "body": given["body"],
        }
        return self._new(**request, author_association="MEMBER")


def _page(listed: list[Any], query: dict[str, str]) -> list[Any]:
    size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
    return listed[(page - 1) * size : page * size]
