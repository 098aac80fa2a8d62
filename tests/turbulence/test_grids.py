"""Gaussian fields, nested grids, micromirrors and patches."""

import dask
import numpy as np
import pytest
import xarray as xr

import mmfields as mm

turbulence = mm.turbulence
CELLS = {"z": 24, "y": 20, "x": 30}
WIDTHS = {"z": 1.0, "y": 1.2, "x": 0.7}
NAMES = ("Bx", "By", "Bz")


def strength(ds):
    return np.sqrt(sum(float(ds[n].var()) for n in NAMES))


def divergence(ds):
    return float(np.abs(mm.fourier.divergence(ds)).max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gaussian_fields_do_not_depend_on_chunks_or_on_the_order_of_dims(dtype, no_compute):
    options = {"spacing": WIDTHS, "seed": 3, "mean_field": (2.0, 0.5, 0.0), "dtype": dtype}
    whole = turbulence.gaussian(CELLS, **options)
    tiny = 1e-13 if dtype == np.float64 else 1e-5
    assert whole.Bx.dtype == dtype
    assert divergence(whole) < 20 * tiny
    np.testing.assert_allclose([float(whole[n].mean()) for n in NAMES], [2, 0.5, 0], atol=tiny)
    for chunks in ({"z": 5}, {"z": 7, "y": 6, "x": 11}):
        lazy = turbulence.gaussian(CELLS, **options, chunks=chunks)
        assert lazy.Bx.chunks is not None
        with dask.config.set(scheduler="threads"):
            xr.testing.assert_allclose(lazy.compute(), whole, atol=tiny)
    turned = turbulence.gaussian({d: CELLS[d] for d in "xzy"}, **options)
    xr.testing.assert_allclose(turned.transpose("z", "y", "x"), whole, atol=tiny)


def test_slabs_and_pencils_make_the_same_gaussian_field(monkeypatch):
    monkeypatch.setattr("mmfields.fourier.pencils.BLOCK_BYTES", 1 << 14)
    options = {"spacing": WIDTHS, "seed": 3}
    lazy = turbulence.gaussian(CELLS, **options, chunks={"z": 6})
    xr.testing.assert_allclose(lazy.compute(), turbulence.gaussian(CELLS, **options), atol=1e-13)


def test_more_cells_add_modes_to_those_that_were_there():
    """The same box twice as fine, cut at the limit of the coarse one, has the same modes, about the same corner."""
    coarse = turbulence.gaussian(16, spacing=2.0, seed=7, k_max=1.0)
    fine = turbulence.gaussian(32, spacing=1.0, seed=7, k_max=1.0)
    a, b = (np.fft.rfftn(ds.By.values, norm="forward") for ds in (coarse, fine))
    number = np.fft.fftfreq(16, 1 / 16)
    centre = [number[:7, None, None], number[None, :7, None], np.arange(7)[None, None, :]]
    turn = np.exp(2j * np.pi / 32 * 0.5 * sum(centre))  # a quarter of a coarse cell
    np.testing.assert_allclose(a[:7, :7, :7], b[:7, :7, :7] * turn, rtol=1e-5, atol=1e-15)  # float32 draws


def test_spectra_come_back_and_are_gaussian():
    ds = turbulence.gaussian(96, seed=2, spectrum=turbulence.bend_over(6.0), rms=3.0)
    power = mm.spectra.power(ds, list(NAMES))
    want = turbulence.bend_over(6.0)(power.k)
    share = (power / want).where((power.k > 0.1) & (power.k < 3.0), drop=True)
    assert float(share.std() / share.mean()) < 0.1
    assert strength(ds) == pytest.approx(3.0, rel=0.05)
    variances = [float(ds[n].var()) for n in NAMES]
    np.testing.assert_allclose(variances, 3.0, rtol=0.12)
    values = ds.Bx.values.ravel() / ds.Bx.values.std()
    assert (values**3).mean() == pytest.approx(0, abs=0.1)
    assert (values**4).mean() == pytest.approx(3, abs=0.2)


def test_anisotropic_spectra_come_back():
    def energy(k_par, k_perp):
        return k_perp * np.exp(-((4 * k_par) ** 2) - (1.5 * k_perp) ** 2)

    ds = turbulence.gaussian(96, seed=4, anisotropic=energy, mean_field=(0.0, 3.0, 0.0))
    found = mm.spectra.power2d(ds, list(NAMES)).where(lambda p: p > 0)
    share = found / energy(found.k_par, found.k_perp)
    inner = share.where(
        (found.k_perp > 0.15) & (found.k_perp < 1.5) & (found.k_par > 0.1) & (found.k_par < 0.5), drop=True
    )
    # bins hold few modes: their mean along k_perp is compared
    rows = inner.mean("k_perp")
    assert float(rows.std() / rows.mean()) < 0.15


@pytest.mark.parametrize("size", [1e-15, 1e-12, 1e10, 3e24])
def test_the_unit_of_length_does_not_matter(size):
    want = turbulence.gaussian(16, seed=1, dtype=np.float32)
    found = turbulence.gaussian(16, seed=1, dtype=np.float32, spacing=size)
    np.testing.assert_allclose(found.Bx, want.Bx, atol=1e-5)
    bend = turbulence.bend_over
    want = turbulence.gaussian(16, seed=1, spectrum=bend(3.0))
    found = turbulence.gaussian(16, seed=1, spectrum=bend(3.0 * size), spacing=size)
    np.testing.assert_allclose(found.Bx, want.Bx, atol=1e-9)


def test_anisotropic_fields_have_no_power_where_there_is_no_ring():
    """Along an oblique mean field, in single precision too; in a plane that line is one like any other."""
    options = {"seed": 1, "mean_field": (1.0, 1.0, 1.0)}
    for dtype in (np.float32, np.float64):
        ds = turbulence.gaussian(24, anisotropic=lambda a, b: np.exp(-2 * a**2) / b, dtype=dtype, **options)
        spectrum = [mm.fourier.fft(ds[n]) for n in NAMES]
        power = sum(abs(s) ** 2 for s in spectrum)
        k = [power[f"k_{d}"] for d in "xyz"]
        along = sum(k) / np.sqrt(3)
        k_perp = np.sqrt(np.maximum(sum(c**2 for c in k) - along**2, 0))
        moving = sum(c**2 for c in k) > 0
        assert float(power.where(moving & (k_perp < 1e-4)).sum() / power.where(moving).sum()) < 1e-6
    flat = {"y": 64, "x": 64}
    ds = turbulence.gaussian(flat, anisotropic=lambda a, b: np.exp(-2 * b**2 - 8 * a**2), seed=1)
    power = sum(abs(mm.fourier.fft(ds[n])) ** 2 for n in ("Bx", "By"))
    assert 0.02 < float(power.sel(k_y=0.0).sum() / power.sum()) < 0.15
    with pytest.raises(mm.ArgumentError, match="leaves the plane"):
        turbulence.gaussian(flat, anisotropic=lambda a, b: np.exp(-a - b), seed=1, mean_field=(0.0, 0.0, 1.0))
    with pytest.raises(mm.ArgumentError, match="not finite at a mode"):
        turbulence.gaussian(flat, anisotropic=lambda a, b: 1 / a / (1 + b), seed=1)


def rings(ds, mean):
    """k_perp about a mean field, and power, of every mode."""
    dims = ds.Bx.dims
    k = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(ds.sizes[d], float(ds[d][1] - ds[d][0])) for d in dims), indexing="ij")
    unit = np.array(mean) / np.linalg.norm(mean)
    across = [np.zeros(ds.Bx.shape)] * 3
    vector = {d: k[dims.index(d)] if d in dims else across[0] for d in "xyz"}
    across = np.cross(np.stack([vector[d] for d in "xyz"], -1), unit)
    power = sum(abs(np.fft.fftn(ds[n].values - float(ds[n].mean()))) ** 2 for n in NAMES)
    return np.linalg.norm(across, axis=-1), power / power.sum()


