"""What can be asserted of a module, from its source alone, and of which functions nothing can. Nothing of the project is run."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ..disk import shown
from ..source.modules import Class, Function, Guard, Module, Parameter
from . import examples, values
from .model import Candidate, Found, NoOracle
from .values import Unknown, holds, kinds, samples, written

CASES = 6  # of one parametrized test
INPUTS = ("", "a", "Two words", 'quo"te', "line\nline", "100%", "<b>&amp;", "42")  # where nobody says what a function takes
NOTHING = {"", "object", "Generic", "ABC", "abc.ABC", "typing.Generic"}
# Functions whose call leaves traces: they are not called with made-up values.
EFFECTS = re.compile(
    r"^(?:open|exec|eval|input|__import__|exit|quit|breakpoint|unlink|remove|rmdir|rmtree|mkdir|makedirs|rename|replace_file|copyfile|copytree|"
    r"write|write_text|write_bytes|writelines|system|popen|Popen|run|call|check_call|check_output|kill|execute|executemany|commit|rollback|"
    r"connect|send|sendall|sendmail|send_message|publish|urlopen|request|post|put|patch|delete|delay|apply_async|touch|chmod|chown|"
    r"save|dump|putenv|setenv|exec_module|import_module|start|fork|urandom|move|symlink|_exit|abort|upload|download|flush|add_all|truncate)$"
)
CLIENTS = {
    "requests",
    "httpx",
    "subprocess",
    "socket",
    "shutil",
    "smtplib",
    "boto3",
    "redis",
    "psycopg",
    "psycopg2",
    "pymongo",
    "ctypes",
    "signal",
    "urllib3",
}
PAIRS = (
    ("encode", "decode"),
    ("dumps", "loads"),
    ("serialize", "deserialize"),
    ("pack", "unpack"),
    ("quote", "unquote"),
    ("escape", "unescape"),
    ("compress", "decompress"),
    ("encrypt", "decrypt"),
    ("marshal", "unmarshal"),
    ("to", "from"),
)
OPERATORS = {"<=": " le ", ">=": " ge ", "==": " eq ", "!=": " ne ", "<": " lt ", ">": " gt ", "-": " minus ", "%": " mod "}


class Taken:
    """Names of the tests of a module, each given once."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __call__(self, qualname: str, suffix: str) -> str:
        base = (
            "test_" + re.sub(r"_*\W+_*", "_", qualname.replace(".__init__", "").replace(".", "_")).strip("_").lower() + f"_{suffix.lower()}"
        )
        name, number = base[:90], 1
        while name in self.names:
            number += 1
            name = f"{base[:90]}_{number}"
        self.names.add(name)
        return name


def find(module: Module) -> Found:
    """Everything that can be asserted of `module`, in the order of its source."""
    return _Finding(module).found()


def signature(function: Function) -> str:
    """The call as people see it: `price(amount, rate=0.2, *, currency="EUR")`, on one line. A change in it is worth a look at its tests."""
    parts: list[str] = []
    positional = False
    for one in function.parameters:
        if one.kind == "positional-only":
            positional = True
        elif positional:
            parts.append("/")
            positional = False
        if one.kind == "keyword-only" and not any(part.startswith("*") for part in parts):
            parts.append("*")
        star = {"var-positional": "*", "var-keyword": "**"}.get(one.kind, "")
        default = "" if one.default is None else "=" + (shown(one.default) if len(one.default) <= 20 else "...")
        parts.append(star + one.name + default)
    return f"{function.qualname}({', '.join(parts + ['/'] * positional)})"


