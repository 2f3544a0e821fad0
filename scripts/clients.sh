#!/bin/sh
# Installs client generators (Python, TypeScript with Node.js) and an API fuzzer in target/tools/clients; the tests run them.
set -eu
tools=target/tools/clients
wanted=tests/clients/requirements.txt
packages=tests/clients/typescript
if ! cmp -s "$wanted" "$tools/installed.txt"; then
  echo "installing client generators, Node.js and an API fuzzer (PyPI) into $tools" >&2
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
if ! cmp -s "$packages/package-lock.json" "$tools/typescript/node_modules/installed.json"; then
  echo "installing a TypeScript client generator (npm) into $tools/typescript" >&2
  mkdir -p "$tools/typescript"
  cp "$packages/package.json" "$packages/package-lock.json" "$tools/typescript"
  "$tools/bin/npm" ci --prefix "$tools/typescript" --silent --no-audit --no-fund --ignore-scripts
  cp "$packages/package-lock.json" "$tools/typescript/node_modules/installed.json"
fi
