#!/usr/bin/env bash
# Everything about the scan on an NVIDIA GPU in one call of ten minutes, the most telling first:
#   tools/gpu_check.sh [--steps "STEP …"] [--limit SECONDS] [--peer-wheel PATH | --peer] [--dry-run]
# Steps, in this order if none are named: environment exactness benchmarks checks training sweep tests compiled.
# --limit ends a step, and leaves out those after it, so that all is over by then (default 570; 0: no limit).
# --peer-wheel installs a wheel of mamba_ssm with its kernel, or a folder of wheels (tools/build_peer.sh makes
#   them ahead, without a GPU), to compare with; --peer builds them first, in time of its own.
# --dry-run does every step at tiny sizes on the CPU, the kernels in Triton's interpreter.
# Variables: OUT (default work_dirs/gpu_check), PYTHON (default python3), CONFIGS (those to train).
#
# What is found is on the disk as soon as it is found: report.txt (verdicts and tables), log.txt (all output), a
# line of JSON for each figure in exactness.jsonl, sweep.jsonl, checks.jsonl, benchmark.jsonl and training.jsonl,
# benchmark.png; and after each step all of these in gpu_check.tar.gz. Something wrong is a line that begins
# with RED, and ends the call with status 1; no error ends other steps or cases.
set -uo pipefail
here=$PWD
cd "$(dirname "$0")/.."

out=${OUT:-work_dirs/gpu_check}
python=${PYTHON:-python3}
configs=${CONFIGS-configs/rsmamba/rsmamba-t_synthetic-128px.py
configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py}
all='environment exactness benchmarks checks training sweep tests compiled'
steps=$all limit=570 wheels='' peer=false dry=false

