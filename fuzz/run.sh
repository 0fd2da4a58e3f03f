#!/bin/bash
# run.sh [TARGET...]: runs each fuzz target, all by default, from the corpus, and prints a line for each. Bounded by
# FUZZ_SECONDS a target (30), or by FUZZ_RUNS inputs a target. An input that fails is kept in fuzz/artifacts/TARGET/, and
# the target's output shown. What new inputs were of interest is forgotten, unless FUZZ_KEEP names a directory for it.
set -euo pipefail
cd "$(dirname "$0")"
targets=$*
[ -n "$targets" ] || targets=$(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bound=(-max_total_time="${FUZZ_SECONDS:-30}")
[ -z "${FUZZ_RUNS:-}" ] || bound=(-runs="$FUZZ_RUNS")

cargo build --release --quiet
binaries=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release

# Inputs are as short as the parser's language allows: short ones are many.
longest() {
  case $1 in
    filter) echo 64 ;;
    headers) echo 128 ;;
    answer | kallsyms | netstat) echo 256 ;;
    wire) echo 900 ;;
    recording | recording_header) echo 1200 ;;
    *) echo 512 ;;
  esac
}

run() {
  local target=$1 found=$work/$1 started=$SECONDS
  mkdir -p "$found" "artifacts/$target"
  if "$binaries/$target" "$found" "corpus/$target" "${bound[@]}" -max_len="$(longest "$target")" -timeout=10 \
    -rss_limit_mb=2048 -len_control=0 -print_final_stats=1 -artifact_prefix="artifacts/$target/" > "$work/output" 2>&1; then
    rmdir "artifacts/$target" 2> /dev/null || true # earlier findings stay
    awk -v target="$target" -v seconds=$((SECONDS - started)) '
      /^stat::number_of_executed_units/ { runs = $2 }
      /cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") coverage = $(i + 1) }
      END { printf "%-10s %10d inputs  %6d s  %5d edges  no crash, no hang\n", target, runs, seconds, coverage }' "$work/output"
  else
    tail -n 40 "$work/output"
    echo "$target FAILED: the input is in fuzz/artifacts/$target/"
    failed=1
  fi
  [ -z "${FUZZ_KEEP:-}" ] || { mkdir -p "$FUZZ_KEEP/$target" && cp -n "$found"/* "$FUZZ_KEEP/$target/" 2> /dev/null || true; }
}

failed=0
for target in $targets; do
  run "$target"
done
exit "$failed"