class _Finding:
    """One module on its way to candidates."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.known = values.constants(module.tree)
        self.classes = {one.qualname: one for one in module.classes if not one.replaced}
        self.names = _names(module)
        self.candidates: list[Candidate] = []
        self.taken = Taken()

    def found(self) -> Found:
        without: list[NoOracle] = []
        signatures: dict[str, str] = {}
        count = 0
        self._examples("", "module", self.module.examples, 1, self.module.path.rsplit("/", 1)[-1], False)
        definitions: list[Class | Function] = [*self.module.classes, *self.module.functions]
        for one in sorted(definitions, key=lambda one: one.line):
            if isinstance(one, Class):
                if not one.nested and not one.replaced:
                    signatures[one.qualname] = self._class(one)
                continue
            if one.nested or one.replaced:
                continue
            told = signature(one)
            signatures[one.qualname] = told
            count += 1
            reason = self._function(one, told)
            if reason:
                without.append(NoOracle(one.qualname, one.line, reason, told, _outside(one, self.module)))
        self._round_trips()
        asserted = {name for one in self.candidates for name in (one.qualname, *one.covers)}
        kept = [one for one in without if one.qualname not in asserted]
        order = sorted(self.candidates, key=lambda one: one.line)
        return Found(tuple(order), tuple(kept), signatures, count, self.taken)

    def _add(self, qualname: str, kind: Any, suffix: str, line: int, told: str, body: Iterable[str], **more: Any) -> bool:
        lines = tuple(body)
        if any(len(part) > 400 for part in lines):
            return False
        name = self.taken(qualname, suffix)
        names = more.pop("names", (qualname.split(".")[0],))
        self.candidates.append(Candidate(qualname, kind, name, line, told, lines, tuple(names), **more))
        return True

    # Functions

    def _function(self, one: Function, told: str) -> str:
        """Add what can be asserted of a function. The reason where nothing can, else empty."""
        before = len(self.candidates)
        reason = self._examples(one.qualname, one.qualname, one.examples, one.line, told, _prints(one))
        if one.conditional:
            return "" if len(self.candidates) > before else f"defined only in `{shown(one.conditional)[:60]}`"
        if one.name.startswith("_") and one.name != "__init__":
            return "" if len(self.candidates) > before else reason or "private"
        self._guards(one, told)
        if one.kind in ("method", "property"):
            owner = self.classes.get(one.owner)
            if len(self.candidates) == before and not (owner and (owner.examples or owner.dataclass or owner.enum)):
                return reason or "a method: the object that it needs isn't known"
            return "" if len(self.candidates) > before else reason or "a method: the object that it needs isn't known"
        more = self._returns(one, told)
        return "" if len(self.candidates) > before else reason or more

    def _examples(self, qualname: str, label: str, found: Iterable[Any], line: int, told: str, printing: bool) -> str:
        found = tuple(found)
        if not found:
            return ""
        try:
            body = examples.body(found, self.names, printing)
        except examples.NoTest as reason:
            return str(reason)
        except (Unknown, RecursionError, ValueError, SyntaxError) as error:
            return f"its examples can't be written: {shown(str(error))[:60]}"
        own = tuple(body.names)
        fixtures, imports = tuple(body.fixtures), tuple(dict.fromkeys(body.imports))
        if not self._add(qualname or label, "examples", "examples", line, told, body.lines, names=own, imports=imports, fixtures=fixtures):
            return "its examples have very long lines"
        return ""

    def _guards(self, one: Function, told: str) -> None:
        if one.is_generator or (one.decorators and set(one.decorators) - {"staticmethod", "classmethod"}):
            return
        call = self._callable(one)
        if call is None or (one.owner and one.name == "__init__" and not self._plain(one.owner)):
            return
        for number, guard in enumerate(one.guards):
            if guard.parameter is None:
                continue
            exception = self._exception(guard.exception)
            given = self._violating(one, guard, one.guards[:number])
            if exception is None or given is None:
                continue
            arguments, sure = given
            line = self._awaited(one, f"{call}({arguments})")
            noqa = "  # noqa: B017" if exception in ("Exception", "BaseException") else ""
            body = [f"with pytest.raises({exception}):{noqa}", f"    {line}"]
            names = {call.split(".")[0], *([] if hasattr(builtins, exception.split(".")[0]) else [exception.split(".")[0]])}
            suffix = "refuses_" + _slug(guard.text)
            imports = (("asyncio", ""),) if one.is_async else ()
            if len(line) < 100:
                self._add(one.qualname, "guard", suffix, guard.line, told, body, names=sorted(names), imports=imports, sure=sure)

    def _violating(self, one: Function, guard: Guard, before: tuple[Guard, ...]) -> tuple[str, bool] | None:
        """The arguments of a call which this guard refuses and none before it: their text, and whether that is sure."""
        names = dict(self.known)
        others: dict[str, Any] = {}
        sure = True
        parameters = _own(one)
        for parameter in parameters:
            if parameter.name == guard.parameter or parameter.default is not None or parameter.kind.startswith("var-"):
                if parameter.default is not None and parameter.name != guard.parameter:
                    try:
                        names[parameter.name] = values.evaluated(ast.parse(parameter.default, mode="eval").body, self.known)
                    except Exception:
                        names.pop(parameter.name, None)
                continue
            choices = [*samples(parameter.annotation), *values.PROBES[:-1], "some text"]
            tests = [earlier for earlier in before if earlier.parameter == parameter.name]
            fitting = [one for one in choices if all(holds(t.condition, {**self.known, parameter.name: one}) is False for t in tests)]
            sure = sure and bool(fitting)
            others[parameter.name] = (fitting or choices)[0]
        names.update(others)
        tested = next((one for one in parameters if one.name == guard.parameter), None)
        if tested is None or tested.kind.startswith("var-"):
            return None
        outside = [
            one
            for one in guard.names
            if one != guard.parameter and one not in names and one not in values.TYPES and one not in values.FUNCTIONS
        ]
        if outside:
            return None
        typed = samples(tested.annotation)
        found = [*typed, *values.probes(guard.condition, self.known)]
        for value in found:
            if holds(guard.condition, {**names, tested.name: value}) is not True:
                continue
            state = [holds(earlier.condition, {**names, tested.name: value}) for earlier in before]
            if any(one is True for one in state):
                continue
            try:
                text = _arguments(parameters, {**others, tested.name: value})
            except Unknown:
                continue
            return text, sure and all(one is False for one in state)
        return None

    def _exception(self, name: str) -> str | None:
        """How a test names an exception of the module; None where it can't."""
        head = name.split(".")[0]
        found = getattr(builtins, name, None)
        if head not in self.names:
            return name if isinstance(found, type) and issubclass(found, BaseException) else None
        return name

    def _callable(self, one: Function) -> str | None:
        """How a test calls a function without an object of which it knows nothing."""
        if one.name == "__init__":
            return one.owner
        if one.kind in ("function", "staticmethod", "classmethod") and not one.name.startswith("_"):
            owner = self.classes.get(one.owner)
            return None if owner and owner.conditional else one.qualname
        return None

    def _plain(self, owner: str) -> bool:
        """Whether a class is made by its own __init__, as far as its text says."""
        found = self.classes.get(owner)
        if found is None or found.conditional or found.enum or found.decorators:
            return False
        bases = {base.split("[")[0] for base in found.bases}
        methods = {node.name for node in found.node.body if isinstance(node, ast.FunctionDef)}
        abstract = any("abstractmethod" in text for one in self.module.functions if one.owner == owner for text in one.decorators)
        return bases <= NOTHING and "__new__" not in methods and not found.node.keywords and not abstract

    def _returns(self, one: Function, told: str) -> str:
        """Add a test of the annotated return, or say why there is none."""
        if one.is_generator:
            return "a generator without examples"
        if one.returns is None:
            return "unannotated"
        if one.returns.strip() in ("None", "NoReturn", "Never", "typing.NoReturn"):
            return "returns nothing"
        wanted = kinds(one.returns)
        if not wanted:
            return f"returns {shown(one.returns)[:40]}, which the annotation alone doesn't test"
        if one.decorators and set(one.decorators) - {"staticmethod", "classmethod", "cache", "lru_cache", "functools.cache"}:
            return f"decorated: what @{shown(one.decorators[0])[:40]} makes of it isn't known"
        effect = _effect(one)
        if effect:
            return f"side effects: it calls {effect}"
        cases = []
        own = [p for p in _own(one) if p.default is None and not p.kind.startswith("var-")]
        if not own:
            return "takes nothing: calling it with its defaults shows little"
        for parameter in own:
            if not samples(parameter.annotation):
                what = f"{parameter.name}: {parameter.annotation}" if parameter.annotation else f"{parameter.name} is unannotated"
                return f"no sample for {shown(what)[:60]}"
        pools = [samples(parameter.annotation) for parameter in own]
        for number in range(min(CASES, max(map(len, pools)))):
            try:
                cases.append(tuple(written(pool[(number + shift * (number > 0)) % len(pool)]) for shift, pool in enumerate(pools)))
            except Unknown:
                continue
        call = self._callable(one)
        if call is None:
            return "its class is defined conditionally"
        arguments = ", ".join(f"{p.name}={p.name}" if p.kind == "keyword-only" else p.name for p in own)
        checks = wanted.replace(" | None", "").replace("None | ", "")
        names = {p.name for p in own}
        head = call.split(".")[0]
        result = "result" if "result" not in names | {head} else "returned"
        if head in names or "isinstance" in names or names & set(checks.split(" | ")):
            return "a parameter has the name of what the test needs"
        body = [f"{result} = {self._awaited(one, f'{call}({arguments})')}", ""]
        body.append(f"assert {f'{result} is None or ' if 'None' in wanted else ''}isinstance({result}, {checks})")
        suffix = "returns_" + re.sub(r"\W+", "_", wanted).lower()
        unique = tuple(dict.fromkeys(cases))
        imports = (("asyncio", ""),) if one.is_async else ()
        parameters = tuple(p.name for p in own)
        if checks == "None" or any(len(line) > 100 for line in body):
            return "the annotation alone doesn't test it"
        self._add(
            one.qualname, "returns", suffix, one.line, told, body, imports=imports, parameters=parameters, cases=unique, allowed=one.raises
        )
        return ""

    def _awaited(self, one: Function, call: str) -> str:
        return f"asyncio.run({call})" if one.is_async else call

    # Classes

    def _class(self, one: Class) -> str:
        told = f"{one.qualname}({', '.join(part.name for part in one.members or one.fields)})"
        told = told if len(told) < 160 else told[:150] + "...)"
        if one.examples:
            self._examples(one.qualname, one.qualname, one.examples, one.line, told, False)
        if not one.conditional and not one.name.startswith("_"):
            if one.enum:
                self._enum(one, told)
            elif one.dataclass:
                self._dataclass(one, told)
        return told

    def _enum(self, one: Class, told: str) -> None:
        methods = {node.name for node in one.node.body if isinstance(node, ast.FunctionDef)}
        if not one.members or methods & {"__new__", "__init__", "_generate_next_value_", "__eq__", "__hash__", "__getattribute__"}:
            return
        bases = {base.split(".")[-1] for base in one.bases}
        flags = bases & {"Flag", "IntFlag"}
        wanted: type | tuple[type, ...] | None = object
        for texts, kind in (({"str", "StrEnum"}, str), ({"int", "IntEnum", "IntFlag", "Flag"}, int), ({"float"}, float)):
            if bases & texts:
                wanted = kind
        if (
            not bases <= {"Enum", "StrEnum", "IntEnum", "Flag", "IntFlag", "str", "int", "float", "ReprEnum"}
            or one.node.keywords
            or one.decorators
        ):
            return
        rows: list[tuple[str, ...]] = []
        autos: list[str] = []
        seen: dict[str, Any] = {}
        for member in one.members:
            if member.name.startswith("_"):
                continue
            try:
                value = values.evaluated(ast.parse(member.value, mode="eval").body, {**self.known, **seen})
                if isinstance(value, (list, dict, set)) or not isinstance(value, wanted):  # type: ignore[arg-type]
                    raise Unknown
                rows.append((written(member.name), written(value)))
                seen[member.name] = value
            except Exception:  # auto(), or an expression that only running it would tell
                autos.append(member.name)
        if flags or any(isinstance(node, (ast.Assign, ast.AnnAssign)) and "_ignore_" in ast.unparse(node) for node in one.node.body):
            if flags and rows:
                rows = [row for row in rows if row[1].isdecimal() and int(row[1]).bit_count() == 1]
            else:
                return
        name = one.qualname
        if len(rows) == 1:
            ((member_name, text),) = rows
            body = [f"assert {name}[{member_name}].value == {text}", f"assert {name}({text}) is {name}[{member_name}]"]
            self._add(name, "enum", "members", one.line, told, body, sure=True)
        elif rows:
            body = [f"assert {name}[name].value == value", f"assert {name}(value) is {name}[name]"]
            rows = [row for row in rows if len(row[0]) + len(row[1]) < 100]
            self._add(name, "enum", "members", one.line, told, body, parameters=("name", "value"), cases=tuple(rows), sure=True)
        elif autos and not methods:
            body = [f"assert {name}({name}[{written(autos[0])}].value) is {name}[{written(autos[0])}]"]
            self._add(name, "enum", "members", one.line, told, body, sure=False)

    def _dataclass(self, one: Class, told: str) -> None:
        methods = {node.name for node in one.node.body if isinstance(node, ast.FunctionDef)}
        bases = {base.split("[")[0] for base in one.bases}
        if not bases <= NOTHING or methods & {"__init__", "__new__", "__setattr__"} or len(one.decorators) != 1 or one.node.keywords:
            return
        if "init=False" in one.decorators[0].replace(" ", ""):
            return
        if any("InitVar" in field.annotation for field in one.fields):
            return
        texts: dict[str, str] = {}
        for field in one.fields:
            if not field.init or (field.default or "").replace(" ", "").find("init=False") >= 0:
                continue
            found = samples(field.annotation)
            try:
                texts[field.name] = written(found[min(1, len(found) - 1)])
            except (Unknown, IndexError):
                if field.required:
                    return
        made = f"{one.qualname}({', '.join(f'{name}={text}' for name, text in texts.items())})"
        properties = {f.name for f in self.module.functions if f.owner == one.qualname and f.kind == "property"}
        hidden = methods & {"__getattribute__", "__eq__"} or "eq=False" in one.decorators[0].replace(" ", "")
        sure = "__post_init__" not in methods and all(field.required or field.default is not None for field in one.fields)
        if len(made) > 90:
            return
        variable = "one" if one.qualname != "one" else "made"
        operator = {name: "is" if text in ("True", "False", "None") else "==" for name, text in texts.items()}
        if texts and "__getattribute__" not in methods:
            body = [f"{variable} = {made}", ""]
            body += [f"assert {variable}.{name} {operator[name]} {text}" for name, text in texts.items() if name not in properties]
            body += [] if hidden else [f"assert {variable} == {made}"]
            self._add(one.qualname, "dataclass", "keeps_its_fields", one.line, told, body)
        first = next(iter(texts), None)
        if one.frozen and first:
            body = [f"{variable} = {made}", "", "with pytest.raises(FrozenInstanceError):"]
            body += [f"    {variable}.{first} = {texts[first]}"]
            self._add(
                one.qualname, "frozen", "is_frozen", one.line, told, body, imports=(("dataclasses", "FrozenInstanceError"),), sure=sure
            )

    # Pairs

    def _round_trips(self) -> None:
        functions = {one.name: one for one in self.module.functions if one.kind == "function" and not one.nested and not one.replaced}
        for name, one in functions.items():
            other = next((functions[found] for found in _inverse(name) if found in functions), None)
            if other is None or name.startswith("_") or other.name.startswith("_"):
                continue
            if any(f.conditional or f.decorators or f.is_generator or _effect(f) for f in (one, other)):
                continue
            required = [[p for p in f.parameters if p.default is None and not p.kind.startswith("var-")] for f in (one, other)]
            if any(len(own) != 1 or own[0].kind == "keyword-only" for own in required):
                continue
            annotation = required[0][0].annotation
            pool = samples(annotation) if annotation else INPUTS
            if not pool or (one.returns and other.parameters[0].annotation and kinds(one.returns) != kinds(other.parameters[0].annotation)):
                continue
            inner = self._awaited(one, f"{one.name}(value)")
            call = self._awaited(other, f"{other.name}({inner})")
            try:
                cases = tuple((written(value),) for value in pool)
            except Unknown:
                continue
            imports = (("asyncio", ""),) if one.is_async or other.is_async else ()
            names = sorted({one.name, other.name})
            suffix = f"comes_back_from_{other.name}"
            told = signature(one)
            self._add(
                one.qualname, "round trip", suffix, one.line, told, [f"assert {call} == value"],
                names=names, imports=imports, parameters=("value",), cases=cases, covers=(other.qualname,), allowed=one.raises,
            )  # fmt: skip


