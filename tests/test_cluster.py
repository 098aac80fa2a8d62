"""A real cluster: scheduler and two workers, each a process started by its own command."""

import asyncio
import gc
import os
import subprocess
import time

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client

import mmfields as mm
from mmfields.cluster import progress
from mmfields.reporting import Options


@pytest.fixture(scope="module")
def address(start_cluster):
    with start_cluster("--no-nanny") as address:
        yield address


def test_a_cluster_gives_the_same_bits(address, tmp_path):
    ds = mm.samples.load("micromirrors").isel(time=1)
    p = mm.particles.isotropic(40, gyroradius=[10.0, 20.0], seed=1, field=ds, reference_field=1.0)
    band = mm.fourier.band(k_par=(0, 0.3), k_perp=(0.1, 0.5))
    changing = (
        xr.concat([ds, ds.roll(x=3), ds.roll(y=2)], "time").assign_coords(time=[0.0, 100.0, 300.0]).chunk(time=1, z=20)
    )

    strength = 0.5

    def sheared(x, y, z):
        return strength * np.sin(0.1 * z), strength, 1.0

    own = mm.fields.analytic(sheared, strength=1.0, smallest=10.0)
    below = mm.turbulence.plane_waves(16, k_min=0.5, k_max=5.0, rms=0.1, seed=1)

    def everything():
        return [
            mm.trace(own, p, step=1.0, distance=300.0, save=3, particles_per_task=16),
            mm.trace(mm.fields.sum(ds, below), p, step=0.1, distance=30.0, save=3, particles_per_task=16),
            mm.fourier.filter(ds, band),
            mm.spectra.power2d(ds).to_dataset(),
            mm.anisotropy.scales(ds),
            mm.anisotropy.structure_function(ds.chunk(z=20), pairs=20_000),
            mm.anisotropy.patches(ds[["Bx", "By", "Bz"]].chunk(z=20, x=30), "field", filling_fraction=0.2),
            mm.faraday.rotation_measure(ds).to_dataset(),
            mm.trace(ds, p, step=1.0, distance=300.0, save=3, particles_per_task=16),
            mm.trace(changing, p, step=1.0, distance=300.0, save=4, evolve=True, light_speed=1.0),
        ]

    local = [part.compute(scheduler="threads") for part in everything()]
    with Client(address):
        remote = [part.compute() for part in everything()]
        stored = mm.store(everything()[-1], tmp_path / "trace.zarr", progress=False)
        for a, b in zip(local, remote, strict=True):
            for name in a.data_vars:
                np.testing.assert_array_equal(a[name].values, b[name].values)
    xr.testing.assert_equal(stored.compute(scheduler="threads"), local[-1])


@pytest.mark.parametrize("peers", [False, True])
def test_slabs_and_pencils_on_a_cluster_give_the_same_bits(address, monkeypatch, peers):
    """Chunk by chunk, in tasks or, as a field too large for the workers' memory, peer to peer."""
    if peers:
        monkeypatch.setattr(mm.fourier.pencils, "HELD", 1e-6)
    monkeypatch.setattr(mm.fourier.pencils, "BLOCK_BYTES", 1 << (15 if peers else 17))
    ds = mm.samples.load("micromirrors").isel(time=1)[["Bx", "By", "Bz"]]
    band = mm.fourier.band(k_par=(0, 0.3), k_perp=(0.1, 0.5))

    def everything():
        lazy = ds.chunk(z=16, y=20)
        return [
            mm.fourier.filter(lazy, band),
            mm.fourier.project(lazy),
            mm.spectra.power2d(lazy).to_dataset(),
            mm.spectra.power(lazy).to_dataset(),
        ]

    with dask.config.set({"array.rechunk.method": "tasks"}):  # without a cluster there are no peers
        local = [part.compute(scheduler="threads") for part in everything()]
    eager = [mm.fourier.filter(ds, band), mm.fourier.project(ds), mm.spectra.power2d(ds).to_dataset()]
    with Client(address):
        parts = everything()
        assert any("barrier" in str(key) for key in dict(parts[0].__dask_graph__())) == peers
        remote = [part.compute() for part in parts]
    for a, b in zip(local, remote, strict=True):
        for name in a.data_vars:
            np.testing.assert_array_equal(a[name].values, b[name].values)
    for a, b in zip(local, eager, strict=False):
        xr.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * float(abs(b.to_array()).max()))


