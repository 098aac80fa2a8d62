"""The public surface and its users' code pass mypy --strict, and the rest has no more errors than it had."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mmfields as mm

ROOT = Path(__file__).resolve().parent.parent
# Errors of mypy inside the package, without what --strict adds.  It may only fall: whoever mends some lowers it.
MOST_ERRORS = 260
# What --strict adds: of functions of the house, whose types are not all written down.
STRICT = re.compile(r"\[(no-untyped-\w+|no-any-return|untyped-decorator|type-arg|comparison-overlap|unused-ignore)\]$")
REEXPORT = "does not explicitly export"
# Functions of the house, which its own modules call with anything.
HOUSE = ("conventions", "provenance", "paper")
# Objects of packages that mmfields does not import.
FOREIGN = {("io", "from_yt", "ds")}

CODE = re.compile(r"^```(?:python|\{code-cell\}[^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PRELUDE = """import mmfields as mm
import numpy as np
import xarray as xr
from astropy import units as u
ds: xr.Dataset
tr: xr.Dataset
"""
WRONG = """import mmfields as mm
ds = mm.open_snapshot("run.athdf")
tr = mm.trace(ds, ds, step=0.1, distance=1.0, pusher="boriss")
mm.fourier.band(edge=3)
mm.traces
"""


def functions():
    for module in mm._MODULES:
        names = getattr(getattr(mm, module), "__all__", None)
        for name in names or ():
            found = getattr(getattr(mm, module), name)
            if inspect.isfunction(found) and module not in HOUSE:
                yield module, name, inspect.signature(found)


def test_no_parameter_and_no_result_of_a_public_function_is_of_any_type():
    bare = [
        (module, name, parameter.name)
        for module, name, signature in functions()
        for parameter in signature.parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD and parameter.annotation in (Any, parameter.empty)
    ]
    assert set(bare) == FOREIGN
    results = [(m, n) for m, n, signature in functions() if signature.return_annotation in (Any, signature.empty)]
    assert results == []
    assert sum(1 for _ in functions()) > 100


def test_what_checkers_see_is_what_is_there():
    """The names of the stub are those that are loaded on first use, from where they are."""
    text = (ROOT / "mmfields/__init__.pyi").read_text()
    seen = re.findall(r"^from mmfields(?:\.(\w+))? import (\w+) as (\w+)$", text, re.MULTILINE)
    assert all(name == again for _, name, again in seen)
    assert {name: room for room, name, _ in seen} == dict.fromkeys(mm._MODULES, "") | mm._NAMES


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """What mypy says of the package, of the snippets of the README and the manual, and of wrong code."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    folder = tmp_path_factory.mktemp("types")
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        blocks = "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
        kept = [line for line in blocks.splitlines() if not line.startswith((":", "%", "!", "---"))]
        where = re.sub(r"\W+", "_", str(page.relative_to(ROOT)))
        (folder / f"snippet_{where}.py").write_text(PRELUDE + "\n".join(kept) + "\n")
    (folder / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--allow-redefinition"]
    command += ["--config-file", str(ROOT / "pyproject.toml")]
    command += ["--cache-dir", str(folder / "cache"), str(ROOT / "mmfields"), *map(str, sorted(folder.glob("*.py")))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode in (0, 1), done.stderr + done.stdout[-2000:]
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def test_errors_in_the_package_may_only_become_fewer(checked):
    own = [line for line in checked if re.match(r"(.*/)?mmfields/", line)]
    own = [line for line in own if not STRICT.search(line) and REEXPORT not in line]
    assert len(own) <= MOST_ERRORS, f"{len(own)} errors: " + "\n".join(own[:20])


def test_snippets_of_the_readme_and_the_manual_are_of_the_right_types(checked):
    """All that a page runs, in strict mode.

    What each value of a dict of options is, is not known, and functions of the reader's own need no types.
    """
    unknown = re.compile(r"incompatible type \"\*\*dict\[|\[no-untyped-def\]$")
    assert [line for line in checked if "snippet_" in line and not unknown.search(line)] == []


def test_the_stub_is_strict(checked):
    assert [line for line in checked if "__init__.pyi" in line] == []


def lines_of_signatures():
    """File and lines of the signature of every public function and method."""
    for module in mm._MODULES:
        for name in getattr(getattr(mm, module), "__all__", ()):
            found = getattr(getattr(mm, module), name)
            members = [v for k, v in vars(found).items() if k[0] != "_"] if inspect.isclass(found) else [found]
            for member in members:
                function = inspect.unwrap(member.fget if isinstance(member, property) else member)
                if inspect.isfunction(function) and function.__module__.startswith("mmfields."):
                    source, first = inspect.getsourcelines(function)
                    last = next((i for i, line in enumerate(source) if re.search(r":\s*(\.\.\.)?$", line)), 0)
                    where = Path(inspect.getsourcefile(function)).relative_to(Path(mm.__file__).parent)
                    yield f"mmfields/{where}", range(first, first + last + 1)


def test_signatures_of_the_public_surface_are_strict(checked):
    """No generic without its arguments, and nothing without a type, in the signature of any public function."""
    found = [re.match(r"(?:.*/)?(mmfields/[^:]+):(\d+): error: (.*)", line) for line in checked]
    errors = [(m[1], int(m[2]), m[3]) for m in found if m is not None]
    signatures = list(lines_of_signatures())
    assert len(signatures) > 200
    assert [e for e in errors for file, lines in signatures if e[0] == file and e[1] in lines] == []


def test_wrong_code_is_found(checked):
    wrong = [line for line in checked if "wrong.py" in line]
    assert len(wrong) == 3 and "pusher" in wrong[0] and "edge" in wrong[1] and "traces" in wrong[2]
