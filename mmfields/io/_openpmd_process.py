"""Answers what :mod:`mmfields.io._openpmd_api` asks of openPMD outputs; run as a script.

A request is a line of JSON.  An answer is the number of bytes of its header, 8 bytes, then the header in JSON and as
many bytes of numbers as that says.  A number of 0 is a sign of life; a header that says ``expect`` is one too, and how
many bytes are to be read before the next.
"""

import json
import math
import os
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

OPTIONS = json.dumps({"verify_homogeneous_extents": False})
ANSWERS = 1
# Seconds without a sign of life after which the process is given up.
DEADLINE = 0
# What is expected to be read, by who asks too.
BYTES_PER_SECOND = 10_000_000
# Bytes that a block may have for each on the disk.
MOST_PACKED = 20


def say(header: dict[str, Any], numbers: np.ndarray | None = None) -> None:
    """Send an answer."""
    data = memoryview(b"" if numbers is None else np.ascontiguousarray(numbers).reshape(-1).view(np.uint8))
    text = json.dumps({**header, "bytes": len(data)}).encode()
    for part in (memoryview(len(text).to_bytes(8, "little") + text), data):
        while part:
            part = part[os.write(ANSWERS, part) :]


def alive(more: int = 0) -> None:
    """Send a sign of life, or say that so many bytes are to be read before the next."""
    if more:
        say({"expect": more})
    else:
        os.write(ANSWERS, bytes(8))
    signal.alarm(DEADLINE + more // BYTES_PER_SECOND)


@lru_cache(maxsize=4)
def series(path: str, stamp: int) -> Any:
    """The Series of openpmd-api; `stamp` changes with the files."""
    import openpmd_api

    return openpmd_api.Series(path, openpmd_api.Access.read_only, OPTIONS)


def describe(path: str, stamp: int, iteration: int | None) -> tuple[dict[str, Any], None]:
    """Iterations, and the meshes of one or of all."""
    opened = series(path, stamp)
    found = sorted(opened.iterations)
    software = str(opened.software) if "software" in opened.attributes else "openPMD"
    steps = []
    for number in found if iteration is None else {iteration}.intersection(found):
        step = _tried(_step, opened.iterations[number]) | {"number": number}
        if "error" in step:
            steps.append(step)
            continue
        group = _group(path, stamp, number) if is_adios(path) else None
        known = _meshes(path, stamp).get(group, set()) if group else set()
        step["skipped"] = sorted(known - {record["name"] for record in step["records"]})
        steps.append(step)
    return {"found": found, "software": software, "steps": steps}, None


def _step(step: Any) -> dict[str, Any]:
    if not len(step.meshes):
        return {
            "time": step.time * step.time_unit_SI,
            "boundary": [],
            "records": [],
            "particles": len(step.particles) > 0,
        }
    edges = list(step.meshes.get_attribute("fieldBoundary")) if "fieldBoundary" in step.meshes.attributes else []
    records = [_tried(_record, step.meshes[name]) | {"name": name} for name in step.meshes]
    particles = len(step.particles) > 0
    return {"time": step.time * step.time_unit_SI, "boundary": edges, "records": records, "particles": particles}


def _tried(describe: Callable, what: Any) -> dict[str, Any]:
    """Description of a mesh or an iteration, or the error of the library: one bad mesh does not spoil the others."""
    try:
        return describe(what)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _record(mesh: Any) -> dict[str, Any]:
    alive()
    parts = [
        {
            "key": key,
            "shape": list(mesh[key].shape),
            "dtype": np.dtype(mesh[key].dtype).str,
            "position": [float(p) for p in mesh[key].position],
            "unit": float(mesh[key].unit_SI),
        }
        for key in mesh
    ]
    units = np.broadcast_to(mesh.grid_unit_SI, len(mesh.grid_spacing))  # openPMD 2.0 has one per axis
    return {
        "order": str(mesh.data_order),
        "labels": list(mesh.axis_labels),
        "spacing": [float(v * u) for v, u in zip(mesh.grid_spacing, units, strict=True)],
        "offset": [float(v * u) for v, u in zip(mesh.grid_global_offset, units, strict=True)],
        "geometry": str(mesh.geometry).rsplit(".", 1)[-1],
        "dimension": [int(p) for p in mesh.unit_dimension],
        "components": parts,
    }


def read(
    path: str, stamp: int, iteration: int, record: str, component: str, start: list[int], count: list[int]
) -> tuple[dict[str, Any], np.ndarray]:
    """Numbers of a component, and the blocks that they come from, where these are known."""
    opened = series(path, stamp)
    node = opened.iterations[iteration].meshes[record][component]
    name = record if "Scalar" in component else f"{record}/{component}"
    varies = is_adios(path) and not node.constant
    blocks = _blocks(path, stamp, iteration, name, tuple(node.shape)) if varies else None
    if blocks is not None:
        low, extent, _ = blocks
        met = ((low < np.add(start, count)) & (low + extent > start) & (extent > 0)).all(axis=1)
        blocks = [each[met].tolist() for each in blocks]
        # all of a compressed block is read for any part of it
        alive(min(int(extent[met].prod(axis=1).sum()) * node.dtype.itemsize, MOST_PACKED * _bytes(path)))
    values = node.load_chunk(start, count)
    opened.flush()
    return {"dtype": values.dtype.str, "blocks": blocks}, values


def is_adios(path: str) -> bool:
    """Whether an output is of ADIOS2, and not of another format that openpmd-api knows."""
    return os.path.isdir(path) or path.endswith((".bp", ".bp4", ".bp5"))


def _bytes(path: str) -> int:
    """Size of all files of an output."""
    return sum(entry.stat().st_size for entry in os.scandir(path)) if os.path.isdir(path) else os.path.getsize(path)


@lru_cache(maxsize=4)
def reader(path: str, stamp: int) -> tuple[Any, dict[str, Any], bool]:
    """ADIOS2's own reader, which knows what openpmd-api does not tell, its variables, and whether all are as they were.

    They are not where they take more bytes than there are: then they are compressed, with or without loss.
    """
    import adios2

    opened = adios2.FileReader(path)
    variables, size = opened.available_variables(), 0
    for name, about in variables.items():
        cells = math.prod(int(n) for n in about["Shape"].split(",") if n.strip())
        size += cells * opened.inquire_variable(name).sizeof() * int(about["AvailableStepsCount"])
    return opened, variables, size <= _bytes(path)


@lru_cache(maxsize=4)
def _meshes(path: str, stamp: int) -> dict[str, set[str]]:
    """Meshes that ADIOS2 has variables or attributes of, by the group that they are in."""
    opened, variables, _ = reader(path, stamp)
    if "meshesPath" not in series(path, stamp).attributes:
        return {}
    middle, found = f"/{series(path, stamp).meshes_path.strip('/')}/", {}
    for names, least in ((variables, 1), (opened.available_attributes(), 2)):
        for name in names:
            base, folder, rest = name.partition(middle)
            if rest.count("/") + 1 >= least and folder:
                found.setdefault(base + folder, set()).add(rest.split("/")[0])
    return found


def _group(path: str, stamp: int, iteration: int) -> str | None:
    """Group of the meshes of an iteration; None where several share it, whose steps cannot be told apart."""
    opened, found = series(path, stamp), _meshes(path, stamp)
    if not found:
        return None
    meshes = opened.meshes_path.strip("/")
    own, shared = (f"{opened.base_path.replace('/%T', at).rstrip('/')}/{meshes}/" for at in (f"/{iteration}", ""))
    if own != shared and own in found:
        return own
    return shared if len(opened.iterations) == 1 else None


@lru_cache(maxsize=256)
def _blocks(path: str, stamp: int, iteration: int, name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, ...] | None:
    """Starts, extents and (least, greatest) of the blocks of a component.

    None where its step is not known, and for bytes, of which ADIOS2 gives characters.  The extremes are NaN where none
    are stated: they were not computed when the output was written (then ADIOS2 gives zeros for all blocks, or a least
    number above the greatest), or they are those of numbers that were compressed.
    """
    opened, variables, as_written = reader(path, stamp)
    if (group := _group(path, stamp, iteration)) is None:
        return None
    full = group + name
    if full not in variables:
        raise ValueError(f"ADIOS2 has no variable {full}")
    variable = opened.inquire_variable(full)
    if variable.sizeof() == 1:
        return None
    steps = filter(None, (opened.engine.blocks_info(full, step) for step in range(opened.num_steps())))
    blocks = next(steps, [])
    places = [[b[key].split(",") for b in blocks] for key in ("Start", "Count")]
    low, extent = (np.array([[int(n) for n in p] for p in each], np.int64).reshape(-1, len(shape)) for each in places)
    if (low < 0).any() or (extent < 0).any() or (extent > np.array(shape) - low).any():
        raise ValueError(f"a block of {full} lies outside of its {shape} cells")
    extremes = np.array([[float(b["Min"]), float(b["Max"])] for b in blocks]).reshape(-1, 2)
    looked = extremes.any() and not (extremes[:, 0] > extremes[:, 1]).all()
    if not looked or not as_written or variable.operations():
        extremes[:] = np.nan
    return low, extent, extremes


def main() -> None:
    """Answer requests until the input ends."""
    global ANSWERS, DEADLINE
    ANSWERS = os.dup(1)
    os.dup2(2, 1)  # so that what libraries print is not taken for an answer
    sys.modules["torch"] = None  # adios2 would import it, which takes a second
    try:
        import adios2  # noqa: F401
        import openpmd_api  # noqa: F401
    except ImportError as error:
        say({"missing": str(error)})
        return
    say({})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        DEADLINE = request.pop("patience")
        signal.alarm(DEADLINE)  # the caller has given up by then, or has ended
        try:
            answer, numbers = {"describe": describe, "read": read}[request.pop("do")](**request)
        except Exception as error:
            answer, numbers = {"error": f"{type(error).__name__}: {error}"}, None
        signal.alarm(0)
        say(answer, numbers)


if __name__ == "__main__":
    main()
