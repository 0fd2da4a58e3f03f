#!/bin/bash
# run.sh: all tests, and a last line that counts them. Where CI=true a skipped test is a failure: there, all is to be had.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TCPDROP_TEST_SKIPS=$work/skips
touch "$TCPDROP_TEST_SKIPS" "$work/skipped-checks"
passed=0
failed=0

# Whether the committed BPF object is what its sources give; only the pinned clang can tell.
check_object() {
  if make --no-print-directory -C bpf check > "$work/object" 2>&1; then
    passed=1
  elif grep -q '^not compared' "$work/object"; then
    echo "SKIP bpf object: $(grep '^not compared' "$work/object")" >> "$work/skipped-checks"
  else
    failed=1
  fi
  cat "$work/object"
}

run_tests() {
  local cargo_status=0 tests_passed tests_failed tests_ignored
  # Most of the time the tests wait, so more of them at a time than there are cores.
  RUST_TEST_THREADS=${RUST_TEST_THREADS:-4} cargo test --workspace --no-fail-fast -- --color never 2>&1 |
    tee "$work/output" || cargo_status=$?
  read -r tests_passed tests_failed tests_ignored < <(awk '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END { print passed + 0, failed + 0, ignored + 0 }' "$work/output")
  if [ "$cargo_status" != 0 ] && [ "$tests_failed" = 0 ]; then
    echo "A test program did not build, or did not come to its end (see above)."
    tests_failed=1
  fi
  # A test that skips itself has passed in cargo's eyes.
  passed=$((passed + tests_passed - $(wc -l < "$TCPDROP_TEST_SKIPS")))
  failed=$((failed + tests_failed))
  skipped=$tests_ignored
}

check_object
run_tests

sort "$TCPDROP_TEST_SKIPS" "$work/skipped-checks" > "$work/all-skips"
skipped=$((skipped + $(wc -l < "$work/all-skips")))
cat "$work/all-skips"
status=$((failed != 0))
if [ "${CI:-}" = true ] && [ "$skipped" != 0 ]; then
  echo "Nothing may be skipped here: CI=true."
  status=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
