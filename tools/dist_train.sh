#!/usr/bin/env bash
# Train on several GPUs of a machine, or in several processes on its CPU:
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# On several machines, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=first-machine tools/dist_train.sh …
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [options of tools/train.py]" >&2
    exit 2
fi
config=$1 processes=$2
shift 2
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${MASTER_PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
