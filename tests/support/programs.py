"""Random programs that Python takes: every kind of statement that can hold or hide a definition, in any
nesting.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

NAMES = st.sampled_from(["f", "g", "shop", "größe", "_", "__new__", "total", "f"])
EXPRESSIONS = st.sampled_from(
    [
        "x",
        "x > 1",
        "'{'",
        '"# no"',
        "b.c(1)",
        "[1, 2]",
        "lambda a=1: a",
        "not x",
        "'ü' 'ö'",
        "(\n1 +\n2)",
        "{'a': x}",
    ]
)
ANNOTATIONS = st.sampled_from(
    ["int", "'list[int]'", "dict[str, int]", "a.b", "int | None", "'ü'", "tuple[\n  int,  # one\n  str]"]
)
EXCEPTIONS = st.sampled_from(["ValueError", "errors.Wrong('no')", "e", "KeyError(\n'x') from None"])
DOCSTRINGS = st.sampled_from(
    ['"""Say."""', "'''\n>>> f(1)\n1\n'''", 'r"""\\d"""', '"def f(): pass"', '"""\n>>>broken\n"""']
)

Lines = list[str]


@st.composite
def programs(draw: st.DrawFn) -> str:
    """The text of a module, with "\\n" at the line ends."""
    return "\n".join(draw(_body(0, False, False))) + "\n"


@st.composite
def _body(draw: st.DrawFn, depth: int, function: bool, waits: bool) -> Lines:
    count = draw(st.integers(1, 4 if depth < 2 else 2))
    return [line for _ in range(count) for line in draw(_statement(depth, function, waits))]


@st.composite
def _statement(draw: st.DrawFn, depth: int, function: bool, waits: bool) -> Lines:
    simple = [
        "pass",
        "import a.b as c",
        "from . import d",
        "assign",
        "raise",
        "docstring",
        *(["yield"] if function else []),
    ]
    nested = ["def", "async def", "class", "if", "for", "while", "try", "with", "match"]
    kind = draw(st.sampled_from(simple + nested if depth < 4 else simple))

    def inside(function: bool = function, waits: bool = waits) -> Lines:
        return ["    " + line for line in draw(_body(depth + 1, function, waits))]

    def expression() -> str:
        return draw(EXPRESSIONS)

    match kind:
        case "assign":
            return [f"x = {expression()}"]
        case "raise":
            return [f"if x != ({expression()}):", f"    raise {draw(EXCEPTIONS)}"]
        case "docstring":
            return [draw(DOCSTRINGS)]
        case "yield":
            return [
                draw(
                    st.sampled_from(
                        ["yield", "x = yield 1", "h((yield))", *(["await x"] if waits else ["yield from x"])]
                    )
                )
            ]
        case "def" | "async def":
            head = f"{kind} {draw(NAMES)}({draw(_parameters())})" + draw(
                st.sampled_from(["", f" -> {draw(ANNOTATIONS)}"])
            )
            if draw(st.integers(0, 5)) == 0:
                return [*draw(_decorators()), head + ": pass"]
            start = [f"    {draw(DOCSTRINGS)}"] if draw(st.booleans()) else []
            return [*draw(_decorators()), head + ":", *start, *inside(True, kind == "async def")]
        case "class":
            base = draw(st.sampled_from(["", "()", "(Enum)", "(a.B, metaclass=M)"]))
            return [*draw(_decorators()), f"class {draw(NAMES)}{base}:", *inside(False, False)]
        case "if":
            more: list[Callable[[], Lines]] = [
                lambda: [],
                lambda: ["else:", *inside()],
                lambda: [f"elif {expression()}:", *inside(), "else:", *inside()],
            ]
            # Here as in `raise`: a condition with a name is never constant, so that the compiler drops no
            # branch.
            return [f"if h({expression()}):", *inside(), *draw(st.sampled_from(more))()]
        case "for" | "while":
            head = f"for i in h({expression()}):" if kind == "for" else f"while h({expression()}):"
            return [head, *inside(), *(["else:", *inside()] if draw(st.booleans()) else [])]
        case "try":
            return [
                "try:",
                *inside(),
                "except (E, b.F) as e:",
                *inside(),
                "else:",
                *inside(),
                "finally:",
                *inside(),
            ]
        case "with":
            return [f"with h({expression()}) as w:", *inside()]
        case "match":
            return [
                f"match h({expression()}):",
                "    case 1:",
                *("    " + one for one in inside()),
                "    case _:",
                "        pass",
            ]
    return [kind]


@st.composite
def _parameters(draw: st.DrawFn) -> str:
    def one(name: str, needs: bool) -> str:
        annotation = draw(st.sampled_from(["", f": {draw(ANNOTATIONS)}"]))
        return name + annotation + (f" = {draw(EXPRESSIONS)}" if needs else "")

    names = ["a", "b", "größe", "d"][: draw(st.integers(0, 4))]
    first = draw(st.integers(0, 4))  # from here on they have defaults
    parts = [one(name, number >= first) for number, name in enumerate(names)]
    if parts and draw(st.booleans()):
        parts.insert(draw(st.integers(1, len(parts))), "/")
    if draw(st.booleans()):
        parts += [one("*rest", False), one("late", draw(st.booleans()))]
    if draw(st.booleans()):
        parts.append(one("**others", False))
    return ", ".join(parts)


@st.composite
def _decorators(draw: st.DrawFn) -> Lines:
    return draw(
        st.lists(
            st.sampled_from(
                [
                    "@a.b",
                    "@cache(\n  1)",
                    "@staticmethod",
                    "@property",
                    "@f.setter",
                    "@dataclass(frozen=True)",
                ]
            ),
            max_size=2,
        )
    )
