#!/bin/sh
# Puts the four official files of Fashion-MNIST into the directory $1, from Debian's package, downloaded and unpacked without root.
# Does nothing if they exist.
set -eu
folder=$1
files="train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz"
missing=
for file in $files; do [ -f "$folder/$file" ] || missing=$file; done
[ -n "$missing" ] || exit 0

package=dataset-fashion-mnist
installed=/usr/share/datasets/fashion-mnist
if [ -f "$installed/train-images-idx3-ubyte.gz" ]; then
  source=$installed
elif command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  echo "downloading Debian's package $package (30 MB) and unpacking it into $folder; no root is needed" >&2
  download() { (cd "$work" && apt-get download -qq "$package" >"$work/log" 2>&1); }
  if ! download; then
    # No package lists on this machine: download them, without root into a temporary directory.
    if [ "$(id -u)" = 0 ]; then
      apt-get update -qq >"$work/log" 2>&1 || true
      download || { cat "$work/log" >&2; echo "dataset: $package cannot be downloaded" >&2; exit 1; }
    else
      mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
      own="-o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache"
      # shellcheck disable=SC2086
      apt-get update -qq $own >"$work/log" 2>&1 || true
      # shellcheck disable=SC2086
      (cd "$work" && apt-get download -qq $own "$package" >"$work/log" 2>&1) ||
        { cat "$work/log" >&2; echo "dataset: $package cannot be downloaded" >&2; exit 1; }
    fi
  fi
  dpkg -x "$work"/$package*.deb "$work/unpacked"
  source=$work/unpacked$installed
else
  echo "dataset: $folder lacks $missing, and this system has no apt-get and dpkg;" >&2
  echo "set SPIKELENS_DATASET to a directory with the four official *-ubyte.gz files of Fashion-MNIST" >&2
  exit 1
fi
mkdir -p "$folder"
for file in $files; do
  cp "$source/$file" "$folder/$file.new"
  mv "$folder/$file.new" "$folder/$file"
done
