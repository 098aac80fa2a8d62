"""From GeV to cm²/s: energies of particles, Quantities in arguments, and units that reach coefficients."""

import numpy as np
import pytest
import xarray as xr
from astropy import constants as const
from astropy import units as u
from click.testing import CliRunner

import mmfields as mm
from mmfields.cli import main
from mmfields.units import energy_of, momentum_of, plain, radius_of, species_of, text_of


def box(**attrs):
    """A uniform field of 3 along z in cells of 2, without units of its own."""
    zero = np.zeros((4, 5, 6))
    spacing = {"x": 2.0, "y": 2.0, "z": 2.0}
    return mm.io.from_arrays(Bx=zero, By=zero, Bz=zero + 3.0, spacing=spacing, dims=("z", "y", "x"), **attrs)


KNOWN = {"length_unit": "2 mpc", "field_unit": "1 uG"}
WEAK = {"length_unit": "2 mpc", "field_unit": "1e-6 uG"}  # in which a proton of 10 keV has a gyroradius of 0.8
NU = mm.scattering.small_angle(nu=0.2)


def coefficients(ds, **kind):
    """Of 400 particles that scatter with nu = 0.2 per length: kappa = 10/3 of speed times length unit."""
    particles = mm.particles.isotropic(400, seed=1, field=ds, **kind)
    run = mm.trace(ds, particles, step=0.5, distance=400.0, save=40, scattering=NU, cell_fraction=None)
    return mm.transport.diffusion(run)


@pytest.mark.parametrize(("species", "mass", "sign"), [("proton", const.m_p, 1), ("electron", const.m_e, -1),
                                                       ((2, 4 * u.u), 4 * u.u, 1), ((-1 * const.e.si, const.m_p), const.m_p, -1)])  # fmt: skip
@pytest.mark.parametrize("energy", [1 * u.keV, 30 * u.MeV, 2 * u.TeV])
def test_gyroradius_and_speed_of_an_energy(species, mass, sign, energy):
    """Against the textbook: (p c)² = T² + 2 T m c², r_g = p/(q B)."""
    ds = box(**KNOWN)
    p = mm.particles.isotropic(3, energy=energy, species=species, seed=1, field=ds)
    rest = (mass * const.c**2).to("J")
    momentum = np.sqrt(energy.to("J") ** 2 + 2 * energy * rest) / const.c
    charge = 2 if species == (2, 4 * u.u) else 1
    want = (momentum / (charge * const.e.si * 3e-10 * u.T)).to_value("mpc") / 2
    assert float(p.gyroradius) == pytest.approx(want, rel=1e-9)
    assert float(p.reference_field) == pytest.approx(3.0)
    assert (p.charge_sign == sign).all()
    assert float(p.energy) == energy.value and p.energy.attrs["units"] == energy.unit.to_string()
    np.testing.assert_allclose(p.own_beta_gamma, (momentum / (mass * const.c)).to_value(""), rtol=1e-12)
    back = energy_of(want * 2 * u.mpc, charge, 3 * u.uG, mass)
    assert back.to_value(energy.unit) == pytest.approx(energy.value, rel=1e-9)
    assert radius_of(*(momentum_of(energy, mass)[0], charge), 3 * u.uG, 2 * u.mpc) == pytest.approx(want, rel=1e-12)


def test_energies_are_coordinates_from_particles_to_coefficients():
    ds = box(**WEAK)
    energies = [1.0, 10.0] * u.TeV
    p = mm.particles.isotropic(4, energy=energies, seed=1, field=ds)
    tr = mm.trace(ds, p, step=0.5, distance=20.0, save=4)
    for data in (p, tr, mm.transport.running_diffusion(tr), mm.transport.diffusion(tr), mm.transport.green_kubo(tr)):
        assert data.energy.dims == ("gyroradius",)
        np.testing.assert_array_equal(data.energy, energies.value)
        assert data.attrs["length_unit"] == "2.0 mpc" and data.attrs["field_unit"] == "1e-06 uG"
        assert data.attrs["species"] == "proton"
    assert u.Unit(mm.transport.diffusion(tr).kappa.attrs["units"]).is_equivalent("cm2 / s")


def test_nothing_is_computed_where_the_reference_is_a_number(no_compute):
    ds = box(**WEAK).chunk()
    p = mm.particles.isotropic(4, energy=1 * u.TeV, seed=1, field=ds, reference_field=3e-6 * u.uG)
    k = mm.transport.diffusion(mm.trace(ds, p, step=0.5, distance=20.0, save=4))
    mm.transport.physical(k)


