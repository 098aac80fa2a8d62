"""Writers of small files as PLUTO, Entity, Tristan-MP, VPIC, OSIRIS and Athena-C lay them out."""

import struct
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

AXES = "xyz"


def pluto_grid(folder: Path, edges, *, geometry="CARTESIAN") -> None:
    """``grid.out`` of the edges along x1, x2, x3."""
    lines = ["# PLUTO 4.4", f"# DIMENSIONS: {sum(len(e) > 2 for e in edges)}", f"# GEOMETRY:   {geometry}"]
    for axis in edges:
        lines.append(f"{len(axis) - 1} ")
        lines += [f" {i + 1}   {a:.12e}    {b:.12e}" for i, (a, b) in enumerate(pairwise(axis))]
    (folder / "grid.out").write_text("\n".join(lines) + "\n")


def pluto_table(folder: Path, kind: str, names, *, mode="single_file", order="little", number=0, time=0.5) -> None:
    """A line of ``dbl.out`` and its like."""
    with open(folder / f"{kind}.out", "a") as file:
        file.write(f"{number} {time:.6e} 1e-4 7 {mode} {order} {' '.join(names)} \n")


def pluto_vtk(path: Path, edges, scalars, *, vectors=None, time=None) -> Path:
    """Legacy VTK as PLUTO writes it; `scalars` and `vectors` by name, (z, y, x) and (3, z, y, x)."""
    points = [len(e) if len(e) > 2 else 1 for e in edges]
    out = b"# vtk DataFile Version 2.0\nPLUTO 4.4 VTK Data\nBINARY\nDATASET RECTILINEAR_GRID\n"
    if time is not None:
        out += b"FIELD FieldData 1\nTIME 1 1 double\n" + struct.pack(">d", time) + b"\n"
    out += f"DIMENSIONS {points[0]} {points[1]} {points[2]}\n".encode()
    for name, axis, n in zip("XYZ", edges, points, strict=True):
        out += f"{name}_COORDINATES {n} float\n".encode() + np.asarray(axis[:n], ">f4").tobytes() + b"\n"
    out += f"CELL_DATA {int(np.prod([max(n - 1, 1) for n in points]))}\n".encode()
    for name, data in scalars.items():
        out += f"\nSCALARS {name} float\nLOOKUP_TABLE default\n".encode() + data.astype(">f4").tobytes()
    for name, data in (vectors or {}).items():
        out += f"\nVECTORS {name} float\n".encode() + np.moveaxis(data, 0, -1).astype(">f4").tobytes()
    path.write_bytes(out)
    return path


def entity(path: Path, steps, edges, *, right=1, dims=3, **attrs) -> Path:
    """Entity file of steps ``{number: (time, {name: array over z, y, x})}``."""
    with h5py.File(path, "w") as file:
        notes = {
            "Coordinates": np.bytes_("cart"),
            "grid.metric.metric": np.bytes_("minkowski"),
            "NGhosts": np.uint64(0),
            "Dimension": np.uint64(dims),
            "LayoutRight": np.int32(right),
            "grid.boundaries.fields": np.array(["periodic", "periodic"] * dims, "S8"),
            "scales.B0": np.float32(2),
        }
        file.attrs.update(notes | attrs)
        for number, (time, arrays) in steps.items():
            group = file.create_group(f"Step{number}")
            group["Time"], group["Step"] = np.float64(time), np.uint64(number)
            for i, axis in enumerate(edges, 1):
                group[f"X{i}e"] = np.asarray(axis, "f4")
                group[f"N{i}l"] = np.array([0, len(axis) - 1], "u8")
            for name, data in arrays.items():
                group[name] = data.T if right else data
    return path


def tristan(path: Path, arrays, *, step=None, parameters=None, stem="param") -> Path:
    """``flds.tot.NNN`` with coordinates where `step` (cells between samples) is given, and its parameters."""
    with h5py.File(path, "w") as file:
        shape = next(iter(arrays.values())).shape
        for name, data in arrays.items():
            file[name] = data
        for k, name in enumerate(("zz", "yy", "xx")) if step else ():
            line = np.arange(shape[k], dtype="f4") * step
            file[name] = np.broadcast_to(line.reshape([-1 if i == k else 1 for i in range(3)]), shape)
    if parameters:
        with h5py.File(path.parent / f"{stem}.{path.name.rsplit('.', 1)[-1]}", "w") as file:
            for name, value in parameters.items():
                file[name] = np.atleast_1d(value)
    return path


