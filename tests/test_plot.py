import inspect

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

import mmfields as mm


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def image_of(ax):
    """The mesh of colours, which is drawn first."""
    return ax.collections[0]


def colours_of(ax):
    """What the colour bar of a figure stands for."""
    return ax.figure.axes[-1]._colorbar.mappable


def test_slices_show_the_mid_planes_with_units():
    ds = mm.samples.load("micromirrors").isel(time=-1)
    panels = mm.plot.slices(ds, variable="By")
    assert len(panels) == 3
    np.testing.assert_array_equal(image_of(panels[0]).get_array(), ds.By.isel(z=24).transpose("y", "x").values)
    np.testing.assert_array_equal(image_of(panels[2]).get_array(), ds.By.isel(x=24).transpose("z", "y").values)
    assert (panels[0].get_xlabel(), panels[0].get_ylabel()) == ("$x$ [$d_i$]", "$y$ [$d_i$]")
    with pytest.raises(mm.SnapshotError, match="three-dimensional"):
        mm.plot.slices(mm.samples.load("micromirrors"))


def test_spectrum_and_band():
    power = mm.spectra.power2d(mm.samples.load("micromirrors").isel(time=-1))
    ax = mm.plot.spectrum2d(power, k_par=(0.1, 0.3), k_perp=(0.2, 0.5))
    (box,) = ax.patches
    assert image_of(ax).get_array().max() == power.max()
    assert box.get_bbox().bounds == pytest.approx((0.2, 0.1, 0.3, 0.2))
    assert "rad / $d_i$" in ax.get_xlabel()


def test_diffusion_figures():
    ds = mm.samples.load("micromirrors").isel(time=-1)
    p = mm.particles.isotropic(20, gyroradius=[5.0, 10.0], seed=1, field=ds)
    tr = mm.trace(ds, p, step=1.0, distance=200.0, save=20).compute()
    ax = mm.plot.running_diffusion(mm.transport.running_diffusion(tr))
    with_plateau = mm.plot.running_diffusion(mm.transport.running_diffusion(tr), plateau=mm.transport.diffusion(tr))
    bars = [a for a in with_plateau.lines if a.get_linewidth() == 5 and len(a.get_xdata())]
    assert len(bars) == 4
    np.testing.assert_allclose(bars[0].get_xdata(), [100, 200])
    assert ax.get_xscale() == "log"
    assert len(mm.plot.diffusion(mm.transport.diffusion(tr)).containers) == 2


def test_rotation_measure_map():
    rm = mm.faraday.rotation_measure(mm.samples.load("micromirrors").isel(time=-1), "x")
    ax = mm.plot.rotation_measure(rm)
    np.testing.assert_array_equal(image_of(ax).get_array(), rm.transpose("z", "y").values)
    assert ax.get_xlabel() == "$y$ [$d_i$]"


def test_a_spectrum_with_its_slopes():
    power = mm.spectra.power(mm.samples.load("mhd_turbulence"))
    fit = mm.spectra.slope(power, (10.0, 60.0))
    ax = mm.plot.spectrum(power, fits=fit)
    (line, drawn), (band,) = ax.lines, ax.collections
    np.testing.assert_array_equal(line.get_ydata(), power.values)
    assert drawn.get_label() == rf"$k^{{{float(fit.slope):.2f}\pm{float(fit.slope_error):.2f}}}$"
    np.testing.assert_allclose(np.diff(np.log(drawn.get_ydata())) / np.diff(np.log(drawn.get_xdata())), fit.slope)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlabel().startswith("$k$ [rad")
    both = mm.plot.spectrum({"B": power, "u": mm.spectra.power(mm.samples.load("mhd_turbulence"), ["ux", "uy", "uz"])})
    assert [text.get_text() for text in both.get_legend().get_texts()] == ["B", "u"]
    assert band.get_paths()


