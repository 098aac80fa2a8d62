#!/usr/bin/env bash
# Run a stated subset of the tests on every Python that is found: on 3.11 with the lowest versions that pyproject.toml
# declares, on 3.11 to 3.14 with the newest, as far as numba allows.  What is skipped is said at the end.
#
#     tests/matrix.sh [FOLDER [TRIAL ...]]
#
# The environments lie in FOLDER, by default .matrix, and are used again.  A TRIAL is one such as 3.11-lowest or
# 3.13-newest; all by default.
#
# Interpreters are those on PATH and below PYENV_ROOT; pip finds packages as it is configured.
set -u
cd "$(dirname "$0")/.."
folder=${1:-.matrix}
trials=("${@:2}")
((${#trials[@]})) || trials=(3.11-lowest 3.11-newest 3.12-newest 3.13-newest 3.14-newest)
mkdir -p "$folder"

# Kernels, stores, readers of every format, tracing, and what is private of other libraries: minutes, not the whole.
subset=(
    tests/test_compat.py
    tests/test_conventions.py
    tests/kernels/test_push_kernel.py
    tests/kernels/test_interpolate_kernel.py
    tests/fourier/test_filter.py
    tests/io/test_formats.py
    tests/io/test_chunks_of_stores.py
    tests/io/test_chunks_of_hdf5.py
    tests/io/test_storing.py
    tests/test_provenance.py
    tests/tracing/test_trace.py
)

interpreter() {  # of a version such as 3.12; nothing where there is none
    local found
    for found in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python "$(command -v "python$1")"; do
        [[ -x $found ]] && "$found" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null \
            && echo "$found" && return
    done
}

lowest() {  # requirements of the package, each at the lowest version that it allows; of most the last patch of it
    "$1" - <<'PYTHON'
import re, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
for text in project["dependencies"]:
    name, least = re.match(r"([\w.\[\]-]+)>=([\d.]+)", text).groups()
    exact = least.count(".") == 2 or re.match("xarray|dask|distributed|zarr", name)
    print(f"{name}=={least}" if exact else f"{name}=={least}.*")
PYTHON
}

failed=()
skipped=()

trial() {  # Python, "lowest" or "newest"
    local python env=$folder/$1-$2 name="Python $1 with the $2 versions"
    python=$(interpreter "$1")
    if [[ -z $python ]]; then
        skipped+=("$name: no such interpreter is found")
        return
    fi
    [[ -x $env/bin/python ]] || "$python" -m venv "$env" || { skipped+=("$name: venv fails"); return; }
    "$env/bin/python" -m pip install --quiet --upgrade pip hatchling >"$env/pip.log" 2>&1
    local needed=(-e . pytest hypothesis nbclient nbformat ipykernel)
    if [[ $2 == lowest ]]; then
        lowest "$env/bin/python" >"$env/lowest.txt"
        needed+=(-r "$env/lowest.txt")
    fi
    if ! "$env/bin/python" -m pip install --quiet "${needed[@]}" >>"$env/pip.log" 2>&1; then
        skipped+=("$name: pip finds no such versions: $(grep -m1 ERROR "$env/pip.log" | cut -c1-160)")
        return
    fi
    echo "== $name: $("$env/bin/python" -m pip list --format=freeze 2>/dev/null \
        | grep -E '^(numpy|xarray|dask|zarr|numba|h5py)==' | tr '\n' ' ')"
    "$env/bin/python" -m pytest -q -m "not slow" "${subset[@]}" || failed+=("$name")
}

for each in "${trials[@]}"; do
    trial "${each%-*}" "${each#*-}"
done

echo
for line in "${skipped[@]}"; do echo "skipped: $line"; done
for line in "${failed[@]}"; do echo "failed: $line"; done
((${#failed[@]} == 0))
