import astropy.constants as const
import astropy.units as u
import numpy as np
import pytest

import mmfields as mm


def slab(los="z", strength=2.0, n=0.5, cells=(4, 5, 6), **attrs):
    shape = cells
    fields = {f"B{c}": np.full(shape, strength if c == los else 7.0) for c in "xyz"}
    return mm.io.from_arrays(
        **fields,
        n=np.full(shape, n),
        spacing={"z": 10.0, "y": 20.0, "x": 40.0},
        dims=("z", "y", "x"),
        units={**{f"B{c}": "uG" for c in "xyz"}, "n": "cm-3", "length": "pc"},
        **attrs,
    )


def test_the_constant_follows_from_the_constants_of_nature():
    value = const.e.gauss.value**3 / (2 * np.pi * const.m_e.cgs.value**2 * const.c.cgs.value**4)
    value *= 1e-6 * u.pc.to("cm") * 1e4
    assert pytest.approx(value, rel=1e-6) == mm.faraday.RM_CONSTANT
    assert pytest.approx(0.8119, abs=5e-5) == mm.faraday.RM_CONSTANT


@pytest.mark.parametrize(("los", "length"), [("z", 40.0), ("y", 100.0), ("x", 240.0)])
def test_uniform_slab(los, length):
    rm = mm.faraday.rotation_measure(slab(los), los)
    assert rm.dims == tuple(d for d in "zyx" if d != los)
    np.testing.assert_allclose(rm, 0.8119011615 * 0.5 * 2.0 * length, rtol=1e-12)
    assert rm.attrs["units"] == "rad / m2"


def test_sign_units_and_redshift():
    ds = slab(strength=-2.0)
    assert float(mm.faraday.rotation_measure(ds).max()) < 0  # the field points away from the observer
    si = ds.assign({f"B{c}": (ds[f"B{c}"] * 1e-10).assign_attrs(units="T") for c in "xyz"})
    si["n"] = (ds.n * 1e6).assign_attrs(units="m-3")
    si = si.assign_coords({d: (ds[d] * u.pc.to("m")).assign_attrs(units="m") for d in "xyz"})
    np.testing.assert_allclose(mm.faraday.rotation_measure(si), mm.faraday.rotation_measure(ds), rtol=1e-12)
    far = mm.faraday.rotation_measure(ds, redshift=1.0)
    np.testing.assert_allclose(far * 4, mm.faraday.rotation_measure(ds), rtol=1e-14)
    given = mm.faraday.rotation_measure(ds.drop_vars("n"), density=500 / u.dm**3)
    np.testing.assert_allclose(given, mm.faraday.rotation_measure(ds), rtol=1e-12)


def test_eager_equals_chunked_bit_for_bit_lazily(no_compute):
    import dask

    rng = np.random.default_rng(0)
    ds = slab().map(lambda v: v * rng.uniform(0.5, 1.5, v.shape), keep_attrs=True)
    ds = ds.assign_attrs(slab().attrs)
    lazy = mm.faraday.rotation_measure(ds.chunk(y=2, x=5))
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(lazy.values, mm.faraday.rotation_measure(ds).values)


def test_the_sample_has_the_rotation_measure_of_its_si_fields(shared):
    ds = mm.samples.load("micromirrors").isel(time=-1)
    rm = mm.faraday.rotation_measure(ds, "y")
    raw = mm.open_snapshot(shared / "data/warpx_mirror/warpx_mirror_fields_001064.h5").astype(float)
    column = (raw.By * raw.charge_density / const.e.si.value).sum("y").compute() * 1e-6 * 1e10
    step = 96 * 72008.46722496499 / 48 * u.m.to("pc")
    np.testing.assert_allclose(rm, column * step * 0.8119011615, rtol=2e-5, atol=1e-13)