def test_before_after_and_residual_share_a_scale():
    ds = mm.samples.load("micromirrors").isel(time=-1)
    fields = {"before": ds.By, "half": 0.5 * ds.By}
    panels = mm.plot.compare(fields, cut="y")
    images = [image_of(panel) for panel in panels]
    assert images[0].get_clim() == images[1].get_clim()
    np.testing.assert_allclose(images[1].get_array(), 0.5 * ds.By.isel(y=ds.sizes["y"] // 2).transpose("z", "x"))
    assert (panels[1].get_xlabel(), panels[1].get_title()) == ("$x$ [$d_i$]", "half")
    with pytest.raises(mm.SnapshotError, match="three-dimensional fields"):
        mm.plot.compare({"flat": ds.By.isel(z=0)})


def test_anisotropy_figures():
    """They draw what they are given, and refuse others."""
    ds = mm.samples.load("micromirrors").isel(time=-1).compute()
    counts = mm.anisotropy.brazil_histogram(mm.anisotropy.pressure(ds))
    ax = mm.plot.brazil(counts)
    assert len(ax.lines) == 2
    assert image_of(ax).get_array().count() == int((counts.cells > 0).sum())
    structure = mm.anisotropy.structure_function(ds, pairs=50_000, bins=6)
    drawn = image_of(mm.plot.structure_function(structure)).get_array()
    assert drawn.count() == int((structure.structure > 0).sum())
    relation = mm.anisotropy.scale_anisotropy(structure)
    (bars,) = mm.plot.scale_anisotropy({"mirrors": relation}).containers
    assert len(bars.lines[0].get_xdata()) == int(np.isfinite(relation.l_par).sum())
    curve, found = mm.anisotropy.threshold_curve(ds), mm.anisotropy.patches(ds, "field", filling_fraction=0.1)
    line, point = mm.plot.threshold_curve(curve, marked=found).lines
    np.testing.assert_array_equal(line.get_ydata(), curve.filling_fraction)
    assert point.get_label().startswith("$f_{mm}$ = 0.1")
    for call in (
        lambda: mm.plot.brazil(counts.assign(cells=0 * counts.cells)),
        lambda: mm.plot.brazil(counts.expand_dims("time")),
        lambda: mm.plot.structure_function(mm.anisotropy.structure_function(ds, order=[1, 2], pairs=1000)),
        lambda: mm.plot.scale_anisotropy(relation.assign(l_par=np.nan * relation.l_par)),
    ):
        with pytest.raises(mm.SnapshotError):
            call()


def test_faraday_figures():
    from astropy import units as u

    ds = mm.samples.load("micromirrors").isel(time=-1)[["Bx", "By", "Bz", "n"]].compute()
    waves = [1.0, 2.0, 3.0]
    pol = mm.faraday.polarization(ds.assign_attrs(length_unit="1 pc", density_unit="1 cm-3"), wavelength_sq=waves)
    law = pol.isel(x=0, y=0)
    ax = mm.plot.depolarization(mm.faraday.depolarization(pol), laws={"one line of sight": law})
    (points,), line = ax.containers, ax.lines[-1]
    np.testing.assert_array_equal(points[0].get_xdata(), waves)
    np.testing.assert_allclose(line.get_ydata(), abs(law))
    with pytest.raises(mm.SnapshotError, match="select the other dims"):
        mm.plot.depolarization(mm.faraday.depolarization(pol).expand_dims("time"))
    path = {"density": 1e-3 / u.cm**3, "field": 1 * u.uG, "integral_scale": 1 * u.pc, "length": 1 * u.Mpc}
    table = mm.faraday.expected_angles(**path, relative_error=0.1)
    ax = mm.plot.expected_angles({"mirrors": table}, visible=1.0)
    assert (len(ax.lines), len(ax.collections)) == (table.sizes["band"] + 1, table.sizes["band"])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), table.angle[0])


def test_statistics_of_a_map_are_drawn():
    rng = np.random.default_rng(5)
    rm = xr.DataArray(
        rng.normal(size=(32, 32)), dims=("y", "x"), coords={d: np.arange(32.0) for d in "yx"},
        attrs={"boundary_x": "periodic", "boundary_y": "periodic"},
    )  # fmt: skip
    found = mm.faraday.statistics(rm)
    fig, (left, right) = plt.subplots(1, 2)
    assert mm.plot.rotation_measure_pdf(found, left) is left
    (stairs,), (line,) = left.patches, left.lines
    np.testing.assert_array_equal(stairs.get_data().values, found.pdf)
    assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1.0, abs=1e-3)
    curve, level = mm.plot.rotation_measure_structure(found, right).lines
    np.testing.assert_array_equal(curve.get_ydata(), found.D)
    assert level.get_ydata()[0] == pytest.approx(2 * float(found.sigma) ** 2)
    with pytest.raises(mm.SnapshotError, match="select one"):
        mm.plot.rotation_measure_pdf(mm.faraday.statistics(xr.concat([rm, rm], "time")))
    plt.close(fig)


