import numpy as np
import pytest

import mmfields as mm


def test_isotropic_fills_the_box_and_all_directions(turbulent):
    p = mm.particles.isotropic(20000, gyroradius=[1.0, 2.0], seed=3, field=turbulent)
    assert dict(p.sizes) == {"gyroradius": 2, "particle": 20000}
    for dim, (low, high) in mm.conventions.box(turbulent).items():
        assert low <= float(p[dim].min())
        assert float(p[dim].max()) < high
        assert float(p[dim].mean()) == pytest.approx((low + high) / 2, abs=4 * (high - low) / np.sqrt(12 * 40000))
    v = np.stack([p[f"v{c}"].values for c in "xyz"])
    np.testing.assert_allclose((v**2).sum(0), 1, atol=1e-14)
    spread = 5 / np.sqrt(3 * 40000)
    assert np.abs(v.mean((1, 2))).max() < spread
    tensor = np.einsum("igp,jgp->ij", v, v) / 40000
    np.testing.assert_allclose(tensor, np.eye(3) / 3, atol=spread)
    assert len(np.unique(p.key)) == 40000


def test_ensembles_are_seeded_and_grow_at_their_end(turbulent):
    few = mm.particles.isotropic(10, gyroradius=[1.0, 2.0], seed=3, field=turbulent)
    many = mm.particles.isotropic(30, gyroradius=[1.0, 2.0], seed=3, field=turbulent)
    for name in ("x", "vz", "key"):
        np.testing.assert_array_equal(few[name], many[name][:, :10])
    other = mm.particles.isotropic(10, gyroradius=[1.0, 2.0], seed=4, field=turbulent)
    assert not np.array_equal(few.x, other.x)
    assert not np.array_equal(few.x[0], few.x[1])


def test_reference_field_is_lazy(turbulent, no_compute):
    import dask

    lazy = turbulent.chunk(z=3)
    rms = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=lazy).reference_field
    mean = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=lazy, reference_field="mean").reference_field
    fixed = mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=lazy, reference_field=2.5).reference_field
    with dask.config.set(scheduler="threads"):
        square = sum((turbulent[f"B{c}"].astype(float) ** 2).mean() for c in "xyz")
        assert float(rms) == pytest.approx(float(square) ** 0.5)
        assert float(mean) == pytest.approx(
            float(sum(turbulent[f"B{c}"].astype(float).mean() ** 2 for c in "xyz")) ** 0.5
        )
        assert float(fixed) == 2.5


def test_from_arrays():
    p = mm.particles.from_arrays(
        x=[1, 2], y=[3, 4], z=[5, 6], vx=[1, 0], vy=[0, 0], vz=[0, 1], gyroradius=2.0, reference_field=3.0
    )
    assert p.x.dims == ("particle",)
    assert float(p.gyroradius) == 2.0
    good = {
        "x": [0.0],
        "y": [0.0],
        "z": [0.0],
        "vx": [1.0],
        "vy": [0.0],
        "vz": [0.0],
        "gyroradius": 1.0,
        "reference_field": 1.0,
    }
    for change, match in (
        ({"vx": [2.0]}, "unit vectors"),
        ({"x": [np.nan]}, "finite"),
        ({"x": [0.0, 1.0]}, "differ in shape"),
        ({"gyroradius": -1.0}, "positive, finite"),
        ({"gyroradius": [1.0, np.inf]}, "positive, finite"),
        ({"reference_field": 0.0}, "reference_field"),
    ):
        with pytest.raises(mm.ArgumentError, match=match):
            mm.particles.from_arrays(**{**good, **change})


def test_bad_calls(turbulent):
    for options, match in (
        ({"n": 0, "gyroradius": 1.0}, "n=0"),
        ({"n": 5, "gyroradius": 0.0}, "gyroradius"),
        ({"n": 5, "gyroradius": 1.0, "reference_field": "median"}, "reference_field"),
    ):
        with pytest.raises(mm.ArgumentError, match=match):
            mm.particles.isotropic(options.pop("n"), seed=1, field=turbulent, **options)
    with pytest.raises(mm.SnapshotError, match="missing"):
        mm.particles.isotropic(5, gyroradius=1.0, seed=1, field=turbulent.drop_vars("Bx"))


