"""The reader against what others say of the same files: the compiler, the tokenizer, a newer Python; and
against anything at all.
"""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import sysconfig
import tokenize
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from extensions.source.modules import Module, Unread, read
from tests.support.programs import programs
from tests.support.projects import ROOT
from tests.support.proofs import fresh_machine
from tests.support.scale import scaled

pytestmark = pytest.mark.proof

STDLIB = Path(sysconfig.get_paths()["stdlib"])
# What is written with async, as wheels for every machine.
CORPUS = {
    "aiohttp==3.14.5": "efc21a454892828368b11c2c780de0ff8bc991f73f6b99c6b66e56205470929b",
    "anyio==4.16.0": "c66ae634e0b8228396b801741beb3294326d4b6102f7bba4041c0dfb58c29026",
    "python-telegram-bot==22.8": "42373918097f1b837cc4e717d588c19ea79651497ec712bb5b0c76e5e63c50e1",
    "trio==0.35.0": "9a062a029487c1bdbcc1b2543b729a0bde857ce478b1512c84f391f628e0c5c9",
}

fuzzed = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
Definition = tuple[str, int, bool, bool]  # qualname, first line, generator, async


def standard_library() -> Iterator[Path]:
    return (file for file in sorted(STDLIB.rglob("*.py")) if "site-packages" not in file.parts)


def compiled(content: bytes) -> set[Definition]:
    """Every function and class that the compiler makes of a module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codes = [compile(content, "x", "exec", dont_inherit=True)]
    found = set()
    for code in codes:
        codes += [one for one in code.co_consts if isinstance(one, types.CodeType)]
        if not code.co_name.startswith("<"):
            generator = bool(code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR))
            waits = bool(code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))
            found.add((code.co_qualname, code.co_firstlineno, generator, waits))
    return found


def definitions(module: Module) -> set[Definition]:
    functions = {(one.qualname, one.first_line, one.is_generator, one.is_async) for one in module.functions}
    return functions | {(one.qualname, one.first_line, False, False) for one in module.classes}


def holds_together(module: Module) -> None:
    """What is true of every reading: text is on one line and is Python, lines are inside their definition."""
    for function in module.functions:
        assert function.first_line <= function.line <= function.end_line
        texts: list[str | None] = [
            *function.decorators,
            *(one.default for one in function.parameters),
            *(one.text for one in function.guards),
        ]
        for text in filter(None, texts):
            assert "\n" not in text and (text.isidentifier() or ast.parse(text, mode="eval"))
        for annotation in (function.returns, *(one.annotation for one in function.parameters)):
            assert annotation is None or "\n" not in annotation
        for guard in function.guards:
            assert function.line <= guard.line <= guard.exit_line <= function.end_line
            assert guard.exception in (*function.raises, "")
            assert guard.parameter is None or guard.parameter in {one.name for one in function.parameters}
        assert all(function.line <= one.line <= function.end_line for one in function.examples)


def test_of_every_file_of_the_standard_library_the_reader_finds_what_the_compiler_makes() -> None:
    files, total, dead = 0, 0, 0
    for file in standard_library():
        content = file.read_bytes()
        found = read(content, file.name)
        try:
            wanted = compiled(content)
        except (SyntaxError, ValueError):
            continue  # their own examples of bad files; the reader may know the names nevertheless
        assert isinstance(found, Module), file
        holds_together(found)
        # From 3.12 on type parameters and aliases have code of their own.
        assert wanted <= definitions(found) or sys.version_info >= (3, 12), (
            file,
            wanted - definitions(found),
        )
        dead += len(definitions(found) - wanted)
        files, total = files + 1, total + len(wanted)
    assert files > 500 and total > 10_000
    assert dead <= 20, (
        "code after a return or under `if False` is left out by the compiler, and there is little of it"
    )


def test_every_async_def_is_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Counted by the tokenizer, which knows no syntax tree, in the standard library and four libraries
    written with async.
    """
    machine = fresh_machine(tmp_path_factory)
    corpus = machine.home / "corpus"
    (machine.home / "wanted.txt").write_text(
        "".join(f"{name} --hash=sha256:{digest}\n" for name, digest in CORPUS.items())
    )
    machine.run(
        f"uv pip install --quiet --no-deps --only-binary :all: --require-hashes --target {corpus} -r"
        " wanted.txt",
        machine.home,
    )
    files, total = 0, 0
    for file in [*standard_library(), *sorted(corpus.rglob("*.py"))]:
        content = file.read_bytes()
        if b"async" not in content:
            continue
        found = read(content, file.name)
        if isinstance(found, Unread) and file.is_relative_to(STDLIB):
            continue  # their own examples of bad files
        assert isinstance(found, Module), found
        with file.open("rb") as stream:
            tokens = [
                one
                for one in tokenize.tokenize(stream.readline)
                if one.type not in (tokenize.COMMENT, tokenize.NL)
            ]
        pairs = zip(tokens, tokens[1:], tokens[2:], strict=False)
        counted = sorted(
            (first.start[0], name.string)
            for first, second, name in pairs
            if (first.string, second.string) == ("async", "def")
        )
        assert sorted((one.line, one.name) for one in found.functions if one.is_async) == counted, file
        files, total = files + 1, total + len(counted)
    assert files > 200 and total > 2_000


