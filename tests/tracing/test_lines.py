"""Field lines: known ones to the order of the rule, walls, nulls, restarts, and independence of chunks."""

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from known_fields import abc, beltrami, helix
from small_fields import snapshot, wavy

import mmfields as mm
from mmfields.tracing.lines_task import SIDES

SEEDS = np.array([[0.3, -0.7, 0.11], [2.0, 1.0, -0.4], [0.0, 0.0, 0.0]])


def test_lines_of_a_uniform_field_are_straight():
    shape = (5, 6, 7)
    b = np.array([2.0, -1.0, 2.0])
    ds = mm.io.from_arrays(
        **{f"B{d}": np.full(shape, v) for d, v in zip("xyz", b, strict=True)},
        spacing={"x": 0.5, "y": 1.0, "z": 2.0},
        dims=("z", "y", "x"),
    )
    lines = mm.field_lines(ds, SEEDS + 1, length=50.0, step=0.4, save=7).compute()
    s = lines["path"].values
    np.testing.assert_allclose(s, np.linspace(-50, 50, 15), atol=1e-13)
    for i, d in enumerate("xyz"):
        np.testing.assert_allclose(lines[d], (SEEDS[:, i] + 1)[:, None] + s * b[i] / 3, atol=1e-12)
        np.testing.assert_allclose(lines[f"b{d}"], b[i] / 3, atol=1e-15)
    np.testing.assert_allclose(lines["B"], 3.0)
    assert lines["alive"].all() and lines["ends_forward"].isnull().all() and float(lines["error"].max()) < 1e-12


def test_lines_of_a_sheared_field_are_straight_in_their_plane():
    lines = mm.field_lines(beltrami(), SEEDS, length=20.0, step=0.3, save=5).compute()
    for line, (x, y, z) in enumerate(SEEDS):
        one = lines.isel(line=line)
        np.testing.assert_allclose(one["x"], x + np.cos(z) * one["path"], atol=1e-12)
        np.testing.assert_allclose(one["y"], y - np.sin(z) * one["path"], atol=1e-12)
        np.testing.assert_allclose(one["z"], z, atol=1e-12)


def helix_at(seed, s, k=2.0, mean=0.75):
    """Exact: height grows evenly, and the rest is an integral of the field over it."""
    x, y, z = seed
    size = np.hypot(1.0, mean)
    height = z + s * mean / size
    wide = 1 / (k * mean)
    return np.array(
        [x + wide * (np.sin(k * height) - np.sin(k * z)), y + wide * (np.cos(k * height) - np.cos(k * z)), height]
    )


def test_helical_lines_converge_with_the_fourth_power_of_the_step_and_state_more_than_their_error():
    off = []
    for step in (0.2, 0.1):
        lines = mm.field_lines(helix(), SEEDS, length=12.0, step=step, save=6).compute()
        exact = np.stack([helix_at(seed, lines["path"].values) for seed in SEEDS], 1)
        away = np.sqrt(sum((lines[d].values - exact[i]) ** 2 for i, d in enumerate("xyz")))
        assert (away <= lines["error"].values + 1e-13).all()
        off.append(away.max())
    assert off[1] < 1e-5
    assert off[0] / off[1] == pytest.approx(16, rel=0.1)


def test_both_directions_are_one_line():
    lines = mm.field_lines(helix(), SEEDS, length=3.0, step=0.05, save=4).compute()
    start = lines.isel(path=0)[["x", "y", "z"]]
    again = mm.field_lines(helix(), start, length=6.0, step=0.05, save=8).compute()
    for d in "xyz":
        np.testing.assert_allclose(again[d].sel(path=slice(0, None)), lines[d], atol=1e-7)


@pytest.mark.parametrize("interpolation, near", [("linear", 2e-2), ("cubic", 2e-4)])
def test_lines_of_an_abc_field_agree_with_another_integrator(interpolation, near):
    from scipy.integrate import solve_ivp

    ds, at = abc()

    def slope(_, r):
        b = at(*r)
        return b / np.linalg.norm(b)

    lines = mm.field_lines(ds, SEEDS, length=4.0, step=0.05, save=4, interpolation=interpolation).compute()
    for line, seed in enumerate(SEEDS):
        for side, sign in SIDES.items():
            exact = solve_ivp(lambda s, r, sign=sign: sign * slope(s, r), (0, 4), seed, rtol=1e-11, atol=1e-12).y[:, -1]
            found = lines.isel(line=line, path=-1 if sign > 0 else 0)
            np.testing.assert_allclose([found[d] for d in "xyz"], exact, atol=near, err_msg=side)


