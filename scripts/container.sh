#!/bin/sh
# Builds the image, runs it, requests a few paths and stops it by SIGTERM: with container-check if it is installed (it needs no
# Docker daemon), else with Docker.
set -eu
paths="/healthz /v1/model /v1/stats /metrics /openapi.yaml"
for check in ../shared/tools/container-check "${CONTAINER_CHECK:-}"; do
  if [ -n "$check" ] && [ -x "$check" ]; then
    # shellcheck disable=SC2086
    exec "$check" . -- $paths
  fi
done
if ! command -v docker >/dev/null || ! docker info >/dev/null 2>&1; then
  echo "container: neither container-check nor a Docker daemon was found; the image was not built" >&2
  exit 1
fi
docker build -q -f docker/Dockerfile -t spikelens .
docker image inspect --format '{{.Size}} bytes' spikelens
container=$(docker run -d --rm --read-only --tmpfs /data:uid=65532 -p 127.0.0.1:18080:8080 spikelens)
trap 'docker kill "$container" >/dev/null 2>&1 || true' EXIT
until curl -fsS http://127.0.0.1:18080/readyz; do sleep 0.5; done
for path in $paths; do curl -fsS -o /dev/null "http://127.0.0.1:18080$path"; done
docker stop -t 10 "$container"