TILTS = (0.0, 1e-9, 1e-6, 1e-3, 0.03)


@pytest.mark.parametrize("mean", [(1, 0, 0), (0, 1, 1), (1, 0, -1), (1, 1, 1), (-1, 2, 3)])
def test_anisotropic_spectra_hold_in_every_direction(mean):
    """Rings get what E says, about the lattice's axes and diagonals and where the mean field is almost along them."""

    def energy(k_par, k_perp):  # as much in each step of k_perp up to 2
        return np.exp(-((2 * k_par) ** 2)) * (k_perp < 2.0)

    for tilt in TILTS:
        turned = np.array(mean, float) + tilt * np.array([0.3, 1.0, -0.5])
        ds = turbulence.gaussian(24, seed=1, anisotropic=energy, mean_field=turned)
        k_perp, power = rings(ds, turned)
        share = np.histogram(k_perp, [0.0, 0.8, 1.4, 2.0], weights=power)[0]
        np.testing.assert_allclose(share, [0.4, 0.3, 0.3], atol=0.08)  # a few modes are in each
        assert power[k_perp < 0.05].sum() < 1e-3
    lazy = turbulence.gaussian(24, seed=1, anisotropic=energy, mean_field=turned, chunks={"z": 7})
    xr.testing.assert_allclose(lazy.compute(), ds, atol=1e-13)


