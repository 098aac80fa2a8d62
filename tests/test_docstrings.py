"""The examples in docstrings give what they print."""

import doctest
from importlib import import_module
from pathlib import Path

import matplotlib
import pytest

import mmfields

PACKAGE = Path(mmfields.__file__).parent


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def examples(path: Path) -> list[str]:
    """Lines of examples that can run anywhere."""
    lines = path.read_text().splitlines()
    return [line for line in lines if line.lstrip().startswith(">>> ") and "doctest: +SKIP" not in line]


MODULES = sorted(module_of(path) for path in PACKAGE.rglob("*.py") if examples(path))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    failed, tried = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert tried > 0 and failed == 0
