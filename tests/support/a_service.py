"""A project with one service, made of the template's own files, of which any can be left out."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .projects import ROOT

LAYERS = ROOT / "levels"
HEALTH = LAYERS / "1-basic/@service/health.py"
READINESS = LAYERS / "1-basic/@ready/readiness.py"
DRAIN = LAYERS / "2-automated/runtime/drain.py"


def make(folder: Path, readiness: bool = False, drain: bool = False, **runtime: str) -> Path:
    """Make the project at `folder`, and return the folder of its service, the package services.shop.

    `runtime` are modules of runtime/ by name, with their code; `readiness` and `drain` add the template's.
    """
    service = folder / "services/shop"
    service.mkdir(parents=True)
    (service / "__init__.py").touch()
    (service / "health.py").write_bytes(HEALTH.read_bytes())
    if readiness:
        (service / "readiness.py").write_bytes(READINESS.read_bytes())
    runtime |= {"drain": DRAIN.read_text(encoding="utf-8")} if drain else {}
    (folder / "runtime").mkdir()
    for name, code in runtime.items():
        (folder / f"runtime/{name}.py").write_text(code, encoding="utf-8")
    (folder / "config").mkdir()
    ours = ["ci/check.py", *sorted(f"runtime/{name}.py" for name in runtime), "services/shop/health.py"]
    (folder / "config/levels.json").write_text(json.dumps({"ours": ours}))
    return service


@contextmanager
def loaded(path: Path, name: str = "health_of_a_test") -> Iterator[ModuleType]:
    """The module at `path`. What it loads by place in its turn is forgotten afterwards."""
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        for one in [one for one in sys.modules.keys() - before if one == name or " of " in one]:
            del sys.modules[one]


class Answer:
    """What a WSGI application answers: `code`, `headers`, `text`."""

    def __init__(self, app: Callable[..., Any], path: str, method: str = "GET", **environ: Any) -> None:
        given: list[Any] = []
        asked = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
        server = {
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "HTTP_HOST": "127.0.0.1:8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
        }
        wsgi = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
        }
        more = {"wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False}
        body = app({**asked, **server, **wsgi, **more, **environ}, lambda *answer: given.extend(answer))
        self.text = b"".join(body).decode()
        self.code = int(given[0].partition(" ")[0])
        self.headers = dict(given[1])

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)
