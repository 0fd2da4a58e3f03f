//! [`Listening`]: a socket that listens, and what is told of drops at it.

use super::segment_to;
use crate::zoo::Lab;
use crate::zoo::expect::Expected;
use crate::zoo::lab::{Far, Wired, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys;
use std::net::TcpListener;

pub(super) struct Listening {
    pub(super) net: Wired,
    pub(super) listener: TcpListener,
}

impl Listening {
    pub(super) fn new(lab: &Lab) -> Self {
        Self::prepared(lab, |_| ())
    }

    /// With options that are set before it listens.
    pub(super) fn prepared(lab: &Lab, prepare: impl FnOnce(&socket2::Socket) + Send) -> Self {
        let net = lab.wired();
        let listener = net.host.listen_with(net.address(), prepare);
        // It has a cookie from the moment that somebody asks.
        sys::cookie(&listener);
        Self { net, listener }
    }

    pub(super) fn segment(&self, flags: u16) -> Segment {
        segment_to(&self.net, &self.listener, flags)
    }

    pub(super) fn syn(&self) -> Segment {
        self.segment(flag::SYN)
    }

    pub(super) fn expected(&self, reason: &str, site: &str, segment: &Segment) -> Expected {
        Expected::new(&self.net.host, reason, site, segment)
            .receive(&self.net.host, "eth0")
            .socket("listener", "listen")
            .cookie(sys::cookie(&self.listener))
    }

    pub(super) fn at_do_rcv(&self) -> &'static str {
        by(self.net.family, "tcp_v4_do_rcv", "tcp_v6_do_rcv")
    }

    pub(super) fn at_rcv(&self) -> &'static str {
        by(self.net.family, "tcp_v4_rcv", "tcp_v6_rcv")
    }

    /// The last segments of handshakes with a listener that holds `backlog` and one connections: the last one finds its
    /// accept queue full. All handshakes begin before that.
    pub(super) fn overflow(&self, backlog: i32, cookies: &str) -> Segment {
        self.net.host.sysctl("ipv4/tcp_syncookies", cookies);
        rustix::net::listen(&self.listener, backlog).expect("shorten the accept queue");
        let last_of = |far: &Far| far.segment(flag::ACK);
        for _ in 0..backlog {
            let ack = last_of(&self.net.begin(&self.syn()));
            self.net.wire.send(&ack.packet());
        }
        let [fits, overflows] = [0; 2].map(|_| last_of(&self.net.begin(&self.syn())));
        self.net.wire.send(&fits.packet());
        self.net.wire.send(&overflows.packet());
        overflows
    }
}