def test_what_is_missing_is_asked_for():
    ds = slab()
    with pytest.raises(mm.SnapshotError, match="density=1e-3"):
        mm.faraday.rotation_measure(ds.drop_vars("n"))
    with pytest.raises(mm.ArgumentError, match="no unit"):
        mm.faraday.rotation_measure(ds, density=1e-3)
    with pytest.raises(mm.ArgumentError, match="a quantity in cm-3 is needed"):
        mm.faraday.rotation_measure(ds, density=1 * u.kg)
    with pytest.raises(mm.SnapshotError, match="los='w'"):
        mm.faraday.rotation_measure(ds, "w")
    plain = mm.samples.load("mhd_turbulence")
    with pytest.raises(mm.SnapshotError, match="no 'field_unit' attribute"):
        mm.faraday.rotation_measure(plain, density=1 / u.cm**3)
    rm = mm.faraday.rotation_measure(plain, density=1 / u.cm**3, field_unit=1 * u.uG, length_unit=u.kpc)
    column = plain.Bz.values.astype(float).sum(0) / 64 * 1000 * 0.8119011615
    np.testing.assert_allclose(rm, column, rtol=1e-6, atol=1e-6)


def random_box(shape=(6, 7, 9), dims=("z", "y", "x"), seed=0):
    rng = np.random.default_rng(seed)
    fields = {f"B{c}": rng.normal(size=shape) for c in "xyz"}
    return mm.io.from_arrays(
        **fields,
        n=rng.uniform(0, 1, shape),
        spacing={"z": 10.0, "y": 20.0, "x": 40.0},
        dims=dims,
        units={**{f"B{c}": "uG" for c in "xyz"}, "n": "cm-3", "length": "pc"},
    )


@pytest.mark.parametrize("los", ["z", "y", "x", (0, 0, -1), (1, 2, 9), (5, -1, 1)])
def test_the_map_does_not_depend_on_chunks_to_the_bit(los, no_compute):
    import dask

    ds = random_box()
    eager = mm.faraday.rotation_measure(ds, los)
    lazy = mm.faraday.rotation_measure(ds.chunk(z=2, y=3, x=4), los)
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal(lazy.compute(), eager)


def test_from_the_other_side_the_sign_turns():
    ds = random_box()
    np.testing.assert_allclose(
        mm.faraday.rotation_measure(ds, (0, 0, -1)), -mm.faraday.rotation_measure(ds), rtol=1e-12
    )


def test_a_turned_snapshot_along_another_axis():
    ds = random_box()
    turned = ds.rename({"x": "y", "y": "z", "z": "x", "Bx": "By", "By": "Bz", "Bz": "Bx"})
    turned = turned.assign_attrs({f"boundary_{d}": "periodic" for d in "xyz"})
    for old, new in {"z": "x", "x": "y", "y": "z"}.items():
        np.testing.assert_allclose(
            mm.faraday.rotation_measure(turned, new).values, mm.faraday.rotation_measure(ds, old).values, rtol=1e-12
        )


def test_oblique_lines_of_sight():
    """A uniform field gives L cos / cos; a wave with k across an oblique line is integrated along its phase."""
    one = np.ones((8, 10, 12))
    ds = random_box((8, 10, 12)).assign(Bx=(("z", "y", "x"), 3 * one), By=(("z", "y", "x"), 0 * one))
    for name, value in {"Bx": 3.0, "By": 0.0, "Bz": 2.0, "n": 0.5}.items():
        ds[name] = (("z", "y", "x"), value * one, random_box()[name].attrs)
    u_ = np.array([1.0, 2.0, 7.0]) / np.sqrt(54)
    want = mm.faraday.RM_CONSTANT * 0.5 * (3 * u_[0] + 2 * u_[2]) * 80.0 / u_[2]
    np.testing.assert_allclose(mm.faraday.rotation_measure(ds, (1, 2, 7)), want, rtol=1e-12)
    n = 64  # Bz = cos k(x + z) is constant along (1, 0, -1), and is gone along (1, 0, 1)
    z, _, x = np.meshgrid(*[np.arange(n) + 0.5] * 3, indexing="ij")
    k = 2 * np.pi * 3 / n
    wave = mm.io.from_arrays(
        Bx=0 * x, By=0 * x, Bz=np.cos(k * (x + z)), n=1 + 0 * x, spacing=dict.fromkeys("xyz", 1.0),
        dims=("z", "y", "x"), units={"Bx": "uG", "By": "uG", "Bz": "uG", "n": "cm-3", "length": "pc"},
    )  # fmt: skip
    along = mm.faraday.rotation_measure(wave, (1, 0, -1.0 - 1e-9))
    assert float(abs(along).max()) == pytest.approx(mm.faraday.RM_CONSTANT * n, rel=0.01)
    assert float(abs(mm.faraday.rotation_measure(wave, (1.0, 0, 1.0 + 1e-9))).max()) < 1e-3 * n


