"""Neighbouring lines: known exponents, squashing factors of known maps, and diffusion of lines."""

import numpy as np
import pytest
import xarray as xr
from known_fields import abc, beltrami

import mmfields as mm


def linear(gradient, size=(12, 12, 24), mean=1.0, boundary="open"):
    """B = G·r + mean z about the middle of a box, which a trilinear field holds exactly."""
    places = [np.arange(n) + 0.5 - n / 2 for n in size]
    x, y, z = np.meshgrid(*places, indexing="ij")
    b = np.einsum("ij,j...->i...", np.asarray(gradient, float), np.stack([x, y, z]))
    b[2] += mean
    return mm.io.from_arrays(
        **{f"B{d}": b[i] for i, d in enumerate("xyz")},
        spacing=dict.fromkeys("xyz", 1.0),
        dims=("x", "y", "z"),
        boundary=boundary,
    )


def test_squashing_factor_of_an_x_point_is_that_of_its_map():
    """dx/dz = g x, dy/dz = -g y: between planes L above and below Q = 2 cosh 4gL."""
    g = 0.1
    ds = linear(np.diag([g, -g, 0.0]))
    seeds = mm.lines.neighbours([[6.0, 6.0, 12.0]], separation=1e-4)
    lines = mm.field_lines(ds, seeds, length=9.0, step=0.05, save=9)
    q = mm.lines.squashing(lines).compute()
    np.testing.assert_allclose(q.isel(line=0), 2 * np.cosh(4 * g * q["path"]), rtol=1e-6)


def test_squashing_factor_of_straight_and_turned_lines_is_two_and_of_a_shear_known():
    ds = linear(np.zeros((3, 3)))
    twist = linear([[0, -0.1, 0], [0.1, 0, 0], [0, 0, 0]])
    shear = linear([[0, 0.2, 0], [0, 0, 0], [0, 0, 0]])
    seeds = mm.lines.neighbours([[6.0, 6.0, 12.0]], separation=1e-3, normal=(0.2, -0.1, 1.0))
    for field, expected in ((ds, 2.0), (twist, 2.0), (shear, 2 + (0.2 * 16) ** 2)):
        q = mm.lines.squashing(mm.field_lines(field, seeds, length=8.0, step=0.1, save=2)).compute()
        assert float(q.isel(line=0, path=-1)) == pytest.approx(expected, rel=1e-5)


def test_squashing_factor_does_not_depend_on_the_plane():
    ds = linear([[0.05, 0.1, 0], [0.02, -0.05, 0], [0, 0, 0]])
    found = []
    for normal in ((0, 0, 1), (1, 0.5, 1)):
        seeds = mm.lines.neighbours([[6.0, 6.0, 12.0]], separation=1e-3, normal=normal)
        q = mm.lines.squashing(mm.field_lines(ds, seeds, length=8.0, step=0.1, save=2)).compute()
        found.append(float(q.isel(line=0, path=-1)))
    assert found[0] == pytest.approx(found[1], rel=1e-5) and found[0] > 2.5


def test_a_map_of_q_is_lazy_over_its_plane(no_compute):
    ds = linear(np.diag([0.1, -0.1, 0.0])).chunk({"x": 6})
    seeds = mm.lines.neighbours(mm.lines.plane(ds, shape=(3, 4)), separation=1e-4)
    q = mm.lines.squashing(mm.field_lines(ds, seeds, length=2.0, step=0.5, save=2))
    assert q.dims == ("v", "u", "path") and q.shape == (4, 3, 3) and q.chunks is not None
    near = mm.lines.separation(mm.field_lines(ds, seeds, length=2.0, step=0.5, save=2))
    assert near["lyapunov"].chunks is not None


def test_separation_and_squashing_do_not_depend_on_chunks():
    ds = linear([[0.05, 0.1, 0], [0.02, -0.05, 0], [0, 0, 0]])
    seeds = mm.lines.neighbours(mm.lines.plane(ds, shape=(3, 4)), separation=1e-4)
    options = {"length": 2.0, "step": 0.5, "save": 4}
    whole = mm.field_lines(ds, seeds, **options).compute()
    parts = mm.field_lines(ds.chunk({"x": 5, "z": 7}), seeds.chunk({"v": 2, "u": 2}), **options)
    xr.testing.assert_identical(
        mm.lines.squashing(parts).compute().drop_attrs(), mm.lines.squashing(whole).drop_attrs()
    )
    near = (mm.lines.separation(lines).drop_attrs() for lines in (parts, whole))
    xr.testing.assert_allclose(next(near).compute(), next(near), rtol=1e-9)


