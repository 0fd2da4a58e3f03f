#!/bin/bash
# run.sh AGENT ZOO VERIFIER: boots each kernel of `matrix` in QEMU, without acceleration, two at a time; checks what AGENT
# reports there, makes the drops of ZOO, and shows each BPF program to the kernel's VERIFIER (tests/src/bin/drop_zoo.rs,
# verifier.rs). Prints a line per kernel and check, tables of kernel by program and by scenario; the last line counts the
# checks.
#
# TCPDROP_KERNELS="6.1 new" boots these only, TCPDROP_ZOO='part|part' makes other scenarios than those of `portable`, and
# TCPDROP_KEEP=folder keeps what the guests wrote.
set -euo pipefail
agent=$1 zoo=$2 verifier=$3
here=$(cd "$(dirname "$0")" && pwd)
cache=${TCPDROP_TEST_CACHE:-${HOME:-/root}/.cache/tcpdrop-otel}/kernels
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
boot_seconds=${TCPDROP_BOOT_SECONDS:-600}
# This one is booted twice: its stacks have to have the same hashes, wherever KASLR puts the kernel.
twice=6.12

finish() {
  echo "$1 passed, $2 failed, $3 skipped"
  [ "$2" = 0 ] || exit 1
  [ "${CI:-}" != true ] || [ "$3" = 0 ] || exit 1
  exit 0
}

matrix() {
  awk -v only=" ${TCPDROP_KERNELS:-} " '/^[^#]/ && (only ~ /^ *$/ || index(only, " " $1 " "))' "$here/matrix"
}

skip_all() {
  matrix | awk -v why="$1" '{ print "SKIP " $1 ": " why }'
  finish 0 0 "$(matrix | wc -l)"
}

# A program with the libraries that it asks for.
put() {
  local program=$1 root=$2 library
  cp -L "$program" "$root/bin/"
  strip "$root/bin/$(basename "$program")" 2> /dev/null || true
  for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    [ -e "$root$library" ] || install -D "$library" "$root$library"
  done
}

# The agent, the zoo and what it needs, and a shell.
make_initramfs() {
  local root=$work/root applet program
  mkdir -p "$root"/{bin,sbin,proc,sys,dev,tmp,run,etc}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in sh awk cat cut echo grep head kill mkdir modprobe mount nc nslookup poweroff sed sleep stat stty tail timeout \
    tr uname wc wget xargs; do
    ln -s busybox "$root/bin/$applet"
  done
  ln -s /bin/busybox "$root/sbin/modprobe"
  for program in "$agent" "$zoo" "$verifier" "$(command -v ip)" "$(command -v nft)" "$(command -v tc)"; do
    put "$program" "$root"
  done
  install "$here/guest.sh" "$root/init"
  (if [ -n "${TCPDROP_ZOO:-}" ]; then tr '|' '\n' <<< "$TCPDROP_ZOO"; else sed '/^#/d; s/$/$/' "$here/portable"; fi) > "$root/etc/portable"
  (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initramfs"
}

# boot KERNEL NAME: NAME is how this boot is called.
boot() {
  local kernel=$1 name=$2
  cat "$work/initramfs" "$cache/$kernel/modules.cpio.gz" > "$work/$name.initramfs"
  timeout "$boot_seconds" qemu-system-x86_64 -accel tcg -smp 2 -m 768 -no-reboot -display none -nodefaults \
    -kernel "$cache/$kernel/vmlinuz" -initrd "$work/$name.initramfs" \
    -append "console=ttyS0 panic=-1 quiet twice=$([ "$name" = "$kernel" ] || echo yes)" \
    -serial "file:$work/$name.console" -serial "file:$work/$name.lines" < /dev/null 2> "$work/$name.qemu" || true
  rm "$work/$name.initramfs"
  touch "$work/$name.lines"
}

lines() {
  tr -d '\r' < "$work/$1.lines" | sed -n "s/^$2 //p"
}

check() {
  local name=$1 can=$2
  tr -d '\r' < "$work/$name.lines" | jq -R . | jq -rs --argjson can "$can" -f "$here/check.jq" > "$work/$name.results" ||
    echo "FAIL the checks could not be made" >> "$work/$name.results"
}

# What /status says that the probe can give there, a line each for the table.
given() {
  lines "$1" STATUS | jq -r '.probe.capabilities | del(.program) | to_entries[] | "GIVES \(.key) \(.value)"'
}

# The second boot has to give each cause the hash that it had, at other addresses.
check_second_boot() {
  local name=$1
  if [ "$(lines "$name" KASLR)" = "$(lines "$name-again" KASLR)" ]; then
    echo "FAIL two boots have their kernel in two places: both are at $(lines "$name" KASLR)"
  else
    echo "ok two boots have their kernel in two places"
  fi
  jq -nr --rawfile one "$work/$name.lines" --rawfile other "$work/$name-again.lines" -f "$here/hashes.jq" ||
    echo "FAIL the hashes could not be compared"
}

show() {
  local name=$1
  echo "$name is $(lines "$name" RELEASE) ($(cat "$cache/$name/package"))"
  sed "s/^ok /ok $name: /; s/^FAIL /FAIL $name: /" "$work/$name.results"
  if grep -q ^FAIL "$work/$name.results"; then
    echo "-- the guest's console and the agent's words:"
    tail -n 15 "$work/$name.console" "$work/$name.qemu"
    grep -aE '^(WATCH|RUN|ZOO) ' "$work/$name.lines" | cut -c -300 | tail -n 30
  fi
}

for tool in qemu-system-x86_64 busybox cpio jq ip nft tc xz; do
  command -v "$tool" > /dev/null || skip_all "$tool is not installed (tests/setup.sh kernels installs it)"
done
mkdir -p "$cache"
make_initramfs

# While guests run, what the next one needs is fetched.
skipped=0
while read -r name _ packages; do
  # shellcheck disable=SC2086 # patterns, one a word
  if ! "$here/fetch.sh" "$cache" "$name" $packages < /dev/null; then
    echo "SKIP $name: its packages could not be had"
    skipped=$((skipped + 1))
    continue
  fi
  for boot in "$name" $([ "$name" != "$twice" ] || echo "$name-again"); do
    while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
      wait -n || true
    done
    boot "$name" "$boot" &
  done
done < <(matrix)
wait

passed=0 failed=0
while read -r name can _; do
  [ -e "$work/$name.lines" ] || continue
  check "$name" "$can"
  [ ! -e "$work/$name-again.lines" ] || check_second_boot "$name" >> "$work/$name.results"
  given "$name" >> "$work/$name.lines" || true
  show "$name"
  passed=$((passed + $(grep -c '^ok' "$work/$name.results" || true)))
  failed=$((failed + $(grep -c '^FAIL' "$work/$name.results" || true)))
done < <(matrix)
[ -z "${TCPDROP_KEEP:-}" ] || cp "$work"/*.{lines,console,qemu,results} "$TCPDROP_KEEP" 2> /dev/null || true
# shellcheck disable=SC2046 # names of files
(cd "$work" && awk -f "$here/table.awk" $(matrix | awk '{ print $1 ".lines" }' | while read -r file; do [ ! -e "$file" ] || echo "$file"; done))
finish "$passed" "$failed" "$skipped"
