//! Drops of each kind that a filter can tell apart.

use crate::checks::CLOSED_PORT;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use tcpdrop_otel_tests::netns::{Family, VethPair, connect_in_vain, connect_refused};

/// The names of the kinds.
pub(crate) const ALL: [&str; 5] = ["filtered", "host", "port7", "port9", "v6"];

/// A port that nobody listens at either.
const OTHER_CLOSED_PORT: u16 = 7;

/// Source and destination.
pub(crate) type Flow = (SocketAddr, SocketAddr);

/// A drop that was made: its kind, and its flow.
pub(crate) type Made = (&'static str, Flow);

/// Where drops are made.
pub(crate) struct Kinds {
    pub(crate) pair: VethPair,
    /// Port of the server that a rule on the client's way out drops.
    pub(crate) filtered_port: u16,
}

impl Kinds {
    pub(crate) fn new() -> Self {
        const FILTERED_PORT: u16 = 20_007;
        let pair = VethPair::new();
        pair.client.nft(&format!(
            "add table ip t; add chain ip t output {{ type filter hook output priority 0; }}; \
             add rule ip t output tcp dport {FILTERED_PORT} drop"
        ));
        Self { pair, filtered_port: FILTERED_PORT }
    }

    /// One of each: `port9` and `port7` over IPv4, `v6`, each refused by the server; `host`, refused on the host's own
    /// loopback; `filtered` by the rule.
    pub(crate) fn make(&self) -> Vec<Made> {
        let VethPair { client, server } = &self.pair;
        let refused = |name, family, port| {
            let peer = SocketAddr::new(server.address(family), port);
            let source = SocketAddr::new(client.address(family), client.connect_refused(peer, 1)[0]);
            (name, (source, peer))
        };
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, CLOSED_PORT));
        let filtered = SocketAddr::new(server.v4.into(), self.filtered_port);
        let from_client = client.run(|| connect_in_vain(filtered));
        vec![
            refused("port9", Family::V4, CLOSED_PORT),
            refused("port7", Family::V4, OTHER_CLOSED_PORT),
            refused("v6", Family::V6, CLOSED_PORT),
            ("host", (SocketAddr::new(host.ip(), connect_refused(host)), host)),
            ("filtered", (SocketAddr::new(client.v4.into(), from_client), filtered)),
        ]
    }
}

/// The kinds of those whose flow is among the `seen`.
pub(crate) fn named(made: &[Made], seen: &[Flow]) -> BTreeSet<&'static str> {
    made.iter().filter(|(_, flow)| seen.contains(flow)).map(|(name, _)| *name).collect()
}

/// All kinds but these.
pub(crate) fn all_but(names: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    ALL.into_iter().filter(|name| !names.contains(name)).collect()
}
