"""Results say what they are: identities that change with what changes a result and with nothing else, and the story."""

import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from click.testing import CliRunner

import mmfields as mm
from mmfields.cli import main
from mmfields.identity import identity

CHUNKS = {"z": 4, "y": 5, "x": 12}
OTHER_CHUNKS = {"z": 8, "y": 10, "x": 6}


def snapshot(seed=0, chunks=CHUNKS, **more):
    """A box with units, an oblique mean field, density, pressures, and an electric field."""
    rng = np.random.default_rng(seed)
    shape = (8, 10, 12)
    fields = {f"B{c}": rng.normal(size=shape) + m for c, m in zip("xyz", (3, -2, 0.5), strict=True)}
    fields |= {f"E{c}": 0.1 * rng.normal(size=shape) for c in "xyz"}
    fields |= {n: rng.uniform(1, 2, shape) for n in ("n", "p_par", "p_perp", "mask")}
    units = {**dict.fromkeys(("Bx", "By", "Bz", "Ex", "Ey", "Ez"), "uG"), "length": "pc", "n": "cm-3"}
    units |= {"p_par": "Pa", "p_perp": "Pa"}
    spacing = {"x": 1.0, "y": 1.0, "z": 1.0}
    ds = mm.io.from_arrays(**fields, spacing=spacing, dims=("z", "y", "x"), units=units, **more)
    return ds.chunk(chunks) if chunks else ds


def particles(ds, **changed):
    return mm.particles.isotropic(8, **{"gyroradius": 10.0, "seed": 1, "field": ds, **changed})


def orbits(ds, *, ensemble=None, **changed):
    ensemble = {} if ensemble is None else ensemble
    options = {"step": 0.5, "distance": 20.0, "save": 10, "local_field": True, **changed}
    return mm.trace(ds, particles(ds, **ensemble), **options)


