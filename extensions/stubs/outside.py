"""What a function reaches outside its process: which calls those are, and a test of what it does when one of
them fails.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ..project.git_and_files import shown
from ..source.clients import ROOTS
from ..source.modules import Function
from . import raising, values
from .early_answers import arguments, asserted
from .model import Candidate
from .subject import Subject, awaited, plain, required
from .values import samples

# Functions whose call leaves traces: they are not called with made-up values.
EFFECTS = re.compile(
    r"^(?:open|exec|eval|input|__import__|exit|quit|breakpoint|unlink|remove|rmdir|rmtree|mkdir|makedirs|rename|replace_file|copyfile|copytree|"
    r"write|write_text|write_bytes|writelines|system|popen|Popen|run|call|check_call|check_output|kill|execute|executemany|commit|rollback|"
    r"connect|send|sendall|sendmail|send_message|publish|urlopen|request|post|put|patch|delete|delay|apply_async|touch|chmod|chown|"
    r"save|dump|putenv|setenv|exec_module|import_module|start|fork|urandom|move|symlink|_exit|abort|upload|download|flush|add_all|truncate)$"
)
# Modules of the standard library of which every call goes outside.
STANDARD = {"ftplib", "http", "imaplib", "poplib", "shutil", "smtplib", "socket", "subprocess", "urllib"}
# Packages of others of which every call goes outside.
CLIENTS = {
    *ROOTS, "aio_pika", "anthropic", "azure", "binance", "boto3", "botocore", "ccxt", "discord", "docker",
    "fabric", "google", "grpc",
    "kubernetes", "ldap3", "minio", "openai", "paho", "paramiko", "pyrogram", "slack_sdk", "stripe",
    "telegram", "telebot", "telethon",
    "tweepy", "twilio", "urllib3", "websocket", "websockets",
}  # fmt: skip
HARMLESS = {"urllib.parse", "http.HTTPStatus"}
OTHERS = {"ctypes", "signal"}
FAILURES = {"Exception", "OSError", "IOError", "ConnectionError", "TimeoutError", "asyncio.TimeoutError"}
HANDLERS = 3  # of one function


def calls(subject: Subject, one: Function) -> tuple[str, ...]:
    """What a function calls of other packages, as the module names it, in order: "requests.get",
    "cache.set".
    """
    heads = _heads(subject)
    told = dict.fromkeys(ast.unparse(node.func) for node in _in_order([one.node]))
    return tuple(name for name in told if _is_below(name, heads))


def reached(subject: Subject, one: Function) -> str:
    """The first call that leaves traces or goes outside, of a function or of those of its module that it
    calls; "" where there is none.
    """
    heads = _heads(subject, clients=True)
    for function in raising.with_called(subject, one):
        found = effect(function.node)
        if not found:
            found = next(
                (
                    name
                    for node in _in_order([function.node])
                    if _is_below(name := ast.unparse(node.func), heads)
                ),
                "",
            )
        if found:
            return found
    return ""


def effect(node: ast.AST) -> str:
    """The first call below a node that may leave traces; "" where there is none."""
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Global, ast.Nonlocal)):
            return "`global`"
        if isinstance(inner, ast.Call):
            called = values.last_name(inner.func)
            head = inner.func
            while isinstance(head, (ast.Attribute, ast.Call)):
                head = head.value if isinstance(head, ast.Attribute) else head.func
            root = head.id if isinstance(head, ast.Name) else ""
            if root in STANDARD | OTHERS or EFFECTS.match(called):
                return shown(f"{root}.{called}" if root and root != called else called)[:40]
    return ""


def outages(subject: Subject, one: Function, told: str) -> Iterator[Candidate]:
    """For each handler of the function's `try` that returns or raises what stands there: the first call
    outside fails, and that comes.
    """
    call = subject.callee(one)
    attempt = next((node for node in one.node.body if isinstance(node, ast.Try)), None)
    if (
        not subject.dotted
        or call is None
        or attempt is None
        or one.is_generator
        or not plain(one)
        or one.name.startswith("_")
    ):
        return
    before = one.node.body[: one.node.body.index(attempt)]
    if any(effect(node) or _names(node) & _heads(subject) for node in before):
        return
    target = _first(subject, attempt)
    if not target:
        return
    given: dict[str, Any] = {}
    for number, parameter in enumerate(required(one)):
        value = (samples(parameter.annotation) or ("a",))[:2][-1]
        # Texts that differ: `if base == target` is no call outside.
        given[parameter.name] = chr(ord("a") + number % 26) if value == "a" else value
    for handler in attempt.handlers[:HANDLERS]:
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        raised = ast.unparse(types[0]) if types and types[0] else "Exception"
        exception = subject.exception(raised)
        *rest, last = handler.body
        if (
            exception is None
            or not _comes_from_outside(subject, raised)
            or any(effect(node) for node in rest)
        ):
            continue
        try:
            line = awaited(one, f"{call}({arguments(required(one), given)})")
            failing = f'failing = patch("{subject.dotted}.{target}", side_effect={exception}("down"))'
            uses = [raised]
            if isinstance(last, ast.Return):
                answer = (
                    None if last.value is None else values.evaluated(last.value, {**subject.known, **given})
                )
                body = [failing, "with failing:", f"    {asserted(line, answer)}"]
            elif isinstance(last, ast.Raise) and last.exc is not None:
                comes = ast.unparse(last.exc.func if isinstance(last.exc, ast.Call) else last.exc)
                wanted = subject.exception(comes)
                if wanted is None or comes == handler.name:
                    continue
                uses.append(comes)
                noqa = "  # noqa: B017" if wanted in ("Exception", "BaseException") else ""
                body = [failing, f"with failing, pytest.raises({wanted}):{noqa}", f"    {line}"]
            else:
                continue
        except Exception:  # what has no value before it runs
            continue
        imports = (("unittest.mock", "patch"), *((("asyncio", ""),) if one.is_async else ()))
        more: dict[str, Any] = {"uses": uses, "imports": imports}
        word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", exception.split(".")[-1])
        suffix = f"when_{target.replace('.', '_')}_raises_{word}"
        test = subject.test(one.qualname, "outage", suffix, handler.lineno, told, body, **more)
        if test:
            yield test


def _comes_from_outside(subject: Subject, exception: str) -> bool:
    """Whether a client may raise this: its own, or what the system raises.

    A KeyError is of what is done with the answer.
    """
    head = exception.split(".")[0]
    return head in _heads(subject) or exception in FAILURES


def _heads(subject: Subject, clients: bool = False) -> set[str]:
    """Names behind which others stand: packages, a few standard ones, and what the module makes of them at
    its top; or only clients.
    """
    found = set()
    for name, bound in subject.imports.items():
        top = bound.module.split(".")[0]
        whole = bound.module if bound.attribute is None else f"{bound.module}.{bound.attribute}"
        ours = not top or top in subject.local or any(whole.startswith(one) for one in HARMLESS)
        if not ours and (top in STANDARD | CLIENTS or (top not in sys.stdlib_module_names and not clients)):
            found.add(name)
    for node in subject.module.tree.body:
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        if isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[0] in found:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            found |= {one.id for one in targets if isinstance(one, ast.Name)}
    return found


def _first(subject: Subject, attempt: ast.Try) -> str:
    """The first call outside in the body of a `try`, as the module names it; "" where there is none, or
    something is done before it.
    """
    heads = _heads(subject)
    for node in _in_order(attempt.body):
        name = ast.unparse(node.func)
        if _is_below(name, heads):
            return name
        if effect(ast.Expr(node)):
            return ""
    return ""


def _in_order(nodes: Iterable[ast.AST]) -> list[ast.Call]:
    """The calls in some statements, in the order in which they are made: one that is inside another ends
    before it.
    """
    found = [one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Call)]
    return sorted(found, key=lambda node: (node.end_lineno, node.end_col_offset))


def _is_below(name: str, heads: set[str]) -> bool:
    head, *rest = name.split(".")
    return head in heads and all(part.isidentifier() for part in rest)


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
