# check.jq: judges what guest.sh wrote (raw lines, one array), given what the kernel can give:
# --argjson can '{"reason": bool, "receiving_socket": bool, "netns_cookie": bool}'. Output: `ok CHECK` or `FAIL CHECK: why`.

def said($kind): map(select(startswith($kind + " ")) | ltrimstr($kind + " "));
def value: if has("arrayValue") then [.arrayValue.values[]? | value] else to_entries[0].value end;
def attributes: map({(.key): (.value | value)}) | add // {};
def number: if type == "string" then tonumber else . end;
def records: [said("RECORD")[] | fromjson | .resourceLogs[].scopeLogs[].logRecords[].attributes | attributes];

def check($name; ok; detail):
  (try (ok | . == true) catch false) as $ok
  | if $ok then "ok \($name)" else "FAIL \($name): \([detail] | tojson | .[:1500])" end;

def is_drop_of($family): ."network.type" == $family and (."destination.port" | number) == 9;

def refused($lines; $records; $family; $address; $site; $size):
  ([$records[] | select(is_drop_of($family))]) as $found
  | ($found[0] // {}) as $drop
  | ($drop | {"code.function.name", "first frame": (."tcpdrop.stack.frames"[0]?)}) as $place
  | check("\($family) SYN reported once"; ($found | length) == 1 and ($drop."tcpdrop.count" | number) == 1; $found),
    check("\($family) addresses, ports, flags";
      $drop."source.address" == $address and $drop."destination.address" == $address
      and ($drop."source.port" | number) > 0 and $drop."network.transport" == "tcp" and $drop."tcpdrop.tcp.flags" == ["SYN"]; $drop),
    check("\($family) size, direction, interface, namespace";
      ($drop."tcpdrop.packet.size" | number) == $size and $drop."tcpdrop.direction" == "receive"
      and $drop."network.interface.name" == "lo" and $drop."tcpdrop.netns" == ($lines | said("NETNS"))[0]; $drop),
    check("\($family) stack begins at the drop site";
      $place."code.function.name" == $site and $place."first frame" == $site
      and ($drop."tcpdrop.stack.frames" | length) > 4 and ($drop."tcpdrop.stack.hash" | test("^[0-9a-f]{16}$")); $place),
    check("\($family) reason \(if $can.reason then "NO_SOCKET" else "absent" end)";
      $drop."tcpdrop.reason" == (if $can.reason then "NO_SOCKET" else null end)
      and ($drop | has("tcpdrop.reason_code")) == $can.reason; $drop),
    check("\($family) namespace cookie \(if $can.netns_cookie then "given" else "absent" end)";
      ($drop | has("tcpdrop.netns_cookie")) == $can.netns_cookie; $drop),
    check("\($family) no socket is made up"; ($drop | has("tcpdrop.socket.kind") or has("tcpdrop.socket.cookie")) | not; $drop);

. as $lines
| (try records catch []) as $records
| ((said("STATUS")[0] // "{}") | try fromjson catch {}) as $status
| ((said("LEDGER")[0] // "{}") | try fromjson catch {}) as $ledger
| check("the guest came to its end"; any(.[]; startswith("END")); .[-5:]),
  check("the agent says what it watches with"; said("WATCH") | any(contains("tcpdrop-otel: watching; program kfree_skb_")); said("WATCH")),
  check("it says that it cannot give reasons, if so";
    said("WATCH") | any(contains("the reason of a drop")) | . != $can.reason; said("WATCH")),
  check("it says that it cannot give receiving sockets, if so";
    said("WATCH") | any(contains("the receiving socket")) | . != $can.receiving_socket; said("WATCH")),
  check("/status shows the same"; $status.probe.capabilities | .reason == $can.reason and .receiving_socket == $can.receiving_socket; $status.probe),
  refused($lines; $records; "ipv4"; "127.0.0.1"; "tcp_v4_rcv"; 60),
  refused($lines; $records; "ipv6"; "::1"; "tcp_v6_rcv"; 80),
  check("ordinary traffic passed"; said("ECHOED") == ["300000", "300000"] and said("HEARD") == ["hello", "6", "hello", "6"]; [said("ECHOED", "HEARD")]),
  ([$records[] | select(.["source.port", "destination.port"] | IN(7001, 7002, 7003, 7004, "7001", "7002", "7003", "7004"))]) as $ordinary
  | check("ordinary traffic is not shown as drops\(if $can.reason then ", but as segments purged at close, late or sent twice (the emulation is slow)" else "" end)";
      $ordinary | all(.[]; $can.reason and (."tcpdrop.reason" | IN("QUEUE_PURGE", "NOT_SPECIFIED") or startswith("TCP_")));
      [$ordinary[] | [."tcpdrop.reason", ."code.function.name", ."tcpdrop.tcp.flags"]]),
  ([$lines | said("RECORD")[] | fromjson | .resourceLogs[].scopeLogs[].logRecords[] | select(.eventName == "tcpdrop.drops.silent")
    | .attributes | attributes]) as $refused
  # Two that came at once can both find room, and one of them none at the end of its handshake: what it sends then is
  # dropped in sight, and counted as the same.
  | ([$records[] | select((."destination.port" | number) == 7005 and (."code.function.name" | IN("tcp_v4_rcv", "tcp_v6_rcv"))
      and (."tcpdrop.reason" | IN(null, "NOT_SPECIFIED", "TCP_LISTEN_OVERFLOW")))]) as $late
  | check("every SYN that a full accept queue refused is told, over both families";
      ([($refused, $late)[]."tcpdrop.count" | number] | add) == ((said("OVERFLOWS")[0] // "0") | tonumber)
      and ([$refused[]."network.type"] | unique) == ["ipv4", "ipv6"]; [said("OVERFLOWS"), [($refused, $late)[] | [."tcpdrop.count", ."code.function.name", ."source.port"]]]),
    check("with flow, listener and queue";
      $refused | length > 0 and all(.[]; ."tcpdrop.silent.source" == "fexit" and ."tcpdrop.counter" == "ListenOverflows"
        and (."destination.port" | number) == 7005 and (."source.port" | number) > 0 and ."tcpdrop.tcp.flags" == ["SYN"]
        and ."tcpdrop.socket.kind" == "listener" and (."tcpdrop.listener.backlog" | number) == 2
        and (."tcpdrop.listener.backlog_max" | number) == 1 and ."network.interface.name" == "lo"
        and ."tcpdrop.netns" == ($lines | said("NETNS"))[0]); $refused),
  ([said("VERIFIER")[] | select(startswith("ok ")) | split(" ") | {key: .[1], value: (.[2] | tonumber? // 0)}] | from_entries) as $verified
  | check("the verifier takes each program that fits the kernel";
      $verified | has("kfree_skb_bare") and has("kfree_skb_reason") == $can.reason and has("kfree_skb_rx_sk") == $can.receiving_socket
        and has("syn_enters") and has("syn_leaves") and has("list_namespaces"); said("VERIFIER")),
    check("no program comes near the verifier's limit of a million instructions"; $verified | length > 0 and all(.[]; . <= 500000); $verified),
  check("doctor says which program the kernel takes, and that it \(if $can.reason then "gives" else "cannot give" end) reasons";
    said("DOCTOR") | any(test("^ *ok +tracepoint .*passes " + (
        if $can.receiving_socket then "the reason and the receiving socket: program kfree_skb_rx_sk"
        elif $can.reason then "the reason, but not the receiving socket .*: program kfree_skb_reason"
        else "no reason: program kfree_skb_bare" end) + "$"))
      and any(test("^ *ok +program .*takes kfree_skb_"))
      and any(test("^ *ok +BTF .* with " + (if $can.reason then "[1-9][0-9]+" else "0" end) + " drop reasons$")); said("DOCTOR")),
  check("doctor says how refused SYNs are seen"; said("DOCTOR") | any(test("^ *ok +refused SYNs .*fexit")); said("DOCTOR")),
  check("doctor says that tasks can be listed and cgroups told apart";
    said("DOCTOR") | any(test("^ *ok +iterators ")) and any(test("^ *ok +cgroups ")); said("DOCTOR")),
  ([said("ZOO")[] | select(startswith("SCENARIO "))]) as $zoo
  | check("\($zoo | length) runs of the drop zoo are right, in all that this kernel tells";
      said("ZOO_STATUS") == ["0"] and ($zoo | length) > 0 and all($zoo[]; startswith("SCENARIO X ") | not);
      [said("ZOO_STATUS"), (said("ZOO")[] | select(startswith("SCENARIO ") | not))]),
    check("only the kernel's age keeps it from a run"; said("ZOO") | all(.[]; (startswith("ABSENT ") | not) or test(": needs Linux [0-9.]+$"));
      [said("ZOO")[] | select(startswith("ABSENT "))]),
  check("every drop seen is in one place of the ledger"; $ledger.seen > 0 and $ledger.balanced; $ledger)
