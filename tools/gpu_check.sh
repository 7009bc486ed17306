#!/usr/bin/env bash
# Everything about the scan on NVIDIA GPUs in one call: environment, exactness, benchmarks, a short training of
# both systems. Leaves JSON, tables and pictures in OUT and ends with non-zero if a step failed.
#   tools/gpu_check.sh [--peer] [--dry-run]
# --peer builds mamba_ssm's kernel from its source package first, for this GPU (needs nvcc and some minutes).
# --dry-run does every step at tiny sizes on the CPU, the kernels in Triton's interpreter.
# Variables: OUT (default work_dirs/gpu_check), PYTHON (default python), CONFIGS (those to train).
set -uo pipefail
cd "$(dirname "$0")/.."

out=${OUT:-work_dirs/gpu_check}
python=${PYTHON:-python}
configs=${CONFIGS-configs/rsmamba/rsmamba-t_synthetic-128px.py
configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py}
peer=false dry=false
for option; do
    case $option in
        --peer) peer=true ;;
        --dry-run) dry=true ;;
        *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
done

if ! "$python" -c 'import torch, rsmamba_mm' 2>/dev/null; then
    echo "gpu_check.sh: $python lacks PyTorch or rsmamba_mm: name another one, PYTHON=/path/to/python" >&2
    exit 1
fi
if ! $dry && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "gpu_check.sh needs an NVIDIA GPU that PyTorch can use, and $python finds none;" \
        "with --dry-run it runs every step at tiny sizes on the CPU." >&2
    exit 1
fi
mkdir -p "$out"
failed=()

# step NAME COMMAND…: its output goes to the terminal and to OUT/NAME.txt
step() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name: $*"
    "$@" 2>&1 | tee "$out/$name.txt"
    [ "${PIPESTATUS[0]}" = 0 ] || failed+=("$name")
    echo "== $name: $((SECONDS - start)) s"
}

environment() {
    nvidia-smi 2>/dev/null
    "$python" -m pip list 2>/dev/null | grep -iE '^(torch|triton|mamba|causal|rsmamba|mm|onedl|numpy)'
    git log -1 --format='commit %h of %as' 2>/dev/null
    # in the interpreter the check of each backend would take minutes
    env -u TRITON_INTERPRET "$python" -m rsmamba_mm.ops
}

# causal-conv1d is the peer's alone: without it mamba_ssm's mixer leaves its fused path and would look slower
build_peer() {
    local capability
    capability=$("$python" -c 'import torch; print("{}.{}".format(*torch.cuda.get_device_capability()))') || return
    "$python" -m pip install -q ninja packaging wheel setuptools &&
        TORCH_CUDA_ARCH_LIST=$capability MAMBA_KEEP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE \
            "$python" -m pip install --no-build-isolation --no-cache-dir --no-deps mamba-ssm &&
        TORCH_CUDA_ARCH_LIST=$capability CAUSAL_CONV1D_FORCE_BUILD=TRUE \
            "$python" -m pip install --no-build-isolation --no-cache-dir --no-deps causal-conv1d &&
        "$python" -m pip install -q transformers
}

# train CONFIG NAME [option…]: one epoch
train() {
    local config=$1 options=(train_cfg.max_epochs=1 default_hooks.logger.interval=5)
    local launch=("$python" tools/train.py "$config")
    if [[ $2 == *_ddp ]]; then launch=(tools/dist_train.sh "$config" 1); fi
    if $dry; then
        options+=(train_dataloader.dataset.num_images=4 train_dataloader.batch_size=2
            val_dataloader.dataset.num_images=4 test_dataloader.dataset.num_images=4)
    fi
    PYTHON=$python "${launch[@]}" --work-dir "$out/$2" --cfg-options "${options[@]}" "${@:3}"
}

if $dry; then
    export TRITON_INTERPRET=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    device=cpu sweep=(--quick --backends triton torch) bench=(--dry-run)
else
    device=cuda sweep=() bench=()
    if $peer; then step peer build_peer; fi
fi
step environment environment
step exactness "$python" tools/analysis_tools/check_scan.py --device "$device" "${sweep[@]}"
if $dry; then
    step tests "$python" -m pytest -q -p no:cacheprovider tests/test_ops/triton_kernels.py -k near_zero
    step compiled env -u TRITON_INTERPRET "$python" tools/analysis_tools/inspect_triton.py --kernels scan_combine
else
    step tests "$python" -m pytest -q -p no:cacheprovider tests/test_ops/triton_kernels.py
    capability=$("$python" -c 'import torch; print("{}{}".format(*torch.cuda.get_device_capability()))')
    step compiled "$python" tools/analysis_tools/inspect_triton.py --arch "$capability"
fi
step benchmarks "$python" tools/analysis_tools/benchmark_gpu.py --out "$out" "${bench[@]}"
for config in $configs; do
    name=$(basename "$config" .py)
    if [ ! -f "$config" ]; then
        echo "== left out: no $config here"
    elif $dry; then
        step "train_$name" train "$config" "train_$name"
    else
        for dtype in bfloat16 float16; do
            step "train_${name}_$dtype" train "$config" "train_${name}_$dtype" \
                optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype="$dtype"
        done
        step "train_${name}_ddp" train "$config" "train_${name}_ddp"
    fi
done

echo "== results in $out"
if ((${#failed[@]})); then
    printf '== failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
