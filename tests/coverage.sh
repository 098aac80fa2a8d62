#!/usr/bin/env bash
# Measure how much of the pure-Python parts a stated subset of the tests covers, with the kernels interpreted.
#
#     tests/coverage.sh [FOLDER]
#
# It takes some ten minutes on one core and is no part of .ci/run.  The kernels themselves are left out: they have their
# own tests, and interpreted they are too slow for those of tracing.  FOLDER, by default .coverage-run, gets the data
# and a page for each file; coverage (pip install coverage) is needed.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-.coverage-run}
mkdir -p "$folder"
export NUMBA_DISABLE_JIT=1 COVERAGE_FILE="$folder/data"

# Those that are done in about a minute each without compiled kernels.
subset=(
SUBSET
)

python -m coverage run --source=mmfields --omit='mmfields/kernels/*' -m pytest -q -p no:cacheprovider "${subset[@]}"
python -m coverage html -q -d "$folder/pages"
python -m coverage report --skip-covered --sort=cover
