"""Units of every public result: astropy reads them, and they are those of the numbers beside them."""

import numpy as np
import pytest
import xarray as xr
from astropy import units as u

import mmfields as mm
from mmfields.conventions import derived_units
from mmfields.identity import ATTRS

SIZES = {"z": 12, "y": 10, "x": 14}
CELLS = {"z": 1.0, "y": 1.2, "x": 0.8}
# The same snapshot twice: unit, and how many of it are one of the first.
FIRST = {"B": ("nT", 1.0), "length": ("km", 1.0), "n": ("cm-3", 1.0), "p": ("nPa", 1.0), "j": ("A / m2", 1.0)}
SECOND = {"B": ("T", 1e-9), "length": ("m", 1e3), "n": ("m-3", 1e6), "p": ("Pa", 1e-9), "j": ("A / m2", 1.0)}
CODE = {name: ("1", 1.0) for name in FIRST}
NAMED = {"B": "B0", "length": "d_i", "n": "n0", "p": "B0^2/mu0", "j": "B0 c / d_i"}


def kind_of(name):
    return {"B": "B", "p": "p", "n": "n", "u": "u"}.get(name[0], name[0])


def snapshot(system, **attrs):
    """Fields, density and pressures of one random state, in one system of units."""
    rng = np.random.default_rng(3)
    shape = tuple(SIZES.values())
    fields = {f"B{c}": rng.normal(size=shape) + m for c, m in zip("xyz", (3, -1, 0.5), strict=True)}
    fields |= {n: rng.uniform(1, 2, shape) for n in ("n", "p_par", "p_perp")}
    named = {n: system[kind_of(n)] for n in fields}
    length, size = system["length"]
    ds = mm.io.from_arrays(
        **{n: a * named[n][1] for n, a in fields.items()},
        spacing={d: w * size for d, w in CELLS.items()},
        dims=tuple(SIZES),
        units={n: unit for n, (unit, _) in named.items()} | {"length": length},
    )
    for name in (*fields, *SIZES):
        if ds[name].attrs["units"] == "1":
            ds[name].attrs["normalization"] = NAMED["length" if name in SIZES else kind_of(name)]
    return ds.assign_attrs(attrs)


def second_moments(ds):
    """Means of products of u, as WarpX writes them, and the current that says the bulk flow."""
    shape = ds.n.shape
    names = [f"u{a}{b}_ions" for a in "xyz" for b in "xyz" if a <= b]
    fields = {n: np.full(shape, 1e-6) for n in names} | {f"j{d}": np.full(shape, 1e-9) for d in "xyz"}
    return xr.Dataset({n: (ds.n.dims, a) for n, a in fields.items()}, ds.coords, ds.attrs)


def flowing(ds):
    """The snapshot with a velocity."""
    unit = "1" if ds.Bx.attrs["units"] == "1" else "km / s"
    rng = np.random.default_rng(4)
    return ds.assign({f"u{d}": (ds.n.dims, rng.normal(size=ds.n.shape), {"units": unit}) for d in "xyz"})


def lines(ds, one, **options):
    """Lines through the middle, with their neighbours."""
    seeds = mm.lines.neighbours(mm.lines.plane(ds, normal="x", shape=(3, 2)), separation=1e-3 * one, normal="x")
    return mm.field_lines(ds, seeds, length=3.0 * one, step=0.3 * one, save=6, **options)


WAVES = np.linspace(0.01, 0.05, 12)


def given(ds):
    """What a rotation measure needs beside a snapshot: the size of its units where it has none."""
    return {} if ds.Bx.attrs["units"] != "1" else {"field_unit": u.uG, "length_unit": u.pc, "density": 1e-3 / u.cm**3}


def polarized(ds):
    return mm.faraday.polarization(ds, "z", wavelength_sq=WAVES, **given(ds))


