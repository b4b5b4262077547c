"""A stand-in for GitHub's API, as far as metrics ask it: deployments over GraphQL, against GitHub's own
schema, and runs of a workflow.

It refuses what the real one refuses: no or a wrong token, no User-Agent, a page of over 100, a query that the
schema doesn't allow, a repository or a workflow that isn't there, a token without the right, a rate limit
that is used up.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from graphql import GraphQLSchema


TOKEN = "ghs_only-for-tests"
RESET = 1_795_600_000


class GitHub:
    """Holds acme/shop. Change `deployments`, `runs` and `trouble` as a test needs it; `asked` has each
    request's path.
    """

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        # Environment, createdAt, commitOid, statuses [(state, createdAt)].
        self.deployments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []  # as the REST API has them; all of deploy.yml
        self.trouble = ""  # rate limit, secondary rate limit, forbidden
        self.asked: list[str] = []

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body."""
        self.asked.append(url)
        if not headers.get("User-Agent"):
            return (
                403,
                {},
                {
                    "message": (
                        "Request forbidden by administrative rules. Please make sure your request has a"
                        " User-Agent header"
                    )
                },
            )
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return (
                401,
                {},
                {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"},
            )
        if self.trouble == "secondary rate limit":
            return 429, {"retry-after": "60"}, {"message": "You have exceeded a secondary rate limit."}
        path = urlsplit(url).path
        if (method, path) == ("POST", "/graphql"):
            return self.graphql(json.loads(body))
        if self.trouble == "rate limit":
            headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(RESET)}
            return 403, headers, {"message": "API rate limit exceeded for installation ID 1."}
        if self.trouble == "forbidden":
            return (
                403,
                {"x-ratelimit-remaining": "4999"},
                {"message": "Resource not accessible by integration"},
            )
        if (method, path) == ("GET", "/repos/acme/shop/actions/workflows/deploy.yml/runs"):
            return (
                200,
                {},
                self.listed({key: values[-1] for key, values in parse_qs(urlsplit(url).query).items()}),
            )
        return 404, {}, {"message": "Not Found"}

    def listed(self, query: dict[str, str]) -> dict[str, Any]:
        """A page of runs, the newest first. Of a search, GitHub lists the first thousand."""
        found = sorted(self.runs, key=lambda run: run["created_at"], reverse=True)
        if "status" in query:
            found = [run for run in found if query["status"] in (run["status"], run["conclusion"])]
        if since := re.fullmatch(r">=(\d{4}-\d\d-\d\d)", query.get("created", "")):
            found = [run for run in found if run["created_at"] >= since[1]]
        size, page = min(100, int(query.get("per_page", 30))), int(query.get("page", 1))
        return {"total_count": len(found), "workflow_runs": found[:1000][(page - 1) * size : page * size]}

    def graphql(self, asked: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        """GraphQL answers 200 and says in `errors` what is wrong."""
        for trouble, kind, message in (
            ("rate limit", "RATE_LIMITED", "API rate limit exceeded for installation ID 1."),
            ("forbidden", "FORBIDDEN", "Resource not accessible by integration"),
        ):
            if self.trouble == trouble:
                return 200, {}, {"data": None, "errors": [{"type": kind, "message": message}]}
        from graphql import graphql_sync  # which only the proofs install

        done = graphql_sync(
            self.schema,
            asked["query"],
            {"repository": self.repository},
            variable_values=asked.get("variables"),
        )
        errors = [{"message": error.message, **(error.extensions or {})} for error in done.errors or []]
        return 200, {}, {"data": done.data, **({"errors": errors} if errors else {})}

    def repository(self, info: Any, owner: str, name: str, **_: Any) -> dict[str, Any]:
        from graphql import GraphQLError

        if (owner.lower(), name.lower()) != ("acme", "shop"):
            raise GraphQLError(
                f"Could not resolve to a Repository with the name '{owner}/{name}'.",
                extensions={"type": "NOT_FOUND"},
            )
        return {"deployments": self.page}

    def page(
        self, info: Any, first: int = 0, after: str | None = None, environments: Any = None, **order: Any
    ) -> dict[str, Any]:
        from graphql import GraphQLError

        if not 1 <= first <= 100:
            raise GraphQLError(
                "`first` must be between 1 and 100", extensions={"type": "EXCESSIVE_PAGINATION"}
            )
        found = [
            one for one in self.deployments if environments is None or one["environment"] in environments
        ]
        # Without orderBy the oldest come first.
        descending = (order.get("orderBy") or {}).get("direction") == "DESC"
        found.sort(key=lambda one: one["createdAt"], reverse=descending)
        start = int(after or 0)
        nodes = [
            {**one, "statuses": lambda info, states=one["statuses"], **_: self.statuses(states)}
            for one in found[start : start + first]
        ]
        end = start + len(nodes)
        return {"nodes": nodes, "pageInfo": {"hasNextPage": end < len(found), "endCursor": str(end)}}

    @staticmethod
    def statuses(states: list[tuple[str, str]]) -> dict[str, Any]:
        return {"nodes": [{"state": state, "createdAt": at} for state, at in states]}


@contextmanager
def serving(github: Any) -> Iterator[str]:
    """Serve what `github.answer` gives (status, headers, JSON) for method, path, headers and body on a free
    port; yields the address.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, said = github.answer(self.command, self.path, self.headers, body)
            text = json.dumps(said).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json; charset=utf-8",
                "Content-Length": str(len(text)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_PATCH = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