def test_kappa_in_cm2_per_s_is_that_of_the_wanted_scattering():
    """Light-like, slow and mixed: v times the length unit, and the same whichever way the unit is said."""
    length = (2 * u.mpc).to("cm")
    for kind, speed in (
        ({"gyroradius": 1e3}, const.c),
        ({"gyroradius": 1e3, "beta_gamma": 0.1}, const.c * 0.1 / np.hypot(1, 0.1)),
        ({"energy": 10 * u.keV}, const.c * momentum_of(10 * u.keV, const.m_p)[1]),
    ):
        k = coefficients(box(**WEAK), **kind).compute()
        want = float(k.kappa) * (speed * length).to_value("cm2 / s")
        found = mm.transport.physical(k)
        assert float(found.kappa) == pytest.approx(want, rel=1e-4)
        assert float(found.kappa_error / found.kappa) == pytest.approx(float(k.kappa_error / k.kappa))
        xr.testing.assert_equal(mm.transport.physical(found), found)
        assert found.kappa.attrs["units"] == "cm2 / s" and float(found.exponent) == float(k.exponent)
        bare = k.kappa.assign_attrs(units="1")
        assert float(mm.transport.physical(bare, length_unit="2 mpc", speed=speed)) == pytest.approx(want, rel=1e-4)
    light = coefficients(box(**WEAK), gyroradius=1e3).compute()
    assert u.Unit(light.kappa.attrs["units"]).to("cm2 / s") == pytest.approx((const.c * length).to_value("cm2 / s"))
    bare = coefficients(box(), gyroradius=1e3).compute()
    assert bare.kappa.attrs["units"] == "1"
    assert float(mm.transport.physical(bare, length_unit=2 * u.mpc).kappa) == pytest.approx(
        float(mm.transport.physical(light).kappa)
    )
    with pytest.raises(mm.SnapshotError, match="length_unit="):
        mm.transport.physical(bare)
    with pytest.raises(mm.ArgumentError, match="speed"):
        mm.transport.physical(bare, length_unit="pc", speed=3 * u.pc)


def test_runs_of_several_energies_that_are_joined_keep_their_own_speeds():
    ds = box(**WEAK)
    each = [coefficients(ds, energy=e).compute() for e in ([10] * u.keV, [1] * u.GeV)]
    joined = xr.concat(each, "gyroradius", coords="different", compat="equals", join="outer")
    want = np.concatenate([mm.transport.physical(k).kappa.values for k in each])
    np.testing.assert_allclose(mm.transport.physical(joined).kappa, want)


def test_electrons_and_protons_together_have_no_one_speed():
    ds = box(**WEAK)
    two = [mm.particles.isotropic(200, energy=1 * u.MeV, species=s, seed=1, field=ds) for s in ("proton", "electron")]
    both = xr.concat(two, "particle", coords="different", compat="equals", data_vars="all")
    run = mm.trace(ds, both, step=0.5, distance=100.0, save=20, scattering=NU, cell_fraction=None)
    assert "species" not in run.attrs
    with pytest.raises(mm.SnapshotError, match="speed of the particles"):
        mm.transport.physical(mm.transport.diffusion(run))


def test_quantities_are_the_same_as_numbers():
    ds = box(**KNOWN)

    def run(radius, step, distance, save, scattering):
        p = mm.particles.isotropic(4, gyroradius=radius, seed=1, field=ds)
        return mm.trace(ds, p, step=step, distance=distance, save=save, scattering=scattering).compute()

    numbers = run(10.0, 0.5, 20.0, [1.0, 20.0], NU)
    mpc = u.mpc
    same = run(20 * mpc, 1 * mpc, 40 * mpc, [2, 40] * mpc, mm.scattering.small_angle(nu=0.1 / mpc))
    for name in ("x", "vy", "mu", "path"):
        np.testing.assert_allclose(numbers[name], same[name], rtol=1e-9)
    kappa = mm.scattering.small_angle(kappa=(10 / 3 * const.c * 2 * mpc).to("cm2 / s"))
    np.testing.assert_allclose(run(10.0, 0.5, 20.0, 5, kappa).x, run(10.0, 0.5, 20.0, 5, NU).x, rtol=1e-9)
    given = {"y": [1.0], "z": [1.0], "vx": [1.0], "vy": [0.0], "vz": [0.0], **KNOWN}
    p = mm.particles.from_arrays(x=[4.0] * mpc, **given, gyroradius=20 * mpc, reference_field=30 * u.uT / 1e5)
    assert float(p.x[0]) == pytest.approx(2.0) and float(p.gyroradius) == pytest.approx(10.0)
    assert float(p.reference_field) == pytest.approx(3.0)
    threshold = mm.scattering.patchy(NU, threshold=0.2 * u.nT)
    assert threshold.in_units_of(ds).threshold == pytest.approx(2.0)