# Calls by public name, of a snapshot and the size of its length unit.
SAME = {  # those whose results are one, whatever the units of the snapshot
    "mean_field": lambda ds, one: mm.mean_field(ds),
    "physical": lambda ds, one: mm.physical(ds.assign_attrs(frame="physical"), {"y": 0.5}),
    "fourier.filter": lambda ds, one: mm.fourier.filter(ds, mm.fourier.low_pass(2.0 / one)),
    "fourier.taper": lambda ds, one: mm.fourier.taper(ds.assign_attrs(boundary_x="open")),
    "fourier.project": lambda ds, one: mm.fourier.project(ds),
    "fourier.helmholtz": lambda ds, one: mm.fourier.helmholtz(ds),
    "fourier.curl": lambda ds, one: mm.fourier.curl(ds),
    "fourier.vector_potential": lambda ds, one: mm.fourier.vector_potential(ds),
    "fourier.divergence": lambda ds, one: mm.fourier.divergence(ds),
    "fourier.fft": lambda ds, one: mm.fourier.fft(ds.By),
    "fourier.ifft": lambda ds, one: mm.fourier.ifft(mm.fourier.fft(ds.By)),
    "spectra.power": lambda ds, one: mm.spectra.power(ds),
    "spectra.power2d": lambda ds, one: mm.spectra.power2d(ds),
    "spectra.reduced_spectrum": lambda ds, one: mm.spectra.reduced_spectrum(ds, axis="y"),
    "spectra.correlation_length": lambda ds, one: mm.spectra.correlation_length(ds),
    "spectra.cross": lambda ds, one: mm.spectra.cross(ds, "Bx", "n"),
    "spectra.coherence": lambda ds, one: mm.spectra.coherence(ds, "Bx", "n"),
    "spectra.correlation": lambda ds, one: mm.spectra.correlation(ds, axis="x"),
    "spectra.integral_scale": lambda ds, one: mm.spectra.integral_scale(mm.spectra.correlation(ds, axis="x")),
    "anisotropy.scales": lambda ds, one: mm.anisotropy.scales(ds),
    "anisotropy.fluctuation": lambda ds, one: mm.anisotropy.fluctuation(ds),
    "anisotropy.pressure": lambda ds, one: mm.anisotropy.pressure(ds),
    "anisotropy.curvature": lambda ds, one: mm.anisotropy.curvature(ds),
    "anisotropy.patches": lambda ds, one: mm.anisotropy.patches(ds, "field", filling_fraction=0.3, largest=3),
    "anisotropy.threshold_curve": lambda ds, one: mm.anisotropy.threshold_curve(ds, thresholds=5),
    "anisotropy.brazil_histogram": lambda ds, one: mm.anisotropy.brazil_histogram(mm.anisotropy.pressure(ds)),
    "anisotropy.bends": lambda ds, one: mm.anisotropy.bends(ds, gyroradius=0.5 * one, bins=8, subvolumes=0),
    "anisotropy.elsasser": lambda ds, one: mm.anisotropy.elsasser(flowing(ds)),
    "anisotropy.cross_helicity": lambda ds, one: mm.anisotropy.cross_helicity(flowing(ds)),
    "anisotropy.longitudinal": lambda ds, one: mm.anisotropy.longitudinal(ds, "B", lags=3, subvolumes=2),
    "spectra.helicity": lambda ds, one: mm.spectra.helicity(ds),
    "tracing.field_lines": lambda ds, one: lines(ds, one, variables=["n"]),
    "lines.plane": lambda ds, one: mm.lines.plane(ds, shape=(3, 2)),
    "lines.neighbours": lambda ds, one: mm.lines.neighbours(mm.lines.plane(ds, shape=(3, 2)), separation=0.1 * one),
    "lines.separation": lambda ds, one: mm.lines.separation(lines(ds, one)),
    "lines.squashing": lambda ds, one: mm.lines.squashing(lines(ds, one)),
    "lines.wells": lambda ds, one: mm.lines.wells(lines(ds, one), most=3),
    "lines.trapped": lambda ds, one: mm.lines.trapped(lines(ds, one)),
    "lines.sequence": lambda ds, one: mm.lines.sequence(
        lines(ds.assign(m=(ds.n.dims, np.arange(ds.n.size).reshape(ds.n.shape) % 2)), one, variables=["m"]), "m"
    ),
    "anisotropy.compression": lambda ds, one: mm.anisotropy.compression([0.0, 1.0]),
    "turbulence.patches": lambda ds, one: mm.turbulence.patches(
        ds, filling_fraction=0.4, size=1.3 * one, edge_width=1.5, seed=1
    ),
}
READ = {  # those whose units are read alone: their numbers rest on samples, fits, or a unit of their own
    "spectra.slope": lambda ds, one: mm.spectra.slope(mm.spectra.power(ds), (0.5, 3.0)),
    "anisotropy.structure_function": lambda ds, one: mm.anisotropy.structure_function(ds, pairs=3000),
    "anisotropy.scale_anisotropy": lambda ds, one: mm.anisotropy.scale_anisotropy(
        mm.anisotropy.structure_function(ds, pairs=3000)
    ),
    "anisotropy.curvature_slope": lambda ds, one: mm.anisotropy.curvature_slope(
        mm.anisotropy.bends(ds, subvolumes=2), (0.1, 3.0)
    ),
    "anisotropy.intermittency": lambda ds, one: mm.anisotropy.intermittency(
        mm.anisotropy.structure_function(ds, order=[2, 4], pairs=3000)
    ),
    "transport.trapping": lambda ds, one: mm.transport.trapping(orbits(ds)),
    "anisotropy.pressure_tensor": lambda ds, one: mm.anisotropy.pressure_tensor(
        second_moments(ds), density=ds.n, species="ions"
    ),
    "faraday.rotation_measure": lambda ds, one: mm.faraday.rotation_measure(ds, "z", **given(ds)),
    "faraday.faraday_depth": lambda ds, one: mm.faraday.faraday_depth(ds, "z", **given(ds)),
    "faraday.polarization": lambda ds, one: polarized(ds),
    "faraday.depolarization": lambda ds, one: mm.faraday.depolarization(polarized(ds)),
    "faraday.fit": lambda ds, one: mm.faraday.fit(polarized(ds).mean(("x", "y")), "external", error=0.01),
    "faraday.statistics": lambda ds, one: mm.faraday.statistics(mm.faraday.rotation_measure(ds, "z", **given(ds))),
    "faraday.stack": lambda ds, one: mm.faraday.stack(cube(ds), 2, orientations=1, **given(ds)),
    "faraday.compare_to_random_walk": lambda ds, one: mm.faraday.compare_to_random_walk(ds, "z", **given(ds)),
    "faraday.expected_angles": lambda ds, one: mm.faraday.expected_angles(
        density=1e-3 / u.cm**3, field=1 * u.uG, integral_scale=1 * u.pc, length=1 * u.kpc
    ),
    "turbulence.gaussian": lambda ds, one: mm.turbulence.gaussian(8, seed=1, units={"Bx": "uG", "length": "pc"}),
    "turbulence.micromirrors": lambda ds, one: mm.turbulence.micromirrors(32, l_par=2.0, l_perp=2.0, rms=0.1, seed=1),
    "turbulence.layers": lambda ds, one: mm.turbulence.layers(20, filling_fraction=0.5, size=2.0),
    "turbulence.plane_waves": lambda ds, one: waves().modes,
    "turbulence.Synthetic": lambda ds, one: waves().to_dataset(ds),
    "turbulence.nested_grids": lambda ds, one: mm.turbulence.nested_grids(
        k_min=1.0, k_max=4.0, cells=24, seed=1
    ).to_dataset(ds),
    "particles.isotropic": lambda ds, one: mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=ds),
    "particles.beam": lambda ds, one: mm.particles.beam(3, gyroradius=1.0, pitch_angle=0.5, seed=1, field=ds),
    "particles.reference_strength": lambda ds, one: mm.particles.reference_strength(ds, "rms"),
    "io.from_arrays": lambda ds, one: ds,
    "tracing.trace": lambda ds, one: orbits(ds),
    "transport.running_diffusion": lambda ds, one: mm.transport.running_diffusion(orbits(ds)),
    "transport.diffusion": lambda ds, one: mm.transport.diffusion(orbits(ds)),
    "transport.bootstrap": lambda ds, one: mm.transport.bootstrap(orbits(ds), samples=3, seed=1),
    "transport.displacements": lambda ds, one: mm.transport.displacements(orbits(ds)),
    "transport.green_kubo": lambda ds, one: mm.transport.green_kubo(orbits(ds)),
    "transport.tensor": lambda ds, one: mm.transport.tensor(orbits(ds)),
    "transport.pitch_angle_diffusion": lambda ds, one: mm.transport.pitch_angle_diffusion(orbits(ds)),
    "transport.momentum_diffusion": lambda ds, one: mm.transport.momentum_diffusion(
        orbits(ds).pipe(lambda tr: tr.assign(momentum=xr.ones_like(tr.x)))
    ),
    "transport.parallel_from_mu": lambda ds, one: mm.transport.parallel_from_mu(orbits(ds)),
    "transport.escape": lambda ds, one: mm.transport.escape(orbits(ds.assign_attrs(boundary_x="open"))),
    "transport.physical": lambda ds, one: mm.transport.physical(
        mm.transport.diffusion(orbits(ds)), **({} if ds.x.attrs["units"] != "1" else {"length_unit": "1 pc"})
    ),
    "estimators.maximum_likelihood": lambda ds, one: mm.estimators.maximum_likelihood(orbits(ds)),
    "estimators.bayes": lambda ds, one: mm.estimators.bayes(orbits(ds), kappa=(0.1, 1000.0)),
    "estimators.mean_squared_displacement": lambda ds, one: mm.estimators.mean_squared_displacement(orbits(ds)),
    "estimators.filling_fraction": lambda ds, one: mm.estimators.filling_fraction(
        mm.estimators.maximum_likelihood(orbits(ds)).nu, inside=1.0, outside=0.01
    ),
    "estimators.two_phase": lambda ds, one: mm.estimators.two_phase(5, steps=10, seed=1),
    "samples.load": lambda ds, one: (mm.samples.load("micromirrors"), mm.samples.load("mhd_turbulence")),
}
# Public names without a labelled result of their own.
NONE = {
    "fourier": {"Transfer", "band", "gaussian", "high_pass", "low_pass"},
    "spectra": {"area_to_first_zero", "field_count"},
    "anisotropy": {"LENGTHS", "STRENGTHS", "WAVENUMBERS"},
    "faraday": {
        "BANDS", "RM_CONSTANT", "band_channels", "beta_model", "burn_slab", "external_dispersion",
        "internal_dispersion", "random_walk", "rm_synthesis", "write_fits",
    },
    "turbulence": {"NestedGrids", "PlaneWaves", "bend_over", "correlation_length"},
    "fields": {"Analytic", "Sum", "analytic", "sum"},
    "tracing": {"Evolution", "GuidingCentre"},
    "lines": set(),
    "transport": {"PREFACTOR", "UNITS_NOTE"},
    "estimators": {"LSTMDiffusion", "features"},
}  # fmt: skip

