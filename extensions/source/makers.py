"""Where a module makes a web application or a task queue, what it does with it, and what it serves when it is
run as a script.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .model import Module

FACTORIES = ("create_app", "make_app", "create_application", "make_application")
APPS = ("app", "application", *(f"{name}()" for name in FACTORIES))
REGISTERS = {"route", "get", "post", "put", "patch", "delete", "add_url_rule", "register_blueprint"}
REGISTERS |= {"include_router", "mount", "add_route", "add_api", "websocket", "add_api_route", "register_api"}
FLASK = "Flask"

# What a call makes, by the module and the name that is imported. Those of ASGI are served by uvicorn.
_MAKERS = {
    ("fastapi", "FastAPI"): "FastAPI",
    ("starlette.applications", "Starlette"): "Starlette",
    ("quart", "Quart"): "Quart",
    ("litestar", "Litestar"): "Litestar",
    ("sanic", "Sanic"): "Sanic",
    ("blacksheep", "Application"): "BlackSheep",
    ("falcon.asgi", "App"): "Falcon (ASGI)",
    ("django.core.asgi", "get_asgi_application"): "Django (ASGI)",
    ("channels.routing", "ProtocolTypeRouter"): "Django (ASGI)",
    ("django.core.wsgi", "get_wsgi_application"): "Django",
    ("bottle", "Bottle"): "Bottle",
    ("falcon", "App"): "Falcon",
    ("falcon", "API"): "Falcon",
    ("dash", "Dash"): "Dash",
    ("connexion", "App"): "Connexion",
    ("connexion", "FlaskApp"): "Connexion",
    ("connexion", "AsyncApp"): "Connexion (ASGI)",
}
ASGI = {"FastAPI", "Starlette", "Quart", "Litestar", "Sanic", "BlackSheep"}
ASGI |= {one for one in _MAKERS.values() if one.endswith("(ASGI)")}
_TOPS = {module.split(".")[0] for module, _ in _MAKERS}

# What a module that makes one must contain: a call, a base class or another name of Flask, or a call of a
# factory.
WORDS: tuple[bytes, ...] = (
    b"Flask",
    b"create_app",
    b"make_app",
    b"FastAPI",
    b"Starlette",
    b"Quart",
    b"_application",
    b"Celery",
)
WORDS += (b"Bottle", b"falcon", b"Dash", b"connexion", b"Litestar", b"Sanic", b"blacksheep", b"ProtocolType")
WORTH_PARSING = re.compile(
    rb"Flask\s*\(|Flask\s+as\s|\(\s*(?:\w+\.)?\w*Flask\s*[,)]|(?:"
    + b"|".join(name.encode() for name in FACTORIES)
    + rb")\s*\(|(?:FastAPI|Starlette|Quart|Litestar|Sanic|Celery|Bottle|Dash|get_[aw]sgi_application|FlaskApp"
    + rb"|AsyncApp|ProtocolTypeRouter)\s*\(|falcon|connexion|blacksheep"
)
SERVES = re.compile(rb"\.run\s*\(|\bserve(?:_forever)?\s*\(|run_app\s*\(|WSGIServer\s*\(|run_simple\s*\(")
_ROUTES = re.compile(
    r"route|blueprint|view|api|resource|controller|endpoint|handler|page|register", re.IGNORECASE
)


@dataclass(frozen=True)
class Start:
    """A place where a module makes an application.

    `call` follows the colon of gunicorn's target, where there is one. `use` is 2 where routes are added or
    the application is handed to what adds some, 1 where it is handed on at all, and 0 where nothing is done
    with it. `handed` are the functions that get it.
    """

    line: int
    call: str
    needs: str = ""  # the parameters that a factory can't do without
    use: int = 0
    # Made by a factory that is imported from this package ("" for a relative import).
    borrowed: str | None = None
    framework: str = FLASK
    handed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Queue:
    """A place where a module makes Celery's application, and whether it says when tasks are due."""

    name: str
    line: int
    scheduled: bool


@dataclass
class Made:
    """What a module makes, and serves when it is run: names of its own, or texts like "shop:app"."""

    starts: tuple[Start, ...] = ()
    served: list[tuple[str, int]] = field(default_factory=list)
    queues: list[Queue] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)  # subclasses, with the framework
    factories: dict[str, str] = field(default_factory=dict)  # by unusual names, with the framework
    links: dict[str, tuple[str, str]] = field(default_factory=dict)  # imported names: module, attribute