def test_faces_keep_the_flux_function_of_a_plane_field():
    """Lines of Bx = dA/dy, By = -dA/dx stay on A where the faces hold differences of it."""
    n, rng = 16, np.random.default_rng(2)
    edges = np.arange(n + 1)
    k = 2 * np.pi / n
    y, x = np.meshgrid(edges, edges, indexing="ij")
    a = np.cos(k * x + 0.3) + 0.5 * np.sin(k * (x + 2 * y)) + 0.1 * np.cos(2 * k * y)
    fields = {"Bx_f": np.diff(a, axis=0), "By_f": -np.diff(a, axis=1)}
    ds = mm.io.from_arrays(**{f"B{d}": np.zeros((n, n)) for d in "xyz"}, spacing={"x": 1.0, "y": 1.0}, dims=("y", "x"))
    ds["Bx"].values[...] = (fields["Bx_f"][:, 1:] + fields["Bx_f"][:, :-1]) / 2
    ds["By"].values[...] = (fields["By_f"][1:] + fields["By_f"][:-1]) / 2
    ds["Bx_f"], ds["By_f"] = (("y", "x_f"), fields["Bx_f"]), (("y_f", "x"), fields["By_f"])
    seeds = np.append(rng.uniform(0, n, (40, 2)), np.zeros((40, 1)), axis=1)

    def flux(x, y):  # within a cell the flux function of faces is bilinear
        x, y = x % n, y % n
        i, j = np.floor(x).astype(int), np.floor(y).astype(int)
        u, v = x - i, y - j
        return (
            (1 - u) * (1 - v) * a[j, i]
            + u * (1 - v) * a[j, i + 1]
            + (1 - u) * v * a[j + 1, i]
            + u * v * a[j + 1, i + 1]
        )

    off = []
    for step in (0.04, 0.01):  # the field jumps from cell to cell, which makes the rule one of first order
        lines = mm.field_lines(ds, seeds, length=60.0, step=step, save=60, interpolation="faces").compute()
        value = flux(lines["x"].values, lines["y"].values)
        off.append(np.abs(value - flux(seeds[:, 0], seeds[:, 1])[:, None]).max() / np.ptp(a))
    assert off[1] < 0.01 and 2 < off[0] / off[1] < 8


def test_lines_end_at_open_faces_where_they_cross_them():
    ds = mm.io.from_arrays(
        Bx=np.full((8, 8, 8), 3.0),
        By=np.full((8, 8, 8), 4.0),
        Bz=np.zeros((8, 8, 8)),
        spacing=dict.fromkeys("xyz", 1.0),
        dims=("z", "y", "x"),
        boundary={"x": "open", "y": "reflecting", "z": "periodic"},
    )
    lines = mm.field_lines(ds, [[6.0, 1.0, 3.0], [1.0, 7.0, 3.0]], length=20.0, step=0.37, save=40).compute()
    np.testing.assert_allclose(lines["ends_forward"], [2 / 0.6, 1 / 0.8], rtol=1e-12)
    np.testing.assert_allclose(lines["ends_backward"], [1 / 0.8, 1 / 0.6], rtol=1e-12)
    np.testing.assert_allclose(lines["x"].isel(path=-1), [8.0, 1.75], rtol=1e-12)
    np.testing.assert_allclose(lines["y"].isel(path=-1), [1 + 0.8 * 2 / 0.6, 8.0], rtol=1e-12)
    inside = (lines["path"] <= lines["ends_forward"]) & (-lines["path"] <= lines["ends_backward"])
    xr.testing.assert_equal(lines["alive"], inside.transpose("line", "path").drop_attrs(), check_dim_order=True)
    np.testing.assert_allclose(lines["B"], 5.0)


def test_curved_lines_end_on_the_face_to_the_order_of_the_rule():
    ds, _ = wavy(24, boundary="open")
    lines = mm.field_lines(ds, 50, length=60.0, step=0.5, save=2, interpolation="cubic").compute()
    fine = mm.field_lines(ds, 50, length=60.0, step=0.05, save=2, interpolation="cubic").compute()
    off = min(abs(fine[d].isel(path=-1) % 24).min() for d in "xyz")
    assert off < 1e-12 and bool((~lines["alive"].isel(path=-1)).any())
    np.testing.assert_allclose(lines["ends_forward"], fine["ends_forward"], atol=2e-3)


