#!/bin/sh
# Makes the development environment: uv, the locked packages in .venv, the workspace's own packages in place.
# Idempotent and quick when nothing changed. Needs Python >= 3.11; never needs root.
set -eu
cd "$(dirname "$0")/../.."

UV_VERSION=0.13.9 # resolves universal locks with hashes as requirements.lock was made
MEMBERS="sdk services/kit services/auth services/tracking services/registry services/artifact gateway dashboard deploy/local"

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "Penstock needs Python 3.11 or newer on PATH (or in PYTHON=...)."
    exit 1
}

find_uv() {
    if [ -x .tools/uv/bin/uv ]; then
        echo .tools/uv/bin/uv
        return
    fi
    if command -v uv >/dev/null 2>&1 && [ "$(uv --version | cut -d' ' -f2)" = "$UV_VERSION" ]; then
        command -v uv
        return
    fi
    say "Fetching uv $UV_VERSION ..."
    rm -rf .tools/uv
    # Debian splits venv and pip out of python3: take whichever of the ways is there.
    if "$PYTHON_FOUND" -m venv .tools/uv >/dev/null 2>&1 && [ -x .tools/uv/bin/pip ]; then
        .tools/uv/bin/pip install -q "uv==$UV_VERSION" >&2
    elif rm -rf .tools/uv && "$PYTHON_FOUND" -m pip --version >/dev/null 2>&1; then
        "$PYTHON_FOUND" -m pip install -q --target .tools/uv "uv==$UV_VERSION" >&2
    elif command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        # As root on a bare machine the missing half of Python may be installed; make run elsewhere never gets here.
        say "Installing python3-venv ..."
        apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2
        "$PYTHON_FOUND" -m venv .tools/uv && .tools/uv/bin/pip install -q "uv==$UV_VERSION" >&2
    else
        say "Penstock fetches its packages with uv, and this Python has neither venv nor pip to fetch uv itself."
        say "Either: apt install python3-venv     or install uv $UV_VERSION and put it on PATH."
        exit 1
    fi
    echo .tools/uv/bin/uv
}

PYTHON_FOUND=$(find_python)
WANTED=$(cat requirements.lock deploy/tools/setup.sh sdk/pyproject.toml services/*/pyproject.toml gateway/pyproject.toml \
    dashboard/pyproject.toml deploy/local/pyproject.toml | cksum)
if [ -x .venv/bin/python ] && [ "$(cat .venv/.penstock-setup 2>/dev/null)" = "$WANTED" ]; then
    exit 0
fi
mkdir -p .tools
UV=$(find_uv)
[ -x .venv/bin/python ] || "$UV" venv -q --python "$PYTHON_FOUND" .venv
say "Installing the locked packages into .venv ..."
"$UV" pip sync -q --python .venv/bin/python --require-hashes requirements.lock
set --
for member in $MEMBERS; do set -- "$@" -e "$member"; done
"$UV" pip install -q --python .venv/bin/python --no-deps "$@"
printf '%s' "$WANTED" >.venv/.penstock-setup
