#!/bin/sh
# Installs what the commands in the documents need besides the program: curl, jq, and PyTorch in target/tools/pytorch.
set -eu
for tool in curl jq; do
  if ! command -v "$tool" >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq
      apt-get install -y -qq --no-install-recommends "$tool" >/dev/null
    else
      echo "guides: $tool is needed (Debian: apt-get install $tool)" >&2
      exit 1
    fi
  fi
done
exec scripts/pytorch.sh
