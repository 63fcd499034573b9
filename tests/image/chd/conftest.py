"""What is compiled is also plain Python: the tests are of both."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from isofs.image import chd
from isofs.image.chd import codecs, flac, huffman
from isofs.image.chd import map as hunk_map


def in_python(name: str) -> ModuleType:
    """The source of a module of the package, not compiled."""
    full = f"{chd.__name__}.{name}"
    spec = spec_from_loader(full, SourceFileLoader(full, str(Path(chd.__file__).with_name(f"{name}.py"))))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled(module: ModuleType) -> ModuleType:
    """The module, which must be a compiled one. In CI a skip fails the run."""
    if str(module.__file__).endswith(".py"):
        pytest.skip("install with a C compiler")
    return module


@pytest.fixture(params=["compiled", "Python"])
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """The modules of FLAC and of Huffman codes, which are those that serve."""
    if request.param == "compiled":
        return compiled(sys.modules[flac.__name__]), compiled(sys.modules[huffman.__name__])
    slow_flac, slow_huffman = in_python("flac"), in_python("huffman")
    monkeypatch.setattr(codecs, "flac", slow_flac)
    monkeypatch.setattr(codecs, "huffman", slow_huffman)
    monkeypatch.setattr(hunk_map, "decode_map", slow_huffman.decode_map)
    return slow_flac, slow_huffman