BAND = {"k_par": (0.0, 1.0), "k_perp": (0.0, 2.0)}
SLAB = mm.scattering.small_angle(nu=0.1)
BELOW = mm.fourier.low_pass(1.0)
# A call that takes a snapshot and one changed argument.
CALLS = {
    "filter": (lambda ds, band=BAND, **k: mm.fourier.filter(ds, mm.fourier.band(**band), **k), [
        {"direction": "z"}, {"direction": (1, 2, 3)}, {"band": {**BAND, "keep_mean": True}},
        {"band": {**BAND, "edge": "cosine", "width": 0.1}}, {"band": {"k_par": (0.0, 0.9)}},
    ]),
    "low_pass": (lambda ds, g=BELOW: mm.fourier.filter(ds, g), [
        {"g": ~mm.fourier.low_pass(1.0)}, {"g": mm.fourier.gaussian(1.0)}, {"g": mm.fourier.high_pass(1.0)},
        {"g": mm.fourier.Transfer(lambda par, perp: perp < 1, "mine")},
        {"g": mm.fourier.Transfer(lambda par, perp: perp < 2, "mine")},
    ]),
    "project": (mm.fourier.project, [{"difference": "central"}, {"vector": "E"}]),
    "curl": (mm.fourier.curl, [{"vector": "E"}]),
    "divergence": (mm.fourier.divergence, [{"vector": "E"}, {"difference": "central"}]),
    "vector_potential": (mm.fourier.vector_potential, [{"vector": "E"}]),
    "taper": (lambda ds, **k: mm.fourier.taper(ds.assign_attrs(boundary_x="open"), **k), [{"window": "tukey"}]),
    "power": (mm.spectra.power, [{"variables": ["Bx"]}, {"variables": ["Ex", "Ey", "Ez"]}]),
    "power2d": (mm.spectra.power2d, [{"direction": "z"}, {"variables": ["By"]}]),
    "reduced": (lambda ds, axis="x": mm.spectra.reduced_spectrum(ds, axis=axis), [{"axis": "y"}]),
    "cross": (lambda ds, second="By": mm.spectra.cross(ds, "Bx", second), [{"second": "Bz"}]),
    "scales": (mm.anisotropy.scales, [{"direction": "z"}]),
    "structure_function": (lambda ds, **k: mm.anisotropy.structure_function(ds, **{"pairs": 2000, "seed": 1, **k}), [
        {"seed": 2}, {"order": 3}, {"points": 5}, {"frame": "global"}, {"pairs": 4000},
    ]),
    "patches": (lambda ds, **k: mm.anisotropy.patches(ds, "field", **(k or {"filling_fraction": 0.1})), [
        {"filling_fraction": 0.2}, {"threshold": 4.0},
    ]),
    "curvature": (mm.anisotropy.curvature, []),
    "bends": (mm.anisotropy.bends, [{"gyroradius": 1.0}, {"bins": 9}, {"curvature_range": (0.1, 1.0)}]),
    "longitudinal": (lambda ds, vector="B", **k: mm.anisotropy.longitudinal(ds, vector, **k), [
        {"vector": "E"}, {"carrier": "E"}, {"lags": 3},
    ]),
    "helicity": (mm.spectra.helicity, [{"vector": "E"}]),
    "field_lines": (lambda ds, seeds=5, **k: mm.field_lines(ds, seeds, **{"length": 5.0, "step": 0.5, **k}), [
        {"seeds": 6}, {"length": 6.0}, {"step": 0.4}, {"save": 7}, {"interpolation": "cubic"}, {"variables": ["n"]},
    ]),
    "wells": (lambda ds, **k: mm.lines.wells(mm.field_lines(ds, 5, length=5.0, step=0.5), **k), [{"least": 2.0}]),
    "rotation_measure": (mm.faraday.rotation_measure, [
        {"los": "x"}, {"los": (1, 2, 5)}, {"density": 1 / u.cm**3}, {"density": 2 / u.cm**3}, {"redshift": 0.5},
    ]),
    "polarization": (lambda ds, **k: mm.faraday.polarization(ds, "z", **{"wavelength_sq": [0.01, 0.02], **k}), [
        {"wavelength_sq": [0.01, 0.03]}, {"emission": "internal"}, {"beam": 2.0}, {"noise": 0.1, "seed": 1},
    ]),
    "isotropic": (lambda ds, **k: particles(ds, **k), [
        {"seed": 2}, {"gyroradius": 11.0}, {"reference_field": "mean"}, {"charge_sign": -1}, {"beta_gamma": 2.0},
        {"positions": "lattice"},
    ]),
    "beam": (lambda ds, angle=0.3, **k: mm.particles.beam(
        8, pitch_angle=angle, gyroradius=10.0, seed=1, field=ds, **k), [{"angle": 0.4}, {"direction": "z"}]),
    "trace": (orbits, [
        {"step": 0.4}, {"distance": 21.0}, {"save": 5}, {"save": [1.0, 20.0]}, {"interpolation": "cubic"},
        {"scattering": SLAB}, {"scattering": mm.scattering.small_angle(nu=0.2)},
        {"scattering": mm.scattering.patchy(SLAB, mask="mask")},
        {"scattering": mm.scattering.patchy(SLAB, threshold=3.0)},
        {"pusher": "boris", "light_speed": 1.0}, {"pusher": "vay", "light_speed": 1.0},
        {"pusher": "boris", "light_speed": 2.0}, {"ensemble": {"seed": 2}}, {"ensemble": {"charge_sign": -1}},
        {"step_unit": "gyroradius", "step": 0.05}, {"local_field": False},
    ]),
    "running_diffusion": (lambda ds, **k: mm.transport.running_diffusion(orbits(ds), **k), [
        {"direction": "z"}, {"frame": "local"},
    ]),
    "diffusion": (lambda ds, **k: mm.transport.diffusion(orbits(ds), **k), [{"window": 0.4}, {"direction": "z"}]),
    "bootstrap": (lambda ds, seed=1, **k: mm.transport.bootstrap(orbits(ds), seed=seed, **k), [
        {"seed": 2}, {"samples": 100},
    ]),
    "green_kubo": (lambda ds, **k: mm.transport.green_kubo(orbits(ds), **k), [{"direction": "z"}]),
    "pitch_angle": (lambda ds, **k: mm.transport.pitch_angle_diffusion(orbits(ds), **k), [{"bins": 10}, {"lag": 2}]),
    "by the user": (lambda ds, factor=2, **k: ds[["Bx", "By", "Bz"]] * factor, [{"factor": 3}]),
    "selected": (lambda ds, x=slice(0, 6): ds.isel(x=x), [{"x": slice(1, 7)}, {"x": slice(0, 12, 2)}]),
    "boundaries": (lambda ds, **k: ds.assign_attrs(**k), [{"boundary_x": "open"}, {"field_unit": "1 nT"}]),
}  # fmt: skip
PAIRS = [(name, i) for name, (_, changes) in CALLS.items() for i in range(len(changes))]


