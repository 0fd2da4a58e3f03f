#!/bin/busybox sh
# guest.sh: the init of the guest. Runs the agent while packets are dropped, and ordinary traffic passes; writes what it
# saw to the second serial port: lines of `KIND text`, read by check.jq.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ip link set lo up
stty -F /dev/ttyS1 raw

tell() {
  sed "s/^/$1 /" > /dev/ttyS1
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

uname -r | tell RELEASE
stat -L -c %i /proc/self/ns/net | tell NETNS
tcpdrop-otel watch --json > /tmp/records 2> /tmp/log &
agent=$!
wait_for watching /tmp/log $agent
ordinary_traffic 127.0.0.1
ordinary_traffic ::1
udp_traffic
refused_connections
refused_syns 127.0.0.1
refused_syns ::1
sleep 2
counter ListenOverflows | tell OVERFLOWS
kill -TERM $agent
wait $agent
tell RECORD < /tmp/records
tell WATCH < /tmp/log

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
echo | tell END
poweroff -f
