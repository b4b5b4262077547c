"""Where Copier enters: loads this folder as a package of its own, named after its content.

One `copier update` runs two versions of the template in one process. Under a plain name the second would get
the first one's modules.
"""

import hashlib
import importlib.util
import sys
from pathlib import Path

_folder = Path(__file__).parent
_name = (
    "copier_levels_"
    + hashlib.sha256(b"\0".join(p.read_bytes() for p in sorted(_folder.rglob("*.py")))).hexdigest()[:16]
)
# The clone goes when Copier ends, and with it what would be compiled into it.
_written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
if _name not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        _name, _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])
# Copier clones the template several times in one process, and the first clone goes: what is imported later
# comes from this one.
for _package in [name for name in sys.modules if name == _name or name.startswith(f"{_name}.")]:
    if hasattr(sys.modules[_package], "__path__"):
        sys.modules[_package].__path__ = [str(_folder.joinpath(*_package.split(".")[1:]))]

Levels = importlib.import_module(f"{_name}.rendering.hook").Levels
sys.dont_write_bytecode = _written
