#!/bin/sh
# Provides a Chromium for the page's tests: the one in SPIKELENS_CHROMIUM, one in PATH, or Debian's package, which is installed
# if this runs as root.
set -eu
if [ -n "${SPIKELENS_CHROMIUM:-}" ]; then
  [ -x "$SPIKELENS_CHROMIUM" ] && exit 0
  echo "chromium: SPIKELENS_CHROMIUM is $SPIKELENS_CHROMIUM, which is not executable" >&2
  exit 1
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "chromium: the page's tests need a Chromium or Chrome; install one (Debian, as root:" >&2
  echo "apt-get install --no-install-recommends chromium), or set SPIKELENS_CHROMIUM to its path" >&2
  exit 1
fi
echo "installing Debian's package chromium for the page's tests" >&2
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