def test_bands_in_wavenumbers_with_units():
    rng = np.random.default_rng(0)
    fields = {f"B{c}": rng.normal(size=(8, 8, 8)) + 1 for c in "xyz"}
    ds = mm.io.from_arrays(**fields, spacing=dict.fromkeys("xyz", 1.0), units={"length": "pc"})
    pairs = (
        (mm.fourier.band(k_par=(0, 2), k_perp=(0.5, 3)), mm.fourier.band(k_par=(0, 2) / u.pc, k_perp=(500, 3000) / u.kpc)),
        (mm.fourier.low_pass(2.0), mm.fourier.low_pass(2 * u.rad / u.pc)),
        (mm.fourier.high_pass(2.0, edge="cosine", width=0.5), mm.fourier.high_pass(2 / u.pc, edge="cosine", width=0.5 / u.pc)),
        (~mm.fourier.gaussian(1.5), ~mm.fourier.gaussian(1.5 * u.pc)),
        (mm.fourier.low_pass(2.0) * mm.fourier.high_pass(1.0), mm.fourier.low_pass(2 / u.pc) * mm.fourier.high_pass(1 / u.pc)),
    )  # fmt: skip
    for plain_one, quantity in pairs:
        a, b = mm.fourier.filter(ds, plain_one), mm.fourier.filter(ds, quantity)
        np.testing.assert_allclose(a.Bx, b.Bx, atol=1e-9)
    with pytest.raises(mm.ArgumentError, match="plain numbers"):
        mm.fourier.band(k_par=(0.5, 2), k_perp=(1, 2) / u.pc)
    with pytest.raises(mm.ArgumentError, match="plain numbers"):
        mm.fourier.low_pass(2.0) * mm.fourier.low_pass(2 / u.pc)
    with pytest.raises(mm.SnapshotError, match="length_unit"):
        mm.fourier.filter(box(), mm.fourier.low_pass(2 / u.pc))


