"""What can be asserted of routes: a method that none of them takes gives 405, and one that asks who calls
refuses a stranger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ..source.routes import Route, Routes
from .model import Candidate
from .values import written

METHODS = ("DELETE", "PUT", "PATCH", "POST", "GET")
EXAMPLES = {
    "default": "x",
    "string": "x",
    "int": "1",
    "float": "1.5",
    "path": "x",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
PATTERNS = {"int": r"\d+", "float": r"\d+\.\d+", "path": r".+", "uuid": r"[0-9A-Fa-f-]{36}"}
REFUSALS = (302, 303, 401, 403)  # a redirect to where people log in is a refusal, too


def of_file(
    routes: Routes, file: str, at: Mapping[int, str], taken: Callable[[str, str], str]
) -> list[Candidate]:
    """The tests of the views that stand in `file`.

    `at` has the signatures of its functions by their lines; `taken` gives names that are free.
    """
    module, _, target = routes.app.partition(":")
    if not target:
        return []
    found = []
    for route in routes.routes:
        path = concrete(route)
        view = route.view or next(iter(route.by_method.values()), None)
        if view is None or view.file != file or route.static or path is None or route.subdomain:
            continue
        name = view.name.split(":")[-1]
        told = at.get(view.line) or f"{name}()"
        client = f"client = {target}.test_client()"
        imports = ((module, target.removesuffix("()")),)
        allowed = {method for one in routes.routes if _matches(one, path) for method in one.methods}
        refused = next((method for method in METHODS if method not in allowed), None)
        if refused and not route.auth:
            body = (client, "", f"assert client.{refused.lower()}({written(path)}).status_code == 405")
            found.append(
                Candidate(
                    name,
                    "route",
                    taken(route.endpoint, f"takes_no_{refused}"),
                    view.line,
                    told,
                    body,
                    (),
                    imports,
                )
            )
        if route.auth:
            method = next(one for one in (*METHODS[::-1], "OPTIONS") if one in route.methods)
            if method == "OPTIONS":
                continue
            body = (client, "", f"assert client.{method.lower()}({written(path)}).status_code in {REFUSALS}")
            found.append(
                Candidate(
                    name,
                    "route",
                    taken(route.endpoint, "rejects_strangers"),
                    view.line,
                    told,
                    body,
                    (),
                    imports,
                )
            )
    return [one for one in found if all(len(line) < 110 for line in one.body)]


def concrete(route: Route) -> str | None:
    """A path that the rule takes; None where only its converter knows."""
    path = route.rule
    for one in route.variables:
        if one.converter == "any":
            example = one.arguments.split(",")[0].strip(" \"'")
        elif one.converter in EXAMPLES and not one.arguments:
            example = EXAMPLES[one.converter]
        else:
            return None
        path = re.sub(rf"<(?:[^<>]*:)?{re.escape(one.name)}>", lambda _, text=example: text, path, count=1)  # type: ignore[misc]
    return path if "<" not in path and path.isascii() and path.isprintable() else None


def _matches(route: Route, path: str) -> bool:
    """Whether a rule may take a path, too: with Werkzeug a method of any such rule is allowed."""
    parts: Sequence[str] = re.split(r"(<[^<>]*>)", route.rule)
    pattern = ""
    for part in parts:
        if part.startswith("<"):
            converter = part[1:-1].split(":")[0].split("(")[0] if ":" in part else "default"
            pattern += PATTERNS.get(converter, r"[^/]+" if converter in EXAMPLES else r".+")
        else:
            pattern += re.escape(part)
    return re.fullmatch(pattern.rstrip("/") + "/?", path) is not None