def test_oblique_planes_are_as_aligned_ones():
    """In a plane, where the line of k_perp = 0 is one like any other, its modes are exactly on it."""
    seen = []

    def energy(k_par, k_perp):
        seen.append((k_par, k_perp))
        return np.exp(-k_par - k_perp)

    turbulence.gaussian((16, 16), seed=1, anisotropic=energy, mean_field=(1.0, 1.0, 0.0))
    for part in zip(*seen, strict=True):
        small = np.concatenate(part)
        assert ((small == 0) | (small > 0.01)).all()
    for odd in (lambda a, b: 1 / b / (1 + a), lambda a, b: 1 / a / (1 + b)):
        with pytest.raises(mm.ArgumentError, match="not finite at a mode"):
            turbulence.gaussian((16, 16), seed=1, anisotropic=odd, mean_field=(1.0, 1.0, 0.0))


@pytest.mark.parametrize("coarse", ["x", "z"])
def test_bands_reach_the_nyquist_wavenumber_of_the_finest_cells(coarse):
    sizes, widths = dict.fromkeys("zyx", 32), dict.fromkeys("zyx", 1.0)
    sizes[coarse], widths[coarse] = 8, 4.0
    mean = [float(d == coarse) for d in "xyz"]
    options = {"spacing": widths, "seed": 1, "mean_field": mean}
    ds = turbulence.gaussian(sizes, anisotropic=lambda a, b: np.exp(-2 * a) / b, **options)
    k_perp, power = rings(ds, mean)
    assert ds.attrs["k_max"] == pytest.approx(np.pi)
    share = np.histogram(k_perp, np.linspace(0.1, 3.1, 4), weights=power)[0]
    np.testing.assert_allclose(share / share.sum(), np.diff(np.log([0.1, 1.1, 2.1, 3.1])) / np.log(31), atol=0.1)
    # of an isotropic spectrum the shells beyond the coarse cells' are not whole: only where they are asked for
    whole = turbulence.gaussian(sizes, **options)
    assert whole.attrs["k_max"] == pytest.approx(np.pi / 4) and "k_isotropic" not in whole.attrs
    with pytest.warns(mm.MmfieldsWarning, match=f"Nyquist wavenumber along {coarse}"):
        ds = turbulence.gaussian(sizes, k_max=3.0, **options)
    assert ds.attrs["k_isotropic"] == pytest.approx(np.pi / 4)
    assert strength(ds) == pytest.approx(1.0, rel=0.1)
    with pytest.raises(mm.ArgumentError, match="not within those of the grid"):
        turbulence.gaussian(sizes, k_max=3.5, **options)