def test_faraday_depth_is_cumulative(no_compute):
    import dask

    ds = random_box()
    for los in ("z", "x", (0, -1, 0)):
        depth = mm.faraday.faraday_depth(ds, los)
        axis = los if isinstance(los, str) else "y"
        own = mm.faraday.RM_CONSTANT * ds[f"B{axis}"] * ds.n * mm.conventions.spacing(ds)[axis]
        own = own if isinstance(los, str) else -own
        far = depth.isel({axis: 0 if isinstance(los, str) else -1}) + 0.5 * own.isel(
            {axis: 0 if isinstance(los, str) else -1}
        )
        np.testing.assert_allclose(far, mm.faraday.rotation_measure(ds, los), rtol=1e-11, atol=1e-11)
        lazy = mm.faraday.faraday_depth(ds.chunk(z=2, y=3, x=4), los)
        with dask.config.set(scheduler="threads"):
            np.testing.assert_allclose(lazy.compute(), depth, rtol=1e-12, atol=1e-12)


def test_a_density_profile_over_one_axis():
    ds = random_box()
    profile = ds.n.isel(z=0, x=0, drop=True).assign_attrs(units="cm-3")
    found = mm.faraday.rotation_measure(ds.drop_vars("n"), "x", density=profile)
    np.testing.assert_allclose(
        found, mm.faraday.rotation_measure(ds.assign(n=profile.broadcast_like(ds.Bx).assign_attrs(units="cm-3")), "x")
    )


def test_more_that_is_refused():
    ds = random_box()
    for density, message in (
        (-1 / u.cm**3, "from 0 on is needed"),
        ([1, 2] / u.cm**3, "one finite number"),
        ("thick", "no quantity"),
    ):
        with pytest.raises(mm.ArgumentError, match=message):
            mm.faraday.rotation_measure(ds, density=density)
    for redshift in ("a", np.inf, -1.0):
        with pytest.raises(mm.ArgumentError, match="redshift="):
            mm.faraday.rotation_measure(ds, redshift=redshift)
    for density in (ds.n.isel(z=slice(1, None)), ds.n.isel(y=0, drop=True).rename(x="w")):
        with pytest.raises(mm.SnapshotError, match="interpolate it"):
            mm.faraday.rotation_measure(ds, density=density.assign_attrs(units="cm-3"))
    shifted = ds.n.assign_coords(y=ds.y + 5.0).assign_attrs(units="cm-3")
    for density in (shifted, shifted.isel(z=0, x=0, drop=True)):
        with pytest.raises(mm.SnapshotError, match="density begins at y="):
            mm.faraday.rotation_measure(ds, density=density)
    negative = ds.assign(n=ds.n - 0.5)
    negative["n"].attrs["units"] = "cm-3"
    for one in (negative, negative.chunk(z=2)):
        with pytest.raises(mm.SnapshotError, match="no number below 0"):
            mm.faraday.rotation_measure(one).compute()
        with pytest.raises(mm.SnapshotError, match="no number below 0"):
            mm.faraday.faraday_depth(one).compute()
    with pytest.raises(mm.SnapshotError, match="oblique"):
        mm.faraday.rotation_measure(ds.assign_attrs(boundary_x="open"), (1, 0, 2))
    with pytest.raises(mm.ArgumentError, match="along an axis"):
        mm.faraday.faraday_depth(ds, (1, 0, 2))


