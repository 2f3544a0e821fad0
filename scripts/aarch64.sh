#!/bin/sh
# Tests the NEON kernel against the reference on a machine without NEON: builds the emulator's tests for aarch64 and runs them
# under QEMU. Takes some minutes; `make test` covers only the kernels of its own machine.
set -eu
target=aarch64-unknown-linux-gnu
tools=$(pwd)/target/tools/aarch64
needed="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"

if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
  if [ "$(id -u)" != 0 ]; then
    echo "aarch64: a cross compiler and QEMU are missing; as root: apt-get install $needed" >&2
    exit 1
  fi
  echo "installing $needed" >&2
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $needed >/dev/null
fi

# Uses the toolchain's standard library for the target if it is installed (rustup target add), else Debian's compiler and
# library, unpacked into target/tools.
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  if [ ! -x "$tools/rustc" ]; then
    echo "downloading Debian's Rust compiler and its library for $target into $tools" >&2
    mkdir -p "$tools/lists/partial" "$tools/cache/archives/partial" "$tools/root"
    both="-o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o Dir::State::Lists=$tools/lists -o Dir::Cache=$tools/cache"
    # shellcheck disable=SC2086
    (cd "$tools" && apt-get $both update -qq && apt-get $both download -qq rustc-web libllvm22 libz3-4 \
      libstd-rust-web-dev libstd-rust-web-1.96 libstd-rust-web-dev:arm64)
    for package in "$tools"/*.deb; do dpkg -x "$package" "$tools/root"; done
    cat >"$tools/rustc" <<EOF
#!/bin/sh
LD_LIBRARY_PATH=$tools/root/usr/lib/x86_64-linux-gnu:$tools/root/usr/lib/llvm-22/lib exec $tools/root/usr/bin/rustc --sysroot $tools/root/usr "\$@"
EOF
    chmod +x "$tools/rustc"
  fi
  export RUSTC="$tools/rustc"
fi

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
cargo test --locked --target $target --target-dir target/aarch64 --test it emulator
