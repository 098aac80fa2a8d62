"""Plane waves: normalization, geometry, helicity, spacing, and their evaluation by octaves along orbits."""

from dataclasses import replace
from itertools import pairwise

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm

turbulence = mm.turbulence
ALONG = np.array([0.6, 0.0, 0.8])


def columns(field, *names):
    return np.stack([field.modes[n].values for n in names], -1)


def made(**options):
    return turbulence.plane_waves(**{"modes": 400, "k_min": 0.1, "k_max": 50.0, "seed": 5, **options})


@pytest.mark.parametrize("helicity", [0.0, 0.4, -1.0])
@pytest.mark.parametrize("geometry", ["isotropic", "slab", "2d", "composite", "goldreich-sridhar"])
def test_every_geometry_has_the_strength_and_no_divergence(geometry, helicity):
    if helicity != 0 and geometry in ("2d", "composite"):
        with pytest.raises(mm.ArgumentError, match="out of the plane"):
            made(geometry=geometry, helicity=helicity)
        return
    field = made(geometry=geometry, helicity=helicity, rms=2.0, mean_field=tuple(3 * ALONG))
    k, a = columns(field, "kx", "ky", "kz"), columns(field, "ax", "ay", "az")
    size = np.linalg.norm(k, axis=1)
    assert np.abs((k * a).sum(1) / size).max() < 1e-13
    assert 0.5 * (a**2).sum() == pytest.approx(4.0, rel=1e-13)
    along, strength = k @ ALONG / size, a @ ALONG
    slab, flat = np.abs(np.abs(along) - 1) < 1e-12, np.abs(along) < 1e-12
    if geometry == "slab":
        assert slab.all()
    if geometry in ("2d", "composite"):
        assert (slab | flat).all()
        assert helicity != 0 or np.abs(strength).max() < 1e-12
    if geometry == "composite":
        assert 0.5 * (a[slab] ** 2).sum() == pytest.approx(0.2 * 4.0)
    if geometry == "goldreich-sridhar":
        k_perp = size * np.sqrt(1 - along**2)
        balance = np.abs(along) * size / np.cbrt(k_perp**2 * 0.1)
        assert balance.mean() == pytest.approx(1.0, rel=0.15)  # of an exponential distribution


@pytest.mark.parametrize("helicity", [0.0, 0.7, 1.0, -1.0])
def test_helicity_is_that_of_the_field(helicity):
    """⟨B·∇×B⟩ of every wave, from the modes themselves."""
    field = made(modes=50, helicity=helicity)
    k, a, phase = columns(field, "kx", "ky", "kz"), columns(field, "ax", "ay", "az"), field.modes.phase.values
    half, total, want = 50, 0.0, 0.0
    for i in range(half):
        parts = [i] if helicity == 0 else [i, i + half]
        amplitude = sum(a[p] * np.exp(1j * phase[p]) for p in parts)
        total += 0.5 * (amplitude.conj() @ np.cross(1j * k[i], amplitude)).real
        want += helicity * np.linalg.norm(k[i]) * 0.5 * (np.abs(amplitude) ** 2).sum()
    assert total == pytest.approx(want, abs=1e-12)


def test_isotropy_of_directions_and_polarizations():
    field = made(modes=20000)
    k, a = columns(field, "kx", "ky", "kz"), columns(field, "ax", "ay", "az")
    for vectors in (k, a):
        unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
        assert np.abs(unit.T @ unit / len(unit) - np.eye(3) / 3).max() < 0.01
        assert np.abs(unit.mean(0)).max() < 0.02


def test_spectra_come_back():
    """Sums of a²/2 in bins of k are those of the shape, whatever the spacing of the modes."""
    shape = turbulence.bend_over(2.0)
    given = np.sort(np.random.default_rng(0).uniform(np.log(0.1), np.log(50.0), 4000))
    for field in (
        made(modes=4000, spectrum=shape),
        made(modes=None, modes_per_octave=lambda k: 300 + 900 * (k < 1), spectrum=shape),
        turbulence.plane_waves(np.exp(given), spectrum=shape, seed=5),
    ):
        k, power = field.wavenumbers(), 0.5 * (columns(field, "ax", "ay", "az") ** 2).sum(1)
        edges = np.geomspace(0.11, 45.0, 8)
        found = np.histogram(k, edges, weights=power)[0]
        want = [turbulence.shapes.integral(shape, a, b) for a, b in pairwise(edges)]
        np.testing.assert_allclose(found / found.sum(), np.array(want) / np.sum(want), rtol=0.06)