def test_two_processes_share_one_copy_of_the_field(address, monkeypatch):
    """The field is a file that both workers map; results are those of one process, for every interpolation."""
    ds = mm.samples.load("micromirrors").isel(time=1)[["Bx", "By", "Bz"]]
    p = mm.particles.isotropic(40, gyroradius=10.0, seed=1, field=ds, reference_field=1.0)
    options = {"step": 1.0, "distance": 50.0, "save": 2, "particles_per_task": 8}
    with monkeypatch.context() as alone:
        alone.setattr(mm.tracing.packing, "one_host", lambda: False)
        want = {
            kind: mm.trace(ds, p, interpolation=kind, **options).compute(scheduler="threads")
            for kind in ("linear", "cubic")
        }
    with Client(address) as client:
        for kind, expected in want.items():
            lazy = mm.trace(ds.chunk(z=20), p, interpolation=kind, **options)
            assert any("_filled" in str(key) for key in dict(lazy.__dask_graph__()))
            got = lazy.compute()
            for name in ("x", "vz", "B"):
                np.testing.assert_array_equal(got[name], expected[name])
        other = mm.particles.isotropic(40, gyroradius=20.0, seed=1, field=ds, reference_field=1.0)
        both = [mm.trace(ds.chunk(z=20), each, **options).x for each in (p, other)]
        files = {key for lazy in both for key in dict(lazy.__dask_graph__()) if str(key).startswith("file-")}
        assert len(files) == 1  # computed together they take one copy
        np.testing.assert_array_equal(dask.compute(*both)[0], want["linear"]["x"])
        del both
        holed = ds.assign(Bz=ds.Bz.where(ds.By < 0.3)).chunk(z=20)
        with pytest.raises(mm.SnapshotError, match="Bz is not finite at"):
            mm.trace(holed, p, step=1.0, distance=50.0).x.compute()
        del lazy
        folders = client.run(lambda dask_worker: dask_worker.local_directory).values()

        def left() -> list[str]:
            client.run(gc.collect)
            return [name for folder in folders for name in os.listdir(folder) if name.endswith(".field")]

        deadline = time.monotonic() + 60
        while left():
            assert time.monotonic() < deadline, f"files are left: {left()}"
            time.sleep(0.2)


def test_blocks_on_a_cluster_give_the_same_bits(address):
    """Particles are handed between the workers in rounds; no task has more than one block of the field."""
    ds = mm.samples.load("micromirrors").isel(time=1)
    hot = mm.scattering.small_angle(nu=0.01)
    ds = ds[["Bx", "By", "Bz"]].assign(hot=abs(ds.Bx) > 1.2)
    p = mm.particles.isotropic(150, gyroradius=[10.0, 20.0], seed=1, field=ds, reference_field=1.0)
    for options in (
        {"scattering": mm.scattering.patchy(hot, mask="hot")},
        {"interpolation": "cubic", "local_field": True, "step_unit": "local", "particles_per_task": 100},
    ):
        options |= {"distance": 60.0, "save": 2, "step": 0.2}
        wanted = mm.trace(ds, p, **options).compute(scheduler="threads")
        with Client(address) as client:
            lazy = mm.trace(ds.chunk(y=30, x=20), p, block=24, **options)
            found = lazy.compute()
            said = [said for _, said in client.get_events(progress.TOPIC)]
            said = [one for one in said if one["run"] == said[-1]["run"]]  # of the last task
        for name in ("x", "vz", "B", "mu"):
            np.testing.assert_array_equal(found[name], wanted[name])
        shares = [one["share"] for one in said]
        assert sorted(shares) == shares and shares[0] < 0.5 and shares[-1] == 1
        assert said[-1]["rounds"] > 1 and said[-1]["handed"] > 0
        here = lazy.isel(particle=slice(5)).x.compute(scheduler="synchronous")  # built for a cluster, run without one
        np.testing.assert_array_equal(here, wanted.x.isel(particle=slice(5)))