@pytest.mark.parametrize(("name", "which"), PAIRS, ids=[f"{n}-{i}" for n, i in PAIRS])
def test_one_changed_argument_is_another_identity(name, which):
    call, changes = CALLS[name]
    ds = snapshot()
    found = identity(call(ds)), identity(call(ds, **changes[which]))
    assert "?" not in "".join(found)
    assert found[0] != found[1]


@pytest.mark.parametrize("name", CALLS)
def test_another_input_of_the_same_shape_is_another_identity(name):
    call, _ = CALLS[name]
    assert identity(call(snapshot())) != identity(call(snapshot(seed=1)))
    assert identity(call(snapshot())) == identity(call(snapshot()))


MADE = [name for name in CALLS if name not in ("selected", "boundaries")]


@pytest.mark.parametrize("name", MADE)
def test_chunks_are_no_part_of_the_identity(name):
    call, _ = CALLS[name]
    assert identity(call(snapshot())) == identity(call(snapshot(chunks=OTHER_CHUNKS)))


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("by the user", "selected", "boundaries")])
def test_every_result_carries_version_source_and_history(name):
    result = CALLS[name][0](snapshot())
    assert result.attrs["mmfields_version"] == mm.__version__
    assert result.attrs["source"] == "arrays in memory"
    history = result.attrs["history"].split("\n")
    assert history[0].startswith("mm.io.from_arrays(") and "Bx=<float64 array (8, 10, 12)>" in history[0]
    assert len(history) >= 2 and history[-1].startswith("mm.") and history[-1].endswith(")")
    flat = result.to_dataset(name="result") if isinstance(result, xr.DataArray) else result
    assert all(isinstance(flat.attrs.get(k, "") or flat["result"].attrs[k], str) for k in ("source", "history"))


PROBE = """
import sys
sys.path.insert(0, {tests!r})
import test_provenance as t
from mmfields.identity import identity
ds = t.snapshot()
print(*(identity(t.CALLS[name][0](ds)) for name in t.CALLS))
"""


def test_identities_are_the_same_in_every_process(tmp_path, start_cluster):
    """Whatever the hash seed, and with a cluster in force."""
    code = textwrap.dedent(PROBE.format(tests=str(Path(__file__).parent)))
    caught = {"capture_output": True, "text": True, "check": True}
    with start_cluster() as address:
        connected = f"from distributed import Client\nclient = Client({address!r})\n{code}"
        found = [
            subprocess.run([sys.executable, "-c", each], env={**os.environ, "PYTHONHASHSEED": seed}, **caught)
            for each, seed in ((code, "1"), (code, "2"), (connected, "3"))
        ]
    found = [done.stdout.split() for done in found]
    assert len(found[0]) == len(CALLS)
    assert found[0] == found[1] == found[2]


# --- stores -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    """Two snapshots of the same structure in stores."""
    for name, seed in (("full", 0), ("residual", 1)):
        mm.store(snapshot(seed), tmp_path / f"{name}.zarr", progress=False)
    return tmp_path


def run(folder, *words):
    done = CliRunner().invoke(main, [str(w) for w in words])
    return done.exit_code, done.output


