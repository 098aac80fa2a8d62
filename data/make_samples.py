"""Make the samples that ship with mmfields from the real runs they come from.

    python data/make_samples.py SOURCE

SOURCE holds ``warpx_mirror/`` (hybrid-PIC mirror instability, WarpX 24.10) and ``athena_mhd/``
(forced isothermal MHD turbulence, Athena++).  Both runs were made for this project and are free
to ship.  The result, ``micromirrors.nc`` and ``mhd_turbulence.nc``, lands beside this script.
"""

import json
import sys
from pathlib import Path

import numpy as np
import xarray as xr
from astropy import constants as const

import mmfields as mm

HERE = Path(__file__).parent
CHARGE, MASS = const.e.si.value, const.m_p.value


def micromirrors(source: Path) -> xr.Dataset:
    """Two snapshots in units of B0, d_i, 1/Omega_i and n0; pressures of the last in units of B0^2/mu0."""
    run = json.loads((source / "parameters.json").read_text())
    steps = (280, 1064)
    parts = [mm.open_snapshot(source / f"warpx_mirror_fields_{step:06d}.h5", boundary="periodic") for step in steps]
    shape = dict(parts[0].sizes)
    ds = mm.io.from_arrays(
        **{f"B{c}": np.stack([p[f"B{c}"].values / np.float32(run["B0"]) for p in parts]) for c in "xyz"},
        n=np.stack([(p["charge_density"].values / np.float32(CHARGE * run["n0"])) for p in parts]),
        spacing=dict.fromkeys("zyx", run["dx"]),
        dims=("time", "z", "y", "x"),
        code="WarpX",
        description="mirror instability, hybrid PIC, beta_par = 15, T_perp/T_par = 1.7 at t = 0, saturated at the end",
        length_unit=f"{run['d_i']!r} m",
        field_unit=f"{run['B0']!r} T",
        density_unit=f"{run['n0']!r} m-3",
        time_unit=f"{1 / run['Omega_i']!r} s",
        velocity_unit=f"{run['vA']!r} m / s",
        pressure_unit=f"{float(run['B0'] ** 2 / const.mu0.value)!r} Pa",
        r_gi=run["r_gi_perp"] / run["d_i"],
        r_gi_meaning="initial thermal ion gyroradius sqrt(T_perp/m)/Omega_i, in d_i",
        omega_i=run["Omega_i"],
    )
    assert shape == {d: ds.sizes[d] for d in "zyx"}
    moments = mm.open_snapshot(source / f"warpx_mirror_moments_{steps[-1]:06d}.h5", boundary="periodic")
    flow = {c: moments[f"j{c}"].values / parts[-1]["charge_density"].values / run["vA"] for c in "xyz"}
    square = {c: moments[f"u{c}{c}_ions"].values * (const.c.value / run["vA"]) ** 2 for c in "xyz"}
    pressure = {c: ds["n"].values[-1] * (square[c] - flow[c] ** 2) for c in "xyz"}
    time = [step * run["dt"] for step in steps]
    note = {"units": "1", "normalization": "B0^2 / mu0", "valid_at_time": time[-1]}
    meaning = "{} the mean field (x), bulk flow subtracted; about 20 % noise per cell"
    dims = ("z", "y", "x")
    ds["p_par"] = (dims, pressure["x"].astype(np.float32), {**note, "long_name": "pressure along the magnetic field"})
    across = ((pressure["y"] + pressure["z"]) / 2).astype(np.float32)
    ds["p_perp"] = (dims, across, {**note, "long_name": "pressure across the magnetic field"})
    ds["p_par"].attrs |= {"code_name": "uxx_ions", "note": meaning.format("along")}
    ds["p_perp"].attrs |= {"code_name": "uyy_ions, uzz_ions", "note": meaning.format("across")}
    for name, unit in {"Bx": "B0", "By": "B0", "Bz": "B0", "n": "n0", "x": "d_i", "y": "d_i", "z": "d_i"}.items():
        ds[name].attrs["normalization"] = unit
    ds["n"].attrs["code_name"] = "rho / e"
    del ds.attrs["time"]
    return ds.assign_coords(time=("time", time, {"units": "1", "normalization": "1 / Omega_i", "long_name": "time"}))


def mhd_turbulence(source: Path) -> xr.Dataset:
    """The primitive variables and the field of the snapshot at t = 2.5, as Athena++ wrote them."""
    ds = mm.open_snapshot(source / "TurbMHD.out2.00010.athdf", boundary="periodic").load()
    description = "forced isothermal MHD turbulence without a mean field, Mach 0.85, c_s = 1, unit box"
    return ds.assign_attrs(description=description)


def main(source: Path) -> None:
    for name, ds in {
        "micromirrors": micromirrors(source / "warpx_mirror"),
        "mhd_turbulence": mhd_turbulence(source / "athena_mhd"),
    }.items():
        for variable in ds.variables.values():
            variable.encoding = {}
        encoding = {
            v: {
                "zlib": True,
                "complevel": 9,
                "shuffle": True,
                "chunksizes": (*(1,) * (ds[v].ndim - 3), *ds[v].shape[-3:]),
            }
            for v in ds.data_vars
        }
        ds.to_netcdf(HERE / f"{name}.nc", engine="h5netcdf", encoding=encoding)
        print(HERE / f"{name}.nc", (HERE / f"{name}.nc").stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