def test_lyapunov_exponent_of_an_x_point_is_its_gradient():
    g = 0.3
    ds = linear(np.diag([g, -g, 0.0]), size=(8, 8, 60))
    seeds = mm.lines.neighbours([[4.0, 4.0, 30.0]] * 2, separation=1e-8)
    near = mm.lines.separation(mm.field_lines(ds, seeds, length=25.0, step=0.05, save=10)).compute()
    s = near["path"].values
    # half of the pairs part and half of them meet, forward and backward alike
    np.testing.assert_allclose(near["logarithm"], 0.0, atol=1e-3)
    np.testing.assert_allclose((near["separation"] / 1e-8) ** 2, np.cosh(2 * g * s), rtol=1e-4)
    turned = mm.lines.neighbours([[4.0, 4.0, 30.0]] * 2, separation=1e-8).copy(deep=True)
    offset = 1e-8 * 2**-0.5 * np.array([[0, 0], [1, 1], [-1, -1], [1, -1], [-1, 1]])
    for i, d in enumerate("xy"):
        turned[d] = turned[d].copy(data=4.0 + np.tile(offset[:, i], (2, 1)))
    near = mm.lines.separation(mm.field_lines(ds, turned, length=25.0, step=0.05, save=10)).compute()
    np.testing.assert_allclose(near["lyapunov"][1:], np.log(np.cosh(2 * g * s[1:])) / (2 * s[1:]), rtol=1e-4)


def test_lines_of_a_shear_part_linearly_and_have_no_exponent():
    seeds = mm.lines.neighbours([[0.0, 0.0, 0.3], [0.5, 0.0, 1.3]], separation=1e-3, normal="x")
    near = mm.lines.separation(mm.field_lines(beltrami(), seeds, length=50.0, step=0.1, save=100)).compute()
    s = near["path"].values
    # of the four two are displaced along z, at an angle that is their distance in it
    along = (near["separation"] / 1e-3) ** 2
    expected = 0.5 * (1 + s**2) + 0.5 * (np.sin(0.3) ** 2 + np.sin(1.3) ** 2 + np.cos(0.3) ** 2 + np.cos(1.3) ** 2) / 4
    assert float(near["exponent"][-1]) == pytest.approx(2.0, rel=1e-2)
    assert float(near["lyapunov"][-1]) < 0.05
    np.testing.assert_allclose(along[50:], expected[50:], rtol=2e-3)


def test_lyapunov_exponent_of_an_abc_field_agrees_with_its_tangent_map():
    """Another integrator moves two vectors with the line: the mean growth of what is across it."""
    from scipy.integrate import solve_ivp

    a, b, c = 1.0, 0.8, 0.6
    ds, at = abc(96)

    def slope(_, state):
        x, y, z = state[:3]
        field = at(x, y, z)
        size = np.linalg.norm(field)
        unit = field / size
        grad = np.array(
            [[0, -c * np.sin(y), a * np.cos(z)], [b * np.cos(x), 0, -a * np.sin(z)], [-b * np.sin(x), c * np.cos(y), 0]]
        )
        turn = (grad - np.outer(unit, unit @ grad)) / size
        return np.concatenate([unit, (turn @ state[3:].reshape(3, 2)).ravel()])

    seeds = np.array([[0.1, 0.2, 0.3], [3.0, 1.0, 5.0], [2.0, 5.5, 1.0]])
    lines = mm.field_lines(
        ds, mm.lines.neighbours(seeds, separation=1e-6), length=15.0, step=0.02, save=3, interpolation="cubic"
    )
    near = mm.lines.separation(lines.isel(path=slice(3, None))).compute()
    expected = []
    for seed in seeds:
        end = solve_ivp(slope, (0, 15.0), [*seed, 1, 0, 0, 1, 0, 0], rtol=1e-10, atol=1e-12).y[:, -1]
        field, first = at(*end[:3]), at(*seed)
        for i in range(2):
            sizes = []
            for v, over in ((end[3:].reshape(3, 2)[:, i], field), (np.eye(3)[i], first)):
                over = over / np.linalg.norm(over)
                sizes.append(np.linalg.norm(v - (v @ over) * over))
            expected.append(np.log(sizes[0] / sizes[1]) / 15.0)
    assert float(near["lyapunov"][-1]) == pytest.approx(np.mean(expected), abs=2e-3)
    assert np.mean(expected) > 0.05


