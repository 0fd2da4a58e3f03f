#!/bin/bash
# fetch.sh DIRECTORY: brings DIRECTORY/NAME/{vmlinuz,package} for each kernel of the matrix, from the Debian mirror that
# this system's apt uses. The system's own package lists stay as they are. What is there is kept: remove it to get the
# newest of its series.
set -euo pipefail
directory=$1
work=$directory/apt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Series and how its packages are named. Above 7.0 the kernel file is in another package than the image.
kernels='
5.10 ^linux-image-5\.10\.0-[0-9]+-cloud-amd64$
6.1  ^linux-image-6\.1\.0-[0-9]+-cloud-amd64$
6.12 ^linux-image-6\.12\.[0-9]+\+deb13-cloud-amd64$
new  ^linux-binary-[0-9.]+\+deb13-cloud-amd64$
'

apt() {
  local command=$1
  shift
  "$command" -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Languages=none \
    -o Acquire::Retries=3 "$@" < /dev/null
}

# The mirrors in use, with the suites that have older and newer kernels.
write_sources() {
  local mirror
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Identifier: Packages' |
    awk '$2 == "Debian" { sub("/$", "", $1); print $1 }' | sort -u > "$work/mirrors"
  while read -r mirror; do
    case $mirror in
      *security*) echo "deb [signed-by=$keyring] $mirror bullseye-security main" ;;
      *)
        for suite in bookworm trixie trixie-backports; do
          echo "deb [signed-by=$keyring] $mirror $suite main"
        done
        ;;
    esac
  done < "$work/mirrors" > "$work/sources.list"
  [ -s "$work/sources.list" ] || { echo "fetch: apt has no Debian mirror configured" >&2; return 1; }
}

fetch_kernel() {
  local name=$1 pattern=$2 package kernel
  package=$(apt apt-cache search --names-only "$pattern" | cut -d ' ' -f 1 | sort -V | tail -n 1)
  [ -n "$package" ] || { echo "fetch: the mirror has no package $pattern" >&2; return 1; }
  rm -rf "$work/unpacked" && mkdir -p "$work/unpacked"
  (cd "$work/unpacked" && apt apt-get download "$package" > /dev/null && dpkg-deb -x ./*.deb .)
  kernel=$(find "$work/unpacked" -name 'vmlinuz*' -type f | head -n 1)
  [ -n "$kernel" ] || { echo "fetch: no kernel in $package" >&2; return 1; }
  mkdir -p "$directory/$name"
  cp "$kernel" "$directory/$name/vmlinuz.new"
  echo "$package" > "$directory/$name/package"
  mv "$directory/$name/vmlinuz.new" "$directory/$name/vmlinuz"
  rm -rf "$work/unpacked"
}

updated=no
while read -r name pattern; do
  if [ -z "$name" ] || [ -s "$directory/$name/vmlinuz" ]; then
    continue
  fi
  if [ "$updated" = no ]; then
    echo "fetch: reading package lists" >&2
    write_sources && apt apt-get update > "$work/log" 2>&1 || { tail -n 5 "$work/log" >&2 || true; exit 1; }
    updated=yes
  fi
  fetch_kernel "$name" "$pattern" || echo "fetch: kernel $name cannot be had" >&2
done <<< "$kernels"
