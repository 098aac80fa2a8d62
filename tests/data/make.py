"""Write the small files beside this script, one or more of each format, as the codes lay them out.

    python tests/data/make.py [FOLDER]

They are no runs: every number says where it lies.  The value of variable v (counted from 1) in the cell (k, j, i) along
z, y, x is 1000 v + 100 k + 10 j + i, so that swapped axes, components and byte orders show.  The writers are those of
the tests, ``tests/io/builders.py`` and ``code_builders.py``, which follow the codes' own output routines byte by byte.
"""

import sys
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "io"), str(HERE.parent.parent)]

import builders  # noqa: E402
import code_builders  # noqa: E402

import mmfields as mm  # noqa: E402

SHAPE = (4, 6, 8)  # z, y, x
BLOCK = (4, 3, 2)  # x, y, z
EDGES = [np.linspace(0, 4, 9), np.linspace(-3, 3, 7), np.linspace(1, 9, 5)]  # x, y, z
B = slice(4, 7)
CENTRE = (0.5, 0.5, 0.5)


def numbers(count: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Variables over (variable, z, y, x)."""
    k, j, i = np.indices(shape)
    return np.stack([1000 * (v + 1) + 100 * k + 10 * j + i for v in range(count)]).astype(np.float32)


def athena(folder: Path) -> None:
    """Athena++, AthenaK, Athena-C and PEGASUS++, all in blocks where the code has them."""
    fields = numbers(7)
    edges = [np.arange(n + 1.0) for n in SHAPE[::-1]]
    builders.nbf(folder / "pegasus" / "turb.00001.nbf", fields, BLOCK)
    builders.nbf(folder / "pegasus" / "big_endian.00001.nbf", fields, BLOCK, big=True, forcing=True)
    builders.athdf(folder / "athena" / "turb.out2.00001.athdf", fields, BLOCK)
    builders.athdf(folder / "athena" / "packed.out2.00001.athdf", fields, BLOCK, dtype=">f4", compression="gzip")
    title = "# Athena++ data at time=0.5  cycle=7  variables=prim "
    for block, half in enumerate((slice(0, 4), slice(4, 8))):
        part, own = fields[..., half], [edges[0][half.start : half.stop + 1], *edges[1:]]
        path = folder / "athena" / f"turb.block{block}.out2.00001.vtk"
        builders.legacy_vtk(path, title, own, [("rho", part[0])], [("vel", part[1:4]), ("Bcc", part[B])])
    code_builders.athena_bin(folder / "athena_c" / "turb.0001.bin", numbers(8))
    builders.athenak(folder / "athenak" / "turb.mhd_w_bcc.00001.bin", fields, BLOCK, names=builders.NAMES)
    builders.athenak(folder / "athenak" / "turb.mhd_w_bcc.00001.cbin", fields, BLOCK, names=builders.NAMES, coarse=2)


def particle_in_cell(folder: Path) -> None:
    """WarpX as plotfile and openPMD, Entity, Tristan-MP of both versions, VPIC and OSIRIS."""
    fields = numbers(7)[B]
    boxes = [((0, 0, 0), fields[:, :, :3]), ((0, 3, 0), fields[:, :, 3:])]
    plotfile = builders.plotfile(folder / "warpx" / "diag00010", [boxes], SHAPE[::-1])
    (plotfile / "WarpXHeader").write_text("Checkpoint version: 1\n")
    meshes = {"B": {c: (fields[i], CENTRE) for i, c in enumerate("xyz")}}
    builders.openpmd(folder / "warpx" / "openpmd_000010.h5", {10: meshes})
    named = dict(zip(("fB1", "fB2", "fB3"), fields, strict=True))
    code_builders.entity(folder / "entity" / "fields.00000001.h5", {0: (1.5, named)}, EDGES)
    named = dict(zip(("ex", "ey", "ez", "bx", "by", "bz"), numbers(7)[1:], strict=True))
    one = {"c_omp": 5.0, "istep": 2, "time": 12.0}
    two = {"plasma:c_omp": 5.0, "output:istep": 2, "algorithm:c": 0.5, "timestep": 120}
    code_builders.tristan(folder / "tristan_v1" / "flds.tot.007", named, parameters=one)
    code_builders.tristan(folder / "tristan_v2" / "flds.tot.00012", named, step=2, parameters=two, stem="params")
    code_builders.vpic(folder / "vpic", numbers(24), {"ehydro": numbers(14)}, (2, 3, 1))
    for name, data in zip(("b1", "b2", "b3"), fields, strict=True):
        code_builders.osiris(folder / "osiris" / f"{name}-000012.h5", name, data, limits=[(0, 4), (-3, 3), (1, 9)])


def pluto(folder: Path) -> None:
    """PLUTO in double and single precision, and as VTK."""
    fields, names = numbers(7), ("rho", "vx1", "vx2", "vx3", "Bx1", "Bx2", "Bx3")
    code_builders.pluto_grid(folder, EDGES)
    for kind in ("dbl", "flt"):
        code_builders.pluto_table(folder, kind, names, number=1)
        (folder / f"data.0001.{kind}").write_bytes(fields.astype({"dbl": "<f8", "flt": "<f4"}[kind]).tobytes())
    code_builders.pluto_table(folder, "vtk", names, number=1)
    named = dict(zip(names, fields, strict=True))
    code_builders.pluto_vtk(folder / "data.0001.vtk", EDGES, named, time=0.5)


def others(folder: Path) -> None:
    """A cutout of the Johns Hopkins database, and what mmfields itself writes."""
    fields = numbers(7)
    with h5py.File(folder / "jhtdb" / "cutout.h5", "w") as file:
        file.attrs["dataset"] = "mhd1024"
        for c, n in zip("xyz", SHAPE[::-1], strict=True):
            file[f"{c}coor"] = (np.arange(n) * 2 * np.pi / 1024).astype("f4")
        file["Velocity_0001"] = np.moveaxis(fields[1:4], 0, -1)
        file["Magneticfield_0001"] = np.moveaxis(fields[B], 0, -1)
    spacing = {"z": 2.0, "y": 1.0, "x": 0.5}
    named = dict(zip(("Bx", "By", "Bz"), fields[B], strict=True))
    ds = mm.io.from_arrays(**named, spacing=spacing, dims=("z", "y", "x"), time=0.5)
    ds.to_netcdf(folder / "own" / "snapshot.nc")
    mm.store(ds, folder / "own" / "snapshot.zarr", progress=False)


def main(folder: Path) -> None:
    athenas, codes = ("pegasus", "athena", "athena_c", "athenak"), ("warpx", "entity", "vpic", "osiris", "pluto")
    for name in (*athenas, *codes, "tristan_v1", "tristan_v2", "jhtdb", "own"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    athena(folder)
    particle_in_cell(folder)
    pluto(folder / "pluto")
    others(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
