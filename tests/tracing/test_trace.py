"""``mm.trace`` as it is called: nothing is computed, what is refused, and several snapshots."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small_fields import snapshot

import mmfields as mm
from mmfields import identity

RUN = {"step": 0.05, "distance": 12.0}


def test_bad_calls(turbulent):
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=turbulent)
    good = {"step": 0.1, "distance": 1.0}
    for change, match in (
        ({"step": 0.0}, "step=0.0"),
        ({"step": np.nan}, "step=nan"),
        ({"distance": -1.0}, "distance"),
        ({"save": 0}, "save=0"),
        ({"save": [0.5, 0.2]}, "ascending"),
        ({"save": [0.5, 2.0]}, "beyond distance"),
        ({"step_unit": "cells"}, "step_unit"),
        ({"interpolation": "sinc"}, "interpolation"),
        ({"particles_per_task": 0}, "particles_per_task"),
    ):
        with pytest.raises(mm.ArgumentError, match=match):
            mm.trace(turbulent, p, **{**good, **change})
    with pytest.raises(mm.ArgumentError, match="scattering="):
        mm.trace(turbulent, p, scattering=0.1, **good)
    with pytest.raises(mm.SnapshotError, match="mask 'patches' is not among"):
        inside = mm.scattering.small_angle(nu=1.0)
        mm.trace(turbulent, p, scattering=mm.scattering.patchy(inside, mask="patches"), **good)
    holed = turbulent.assign(Bz=turbulent.Bz.where(turbulent.n < 1.9))
    with pytest.raises(mm.SnapshotError, match=r"Bz is not finite at \(z, y, x\)"):
        mm.trace(holed, p.assign(reference_field=1.0), **good).x.compute()


def test_particles_that_are_none(turbulent):
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=turbulent)
    with pytest.raises(mm.SnapshotError, match="particles must hold"):
        mm.trace(turbulent, p.drop_vars("vx"), step=0.1, distance=1.0)
    dynamo = turbulent[["Bx", "By", "Bz"]] - turbulent[["Bx", "By", "Bz"]].mean()
    lost = mm.particles.isotropic(
        3, gyroradius=1.0, seed=1, field=dynamo.assign_attrs(turbulent.attrs).chunk(), reference_field="mean"
    )
    with pytest.raises(mm.SnapshotError, match="no reference for a gyroradius"):
        lost.compute()


def test_snapshots_along_time_are_each_traced_through(turbulent):
    two = xr.concat([turbulent, 2 * turbulent], xr.DataArray([0.5, 1.5], dims="time", name="time"))
    two = two.assign_attrs(turbulent.attrs)
    p = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=turbulent, reference_field=1.0)
    both = mm.trace(two, p, save=3, **RUN).compute()
    assert both.x.dims == ("time", "particle", "path")
    np.testing.assert_array_equal(both.time, [0.5, 1.5])
    for i, ds in enumerate((turbulent, (2 * turbulent).assign_attrs(turbulent.attrs))):
        np.testing.assert_array_equal(both.x.isel(time=i), mm.trace(ds, p, save=3, **RUN).x)


def in_files(folder, shape, *names):
    """A snapshot whose variables are files that are mapped, and that nobody has looked into."""
    maps = {name: np.memmap(folder / name, np.float32, "w+", shape=shape) for name in names}
    return mm.io.from_arrays(**maps, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))


def looked_into(folder):
    """Memory [kB] of mapped files of a folder that has been read or written."""
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            counts = str(folder) in line
        elif counts and first == "Rss:":
            total += int(line.split()[1])
    return total


HALF = mm.scattering.small_angle(nu=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interpolation": "nearest"},
        {"interpolation": "cubic"},
        {"interpolation": "faces"},
        {"pusher": "boris", "light_speed": 1.0},
        {"pusher": "vay", "light_speed": 1.0, "interpolation": "cubic"},
        {"scattering": mm.scattering.patchy(HALF, mask="hot")},
        {"block": 12},
    ],
    ids=["linear", "nearest", "cubic", "faces", "E", "E, cubic", "mask", "blocks"],
)
def test_a_field_in_memory_is_not_looked_into_when_called(options, tmp_path, monkeypatch, no_compute):
    if not Path("/proc/self/smaps").exists():
        pytest.skip("the system does not say which pages of memory were read")
    # what results are named by is a hash of all numbers
    monkeypatch.setattr(identity, "_content", lambda slabs, shape, dtype: "a name")
    ds = in_files(tmp_path, (24, 30, 40), *(f"{letter}{d}" for letter in "BE" for d in "xyz"), "hot")
    for d in "xyz":
        dims = [f"{d}_f" if d == axis else axis for axis in "zyx"]
        ds[f"B{d}_f"] = (dims, np.memmap(tmp_path / f"B{d}_f", np.float32, "w+", shape=(24, 30, 40)))
    p = mm.particles.isotropic(10, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    tr = mm.trace(ds, p, step=0.1, distance=1.0, **options)
    assert looked_into(tmp_path) == 0
    assert all(hasattr(tr[name].variable._data, "dask") for name in ("x", "mu", "B_rms", "mean_Bx"))
    assert float(ds.Bx[3, 4, 5]) == 0
    assert looked_into(tmp_path) > 0


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("chunks", [None, {"z": 24}, {"z": 7, "y": 13, "x": 17}, {"z": 3, "x": 9}])
def test_strengths_of_the_field_are_exact_however_it_is_chunked(kind, chunks):
    """Means that nearly cancel too."""
    ds = snapshot()[["Bx", "By", "Bz"]].astype(kind)
    ds["By"] = ds.By - ds.By.mean(dtype=float).astype(kind)
    exact = [ds[f"B{d}"].values.astype(np.longdouble) for d in "xyz"]
    rms = np.sqrt(sum((b**2).mean() for b in exact))
    p = mm.particles.isotropic(2, gyroradius=3.0, seed=1, field=ds, reference_field=1.0)
    tr = mm.trace(ds if chunks is None else ds.chunk(chunks), p, step=0.1, distance=1.0)
    assert abs(float(tr.B_rms) / rms - 1) < 1e-12
    for d, b in zip("xyz", exact, strict=True):
        assert abs(float(tr[f"mean_B{d}"]) - b.mean()) < 1e-12 * rms
