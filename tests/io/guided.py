"""Damage a file guided by what the readers do with it: atheris on instrumented readers.

    python tests/io/guided.py TARGET FOLDER RUNS

TARGET and FOLDER as of ``fuzzing.py``.  Ends with 0 if every run gave data or one error that names the file.
"""

import importlib
import pkgutil
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mmfields.io"]):
    import mmfields as mm

    for module in pkgutil.walk_packages(mm.io.__path__, "mmfields.io."):
        importlib.import_module(module.name)

from fuzzing import copied, opened


def main(target: str, folder_name: str, runs: int) -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        copy, path = copied(Path(target), folder_name, Path(folder) / "copy")
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        (corpus / "whole").write_bytes(raw := copy.read_bytes())

        def once(data: bytes) -> None:
            copy.write_bytes(data)
            try:
                opened(path)
            except mm.SnapshotError as error:
                if folder not in str(error):
                    raise RuntimeError("names no file") from error
            except FileNotFoundError:
                pass

        limits = [f"-max_len={2 * len(raw)}", "-len_control=0", "-timeout=5", f"-artifact_prefix={folder}/"]
        atheris.Setup([sys.argv[0], f"-runs={runs}", "-seed=1", *limits, str(corpus)], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]))
