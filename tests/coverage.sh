#!/usr/bin/env bash
# Measure how much of the pure-Python parts a stated subset of the tests covers, with the kernels interpreted.
#
#     tests/coverage.sh [FOLDER]
#
# It takes about six minutes on one core and is no part of .ci/run.  The kernels themselves are left out: they have their
# own tests, and interpreted they are too slow for those of tracing.  FOLDER, by default .coverage-run, gets the data
# and a page for each file; coverage (pip install coverage) is needed.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-.coverage-run}
mkdir -p "$folder"
export NUMBA_DISABLE_JIT=1 COVERAGE_FILE="$folder/data"

# Those that are done in about a minute each without compiled kernels.
subset=(
    tests/test_conventions.py
    tests/test_kinds.py
    tests/test_mistakes.py
    tests/test_particles.py
    tests/test_quantities.py
    tests/test_samples.py
    tests/test_spectra.py
    tests/test_theory.py
    tests/anisotropy/test_plasma.py
    tests/faraday/test_fit.py
    tests/fourier/test_labelled.py
    tests/fourier/test_windows.py
    tests/io/test_alike.py
    tests/io/test_foreign.py
    tests/io/test_formats.py
    tests/io/test_own.py
    tests/io/test_paths.py
    tests/io/test_pressures.py
    tests/io/test_small_files.py
)

python -m coverage run --source=mmfields --omit='mmfields/kernels/*' -m pytest -q -p no:cacheprovider "${subset[@]}"
python -m coverage html -q -d "$folder/pages"
python -m coverage report --skip-covered --sort=cover
