"""Bends of field lines: exact laws of Gaussian fields, known curves, lazily and in parts."""

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad

import mmfields as mm


@pytest.fixture(scope="module")
def gaussian():
    """Waves that central differences resolve."""
    return mm.turbulence.gaussian((96, 100, 104), spacing=1.0, spectrum=0.0, k_min=0.1, k_max=0.35, seed=7)


def mean_k2(ds):
    """⟨k²⟩ as central differences see it: the mean square of all of them over that of the field."""
    total, square = 0.0, 0.0
    for name in ("Bx", "By", "Bz"):
        for axis in range(3):
            total += np.mean(((np.roll(ds[name].values, -1, axis) - np.roll(ds[name].values, 1, axis)) / 2) ** 2)
        square += np.mean(ds[name].values ** 2)
    return total / square


def test_curvatures_of_a_gaussian_field_have_their_law(gaussian):
    found = mm.anisotropy.bends(gaussian, curvature_range=(1e-3, 10.0), bins=24, gyroradius=[1.0, 3.0, 10.0]).compute()
    k2 = mean_k2(gaussian)
    # differences across the field make b·∇b of a finite cell a little larger or smaller: the law is in <k²>
    edges = np.geomspace(1e-3, 10.0, 25)
    above = (1 + 2.5 * edges**2 / k2) ** -1.5
    share = found["pdf"] * found["curvature_width"]
    error = found["pdf_error"] * found["curvature_width"]
    off = (share.values + np.diff(above)) / (3 * error.values - 0.02 * np.diff(above))
    resolved = edges[1:] < 0.4
    assert np.abs(off)[resolved].max() < 1.2 and resolved.sum() > 12
    fit = mm.anisotropy.curvature_slope(found, (1e-3, 0.02))
    assert abs(float(fit["slope"]) - 1.0) < 3 * float(fit["slope_error"]) < 0.2
    sigma2, s2 = 2 * k2 / 15, 1 / 3  # of the curvature force along each of two axes, and of a component of B
    for radius in (1.0, 3.0, 10.0):
        law, _ = quad(
            lambda b, r=radius: (
                np.sqrt(2 / np.pi) * b**2 / s2**1.5 * np.exp(-(b**2) / 2 / s2 - b**4 / r**2 / 2 / sigma2)
            ),
            0,
            6,
        )
        one = found.sel(gyroradius=radius)
        assert float(one["bent_fraction"]) == pytest.approx(law, abs=3 * float(one["bent_fraction_error"]) + 0.02 * law)
    assert float(found["correlation"]) < -0.3  # the force knows nothing of |B|, the curvature is the force over |B|²


def test_the_correlation_is_that_of_numpy_and_nothing_depends_on_chunks(gaussian):
    ds = gaussian.isel(z=slice(0, 20)).assign_attrs(boundary_z="open")
    kappa, b = (np.log(a.values.ravel()) for a in (mm.anisotropy.curvature(ds), sum(ds[f"B{d}"] ** 2 for d in "xyz")))
    whole = mm.anisotropy.bends(ds, gyroradius=2.0)
    assert float(whole["correlation"]) == pytest.approx(np.corrcoef(kappa, b)[0, 1], rel=1e-6)
    parts = mm.anisotropy.bends(ds.chunk({"z": 7, "y": 31, "x": 50}), gyroradius=2.0)
    assert parts["pdf"].chunks is not None
    xr.testing.assert_allclose(parts.compute(), whole, rtol=1e-6)


def test_bends_of_circles_are_one_over_their_radius():
    n = 64
    y, x = np.meshgrid(np.arange(n) - 10.5, np.arange(n) - 12.3, indexing="ij")
    ds = mm.io.from_arrays(Bx=-y, By=x, Bz=0 * x, spacing={"x": 1.0, "y": 1.0}, dims=("y", "x"), boundary="open")
    found = mm.anisotropy.bends(ds, gyroradius=[8.0], subvolumes=0)
    radius = np.hypot(x, y)
    local = 8.0 * np.sqrt(np.mean(radius**2)) / radius
    assert float(found["bent_fraction"][0]) == pytest.approx(np.mean(local > radius), abs=0.01)
    assert float((found["pdf"] * found["curvature_width"]).sum()) == pytest.approx(1.0, abs=0.01)
    with pytest.raises(mm.SnapshotError, match="three are needed"):
        mm.anisotropy.curvature_slope(found, (0.01, 0.1))


def test_series_and_laziness(gaussian, no_compute):
    ds = gaussian.isel(z=slice(0, 8), y=slice(0, 8)).assign_attrs(boundary_z="open", boundary_y="open").chunk(z=4)
    both = xr.concat([ds, 2 * ds], "time").assign_attrs(ds.attrs)
    assert mm.anisotropy.bends(both)["pdf"].dims == ("time", "curvature")


def test_increments_of_a_gaussian_field_are_not_intermittent():
    noise = mm.turbulence.gaussian((64, 64, 60), spacing=1.0, spectrum=0.0, k_min=0.6, k_max=2.0, seed=3)
    structure = mm.anisotropy.structure_function(noise, vector="Bx", order=[2, 3, 4], pairs=400_000, bins=8)
    found = mm.anisotropy.intermittency(structure).compute()
    # a separation along a component has half the variance of one across it, at most: 3.1 in their mixture
    np.testing.assert_allclose(found["flatness"].dropna("l")[1:], 3.05, atol=0.15)
    np.testing.assert_allclose(found["relative_exponent"], np.array([2, 3, 4]) / 3, atol=0.04)
    with pytest.raises(mm.SnapshotError, match="several orders"):
        mm.anisotropy.intermittency(structure.isel(order=0))


@pytest.mark.parametrize(
    "options", [{"gyroradius": -1.0}, {"curvature_range": (2.0, 1.0)}, {"bins": 0}, {"subvolumes": 1}]
)
def test_what_cannot_be_is_refused(gaussian, options):
    with pytest.raises(mm.ArgumentError):
        mm.anisotropy.bends(gaussian, **options)