def test_gaussian_fields_of_two_dims():
    ds = turbulence.gaussian((40, 48), seed=1, rms=2.0)
    assert ds.Bx.dims == ("y", "x")
    assert divergence(ds) < 1e-13
    assert strength(ds) == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k_max": 10.0}, "not within those of the grid"),
        ({"k_min": 1e-3}, "not within those of the grid"),
        ({"k_min": 2.0, "k_max": 1.0}, "ascending"),
        ({"k_min": 0.5, "k_max": 0.50001}, "holds no mode"),
        ({"rms": -1.0}, "rms=-1.0"),
        ({"dtype": int}, "float64 or float32"),
        ({"spacing": {"x": 1.0}}, "spacing"),
        ({"mean_field": (1.0,)}, "three numbers"),
        ({"seed": 1.5}, "seed"),
        ({"chunks": -5}, "chunks=-5"),
        ({"chunks": {"w": 2}}, "chunks name axes"),
        ({"spectrum": lambda k: 1 / 0}, "gives no numbers"),
    ],
)
def test_gaussian_refuses(options, message):
    with pytest.raises(mm.ArgumentError, match=message):
        turbulence.gaussian(16, **{"seed": 1, **options})


@pytest.mark.parametrize("shape", [3, None, 16.5, (4,), {"w": 8, "x": 8}, (8, 8, 8, 8)])
def test_shapes_that_are_none_are_refused(shape):
    with pytest.raises(mm.ArgumentError, match=r"shape|cells along"):
        turbulence.gaussian(shape, seed=1)


MIRRORS = {"l_par": 5.0, "l_perp": 2.5, "rms": 0.3, "seed": 2}


@pytest.mark.parametrize("kind", ["modes", "bottles"])
def test_micromirrors_have_their_moments(kind, no_compute):
    """Ratio of components, rms wavenumbers of δB_x, no divergence; chunks do not matter."""
    shape = {"z": 48, "y": 40, "x": 96}
    ds = turbulence.micromirrors(shape, kind=kind, **MIRRORS)
    assert divergence(ds) < 1e-8
    np.testing.assert_allclose([float(ds[n].mean()) for n in NAMES], [1, 0, 0], atol=1e-8)
    assert strength(ds) == pytest.approx(0.3, rel=0.15)
    ratio = float((ds.By**2 + ds.Bz**2).mean() / ds.Bx.var())
    assert ratio == pytest.approx(2.5**2 / 4 / 5**2, rel=0.15)
    found = mm.anisotropy.scales(ds, subvolumes=0)
    assert float(found.k_par_rms) == pytest.approx(1 / np.sqrt(2) / 5, rel=0.1)
    assert float(found.k_perp_rms) == pytest.approx(np.sqrt(3) / 2.5, rel=0.1)
    lazy = turbulence.micromirrors(shape, kind=kind, **MIRRORS, chunks={"z": 11, "y": 40, "x": 50})
    with dask.config.set(scheduler="threads"):
        xr.testing.assert_allclose(lazy.compute(), ds, atol=1e-13)