def slab(rms=0.03, count=200, seed=3):
    return mm.turbulence.plane_waves(
        count, k_min=0.1, k_max=20.0, spectrum=1.0, rms=rms, mean_field=(1.0, 0.0, 0.0), geometry="slab", seed=seed
    )


def test_lines_of_slab_turbulence_go_where_its_integral_says_and_diffuse_as_its_spectrum_says():
    field = slab()
    k, ay, phase = (field.modes[n].values for n in ("kx", "ay", "phase"))
    rng = np.random.default_rng(1)
    seeds = np.stack([rng.uniform(0, 1e4, 1500), np.zeros(1500), np.zeros(1500)], 1)
    lines = mm.field_lines(field, seeds, length=60.0, step=0.1, save=6).compute()
    at = (k * lines["x"].values[..., None] + phase, k * seeds[:, :1][..., None] + phase)
    exact = (ay / k * (np.sin(at[0]) - np.sin(at[1]))).sum(-1)
    np.testing.assert_allclose(lines["y"], exact, atol=1e-5)
    kappa = mm.transport.running_diffusion(lines)
    s = kappa["path"].values
    law = (0.5 * ay**2 * 4 * np.sin(k * s[:, None] / 2) ** 2 / k**2).sum(-1) / (2 * s)
    off = (kappa["kappa_yy"].values - law) / kappa["kappa_yy_error"].values
    assert np.abs(off).max() < 4 and (kappa["kappa_yy_error"] < 0.05 * law).all()
    assert int(kappa["count"][0]) == 3000 and kappa["kappa_yy"].attrs["of"] == "field lines"
    with pytest.warns(mm.MmfieldsWarning, match="confined"):  # its longest waves bring lines back
        plateau = mm.transport.diffusion(lines)
    across = plateau["kappa_perp"] * 2
    assert float(across) == pytest.approx(float(plateau["kappa_yy"] + plateau["kappa_zz"]), rel=1e-3)
    assert "too_short" not in plateau
    with pytest.raises(mm.SnapshotError, match="of field lines"):
        mm.transport.physical(plateau, length_unit="1 pc")


def test_lines_of_two_dimensional_turbulence_stay_on_their_flux_surfaces():
    field = mm.turbulence.plane_waves(
        60, k_min=1.0, k_max=8.0, rms=0.5, mean_field=(1.0, 0.0, 0.0), geometry="2d", seed=4
    )
    modes = field.modes
    seeds = np.random.default_rng(2).uniform(0, 30, (100, 3))
    lines = mm.field_lines(field, seeds, length=200.0, step=0.02, save=100).compute()
    y, z = lines["y"].values[..., None], lines["z"].values[..., None]
    ky, kz, ay, az, phase = (modes[n].values for n in ("ky", "kz", "ay", "az", "phase"))
    size = (ay * -kz + az * ky) / (ky**2 + kz**2)  # of a potential A(y, z) whose curl along x these waves are
    potential = (size * np.sin(ky * y + kz * z + phase)).sum(-1)
    middle = len(lines["path"]) // 2
    assert np.abs(potential - potential[:, middle : middle + 1]).max() < 1e-4 * potential.std()
    running = mm.transport.running_diffusion(lines)["kappa_perp"]
    assert float(running[-1]) < 0.65 * float(running.max())


def test_diffusion_of_lines_is_lazy_and_leaves_out_those_that_have_ended(no_compute):
    ds = linear(np.zeros((3, 3)), boundary="open").chunk({"x": 6})
    assert mm.transport.running_diffusion(mm.field_lines(ds, 8, length=4.0, step=0.5))["kappa"].chunks is not None


def test_separation_and_squashing_need_neighbours():
    lines = mm.field_lines(linear(np.zeros((3, 3))), 3, length=1.0, step=0.5)
    for function in (mm.lines.separation, mm.lines.squashing):
        with pytest.raises(mm.SnapshotError, match="neighbours"):
            function(lines)
        with pytest.raises(mm.SnapshotError, match="lines of mm"):
            function(xr.Dataset())
