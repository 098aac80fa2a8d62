"""Execute the notebooks and keep their figures and short outputs, nothing else.

    python notebooks/execute.py             # at full size, results stored in the notebooks
    python notebooks/execute.py --reduced   # at the reduced size of the continuous integration, nothing stored
    python notebooks/execute.py --check     # nothing is executed: whether they hold what this script keeps, and no more

A notebook takes its size from the environment variable MMFIELDS_REDUCED.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"  # a progress bar
KEPT = ("image/png", "text/plain", "text/html")


def clean(notebook: nbformat.NotebookNode) -> None:
    """Drop counts, timings, logs and progress bars; keep figures and results."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.metadata = {}
        cell.id = f"cell-{number}"
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        outputs = [out for out in cell.outputs if out.output_type != "stream" or out.name == "stdout"]
        outputs = [out for out in outputs if WIDGET not in out.get("data", {})]
        for out in outputs:
            if "data" in out:
                out.data = {k: v for k, v in out.data.items() if k in KEPT}
                out.metadata = {}
                if "image/png" in out.data:
                    out.data.pop("text/plain", None)
            if out.output_type == "execute_result":
                out.execution_count = None
        cell.outputs = outputs


def is_clean(notebook: nbformat.NotebookNode) -> bool:
    """Whether cleaning changes nothing."""
    before = nbformat.writes(notebook)
    clean(notebook)
    return nbformat.writes(notebook) == before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="notebooks, all by default")
    parser.add_argument("--reduced", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.reduced:
        os.environ["MMFIELDS_REDUCED"] = "1"
    paths = [HERE / Path(name).name for name in options.names] or sorted(HERE.glob("*.ipynb"))
    if options.check:
        dirty = [path.name for path in paths if not is_clean(nbformat.read(path, 4))]
        print(f"to be executed by this script: {', '.join(dirty)}" if dirty else "all are clean")
        return bool(dirty)
    for path in paths:
        notebook = nbformat.read(path, 4)
        began = time.monotonic()
        NotebookClient(notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": HERE}}).execute()
        print(f"{path.name}: {time.monotonic() - began:.0f} s")
        if not options.reduced:
            clean(notebook)
            nbformat.write(notebook, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