def without_units(ds):
    """Plain numbers, in which light goes as far as `light_speed` says."""
    kept = {name: value for name, value in ds.attrs.items() if name.startswith("boundary")}
    return ds.drop_attrs().assign_attrs(kept)


def test_blocks_of_a_series_on_a_cluster_give_the_same_bits(address):
    """Two snapshots of a block are in a file of its own, which workers map; particles go from one to the next."""
    series = mm.samples.load("micromirrors")[["Bx", "By", "Bz"]].isel(x=slice(60), y=slice(48))
    series = without_units(series).assign_coords(time=[0.0, 7.0])
    p = mm.particles.isotropic(80, gyroradius=[10.0, 20.0], seed=1, field=series.isel(time=0), reference_field=1.0)
    evolve = mm.tracing.Evolution(start=-2.0, beyond="hold")
    options = {"step": 0.2, "distance": 15.0, "save": 3, "evolve": evolve, "light_speed": 1.0}
    wanted = mm.trace(series, p, **options).compute(scheduler="threads")
    with Client(address) as client:
        chunked = series.chunk(time=1, y=30, x=20)
        found = mm.trace(chunked, p, block=24, particles_per_task=50, **options).compute()
        said = [said for _, said in client.get_events(progress.TOPIC) if said["what"] == "trace in time"]
    for name in ("x", "vz", "B", "mu"):
        np.testing.assert_array_equal(found[name], wanted[name])
    shares = [one["share"] for one in said if one["run"] == said[-1]["run"]]
    assert sorted(shares) == shares and shares[-1] == 1 and len(shares) > 6  # after rounds too
    assert said[-1]["windows"] == 3


def test_snapshots_of_a_series_lie_in_files_that_workers_map(monkeypatch):
    """What is sent with particles is where these lie, not the numbers."""
    import pickle

    from mmfields.tracing import hands

    series = without_units(mm.samples.load("micromirrors")[["Bx", "By", "Bz"]]).assign_coords(time=[0.0, 7.0])
    p = mm.particles.isotropic(80, gyroradius=[10.0, 20.0], seed=1, field=series.isel(time=0), reference_field=1.0)
    options = {"step": 0.2, "distance": 6.0, "save": 1, "evolve": True, "light_speed": 1.0}
    wanted = mm.trace(series, p, **options).compute(scheduler="threads")
    sizes, work = [], hands.There.work

    def looked_at(self, do, tasks):
        sizes.extend(len(pickle.dumps(task)) for task in tasks)
        return work(self, do, tasks)

    monkeypatch.setattr(hands.There, "work", looked_at)
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None):
        found = mm.trace(series, p, **options).compute()
    np.testing.assert_array_equal(found["x"], wanted["x"])
    assert sizes and max(sizes) < 100_000 < series.nbytes / 10


def test_a_field_that_no_worker_may_hold_is_divided(address, monkeypatch):
    """From their limit of 2 GiB on, which two snapshots reach sooner; nothing of it is computed."""
    import dask.array as da

    plans, divided = [], mm.tracing.fields.Plan
    monkeypatch.setattr(mm.tracing.fields, "Plan", lambda *what: plans.append(divided(*what)) or plans[-1])
    with Client(address):
        for n, snapshots in ((256, 1), (512, 1), (256, 3), (320, 3)):
            zeros = da.zeros((n, n, n), dtype=np.float32, chunks=(64, n, n))
            ds = mm.io.from_arrays(
                Bx=zeros, By=zeros, Bz=zeros + 1, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x")
            )
            p = mm.particles.isotropic(10, gyroradius=5.0, seed=1, field=ds, reference_field=1.0)
            if snapshots > 1:
                series = xr.concat([ds] * snapshots, "time").assign_coords(time=np.arange(float(snapshots)))
                assert mm.trace(series, p, step=0.5, distance=2.0, evolve=True, light_speed=1.0).x.chunks
            else:
                assert mm.trace(ds, p, step=0.5, distance=5.0).x.chunks
            assert len(plans) == {(256, 1): 0, (512, 1): 1, (256, 3): 1, (320, 3): 2}[n, snapshots]
    sizes = [12 * np.prod(lengths) for _, lengths in plans[0].regions]
    assert len(sizes) == 27 and max(sizes) <= 2**31 / 10