VERBS = {
    "convert": (["convert", "full.zarr", "out"], ["convert", "residual.zarr", "out"], "source"),
    "filter": (["filter", "full.zarr", "out", "--k-par", "0", "1"],
               ["filter", "full.zarr", "out", "--k-par", "0", "1", "--residual"], "argument of mm.fourier.filter"),
    "filter direction": (["filter", "full.zarr", "out", "--k-par", "0", "1"],
                         ["filter", "full.zarr", "out", "--k-par", "0", "1", "--direction", "x"], "--direction x"),
    "spectra": (["spectra", "full.zarr", "out"], ["spectra", "residual.zarr", "out"], "full.zarr"),
    "faraday": (["faraday", "full.zarr", "out"], ["faraday", "full.zarr", "out", "--density", "1e-3 cm-3"], "density"),
    "faraday field": (["faraday", "code.zarr", "out", "--field-unit", "1 uG", "--length-unit", "1 pc"],
                      ["faraday", "code.zarr", "out", "--field-unit", "3 uG", "--length-unit", "1 pc"], "3 uG"),
    "trace": (["trace", "full.zarr", "out", "--gyroradius", "10", "--particles", "4", "--distance", "20"],
              ["trace", "residual.zarr", "out", "--gyroradius", "10", "--particles", "4", "--distance", "20"],
              "residual.zarr"),
    "trace seed": (["trace", "full.zarr", "out", "--gyroradius", "10", "--particles", "4", "--distance", "20"],
                   ["trace", "full.zarr", "out", "--gyroradius", "10", "--particles", "4", "--distance", "20",
                    "--seed", "2"], "--seed 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", VERBS)
def test_command_line_refuses_a_store_that_holds_something_else(stored, name, monkeypatch):
    monkeypatch.chdir(stored)
    code = snapshot()
    for variable in (*code.data_vars, *"xyz"):
        code[variable].attrs["units"] = "1"
    code["n"].attrs["units"] = "cm-3"
    mm.store(code, "code.zarr", progress=False)
    first, second, said = VERBS[name]
    assert run(stored, *first)[0] == 0
    assert run(stored, *first)[0] == 0, "the same again is no other"
    status, output = run(stored, *second)
    assert status == 2 and "already holds other data" in output and said in output and "--overwrite" in output
    assert run(stored, *second, "--overwrite")[0] == 0


def test_a_changed_file_of_the_same_shape_is_another_input(stored):
    path = stored / "full.zarr"
    before = mm.spectra.power(mm.open_snapshot(path)).to_dataset()
    mm.store(before, stored / "power.zarr", progress=False)
    mm.store(mm.spectra.power(mm.open_snapshot(path)).to_dataset(), stored / "power.zarr", progress=False)
    mm.store(snapshot(7), path, overwrite=True, progress=False)
    with pytest.raises(mm.SnapshotError, match="already holds other data"):
        mm.store(mm.spectra.power(mm.open_snapshot(path)).to_dataset(), stored / "power.zarr", progress=False)


def test_one_changed_chunk_of_a_zarr_input_is_another_input(stored):
    import zarr

    path = stored / "full.zarr"
    for work in (lambda ds: ds * 2, lambda ds: ds.isel(x=slice(4)), mm.spectra.power):
        before = identity(work(xr.open_zarr(path)))
        assert identity(work(xr.open_zarr(path))) == before
        zarr.open_array(path / "By", mode="r+")[0, 0, 0] += 1
        assert identity(work(xr.open_zarr(path))) != before


def test_a_run_that_was_corrected_does_not_resume_into_a_mixture(tmp_path):
    """Killed, changed, and run again: what is there stays, whole, and belongs to the first."""
    path = tmp_path / "out.zarr"
    mm.store(mm.fourier.filter(snapshot(), mm.fourier.low_pass(1.0)), path, progress=False)
    (path / ".mmfields-incomplete").write_text("")
    (path / "Bz/c/1/0/0").unlink()
    with pytest.raises(mm.SnapshotError, match=r"argument of mm.fourier.filter"):
        mm.store(mm.fourier.filter(snapshot(), mm.fourier.low_pass(2.0)), path, progress=False)
    want = mm.fourier.filter(snapshot(), mm.fourier.low_pass(1.0)).compute()
    other_chunks = mm.fourier.filter(snapshot(chunks=OTHER_CHUNKS), mm.fourier.low_pass(1.0))
    done = mm.store(other_chunks, path, progress=False).compute()
    np.testing.assert_allclose(done["Bz"], want["Bz"], rtol=1e-12)


def test_what_cannot_be_identified_says_so(tmp_path):
    ds = snapshot()
    ds["Bx"] = ds["Bx"] + xr.DataArray(da.random.random((8, 10, 12), chunks=(4, 5, 12)), dims=("z", "y", "x"))
    mm.store(ds, tmp_path / "a.zarr", progress=False)
    again = snapshot()
    again["Bx"] = again["Bx"] + xr.DataArray(da.random.random((8, 10, 12), chunks=(4, 5, 12)), dims=("z", "y", "x"))
    with pytest.raises(mm.SnapshotError, match=r"data of Bx.*overwrite=True"):
        mm.store(again, tmp_path / "a.zarr", progress=False)
    mm.store(again, tmp_path / "a.zarr", progress=False, resume="structure")

    class Odd:
        def __call__(self, k_par, k_perp):
            return k_perp < 1

    filtered = mm.fourier.filter(snapshot(), mm.fourier.Transfer(Odd(), "odd"))
    mm.store(filtered, tmp_path / "b.zarr", progress=False)
    with pytest.raises(mm.SnapshotError, match=r"cannot be established.*resume='structure'"):
        mm.store(filtered, tmp_path / "b.zarr", progress=False)
    mm.store(filtered, tmp_path / "b.zarr", progress=False, resume="structure")


def test_stores_of_others_say_that_they_do_not_say(tmp_path):
    ds = snapshot(chunks=None)
    ds.to_zarr(tmp_path / "a.zarr", consolidated=False)
    with pytest.raises(mm.SnapshotError, match=r"does not say what it holds.*overwrite=True"):
        mm.store(ds, tmp_path / "a.zarr", progress=False)
    mm.store(ds, tmp_path / "a.zarr", overwrite=True, progress=False)
    mm.store(ds, tmp_path / "a.zarr", progress=False)


def test_another_version_does_not_finish_what_it_did_not_begin(tmp_path):
    path = tmp_path / "a.zarr"
    mm.store(snapshot(), path, progress=False)
    record = json.loads((path / ".mmfields.json").read_text())
    (path / ".mmfields.json").write_text(json.dumps({**record, "mmfields_version": "0.0.1"}))
    mm.store(snapshot(), path, progress=False)  # it is finished
    (path / ".mmfields-incomplete").write_text("")
    with pytest.raises(mm.SnapshotError, match=r"begun by mmfields 0\.0\.1"):
        mm.store(snapshot(), path, progress=False)


def slow(block):
    time.sleep(0.3)
    return block


def write(path, value, queue):
    try:
        ds = xr.Dataset({"a": ("x", da.full(12, value, chunks=2).map_blocks(slow, dtype=float))})
        mm.store(ds, path, progress=False)
        queue.put("done")
    except mm.SnapshotError as error:
        queue.put(str(error))


@pytest.mark.parametrize("values", [(1.0, 1.0), (1.0, 2.0)])
def test_of_two_writers_one_is_refused(tmp_path, values):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    writers = [context.Process(target=write, args=(str(tmp_path / "a.zarr"), value, queue)) for value in values]
    for writer in writers:
        writer.start()
    said = sorted(queue.get(timeout=120) for _ in writers)
    for writer in writers:
        writer.join()
    assert said[1] == "done" or all(s == "done" for s in said), said  # equal data may come after each other
    if said[0] != "done":
        assert "is being written by another call" in said[0] or "already holds other data" in said[0]
    found = mm.store(xr.open_zarr(tmp_path / "a.zarr"), tmp_path / "b.zarr", progress=False).a.values
    assert len(set(found.tolist())) == 1 and found[0] in values
    assert not list(tmp_path.glob(".*.lock"))


def test_provenance_survives_files(tmp_path):
    ds = mm.fourier.filter(snapshot(), mm.fourier.low_pass(1.0))
    mm.store(ds, tmp_path / "a.zarr", progress=False)
    ds.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for path in (tmp_path / "a.zarr", tmp_path / "a.nc"):
        back = mm.open_snapshot(path)
        assert back.attrs == ds.attrs
        derived = mm.fourier.curl(back)
        assert derived.attrs["source"] == str(path), "the file that was read"
        assert derived.attrs["history"] == f"{ds.attrs['history']}\nmm.fourier.curl(ds)"


def test_samples_series_and_files_name_their_source(tmp_path):
    assert mm.samples.load("micromirrors").attrs["source"] == "the sample micromirrors"
    for i in range(2):
        snapshot(i).assign_attrs(time=float(i)).drop_attrs(deep=False).assign_attrs(
            time=float(i), **{f"boundary_{d}": "periodic" for d in "xyz"}
        ).to_netcdf(tmp_path / f"{i}.nc", engine="h5netcdf")
    series = mm.open_series(str(tmp_path / "*.nc"))
    assert series.attrs["source"].split("\n") == [str(tmp_path / f"{i}.nc") for i in range(2)]
    assert series.attrs["history"].startswith("mm.open_series(")


def test_versions_are_shown(capsys):
    mm.show_versions()
    said = capsys.readouterr().out
    assert f"mmfields {mm.__version__}\nPython " in said and "\nxarray " in said and "\nzarr " in said


# --- what one would not think of -------------------------------------------------------------------------------------


def lazy(dtype=float, chunk=4):
    return xr.Dataset({"a": ("x", np.arange(8).astype(dtype))}).chunk(x=chunk)


OFFSET = 3.0


def helper(values):
    return values + OFFSET


def tripled(block):
    return block * 3


def doubled(block):
    return block * 2


def recursive(n):
    def inner(k):
        return inner(k - 1) if k else n

    return inner


OTHERS = {
    "a function of xr.map_blocks": (lambda: xr.map_blocks(lambda d: d * 2, lazy(), template=lazy()),
                                    lambda: xr.map_blocks(lambda d: d * 30, lazy(), template=lazy())),
    "a function of map_blocks": (lambda: lazy().map(lambda a: a.copy(data=a.data.map_blocks(doubled))),
                                 lambda: lazy().map(lambda a: a.copy(data=a.data.map_blocks(tripled)))),
    "the type of a number": (lambda: lazy(np.int8) * 2, lambda: lazy(np.int8) * 2.0),
    "the sign of zero": (lambda: lazy() / 0.0, lambda: lazy() / -0.0),
    "a function called rechunk": (
        lambda: lazy().map(lambda a: a.copy(data=a.data.map_blocks(doubled, name="rechunk-a"))), lazy),
    "chunks that matter": (lambda: lazy().map(lambda a: a.copy(data=a.data.map_blocks(np.flip))),
                           lambda: lazy(chunk=2).map(lambda a: a.copy(data=a.data.map_blocks(np.flip)))),
    "a coordinate": (lambda: lazy(), lambda: lazy().set_coords("a")),
    "the dtype": (lambda: lazy(np.float32), lambda: lazy()),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_data_by_the_user_are_another_identity(name):
    one, other = OTHERS[name]
    assert identity(one()) != identity(other())
    if name != "a function called rechunk":
        assert identity(one()) == identity(one())


def test_functions_are_what_they_read_and_call(monkeypatch):
    import test_provenance as here

    before = identity(lambda x: helper(x))
    assert before == identity(lambda x: helper(x)) and "?" not in before
    monkeypatch.setattr(here, "OFFSET", 4.0)
    assert identity(lambda x: helper(x)) != before
    assert identity(recursive(1)) != identity(recursive(2))
    assert identity(np.exp) == identity(np.exp) != identity(np.log)
    assert identity(np.frompyfunc(lambda a: a, 1, 1)).startswith("?")
    looped: list = []
    looped.append(looped)
    assert identity(looped) == identity(looped)
    assert identity(xr.DataArray(np.arange(4).view("V8")[:2])) is not None


def test_functions_of_numpy_are_the_same_in_every_process():
    code = (
        "import numpy as np, xarray as xr; from mmfields.identity import identity; "
        "d = xr.Dataset({'a': ('x', np.arange(8.0))}).chunk(x=4); "
        "print(identity(d.clip(0, 1)), identity(d.map(np.real)))"
    )
    caught = {"capture_output": True, "text": True, "check": True}
    found = {subprocess.run([sys.executable, "-c", code], **caught).stdout for _ in "ab"}
    assert len(found) == 1 and "?" not in found.pop()


def test_graphs_of_many_layers():
    a = lazy()
    total = sum((a * n for n in range(1, 700)), a)
    assert "?" not in identity(total)
    assert mm.mean_field is not None and identity(total) != identity(total * 1)


def test_data_are_not_overwritten_by_what_is_read_from_them(tmp_path):
    path = tmp_path / "a.zarr"
    mm.store(snapshot(), path, progress=False)
    with pytest.raises(mm.SnapshotError, match="what the data are read from"):
        mm.store(mm.open_snapshot(path) * 2, path, overwrite=True, progress=False)
    with pytest.raises(mm.SnapshotError, match="what the data are read from"):
        mm.store(mm.fourier.curl(mm.open_snapshot(path)), path, overwrite=True, progress=False)
    np.testing.assert_array_equal(mm.open_snapshot(path).Bx, snapshot().Bx)


def test_a_file_that_changes_while_it_is_open_is_told(tmp_path):
    import zarr

    mm.store(snapshot(), tmp_path / "a.zarr", progress=False)
    ds = mm.open_snapshot(tmp_path / "a.zarr")
    mm.store(mm.spectra.power(ds).to_dataset(), tmp_path / "p.zarr", progress=False)
    zarr.open_array(tmp_path / "a.zarr/Bx", mode="r+")[0, 0, 0] = 100.0
    for opened in (ds, mm.open_snapshot(tmp_path / "a.zarr")):
        with pytest.raises(mm.SnapshotError, match="already holds other data"):
            mm.store(mm.spectra.power(opened).to_dataset(), tmp_path / "p.zarr", progress=False)


def test_arrays_of_many_blocks_forget_no_change_of_their_file(tmp_path, monkeypatch):
    import zarr

    monkeypatch.setattr("mmfields.provenance.MOST_RENAMED", 2)
    mm.store(snapshot()[["Bx", "By", "Bz"]], tmp_path / "b.zarr", progress=False)

    def found():
        return identity(mm.fourier.project(mm.open_snapshot(tmp_path / "b.zarr")))

    before = found()
    assert found() == before and "?" not in before
    zarr.open_array(tmp_path / "b.zarr/Bx", mode="r+")[...] = 2.0
    assert found() != before


def test_file_systems_without_locks(tmp_path, monkeypatch):
    import errno
    import fcntl

    def none(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.warns(mm.MmfieldsWarning, match="has no locks"):
        mm.store(snapshot(), tmp_path / "a.zarr", progress=False)
    assert not list(tmp_path.glob(".*.lock"))


def test_links_to_stores(tmp_path):
    mm.store(snapshot(), tmp_path / "a.zarr", progress=False)
    (tmp_path / "link.zarr").symlink_to(tmp_path / "a.zarr")
    mm.store(snapshot(1), tmp_path / "link.zarr", overwrite=True, progress=False)
    assert not list(tmp_path.glob(".*removed"))
    np.testing.assert_array_equal(mm.open_snapshot(tmp_path / "link.zarr").Bx, snapshot(1).Bx)
