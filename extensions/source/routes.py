"""The routes of a Flask service, told from its source: nothing of it is imported or run.

Rules are put together as Flask does it (sansio/scaffold.py, sansio/app.py and sansio/blueprints.py of Flask
3.1): prefixes of nested blueprints, default methods, HEAD beside GET, OPTIONS unless the view says otherwise.
What is registered in a way that the source doesn't settle is named in `unresolved`, with its place and the
reason; it is never guessed.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..project.git_and_files import LARGEST
from .files import aside, walk
from .following.follower import Follower, TooMuch
from .following.values import UNKNOWN, Call, Class, External, Function, Nested, Owner, Rule, ViewClass

_VIEW_METHODS = {"get", "post", "head", "options", "delete", "put", "trace", "patch"}
_METHOD_VIEWS = {"flask.views.MethodView", "flask_restful.Resource"}
_REGISTERS = re.compile(rb"\.\s*(?:route|add_url_rule|register_blueprint)\s*\(|\b\w*(?:Flask|Blueprint)\s*\(")
_VARIABLE = re.compile(
    r"<(?:(?P<converter>[a-zA-Z_][a-zA-Z0-9_]*)(?:\((?P<arguments>.*?)\))?:)?(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)>"
)

# Decorators by whose name people know that a request must show who it is from.
_GUARD = re.compile(
    r"(?:\w+_)?(?:login|auth|authentication|token|jwt|role|roles|permission|permissions|admin|scope|scopes|api_?key|user|session)_"
    r"(?:required|accepted)|(?:requires?|need|needs)_(?:\w+_)?(?:login|auth|authentication|token|jwt|roles?|permissions?|admin|scopes?|"
    r"api_?key|user)|login_?required|auth_?required|authenticated|protected",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Auth:
    """What a view asks a caller for.

    `scheme`: bearer, basic, digest, cookie, apiKey, or empty where the source doesn't tell.
    """

    name: str
    scheme: str


@dataclass(frozen=True)
class Variable:
    """A part of a rule that varies, as `<int(min=1):page>`: int, page and "min=1"."""

    name: str
    converter: str
    arguments: str


@dataclass(frozen=True)
class View:
    """The function, method or class that answers, where it stands, and its docstring (empty where there is
    none).
    """

    name: str
    file: str
    line: int
    doc: str


@dataclass(frozen=True)
class Route:
    """One rule of the app's url_map. `methods` are all that it takes, HEAD and OPTIONS too, sorted.

    `view` is None where no function of the project answers: Flask's own static files, and views that the
    source doesn't show. `by_method` has the views of a MethodView, by upper-case method. `file` and `line`
    are where the view stands, or else where the rule is registered, which is `registered`. `defaults` names
    the variables that a request for this rule doesn't give.
    """

    rule: str
    methods: tuple[str, ...]
    endpoint: str
    file: str
    line: int
    registered: str
    auth: tuple[Auth, ...] = ()
    view: View | None = None
    by_method: Mapping[str, View] = field(default_factory=dict)
    static: bool = False
    subdomain: str = ""
    strict_slashes: bool = True
    defaults: tuple[str, ...] = ()

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The rule's variables, in order."""
        return variables(self.rule)

    @property
    def doc(self) -> str:
        """The view's docstring; empty where there is none."""
        return self.view.doc if self.view else ""


@dataclass(frozen=True)
class Unresolved:
    """Something that registers routes in a way that the source doesn't settle: where, what stands there, and
    why.
    """

    file: str
    line: int
    what: str
    why: str


@dataclass(frozen=True)
class Routes:
    """The routes of one service in the order of registration, and what could not be told.

    `app` is how the app is reached.
    """

    routes: tuple[Route, ...]
    unresolved: tuple[Unresolved, ...]
    app: str


def variables(rule: str) -> tuple[Variable, ...]:
    """The variables of a rule, as werkzeug reads them (routing/rules.py)."""
    return tuple(
        Variable(m["name"], m["converter"] or "default", m["arguments"] or "")
        for m in _VARIABLE.finditer(rule)
    )