@pytest.mark.parametrize("engine", ["matplotlib", "pyvista"])
def test_a_cut_cube_and_orbits_through_a_surface(engine):
    if engine == "pyvista":
        pytest.importorskip("pyvista", reason="pyvista is not installed")
    ds = mm.samples.load("micromirrors").isel(time=-1, drop=True)
    field = mm.anisotropy.fluctuation(ds)
    ax = mm.plot.cube(field, engine=engine, limit=0.5)
    colours = colours_of(ax)
    assert (ax.collections or ax.images) and (colours.norm.vmin, colours.norm.vmax) == (-0.5, 0.5)
    p = mm.particles.isotropic(3, gyroradius=1e6, seed=1, field=ds)
    tr = mm.trace(ds, p, step=1.0, distance=60.0, save=60).compute()
    ax = mm.plot.orbits(tr, field, level=0.3, highlight=tr.B > 1.2, engine=engine)
    assert ax.lines or ax.images
    ax.figure.canvas.draw()
    with pytest.raises(mm.SnapshotError, match="x, y and z alone"):
        mm.plot.cube(field.isel(z=0), engine=engine)


def test_the_cut_cube_shows_the_field_where_it_is():
    values = np.arange(4 * 6 * 8, dtype=float).reshape(4, 6, 8)
    ds = mm.io.from_arrays(**dict.fromkeys(("Bx", "By", "Bz"), values), spacing=dict.fromkeys("xyz", 1.0))
    ax = mm.plot.cube(ds.Bx, engine="matplotlib")
    colours, found = colours_of(ax), np.concatenate([face.get_facecolor() for face in ax.collections])
    # each axis has one face of all its cells: at the end, and where the near octant is cut out the last that is left
    ends = [values[-1].copy(), values[:, -1].copy(), values[:, :, -1].copy()]
    ends[0][3:, 4:], ends[1][2:, 4:], ends[2][2:, 3:] = values[1, 3:, 4:], values[2:, 2, 4:], values[2:, 3:, 3]
    wanted = colours.to_rgba(np.concatenate([end.ravel() for end in ends]))
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(wanted, axis=0))
    with pytest.raises(mm.ArgumentError, match="pyvista or matplotlib"):
        mm.plot.cube(ds.Bx, engine="vtk")


@pytest.mark.parametrize("shape", [(8, 10, 6), (7, 5, 9), (2, 3, 2)])
def test_the_notch_shows_the_cells_that_are_left(shape):
    """Of even and odd numbers of cells: the layer before the middle, which is the last one that was not cut out."""
    values = np.random.default_rng(2).uniform(-1, 1, shape)
    ds = mm.io.from_arrays(**dict.fromkeys(("Bx", "By", "Bz"), values), spacing={"x": 0.5, "y": 1.0, "z": 2.0})
    ax = mm.plot.cube(ds.Bx, engine="matplotlib")
    colours, found = colours_of(ax), np.concatenate([face.get_facecolor() for face in ax.collections])
    ends, middle = [], [n // 2 for n in shape]
    for axis in range(3):
        near = tuple(slice(m, None) for a, m in enumerate(middle) if a != axis)
        ends.append(np.take(values, -1, axis))
        ends[-1][near] = np.take(values, middle[axis] - 1, axis)[near]
    wanted = colours.to_rgba(np.concatenate([end.ravel() for end in ends]))
    order = [np.lexsort(c.T) for c in (found, wanted)]
    np.testing.assert_allclose(found[order[0]], wanted[order[1]])


def test_complex_fields_are_not_drawn():
    ds = mm.samples.load("micromirrors").isel(time=0)
    odd = (ds.Bx * 1j).rename("wave")
    for call in (
        lambda: mm.plot.slices(odd),
        lambda: mm.plot.compare({"wave": odd}),
        lambda: mm.plot.cube(odd, engine="matplotlib"),
    ):
        with pytest.raises(mm.SnapshotError, match=r"wave is complex.*\.real"):
            call()


def test_every_figure_takes_axes_and_gives_axes():
    for name in set(mm.plot.__all__) - {"COLOURS", "solid_engine"}:
        signature = inspect.signature(getattr(mm.plot, name))
        assert "ax" in signature.parameters, name
        assert signature.return_annotation == ("list[Axes]" if name in ("slices", "compare") else "Axes"), name
    ds = mm.samples.load("micromirrors").isel(time=-1)
    _, panels = plt.subplots(1, 3)
    assert mm.plot.slices(ds, panels) == list(panels)
    assert mm.plot.spectrum2d(mm.spectra.power2d(ds), ax=panels[0]) is panels[0]


def test_a_cube_has_axes_of_one_scale():
    values = np.random.default_rng(2).uniform(-1, 1, (4, 6, 8))
    ds = mm.io.from_arrays(**dict.fromkeys(("Bx", "By", "Bz"), values), spacing={"x": 0.5, "y": 1.0, "z": 2.0})
    ax = mm.plot.cube(ds.Bx, engine="matplotlib")
    spans = np.array([np.ptp(getattr(ax, f"get_{d}lim")()) for d in "xyz"])
    np.testing.assert_allclose(spans / spans[0], np.array(ax._box_aspect) / ax._box_aspect[0], rtol=1e-6)
