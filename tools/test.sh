#!/usr/bin/env bash
# Lint, type check and test; quiet when all is well.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(tools/environment.sh train export runtime test docs)
"$python" -m ruff check --quiet .
"$python" -m ruff format --check --quiet . || { echo "run: ruff format ." >&2; exit 1; }
echo "ruff: clean"
types=$("$python" -m mypy 2>&1) || { echo "$types" >&2; exit 1; }
echo "mypy: $types"
layers=$("$(dirname "$python")/lint-imports" --no-cache 2>&1) || { echo "$layers" >&2; exit 1; }
echo "layers: ${layers##*Contracts: }"
# A file's tests stay in one process, because they share what is costly to make.
exec "$python" -m pytest -n auto --maxprocesses 8 --dist loadfile "$@"