def _inverse(name: str) -> Iterator[str]:
    """What the opposite of a function may be called: encode_id and decode_id, to_text and from_text, a_to_b and b_to_a."""
    words = name.split("_")
    for there, back in PAIRS:
        if there in words:
            yield "_".join(back if word == there else word for word in words)
    if len(words) >= 3 and "to" in words[1:-1]:
        middle = words.index("to", 1)
        yield "_".join([*words[middle + 1 :], "to", *words[:middle]])


def _own(one: Function) -> tuple[Parameter, ...]:
    """The parameters that a caller gives."""
    bound = one.owner and one.kind not in ("staticmethod", "function")
    return one.parameters[1:] if bound else one.parameters


def _arguments(parameters: Iterable[Parameter], given: dict[str, Any]) -> str:
    """Arguments of a call: by position as long as none is left out."""
    parts: list[str] = []
    skipped = False
    for one in parameters:
        if one.name not in given:
            skipped = True
            continue
        text = written(given[one.name])
        if one.kind == "positional-only" and skipped:
            raise Unknown
        parts.append(f"{one.name}={text}" if one.kind == "keyword-only" or skipped else text)
    return ", ".join(parts)


def _slug(text: str) -> str:
    for sign, word in OPERATORS.items():
        text = text.replace(sign, word)
    text = re.sub(r"[^0-9A-Za-z_]+", "_", text).strip("_").lower()
    return re.sub(r"_+", "_", text)[:50].strip("_") or "it"


