"""Fields of any strength and precision: what scales with the field scales, what does not stays, in every dtype."""

import numpy as np
import pytest

import mmfields as mm

VECTOR = ("Bx", "By", "Bz")


def base():
    rng = np.random.default_rng(0)
    shape = (16, 12, 14)
    fields = {n: rng.normal(size=shape) + 2 * (n == "Bx") for n in VECTOR}
    return fields | {n: 1 + rng.random(shape) for n in ("n", "p_par", "p_perp")}


def snapshot(scale, kind, fields=None):
    parts = {n: (a * (scale if n[0] == "B" else 1.0)).astype(kind) for n, a in (fields or base()).items()}
    return mm.io.from_arrays(**parts, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))


SIZES = ["l_par", "l_perp", "k_par_rms", "aspect_l", "skewness", "dB_over_B0", "l_par_error", "correlation_dn"]
# Result, and the power of the field that it is.
CALLS = {
    "mean_field": (lambda ds: mm.mean_field(ds).to_array(), 1),
    "filter": (lambda ds: mm.fourier.filter(ds[list(VECTOR)], mm.fourier.band(k_perp=(0.5, 2))).to_array(), 1),
    "curl": (lambda ds: mm.fourier.curl(ds).to_array(), 1),
    "vector potential": (lambda ds: mm.fourier.vector_potential(ds).to_array(), 1),
    "power": (mm.spectra.power, 2),
    "correlation": (lambda ds: mm.spectra.correlation(ds, axis="x"), 2),
    "coherence": (lambda ds: mm.spectra.coherence(ds, "Bx", "By"), 0),
    "scales": (lambda ds: mm.anisotropy.scales(ds)[SIZES].to_array(), 0),
    "strengths": (lambda ds: mm.anisotropy.scales(ds)[["dB_par_rms", "dB_perp_rms"]].to_array(), 1),
    "fluctuation": (mm.anisotropy.fluctuation, 1),
    "curvature": (mm.anisotropy.curvature, 0),
    "threshold": (lambda ds: mm.anisotropy.patches(ds, "field", filling_fraction=0.3).threshold, 1),
    "filling": (lambda ds: mm.anisotropy.patches(ds, "field", filling_fraction=0.3).filling_fraction, 0),
    "smoothed": (lambda ds: mm.anisotropy.patches(ds, "fluctuation", threshold=0.3, smoothing=1.0).filling_fraction, 0),
    "curve": (lambda ds: mm.anisotropy.threshold_curve(ds, thresholds=11).filling_fraction, 0),
    "structure": (lambda ds: mm.anisotropy.structure_function(ds, pairs=5000, order=4).structure_angle, 4),
    "Delta": (lambda ds: mm.anisotropy.pressure(ds).Delta, 0),
    "beta": (lambda ds: mm.anisotropy.pressure(ds).beta_perp, -2),
    "cut": (
        lambda ds: mm.turbulence.patches(ds, filling_fraction=0.4, size=1.5, edge_width=1.5, seed=1)[
            ["Bx", "By"]
        ].to_array(),
        1,
    ),
    "reference": (lambda ds: mm.particles.reference_strength(ds, "rms"), 1),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("scale", "kind", "digits"),
    [(1e-23, np.float32, 2e-4), (1e25, np.float32, 2e-4), (150.0, np.float16, 1e-2), (1e-3, np.float16, 1e-2)],
)
def test_results_scale_with_the_field(name, scale, kind, digits):
    """Against the same numbers, rounded alike, in float64 and of order one."""
    call, power = CALLS[name]
    rounded = snapshot(scale, kind)
    plain = {n: rounded[n].values.astype(float) / (scale if n[0] == "B" else 1.0) for n in rounded.data_vars}
    want = call(snapshot(1.0, float, plain)).values.astype(np.longdouble)
    for ds in (rounded, rounded.chunk(z=5)):
        found = call(ds).values.astype(np.longdouble) / np.longdouble(scale) ** power
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(want))
        assert np.nanmax(abs(found - want)) <= digits * np.nanmax(abs(want))


@pytest.mark.parametrize("threshold", [300.0, 346.5, 360.0])
def test_filling_of_half_floats_is_exact(threshold):
    """|B| of half floats has more digits than they, and is beyond their largest square at 256."""
    b = (200 + np.random.default_rng(1).normal(size=(3, 6, 7, 8))).astype(np.float16)
    ds = mm.io.from_arrays(**dict(zip(VECTOR, b, strict=True)), spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
    want = (np.sqrt((b.astype(float) ** 2).sum(0)) >= threshold).mean()
    for one in (ds, ds.chunk(x=3)):
        found = mm.anisotropy.patches(one, "field", threshold=threshold, largest=1)
        curve = mm.anisotropy.threshold_curve(one, thresholds=[100.0, threshold])
        assert float(found.filling_fraction) == want == float(curve.filling_fraction[1])


def test_pressure_tensors_of_small_moments():
    """Products of mean velocities of 1e-23 c do not vanish beside their second moments, in float32."""
    size, want = 1e-21, 3.0
    density = snapshot(1.0, float).n
    flow = np.full(density.shape, size, np.float32)
    second = np.full(density.shape, size * np.float64(size) * (1 + want))
    parts = {"ux_ions": flow, "uy_ions": flow, "uz_ions": flow, "uxx_ions": second}
    ds = density.to_dataset().assign({n: (density.dims, a) for n, a in parts.items()})
    found = mm.anisotropy.pressure_tensor(ds, density=density, species="ions").Pxx
    energy = 1.67262192e-27 * 299792458.0**2
    np.testing.assert_allclose(found, want * size**2 * density * energy, rtol=1e-5)


@pytest.mark.parametrize(("scale", "cell"), [(1e-23, 3e19), (1e25, 3e19), (1e-23, 3e-19), (100.0, 1e-3)])
def test_derivatives_and_potentials_over_cells_of_any_size(scale, cell):
    """Such as 1e-23 T over kiloparsecs in m, whose curl and potential are beyond the range of float32."""
    kind = np.float16 if scale == 100.0 else np.float32
    fields = {n: base()[n] for n in VECTOR}
    small = snapshot(scale, kind, fields)
    want = snapshot(1.0, float, {n: small[n].values.astype(float) / scale for n in VECTOR})
    ds = small.assign_coords({d: (d, small[d].values * cell, {"spacing": cell}) for d in "zyx"})
    for call, power in ((mm.fourier.curl, -1), (mm.fourier.vector_potential, 1)):
        one, other = (call(s).to_array().values.astype(np.longdouble) for s in (ds, want))
        np.testing.assert_allclose(one / np.longdouble(scale) / np.longdouble(cell) ** power, other, atol=3e-5)
    cut = mm.turbulence.patches(ds, filling_fraction=0.4, size=1.5 * cell, edge_width=1.5, seed=1)
    assert cut.Bx.dtype == kind and np.isfinite(cut.Bx).all() and float(abs(cut.By).max()) > 0