# What the last line of the history is where it is not the name.
CALLED = {
    "tracing.trace": "trace",
    "tracing.field_lines": "field_lines",
    "turbulence.Synthetic": "turbulence.to_dataset",
}
CALLED |= {"turbulence.nested_grids": "turbulence.to_dataset"}


def orbits(ds):
    protons = mm.particles.isotropic(6, gyroradius=5.0, seed=1, field=ds)
    return mm.trace(ds, protons, step=0.5, distance=20.0, save=10, scattering=mm.scattering.small_angle(nu=0.5))


def waves():
    return mm.turbulence.plane_waves(8, k_min=0.5, k_max=2.0, seed=1)


def cube(ds):
    return ds.isel(z=slice(0, 10), x=slice(0, 10)).assign_coords(
        {d: (d, (np.arange(10) + 0.5) * float(ds.y[1] - ds.y[0]), ds[d].attrs) for d in "zyx"}
    )


def parts(result):
    """All variables and coordinates of a result by name."""
    results = result if isinstance(result, tuple) else (result,)
    found = {}
    for i, one in enumerate(results):
        one = one.to_dataset(name=one.name or "value") if isinstance(one, xr.DataArray) else one
        found |= {f"{name}/{i}": variable.compute() for name, variable in one.variables.items()}
    return found


