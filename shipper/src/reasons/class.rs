//! [`Class`]: what kind of cause a drop has. A short, closed list, so that it can be a dimension of a dashboard.

use std::fmt::{self, Display, Formatter};

macro_rules! classes {
    ($($class:ident = $name:literal, $meaning:literal;)*) => {
        /// What kind of cause a drop has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Class {
            $(#[doc = $meaning] $class,)*
        }

        impl Class {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$class,)*];

            /// The name that records and rules carry.
            pub fn name(self) -> &'static str {
                match self { $(Self::$class => $name,)* }
            }

            /// What drops of the class have in common.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$class => $meaning,)* }
            }
        }
    };
}

classes! {
    NoListener = "no_listener", "Nothing listens on the port, or no connection fits the packet.";
    Cleanup = "cleanup", "The connection or the queue is over; what was left of it is thrown away.";
    Duplicate = "duplicate", "TCP has the data or the acknowledgement already.";
    TcpState = "tcp_state", "The segment does not fit the state, the sequence numbers or the window of its connection.";
    QueueFull = "queue_full", "A queue or a buffer on the way to the application is full.";
    Memory = "memory", "Memory ran out, or the share of it that TCP may use.";
    Qdisc = "qdisc", "The queue of an outgoing interface is full, or its queue management dropped.";
    Checksum = "checksum", "The packet was damaged on its way.";
    Malformed = "malformed", "A header is cut short, or says what cannot be.";
    Fragment = "fragment", "Fragments could not be put together.";
    Netfilter = "netfilter", "A firewall rule (nftables, iptables) or connection tracking dropped it.";
    Policy = "policy", "A program or filter that somebody attached (XDP, tc, BPF, socket filter, Open vSwitch) dropped it.";
    Security = "security", "A check of authenticity failed, or a security rule forbids it (MD5, AO, IPsec, PSP, LSM).";
    Routing = "routing", "No route leads on, or the addresses are not allowed here.";
    Neighbour = "neighbour", "The link-layer address of the next hop is not known (ARP, neighbour discovery).";
    NotForUs = "not_for_us", "The packet is for another host, or for a protocol that is not handled here.";
    Device = "device", "A network device, bridge or tunnel could not take or pass it on.";
}

impl Class {
    /// The class with the name `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.name() == name)
    }
}

impl Display for Class {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a class was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassSource {
    /// The kernel gave a reason of the class.
    Reason,
    /// Inferred: the function that dropped it drops for this kind of cause only.
    Site,
}

impl ClassSource {
    /// The name that records carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Site => "site",
        }
    }
}

/// A class, and how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Classified {
    /// The class.
    pub class: Class,
    /// Whether the kernel said so.
    pub source: ClassSource,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_class() {
        for &class in Class::ALL {
            assert_eq!(Class::named(class.name()), Some(class));
            assert_eq!(Class::ALL.iter().filter(|other| other.name() == class.name()).count(), 1);
        }
        assert_eq!(Class::named("NO_LISTENER"), None);
    }
}