def test_beam_and_lattice(turbulent, no_compute):
    import dask

    lazy = turbulent.chunk(z=3)
    p = mm.particles.beam(200, pitch_angle=0.7, gyroradius=[1.0, 2.0], seed=1, field=lazy, positions="lattice")
    assert p.vx.chunks is not None
    tr = mm.trace(lazy, p, step=0.1, distance=1.0, save=[0.0])
    with dask.config.set(scheduler="threads"):
        mean = mm.mean_field(turbulent).compute()
        b = np.array([float(mean[f"B{c}"]) for c in "xyz"])
        b /= np.linalg.norm(b)
        v = np.stack([tr[f"v{c}"].values for c in "xyz"])
        np.testing.assert_allclose(np.tensordot(b, v, 1), np.cos(0.7), atol=1e-12)
        assert np.abs(v.mean(axis=(1, 2, 3)) - np.cos(0.7) * b).max() < 4 * np.sin(0.7) / np.sqrt(2 * 400)
    assert len(np.unique(p.x.values)) == 6  # 200 of the 6³ points
    given = np.array([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])
    q = mm.particles.isotropic(2, gyroradius=1.0, seed=1, field=lazy, positions=given)
    np.testing.assert_array_equal(np.stack([q[d].values for d in "xyz"], -1), given)
    for options, match in (
        ({"pitch_angle": 45.0}, "radians from 0 to pi"),
        ({"pitch_angle": 0.1, "positions": "ring"}, "'uniform', 'lattice'"),
        ({"pitch_angle": 0.1, "positions": given}, r"shape \(2, 3\)"),
    ):
        with pytest.raises(mm.ArgumentError, match=match):
            mm.particles.beam(3, gyroradius=1.0, seed=1, field=lazy, **options)
    with pytest.raises(mm.SnapshotError, match="trajectories of mm"):
        mm.particles.from_trajectories(p)
    with pytest.raises(mm.SnapshotError, match="1 points are saved"):
        mm.particles.from_trajectories(tr, at=3)


def test_gyroradii_of_energies():
    """0.36 mpc for a proton of 1 TeV in 3 uG; relativistic, and not so."""
    from astropy import constants
    from astropy import units as u

    shape = (4, 4, 4)
    fields = {f"B{c}": np.full(shape, 3.0) for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), length_unit="pc", field_unit="uG")
    radius = mm.particles.gyroradius(1 * u.TeV, field=ds, reference_field=3.0)
    assert radius == pytest.approx(0.36034e-3 * np.sqrt(1 + 2 * 0.938272e-3), rel=1e-4)
    assert mm.particles.gyroradius(1 * u.TeV, field=ds, reference_field=3.0, charge=2) == pytest.approx(radius / 2)
    slow = mm.particles.gyroradius([1.0, 4.0] * u.eV, field=ds, reference_field=3.0, mass="electron")
    assert slow[1] / slow[0] == pytest.approx(2, rel=1e-5)
    speed = np.sqrt(2 * (1 * u.eV) / constants.m_e).to("m/s")
    assert slow[0] == pytest.approx((constants.m_e * speed / (constants.e.si * 3e-10 * u.T)).to_value("pc"), rel=1e-4)
    for options, match in (
        ({"energy": 1.0}, "give Quantities"),
        ({"energy": 1 * u.m}, "give Quantities"),
        ({"energy": -1 * u.eV}, "positive numbers"),
        ({"energy": 1 * u.eV, "mass": "muon"}, "mass='proton'"),
    ):
        with pytest.raises(mm.ArgumentError, match=match):
            mm.particles.gyroradius(options.pop("energy"), field=ds, reference_field=3.0, **options)
    bare = ds.assign_attrs(field_unit="m")
    with pytest.raises(mm.SnapshotError, match="no magnetic field"):
        mm.particles.gyroradius(1 * u.eV, field=bare, reference_field=3.0)
    del bare.attrs["field_unit"]
    with pytest.raises(mm.SnapshotError, match="code units"):
        mm.particles.gyroradius(1 * u.eV, field=bare, reference_field=3.0)
