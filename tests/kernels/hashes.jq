# hashes.jq --rawfile one LINES --rawfile other LINES, of two boots: each cause that both have seen (drop site, reason and whole stack) has the
# hash that it had, and different stacks have different hashes. Output: `ok CHECK` or `FAIL CHECK: why`.

def value: if has("arrayValue") then [.arrayValue.values[]? | value] else to_entries[0].value end;
def attributes: map({(.key): (.value | value)}) | add // {};
def records: split("\n")[] | sub("\r$"; "") | select(startswith("RECORD ")) | ltrimstr("RECORD ") | fromjson
  | .resourceLogs[].scopeLogs[].logRecords[].attributes | attributes | select(has("tcpdrop.stack.hash"));
# The frames that are hashed: down to where an interrupt or softirq began.
def cause: [."tcpdrop.stack.frames"[]] as $frames
  | ($frames | map(IN("handle_softirqs", "__do_softirq", "do_softirq", "do_softirq_own_stack") or startswith("asm_")) | index(true)) as $depth
  | $frames[:$depth // ($frames | length)] | join(" ");
def hashes: [records | {cause: cause, hash: ."tcpdrop.stack.hash"}] | unique;
def check($name; ok; detail): if ok then "ok \($name)" else "FAIL \($name): \([detail] | tojson | .[:1500])" end;

[$one, $other] | map(hashes) as [$first, $second]
| ($first + $second | unique) as $all
| ([$first[].cause] - ([$first[].cause] - [$second[].cause])) as $both
| check("the same stack has the same hash after a reboot (\($both | unique | length) stacks)";
    ($both | length) >= 2 and ($all | group_by(.cause) | all(length == 1)); $all),
  check("different stacks have different hashes (\($all | length) stacks)";
    $all | group_by(.hash) | all(length == 1); $all)
