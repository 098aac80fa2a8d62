"""Writers of small files in the formats that are read, for tests that need what no real file shows."""

import struct
from pathlib import Path

import h5py
import numpy as np

NAMES = ("dens", "mom1", "mom2", "mom3", "Bcc1", "Bcc2", "Bcc3")


def nbf(
    path: Path, fields: np.ndarray, block: tuple[int, int, int], *, names=NAMES, big=False, forcing=False, time=1.5
):
    """NBF of ``fields`` (variable, z, y, x) in blocks of (nx, ny, nz)."""
    _, nz, ny, nx = fields.shape
    bx, by, bz = block
    counts = (nx // bx, ny // by, nz // bz)
    text = [
        f"Pegasus++ binary output at time = {time:.14e}",
        f"Big endian = {int(big)}",
        f"Number of MeshBlocks = {counts[0] * counts[1] * counts[2]}",
        f"Number of variables = {len(names)}",
        "Variables:   " + "   ".join(names) + "   ",
        f"Mesh:   nx1={nx}   x1min={0.0:.14e}   x1max={float(nx):.14e}",
        f"        nx2={ny}   x2min={0.0:.14e}   x2max={2.0 * ny:.14e}",
        f"        nx3={nz}   x3min={0.0:.14e}   x3max={3.0 * nz:.14e}",
        f"MeshBlock: nx1={bx}   nx2={by}   nx3={bz}",
    ]
    if forcing:
        text.append("Forcing: unorm=0.250000   bnorm=0.500000")
    order = ">" if big else "<"
    with open(path, "wb") as file:
        file.write(("\n".join(text) + "\n").encode())
        for i in range(counts[0]):
            for k in range(counts[2]):
                for j in range(counts[1]):
                    edges = [(n * w * s, (n + 1) * w * s) for n, w, s in ((i, bx, 1), (j, by, 2), (k, bz, 3))]
                    head = (i, j, k, bx, *edges[0], by, *edges[1], bz, *edges[2])
                    file.write(struct.pack(order + "4i2fi2fi2f", *head))
                    part = fields[:, k * bz : (k + 1) * bz, j * by : (j + 1) * by, i * bx : (i + 1) * bx]
                    file.write(part.astype(order + "f4").tobytes())
    return path


def athdf(
    path: Path, fields: np.ndarray, block: tuple[int, int, int], *, names=NAMES, dtype="<f4", time=0.5, **storage
):
    """Uniform athdf of ``fields`` (variable, z, y, x), named as NAMES, in blocks of (nx, ny, nz)."""
    count, nz, ny, nx = fields.shape
    places = [(i, j, k) for k in range(nz // block[2]) for j in range(ny // block[1]) for i in range(nx // block[0])]
    blocks = np.stack(
        [
            fields[
                :,
                k * block[2] : (k + 1) * block[2],
                j * block[1] : (j + 1) * block[1],
                i * block[0] : (i + 1) * block[0],
            ]
            for i, j, k in places
        ],
        axis=1,
    )
    with h5py.File(path, "w") as file:
        file.attrs["Coordinates"] = np.bytes_("cartesian")
        file.attrs["DatasetNames"] = np.array(["cons"], "S21")
        file.attrs["VariableNames"] = np.array(names[:count], "S21")
        file.attrs["NumVariables"] = np.array([count], ">i4")
        file.attrs["NumCycles"] = np.int32(7)
        file.attrs["Time"] = float(time)
        file.attrs["MaxLevel"] = np.int32(0)
        file.attrs["NumMeshBlocks"] = np.int32(len(places))
        file.attrs["MeshBlockSize"] = np.array(block, ">i4")
        file.attrs["RootGridSize"] = np.array((nx, ny, nz), ">i4")
        for axis, n in enumerate((nx, ny, nz)):
            file.attrs[f"RootGridX{axis + 1}"] = np.array([0.0, float(n), 1.0])
            faces = [p[axis] * block[axis] + np.arange(block[axis] + 1.0) for p in places]
            file[f"x{axis + 1}f"] = np.array(faces, "f4")
        file["Levels"] = np.zeros(len(places), ">i4")
        file["LogicalLocations"] = np.array(places, ">i8")
        file.create_dataset("cons", data=blocks.astype(dtype), **storage)
    return path


def plotfile(
    path: Path,
    levels: list[list[tuple[tuple, np.ndarray]]],
    cells: tuple[int, ...],
    names=("Bx", "By", "Bz"),
    *,
    stored="<f8",
    files=1,
):
    """AMReX plotfile; per level a list of (lower corner, array (variable, …, y, x))."""
    dim = len(cells)
    path.mkdir()
    per_level = [tuple(n * 2**level for n in cells) for level in range(len(levels))]
    boxes = " ".join(f"({_corner((0,) * dim)} {_corner([n - 1 for n in c])} {_corner((0,) * dim)})" for c in per_level)
    lines = ["HyperCLaw-V1.1", str(len(names)), *names, str(dim), "2.5", str(len(levels) - 1)]
    lines += [" ".join(["0"] * dim), " ".join(str(n) for n in cells), " ".join(["2"] * (len(levels) - 1))]
    lines += [boxes, " ".join(["9"] * len(levels))]
    lines += [" ".join([str(0.5**level)] * dim) for level in range(len(levels))] + ["0", "0"]
    for level, parts in enumerate(levels):
        lines += [f"{level} {len(parts)} 2.5", "9"]
        for low, data in parts:
            sizes = data.shape[:0:-1]
            lines += [f"{a / 2**level} {(a + n) / 2**level}" for a, n in zip(low, sizes, strict=True)]
        lines.append(f"Level_{level}/Cell")
    (path / "Header").write_text("\n".join(lines) + "\n")
    for level, parts in enumerate(levels):
        fabs(path / f"Level_{level}" / "Cell", parts, stored=stored, files=files)
    return path


def fabs(prefix: Path, parts: list[tuple[tuple, np.ndarray]], *, stored="<f8", files=1, kind=None):
    """A ``_H`` file and its ``_D_xxxxx`` files."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    dim = parts[0][1].ndim - 1
    kind = kind or (0,) * dim
    width = int(stored[2])
    order = " ".join(map(str, range(width, 0, -1) if stored[0] == "<" else range(1, width + 1)))
    count = parts[0][1].shape[0]
    listed, places = [], []
    for index, (low, data) in enumerate(parts):
        high = [a + n - 1 for a, n in zip(low, data.shape[:0:-1], strict=True)]
        box = f"({_corner(low)} {_corner(high)} {_corner(kind)})"
        name = f"{prefix.name}_D_{index % files:05d}"
        file = prefix.parent / name
        offset = file.stat().st_size if file.exists() else 0
        head = f"FAB ((8, ({8 * width} 11 52 0 1 12 0 1023)),({width}, ({order}))){box} {count}\n"
        with open(file, "ab") as handle:
            handle.write(head.encode() + data.astype(stored).tobytes())
        listed.append(box)
        places.append(f"FabOnDisk: {name} {offset}")
    text = ["1", "1", str(count), "0", f"({len(parts)} 0", *listed, ")", str(len(parts)), *places, ""]
    for extreme in (np.fmin, np.fmax):
        rows = [extreme.reduce(data.reshape(count, -1).astype(float), axis=1) for _, data in parts]
        text += [f"{len(parts)},{count}", *("".join(f"{v:.17e}," for v in row) for row in rows), ""]
    Path(f"{prefix}_H").write_text("\n".join(text) + "\n")


def _corner(numbers) -> str:
    return "(" + ",".join(str(n) for n in numbers) + ")"


def openpmd(path: Path, steps: dict[int, dict], *, order="C", labels=("z", "y", "x"), meshes="meshes/", boundary=None):
    """openPMD file; per iteration a dict of record: {component: (array or constant with shape, position)}."""
    with h5py.File(path, "w") as file:
        file.attrs["openPMD"] = "1.1.0"
        file.attrs["basePath"] = "/data/%T/"
        file.attrs["meshesPath"] = meshes
        file.attrs["iterationEncoding"] = "groupBased"
        file.attrs["software"] = "test"
        if not meshes:
            file.attrs["particlesPath"] = "particles/"
        for number, records in steps.items():
            group = file.create_group(f"data/{number}")
            group.attrs["time"] = number * 0.5
            group.attrs["timeUnitSI"] = 2.0
            folder = group.require_group(meshes) if meshes else group
            if boundary:
                folder.attrs["fieldBoundary"] = np.array(boundary, "S10")
            for record, parts in records.items():
                node = folder.create_group(record)
                node.attrs["geometry"] = "cartesian"
                node.attrs["dataOrder"] = order
                node.attrs["axisLabels"] = np.array(labels, "S1")
                node.attrs["gridSpacing"] = np.array([1.0, 2.0, 4.0])[: len(labels)]
                node.attrs["gridGlobalOffset"] = np.array([10.0, 20.0, 40.0])[: len(labels)]
                node.attrs["gridUnitSI"] = 0.5
                node.attrs["unitDimension"] = [0.0, 1.0, -2.0, -1.0, 0.0, 0.0, 0.0]
                for name, (data, position) in parts.items():
                    if isinstance(data, tuple):
                        part = node.create_group(name)
                        part.attrs["value"], part.attrs["shape"] = data[0], np.array(data[1], "u8")
                    else:
                        part = node.create_dataset(name, data=data)
                    part.attrs["unitSI"] = 3.0
                    part.attrs["position"] = np.array(position, float)
    return path


def legacy_vtk(path: Path, title: str, edges, scalars=(), vectors=(), *, points=False, gaps=b"", kind="float"):
    """Legacy VTK of faces (x, y, z), one number where an axis has one cell, and pairs of name and numbers."""
    numbers = {"float": ">f4", "double": ">f8"}[kind]
    counts = [len(e) for e in edges]
    text = f"# vtk DataFile Version 2.0\n{title}\nBINARY\n".encode()
    if points:
        widths = [e[1] - e[0] if len(e) > 1 else 1.0 for e in edges]
        text += b"DATASET STRUCTURED_POINTS\nDIMENSIONS %d %d %d\n" % tuple(counts)
        text += "ORIGIN {:e} {:e} {:e} \n".format(*(e[0] for e in edges)).encode()
        text += "SPACING {:e} {:e} {:e} \n".format(*widths).encode()
    else:
        text += b"DATASET RECTILINEAR_GRID\nDIMENSIONS %d %d %d\n" % tuple(counts)
        for letter, e in zip("XYZ", edges, strict=True):
            text += f"{letter}_COORDINATES {len(e)} float\n".encode() + np.asarray(e, ">f4").tobytes() + b"\n"
    text += gaps + f"CELL_DATA {int(np.prod([max(n - 1, 1) for n in counts]))}\n".encode()
    parts = [f"SCALARS {n} {kind}\nLOOKUP_TABLE default\n".encode() + v.astype(numbers).tobytes() for n, v in scalars]
    parts += [f"VECTORS {n} {kind}\n".encode() + np.moveaxis(v, 0, -1).astype(numbers).tobytes() for n, v in vectors]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text + b"".join(gaps + part + b"\n" for part in parts))
    return path


def athenak(path: Path, fields, block, *, names, coarse=None, lines="", nghost=2, sliced=None, first=None):
    """AthenaK .bin of ``fields`` (variable, z, y, x) in blocks of (nx, ny, nz); cells are 1 wide, or `coarse`.

    `sliced` is an axis out of x, y, z of which one plane is written, in the middle of the mesh.
    """
    step = coarse or 1
    cells = [n * step for n in fields.shape[:0:-1]]
    mesh = [f"nx{i} = {n}\nx{i}min = 0.0\nx{i}max = {float(n)}" for i, n in enumerate(cells, 1)]
    own = [f"nx{i} = {b * step}" for i, b in enumerate(block, 1)]
    dump = "\n".join(["<mesh>", f"nghost = {nghost}", *mesh, "<meshblock>", *own, lines, ""])
    extra = f"  number of moments=1\n  coarsening factor={coarse}\n" if coarse else ""
    head = (
        f"Athena binary output version=1.1\n  size of preheader={7 if coarse else 5}\n  time=2.5\n  cycle=7\n{extra}"
        f"  size of location=8\n  size of variable=4\n  number of variables={len(names)}\n"
        f"  variables:  {'  '.join(names)}  \n  header offset={len(dump)}\n{dump}"
    )
    axis = None if sliced is None else "xyz".index(sliced)
    out = [head.encode()]
    for place in np.ndindex(*(n // b // step for n, b in zip(cells[::-1], block[::-1], strict=True))):
        place = place[::-1]
        low = [p * b for p, b in zip(place, block, strict=True)]
        cut = [slice(a, a + b) for a, b in zip(low, block, strict=True)]
        if axis is not None:
            middle = cells[axis] // step // 2
            if not low[axis] <= middle < low[axis] + block[axis]:
                continue
            cut[axis] = slice(middle, middle + 1)
        sizes = [c.stop - c.start for c in cut]
        ends = [v for n in sizes for v in (nghost, nghost + n - 1)]
        edges = [v for a, b in zip(low, block, strict=True) for v in (a * step, (a + b) * step)]
        out.append(struct.pack("<10i", *ends, *place, 0) + struct.pack("<6d", *map(float, edges)))
        out.append(fields[(slice(None), *cut[::-1])].astype("<f4").tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(out))
    return path


def sliced_athdf(path: Path, source: Path, axis: str, index: int, *, total=False):
    """A slice of an athdf file (or with `total` the sums over each block) as Athena++ writes it."""
    k = "xyz".index(axis)
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        for key, value in old.attrs.items():
            new.attrs[key] = value
        size = np.asarray(old.attrs["MeshBlockSize"]).copy()
        places = old["LogicalLocations"][()]
        met = (places[:, k] == index // size[k]) if not total else np.ones(len(places), bool)
        data = old["cons"][()][:, met]
        inside = index % size[k]
        data = data.sum(4 - k, keepdims=True) if total else data.take([inside], 4 - k)
        own, size[k] = size[k], 1
        new.attrs["MeshBlockSize"], new.attrs["NumMeshBlocks"] = size.astype(">i4"), np.int32(met.sum())
        new["LogicalLocations"], new["Levels"] = places[met].astype(">i8"), old["Levels"][()][met].astype(">i4")
        for i in range(3):
            faces = old[f"x{i + 1}f"][()][met]
            new[f"x{i + 1}f"] = faces if i != k else faces[:, [0, own] if total else [inside, inside + 1]]
        new["cons"] = data
    return path
