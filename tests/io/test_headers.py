"""Headers drawn by hypothesis: right ones give the numbers that were written, others the data or one error."""

import os
import re
import shutil
from pathlib import Path

import builders
import h5py
import numpy as np
import pytest
from fuzzing import opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmfields as mm

# More of them by hand: MMFIELDS_FUZZ=20000 pytest tests/io/test_headers.py
COUNT = int(os.environ.get("MMFIELDS_FUZZ", "500"))
drawn = settings(
    max_examples=COUNT // 8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
WIDE = st.integers(-(2**70), 2**70)
ODD = st.sampled_from(
    ["nan", "inf", "-inf", "1e999", "-0", "0x10", "1_0", "", " ", "１", "True", "None", "()", "%s", "\0"]
)
WORDS = st.one_of(WIDE.map(str), st.floats().map(repr), ODD, st.text(st.characters(codec="latin-1"), max_size=12))
ASCII = st.characters(codec="ascii", exclude_characters="\0")
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(ASCII, max_size=8),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
    st.lists(st.floats(), max_size=4),
    st.lists(st.text(ASCII, min_size=1, max_size=8), min_size=1, max_size=4).map(lambda words: np.array(words, "S")),
)


def meshes(most=3):
    """Numbers of blocks and cells of a block along x, y, z."""
    return st.tuples(*[st.tuples(st.integers(1, 3), st.integers(1, most))] * 3)


def fields_of(sizes, count=7):
    shape = (count, *(n * m for n, m in sizes[::-1]))
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def allowed(path: Path, whole=None):
    """The data, which may be others where the format cannot tell, or one error that names the file."""
    try:
        found = opened(path)
    except mm.SnapshotError as error:
        assert path.parent.name in str(error), str(error)
        return "refused"
    return "the same" if whole is not None and found.identical(whole) else "other data"


@drawn
@given(meshes(), st.booleans(), st.booleans(), st.floats(0, 1e12), st.permutations(builders.NAMES))
def test_nbf_that_is_right(tmp_path, sizes, big, forcing, time, names):
    fields, block = fields_of(sizes), tuple(m for _, m in sizes)
    path = builders.nbf(tmp_path / "a.nbf", fields, block, names=names, big=big, forcing=forcing, time=time)
    ds = mm.open_snapshot(path)
    for name, wanted in zip(names, fields, strict=True):
        if name.startswith("Bcc"):
            found = ds["B" + "xyz"[int(name[3]) - 1]].values
            np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)
    assert float(ds.time) == pytest.approx(time, rel=1e-13)


@drawn
@given(meshes(), st.sampled_from(["<f4", ">f4", "<f8", ">f8"]), st.floats(0, 1e12), st.booleans())
def test_athdf_that_is_right(tmp_path, sizes, dtype, time, checked):
    fields, block = fields_of(sizes), tuple(m for _, m in sizes)
    storage = {"fletcher32": True} if checked else {}
    path = builders.athdf(tmp_path / "a.athdf", fields, block, dtype=dtype, time=time, **storage)
    ds = mm.open_snapshot(path)
    for name, wanted in zip("xyz", fields[4:], strict=True):
        np.testing.assert_array_equal(ds["B" + name].values.reshape(wanted.shape), wanted)
    assert float(ds.time) == time


@drawn
@given(meshes(4), st.sampled_from(["<f4", ">f4", "<f8", ">f8"]), st.integers(1, 3))
def test_plotfile_that_is_right(tmp_path, sizes, stored, files):
    fields = fields_of(sizes, 3)
    cells, parts = [n * m for n, m in sizes], []
    for place in np.ndindex(*(n for n, _ in sizes)):
        low = tuple(a * m for a, (_, m) in zip(place, sizes, strict=True))
        box = [slice(a, a + m) for a, (_, m) in zip(low, sizes, strict=True)]
        parts.append((low, fields[(slice(None), *box[::-1])]))
    path = tmp_path / "plt"
    shutil.rmtree(path, ignore_errors=True)
    ds = mm.open_snapshot(builders.plotfile(path, [parts], cells, stored=stored, files=files))
    for name, wanted in zip(("Bx", "By", "Bz"), fields, strict=True):
        np.testing.assert_array_equal(ds[name].values.reshape(wanted.shape), wanted)


