"""Calls: of the service's own functions and classes, which are gone through, and of what comes from
outside.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import restful
from .attributes import attribute
from .plain import of_builtin, of_list, of_mapping, of_text
from .registration import REGISTERING, class_guards, handed, register
from .values import (
    UNKNOWN,
    Api,
    Attribute,
    Call,
    Class,
    Decorator,
    External,
    Function,
    Instance,
    Method,
    Owner,
    Place,
    Scope,
    ViewClass,
)

if TYPE_CHECKING:
    from .follower import Follower

DEPTH = 40  # calls within calls


def is_flask(name: str) -> bool:
    """Whether a class from outside is Flask's app or one made from it, as APIFlask."""
    return name.rpartition(".")[2].endswith("Flask")


def is_blueprint(name: str) -> bool:
    """Whether a class from outside is Flask's blueprint or one made from it."""
    return name.rpartition(".")[2].endswith("Blueprint")


class Calls:
    """Gives what the calls of one service give, and does what they register."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def of(self, node: ast.Call, scope: Scope) -> Any:
        """What a call that stands in the source gives."""
        if (
            isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Call)
            and _is_super(node.func.value)
        ):
            return self._super(node.func.attr, self._given(node, scope), scope)
        function = self._follower.value(node.func, scope)
        call = self._given(node, scope)
        if isinstance(function, External) and function.name == "importlib.import_module" and call.arguments:
            return self._follower.imports.by_name(*call.arguments)
        return self.call(function, call)

    def _given(self, node: ast.Call, scope: Scope) -> Call:
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        for one in node.args:
            value = self._follower.value(one.value if isinstance(one, ast.Starred) else one, scope)
            if "**" in named:
                break  # after some that are not known, nobody knows which argument is which
            if not isinstance(one, ast.Starred):
                arguments.append(value)
            elif isinstance(value, (list, tuple)):
                arguments += value
            else:
                named["**"] = UNKNOWN
        for pair in node.keywords:
            value = self._follower.value(pair.value, scope)
            if pair.arg:
                named[pair.arg] = value
            elif isinstance(value, dict):
                named |= {key if isinstance(key, str) else "**": one for key, one in value.items()}
            else:
                named["**"] = UNKNOWN
        return Call(arguments, named, node, scope)

    def _super(self, name: str, call: Call, scope: Scope) -> Any:
        me = scope.get("self")
        if isinstance(me, Owner) and name == "__init__":
            me.options.update(_owner_options(me.is_app, call))
            return None
        if isinstance(me, Owner):
            return register(self._follower, me, name, call)
        cls = me.of if isinstance(me, Instance) else None
        for base in cls.bases if cls else ():
            if isinstance(base, Class) and isinstance(method := base.lookup(name), Function):
                return self.call(Function(method.node, method.scope, me), call)
        outside = next(cls.externals(), None) if cls else None
        handed(self._follower, outside, call)
        return UNKNOWN

    def call(self, function: Any, call: Call) -> Any:
        """What a call of that value gives, and what it registers."""
        self._follower.step()
        if isinstance(function, Function):
            return self._run(function, call)
        if isinstance(function, Class):
            return self._make(function, call)
        if isinstance(function, Method):
            return self._method(function, call)
        if isinstance(function, Decorator):
            view = call.arguments[0] if call.arguments else UNKNOWN
            function.register(view)
            return view
        if isinstance(function, External):
            return self._external(function, call)
        handed(self._follower, None, call)
        return UNKNOWN

    def _run(self, function: Function, call: Call) -> Any:
        running = self._follower.running
        if len(running) >= DEPTH or function.node in running:
            return UNKNOWN
        inner = Scope(function.scope.file, function.scope.module, {}, function.scope)
        _parameters(self._follower, function, call, inner)
        running.append(function.node)
        if (
            function.name == "init_service"
            and posixpath.basename(function.scope.file) == "health.py"
            and call.arguments
        ):
            self._follower.extension_points.append((function.scope.file, call.arguments[0]))
        try:
            if isinstance(function.node, ast.Lambda):
                return self._follower.value(function.node.body, inner)
            if any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in _own(function.node)):
                return UNKNOWN
            return self._follower.run(function.node.body, inner)
        finally:
            running.pop()

    def _make(self, cls: Class, call: Call) -> Any:
        outside = list(cls.externals())
        instance: Owner | Instance
        if any(map(is_flask, outside)) or any(map(is_blueprint, outside)):
            instance = self._owner(any(map(is_flask, outside)), call)
            instance.of = cls
        else:
            instance = Instance(cls)
        if isinstance(start := cls.lookup("__init__"), Function):
            self.call(Function(start.node, start.scope, instance), call)
        elif outside and isinstance(instance, Instance):
            handed(self._follower, outside[0], call)
        return instance

    def _owner(self, is_app: bool, call: Call) -> Owner:
        place = Place(call.scope.file if call.scope else "", getattr(call.node, "lineno", 1))
        owner = Owner(is_app, place, tuple(self._follower.doubts), _owner_options(is_app, call))
        (self._follower.apps if is_app else self._follower.blueprints).append(owner)
        return owner

    def _external(self, function: External, call: Call) -> Any:
        name = function.name
        if not function.is_result and (is_flask(name) or is_blueprint(name)):
            owner = self._owner(is_flask(name), call)
            if is_flask(name) and not name.startswith("flask.") and call.scope:
                self._follower.note(call.node, call.scope, f"{name} may add routes of its own")
            return owner
        if name == restful.API and not function.is_result:
            return restful.api(self._follower, call)
        if name == "builtins.getattr" and len(call.arguments) > 1 and isinstance(call.arguments[1], str):
            return attribute(call.arguments[0], call.arguments[1])
        if (
            name.startswith("builtins.")
            and (value := of_builtin(name.partition(".")[2], call.arguments, call.named)) is not UNKNOWN
        ):
            return value
        if function.is_result and name.rpartition(".")[2] in REGISTERING and call.scope:
            self._follower.note(
                call.node, call.scope, f"on a {name.rpartition('.')[0]}, which adds routes at run time"
            )
            return Decorator(lambda view: None)
        handed(self._follower, name, call)
        if name == "functools.partial" and len(call.arguments) == 1 and not call.named:
            return call.arguments[0]
        return External(name, True)

    def _method(self, method: Method, call: Call) -> Any:
        target, name = method.owner, method.name
        if isinstance(target, Owner):
            return register(self._follower, target, name, call)
        if isinstance(target, Api):
            return restful.method(self._follower, target, name, call)
        if isinstance(target, Attribute):
            if target.name == "url_map" and name == "add" and call.scope:
                self._follower.note(call.node, call.scope, "a rule is put into the url_map directly")
            return UNKNOWN
        if isinstance(target, Class):
            if name == "as_view":
                given = call.arguments[0] if call.arguments else call.named.get("name", UNKNOWN)
                return ViewClass(target, given, tuple(class_guards(self._follower, target, "decorators")))
            if (
                name == "register"
                and any("classful" in one or "classy" in one for one in target.externals())
                and call.scope
            ):
                self._follower.note(
                    call.node, call.scope, "its routes are made from the class's methods at run time"
                )
            return UNKNOWN
        if isinstance(target, str):
            return of_text(target, name, call.arguments, call.named)
        if isinstance(target, list):
            return of_list(target, name, call.arguments, bool(self._follower.doubts))
        if isinstance(target, dict):
            return of_mapping(target, name, call.arguments, call.named, bool(self._follower.doubts))
        if target is UNKNOWN and name in REGISTERING and call.scope:
            if self._speaks_of_flask(call.scope):
                self._follower.note(call.node, call.scope, "on an object that is known only at run time")
            return Decorator(lambda view: None)
        handed(self._follower, None, call)
        return UNKNOWN

    def _speaks_of_flask(self, scope: Scope) -> bool:
        module = self._follower.imports.modules.get(scope.file)
        names = module.scope.names.values() if module else ()
        return any(isinstance(one, External) and "flask" in one.name.lower() for one in names)


def _is_super(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "super"


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's own body, those of functions in it left out."""
    todo = list(ast.iter_child_nodes(node))
    while todo:
        one = todo.pop()
        yield one
        if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(one)


