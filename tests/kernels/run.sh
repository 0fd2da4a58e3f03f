#!/bin/bash
# run.sh AGENT: boots one kernel of each kind in QEMU, without acceleration, and checks what AGENT reports there.
# Prints a line per kernel and check; the last line counts them.
set -euo pipefail
agent=$1
here=$(cd "$(dirname "$0")" && pwd)
cache=${TCPDROP_TEST_CACHE:-${HOME:-/root}/.cache/tcpdrop-otel}/kernels
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
boot_seconds=${TCPDROP_BOOT_SECONDS:-150}

# Series, and what its kernels can give.
kernels='
5.10 {"reason":false,"receiving_socket":false,"netns_cookie":false}
6.1  {"reason":true,"receiving_socket":false,"netns_cookie":true}
6.12 {"reason":true,"receiving_socket":true,"netns_cookie":true}
new  {"reason":true,"receiving_socket":true,"netns_cookie":true}
'

finish() {
  echo "$1 passed, $2 failed, $3 skipped"
  [ "$2" = 0 ] || exit 1
  [ "${CI:-}" != true ] || [ "$3" = 0 ] || exit 1
  exit 0
}

series() {
  awk 'NF { print $1 }' <<< "$kernels"
}

skip_all() {
  local name
  for name in $(series); do
    echo "SKIP $name: $1"
  done
  finish 0 0 "$(series | wc -l)"
}

# The agent with the libraries that it asks for, and a shell.
make_initramfs() {
  local root=$work/root library applet
  mkdir -p "$root"/{bin,proc,sys,dev,tmp,etc}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in awk sh cat echo grep head ip kill mount nc nslookup poweroff sed sleep stat stty timeout tr \
    uname wc wget; do
    ln -s busybox "$root/bin/$applet"
  done
  cp "$agent" "$root/bin/tcpdrop-otel"
  strip "$root/bin/tcpdrop-otel" 2> /dev/null || true
  for library in $(ldd "$agent" | grep -o '/[^ ]*'); do
    install -D "$library" "$root$library"
  done
  install "$here/guest.sh" "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initramfs"
}

boot() {
  local name=$1
  timeout "$boot_seconds" qemu-system-x86_64 -accel tcg -smp 2 -m 512 -no-reboot -display none -nodefaults \
    -kernel "$cache/$name/vmlinuz" -initrd "$work/initramfs" -append "console=ttyS0 panic=-1 quiet" \
    -serial "file:$work/$name.console" -serial "file:$work/$name.lines" < /dev/null 2> "$work/$name.qemu" || true
}

check() {
  local name=$1 can=$2 lines=$work/$1.lines
  tr -d '\r' < "$lines" | jq -R . | jq -rs --argjson can "$can" -f "$here/check.jq" > "$work/$name.results" ||
    echo "FAIL the checks could not be made" >> "$work/$name.results"
  echo "$name is $(sed -n 's/^RELEASE //p' "$lines" | tr -d '\r') ($(cat "$cache/$name/package"))"
  sed "s/^ok /ok $name: /; s/^FAIL /FAIL $name: /" "$work/$name.results"
  if grep -q ^FAIL "$work/$name.results"; then
    echo "-- the guest's console and the agent's words:"
    tail -n 15 "$work/$name.console" "$work/$name.qemu"
    grep -aE '^(WATCH|RUN) ' "$lines" | cut -c -300 | tail -n 12
  fi
}

for tool in qemu-system-x86_64 busybox cpio jq; do
  command -v "$tool" > /dev/null || skip_all "$tool is not installed (tests/setup.sh kernels installs it)"
done
mkdir -p "$cache"
"$here/fetch.sh" "$cache" || echo "The package lists could not be read; what the cache has is used."
make_initramfs

passed=0 failed=0 skipped=0
while read -r name can; do
  [ -n "$name" ] || continue
  if [ -n "${TCPDROP_KERNELS:-}" ] && [[ " $TCPDROP_KERNELS " != *" $name "* ]]; then
    continue
  fi
  if [ ! -s "$cache/$name/vmlinuz" ]; then
    echo "SKIP $name: its package could not be had"
    skipped=$((skipped + 1))
    continue
  fi
  boot "$name"
  touch "$work/$name.lines"
  check "$name" "$can"
  passed=$((passed + $(grep -c '^ok' "$work/$name.results" || true)))
  failed=$((failed + $(grep -c '^FAIL' "$work/$name.results" || true)))
  [ -z "${TCPDROP_KEEP:-}" ] || cp "$work/$name".* "$TCPDROP_KEEP"
done <<< "$kernels"
finish "$passed" "$failed" "$skipped"
