"""A store against a model of it: begun, killed, called with other arguments, resumed, overwritten, fought over."""

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import mmfields as mm
from mmfields.io import storing
from mmfields.io.storing import MARKER

NAMES, SHAPE = ("Bx", "By"), (4, 6)
ARGUMENTS, CHUNKS = st.sampled_from([1.0, 2.0]), st.sampled_from([(2, 3), (4, 2)])


class Killed(BaseException):
    """As a signal: no reader or writer takes it for a fault of its own."""


def values(argument):
    return {name: argument * np.arange(24.0).reshape(SHAPE) + i for i, name in enumerate(NAMES)}


def snapshot(argument, chunks):
    fields = {name: da.from_array(array, chunks=chunks) for name, array in values(argument).items()}
    return mm.io.from_arrays(**fields, spacing={"x": 1.0, "y": 2.0}, dims=("x", "y"), argument=argument)


def keys(chunks):
    """Files of all chunks."""
    counts = (range(n // c) for n, c in zip(SHAPE, chunks, strict=True))
    return {f"{name}/c/{i}/{j}" for name, (i, j) in product(NAMES, list(product(*counts)))}


@dataclass
class Model:
    """What a store should hold."""

    argument: float
    chunks: tuple[int, int]
    there: set[str] = field(default_factory=set)
    finished: bool = False


class Store(RuleBasedStateMachine):
    @initialize()
    def nothing(self):
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "a.zarr"
        self.model = None

    def teardown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what is done to it ---

    @contextmanager
    def writing(self, most=None):
        """Counts the chunks that are written; the one after `most` of them is the death of the process."""
        written, write = [], storing._write

        def counted(block, path, name, corner, belongs):
            if most is not None and len(written) == most:
                raise Killed
            written.append((name, corner))
            return write(block, path, name, corner, belongs)

        storing._write = counted
        try:
            with dask.config.set(scheduler="synchronous"):
                yield written
        finally:
            storing._write = write

    def leave(self):
        """What a killed process leaves behind: a lock that nobody holds, and halves of files."""
        (self.folder / ".a.zarr.lock").write_text("")
        (self.folder / ".a.zarr.0123.begun").mkdir(exist_ok=True)
        if self.path.exists():
            (self.path / "Bx" / "c.0123.partial").write_text("half")

    def call(self, argument, chunks, *, most=None, **options):
        """Call `store`; the chunks that it wrote, and whether it was killed."""
        ds, killed = snapshot(argument, chunks), False
        with self.writing(most) as written:
            try:
                found = mm.store(ds, self.path, progress=False, **options)
                for name, array in values(argument).items():
                    np.testing.assert_array_equal(found[name], array)
            except Killed:
                killed = True
                self.leave()
        return written, killed

    def files(self):
        return {str(p.relative_to(self.path)): p.read_bytes() for p in self.path.rglob("*") if p.is_file()}

    def expected(self, argument, chunks, overwrite):
        """The model after an undisturbed call, and how many chunks it writes; None where it is to be refused."""
        if self.model is None or overwrite:
            new = Model(argument, chunks, keys(chunks), True)
            return new, len(new.there)
        if self.model.argument != argument:
            return None, 0
        whole = keys(self.model.chunks)
        return Model(argument, self.model.chunks, whole, True), len(whole - self.model.there)

    @rule(argument=ARGUMENTS, chunks=CHUNKS, overwrite=st.booleans(), resume=st.sampled_from(storing.RESUMES))
    def run(self, argument, chunks, overwrite, resume):
        new, count = self.expected(argument, chunks, overwrite)
        if resume == "structure" and self.model and not overwrite:
            chunks = self.model.chunks  # which belong to the structure
        if new is None:
            before = self.files()
            with pytest.raises(mm.SnapshotError, match="already holds other data"):
                self.call(argument, chunks, resume=resume)
            assert self.files() == before
            return
        written, killed = self.call(argument, chunks, overwrite=overwrite, resume=resume)
        assert not killed and len(written) == len(set(written)) == count
        self.model = new

    @rule(argument=ARGUMENTS, chunks=CHUNKS, overwrite=st.booleans(), most=st.integers(0, 7))
    def run_and_kill(self, argument, chunks, overwrite, most):
        new, count = self.expected(argument, chunks, overwrite)
        if new is None or count <= most:
            return
        before = set() if overwrite or self.model is None else self.model.there
        written, killed = self.call(argument, chunks, overwrite=overwrite, most=most)
        assert killed and len(written) == most
        starts = {(name, corner) for name, corner in written}
        done = {f"{name}/c/" + "/".join(str(c // n) for c, n in zip(corner, new.chunks, strict=True))
                for name, corner in starts}  # fmt: skip
        assert not done & before, "a finished chunk was written again"
        self.model = Model(argument, new.chunks, before | done, False)

    @precondition(lambda self: self.model and self.model.there)
    @rule(number=st.integers(0, 100), kind=st.sampled_from(["removed", "renamed", "partial"]))
    def lose_a_chunk(self, number, kind):
        key = sorted(self.model.there)[number % len(self.model.there)]
        place = self.path / key
        if kind == "removed":
            place.unlink()
        else:
            place.rename(place.with_name(".DS_Store" if kind == "renamed" else "0.4567.partial"))
        self.model.there.discard(key)

    @rule(argument=ARGUMENTS, chunks=CHUNKS, overwrite=st.booleans())
    def run_while_another_writes(self, argument, chunks, overwrite):
        ready = self.model and self.model.finished and self.model.there == keys(self.model.chunks)
        before = self.files() if self.model else {}
        with open(self.folder / ".a.zarr.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if ready and not overwrite and argument == self.model.argument:
                assert self.call(argument, chunks) == ([], False)  # what is finished is there for all
            else:
                with pytest.raises(mm.SnapshotError, match=r"being written by another call|already holds other data"):
                    self.call(argument, chunks, overwrite=overwrite)
        assert (self.files() if self.path.exists() else {}) == before

    # --- what holds at all times ---

    @invariant()
    def it_is_as_the_model_says(self):
        if self.model is None:
            assert not self.path.exists()
            return
        there = {key for key in keys(self.model.chunks) if (self.path / key).is_file()}
        assert there == self.model.there
        assert (self.path / MARKER).exists() == (not self.model.finished)
        whole = self.model.finished and there == keys(self.model.chunks)
        assert storing.is_whole(self.path) == whole
        if whole:
            ds = mm.open_snapshot(self.path).load(scheduler="synchronous")
            for name, array in values(self.model.argument).items():
                np.testing.assert_array_equal(ds[name], array)
            assert not [name for name in os.listdir(self.folder) if name.endswith(".removed")]
        else:
            with pytest.raises(mm.SnapshotError, match=r"unfinished store|are missing"):
                mm.open_snapshot(self.path)


TestStore = Store.TestCase
TestStore.settings = settings(
    max_examples=12,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
