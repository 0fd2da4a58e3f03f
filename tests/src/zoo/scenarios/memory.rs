//! Receive queues that are full.

use super::established::at_socket;
use crate::wait::wait_for;
use crate::zoo::lab::{Conversation, Watched, Wired};
use crate::zoo::packet::Segment;
use crate::zoo::sys::{self, Cgroup};
use crate::zoo::{Lab, Need, Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("receive buffer full: data", receive_buffer).needs(&[Need::RECEIVING_SOCKET]),
    Scenario::both("receive buffer full: more than the window", small_window)
        .needs(&[Need::RECEIVING_SOCKET]),
    Scenario::both("receive buffer full: out-of-order queue", out_of_order),
    Scenario::both("memory: a cgroup's limit for TCP", cgroup_limit)
        .needs(&[Need::File("/sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes")]),
];

/// The first segment of an empty queue is always taken.
fn cgroup_limit(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let cgroup = Cgroup::of_memory();
    cgroup.set("memory.kmem.tcp.limit_in_bytes", "0");
    let mut connection = cgroup.run(|| net.connection());
    let dropped = Watched::new(&net.host, "TcpExt.TCPRcvQDrop");
    let lost = until_full(&net, &mut connection, &dropped);
    let expected = at_socket(&net, &connection, "PROTO_MEM", "tcp_rcv_established", &lost).severity("ERROR");
    lab.expect(&[&net.host], [expected.witness(dropped.rise(1))])
}

/// A connection whose socket takes little.
fn small(net: &Wired, bytes: i32) -> Conversation {
    let listener = net.host.listen(net.address());
    sys::set_number(&listener, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes).expect("shrink the receive buffer");
    net.connection_through(listener, &[])
}

/// The far side uses the window that it was given, and meanwhile the buffer has shrunk.
fn receive_buffer(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    sys::set_number(&connection.socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 0)
        .expect("shrink the receive buffer");
    let dropped = Watched::new(&net.host, "TcpExt.TCPRcvQDrop");
    let lost = until_full(&net, &mut connection, &dropped);
    let expected = at_socket(&net, &connection, "PROTO_MEM", "tcp_rcv_established", &lost).severity("ERROR");
    lab.expect(&[&net.host], [expected.witness(dropped.rise(1))])
}

/// Sends data that nobody reads, until some is dropped: that.
fn until_full(net: &Wired, connection: &mut Conversation, dropped: &Watched<'_>) -> Segment {
    let mut unread = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let data = connection.far.data(&[7; 1000]);
        net.wire.send(&data.packet());
        unread += 1000;
        let is_lost = wait_for("the data to be taken or dropped", || {
            let taken = connection.socket.peek(&mut buffer).unwrap_or(0) == unread;
            if taken { Some(false) } else { (dropped.so_far() > 0).then_some(true) }
        });
        if is_lost {
            return data;
        }
        connection.far.seq = connection.far.seq.wrapping_add(1000);
    }
}

fn small_window(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = small(&net, 4096);
    let own = connection.far.own;
    loop {
        net.wire.send(&connection.far.data(&[7; 500]).packet());
        let window = net.wire.receive("an ACK", |seen| (seen.destination == own).then_some(seen.window));
        connection.far.seq = connection.far.seq.wrapping_add(500);
        if window < 500 {
            break;
        }
    }
    let data = connection.far.data(&[7; 500]);
    net.wire.send(&data.packet());
    let expected = at_socket(&net, &connection, "TCP_INVALID_END_SEQUENCE", "tcp_validate_incoming", &data);
    lab.expect(&[&net.host], [expected])
}

/// The queue is a tree, whose pointers lie where `skb->dev` does.
fn out_of_order(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = small(&net, 4096);
    let [refused, pruned] =
        ["TcpExt.TCPOFODrop", "TcpExt.OfoPruned"].map(|counter| Watched::new(&net.host, counter));
    let queued = Watched::new(&net.host, "TcpExt.TCPOFOQueue");
    let apart = |index: u32| {
        let mut data = connection.far.data(b"x");
        data.seq = data.seq.wrapping_add(index * 10);
        data
    };
    // The newest one is refused when there is no more room, ...
    let mut last = 0;
    while refused.so_far() == 0 {
        last += 1;
        net.wire.send(&apart(last).packet());
        wait_for("it to be queued or dropped", || {
            (queued.so_far() + refused.so_far() == u64::from(last)).then_some(())
        });
    }
    let at_end = at_socket(&net, &connection, "PROTO_MEM", "tcp_rcv_established", &apart(last));
    // ... and what is next in order takes the place of those that are farthest from it.
    net.wire.send(&apart(0).packet());
    let farthest = [apart(last - 1), apart(last - 2)];
    let in_queue = farthest
        .map(|data| at_socket(&net, &connection, "TCP_OFO_QUEUE_PRUNE", "tcp_prune_ofo_queue", &data));
    let [first, second] = in_queue.map(|expected| expected.severity("ERROR"));
    let at_end = at_end.severity("ERROR").witness(refused.rise(1));
    lab.expect(&[&net.host], [at_end, first.witness(pruned.rise(1)), second])
}
