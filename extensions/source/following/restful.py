"""Flask-RESTful: the resources of an Api are views of its app or blueprint, at the Api's prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .registration import class_guards, handed, register
from .values import UNKNOWN, Api, Call, Class, Decorator, Owner, Place, ViewClass

if TYPE_CHECKING:
    from .follower import Follower

API = "flask_restful.Api"
_NO_OPTIONS = ("resource_class_args", "resource_class_kwargs")  # they go to the class


def api(follower: Follower, call: Call) -> Api:
    """What a call of the class gives."""
    given = (
        dict(zip(("app", "prefix", "default_mediatype", "decorators"), call.arguments, strict=False))
        | call.named
    )
    known = not {"**", "url_part_order", "decorators"} & set(given)
    api = Api(given.get("prefix", "") if known else UNKNOWN)
    if given.get("app") is not None:
        _init(follower, api, given.get("app"), call)
    return api


def method(follower: Follower, api: Api, name: str, call: Call) -> Any:
    """What a method of an Api gives, and what it registers."""
    if name == "init_app":
        _init(follower, api, call.arguments[0] if call.arguments else call.named.get("app", UNKNOWN), call)
    elif name == "add_resource":
        _add(follower, api, call.arguments[0] if call.arguments else UNKNOWN, call.arguments[1:], call)
    elif name == "resource":
        return Decorator(lambda view: _add(follower, api, view, call.arguments, call))
    else:
        handed(follower, API, call)
    return UNKNOWN


def _init(follower: Follower, api: Api, owner: Any, call: Call) -> None:
    if not isinstance(owner, Owner):
        api.prefix = UNKNOWN
        return
    api.owner = owner
    for view, urls, waiting in api.waiting:
        # What waits for a blueprint is registered without the prefix.
        _register(
            follower, owner, view, urls, waiting, api.prefix if owner.is_app or not api.prefix else UNKNOWN
        )
    api.waiting.clear()


def _add(follower: Follower, api: Api, view: Any, urls: list[Any], call: Call) -> None:
    if api.owner is None and api.prefix is not UNKNOWN and not follower.doubts:
        api.waiting.append((view, urls, call))
    elif api.owner is None:
        _note(follower, call)
    else:
        _register(follower, api.owner, view, urls, call, api.prefix)


def _register(follower: Follower, owner: Owner, view: Any, urls: list[Any], call: Call, prefix: Any) -> None:
    options = {name: value for name, value in call.named.items() if name not in _NO_OPTIONS}
    endpoint = options.pop("endpoint", None) or (
        view.node.name.lower() if isinstance(view, Class) else UNKNOWN
    )
    known = isinstance(view, Class) and isinstance(prefix, str) and "**" not in options
    if not known or not all(isinstance(url, str) and url.startswith("/") for url in urls):
        _note(follower, call)
        return
    views = ViewClass(view, endpoint, tuple(class_guards(follower, view, "method_decorators")))
    for url in urls:
        rule: dict[str, Any] = {"rule": prefix + url, "view_func": views, **options}
        register(follower, owner, "add_url_rule", Call([], rule, call.node, call.scope))


def _note(follower: Follower, call: Call) -> None:
    place = Place(call.scope.file if call.scope else "", getattr(call.node, "lineno", 1))
    follower.note(call.node, place, f"on a {API}, of which not all is known")