OBLIQUE = [(1, 2, 9), (5, -1, 1), (-1, 3, -14)]


@pytest.mark.parametrize("los", OBLIQUE)
def test_oblique_lines_find_all_that_the_cells_hold(los):
    """The mean of a map is that of n B in the box, of fields and densities that differ from cell to cell."""
    ds = random_box((9, 12, 10), seed=3)
    direction = np.array(los) / np.linalg.norm(los)
    axis = int(np.argmax(abs(direction)))
    seen = sum(float((ds.n * ds[f"B{c}"]).mean()) * d for c, d in zip("xyz", direction, strict=True))
    length = ds.sizes["xyz"[axis]] * mm.conventions.spacing(ds)["xyz"[axis]] / abs(direction[axis])
    want = mm.faraday.RM_CONSTANT * seen * length
    assert float(mm.faraday.rotation_measure(ds, los).mean()) == pytest.approx(want, rel=1e-11)


@pytest.mark.parametrize("los", ["z", "x", *OBLIQUE])
def test_the_slope_of_the_angle_is_the_rotation_measure(los):
    """Of a source in the farthest plane, where nothing rotates, seen through a box of noise."""
    ds = random_box((9, 12, 10), seed=4)
    toward = np.array({"x": (1, 0, 0), "z": (0, 0, 1)}.get(los, los))
    axis = int(np.argmax(abs(toward)))
    far = {"xyz"[axis]: 0 if toward[axis] > 0 else -1}
    density, source = ds.n.copy(), 0 * ds.n
    density[far], source[far] = 0.0, 1.0
    ds = ds.assign(n=density, source=source)
    depth, waves = mm.faraday.rotation_measure(ds, los), np.array([1e-7, 2e-7])
    for one in (ds, ds.chunk(z=2, y=3)):
        pol = mm.faraday.polarization(one, los, wavelength_sq=waves, emission="snapshot", cosmic_rays="source")
        slope = np.angle(pol[1] * np.conj(pol[0])) / 2 / 1e-7
        np.testing.assert_allclose(slope, depth, rtol=1e-6, atol=1e-6 * float(abs(depth).max()))


def calls():
    """Everything that reads a snapshot, by name."""
    f, waves = mm.faraday, [0.01, 0.02]
    found = {
        "rotation measure": lambda ds: f.rotation_measure(ds),
        "oblique": lambda ds: f.rotation_measure(ds, (1, 2, 9)),
        "depth": lambda ds: f.faraday_depth(ds, "y"),
        "cosmic rays": lambda ds: f.polarization(
            ds.assign(cr=ds.n), wavelength_sq=waves, emission="snapshot", cosmic_rays="cr", density=1 / u.cm**3
        ),
        "profile": lambda ds: f.rotation_measure(ds.drop_vars("n"), "x", density=ds.n),
        "compared": lambda ds: f.compare_to_random_walk(ds).sigma,
    }
    for emission in ("background", "internal", "snapshot"):
        found[emission] = lambda ds, e=emission: f.polarization(ds, wavelength_sq=waves, emission=e)
    return found


def replaced(ds, change, names=("Bx", "By", "Bz", "n"), **units):
    new = {name: change(ds[name]).assign_attrs(ds[name].attrs) for name in names}
    for name, array in new.items():
        array.attrs["units"] = units.get(name[0], array.attrs["units"])
    return ds.assign(new)