def find(root: Path, service: Mapping[str, str]) -> Routes:
    """The routes of a service, an entry of the answer `services` (name, path, kind, code, app).

    `root` is the project's folder.

    A worker has no app, and so no routes. Never raises for what stands in the source.
    """
    if service["kind"] == "worker":
        return Routes((), (), "")
    path = "" if service["path"] == "." else service["path"]
    target, _, call = service.get("app", "").removeprefix("uvicorn ").partition(":")
    # A new service is a package, seen from the root.
    folders = ["", path] if service.get("code") == "ours" else _folders(root, path, target)
    follower = Follower(root, folders)
    app: Any = UNKNOWN
    limit = ""
    try:
        app = _target(follower, target, call) if target else UNKNOWN
        if not isinstance(app, Owner):
            app = _only_app(follower, root, path)
        _runtime(follower)
    except (TooMuch, RecursionError):
        limit = "there is more source than is followed"
    unresolved = [
        Unresolved(note.place.file, note.place.line, note.what, note.why) for note in follower.notes
    ]
    if limit:
        unresolved.append(Unresolved(path or ".", 1, "the service", limit))
    routes: list[Route] = []
    registered: set[Owner] = set()
    if isinstance(app, Owner) and app.is_app:
        routes = list(_expanded(app, registered, unresolved))
    else:
        unresolved.append(
            Unresolved(
                path or ".", 1, service.get("app", ""), "which object is the service's app can't be told"
            )
        )
    unresolved += _left(follower, root, path, registered)
    lines = sorted(set(unresolved), key=lambda one: (one.file, one.line, one.what, one.why))
    return Routes(tuple(routes), tuple(lines), service.get("app", ""))


# The app


def _folders(root: Path, path: str, target: str) -> list[str]:
    """Where the service's modules are imported from: the folder that holds the target's module first, as
    ci/run.py has it.
    """
    top = target.partition(".")[0]
    here, above = path, posixpath.dirname(path)
    inside = (root / here / top).is_dir() or (root / here / f"{top}.py").is_file()
    first = here if inside or not path else above
    # A repository's tests and scripts put these on the path too.
    return [first, here, "", *(["src"] if (root / "src").is_dir() else [])]


def _target(follower: Follower, target: str, call: str) -> Any:
    """The object that gunicorn would serve."""
    module = follower.imports.module(target)
    value = getattr(module, "scope", None) and module.scope.names.get(call.removesuffix("()"), UNKNOWN)
    if call.endswith("()") and isinstance(value, (Function, Class)):
        return follower.calls.call(
            value, Call([], {}, ast.Call(ast.Name(call[:-2]), [], [], lineno=1), module.scope)
        )
    return value


def _only_app(follower: Follower, root: Path, path: str) -> Any:
    """The app of a service of which it isn't said, or can't be followed, how it starts: the only one that is
    made in it.
    """
    if not follower.apps:
        for file in _python(root, path):
            if b"Flask" in _bytes(root, file):
                module = follower.imports.load(
                    file, file[len(path) :].strip("/").removesuffix(".py").replace("/", ".")
                )
                for value in list(module.scope.names.values()):
                    if (
                        isinstance(value, Function)
                        and value.scope is module.scope
                        and value.name in ("create_app", "make_app")
                    ):
                        follower.calls.call(value, Call([], {}, value.node, module.scope))
    return follower.apps[0] if len(follower.apps) == 1 else UNKNOWN


def _runtime(follower: Follower) -> None:
    """What the template's `init_service` loads by its place: runtime/*.py of the project, each with an
    `init(app, name)`.
    """
    for _, app in follower.extension_points:
        for one in sorted((follower.root / "runtime").glob("[!_]*.py")):
            module = follower.imports.load(f"runtime/{one.name}", f"runtime.{one.stem}")
            if isinstance(start := module.scope.names.get("init"), Function):
                follower.calls.call(start, Call([app, UNKNOWN], {}, start.node, module.scope))


def own_probes(root: Path, service: Mapping[str, str]) -> list[Route]:
    """The routes at which a service answers itself where the template's health.py would: it comes first
    there.

    `root` and `service` are as for `find`.
    """
    path = "" if service["path"] == "." else service["path"]
    rules = {f"/{probe}{slash}" for probe in ("health", "readiness") for slash in ("", "/")}
    texts = (_bytes(root, file) for file in _python(root, path))
    # To follow a whole application takes a while, and most have no such route.
    if not any(
        re.search(rb"/(?:health|readiness)/?[\"']", text)
        for text in texts
        if b"def create_health_endpoint" not in text
    ):
        return []
    return [route for route in find(root, service).routes if route.rule in rules]


# Rules, as Flask makes them


