#!/bin/sh
# Train one net with several processes over MXNet's parameter server:
#   example/train_distributed.sh pnet packs/12 runs/first --epochs 16
#   WORKERS=4 HOSTS=hosts.txt DEVICES=gpu:0,gpu:1 RESTART=3 example/train_distributed.sh onet packs/48 runs/first
# HOSTS: a file with a host a line (docs/distributed.md); without it all processes run here. WORKERS (2), SERVERS (1),
# RESTART (0), KVSTORE (dist_sync), DEVICES of each worker (cpu), PYTHON: the interpreter. Further words are options of
# `gluon-mtcnn train`.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: $0 pnet|rnet|onet PACK_FOLDER OUT [option of train ...]" >&2
    exit 2
fi
net=$1 data=$2 out=$3
shift 3
exec "${PYTHON:-python3}" -m gluon_mtcnn launch -n "${WORKERS:-2}" -s "${SERVERS:-1}" ${HOSTS:+--hosts "$HOSTS"} \
    --restart "${RESTART:-0}" -- train "$net" --data "$data" --out "$out" \
    --devices "${DEVICES:-cpu}" --kvstore "${KVSTORE:-dist_sync}" "$@"
