//! Drops made on purpose, and counted, by nftables.

use crate::netns::Namespace;
use serde_json::Value;

/// A rule that drops what goes to a TCP port; the namespace takes it along when it ends.
#[derive(Debug)]
pub struct DropRule<'a> {
    namespace: &'a Namespace,
}

impl<'a> DropRule<'a> {
    /// Drops what goes to TCP `port` at `hook` (`input`, `output`) of the namespace. One at a time.
    pub fn start(namespace: &'a Namespace, hook: &str, port: u16) -> Self {
        namespace.nft(&format!(
            "table inet dropper {{
                counter dropped {{ }}
                chain drops {{
                    type filter hook {hook} priority 0
                    tcp dport {port} counter name dropped drop
                }}
            }}"
        ));
        Self { namespace }
    }

    /// Packets that it dropped so far.
    pub fn dropped(&self) -> u64 {
        let listing =
            self.namespace.command("nft", &["-j", "list", "counters", "table", "inet", "dropper"], "");
        let listing: Value = serde_json::from_str(&listing).expect("nft prints JSON");
        let objects = listing["nftables"].as_array().expect("a list of objects");
        objects.iter().find_map(|object| object["counter"]["packets"].as_u64()).expect("a counter")
    }

    /// Takes it away, and says how many packets it dropped in all.
    pub fn stop(self) -> u64 {
        self.namespace.nft("flush chain inet dropper drops");
        let count = self.dropped();
        self.namespace.nft("delete table inet dropper");
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::{Family, VethPair};
    use crate::require;
    use crate::wait::wait_for;
    use std::io::{Read, Write};

    #[test]
    fn segments_of_a_connection_are_dropped_counted_and_sent_again() {
        require!(Root, Tool("ip"), Tool("nft"));
        let pair = VethPair::new();
        for (hook, namespace) in [("input", &pair.server), ("output", &pair.client)] {
            for family in [Family::V4, Family::V6] {
                let mut connection = pair.client.connect_to(&pair.server, family);
                connection.exchange();
                let port = connection.server.local_addr().expect("local address").port();
                let rule = DropRule::start(namespace, hook, port);
                connection.client.write_all(b"late").expect("send");
                wait_for("a retransmission to be dropped", || (rule.dropped() > 1).then_some(()));
                assert!(rule.stop() > 1);
                let mut late = [0; 4];
                connection.server.read_exact(&mut late).expect("it comes in the end");
                assert_eq!(&late, b"late");
            }
        }
    }
}
