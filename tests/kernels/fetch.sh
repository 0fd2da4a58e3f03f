#!/bin/bash
# fetch.sh DIRECTORY NAME PACKAGES...: brings DIRECTORY/NAME/{vmlinuz,modules.cpio.gz,package} for one kernel of the matrix,
# from the Debian mirror that this system's apt uses. PACKAGES are patterns of names; of each the newest is taken. The
# system's own package lists stay as they are. What is there is kept: remove it to get the newest of its series.
set -euo pipefail
directory=$1 name=$2
shift 2
work=$directory/apt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# What the guests load: the names of modules, without those that they need.
wanted='
veth macvlan dummy tun vxlan bridge 8021q ipip ip_gre sit ip6_tunnel tunnel4 tunnel6
nf_tables nft_chain_nat nft_counter nft_ct nft_fib_inet nft_fib_ipv4 nft_fib_ipv6 nft_limit nft_log nft_masq nft_meta_bridge
nft_objref nft_queue nft_quota nft_redir nft_reject_bridge nft_reject_inet nft_reject_ipv4 nft_reject_ipv6 nft_reject
nft_set_hash nft_set_rbtree nft_synproxy nft_tproxy nf_conntrack nf_defrag_ipv4 nf_defrag_ipv6
sch_ingress sch_tbf sch_netem sch_fq sch_fq_codel sch_htb sch_prio cls_u32 cls_matchall cls_bpf cls_flower act_gact act_mirred
inet_diag tcp_diag
'

apt() {
  local command=$1
  shift
  "$command" -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Languages=none \
    -o Acquire::Retries=3 "$@" < /dev/null
}

# The mirrors in use, with the suites that have older and newer kernels. Read once a day.
update_lists() {
  local mirror
  [ -z "$(find "$work/updated" -mmin -1440 2> /dev/null)" ] || return 0
  echo "fetch: reading package lists" >&2
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
  apt apt-get update > "$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; return 1; }
  touch "$work/updated"
}

newest() {
  apt apt-cache search --names-only "$1" | cut -d ' ' -f 1 | sort -V | tail -n 1
}

# Unpacks the newest package of each pattern, all into $unpacked; says which.
unpack() {
  local pattern package
  for pattern in "$@"; do
    package=$(newest "$pattern")
    [ -n "$package" ] || { echo "fetch: the mirror has no package $pattern" >&2; return 1; }
    (cd "$unpacked" && apt apt-get download "$package" > /dev/null && dpkg-deb -x ./*.deb . && rm ./*.deb)
    echo "$package"
  done
}

# The wanted modules of the kernel in $unpacked and all that they need, as an archive that is put behind the initramfs.
pack_modules() {
  local tree release small module
  tree=$(find "$unpacked" -type d -path '*lib/modules/*' -name kernel -prune | head -n 1)
  tree=${tree%/kernel}
  release=$(basename "$tree")
  small=$unpacked/small/lib/modules/$release
  mkdir -p "$small"
  find "$tree" -name '*.ko.xz' -exec xz -d {} +
  mkdir -p "$unpacked/whole/lib/modules" && cp -r "$tree" "$unpacked/whole/lib/modules/"
  busybox depmod -b "$unpacked/whole" "$release"
  for module in $wanted; do
    awk -v name="$module.ko:" '{ n = split($1, path, "/"); if (path[n] == name) { sub(":", ""); print; exit } }' \
      "$unpacked/whole/lib/modules/$release/modules.dep"
  done | tr ' ' '\n' | sort -u | while read -r module; do
    install -D -m 644 "$unpacked/whole/lib/modules/$release/$module" "$small/$module"
  done
  busybox depmod -b "$unpacked/small" "$release"
  (cd "$unpacked/small" && find . | cpio -o -H newc --quiet | gzip -9)
}

if [ -s "$directory/$name/package" ] && [ -s "$directory/$name/modules.cpio.gz" ]; then
  exit 0
fi
mkdir -p "$work"
exec 9> "$work/lock" && flock 9
update_lists
unpacked=$(mktemp -d "$work/unpacked.XXXXXX")
trap 'rm -rf "$unpacked"' EXIT
packages=$(unpack "$@")
kernel=$(find "$unpacked" -name 'vmlinuz*' -type f | head -n 1)
[ -n "$kernel" ] || { echo "fetch: no kernel in $packages" >&2; exit 1; }
mkdir -p "$directory/$name"
cp "$kernel" "$directory/$name/vmlinuz"
pack_modules > "$directory/$name/modules.cpio.gz"
echo $packages > "$directory/$name/package"