usage() {
    sed -n '2,9s/^# //p' "$0" >&2
    exit 2
}
while (($#)); do
    case $1 in
        --steps) steps=${2?$(usage)} && shift ;;
        --limit) limit=${2?$(usage)} && shift ;;
        --peer-wheel) wheels=${2?$(usage)} && shift && [[ $wheels == /* ]] || wheels=$here/$wheels ;;
        --peer) peer=true ;;
        --dry-run) dry=true ;;
        *) usage ;;
    esac
    shift
done
for name in $steps; do
    if [[ " $all " != *" $name "* ]]; then
        echo "gpu_check.sh: no step $name; there are: $all" >&2
        exit 2
    fi
done
if [[ ! $limit =~ ^[0-9]+$ ]]; then
    echo "gpu_check.sh: --limit takes whole seconds, got $limit" >&2
    exit 2
fi
if [ -n "$wheels" ] && [[ ! -f $wheels || $wheels != *.whl ]] && ! compgen -G "$wheels/*.whl" >/dev/null; then
    echo "gpu_check.sh: --peer-wheel: no wheel at $wheels; tools/build_peer.sh makes one" >&2
    exit 2
fi
if ! said=$("$python" -c 'import torch, rsmamba_mm.models' 2>&1); then
    echo "gpu_check.sh: $python cannot import rsmamba_mm.models with OpenMMLab: $(tail -n 1 <<<"$said")." \
        "Install it there, pip install -e '.[mm]', or name another one, PYTHON=/path/to/python" >&2
    exit 1
fi
if ! $dry && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "gpu_check.sh needs an NVIDIA GPU that PyTorch can use, and $python finds none;" \
        "with --dry-run it runs every step at tiny sizes on the CPU." >&2
    exit 1
fi

mkdir -p "$out"
out=$(cd "$out" && pwd)
report=$out/report.txt files=(report.txt log.txt exactness.jsonl sweep.jsonl checks.jsonl benchmark.jsonl
    training.jsonl benchmark.png)
(cd "$out" && rm -f "${files[@]}" gpu_check.tar.gz)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PYTHON=$python PYTHONUNBUFFERED=1

say() { echo "$*" | tee -a "$report"; }

# in_time COMMAND…: ended when the limit is reached
in_time() {
    if ((limit == 0)); then "$@"; else timeout -k 5 "$((limit > SECONDS ? limit - SECONDS : 1))" "$@"; fi
}

wanted() { [[ " $steps " == *" ${1%% *} "* ]]; }

# step NAME COMMAND…: its output goes to the terminal and to log.txt, its verdict to report.txt
step() {
    local name=$1 start=$SECONDS status
    shift
    wanted "$name" || return 0
    if ((limit && SECONDS + 3 > limit)); then
        say "== $name: left out, no time is left of $limit s"
        return
    fi
    echo "== $name: $*" | tee -a "$out/log.txt"
    "$@" 2>&1 | tee -a "$out/log.txt" | tee "$scratch/said"
    status=${PIPESTATUS[0]}
    grep '^RED' "$scratch/said" >>"$report"
    case $status in
        0) say "== $name: right, $((SECONDS - start)) s" ;;
        124 | 137) say "== $name: cut by the limit after $((SECONDS - start)) s" ;;
        *) say "RED: $name failed (status $status), $((SECONDS - start)) s: $(grep -v '^RED' "$scratch/said" | tail -n 1)" ;;
    esac
    pack
}

# everything as one file, whole at any time
pack() {
    # shellcheck disable=SC2046 # names without spaces
    (cd "$out" && tar -czf .packed $(ls "${files[@]}" 2>/dev/null) && mv .packed gpu_check.tar.gz)
}

# recorded COMMAND…: where a fault ends the process, another one goes on with the rest of its record
recorded() {
    local status tries=0
    in_time "$@"
    status=$?
    while ((status == 75 || status > 128 && status != 137)) && ((++tries < 20)); do
        in_time "$@" --resume
        status=$?
    done
    return "$status"
}

environment() {
    nvidia-smi 2>/dev/null
    "$python" -m pip list 2>/dev/null | grep -iE '^(torch|triton|mamba|causal|rsmamba|mm|onedl|numpy|kernels)'
    git log -1 --format='commit %h of %as' 2>/dev/null
    if $dry; then # in the interpreter the check of each backend would take minutes
        "$python" -c 'import rsmamba_mm; print("rsmamba_mm", rsmamba_mm.__version__, rsmamba_mm.__file__)'
    else
        in_time "$python" -m rsmamba_mm.ops
    fi
}

exactness() { # SWEEP RECORD
    recorded "$python" tools/analysis_tools/check_scan.py --device "$device" --sweep "$1" --record "$out/$2" \
        "${backends[@]}"
}

benchmarks() {
    local status
    recorded "$python" tools/analysis_tools/benchmark_gpu.py --out "$out" "${tiny[@]}" | tee "$scratch/table"
    status=${PIPESTATUS[0]}
    if ((status == 124 || status > 128)); then
        "$python" tools/analysis_tools/benchmark_gpu.py --out "$out" --table | tee "$scratch/table"
    fi
    grep -vE '^RED|…$' "$scratch/table" >>"$report"
    return "$status"
}

# train CONFIG NAME [option…]: one short epoch; its figures go to training.jsonl
train() {
    local config=$1 name=$2 status images=640
    local launch=("$python" tools/train.py "$config")
    if [[ $name == *_ddp ]]; then launch=(tools/dist_train.sh "$config" 1); fi
    if $dry; then images=4; fi
    in_time "${launch[@]}" --work-dir "$scratch/$name" --cfg-options train_cfg.max_epochs=1 \
        default_hooks.logger.interval=5 train_dataloader.dataset.num_images=$images \
        val_dataloader.dataset.num_images=$((images / 10 + 4)) "${@:3}"
    status=$?
    sed -s "s/^{/{\"run\": \"$name\", /" "$scratch/$name"/*/vis_data/scalars.json >>"$out/training.jsonl" 2>/dev/null
    rm -rf "${scratch:?}/$name"
    if grep -s "\"run\": \"$name\"" "$out/training.jsonl" | grep -qE '"loss": (NaN|-?Infinity)'; then
        echo "RED: $name: the loss is not finite"
        return 1
    fi
    return "$status"
}

install_peer() {
    if $peer; then
        wheels=$scratch/peer
        tools/build_peer.sh \
            "$("$python" -c 'import torch; print("{}.{}".format(*torch.cuda.get_device_capability()))')" "$wheels" ||
            return
    fi
    local files=("$wheels")
    if [ -d "$wheels" ]; then files=("$wheels"/*.whl); fi
    "$python" -m pip install -q --no-index --no-deps "${files[@]}"
}

if $dry; then
    export TRITON_INTERPRET=1 OMP_NUM_THREADS=1
    device=cpu backends=(--backends triton) tiny=(--dry-run) small=tiny telling=tiny
else
    device=cuda backends=() tiny=() small=small telling=telling
    if $peer || [ -n "$wheels" ]; then
        steps="peer $steps"
        step peer install_peer
        if $peer; then SECONDS=0; fi # the limit is of what follows
    fi
fi
step environment environment
step exactness exactness "$small" exactness.jsonl
step benchmarks benchmarks
step checks recorded "$python" tools/analysis_tools/check_gpu.py --record "$out/checks.jsonl" "${tiny[@]}"
if $dry; then kinds=(float32); else kinds=(bfloat16 ddp float16); fi
for kind in "${kinds[@]}"; do
    for config in $configs; do
        name=$(basename "$config" .py)_$kind
        options=()
        if [[ $kind == *float16 ]]; then
            options=(optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype="$kind")
        fi
        if [ ! -f "$config" ]; then
            say "== training: left out, no $config here"
        else
            step "training $name" train "$config" "$name" "${options[@]}"
        fi
    done
done
step sweep exactness "$telling" sweep.jsonl
tests=(in_time "$python" -m pytest -q -p no:cacheprovider tests/test_ops/triton_kernels.py)
if $dry; then
    step tests "${tests[@]}" -k near_zero
    step compiled env -u TRITON_INTERPRET "$python" tools/analysis_tools/inspect_triton.py --kernels scan_combine
else
    if ! wanted tests || "$python" -c 'import pytest' 2>/dev/null; then
        step tests "${tests[@]}"
    else
        say "== tests: left out, $python has no pytest"
    fi
    step compiled in_time "$python" tools/analysis_tools/inspect_triton.py --arch \
        "$("$python" -c 'import torch; print("{}{}".format(*torch.cuda.get_device_capability()))')"
fi

pack
echo "== results in $out, all of them in $out/gpu_check.tar.gz"
if grep -q '^RED' "$report"; then
    red='' plain=''
    if [ -t 2 ]; then red=$'\e[1;31m' plain=$'\e[0m'; fi
    grep '^RED' "$report" | sed "s/.*/$red&$plain/" >&2
    exit 1
fi