def test_a_line_ends_where_there_is_no_field():
    shape = (4, 4, 4)
    ds = mm.io.from_arrays(
        Bx=np.zeros(shape), By=np.zeros(shape), Bz=np.zeros(shape), spacing=dict.fromkeys("xyz", 1.0)
    )
    lines = mm.field_lines(ds, 3, length=2.0, step=0.5, save=2).compute()
    assert not lines["alive"].any() and (lines["ends_forward"] == 0).all() and np.isfinite(lines["x"]).all()


@pytest.mark.parametrize("boundary", ["periodic", "open"])
def test_results_do_not_depend_on_chunks_and_a_continued_run_is_one_run(boundary):
    ds = snapshot(boundary)
    options = {"step": 0.1, "interpolation": "cubic", "variables": ["hot"]}
    whole = mm.field_lines(ds, 150, length=6.0, save=6, **options).compute()
    seeds = whole.sel(path=0)[["x", "y", "z"]].drop_vars("path").chunk(line=7)
    lazy = mm.field_lines(ds.chunk({"z": 7, "y": 13, "x": 17}), seeds, length=6.0, save=6, **options)
    assert lazy["x"].chunks is not None
    half = mm.field_lines(ds, 150, length=3.0, save=3, **options)
    longer = mm.field_lines(ds, half, length=6.0, save=3, **options)
    for other in (lazy.compute(), longer.compute(), mm.field_lines(ds, half.compute(), length=6.0, save=3, **options)):
        for name in whole.variables:
            if not str(name).startswith(("mean", "B_rms")):  # sums over chunks
                np.testing.assert_array_equal(other[name], whole[name], err_msg=str(name))
        assert list(other.variables) and other["x"].dims == ("line", "path")


def with_faces(ds):
    """Any numbers on the faces, asymmetric ones."""
    rng = np.random.default_rng(5)
    for d in "xyz":
        sizes = {(f"{a}_f" if a == d else a): n + (a == d) for a, n in ds[f"B{d}"].sizes.items()}
        ds[f"B{d}_f"] = tuple(sizes), rng.normal(1.0, 1.0, tuple(sizes.values())).astype(np.float32)
    return ds


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "faces"])
@pytest.mark.parametrize("boundary", ["periodic", "open"])
def test_lines_through_blocks_are_those_through_the_whole(boundary, interpolation):
    """To the bit, across many blocks, with lines that end in the middle of an interval, and when continued."""
    ds = with_faces(snapshot(boundary)) if interpolation == "faces" else snapshot(boundary)
    options = {"step": 0.2, "interpolation": interpolation}
    whole = mm.field_lines(ds, 60, length=9.0, save=[1.0, 1.5, 6.0, 9.0], **options).compute()
    if boundary == "open":
        assert 0 < whole["alive"].isel(path=-1).mean() < 1
    chunked = ds.chunk({"z": 7, "y": 13, "x": 17})
    first = mm.field_lines(chunked, 60, length=1.5, save=[1.0, 1.5], block=12, **options)
    continued = mm.field_lines(chunked, first, length=9.0, save=[6.0, 9.0], block=12, **options)
    for other in (
        mm.field_lines(chunked, 60, length=9.0, save=[1.0, 1.5, 6.0, 9.0], block=12, **options),
        continued,
    ):
        for name in set(whole.variables) - {"mean_Bx", "mean_By", "mean_Bz", "B_rms"}:
            np.testing.assert_array_equal(other[name], whole[name], err_msg=str(name))


def test_what_blocks_cannot_do_is_refused():
    ds = snapshot()
    with pytest.raises(mm.ArgumentError, match="step"):
        mm.field_lines(ds, 10, length=20.0, step=3.0, block=8)
    with pytest.raises(mm.SnapshotError, match="variables"):
        mm.field_lines(ds, 10, length=2.0, step=0.1, block=8, variables=["hot"])
    with pytest.raises(mm.ArgumentError, match="block"):
        mm.field_lines(ds, 10, length=2.0, step=0.1, block=2)


