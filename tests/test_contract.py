"""The house rules: imports run one way, importing stays cheap, kernels run interpreted too."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mmfields

PACKAGE = Path(mmfields.__file__).parent
# From the top down; rooms on one line are siblings and do not know each other.
STOREYS = [
    ["__main__"],
    ["accessor"],
    ["cli"],
    ["reporting", "paper", "warming"],
    ["plot"],
    ["estimators", "lines"],
    ["transport", "theory"],
    ["tracing"],
    ["anisotropy", "faraday", "fields"],
    ["spectra", "turbulence", "particles", "scattering"],
    ["fourier", "samples"],
    ["strength"],
    ["io", "kernels"],
    ["cluster"],
    ["units"],
    ["conventions"],
    ["provenance"],
    ["identity"],
    ["errors", "_compat", "_types", "_renamed"],
]
# Circles of imports between files that are still to be mended; an entry that is mended is to be taken out.
KNOWN: set[frozenset[str]] = set()
LEVEL = {room: level for level, rooms in enumerate(STOREYS) for room in rooms}


def imported(path: Path) -> set[str]:
    """Names of mmfields modules that a file imports anywhere, and of other top-level packages."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or p.name != "__init__.py"]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downward(path):
    own = room_of(path)
    assert own in LEVEL, f"{own} has no storey in the contract"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "mmfields" or len(parts) < 2 or parts[1] not in LEVEL:
            continue
        other = parts[1]
        assert other == own or LEVEL[other] > LEVEL[own], f"{own} imports {other}"


def file_of(name: str) -> Path | None:
    """The file that a module's name, or that of something in a module, stands for."""
    for parts in (name.split("."), name.split(".")[:-1]):
        place = PACKAGE.parent.joinpath(*parts)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if parts[:1] == ["mmfields"] and file.exists():
                return file
    return None


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Groups of files of which each one leads to all others."""
    reached = {}
    for start in graph:
        waiting, seen = [start], set()
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        reached[start] = seen
    return {frozenset(b for b in seen if a in reached[b]) for a, seen in reached.items() if a in seen}


def test_files_import_each_other_in_no_circle():
    graph = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        files = {file_of(name) for name in imported(path)} - {None, path}
        graph[str(path.relative_to(PACKAGE))] = {str(file.relative_to(PACKAGE)) for file in files}
    found = circles(graph)
    assert found == KNOWN, f"new circles: {found - KNOWN}; mended ones: {KNOWN - found}"
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {frozenset("bc")}


def test_kernels_know_numpy_and_numba_only():
    for path in (PACKAGE / "kernels").glob("*.py"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert tops - sys.stdlib_module_names <= {"numpy", "numba", "llvmlite", "mmfields"}, path
        assert all(n.startswith("mmfields.kernels") for n in imported(path) if n.startswith("mmfields"))


def loaded_after(code: str, *names: str) -> list[str]:
    probe = f"{code}\nimport sys\nprint([m for m in {names!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout.strip().splitlines()[-1])


def test_importing_is_cheap():
    heavy = ("numba", "matplotlib", "distributed", "dask", "xarray", "scipy", "h5py", "astropy")
    assert loaded_after("import mmfields", *heavy) == []


ENGINES = (
    *("pegasus", "athdf", "athena_vtk", "athenak", "openpmd", "jhtdb", "amrex"),
    *("pluto", "entity", "tristan", "vpic", "osiris", "athena_bin"),
)


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_modules_are_cheap(engine):
    assert loaded_after(f"import mmfields.io.{engine}", "numba", "matplotlib", "distributed") == []


def test_opening_with_any_engine_is_cheap(shared):
    files = {
        "pegasus": "pegasus/mock_example.nbf",
        "athdf": "athena_athdf/uni/Blast.out2.00002.athdf",
        "athena_vtk": "athena_vtk/chem_cgk_input.vtk",
        "athenak": "athenak_bin/CPAW.mhd_w_bcc.00000.bin",
        "openpmd": "openpmd/warp-2d-data00000255.h5",
        "jhtdb": "jhtdb/isotropic1024coarse.h5",
        "amrex": "warpx_mirror/plt001064",
    }
    code = "import xarray as xr\n" + "\n".join(
        f"xr.open_dataset({str(shared / 'data' / file)!r}, engine={engine!r}, chunks={{}})"
        for engine, file in files.items()
    )
    assert loaded_after(code, "numba", "matplotlib") == []


def test_public_names():
    import mmfields as mm

    assert set(mm.__all__) <= set(dir(mm))
    for name in mm.__all__:
        assert getattr(mm, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = mm.nonsense
    assert (PACKAGE / "py.typed").exists()


def test_public_functions_are_documented_and_typed():
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                where = f"{path.name}: {node.name}"
                assert ast.get_docstring(node), where
                if "kernels" not in path.parts:
                    assert node.returns is not None, where
                    assert all(a.annotation for a in node.args.args + node.args.kwonlyargs), where


def test_functions_have_at_most_eight_parameters():
    """In the rooms of the kernels and of tracing; more than eight belong together in a tuple that has a name."""
    many = set()
    for path in [p for room in ("kernels", "tracing") for p in sorted((PACKAGE / room).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                given = node.args
                names = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                if len([name for name in names if name]) > 8:
                    many.add((str(path.relative_to(PACKAGE)), getattr(node, "name", "lambda")))
    assert many == {("tracing/__init__.py", "trace")}


def test_kernels_run_interpreted():
    """The physics tests of the kernels pass without the compiler."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(here / "kernels")],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        cwd=here,
    )
    assert done.returncode == 0, done.stdout[-3000:]
