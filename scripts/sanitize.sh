#!/bin/sh
# Runs the emulator's tests under AddressSanitizer, for the `unsafe` code in the kernels. Needs a nightly toolchain and some
# minutes.
set -eu
if ! rustup run nightly rustc --version >/dev/null 2>&1; then
  echo "sanitize: a nightly toolchain is needed: rustup toolchain install nightly --profile minimal" >&2
  exit 1
fi
RUSTFLAGS=-Zsanitizer=address \
  cargo +nightly test --locked --target x86_64-unknown-linux-gnu --target-dir target/sanitize --test it emulator
