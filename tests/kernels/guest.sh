#!/bin/busybox sh
# guest.sh: the init of the guest. Runs the agent while packets are dropped, and ordinary traffic passes; writes what it
# saw to the second serial port: lines of `KIND text`, read by check.jq.
export PATH=/bin HOME=/ TCPDROP_TEST_BIN=/bin/tcpdrop-otel TCPDROP_TEST_SLOWNESS=4
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
stty -F /dev/ttyS1 raw

tell() {
  sed "s/^/$1 /" > /dev/ttyS1
}

# What the guest has come to, and how many seconds after it started.
reach() {
  echo "$1 $(cut -d ' ' -f 1 /proc/uptime)" | tell REACHED
}

# Bounded: ten times the slowest start that was seen.
wait_for() {
  tries=0
  while [ $tries -lt 240 ] && kill -0 "$3" 2> /dev/null && ! grep -q "$1" "$2"; do
    sleep 0.25
    tries=$((tries + 1))
  done
}

# A connection to port 7001 on which the server sends all back, also after the client's FIN; to port 7002, where the
# server speaks and closes first; and to port 7003, where the server only listens.
ordinary_traffic() {
  nc -l -p 7001 "$1" -e cat &
  nc -l -p 7002 "$1" -e echo hello &
  nc -l -p 7003 "$1" -e wc -c &
  sleep 1
  head -c 300000 /dev/zero | nc "$1" 7001 | wc -c | tell ECHOED
  sleep 1 | nc "$1" 7002 | tell HEARD
  echo hello | nc "$1" 7003 | tell HEARD
}

# Nobody listens: the kernel drops these packets, but they are not TCP's.
udp_traffic() {
  timeout 2 nslookup localhost 127.0.0.1:7004 > /dev/null 2>&1
}

refused_connections() {
  nc -w 1 127.0.0.1 9 < /dev/null
  nc -w 1 ::1 9 < /dev/null
}

# A listener that is stopped accepts nothing: two connections wait, further SYNs are refused.
refused_syns() {
  nc -l -p 7005 "$1" &
  listener=$!
  sleep 1
  kill -STOP $listener
  for _ in 1 2 3 4 5; do
    nc -w 1 "$1" 7005 < /dev/null &
    clients="$clients $!"
    sleep 0.2
  done
  sleep 3
  kill $clients $listener 2> /dev/null
  kill -CONT $listener
  clients=
}

# The value of a counter of TcpExt.
counter() {
  awk -v name="$1" '/^TcpExt/ { if (n) print $n; else for (n = NF; n > 0 && $n != name; n--); }' /proc/net/netstat
}

# What the kernel was told at boot: twice=yes.
option() {
  tr ' ' '\n' < /proc/cmdline | sed -n "s/^$1=//p"
}

uname -r | tell RELEASE
sed -n 's/ T _text$//p' /proc/kallsyms | head -n 1 | tell KASLR
stat -L -c %i /proc/self/ns/net | tell NETNS
tcpdrop-otel watch --json > /tmp/records 2> /tmp/log &
agent=$!
wait_for watching /tmp/log $agent
reach watching
ordinary_traffic 127.0.0.1
ordinary_traffic ::1
udp_traffic
refused_connections
reach refused_syns
refused_syns 127.0.0.1
refused_syns ::1
sleep 2
counter ListenOverflows | tell OVERFLOWS
kill -TERM $agent
wait $agent
tell RECORD < /tmp/records
tell WATCH < /tmp/log

reach run
tcpdrop-otel run > /tmp/log 2>&1 &
agent=$!
wait_for 'watching for' /tmp/log $agent
refused_connections
sleep 1
wget -q -O - http://127.0.0.1:13134/status | tr -d '\n' | sed 's/$/\n/' | tell STATUS
kill -TERM $agent
wait $agent
sed -n 's/.*final ledger //p' /tmp/log | tell LEDGER
tell RUN < /tmp/log
reach doctor
tcpdrop-otel doctor > /tmp/log 2>&1
tell DOCTOR < /tmp/log
if [ "$(option twice)" != yes ]; then
  reach verifier
  verifier 2>&1 | tell VERIFIER
  # What scenarios ask for side by side: two that load a module at a time get in each other's way.
  for module in tun veth macvlan bridge vxlan nf_tables nft_counter nft_objref sch_tbf; do
    modprobe $module 2> /dev/null
  done
  reach zoo
  set --
  while read -r part; do set -- "$@" "$part"; done < /etc/portable
  # Before 5.11 BPF programs count as locked memory.
  (ulimit -l unlimited && exec drop_zoo --brief "$@") > /tmp/log 2>&1
  echo $? | tell ZOO_STATUS
  tell ZOO < /tmp/log
fi
reach end
echo | tell END
poweroff -f