def test_nothing_is_computed_at_the_call(no_compute):
    mm.field_lines(snapshot().chunk(z=5), 10, length=5.0, step=0.2, variables=["hot"])


def test_seeds_of_any_dims_and_snapshots_along_time():
    ds = xr.concat([snapshot(), snapshot("periodic", shape=(24, 30, 40)) * 2.0], "time").assign_attrs(snapshot().attrs)
    u_, v = np.linspace(1, 5, 3), np.linspace(2, 8, 4)
    plane = xr.Dataset({"x": ("u", u_), "y": ("v", v), "z": ((), 3.0)}, {"u": u_, "v": v})
    lines = mm.field_lines(ds, plane, length=3.0, step=0.1, save=3).compute()
    assert lines["x"].dims == ("time", "u", "v", "path")
    np.testing.assert_array_equal(lines["u"], u_)
    one = mm.field_lines(ds.isel(time=1), [[u_[2], v[1], 3.0]], length=3.0, step=0.1, save=3).compute()
    np.testing.assert_array_equal(lines["y"].isel(time=1, u=2, v=1), one["y"].isel(line=0))


def test_scalars_are_sampled_where_the_lines_are():
    ds, at = wavy(32)
    lines = mm.field_lines(
        ds.assign(copy=ds["Bz"], n=ds["Bx"] ** 2), 20, length=5.0, step=0.25, save=5, variables=["n", "copy"]
    ).compute()
    np.testing.assert_allclose(lines["copy"], lines["bz"] * lines["B"], atol=1e-12)
    exact = at(*(lines[d].values for d in "xyz"))
    np.testing.assert_allclose(lines["n"], exact[..., 0] ** 2, atol=0.05)


def test_units_and_quantities():
    shape = (4, 4, 4)
    ds = mm.io.from_arrays(
        Bx=np.ones(shape), By=np.zeros(shape), Bz=np.zeros(shape), spacing=dict.fromkeys("xyz", 1.0),
        units={"Bx": "uG", "By": "uG", "Bz": "uG", "length": "pc"},
    )  # fmt: skip
    lines = mm.field_lines(ds, SEEDS * u.kpc, length=0.01 * u.kpc, step=1 * u.pc, save=2).compute()
    assert lines["path"].attrs["units"] == "pc" and lines["B"].attrs["units"] == "uG"
    np.testing.assert_allclose(lines["x"].isel(path=-1), 1000 * SEEDS[:, 0] + 10)


@pytest.mark.parametrize(
    "change, error, said",
    [
        ({"interpolation": "spectral"}, mm.ArgumentError, "one of linear"),
        ({"seeds": 0}, mm.ArgumentError, "at least one"),
        ({"seeds": np.zeros((3, 2))}, mm.ArgumentError, "points"),
        ({"seeds": xr.Dataset({"x": ("line", [1.0])})}, mm.SnapshotError, "lack"),
        ({"step": 0.0}, mm.ArgumentError, "positive"),
        ({"step": 1e-30}, mm.ArgumentError, "lengthen"),
        ({"length": -1.0}, mm.ArgumentError, "distance"),
        ({"variables": ["nothing"]}, mm.SnapshotError, "no variable"),
        ({"variables": "hot"}, mm.ArgumentError, "list"),
        ({"interpolation": "faces"}, mm.SnapshotError, "staggered"),
    ],
)
def test_what_cannot_be_is_refused(change, error, said):
    options = {"seeds": 3, "length": 5.0, "step": 0.1, **change}
    with pytest.raises(error, match=said):
        mm.field_lines(snapshot(), options.pop("seeds"), **options)


def test_seeds_outside_walls_and_other_steps_are_refused():
    ds = snapshot("open")
    with pytest.raises(mm.SnapshotError, match="outside the walls"):
        mm.field_lines(ds, [[-1.0, 3.0, 3.0]], length=1.0, step=0.1).compute()
    lines = mm.field_lines(ds, 3, length=1.0, step=0.1)
    with pytest.raises(mm.SnapshotError, match="go on with"):
        mm.field_lines(ds, lines, length=2.0, step=0.2)
    with pytest.raises(mm.ArgumentError, match="beyond 1"):
        mm.field_lines(ds, lines, length=1.0, step=0.1)
    with pytest.warns(mm.MmfieldsWarning, match="cells long"):
        mm.field_lines(ds, 3, length=5.0, step=1.0)