def _prints(one: Function) -> bool:
    """Whether a function always writes to stdout, and returns nothing that an example would show."""
    calls = [node.value for node in one.node.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    returns = any(isinstance(node, ast.Return) and node.value for node in ast.walk(one.node))
    return not returns and any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)


def _effect(one: Function) -> str:
    """The first call in a function that may leave traces; empty where there is none."""
    for node in ast.walk(one.node):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            return "`global`"
        if isinstance(node, ast.Call):
            name = values.last_name(node.func)
            head = node.func
            while isinstance(head, (ast.Attribute, ast.Call)):
                head = head.value if isinstance(head, ast.Attribute) else head.func
            root = head.id if isinstance(head, ast.Name) else ""
            if root in CLIENTS or EFFECTS.match(name):
                return shown(f"{root}.{name}" if root and root != name else name)[:40]
    return ""


def _outside(one: Function, module: Module) -> tuple[str, ...]:
    """What a function calls of packages beyond the standard library and the project, as it names it: "requests.get"."""
    foreign = {
        bound.name
        for bound in module.imports
        if not bound.local and not bound.module.startswith(".") and bound.module.split(".")[0] not in sys.stdlib_module_names
    }
    called: dict[str, None] = {}
    for node in ast.walk(one.node):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.split(".")[0] in foreign and all(part.isidentifier() for part in name.split(".")):
                called[name] = None
    return tuple(called)


def _names(module: Module) -> set[str]:
    """What the module's own scope binds, as far as its text says."""
    found: set[str] = set()
    stack: list[ast.stmt] = list(module.tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
        else:
            for part in ("body", "orelse", "finalbody"):
                stack += getattr(node, part, [])
            stack += [inner for handler in getattr(node, "handlers", []) for inner in handler.body]
    return found