def test_names_in_files_for_a_newer_python_are_those_that_it_finds(tmp_path: Path) -> None:
    """A Python that can't parse a file names its definitions as the one does that can."""
    newer = _newer_python()
    code = (
        "import json, sys, sysconfig; from pathlib import Path; from extensions.source.modules import Module,"
        " read\ndef said(one): return [[d.qualname.rsplit('.', 1)[-1], d.line] for d in (*one.functions,"
        " *one.classes)]\nstdlib = Path(sysconfig.get_paths()['stdlib'])\nfiles ="
        " sorted([*stdlib.glob('[dt]*.py'), *stdlib.glob('test/test_[dft]*.py')])\nreadings = ((f,"
        " read(f.read_bytes(), '')) for f in files)\nprint(json.dumps({str(f): sorted(said(one)) for f, one"
        " in readings if isinstance(one, Module)}))\n"
    )
    done = subprocess.run(
        [newer, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        capture_output=True,
        check=True,
    )
    compared = 0
    for file, wanted in json.loads(done.stdout).items():
        found = read(Path(file).read_bytes(), file)
        if isinstance(found, Unread):
            assert sorted([one.qualname.rsplit(".", 1)[-1], one.line] for one in found.names) == wanted, file
            compared += 1
    assert compared > 5


def _newer_python() -> str:
    """A Python with syntax that the running one doesn't know."""
    for minor in range(14, max(sys.version_info[1], 11), -1):
        pyenv = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
        if pyenv and sys.version_info[1] < 12:
            return str(pyenv[-1])
    pytest.skip(
        "Python 3.13 is not to be had here"
        if sys.version_info[1] < 12
        else "Python 3.12 is not to be had here"
    )


@pytest.mark.soak
@given(programs(), st.sampled_from(["utf-8", "utf-8-sig", "latin-1"]), st.sampled_from(["\n", "\r\n", "\r"]))
@settings(fuzzed, max_examples=scaled(2_500))
def test_random_programs_are_read_as_the_compiler_reads_them(program: str, encoding: str, end: str) -> None:
    cookie = f"# coding: {encoding}\n" * (encoding == "latin-1")  # Python looks for it up to the first "\n"
    text = cookie + program.replace("\n", end)
    content = text.encode(encoding)
    try:
        wanted = compiled(content)
    except SyntaxError:
        wanted = None  # the compiler forbids more than the parser does: a "yield from" in an async def
    found = read(content, "x.py")
    assert isinstance(found, Module), (found, text)
    assert wanted is None or definitions(found) == wanted
    holds_together(found)


@pytest.mark.soak
@given(
    programs(),
    st.lists(st.tuples(st.integers(0), st.binary(max_size=3), st.integers(0, 40)), min_size=1, max_size=4),
)
@settings(fuzzed, max_examples=scaled(2_500))
def test_a_program_that_was_damaged_is_read_or_named(
    program: str, damages: list[tuple[int, bytes, int]]
) -> None:
    content = program.encode()
    for at, put, removed in damages:
        begin = at % (len(content) + 1)
        content = content[:begin] + put + content[begin + removed :]
    read_or_named(content)


@pytest.mark.soak
@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf# coding: latin-1\n")
@example(b"# coding: utf-7\n+AAA-")
@example(b"# coding: idna\nx")
@example(b"# coding: bz2\nx")
@example(b"# coding: unicode_escape\n\\ud800 = 1")
@example(b"\\")
@example(b'f"{' * 200)
@settings(fuzzed, max_examples=scaled(15_000))
def test_random_bytes_are_read_or_named(content: bytes) -> None:
    read_or_named(content)


def read_or_named(content: bytes) -> None:
    """Never an exception, and refused just where the parser refuses."""
    found = read(content, "x.py")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(content)
    except Exception:
        assert isinstance(found, Unread)
        assert found.reason and found.reason.isprintable() and found.line >= 0
    else:
        assert isinstance(found, Module), found
        holds_together(found)