@pytest.mark.parametrize(("call", "match"), [
    (lambda ds: mm.particles.isotropic(3, seed=1, field=ds), "one of gyroradius"),
    (lambda ds: mm.particles.isotropic(3, gyroradius=1.0, energy=1 * u.TeV, seed=1, field=ds), "one of gyroradius"),
    (lambda ds: mm.particles.isotropic(3, energy=1.0, seed=1, field=ds), "give Quantities"),
    (lambda ds: mm.particles.isotropic(3, energy=-1 * u.eV, seed=1, field=ds), "positive numbers"),
    (lambda ds: mm.particles.isotropic(3, energy=1 * u.TeV, species="muon", seed=1, field=ds), "'proton', 'electron'"),
    (lambda ds: mm.particles.isotropic(3, energy=1 * u.TeV, beta_gamma=2.0, seed=1, field=ds), "leave them out"),
    (lambda ds: mm.particles.isotropic(3, gyroradius=1.0, species="proton", seed=1, field=ds), "goes with energy"),
    (lambda ds: mm.particles.isotropic(3, energy=1 * u.TeV, seed=1, field=box()), "length_unit and field_unit"),
    (lambda ds: mm.particles.isotropic(3, energy=1 * u.TeV, seed=1, field=ds, length_unit="1 pc"), "leave it out|units of"),
    (lambda ds: mm.particles.isotropic(3, energy=1 * u.TeV, seed=1, field=ds, reference_field=1 * u.m), "Quantity in m"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, match):
    stated = box()
    for d in "xyz":
        stated[d].attrs["units"] = "mpc"
        stated[f"B{d}"].attrs["units"] = "uG"
    with pytest.raises(mm.MmfieldsError, match=match):
        call(stated)


def test_units_as_texts_keep_their_digits():
    for value in ("72008.46722496499 m", "3 uG", "kpc", "1e-08 T"):
        unit = 1.0 * u.Unit(value)
        assert u.Unit(text_of(unit)) == u.Unit(value)
    assert species_of("electron")[1] == -1
    assert plain(5.0, "x", box(), "length_unit") == 5.0


def test_figures_have_energies_and_cm2_per_s(tmp_path):
    from matplotlib import pyplot as plt

    ds = box(**WEAK)
    k = coefficients(ds, energy=[1, 3] * u.TeV).compute()
    fig, ax = plt.subplots()
    mm.plot.diffusion(k, ax, theory=mm.theory.ICM)
    assert ax.get_xlabel() == "kinetic energy [TeV]" and "cm" in ax.get_ylabel()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("Eq. 5" in label for label in labels) and any("Eq. 6" in label for label in labels)
    line = next(line for line in ax.lines if "Eq. 5" in str(line.get_label()))
    want = mm.theory.kappa_micromirror(line.get_xdata() * u.TeV).to_value("cm2 / s")
    np.testing.assert_allclose(line.get_ydata(), want, rtol=5e-3)  # p c = T + m c² to that
    mm.plot.diffusion(k, ax, theory={"mine": lambda E: 1e30 * (E / u.TeV).to_value("") * u.cm**2 / u.s})
    with pytest.raises(mm.SnapshotError, match="energy="):
        mm.plot.diffusion(coefficients(ds, gyroradius=[1e3, 2e3]).compute(), ax, theory=mm.theory.ICM)
    plt.close(fig)


def test_command_line_takes_energies(tmp_path):
    mm.store(box(), tmp_path / "box.zarr", progress=False)
    words = ["trace", str(tmp_path / "box.zarr"), str(tmp_path / "out.zarr"), "--energy", "1 TeV", "--particles", "4"]
    units = ["--length-unit", "2 mpc", "--field-unit", "1 uG"]
    done = CliRunner().invoke(main, [*words, *units, "--distance", "40 mpc"])
    assert done.exit_code == 0, done.output
    tr = xr.open_zarr(tmp_path / "out.zarr")
    assert float(tr.path[-1]) == pytest.approx(20.0) and float(tr.energy[0]) == 1.0 and tr.attrs["species"] == "proton"
    for extra, said in (([], "length_unit"), ([*units, "--gyroradius", "1"], "one of --gyroradius")):
        done = CliRunner().invoke(main, [*words, *extra, "--distance", "20", "--overwrite"])
        assert done.exit_code == 2 and said in done.output


def test_a_unit_that_is_stated_is_converted_and_nothing_else():
    k = mm.transport.physical(coefficients(box(**WEAK), energy=[10, 20] * u.keV)).compute()
    for unit in ("m2 / s", "cm2/s", "pc2 / yr"):
        said = k.assign(
            {n: (k[n] * u.Unit("cm2 / s").to(unit)).assign_attrs(units=unit) for n in ("kappa", "kappa_par")}
        )
        np.testing.assert_allclose(mm.transport.physical(said).kappa_par, k.kappa_par)
    with pytest.raises(mm.SnapshotError, match="already"):
        mm.transport.physical(said, length_unit="1 kpc")


def test_particles_of_another_system_of_units_are_refused():
    one, other = box(length_unit="1 pc", field_unit="1 uG"), box(length_unit="1 kpc", field_unit="1 uG")
    p = mm.particles.isotropic(4, energy=1 * u.PeV, seed=1, field=one)
    with pytest.raises(mm.SnapshotError, match="length_unit"):
        mm.trace(other, p, step=0.1, distance=10.0)


@pytest.mark.parametrize("energy", [1 * u.GeV, [1, 2] * u.GeV])
def test_energies_beside_an_electric_field(energy):
    """The kinetic energy of each point stays a variable, and the label is that at the start."""
    ds = box(**WEAK)
    ds = ds.assign({f"E{d}": ds.Bx * 0 for d in "xyz"})
    p = mm.particles.isotropic(4, energy=energy, seed=1, field=ds)
    tr = mm.trace(ds, p, step=0.5, distance=20.0, save=4, pusher="boris", light_speed=1.0).compute()
    assert {"particle", "path"} <= set(tr.energy.dims)
    np.testing.assert_allclose(tr.start_energy, energy.value)


def test_several_gyroradii_with_one_energy_are_refused():
    each = [coefficients(box(**WEAK), energy=e).compute() for e in (10 * u.keV, 1 * u.GeV)]
    joined = xr.concat(each, "gyroradius", coords="minimal", compat="override")
    with pytest.raises(mm.SnapshotError, match="coords='different'"):
        mm.transport.physical(joined)
    right = xr.concat(each, "gyroradius", coords="different", compat="equals")
    np.testing.assert_allclose(
        mm.transport.physical(right).kappa, [float(mm.transport.physical(k).kappa) for k in each]
    )


def test_lines_of_theory_know_the_charge():
    from matplotlib import pyplot as plt

    found = []
    for species in ("proton", (2, 1.67262192595e-27 * u.kg)):
        k = coefficients(box(**WEAK), energy=[1, 3] * u.TeV, species=species).compute()
        fig, ax = plt.subplots()
        mm.plot.diffusion(k, ax, theory=mm.theory.ICM)
        found.append(next(line for line in ax.lines if "Eq. 5" in str(line.get_label())).get_ydata()[0])
        plt.close(fig)
    assert found[0] / found[1] == pytest.approx(4)


def test_units_that_astropy_does_not_know_hinder_nothing_that_needs_none():
    ds = box()
    for d in "xyz":
        ds[d].attrs["units"] = "d_i"
    k = coefficients(ds, gyroradius=1e3)
    assert k.kappa.attrs["units"] == "1" and "d_i" in k.kappa.attrs["normalization"]