def _expanded(app: Owner, registered: set[Owner], unresolved: list[Unresolved]) -> Iterator[Route]:
    registered.add(app)
    if app.options.get("static_folder", "static") is not None:
        url = app.options.get("static_url_path")
        folder = app.options.get("static_folder", "static")
        path = url if isinstance(url, str) else "/" + _base(folder) if url is None else UNKNOWN
        if isinstance(path, str):
            yield _static(app, f"{path.rstrip('/')}/<path:filename>", "static", "")
        else:
            unresolved.append(
                Unresolved(
                    app.place.file, app.place.line, "static files", "their path is known only at run time"
                )
            )
    names: set[str] = set()
    for entry in app.entries:
        if isinstance(entry, Rule):
            yield from _route(entry, entry.rule, "", "", (app,), app, unresolved)
        else:
            yield from _nested(entry, (app,), None, "", "", app, names, registered, unresolved)


def _nested(
    entry: Nested,
    owners: tuple[Owner, ...],
    prefix: str | None,
    subdomain: str,
    name_prefix: str,
    app: Owner,
    names: set[str],
    registered: set[Owner],
    unresolved: list[Unresolved],
) -> Iterator[Route]:
    """The routes of a blueprint that is registered, on the app or on another blueprint,
    and of those on it."""
    blueprint = entry.blueprint
    registered.add(blueprint)
    if blueprint in owners or len(owners) > 20:
        return
    own = entry.options.get("url_prefix")
    own = blueprint.options.get("url_prefix") if own is None else own
    domain = entry.options.get("subdomain") or blueprint.options.get("subdomain") or ""
    name = entry.options.get("name") or blueprint.options.get("name", UNKNOWN)
    if not (own is None or isinstance(own, str)) or not isinstance(domain, str) or not isinstance(name, str):
        count = sum(isinstance(one, Rule) for one in blueprint.entries)
        what = f"blueprint {blueprint.name} with {count} route{'s' * (count != 1)}"
        unresolved.append(
            Unresolved(
                entry.place.file,
                entry.place.line,
                what,
                "its prefix, name or subdomain is known only at run time",
            )
        )
        return
    full = prefix if own is None else own if prefix is None else prefix.rstrip("/") + "/" + own.lstrip("/")
    domain = f"{domain}.{subdomain}" if domain and subdomain else domain or subdomain
    name = f"{name_prefix}.{name}".lstrip(".")
    if name in names:
        return  # Flask refuses the second one: such an app doesn't start
    names.add(name)
    folder = blueprint.options.get("static_folder")
    if folder is not None:
        url = blueprint.options.get("static_url_path")
        path = (
            url
            if isinstance(url, str)
            else "/" + _base(folder)
            if url is None and isinstance(folder, str)
            else UNKNOWN
        )
        if isinstance(path, str):
            yield _static(
                blueprint, _joined(full, f"{path.rstrip('/')}/<path:filename>"), f"{name}.static", domain
            )
        else:
            unresolved.append(
                Unresolved(
                    blueprint.place.file,
                    blueprint.place.line,
                    "static files",
                    "their path is known only at run time",
                )
            )
    for one in blueprint.entries:
        if isinstance(one, Rule):
            yield from _route(
                one, _joined(full, one.rule), domain, name, (*owners, blueprint), app, unresolved
            )
        else:
            yield from _nested(
                one, (*owners, blueprint), full, domain, name, app, names, registered, unresolved
            )


def _joined(prefix: str | None, rule: str) -> str:
    """BlueprintSetupState.add_url_rule."""
    if prefix is None:
        return rule
    return "/".join((prefix.rstrip("/"), rule.lstrip("/"))) if rule else prefix


def _base(folder: Any) -> str:
    return posixpath.basename(folder.rstrip("/\\")) if isinstance(folder, str) else "static"


def _static(owner: Owner, rule: str, endpoint: str, subdomain: str) -> Route:
    place = owner.place
    methods = ("GET", "HEAD", "OPTIONS")
    return Route(
        rule,
        methods,
        endpoint,
        place.file,
        place.line,
        f"{place.file}:{place.line}",
        static=True,
        subdomain=subdomain,
    )


