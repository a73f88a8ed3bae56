#!/usr/bin/env bash
# Lint, type check and test; quiet when all is well.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(tools/environment.sh train export runtime test docs)
"$python" -m ruff check --quiet .
"$python" -m ruff format --check --quiet . || { echo "run: ruff format ." >&2; exit 1; }
echo "ruff: clean"
layers=$("$(dirname "$python")/lint-imports" --no-cache 2>&1) || { echo "$layers" >&2; exit 1; }
echo "layers: ${layers##*Contracts: }"
check_types() {
    local said
    said=$("$python" -m mypy 2>&1) || { echo "$said" >&2; return 1; }
    echo "mypy: $said"
}
# mypy has one core busy for a minute, so the first tests run beside it. What it finds is said at once.
check_types & types=$!
trap 'kill "$types" 2>/dev/null || true' EXIT
# A file's tests stay in one process, because they share what is costly to make.
"$python" -m pytest -n auto --maxprocesses 8 --dist loadfile "$@" && tests=0 || tests=$?
wait "$types" || exit 1
exit "$tests"