def test_one_bottle_is_exact():
    """Its field and ∫δB_x² = 2π^(3/2) a² l_perp² l_par, wherever it is."""
    ds = turbulence.micromirrors(
        (60, 60, 120), kind="bottles", bottles=1, sign="peaks", l_par=6.0, l_perp=3.0, rms=0.1, seed=9
    )
    square = float(((ds.Bx - 1) ** 2).sum())
    size = 0.1 * np.sqrt(60 * 60 * 120 / (2 * np.pi**1.5 * 9 * 6 * (1 + 9 / 144)))
    assert square == pytest.approx(2 * np.pi**1.5 * size**2 * 9 * 6, rel=1e-9)
    assert strength(ds) == pytest.approx(0.1, rel=1e-9)
    centre = np.random.default_rng([9, 13]).random((1, 3))[0] * [120, 60, 60]
    d = [(ds[c] - m + 0.5 * n) % n - 0.5 * n for c, m, n in zip("xyz", centre, (120, 60, 60), strict=True)]
    square = (d[1] ** 2 + d[2] ** 2) / 9
    bell = size * np.exp(-square / 2 - d[0] ** 2 / 72)
    np.testing.assert_allclose(ds.Bx, (1 + (2 - square) * bell).transpose("z", "y", "x"), atol=1e-12)
    np.testing.assert_allclose(ds.By, (d[1] * d[0] / 36 * bell).transpose("z", "y", "x"), atol=1e-12)


def test_bottles_of_one_sign_are_skewed():
    def skewness_of(sign):
        ds = turbulence.micromirrors((48, 48, 96), kind="bottles", sign=sign, **MIRRORS)
        return float(mm.anisotropy.scales(ds, subvolumes=0).skewness)

    skewness = {
        s: float(
            mm.anisotropy.scales(
                turbulence.micromirrors((48, 48, 96), kind="bottles", sign=s, **MIRRORS), subvolumes=0
            ).skewness
        )
        for s in ("peaks", "holes", "both")
    }
    assert skewness["peaks"] > 0.8 and skewness["holes"] < -0.8 and abs(skewness["both"]) < 0.4


@pytest.mark.parametrize("wanted", [-0.6, 0.0, 0.9])
def test_bottles_have_the_skewness_that_is_asked_for(wanted):
    options = {"l_par": 5.0, "l_perp": 2.5, "rms": 0.3, "kind": "bottles", "bottles": 300}
    found = []
    for seed in range(10):
        ds = turbulence.micromirrors((48, 48, 96), skewness=wanted, seed=seed, **options)
        found.append(float((((ds.Bx - 1) / ds.Bx.std()) ** 3).mean()))
    assert np.mean(found) == pytest.approx(wanted, abs=4 * np.std(found) / np.sqrt(10) + 0.02)


@pytest.mark.parametrize(
    "options",
    [
        {"skewness": 0.5},
        {"kind": "bottles", "skewness": 5.0},
        {"kind": "bottles", "skewness": 0.1, "sign": "peaks"},
        {"l_par": 100.0},
        {"l_perp": 0.5},
        {"kind": "waves"},
        {"sign": "up"},
        {"bottles": 3},
        {"kind": "bottles", "bottles": 0},
    ],
)
def test_micromirrors_refuse(options):
    with pytest.raises(mm.ArgumentError):
        turbulence.micromirrors((40, 40, 80), **{**MIRRORS, **options})


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_patches_fill_what_is_asked_and_have_no_divergence(fraction, no_compute):
    ds = turbulence.micromirrors((48, 48, 96), **MIRRORS)
    lazy = turbulence.patches(ds.chunk(z=16), filling_fraction=fraction, size=5.0, seed=4)
    with dask.config.set(scheduler="threads"):
        lazy = lazy.compute()
    cut = turbulence.patches(ds, filling_fraction=fraction, size=5.0, seed=4)
    xr.testing.assert_allclose(lazy, cut, atol=1e-12)
    assert divergence(cut) < 1e-12
    independent = 48 * 48 * 96 / (2 * np.pi**0.5 * 5.0) ** 3
    error = np.sqrt(fraction * (1 - fraction) / independent)
    assert float(cut.patch.mean()) == pytest.approx(fraction, abs=4 * error + 0.01)
    # what this realization fills, beside what was wanted
    share = float(cut["filling_fraction"])
    assert cut.attrs["filling_fraction"] == share == pytest.approx(float(cut.patch.mean()), abs=1e-14)
    assert float(lazy["filling_fraction"]) == pytest.approx(share, abs=1e-13)
    assert cut.attrs["filling_fraction_wanted"] == lazy.attrs["filling_fraction_wanted"] == fraction
    assert "filling_fraction" not in lazy.attrs  # it is not known before it is computed
    np.testing.assert_allclose([float(cut[n].mean()) for n in NAMES], [1, 0, 0], atol=1e-12)
    if 0 < fraction < 1:  # outside only the mean field is left, but for what rings
        assert int((cut.patch < 1e-9).sum()) > 1000
        assert float((cut.Bx - 1).where(cut.patch < 1e-9).std()) < 0.01 * 0.3
    if fraction == 1.0:
        xr.testing.assert_allclose(cut.By, ds.By, atol=1e-10)


