"""The code on the pages of the documentation runs as it is printed, page by page and from top to bottom."""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import mmfields as mm

sys.path.append(str(Path(__file__).parent / "io"))
sys.path.append(str(Path(__file__).parent.parent / "docs"))
import generate
from builders import athdf

DOCS = Path(__file__).resolve().parent.parent / "docs"
GENERATED = ("api", "gallery", "_build")
PAGES = sorted(p for p in DOCS.rglob("*.md") if p.relative_to(DOCS).parts[0] not in GENERATED)


def blocks(path: Path) -> list[tuple[int, str]]:
    """Line number and text of each block of Python on a page."""
    text = path.read_text()
    found = re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(text[: match.start(1)].count("\n"), match[1]) for match in found]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files that the pages take for the reader's own run: two outputs of Athena++."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    ds = mm.samples.load("mhd_turbulence").isel(x=slice(32), y=slice(32), z=slice(32)).load()
    momenta = [(ds[f"u{c}"] * ds.rho).values for c in "xyz"]
    fields = [ds.rho.values, *momenta, *(ds[f"B{c}"].values for c in "xyz")]
    for number, sign in enumerate((1, -1)):
        arrays = np.stack([f * (sign if k > 3 else 1) for k, f in enumerate(fields)])
        athdf(tmp_path / "run" / f"turb.{number:05d}.athdf", arrays, (16, 16, 16), time=float(number))
    lines = ["# Athena++ history data", "# [1]=time  [2]=dt  [3]=mass", "0.0 0.1 1.0", "1.0 0.1 1.0"]
    (tmp_path / "run" / "turb.hst").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(DOCS)))
def test_the_code_of_a_page_runs(page, workplace):
    plt.switch_backend("agg")
    names: dict = {"__name__": "__main__"}
    try:
        for line, block in blocks(page):
            exec(compile("\n" * line + block, str(page), "exec"), names)
    finally:
        plt.close("all")


# They need other programs' packages or files, or make whole figures or reports.
WITHOUT_EXAMPLE = {
    "mmfields.report",
    "mmfields.faraday.rm_synthesis",
    "mmfields.io.from_giverny",
    "mmfields.io.from_openpmd_viewer",
    "mmfields.io.from_yt",
    "mmfields.io.virtualize",
    "mmfields.paper.compute",
    "mmfields.paper.figure",
    "mmfields.paper.run",
    "mmfields.samples.shipped",
}

# What functions are made with, for those who write their own.
DEVELOPERS = ("mmfields.conventions.", "mmfields.provenance.")


def test_every_public_function_has_an_example_that_runs():
    """In its docstring, or on a page of the documentation."""
    used = generate.uses(DOCS, DOCS.parent / "notebooks")
    things = {name: getattr(import_module(name.rsplit(".", 1)[0]), name.rsplit(".", 1)[1]) for name in used}
    functions = {n: thing for n, thing in things.items() if inspect.isfunction(thing) and not n.startswith(DEVELOPERS)}
    assert len(functions) > 150
    shown = {name for name, thing in functions.items() if used[name] or ">>> " in (thing.__doc__ or "")}
    assert functions.keys() - shown - WITHOUT_EXAMPLE == set()