def _route(
    entry: Rule,
    rule: str,
    subdomain: str,
    name: str,
    owners: tuple[Owner, ...],
    app: Owner,
    unresolved: list[Unresolved],
) -> Iterator[Route]:
    options, view, place = entry.options, entry.view, entry.place
    # No request reaches the one, and HTTP not the other.
    if options.get("build_only") is True or options.get("websocket") is True:
        return
    methods = _methods(options, view)
    own_domain = options.get("subdomain") or subdomain
    if methods is None or not isinstance(own_domain, str):
        unresolved.append(
            Unresolved(
                place.file,
                place.line,
                rule,
                "which methods it takes, or its subdomain, is known only at run time",
            )
        )
        return
    endpoint = (
        entry.endpoint if isinstance(entry.endpoint, str) else _name(view) if entry.endpoint is None else "?"
    )
    at = _view(view)
    by_method = _by_method(view)
    strict = options.get("strict_slashes", app.strict_slashes)
    defaults = options.get("defaults")
    guards = [*_guards(view), *(guard for owner in owners for guard in owner.guards)]
    yield Route(
        rule=rule if rule.startswith("/") else f"/{rule}",
        methods=tuple(sorted(methods)),
        endpoint=f"{name}.{endpoint}".lstrip("."),
        file=at.file if at else place.file,
        line=at.line if at else place.line,
        registered=f"{place.file}:{place.line}",
        auth=tuple(dict.fromkeys(filter(None, (_auth(node, value) for node, value in guards)))),
        view=at,
        by_method=by_method,
        subdomain=own_domain,
        strict_slashes=strict if isinstance(strict, bool) else True,
        defaults=(
            tuple(sorted(key for key in defaults if isinstance(key, str)))
            if isinstance(defaults, dict)
            else ()
        ),
    )


def _methods(options: Mapping[str, Any], view: Any) -> set[str] | None:
    """App.add_url_rule's methods, with HEAD as werkzeug adds it; None where they can't be told."""
    given = options.get("methods")
    if given is None:
        given = _view_methods(view) if isinstance(view, ViewClass) else ["GET"]
    automatic = options.get("provide_automatic_options")
    if automatic is None and isinstance(view, ViewClass):
        automatic = _attribute(view.of, "provide_automatic_options")
    if given is None or automatic not in (None, True, False):
        return None
    methods = {one.upper() for one in given}
    if automatic is True or (automatic is None and "OPTIONS" not in methods):
        methods.add("OPTIONS")
    if "GET" in methods:
        methods.add("HEAD")
    return methods


def _attribute(cls: Class, name: str) -> Any:
    value = cls.lookup(name)
    return None if value is UNKNOWN and not _binds(cls, name) else value


def _binds(cls: Class, name: str) -> bool:
    return name in cls.scope.names or any(
        isinstance(base, Class) and _binds(base, name) for base in cls.bases
    )


def _view_methods(view: ViewClass) -> list[str] | None:
    """View.methods, and what MethodView.__init_subclass__ makes of the methods that are there."""
    given = _attribute(view.of, "methods")
    if given is not None:
        return given if isinstance(given, list) and all(isinstance(one, str) for one in given) else None
    outside = [one for one in view.of.externals() if one != "builtins.object"]
    if any(not one.startswith("flask.views.") and one not in _METHOD_VIEWS for one in outside):
        return None  # a base class of others may bring methods
    if _METHOD_VIEWS.isdisjoint(outside):
        return ["GET"]
    return sorted(method.upper() for method in _handlers(view.of)) or ["GET"]


def _handlers(cls: Class) -> dict[str, Function]:
    """The methods of a MethodView that answer requests, its own before those that it inherits."""
    found: dict[str, Function] = {}
    for base in reversed(cls.bases):
        if isinstance(base, Class):
            found.update(_handlers(base))
    found.update(
        {
            name: value
            for name, value in cls.scope.names.items()
            if name in _VIEW_METHODS and isinstance(value, Function)
        }
    )
    return found


def _name(view: Any) -> str:
    if isinstance(view, ViewClass):
        return view.name if isinstance(view.name, str) else "?"
    return (
        view.name
        if isinstance(view, (Function, Owner))
        else view.node.name
        if isinstance(view, Class)
        else "?"
    )


def _doc(node: ast.AST) -> str:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return ast.get_docstring(node) or ""
    return ""


def _view(view: Any) -> View | None:
    if isinstance(view, Function):
        return View(view.name, view.place.file, view.place.line, _doc(view.node))
    cls = view.of if isinstance(view, ViewClass) else view if isinstance(view, Class) else None
    return View(cls.node.name, cls.scope.file, cls.node.lineno, _doc(cls.node)) if cls else None


def _by_method(view: Any) -> dict[str, View]:
    if not isinstance(view, ViewClass) or _METHOD_VIEWS.isdisjoint(view.of.externals()):
        return {}
    handlers = _handlers(view.of)
    return {
        name.upper(): View(f"{view.of.node.name}.{name}", *_at(one), _doc(one.node))
        for name, one in sorted(handlers.items())
    }


