#!/bin/sh
# Installs a client generator and an API fuzzer in target/tools/clients; the tests run them.
set -eu
tools=target/tools/clients
wanted=tests/clients/requirements.txt
if ! cmp -s "$wanted" "$tools/installed.txt"; then
  echo "installing a client generator and an API fuzzer (PyPI) into $tools" >&2
  rm -rf "$tools"
  if ! python3 -m venv "$tools" >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq
      apt-get install -y -qq python3-venv >/dev/null
      python3 -m venv "$tools"
    else
      echo "clients: python3 with venv is needed (Debian: apt-get install python3-venv)" >&2
      exit 1
    fi
  fi
  "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
  cp "$wanted" "$tools/installed.txt"
fi
