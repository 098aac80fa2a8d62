"""What a process compiles is what it runs, as fast as what it finds in the cache."""

import subprocess
import sys

import pytest
from kernel_runs import INTERPRETED

CODE = """
import re
from mmfields.kernels.trace import trace_sum
import mmfields as mm

waves = mm.turbulence.plane_waves(8, k_min=1.0, k_max=4.0, seed=1)
p = mm.particles.isotropic(2, gyroradius=0.1, seed=1, field=waves)
mm.trace(waves, p, step=0.01, distance=0.02, save=1).x.compute()
(made,) = trace_sum.overloads.values()
text = made.library.get_llvm_str()
shared = [line for line in text.splitlines() if line.startswith("define linkonce_odr")]
own = [line for line in text.splitlines() if line.startswith("define internal")]
assert own, "nothing is called: say of another kernel whether it is its own"
assert all(re.search(r"[.][0-9a-f]{32}", line) for line in own), own[:3]
assert not shared, shared[:3]
"""


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")
def test_parts_of_an_entry_are_its_own(tmp_path):
    """A process finds what others share under one name where it was first, before it was optimized.

    Under names of their own, since the linker takes local ones for those of others too.
    """
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