def test_patches_keep_what_has_no_potential():
    """Full of patches, any field is what it was; without them its divergence is left."""
    ds = turbulence.gaussian(32, seed=1).isel(z=0)
    whole = turbulence.patches(ds, filling_fraction=1.0, size=3.0, seed=1)
    for n in NAMES:
        np.testing.assert_allclose(whole[n], ds[n], atol=1e-12)
    mixed = ds.assign(Bx=ds.Bx.chunk(x=8), By=ds.By.chunk(x=16))
    assert turbulence.patches(mixed, filling_fraction=0.5, size=3.0, seed=1).Bx.chunks is not None


def test_patches_refuse():
    ds = turbulence.micromirrors((40, 40, 80), **MIRRORS)
    for options in ({"weight": "Bx"}, {"filling_fraction": 1.2}, {"size": 0.1}, {"size": 30.0}, {"edge_width": 0.0}):
        with pytest.raises(mm.MmfieldsError):
            turbulence.patches(ds, **{"filling_fraction": 0.5, "size": 3.0, "seed": 1, **options})
    with pytest.raises(mm.SnapshotError, match="periodic"):
        turbulence.patches(ds.assign_attrs(boundary_x="open"), filling_fraction=0.5, size=3.0, seed=1)


def test_layers_fill_what_is_asked():
    shares = [turbulence.layers(1000, filling_fraction=0.1, size=100.0, seed=s).filling_fraction for s in range(500)]
    assert np.mean(shares) == pytest.approx(0.1, abs=4 * np.std(shares) / np.sqrt(500))
    for order in ("random", "periodic"):
        ds = turbulence.layers(20000, filling_fraction=0.2, size=10.0, arrangement=order, seed=3)
        assert ds.attrs["filling_fraction"] == pytest.approx(0.2, abs=0.02)
        edges = int((np.diff(ds.patch) > 0).sum())
        assert 20000 * 0.2 / edges == pytest.approx(10.0, rel=0.2)
    assert float(turbulence.layers(10, filling_fraction=1.0, size=2.0).patch.min()) == 1.0
    with pytest.raises(mm.ArgumentError):
        turbulence.layers(10, filling_fraction=2.0, size=2.0)


