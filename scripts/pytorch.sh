#!/bin/sh
# Installs Debian's PyTorch, with packages from PyPI beside it: scripts/pytorch.sh [NAME PACKAGE...], in target/tools/NAME; by
# default safetensors in target/tools/pytorch, with which docs/models.md trains a network.
set -eu
[ $# -gt 0 ] || set -- pytorch safetensors==0.6.2 packaging==25.0
name=$1
shift
tools=target/tools/$name
wanted=$*
if [ "$(cat "$tools/installed.txt" 2>/dev/null)" != "$wanted" ]; then
  if ! /usr/bin/python3 -c 'import torch, numpy, venv, ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      echo "installing PyTorch (Debian's python3-torch)" >&2
      apt-get update -qq
      apt-get install -y -qq --no-install-recommends python3-torch python3-venv >/dev/null
    else
      echo "$name: /usr/bin/python3 needs PyTorch and venv (Debian: apt-get install python3-torch python3-venv)" >&2
      exit 1
    fi
  fi
  echo "installing $wanted (PyPI) for Debian's PyTorch into $tools" >&2
  rm -rf "$tools"
  /usr/bin/python3 -m venv --system-site-packages "$tools"
  # Without dependencies: PyTorch is Debian's.
  "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps "$@"
  echo "$wanted" >"$tools/installed.txt"
fi