def made(module: Module, classes: Mapping[str, str], factories: Mapping[str, str]) -> Made:
    """What a module makes. `classes` and `factories` are those of other modules, with their frameworks."""
    return _Reader(module, classes, factories).read()


class _Reader:
    def __init__(self, module: Module, classes: Mapping[str, str], factories: Mapping[str, str]) -> None:
        self.module = module
        self.other_classes = classes
        self.modules: dict[str, str] = {}  # names of modules that make applications
        # Names whose call gives an app: the framework, and the package that a factory is imported from.
        self.makers: dict[str, tuple[str, str | None]] = {}
        self.queues: set[str] = set()
        self.made = Made()
        for one in module.imports:
            if one.attribute is None:
                self.made.links[one.name] = (one.module, "")
                if one.module == "flask" or one.module.split(".")[0] in _TOPS:
                    self.modules[one.name] = one.module
                if one.module == "celery":
                    self.modules[one.name] = "celery"
                continue
            self.made.links[one.name] = (one.module, one.attribute)
            if one.module == "celery" and one.attribute == "Celery":
                self.queues.add(one.name)
            elif (one.module, one.attribute) in _MAKERS:
                self.makers[one.name] = (_MAKERS[one.module, one.attribute], None)
            elif one.attribute.endswith("Flask") or (one.attribute == "*" and one.module == "flask"):
                self.makers[one.name.replace("*", "Flask")] = (FLASK, None)
            elif one.attribute in classes:
                self.makers[one.name] = (classes[one.attribute], None)
            elif one.attribute in FACTORIES or one.attribute in factories:
                framework = factories.get(one.attribute, FLASK)
                self.makers[one.name] = (framework, one.module.split(".")[0])

    def read(self) -> Made:
        tree, made = self.module.tree, self.made
        top = list(within(tree.body, whole=True))
        starts: list[Start] = []
        for node in within(tree.body):
            if isinstance(node, ast.ClassDef):
                base = next((self.maker(one) for one in node.bases if self.maker(one)), None)
                if base:  # class Shop(Flask)
                    made.classes[node.name] = self.makers.setdefault(node.name, (base[0], None))[0]
            elif isinstance(node, ast.FunctionDef):
                starts += self._function(node)
            elif found := self.called(getattr(node, "value", None)):
                names = targets(node)
                for name in names:
                    use, handed = _use(top, {name})
                    starts.append(Start(node.lineno, name, "", use, found[1], found[0], handed))
                starts += self._servers(top, names, found[0])
        made.starts = tuple(starts)
        text = "beat_schedule" in ast.dump(tree) or "CELERYBEAT_SCHEDULE" in ast.dump(tree)
        for node in top:
            call = getattr(node, "value", None)
            if isinstance(call, ast.Call) and self._is_queue(call.func):
                made.queues += [Queue(name, node.lineno, text) for name in targets(node)]
        made.served = list(_served(tree))
        return made

    def _is_queue(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self.queues
        return isinstance(node, ast.Attribute) and node.attr == "Celery" and isinstance(node.value, ast.Name)

    def maker(self, node: ast.expr) -> tuple[str, str | None] | None:
        """The framework of a class or factory, and where it is imported from; None where it is none."""
        if isinstance(node, ast.Name):
            return self.makers.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = self.modules.get(node.value.id, "")
            if module == "flask" and node.attr == "Flask":
                return FLASK, None
            if (module, node.attr) in _MAKERS:
                return _MAKERS[module, node.attr], None
            if node.attr in self.other_classes and node.value.id in self.made.links:
                return self.other_classes[node.attr], None
        return None

    def called(self, node: ast.AST | None) -> tuple[str, str | None] | None:
        """The same of what is called."""
        return self.maker(node.func) if isinstance(node, ast.Call) else None

    def _servers(self, top: list[Any], names: list[str], framework: str) -> Iterator[Start]:
        """`server = dashboard.server`, as Dash has it."""
        for node in top:
            value = getattr(node, "value", None)
            if (
                framework in ("Dash", "Connexion")
                and isinstance(node, ast.Assign)
                and isinstance(value, ast.Attribute)
                and value.attr in ("server", "app")
                and isinstance(value.value, ast.Name)
                and value.value.id in names
            ):
                yield from (Start(node.lineno, name, use=2) for name in targets(node))

    def _function(self, node: ast.FunctionDef) -> Iterator[Start]:
        inner = list(within(node.body, whole=True))
        calls = [one for one in inner if self.called(one)]
        if not calls or any("fixture" in ast.dump(decorator) for decorator in node.decorator_list):
            return
        names = {name for one in inner if self.called(getattr(one, "value", None)) for name in targets(one)}
        results = [one.value for one in inner if isinstance(one, ast.Return)]
        returned = any(self.called(r) or (isinstance(r, ast.Name) and r.id in names) for r in results)
        call = f"{node.name}()" if returned or node.name in FACTORIES else ""
        framework, borrowed = self.called(calls[0]) or (FLASK, None)
        if call or borrowed is None:
            everything = [one for statement in node.body for one in ast.walk(statement)]
            use, handed = _use(everything, names)
            yield Start(calls[0].lineno, call, needs(node.args), use, borrowed, framework, handed)
        if call:
            self.makers.setdefault(node.name, (framework, borrowed))
            if node.name not in FACTORIES and not node.name.startswith("_"):
                self.made.factories[node.name] = framework


def _use(nodes: list[Any], names: set[str]) -> tuple[int, frozenset[str]]:
    """What is done with applications of these names: how much that says, and the functions that get one."""
    use = 0
    handed: set[str] = set()
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = [one for decorator in node.decorator_list for one in ast.walk(decorator)]
        else:
            inner = [node]
        for one in inner:
            if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id in names:
                use = max(use, 2 if one.attr in REGISTERS else 0)
            elif isinstance(one, ast.Call):
                given = [*one.args, *(word.value for word in one.keywords)]
                if any(isinstance(value, ast.Name) and value.id in names for value in given):
                    text = ast.unparse(one.func)
                    handed.add(text.split(".")[-1])
                    use = max(use, 2 if _ROUTES.search(text) else 1)
    return use, frozenset(handed)


def _served(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What the calls that serve an application are given, by the names of the module or as a text."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = function.value if isinstance(function, ast.Attribute) else None
        if name == "run" and isinstance(owner, ast.Name) and not node.args[:1]:
            yield owner.id, node.lineno
            continue
        if name in ("run", "serve", "run_app", "run_simple", "WSGIServer", "run_wsgi_app", "make_server"):
            for one in [
                *node.args,
                *(word.value for word in node.keywords if word.arg in ("app", "application")),
            ]:
                if isinstance(one, ast.Name):
                    yield one.id, node.lineno
                elif isinstance(one, ast.Constant) and isinstance(one.value, str) and ":" in one.value:
                    yield one.value, node.lineno
            if name == "run" and isinstance(owner, ast.Name) and owner.id not in ("uvicorn", "asyncio"):
                yield owner.id, node.lineno


def within(body: list[ast.stmt], whole: bool = False) -> Iterator[Any]:
    """The statements of one scope, in source order: into if, try and with, but not into the script's own
    part.

    With `whole` also the expressions in them. A function or class is yielded, and not entered.
    """
    for statement in body:
        nodes: list[ast.AST] = [statement]
        while nodes:
            node = nodes.pop()
            if isinstance(node, ast.If) and is_main(node.test):
                # What is made for servers stands in its else: `if __name__ == "__main__": … else: app = …`.
                nodes += reversed(node.orelse)
                continue
            yield node
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
                below = ast.iter_child_nodes(node)
                nodes += reversed(
                    [one for one in below if whole or isinstance(one, (ast.stmt, ast.ExceptHandler))]
                )


def is_main(test: ast.expr) -> bool:
    """Whether a condition asks if the file is run as a script."""
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def targets(node: ast.AST) -> list[str]:
    """The plain names that an assignment binds."""
    bound = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return [target.id for target in bound if isinstance(target, ast.Name)]


def needs(args: ast.arguments) -> str:
    """The parameters that a call can't leave out, as "config, name"."""
    plain = [*args.posonlyargs, *args.args]
    keyword_only = [
        one for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is None
    ]
    return ", ".join(one.arg for one in [*plain[: len(plain) - len(args.defaults)], *keyword_only])