def test_nested_grids_have_contiguous_bands_and_their_strengths():
    field = turbulence.nested_grids(k_min=1e-3, k_max=10.0, rms=2.0, mean_field=(0.0, 1.0, 0.0), cells=64, seed=1)
    edges = np.array(field.bands)
    assert len(field.grids) > 3
    np.testing.assert_allclose(edges[1:, 0], edges[:-1, 1])
    assert np.sum(np.square(field.strengths)) == pytest.approx(4.0)
    for grid, (_, high), want in zip(field.grids, field.bands, field.strengths, strict=True):
        cell = float(grid.x[1] - grid.x[0])
        assert 2 * np.pi / high >= 8 * cell * (1 - 1e-9)
        assert strength(grid) == pytest.approx(want, rel=0.35)
    rng = np.random.default_rng(0)
    values = field.at(*rng.uniform(0, 1e6, size=(3, 40000)))
    assert values.var(0).sum() == pytest.approx(4.0, rel=0.35)
    powers = []
    for seed in range(8):  # between the cells, where interpolation takes power
        one = turbulence.nested_grids(k_min=1.0, k_max=2.0, cells=32, seed=seed, waves_per_box=2.0)
        powers.append((one.at(*rng.uniform(0, 60, size=(3, 20000))) ** 2).sum(-1).mean())
    assert np.mean(powers) == pytest.approx(1.0, abs=4 * np.std(powers) / np.sqrt(8))
    np.testing.assert_allclose(values.mean(0), [0, 1, 0], atol=0.1)


def test_orbits_through_nested_grids(no_compute):
    """Positions are those of steps written out; tasks and continuation do not matter."""
    field = turbulence.nested_grids(k_min=0.05, k_max=5.0, cells=64, seed=1)
    p = mm.particles.isotropic(20, gyroradius=[0.5, 20.0], seed=1, field=field)
    options = {"step": 0.05, "distance": 5.0, "save": 2}
    tr, other = mm.trace(field, p, **options), mm.trace(field, p, **options, particles_per_task=7)
    with dask.config.set(scheduler="threads"):
        tr = tr.compute()
        xr.testing.assert_identical(tr, other.compute())
    x, v = (np.array([float(p[f"{q}{d}"][0, 3]) for d in "xyz"]) for q in ("", "v"))
    for _ in range(100):
        x = x + 0.025 * v
        t = field.at(*x) * 0.025 / (0.5 * float(p.reference_field))
        turn = v + np.cross(v, t)
        v = v + 2 / (1 + t @ t) * np.cross(turn, t)
        x = x + 0.025 * v
    np.testing.assert_allclose([float(tr[d][0, 3, -1]) for d in "xyz"], x, atol=1e-9)


def test_nested_grids_refuse():
    for options, message in (
        ({"cells": 20}, "at least 24 cells"),
        ({"k_max": 0.01}, "ascending"),
        ({"rms": 0}, "rms=0"),
    ):
        with pytest.raises(mm.ArgumentError, match=message):
            turbulence.nested_grids(**{"k_min": 0.1, "k_max": 1.0, "seed": 1, **options})
    good = turbulence.nested_grids(k_min=0.1, k_max=0.5, cells=24, seed=1)
    grid, rest = good.grids[0], (good.bands[:1], good.strengths[:1], good.spectrum)
    for one, message in (
        (grid.assign_coords(x=grid.x + 1.0), "begins at"),
        (grid.assign_coords(y=grid.y * 2), "a cube of cubic cells"),
        (grid.assign_coords(x=grid.x * 1e-13, y=grid.y * 2e-13, z=grid.z * 1e-13), "a cube of cubic cells"),
        (grid.assign_attrs(boundary_x="open"), "boundary_x|open"),
        (grid.expand_dims(time=[0.0]), "a cube over x, y, z"),
    ):
        with pytest.raises(mm.SnapshotError, match=message):
            turbulence.NestedGrids((one,), *rest)
    for changed in ((rest[0], (np.nan,), rest[2]), (((2.0, 1.0),), *rest[1:])):
        with pytest.raises(mm.ArgumentError):
            turbulence.NestedGrids((grid,), *changed)
    few = turbulence.nested_grids(
        k_min=1.0, k_max=8.0, cells=32, seed=1, spectrum=lambda k: np.where(k < 1.5, 1.0, 0.0)
    )
    assert max(high for _, high in few.bands) < 3.0
    with pytest.raises(mm.SnapshotError, match="a cube of cubic cells"):
        turbulence.NestedGrids((good.grids[0].isel(x=slice(0, 8)),), good.bands[:1], good.strengths[:1], good.spectrum)