TEXTS = {  # how far the header goes
    "pegasus/mock_example.nbf": rb"^.*?\nMeshBlock:[^\n]*\n",
    "athena_vtk/sr_mhd_shock1_hlld.vtk": rb"^.*?LOOKUP_TABLE[^\n]*\n",
    "athena_vtk/chem_cgk_input.vtk": rb"^.*?LOOKUP_TABLE[^\n]*\n",
    "athenak_bin/CPAW.mhd_w_bcc.00000.bin": rb"^.*?\n  header offset[^\n]*\n.*?<mesh_refinement>",
    "athena_mhd/TurbMHD.hst": rb"^.*?\n.*?\n.*?\n",
    "warpx_mirror/plt001064/Header": rb"^.*$",
    "warpx_mirror/plt001064/Level_0/Cell_H": rb"^.*$",
}


@pytest.mark.parametrize("name", TEXTS)
def test_words_of_text_headers(name, shared, tmp_path):
    """One to three words of a real header are others; the rest of the file is as it was."""
    source, folder = shared / "data" / name, tmp_path / "copy"
    root = next((parent for parent in source.parents if parent.name == "plt001064"), source)
    path = folder / root.name
    folder.mkdir()
    (shutil.copytree if root.is_dir() else shutil.copyfile)(root, path)
    copy = path / source.relative_to(root) if root.is_dir() else path
    copy.chmod(0o644)
    raw, whole = source.read_bytes(), opened(path)
    head = re.match(TEXTS[name], raw, re.DOTALL)
    words = [word.span() for word in re.finditer(rb"[^\s=,()]+", head[0] if head else raw[:4096])]
    outcomes = set()

    @settings(drawn, max_examples=COUNT // 3)
    @given(st.lists(st.tuples(st.integers(0, len(words) - 1), WORDS), min_size=1, max_size=3))
    def attack(changes):
        out = raw
        for index, word in sorted(dict(changes).items(), reverse=True):
            begin, end = words[index]
            out = out[:begin] + word.encode("utf-8") + out[end:]
        copy.write_bytes(out)
        outcomes.add(allowed(path, whole))

    attack()
    assert "refused" in outcomes


ATTRIBUTES = [
    "athena_athdf/uni/Blast.out2.00002.athdf",
    "athena_athdf/smr/Blast.out2.00002.athdf",
    "openpmd/example-femm-3d.h5",
    "openpmd/warp-2d-data00000255.h5",
    "warpx_mirror/warpx_mirror_fields_000280.h5",
]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_of_hdf5(name, shared, tmp_path):
    """One or two attributes, of any object, are gone, or have another type, shape or value."""
    source, folder = shared / "data" / name, tmp_path / "copy"
    folder.mkdir()
    path, places, outcomes = folder / source.name, [], set()
    with h5py.File(source) as file:
        places += [("/", key) for key in file.attrs]
        file.visititems(lambda where, node: places.extend((where, key) for key in node.attrs) or None)
    whole = opened(source)

    @settings(drawn, max_examples=COUNT // 3)
    @given(st.lists(st.tuples(st.sampled_from(places), st.one_of(st.none(), VALUES)), min_size=1, max_size=2))
    def attack(changes):
        shutil.copyfile(source, path)
        path.chmod(0o644)
        with h5py.File(path, "r+") as file:
            for (where, key), value in changes:
                if key in file[where].attrs:
                    del file[where].attrs[key]
                if value is not None:
                    file[where].attrs[key] = value
        outcomes.add(allowed(path, whole))

    attack()
    assert "refused" in outcomes