def test_the_table_is_complete():
    for room, others in NONE.items():
        called = {name.split(".")[1] for name in (*SAME, *READ) if name.startswith(f"{room}.")}
        assert called | others == set(getattr(mm, room).__all__), room


@pytest.mark.parametrize("name", [*SAME, *READ])
def test_astropy_reads_every_unit(name):
    for system in (FIRST, CODE):
        for where, variable in parts({**SAME, **READ}[name](snapshot(system), 1.0)).items():
            if "units" in variable.attrs:
                u.Unit(variable.attrs["units"])
            for key, value in variable.attrs.items():
                assert "(1)" not in str(value), (where, key)


@pytest.mark.parametrize("name", [*SAME, *READ])
def test_every_result_tells_its_story(name):
    """Version, source and history, as texts, last the function itself."""
    result = {**SAME, **READ}[name](snapshot(FIRST), 1.0)
    for one in result if isinstance(result, tuple) else (result,):
        assert all(isinstance(one.attrs.get(key), str) and one.attrs[key] for key in ATTRS), one.attrs
        own = CALLED.get(name, name)
        assert one.attrs["history"].split("\n")[-1].startswith(f"mm.{own}(")


@pytest.mark.parametrize("name", SAME)
def test_numbers_times_units_do_not_depend_on_the_units_of_the_snapshot(name):
    one, other = (parts(SAME[name](snapshot(s), s["length"][1])) for s in (FIRST, SECOND))
    assert set(one) == set(other)
    for where, first in one.items():
        factor = u.Unit(other[where].attrs.get("units", "1")).to(u.Unit(first.attrs.get("units", "1")))
        second = other[where].values
        if second.dtype.kind in "fc":
            size = np.nanmax(np.abs(np.where(np.isfinite(first.values), first.values, 0.0)), initial=0.0)
            np.testing.assert_allclose(second * factor, first.values, rtol=1e-6, atol=1e-7 * size, err_msg=where)
        else:
            assert factor == 1, where
            np.testing.assert_array_equal(second, first.values, err_msg=where)


