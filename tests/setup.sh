#!/bin/bash
# setup.sh [kernels|fuzz]: installs what the tests need beyond Rust, on Debian and Ubuntu, and builds their Collector; with
# `kernels` or `fuzz` what booting other kernels or fuzzing needs instead. Quick when all is there. What cannot be had is
# said; the tests that need it are skipped.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"
cache=${TCPDROP_TEST_CACHE:-${HOME:-/root}/.cache/tcpdrop-otel}

# Program and the Debian package that has it.
needed='
bpftrace bpftrace
cc build-essential
clang-16 clang-16
ethtool ethtool
ip iproute2
nft nftables
perf linux-perf
setpriv util-linux
tc iproute2
unshare util-linux
'

needed_to_fuzz='
c++ build-essential
'

needed_to_boot='
busybox busybox-static
cpio cpio
ip iproute2
jq jq
nft nftables
qemu-system-x86_64 qemu-system-x86
strip binutils
tc iproute2
xz xz-utils
'

missing_packages() {
  local program package
  while read -r program package; do
    if [ -n "$program" ] && ! command -v "$program" > /dev/null; then
      echo "$package"
    fi
  done <<< "$needed" | sort -u | xargs
}

install_packages() {
  local packages=$1
  if ! command -v apt-get > /dev/null; then
    echo "setup: no apt-get here; install by hand what these packages have: $packages"
  elif [ "$(id -u)" != 0 ]; then
    echo "setup: not root; as root this would run: apt-get install $packages"
  else
    echo "setup: installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of packages
    if ! { apt-get update -q < /dev/null && apt-get install -qy --no-install-recommends $packages < /dev/null; }; then
      echo "setup: apt-get failed (see above)"
    fi
  fi
}

build_collector() {
  if ! command -v go > /dev/null; then
    echo "setup: no Go; install the version that tests/collector/go.mod names, or a newer one, from https://go.dev/dl"
  elif ! collector/build.sh "$cache"; then
    echo "setup: the Collector could not be built (see above)"
  fi
}

case ${1:-} in
  kernels) needed=$needed_to_boot ;;
  fuzz) needed=$needed_to_fuzz ;;
esac
packages=$(missing_packages)
if [ -n "$packages" ]; then
  install_packages "$packages"
fi
[ -n "${1:-}" ] || build_collector
