#!/bin/sh
# Checks licences, sources and bans of all dependencies with cargo-deny, which is installed in target/tools.
set -eu
version=0.20.2
tools=target/tools
if ! "$tools/bin/cargo-deny" --version 2>/dev/null | grep -q " $version\$"; then
  echo "installing cargo-deny $version into $tools" >&2
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --locked --root "$tools" --target-dir "$tools/build" cargo-deny@$version
fi
"$tools/bin/cargo-deny" --all-features check licenses bans sources