def test_correlation_lengths_are_those_of_closed_forms():
    """science.md section 6: power law, and the bend-over spectrum with its 0.4979 l_b."""
    slope, ratio = 5 / 3, 1e-3
    power = turbulence.correlation_length(slope, k_min=1.0, k_max=1e3)
    want = 2 * np.pi / 4 * (slope - 1) / slope * (1 - ratio**slope) / (1 - ratio ** (slope - 1))
    assert power == pytest.approx(want, rel=1e-9)
    assert turbulence.correlation_length(slope, k_min=1.0, k_max=1e3, convention="two-sided") == 2 * power
    bend = turbulence.bend_over(3.0)
    assert turbulence.correlation_length(bend, k_min=1e-6, k_max=1e9) == pytest.approx(0.4979 * 3.0, rel=1e-4)
    field = made(modes=4000, spectrum=bend, k_min=1e-3, k_max=1e3)
    whole = turbulence.correlation_length(bend, k_min=1e-3, k_max=1e3)
    assert field.correlation_length() == pytest.approx(whole, rel=1e-3)
    assert field.correlation_length("two-sided") == pytest.approx(2 * whole, rel=1e-3)


def test_dense_modes_where_they_are_asked_for():
    field = made(modes=None, modes_per_octave=lambda k: np.where(k < 0.4, 400.0, 25.0))
    assert field.modes_per_octave(0.2) == pytest.approx(400, abs=2)
    assert field.modes_per_octave(10.0) == pytest.approx(25, abs=2)
    assert made(modes=None, modes_per_octave=10.0).modes.sizes["mode"] == round(10 * np.log2(500))


@pytest.mark.parametrize("scattering", [None, "uniform"])
def test_orbits_by_octaves_are_those_of_all_waves(scattering, no_compute):
    """Ten gyrations through six decades, to the bound; and to the bit whatever the tasks and however continued."""
    field = turbulence.plane_waves(256, k_min=1e-6, k_max=6.0, seed=2, error=1e-7)
    p = mm.particles.isotropic(70, gyroradius=3.0, seed=1, field=field)
    model = mm.scattering.small_angle(nu=1e-3) if scattering else None
    options = {"step": 0.03, "distance": 192.0, "save": 3, "scattering": model}
    fast, slow = mm.trace(field, p, **options), mm.trace(replace(field, error=0.0), p, **options)
    other = mm.trace(field, p, **options, particles_per_task=13)
    with dask.config.set(scheduler="threads"):
        fast, slow = fast.compute(), slow.compute()
        xr.testing.assert_identical(fast, other.compute())
    off = max(float(np.abs(fast[d] - slow[d]).max()) for d in "xyz")
    # a turn of the direction by the error grows with the path, and the place with its square
    assert 0 < off < 1e-7 * 192.0**2 / 3.0
    head = mm.trace(field, p, **{**options, "distance": 128.0, "save": 2})
    rest = mm.trace(field, mm.particles.from_trajectories(head), **{**options, "save": 1})
    with dask.config.set(scheduler="threads"):
        for d in ("x", "vy"):
            np.testing.assert_array_equal(rest[d].isel(path=-1), fast[d].isel(path=-1))


def test_diffusion_by_octaves_is_that_of_all_waves():
    """Over many mean free paths, where single orbits have long parted."""
    field = turbulence.plane_waves(200, k_min=1.0, k_max=30.0, seed=4)
    p = mm.particles.isotropic(256, gyroradius=0.5, seed=6, field=field)
    found = []
    for error in (1e-6, 0.0):
        tr = mm.trace(replace(field, error=error), p, step=0.02, distance=60.0, save=20)
        found.append(mm.transport.diffusion(tr).compute(scheduler="sync"))
    apart = abs(float(found[0].kappa - found[1].kappa))
    assert apart < 3 * np.hypot(float(found[0].kappa_error), float(found[1].kappa_error))


def test_the_seed_decides():
    a, b, c = made(seed=1), made(seed=1), made(seed=2)
    xr.testing.assert_identical(a.modes, b.modes)
    assert not a.modes.phase.equals(c.modes.phase)
    for make in (
        lambda s: turbulence.gaussian(8, seed=s),
        lambda s: turbulence.nested_grids(k_min=1.0, k_max=1.4, cells=24, seed=s).grids[0],
        lambda s: turbulence.micromirrors(48, l_par=2.0, l_perp=2.0, rms=0.1, kind="bottles", seed=s),
    ):
        xr.testing.assert_identical(make(1), make(1))
        assert not make(1).Bx.equals(make(2).Bx)