def test_code_units_say_what_one_stands_for():
    ds = snapshot(CODE)
    assert mm.fourier.curl(ds).curl_Bx.attrs["normalization"] == "B0 / d_i"
    assert mm.fourier.vector_potential(ds).Ax.attrs["normalization"] == "B0 d_i"
    assert mm.anisotropy.curvature(ds).attrs["normalization"] == "1 / d_i"
    assert mm.anisotropy.patches(ds, "field", threshold=3.0).volume.attrs["normalization"] == "d_i**3"
    power = mm.spectra.power(ds)
    assert (power.attrs["units"], power.attrs["unit_normalization"]) == ("1 / rad", "B0**2 d_i / rad")
    assert power.k.attrs["normalization"] == "rad / d_i"
    half = ds.assign_coords({d: ds[d].assign_attrs(units="km") for d in SIZES})
    found = mm.fourier.divergence(half).attrs
    assert (found["units"], found["normalization"]) == ("1 / km", "B0 / km")


def test_structure_functions_have_powers_of_the_unit():
    options = {"pairs": 500, "subvolumes": 0}
    one = mm.anisotropy.structure_function(snapshot(FIRST), order=3, **options).structure.attrs
    assert u.Unit(one["units"]) == u.nT**3
    several = mm.anisotropy.structure_function(snapshot(FIRST), order=[1, 2], **options).structure.attrs
    assert "units" not in several and several["units_by_order"] == "(nT)**order"
    coded = mm.anisotropy.structure_function(snapshot(CODE), order=[1, 2], **options).structure.attrs
    assert (coded["units"], coded["normalization"]) == ("1", "(B0)**order")


def test_units_that_a_file_states():
    assert mm.conventions.stated_unit("s") == {"units": "s"}
    odd = mm.conventions.stated_unit("time step of the database")
    assert odd == {"units": "1", "normalization": "time step of the database"}


def test_units_of_products():
    def array(units, name="x", **attrs):
        return xr.DataArray(0.0, name=name, attrs={"units": units, **attrs})

    assert derived_units((array("km"), 3)) == {"units": "km3"}
    assert derived_units((array("km"), 1)) == {"units": "km"}
    assert derived_units((array("km"), 0)) == {"units": "1"}
    assert derived_units((array("km"), 1), (array("km"), -1)) == {"units": "1"}
    assert derived_units((array("1"), 2)) == {"units": "1", "normalization": "(length unit)**2"}
    for text in ("km / s", "3.0856775814913673e+16 m", "1e-9 T"):  # a product, and scales of many digits
        for power in (-2, -1, 2, 3):
            found = u.Unit(derived_units((array(text), power))["units"])
            assert (found / u.Unit(text) ** power).to("") == pytest.approx(1, rel=1e-14)
    assert derived_units((array("nT", "Bx"), 1), (array("R_E"), -1)) == {"units": "nT / R_E"}  # unknown stays legible


def test_fields_of_different_units_are_not_added_up():
    ds = snapshot(FIRST)
    for call in (
        lambda: mm.spectra.power(ds, ["Bx", "n"]),
        lambda: mm.spectra.power2d(ds, ["Bx", "n"]),
        lambda: mm.spectra.reduced_spectrum(ds, ["Bx", "n"], axis="x"),
        lambda: mm.spectra.correlation(ds, ["Bx", "n"], axis="x"),
    ):
        with pytest.raises(mm.SnapshotError, match="differ in unit"):
            call()
