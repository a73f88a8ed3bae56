#!/usr/bin/env bash
# Print the Python that has this project with the given extras; make .venv first where there is none.
# Usage: tools/environment.sh EXTRA...      Everything but that path goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

has_everything() {
    local python=$1 module
    shift
    local modules="mcore mcore_runtime"
    for extra in "$@"; do
        case $extra in
            train) modules+=" torch tensorboard matplotlib huggingface_hub safetensors" ;;
            export) modules+=" mcore_export torch onnx onnx_ir onnxscript onnxruntime" ;;
            runtime) modules+=" onnxruntime" ;;
            bench) modules+=" mcore_bench fvcore psutil" ;;
            test) modules+=" pytest xdist fvcore hypothesis ruff mypy importlinter openvino" ;;
            docs) modules+=" mkdocs material mkdocstrings_handlers" ;;
        esac
    done
    "$python" - $modules <<'PY' 2>/dev/null
import importlib.util, sys
sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))
PY
}

active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
if [ -n "$active" ] && [ -x "$active/bin/python" ] && [ "$active" != "$PWD/.venv" ]; then
    if has_everything "$active/bin/python" "$@"; then
        echo "$active/bin/python"
        exit 0
    fi
    echo "The active environment $active lacks some of mcore-edge[$(IFS=,; echo "$*")]; using .venv instead." >&2
    echo "To use yours: pip install -e '.[$(IFS=,; echo "$*")]'" >&2
fi

python=.venv/bin/python
stamp=.venv/installed
if [ ! -e "$stamp" ] || [ -n "$(find pyproject.toml constraints.txt torch-cpu.txt CMakeLists.txt runtime/native -newer "$stamp" -print -quit)" ]; then
    base=${PYTHON:-python3}
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || {
        echo "error: $base is $("$base" --version 2>&1); Python 3.10 or newer is needed: make PYTHON=python3.12 ..." >&2
        exit 2
    }
    echo "Setting up .venv (once; torch is the largest part)..." >&2
    [ -x "$python" ] || "$base" -m venv .venv >&2
    if ! command -v nvidia-smi >/dev/null && ! "$python" -c 'import torch' 2>/dev/null; then
        # Best effort: where PyTorch's own index cannot be reached, the next line installs the default build.
        "$python" -m pip install -qq --no-deps --retries 0 --timeout 15 -r torch-cpu.txt >&2 2>/dev/null || true
    fi
    "$python" -m pip install -qq -c constraints.txt -e '.[train,export,runtime,bench,test,docs]' >&2
    # TensorRT's types without TensorRT, which they ask for and which a machine without a GPU has no use for.
    "$python" -m pip install -qq --no-deps tensorrt-stubs >&2 2>/dev/null || true
    touch "$stamp"
fi
echo "$PWD/$python"