def test_readers_work_on_workers(address, shared):
    path = shared / "data/athena_athdf/smr/Blast.out5.00001.athdf"
    want = mm.open_snapshot(path, chunks=None).load()
    with Client(address):
        xr.testing.assert_equal(mm.open_snapshot(path).compute(), want)


def test_the_command_line_runs_on_a_cluster(address, tmp_path):
    from click.testing import CliRunner

    from mmfields.cli import main

    options = ["--gyroradius", "8", "--particles", "10", "--distance", "100", "--scheduler", address]
    done = CliRunner().invoke(main, ["trace", "micromirrors", str(tmp_path / "t.zarr"), *options])
    assert done.exit_code == 0, done.output
    assert mm.io.open_snapshot  # the store is no snapshot, but a dataset
    assert xr.open_zarr(tmp_path / "t.zarr").sizes["particle"] == 10


def test_the_job_that_a_batch_system_gets_is_a_shell_script():
    from dask_jobqueue import SLURMCluster

    options = {"interface": "lo", "scheduler_options": {"dashboard_address": ":0"}}
    with SLURMCluster(
        cores=16, processes=4, memory="64GB", walltime="02:00:00", local_directory="$TMPDIR", **options
    ) as c:
        script = c.job_script()
    assert "#SBATCH -t 02:00:00" in script and "--nworkers 4" in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_a_figure_of_the_paper_is_made_on_a_cluster(address, tmp_path):
    from click.testing import CliRunner

    from mmfields import paper
    from mmfields.cli import main

    done = CliRunner().invoke(main, ["paper", "fig4", "--reduced", "--out", str(tmp_path), "--scheduler", address])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "fig4.png").stat().st_size > 20_000
    local = paper.compute("fig4", reduced=True)["orbits"]
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "orbits.zarr").compute(scheduler="threads"), local)


def test_a_report_is_made_on_a_cluster(address, tmp_path):
    options = Options(particles=8, gyroradius=None)
    with Client(address):
        mm.report("micromirrors", tmp_path / "cluster", options=options, progress=False)
    mm.report("micromirrors", tmp_path / "threads", options=options, progress=False)
    for store in ("trajectories.zarr", "results.zarr"):
        found, wanted = (xr.open_zarr(tmp_path / where / store).compute() for where in ("cluster", "threads"))
        xr.testing.assert_equal(found, wanted)
    assert (tmp_path / "cluster" / "index.html").read_text().count("<img") >= 4


NOTEBOOK = """
from dask.distributed import Client, LocalCluster
import mmfields as mm

cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="2GB", dashboard_address=None)
client = Client(cluster)
ds = mm.samples.load("micromirrors").isel(time=1)
protons = mm.particles.isotropic(64, gyroradius=10.0, seed=1, field=ds)
orbits = mm.store(mm.trace(ds, protons, step=1.0, distance=300.0, save=3), "orbits.zarr")
print("workers", len(client.nthreads()), "same", orbits.identical(mm.store(mm.trace(ds, protons, step=1.0, distance=300.0, save=3), "orbits.zarr")))
client.close()
cluster.close()
"""  # noqa: E501


def test_a_local_cluster_in_a_notebook(tmp_path):
    """Its processes are started from the kernel, which has no main module that they could import."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "".join(str(output.get("text", output.get("data", ""))) for output in notebook.cells[0].outputs)
    assert "workers 2 same True" in said


def test_an_asynchronous_client_is_refused(tmp_path):
    async def use():
        async with Client(n_workers=1, processes=False, asynchronous=True, dashboard_address=":0"):
            mm.store(mm.samples.load("micromirrors"), tmp_path / "out.zarr")

    with pytest.raises(mm.ArgumentError, match="asynchronous"):
        asyncio.run(use())
