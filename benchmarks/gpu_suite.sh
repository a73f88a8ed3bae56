#!/usr/bin/env bash
# Run every check and benchmark that needs an NVIDIA GPU, and leave one folder of results. Without a GPU: say what it
# would run. Usage: benchmarks/gpu_suite.sh CHECKPOINT DIVES.jsonl OUT [STEP...]   (a default-size network, its dives)
# A step that fails is written down and the next one runs; the exit code is then 1, and 2 for a mistake in the command.
set -uo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
checkpoint=$(realpath -m "$1") dives=$(realpath -m "$2") out=$(realpath -m "$3") # before the folder changes
shift 3
wanted=" $* "
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
export MCORE_EXPECT_GPU=1 # tests that need it fail without it, rather than skip
has_gpu=false
command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU && has_gpu=true
failed=0 known=" " naming=true

# step NAME COMMAND...: remember its name, run it, or say that it would be run.
step() {
    local name=$1
    shift
    if $naming; then
        known="$known$name "
        return
    fi
    case "$wanted" in "  " | *" $name "*) ;; *) return ;; esac
    if ! $has_gpu; then
        printf 'would run %s: %s\n' "$name" "$*"
        return
    fi
    printf '%s ... ' "$name"
    if "$@" >"$out/$name.log" 2>&1; then
        echo done
    else
        echo "FAILED ($out/$name.log)"
        failed=$((failed + 1))
    fi
}

bundle=$out/bundle

# Every step, in order.
steps() {
    step machine nvidia-smi -q
    step doctor "$python" -m mcore_runtime.doctor.command
    step tests-cuda "$python" -m pytest tests/training/test_compute.py -ra
    step tests-engines "$python" -m pytest tests/runtime/backends/test_bound.py tests/runtime/backends/test_backends.py \
        tests/runtime/backends/test_tensorrt_backend.py -ra
    step export "$python" -m mcore_export.cli "$checkpoint" --out "$bundle" --fp16 --exemplars "$dives" --force
    step engine-tensorrt "$python" -m mcore_export.bundle_command engine "$bundle"
    step engine-tensorrt-rtx "$python" -m mcore_export.bundle_command engine "$bundle" --kind tensorrt-rtx
    step verify-onnxruntime-cuda "$python" -m mcore_export.bundle_command verify "$bundle" --backend onnxruntime-cuda
    step verify-tensorrt "$python" -m mcore_export.bundle_command verify "$bundle" --backend tensorrt
    step verify-tensorrt-rtx "$python" -m mcore_export.bundle_command verify "$bundle" --backend tensorrt-rtx
    step bench "$python" -m mcore_bench.command "$bundle" --gpu-only --checkpoint "$checkpoint" --json "$out/bench.json"
    step training-options "$python" tools/training_options.py --device cuda --compile --json "$out/training_options.json"
    for precision in fp32 bf16 fp16; do
        step "train-paper-$precision" "$python" -m mcore.train --data "$dives" --out "$out/train-$precision" --preset paper \
            --batch-norm trained --epochs 2 --device cuda --precision "$precision" --overwrite
    done
}

steps
for name in $wanted; do
    case "$known" in *" $name "*) ;; *) echo "no step $name; allowed:$known" >&2; exit 2 ;; esac
done
if $has_gpu; then mkdir -p "$out"; else echo "no NVIDIA GPU with a driver here: nothing is run"; fi
naming=false
steps
if [ "$failed" -gt 0 ]; then
    echo "$failed steps failed"
    exit 1
fi
