"""Speed, as ratios to a reference measured in the same run.

    python tests/benchmarks/run.py            # all; three of them need 45 GB of disk and minutes
    python tests/benchmarks/run.py readers    # those of one file

Every figure is the median over repeats that alternate with its reference.
"""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    wanted = sys.argv[1:]
    sys.path[:0] = [str(HERE), str(HERE.parent / "io")]
    for path in sorted(HERE.glob("bench_*.py")):
        if wanted and path.stem.removeprefix("bench_") not in wanted:
            continue
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        print(f"== {path.stem.removeprefix('bench_')}", flush=True)
        module.main()


if __name__ == "__main__":
    main()
