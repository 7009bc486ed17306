#!/usr/bin/env bash
# Train on several GPUs of a machine, or in several processes on its CPU:
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# On several machines, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=first-machine PORT=29500 tools/dist_train.sh …
# MAX_RESTARTS=3 starts all processes again after a fault of one, from the last checkpoint.
# TORCHRUN_ARGS holds further options of torchrun.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [options of tools/train.py]" >&2
    exit 2
fi
config=$1 processes=$2
shift 2
address=${MASTER_ADDR:-127.0.0.1} port=${PORT:-${MASTER_PORT:-29500}}
if [ -n "${MAX_RESTARTS:-}" ]; then # the machines meet anew after a fault
    # else PyTorch 2.13 hands the addresses of the processes that have died to the new ones
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    meeting=(--max-restarts="$MAX_RESTARTS" --rdzv-backend=c10d --rdzv-endpoint="$address:$port")
else
    meeting=(--node-rank="${NODE_RANK:-0}" --master-addr="$address" --master-port="$port")
fi
read -r -a more <<<"${TORCHRUN_ARGS:-}"
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --nproc-per-node="$processes" "${meeting[@]}" "${more[@]}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
