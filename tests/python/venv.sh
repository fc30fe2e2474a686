#!/usr/bin/env bash
# Makes target/python-venv with requirements.txt, unless it is there; prints its python.
# Nothing outside the target folder is written: pip keeps no cache.
set -euo pipefail
cd "$(dirname "$0")"
venv=${CARGO_TARGET_DIR:-$PWD/../../target}/python-venv
if ! cmp -s requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check -r requirements.txt >&2
    cp requirements.txt "$venv/requirements.txt" # last: a broken install is made anew
fi
echo "$(cd "$venv/bin" && pwd)/python"