def test_gyroradii_that_meet_few_modes_are_named():
    field = made(k_min=1e-3, k_max=10.0)
    p = mm.particles.isotropic(2, gyroradius=[1.0, 1e-3, 1e5], seed=1, field=field)
    said = mm.trace(field, p, step=0.1, distance=1.0, step_unit="gyroradius").attrs["sparse_modes"]
    assert "r_g=0.001 meets 0 modes" in said and "of 400 needed" in said and "r_g=1 " not in said
    dense = made(modes=None, modes_per_octave=450.0, k_min=0.01)
    p = mm.particles.isotropic(2, gyroradius=1e4, seed=1, field=dense)
    assert "sparse_modes" not in mm.trace(dense, p, step=0.1, distance=1.0).attrs


def test_a_grid_of_it_is_the_field(no_compute):
    field = made(mean_field=(1.0, 2.0, 3.0))
    axes = {"z": np.arange(6) * 0.2, "x": 3 + np.arange(5) * 0.1}
    plane = field.to_dataset(axes)
    assert plane.Bx.dims == ("z", "x") and plane.attrs["boundary_x"] == "open"
    want = field.at(axes["x"][None, :], 0.0, axes["z"][:, None])
    np.testing.assert_array_equal(np.stack([plane[f"B{d}"] for d in "xyz"], -1), want)
    with dask.config.set(scheduler="threads"):
        cut = mm.samples.load("mhd_turbulence").isel(z=7).compute()
    np.testing.assert_array_equal(
        field.to_dataset(cut).By, field.at(cut.x.values[None, :], cut.y.values[:, None], float(cut.z))[..., 1]
    )
    assert float(field.to_dataset(cut).z) == float(cut.z)
    grid = mm.samples.load("mhd_turbulence").isel(x=slice(0, 8), y=slice(0, 9)).chunk(x=4, y=5, z=20)
    lazy = field.to_dataset(grid)
    assert lazy.By.chunks == grid.Bx.chunks
    with dask.config.set(scheduler="threads"):
        place = {"x": 7, "y": 2, "z": 33}
        here = field.at(*(float(grid[d][i]) for d, i in place.items()))
        np.testing.assert_array_equal([float(lazy[f"B{d}"].isel(place)) for d in "xyz"], here)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": 1}, "from 2"),
        ({"modes": 0}, "from 2"),
        ({"k_min": 60.0}, "ascending"),
        ({"k_max": None}, "k_min and k_max are needed"),
        ({"rms": 0.0}, "rms=0.0"),
        ({"geometry": "round"}, "geometry='round'"),
        ({"helicity": 1.5}, "helicity=1.5"),
        ({"slab_fraction": -1}, "slab_fraction=-1"),
        ({"seed": -1}, "seed"),
        ({"spectrum": "steep"}, "spectrum='steep'"),
        ({"spectrum": lambda k: -k}, "is negative"),
        ({"spectrum": lambda k: "no"}, "gives no numbers"),
        ({"modes_per_octave": 100.0}, "either modes or modes_per_octave"),
        ({"modes": None, "modes_per_octave": 0.1}, "two are needed"),
        ({"modes": None, "modes_per_octave": 1e12}, "more than 1e"),
        ({"modes": None, "modes_per_octave": lambda k: np.ones(3)}, "gives no numbers"),
        ({"spectrum": lambda k: {}[1]}, "gives no numbers"),
        ({"spectrum": lambda k: 1j * k}, "gives no numbers"),
        ({"modes": None, "modes_per_octave": lambda k: -k}, "negative"),
        ({"modes": [1.0, 2.0]}, "leave out"),
        ({"modes": [1.0, 1.0], "k_min": None, "k_max": None}, "different"),
        ({"mean_field": (1.0, 2.0)}, "three numbers"),
        ({"error": 0.5}, "error=0.5"),
    ],
)
def test_what_is_not_possible_is_refused(options, message):
    with pytest.raises(mm.ArgumentError, match=message):
        made(**options)


def test_more_that_is_refused():
    with pytest.raises(mm.ArgumentError, match="convention='both'"):
        turbulence.correlation_length(5 / 3, k_min=1.0, k_max=2.0, convention="both")
    with pytest.raises(mm.ArgumentError, match="convention='both'"):
        made().correlation_length("both")
    with pytest.raises(mm.ArgumentError, match="scale=0"):
        turbulence.bend_over(0)
    with pytest.raises(mm.SnapshotError):
        made().to_dataset({"x": np.array([0.0, 1.0, 3.0]), "y": np.arange(3.0)})


def far(field):
    p = mm.particles.isotropic(3, gyroradius=1.0, seed=1, field=field)
    mm.trace(field, p.assign(x=p.x + 1e15), step=0.1, distance=1.0).compute(scheduler="sync")


