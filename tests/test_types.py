"""The public surface is typed, its users' code is checked, and the rest has no more errors than it had."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mmfields as mm

ROOT = Path(__file__).resolve().parent.parent
# Errors of mypy inside the package.  The number may only fall: whoever mends some lowers it.
MOST_ERRORS = 446
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
        for i, block in enumerate(CODE.findall(page.read_text(encoding="utf-8"))):
            kept = [line for line in block.splitlines() if not line.startswith((":", "%", "!", "---"))]
            where = re.sub(r"\W+", "_", str(page.relative_to(ROOT)))
            (folder / f"snippet_{where}_{i}.py").write_text(PRELUDE + "\n".join(kept) + "\n")
    (folder / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    command += ["--cache-dir", str(folder / "cache"), str(ROOT / "mmfields"), *map(str, sorted(folder.glob("*.py")))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode in (0, 1), done.stderr + done.stdout[-2000:]
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def test_errors_in_the_package_may_only_become_fewer(checked):
    own = [line for line in checked if re.match(r"(.*/)?mmfields/", line)]
    assert len(own) <= MOST_ERRORS, "\n".join(own[:20])


def test_snippets_of_the_readme_and_the_manual_are_of_the_right_types(checked):
    """Names that an earlier block defines are not known here, nor what each value of a dict of options is."""
    unknown = re.compile(r"\[name-defined\]|incompatible type \"\*\*dict\[")
    assert [line for line in checked if "snippet_" in line and not unknown.search(line)] == []


def test_wrong_code_is_found(checked):
    wrong = [line for line in checked if "wrong.py" in line]
    assert len(wrong) == 3 and "pusher" in wrong[0] and "edge" in wrong[1] and "traces" in wrong[2]
