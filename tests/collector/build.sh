#!/bin/bash
# build.sh CACHE: builds the Collector as CACHE/bin/otelcol, unless that is there already for the same sources and Go.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p "$1/bin"
bin=$(cd "$1/bin" && pwd)/otelcol
key=$(cat main.go go.mod go.sum <(GOTOOLCHAIN=local go version) | sha256sum | cut -d' ' -f1)
if [ -x "$bin" ] && [ "$(cat "$bin.key" 2>/dev/null)" = "$key" ]; then
  echo "$bin: already built"
  exit
fi
echo "$bin: building the Collector from its Go modules (once; some minutes)"
GOTOOLCHAIN=local CGO_ENABLED=0 nice go build -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$bin.new" .
mv "$bin.new" "$bin"
echo "$key" > "$bin.key"