def test_bad_places_and_kinds_are_refused():
    field = made()
    for call, message in (
        (lambda: field.at("here", 0.0, 0.0), "no numbers of one shape"),
        (lambda: field.at(1j, 0.0, 0.0), "no numbers of one shape"),
        (lambda: field.at(np.nan, 0.0, 0.0), "not finite"),
        (lambda: field.correlation_length(["x"]), "convention"),
        (lambda: far(field), "beyond what can be told apart"),
        (lambda: field.at([1.0, 2.0], [1.0, 2.0, 3.0], 0.0), "no numbers of one shape"),
        (lambda: field.strength("mode"), "kind='mode'"),
        (lambda: field.to_dataset(5), "a snapshot, or coordinates"),
        (lambda: field.to_dataset({}), "some of x, y, z"),
    ):
        with pytest.raises(mm.MmfieldsError, match=message):
            call()


def edited(**columns):
    good = {"kx": [1.0, 0.4], "ky": [0.0, 0.0], "kz": [0.0, 0.0], "ax": [0.0, 0.0], "ay": [1e-9, 1.0], "az": [0.0, 0.0]}
    whole = {**good, "phase": [0.3, 0.3], **columns}
    return xr.Dataset({n: ("mode", np.asarray(v)) for n, v in whole.items()})


@pytest.mark.parametrize(
    "make",
    [
        lambda e: turbulence.PlaneWaves(edited(), error=e),
        lambda e: turbulence.plane_waves(200, k_min=0.01, k_max=10.0, spectrum=11.0, seed=1, error=e),
        lambda e: turbulence.plane_waves(
            300, k_min=1e-3, k_max=10.0, seed=1, error=e,
            spectrum=lambda k: k ** (-5 / 3) * (1 + 1e12 * np.exp(-(np.log2(k * 20) ** 2) * 300)),
        ),
    ],
)  # fmt: skip
def test_strong_slow_waves_keep_the_bound(make):
    """Where amplitudes grow fast from octave to octave, along straight lines, at every step."""
    from mmfields.kernels.lanes import LANES

    from mmfields.kernels import waves as kernel

    error = 1e-6
    field = make(error)
    data, *parts = field.packed()
    parts, rng = kernel.Octaves(*parts), np.random.default_rng(0)
    levels, b = kernel.new_levels(parts), [np.empty(LANES) for _ in range(3)]
    start, way = rng.normal(size=(3, LANES)) * 30, rng.normal(size=(3, LANES))
    way /= np.linalg.norm(way, axis=0)
    for step, steps in ((0.1, 200), (0.05, 400), (1e-3, 3000)):
        many = kernel.plan_levels(parts, step, steps, levels)
        worst = 0.0
        for s in range(steps):
            place = start + s * step * way
            kernel.waves_by_level(data, len(data) // 8, parts, levels, many, s, *place, *b)
            if s % 13 == 0 or s == steps - 1:
                worst = max(worst, np.abs(np.stack(b, -1) - field.at(*place)).max())
        assert worst < error * field.rms


def test_modes_that_are_none_are_refused():
    for columns, message in (
        ({"ax": [1j, 1.0]}, "real numbers"),
        ({"ax": ["a", "b"]}, "real numbers"),
        ({"ay": [0.0, 0.0]}, "every amplitude is 0"),
        ({"kx": [1.0, 0.0]}, "mode 1 has wavenumber 0"),
        ({"kx": [1.0, np.nan]}, "not finite"),
    ):
        with pytest.raises(mm.SnapshotError, match=message):
            turbulence.PlaneWaves(edited(**columns))
    with pytest.raises(mm.ArgumentError, match="mean_field"):
        turbulence.PlaneWaves(edited(), ("a", "b", "c"))


def test_ellipses_are_counted_once():
    dense = made(modes=None, modes_per_octave=100.0, helicity=0.5)
    assert dense.modes_per_octave(3.0) == pytest.approx(100, abs=2)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_modes_and_one_mean_field(count):
    """Few waves, equal ones and float32 columns are added up like any other; phases of many turns too."""
    rng = np.random.default_rng(count)
    names = ("kx", "ky", "kz", "ax", "ay", "az", "phase")
    columns = {n: ("mode", rng.normal(size=count).astype(np.float32)) for n in names}
    modes = xr.Dataset(columns)
    modes["phase"] = modes.phase.astype(float) + 2e9
    if count > 1:
        for n in names[:3]:
            modes[n][-1] = modes[n][0]
    field = turbulence.PlaneWaves(modes, (0.5, 0.0, 1.0))
    places = rng.normal(size=(3, 50)) * 100
    k, a = (np.stack([modes[n].values.astype(float) for n in group]) for group in (names[:3], names[3:6]))
    phase = modes.phase.values
    phase = np.arctan2(np.sin(phase), np.cos(phase))  # a sum with all its turns would round
    want = np.cos(places.T @ k + phase) @ a.T + [0.5, 0.0, 1.0]
    np.testing.assert_allclose(field.at(*places), want, atol=1e-11)