@pytest.mark.parametrize("name", calls())
@pytest.mark.parametrize("kind", [complex, bool, str, object])
@pytest.mark.parametrize("variable", ["Bz", "n"])
def test_variables_that_are_not_real_numbers_are_refused(name, kind, variable):
    said = {"n": "real numbers is needed, and (n|cr) is"}.get(variable, "real numbers.*Bz is|Bz is .*real numbers are")
    with pytest.raises(mm.SnapshotError, match=said):
        calls()[name](replaced(random_box(), lambda a: a.astype(kind), [variable]))


class Quantities(np.ndarray):
    """An array that carries its unit, as those of pint do."""

    units = "microgauss"


@pytest.mark.parametrize("name", calls())
def test_arrays_that_carry_a_unit_are_refused(name):
    ds = random_box()
    ds["Bx"].variable._data = ds["Bx"].values.view(Quantities)
    with pytest.raises(mm.SnapshotError, match="Bx is a Quantity in microgauss"):
        calls()[name](ds)


@pytest.mark.parametrize("name", [name for name in calls() if name != "compared"])  # its law is that of spectra
def test_whole_numbers_and_weak_fields_are_those_of_doubles(name):
    """Integers, half precision, and 1e-23 T in single precision, whose products are below its smallest number."""
    ds = random_box()
    whole = replaced(ds, lambda a: (10 * a).round())
    for kind in (np.int16, np.float16):
        np.testing.assert_array_equal(
            calls()[name](replaced(whole, lambda a, k=kind: a.astype(k))), calls()[name](whole)
        )
    weak = replaced(ds, lambda a: (a * 1e-23).astype(np.float32), ["Bx", "By", "Bz"], B="T")
    same = replaced(weak, lambda a: a.astype(float) * 1e10, ["Bx", "By", "Bz"], B="uG")
    np.testing.assert_allclose(calls()[name](weak), calls()[name](same), rtol=1e-12)


def test_a_cell_that_is_not_finite_spoils_its_own_lines_alone():
    ds = random_box((6, 9, 8))
    ds.Bz[1, 2, 3] = np.nan
    for los, lost in (("z", 1), ("x", 0), ((1, 2, 9), 4)):
        assert int(np.isnan(mm.faraday.rotation_measure(ds, los)).sum()) == lost
    depth = mm.faraday.faraday_depth(ds)
    assert int(np.isnan(depth).sum()) == 2 and np.isnan(depth[:2, 2, 3]).all()
    for one in (ds, ds.chunk(z=2)):  # also beside such a cell negative densities are found
        holed = replaced(one, lambda a: a.where(a.z > 10) - (a.z > 40), ["n"])
        for los in ("z", (1, 2, 9)):
            with pytest.raises(mm.SnapshotError, match="no number below 0"):
                mm.faraday.rotation_measure(holed, los).compute()


def test_axes_in_two_units_are_refused():
    ds = random_box()
    ds.x.attrs["units"] = "kpc"
    with pytest.raises(mm.SnapshotError, match="axes differ in unit"):
        mm.faraday.rotation_measure(ds, (1, 2, 9))


@pytest.mark.parametrize("los", ["x", "y", "z"])
@pytest.mark.parametrize("density", [None, 2 / u.cm**3])
def test_the_order_in_memory_does_not_matter(los, density):
    """To the bit: columns that lie in one piece, whose last cells are few, and columns that lie side by side."""
    ds = random_box((11, 7, 9), seed=6)
    want = mm.faraday.rotation_measure(ds, los, density=density)
    for order in ("zyx", "xyz", "yxz", "zxy"):
        turned = ds.transpose(*order)
        turned = turned.map(lambda a: a.copy(data=np.ascontiguousarray(a.values)), keep_attrs=True)
        found = mm.faraday.rotation_measure(turned.assign_attrs(ds.attrs), los, density=density)
        np.testing.assert_array_equal(found.transpose(*want.dims), want)
    negative = replaced(ds, lambda a: a - (a == a.max()), ["n"])
    if density is None:
        with pytest.raises(mm.SnapshotError, match="no number below 0"):
            mm.faraday.rotation_measure(negative, los)
