"""Answers what :mod:`mmfields.io._openpmd_api` asks of openPMD outputs; run as a script, not imported.

A request is a line of JSON.  An answer is the number of bytes of its header, 8 bytes, then the header in JSON and as
many bytes of numbers as that says.  A number of 0 is a sign of life.
"""

import json
import os
import signal
import sys
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

OPTIONS = json.dumps({"verify_homogeneous_extents": False})
ANSWERS = 1


def say(header: dict[str, Any], numbers: np.ndarray | None = None) -> None:
    """Send an answer."""
    data = memoryview(b"" if numbers is None else np.ascontiguousarray(numbers).reshape(-1).view(np.uint8))
    text = json.dumps({**header, "bytes": len(data)}).encode()
    for part in (memoryview(len(text).to_bytes(8, "little") + text), data):
        while part:
            part = part[os.write(ANSWERS, part) :]


def alive() -> None:
    """Send a sign of life."""
    os.write(ANSWERS, bytes(8))


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
        step = _step(opened.iterations[number]) | {"number": number}
        step["skipped"] = sorted(_named(path, stamp, number) - {record["name"] for record in step["records"]})
        steps.append(step)
    return {"found": found, "software": software, "steps": steps}, None


def _step(step: Any) -> dict[str, Any]:
    edges = list(step.meshes.get_attribute("fieldBoundary")) if "fieldBoundary" in step.meshes.attributes else []
    records = [_record(step.meshes[name]) | {"name": name} for name in step.meshes]
    return {"time": step.time * step.time_unit_SI, "boundary": edges, "records": records}


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
    return {
        "order": str(mesh.data_order),
        "labels": list(mesh.axis_labels),
        "spacing": [float(v * mesh.grid_unit_SI) for v in mesh.grid_spacing],
        "offset": [float(v * mesh.grid_unit_SI) for v in mesh.grid_global_offset],
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
    values = node.load_chunk(start, count)
    opened.flush()
    alive()
    name = record if "Scalar" in component else f"{record}/{component}"
    varies = is_adios(path) and not node.constant
    blocks = _blocks(path, stamp, iteration, name, tuple(node.shape)) if varies else None
    if blocks is not None:
        low, extent, _ = blocks
        met = ((low < np.add(start, count)) & (low + extent > start)).all(axis=1)
        blocks = [each[met].tolist() for each in blocks]
    return {"dtype": values.dtype.str, "blocks": blocks}, values


def is_adios(path: str) -> bool:
    """Whether an output is of ADIOS2, and not of another format that openpmd-api knows."""
    return os.path.isdir(path) or path.endswith((".bp", ".bp4", ".bp5"))


def _folder(path: str, stamp: int, iteration: int) -> tuple[str, int, int]:
    """Group of the meshes of an iteration, and which of so many steps of its variables is the iteration's.

    A group belongs to an iteration, or has a step for each of them; the base path does not always tell.
    """
    opened, known = series(path, stamp), reader(path, stamp)
    meshes = opened.meshes_path.strip("/")
    own, shared = (f"{opened.base_path.replace('/%T', at).rstrip('/')}/{meshes}/" for at in (f"/{iteration}", ""))
    if any(name.startswith(own) for each in known[1:] for name in each) and own != shared:
        return own, 0, 1
    return shared, sorted(opened.iterations).index(iteration), len(opened.iterations)


def _named(path: str, stamp: int, iteration: int) -> set[str]:
    """Meshes that ADIOS2 has variables or attributes of; openpmd-api skips those that it does not understand."""
    if not is_adios(path):
        return set()
    _, variables, attributes = reader(path, stamp)
    folder, *_ = _folder(path, stamp, iteration)
    attributes = [name for name in attributes if "/" in name.removeprefix(folder)]
    return {n.removeprefix(folder).split("/")[0] for n in (*variables, *attributes) if n.startswith(folder)}


@lru_cache(maxsize=4)
def reader(path: str, stamp: int) -> tuple[Any, dict[str, Any], list[str]]:
    """ADIOS2's own reader, which knows what openpmd-api does not tell, its variables and its attributes."""
    import adios2

    opened = adios2.FileReader(path)
    return opened, opened.available_variables(), list(opened.available_attributes())


@lru_cache(maxsize=256)
def _blocks(path: str, stamp: int, iteration: int, name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, ...] | None:
    """Starts, extents and (least, greatest) of the blocks of a component; None where not all iterations have it.

    Where nobody looked for the extremes when it was written, ADIOS2 gives zeros for all blocks, or a least number above
    the greatest for all.
    """
    opened, variables, _ = reader(path, stamp)
    folder, at, of = _folder(path, stamp, iteration)
    full = folder + name
    if full not in variables:
        raise ValueError(f"ADIOS2 has no variable {full}")
    steps = filter(None, (opened.engine.blocks_info(full, step) for step in range(opened.num_steps())))
    steps = list(islice(steps, int(variables[full]["AvailableStepsCount"])))
    if of > 1 and len(steps) != of:
        return None
    blocks = steps[at] if steps else []
    places = [[b[key].split(",") for b in blocks] for key in ("Start", "Count")]
    low, extent = (np.array([[int(n) for n in p] for p in each], np.int64).reshape(-1, len(shape)) for each in places)
    if (low < 0).any() or (extent < 1).any() or (extent > np.array(shape) - low).any():
        raise ValueError(f"a block of {full} lies outside of its {shape} cells")
    extremes = np.array([[float(b["Min"]), float(b["Max"])] for b in blocks]).reshape(-1, 2)
    if not extremes.any() or (extremes[:, 0] > extremes[:, 1]).all():
        extremes[:] = np.nan
    return low, extent, extremes


def main() -> None:
    """Answer until nobody asks any more."""
    global ANSWERS
    ANSWERS = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
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
        signal.alarm(request.pop("patience"))  # who asked has given up by then, or has ended
        try:
            answer, numbers = {"describe": describe, "read": read}[request.pop("do")](**request)
        except Exception as error:
            answer, numbers = {"error": f"{type(error).__name__}: {error}"}, None
        say(answer, numbers)
        signal.alarm(0)


if __name__ == "__main__":
    main()
