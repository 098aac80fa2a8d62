"""Speed, as ratios to a reference measured in the same run.

    python tests/benchmarks/run.py            # all; three of them need 45 GB of disk and minutes
    python tests/benchmarks/run.py readers    # those of one file
    python tests/benchmarks/run.py tracing --against ../other-checkout   # both in turns, CPU time of one thread

Every figure is the median over repeats that alternate with its reference.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--against", metavar="CHECKOUT", help="of tracing alone: another checkout, to compare with")
    given = parser.parse_args()
    wanted = given.names
    sys.path[:0] = [str(HERE), str(HERE.parent / "io")]
    if given.against:
        if wanted != ["tracing"]:
            parser.error("--against is of tracing")
        importlib.import_module("against").main(given.against)
        return
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