def vpic(root: Path, fields, species, ranks, *, step=40, widths=(1.0, 2.0, 4.0), low=(-3.0, 0.0, 5.0), table=True):
    """A VPIC run: `fields` (24, z, y, x) and ``{base: moments (14, z, y, x)}`` on `ranks` along x, y, z."""
    _vpic_dump(root / "fields" / f"T.{step}", f"fields.{step}", 1, fields, ranks, step, widths, low)
    for base, moments in species.items():
        _vpic_dump(root / "hydro" / f"T.{step}", f"{base}.{step}", 2, moments, ranks, step, widths, low)
    if table:
        lines = ["VPIC_HEADER_VERSION 1.0.0", "FIELD_DATA_DIRECTORY fields", "FIELD_DATA_BASE_FILENAME fields"]
        for base in species:
            lines += ["SPECIES_DATA_DIRECTORY hydro", f"SPECIES_DATA_BASE_FILENAME {base}"]
        (root / "global.vpc").write_text("\n".join(lines) + "\n")
    return root / "global.vpc"


def _vpic_dump(folder, name, kind, arrays, ranks, step, widths, low):
    folder.mkdir(parents=True)
    sizes = [n // r for n, r in zip(arrays.shape[:0:-1], ranks, strict=True)]
    for rank in range(int(np.prod(ranks))):
        place = (rank % ranks[0], rank // ranks[0] % ranks[1], rank // (ranks[0] * ranks[1]))
        corner = [p * n for p, n in zip(place, sizes, strict=True)]
        head = b"\x08\x02\x04\x04\x08" + struct.pack("<HIfd6i", 0xCAFE, 0xDEADBEEF, 1, 1, 0, kind, step, *sizes)
        at = [a + c * w for a, c, w in zip(low, corner, widths, strict=True)]
        head += struct.pack("<10f", 0.25, *widths, *at, 1, 1, 0)
        head += struct.pack("<3if5i", rank, int(np.prod(ranks)), 0, 0, 80, 3, *(n + 2 for n in sizes))
        box = np.full((len(arrays), *(n + 2 for n in sizes[::-1])), np.nan, "<f4")  # ghosts are never used
        part = tuple(slice(c, c + n) for c, n in zip(corner[::-1], sizes[::-1], strict=True))
        box[:, 1:-1, 1:-1, 1:-1] = arrays[(slice(None), *part)]
        (folder / f"{name}.{rank}").write_bytes(head + box.tobytes())


def osiris(path: Path, name: str, data, *, limits, offset=None, periodic=None, kind="grid", time=1.5, step=30) -> Path:
    """One OSIRIS file of an array over (x3, x2,) x1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["NAME"], file.attrs["TYPE"] = np.array([name.ljust(20)], "S"), np.array([kind], "S")
        file.attrs["UNITS"] = np.array([b"m_e c \\omega_p e^{-1}"])
        file.attrs["TIME"], file.attrs["ITER"] = np.array([time]), np.array([step], "i4")
        file.attrs["TIME UNITS"] = np.array([b"1 / \\omega_p"])
        file.attrs["OFFSET_X"] = np.array(offset or [0.0] * data.ndim)
        file.create_group("SIMULATION").attrs["PERIODIC"] = np.array(periodic or [1] * data.ndim, "i4")
        for i, pair in enumerate(limits, 1):
            file[f"AXIS/AXIS{i}"] = np.array(pair, "f8")
            file[f"AXIS/AXIS{i}"].attrs["TYPE"] = np.array([b"linear"])
            file[f"AXIS/AXIS{i}"].attrs["UNITS"] = np.array([b"c / \\omega_p"])
        file[name] = data.astype("f4")
    return path


def athena_bin(
    path: Path, fields, *, real="<f8", scalars=0, gravity=0, system=-1, corner=(0, 0, 0), gamma=1.4, time=0.75
) -> Path:
    """Athena-C dump of ``fields`` (variable, z, y, x) in cells of (0.5, 1, 2) from `corner` (x, y, z) on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, *cells = fields.shape
    head = struct.pack("<8i", system, *cells[::-1], count - gravity, scalars, gravity, 0)
    state = [gamma - 1, 0.3 if gamma == 1 else 0, time, 0.01]
    centres = [
        (c + np.arange(n) + 0.5) * w if n > 1 else np.zeros(1)
        for c, n, w in zip(corner, cells[::-1], (0.5, 1, 2), strict=True)
    ]
    path.write_bytes(head + np.concatenate([state, *centres, fields.ravel()]).astype(real).tobytes())
    return path
