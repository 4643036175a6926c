#!/bin/sh
# Train one net on all GPUs of this machine (or on DEVICES), which share every batch:
#   example/train_multi_gpu.sh pnet packs/12 runs/first --epochs 16
#   DEVICES=cpu:0,cpu:1 example/train_multi_gpu.sh rnet packs/24 runs/first
# KVSTORE: device (default), local or nccl. PYTHON: the interpreter. Further words are options of `gluon-mtcnn train`.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: $0 pnet|rnet|onet PACK_FOLDER OUT [option of train ...]" >&2
    exit 2
fi
net=$1 data=$2 out=$3
shift 3
if [ -z "${DEVICES:-}" ]; then
    DEVICES=$(nvidia-smi --list-gpus 2>/dev/null | awk '{ printf "%sgpu:%d", (NR > 1 ? "," : ""), NR - 1 }')
fi
if [ -z "$DEVICES" ]; then
    echo "$0: nvidia-smi lists no GPU: set DEVICES, for instance to cpu:0,cpu:1" >&2
    exit 2
fi
exec "${PYTHON:-python3}" -m gluon_mtcnn train "$net" --data "$data" --out "$out" \
    --devices "$DEVICES" --kvstore "${KVSTORE:-device}" "$@"