def _owner_options(is_app: bool, call: Call) -> dict[str, Any]:
    """The options of `Flask(…)` and `Blueprint(…)` by their names, from the order in which Flask 2 and 3 take
    them.
    """
    app = (
        "import_name",
        "static_url_path",
        "static_folder",
        "static_host",
        "host_matching",
        "subdomain_matching",
    )
    blueprint = (
        "name",
        "import_name",
        "static_folder",
        "static_url_path",
        "template_folder",
        "url_prefix",
        "subdomain",
    )
    return {**dict(zip(app if is_app else blueprint, call.arguments, strict=False)), **call.named}


def _parameters(follower: Follower, function: Function, call: Call, inner: Scope) -> None:
    """Bind what a function is called with; what a caller left out has its default, or is unknown."""
    taken, named = function.node.args, call.named
    arguments = call.arguments if function.bound is None else [function.bound, *call.arguments]
    names = [one.arg for one in (*taken.posonlyargs, *taken.args)]
    defaults: Mapping[str, ast.expr | None] = {
        **dict(zip(names[len(names) - len(taken.defaults) :], taken.defaults, strict=True)),
        **{one.arg: value for one, value in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if value},
    }
    unsure = "**" in named
    for index, name in enumerate([*names, *(one.arg for one in taken.kwonlyargs)]):
        if index < len(arguments) and index < len(names):
            inner.names[name] = arguments[index]
        elif name in named:
            inner.names[name] = named[name]
        elif name in defaults and not unsure:
            inner.names[name] = follower.value(defaults[name], function.scope)
        else:
            inner.names[name] = UNKNOWN
    if taken.vararg:
        inner.names[taken.vararg.arg] = UNKNOWN if unsure else arguments[len(names) :]
    if taken.kwarg:
        known = {*names, *(one.arg for one in taken.kwonlyargs)}
        inner.names[taken.kwarg.arg] = (
            UNKNOWN if unsure else {key: one for key, one in named.items() if key not in known}
        )