def _at(function: Function) -> tuple[str, int]:
    return function.place.file, function.place.line


# Who may ask


def _guards(view: Any) -> Iterable[tuple[ast.expr, Any]]:
    if isinstance(view, Function):
        return view.guards
    if isinstance(view, ViewClass):
        # Those on single methods count where all methods have them.
        handlers = list(_handlers(view.of).values())
        first = handlers[0].guards if handlers else ()
        common = [
            one
            for one in first
            if all(ast.dump(one[0]) in {ast.dump(g[0]) for g in h.guards} for h in handlers)
        ]
        return [*view.guards, *common]
    return ()


def _auth(node: ast.expr, value: Any) -> Auth | None:
    """What a decorator asks for; None where it is no guard.

    Known by its name, or by what it does: abort(401), a way to the login.
    """
    call = node if isinstance(node, ast.Call) else None
    dotted = ast.unparse(call.func if call else node)
    if call and any(
        pair.arg == "optional" and getattr(pair.value, "value", False) is True for pair in call.keywords
    ):
        return None
    last = dotted.rpartition(".")[2]
    origin = value.name if isinstance(value, External) else ""
    refuses = isinstance(value, Function) and _refuses(value.scope, value.node)
    if not (refuses or _GUARD.fullmatch(last)) or not re.fullmatch(r"[\w.]+", dotted):
        return None
    return Auth(dotted, _scheme(f"{origin} {dotted}".lower(), refuses, value))


def _scheme(said: str, refuses: bool, value: Any) -> str:
    if "digest" in said:
        return "digest"
    if "basicauth" in said or "basic_auth" in said:
        return "basic"
    if "api_key" in said or "apikey" in said:
        return "apiKey"
    if "jwt" in said or "token" in said or "bearer" in said:
        return "bearer"
    if "flask_login" in said or "flask_security" in said or "flask_user" in said:
        return "cookie"
    if refuses and isinstance(value, Function) and "redirect(" in ast.unparse(value.node):
        return "cookie"
    return ""


def _refuses(scope: Any, node: ast.AST) -> bool:
    """Whether a decorator's source turns callers away: 401, 403, or a way to the login."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            called = ast.unparse(one.func).rpartition(".")[2]
            first = one.args[0] if one.args else None
            if called == "abort" and isinstance(first, ast.Constant) and first.value in (401, 403):
                return True
            if called in ("unauthorized", "Unauthorized", "Forbidden"):
                return True
            if (
                called == "redirect"
                and first is not None
                and re.search("log_?in|sign_?in", ast.unparse(first), re.IGNORECASE)
            ):
                return True
            if any(
                pair.arg == "status" and getattr(pair.value, "value", None) in (401, 403)
                for pair in one.keywords
            ):
                return True
        elif isinstance(one, ast.Return) and isinstance(one.value, ast.Tuple) and len(one.value.elts) > 1:
            status = one.value.elts[1]
            if isinstance(status, ast.Constant) and status.value in (401, 403):
                return True
    return False


# What was not reached


def _python(root: Path, path: str) -> Iterator[str]:
    for folder, names in walk(root / path):
        for name in names:
            file = posixpath.join(path, folder, name)
            if not aside(file):
                yield file


def _bytes(root: Path, file: str) -> bytes:
    try:
        with open(root / file, "rb") as stream:
            return stream.read(LARGEST + 1)
    except OSError:
        return b""


def _left(follower: Follower, root: Path, path: str, registered: set[Owner]) -> Iterator[Unresolved]:
    """Blueprints that nothing registers, and files that speak of routes but are not imported, as far as the
    source shows.
    """
    for one in follower.blueprints:
        count = sum(isinstance(entry, Rule) for entry in one.entries)
        if one not in registered and count and not one.options.get("registered in doubt"):
            what = f"blueprint {one.name} with {count} route{'s' * (count != 1)}"
            yield Unresolved(one.place.file, one.place.line, what, "nothing is seen to register it")
    for file in _python(root, path):
        if file in follower.imports.modules:
            continue
        text = _bytes(root, file)
        if (b"flask" in text or b"lueprint" in text) and (match := _REGISTERS.search(text)):
            line = text.count(b"\n", 0, match.start()) + 1
            found = match[0].decode("utf-8", "replace").strip()
            yield Unresolved(file, line, f"{found}…)", "nothing is seen to import this file")
