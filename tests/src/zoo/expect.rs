//! What a record has to say, field by field, and whether it does.

use super::field::Field;
use super::kernel::Kernel;
use super::lab::{Net, Rise};
use super::packet::{Seen, Segment};
use super::verdict::{UNTOLD, Verdict, Want, compare, judge_field};
use crate::otlp_json::LogRecord;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// What some kernels say instead.
#[derive(Clone, Debug)]
struct Change {
    before: Kernel,
    field: Field,
    want: Want,
}

/// The record, or the records, of one flow's drops.
#[derive(Clone, Debug)]
pub struct Expected {
    wants: BTreeMap<Field, Want>,
    changes: Vec<Change>,
    count: u64,
    /// Whether it may be more.
    again: bool,
    witness: Option<Rise>,
}

impl Expected {
    /// Drops for `reason` in the function `site`, of `segment`, in `net`.
    pub fn new(net: &Net, reason: &str, site: &str, segment: &Segment) -> Self {
        let expected = Self::without_packet(net, reason, site);
        let seen = Seen {
            source: segment.source,
            destination: segment.destination,
            flags: segment.flags,
            seq: segment.seq,
            ack: segment.ack,
            window: segment.window,
            options: Vec::new(),
            payload: Vec::new(),
            size: segment.packet().len(),
        };
        expected.seen(&seen)
    }

    /// Drops of which the kernel knows no packet.
    pub fn without_packet(net: &Net, reason: &str, site: &str) -> Self {
        let mut expected =
            Self { wants: BTreeMap::new(), changes: Vec::new(), count: 1, again: false, witness: None };
        let absent =
            Field::ALL.iter().filter(|field| !matches!(field, Field::Count | Field::Kernel | Field::Cookie));
        expected.wants.extend(absent.map(|&field| (field, Want::Absent)));
        let cookie = net.cookie.map_or("-".to_owned(), |cookie| cookie.to_string());
        expected
            .with(Field::Reason, reason)
            .with(Field::Site, site)
            .with(Field::Severity, "WARN")
            .class_of_reason(reason)
            .with(Field::Netns, &format!("{} {cookie}", net.inode))
            .with(Field::Direction, "unknown")
    }

    /// What kind of cause a reason stands for, as written down here: the agent's own table is what is tested.
    fn class_of_reason(self, reason: &str) -> Self {
        const CLASSES: [(&str, &[&str]); 16] = [
            ("no_listener", &["NO_SOCKET"]),
            ("netfilter", &["NETFILTER_DROP"]),
            ("checksum", &["TCP_CSUM", "IP_CSUM"]),
            ("malformed", &["IP_INHDR", "PKT_TOO_SMALL"]),
            (
                "duplicate",
                &[
                    "TCP_OFOMERGE",
                    "TCP_RFC7323_PAWS_ACK",
                    "TCP_OLD_DATA",
                    "TCP_OLD_SEQUENCE",
                    "TCP_TOO_OLD_ACK",
                    "TCP_RFC7323_TW_PAWS",
                ],
            ),
            (
                "queue_full",
                &["TCP_LISTEN_OVERFLOW", "TCP_OFO_QUEUE_PRUNE", "FULL_RING", "SOCKET_BACKLOG", "CPU_BACKLOG"],
            ),
            ("memory", &["PROTO_MEM"]),
            ("qdisc", &["QDISC_DROP"]),
            ("policy", &["TC_INGRESS", "TC_EGRESS", "SOCKET_FILTER", "BPF_CGROUP_EGRESS"]),
            (
                "security",
                &["TCP_MD5NOTFOUND", "TCP_MD5UNEXPECTED", "TCP_MD5FAILURE", "TCP_MINTTL", "XFRM_POLICY"],
            ),
            ("cleanup", &["QUEUE_PURGE", "TCP_CLOSE"]),
            (
                "device",
                &["PACKET_SOCK_ERROR", "BRIDGE_INGRESS_STP_STATE", "VXLAN_VNI_NOT_FOUND", "NO_TX_TARGET"],
            ),
            ("fragment", &["FRAG_REASM_TIMEOUT"]),
            ("neighbour", &["NEIGH_FAILED", "NEIGH_QUEUEFULL"]),
            ("not_for_us", &["OTHERHOST", "UNHANDLED_PROTO", "UNICAST_IN_L2_MULTICAST"]),
            (
                "routing",
                &[
                    "IP_INADDRERRORS",
                    "IP_INNOROUTES",
                    "IP_OUTNOROUTES",
                    "IP_RPFILTER",
                    "IP_LOCAL_SOURCE",
                    "IP_LOCALNET",
                    "IP_INVALID_SOURCE",
                    "IP_INVALID_DEST",
                    "IPV6DISABLED",
                    "PKT_TOO_BIG",
                ],
            ),
        ];
        let class = CLASSES.iter().find(|(_, reasons)| reasons.contains(&reason)).map(|(class, _)| *class);
        match class.or_else(|| reason.starts_with("TCP_").then_some("tcp_state")) {
            Some(class) => self.with(Field::Class, &format!("{class} / reason")),
            None => self,
        }
    }

    /// The class that the drop site implies where the reason says nothing.
    #[must_use]
    pub fn inferred(self, class: &str) -> Self {
        let untold = self.want(Field::Reason) == Some(&Want::Is(UNTOLD.to_owned()));
        if untold { self.corrected(class) } else { self }
    }

    /// The class that the drop site implies, whatever the reason says.
    #[must_use]
    pub fn corrected(self, class: &str) -> Self {
        self.with(Field::Class, &format!("{class} / site"))
    }

    /// What the packet's headers say.
    #[must_use]
    pub fn seen(self, seen: &Seen) -> Self {
        self.flow(seen.source, seen.destination)
            .with(Field::Flags, &seen.flags.to_string())
            .with(Field::Seq, &seen.seq.to_string())
            .with(Field::Ack, &seen.ack.to_string())
            .with(Field::Window, &seen.window.to_string())
            .with(Field::Size, &seen.size.to_string())
    }

    /// Addresses and ports.
    #[must_use]
    pub fn flow(self, source: SocketAddr, destination: SocketAddr) -> Self {
        let text = |end: SocketAddr| format!("{} {}", end.ip(), end.port());
        self.with(Field::Source, &text(source))
            .with(Field::Destination, &text(destination))
            .with(Field::Type, if source.is_ipv4() { "ipv4" } else { "ipv6" })
    }

    /// Addresses without ports, and no TCP header: it was cut, or is in another fragment.
    #[must_use]
    pub fn addresses_only(self, source: IpAddr, destination: IpAddr) -> Self {
        self.flow(SocketAddr::new(source, 0), SocketAddr::new(destination, 0))
            .with(Field::Source, &source.to_string())
            .with(Field::Destination, &destination.to_string())
            .without(&[Field::Flags, Field::Seq, Field::Ack, Field::Window])
    }

    /// A field has this value.
    #[must_use]
    pub fn with(mut self, field: Field, value: &str) -> Self {
        self.wants.insert(field, Want::Is(value.to_owned()));
        self
    }

    /// A field has one of these values, as the kernel's timing will have it.
    #[must_use]
    pub fn one_of(mut self, field: Field, values: &[&str]) -> Self {
        self.wants.insert(field, Want::OneOf(values.iter().map(|&value| value.to_owned()).collect()));
        self
    }

    /// These fields are absent: nobody can know.
    #[must_use]
    pub fn without(mut self, fields: &[Field]) -> Self {
        self.wants.extend(fields.iter().map(|&field| (field, Want::Absent)));
        self
    }

    /// These fields are not looked at: the test cannot know them.
    #[must_use]
    pub fn unchecked(mut self, fields: &[Field]) -> Self {
        self.wants.retain(|field, _| !fields.contains(field));
        self
    }

    /// It came in through an interface.
    #[must_use]
    pub fn receive(self, net: &Net, interface: &str) -> Self {
        self.with(Field::Direction, "receive").ends(Field::Destination, Field::Source).on(net, interface)
    }

    /// It was to go out through an interface.
    #[must_use]
    pub fn transmit(self, net: &Net, interface: &str) -> Self {
        self.transmit_nowhere().on(net, interface)
    }

    /// It was to go out; through which interface was not settled.
    #[must_use]
    pub fn transmit_nowhere(self) -> Self {
        self.with(Field::Direction, "transmit").ends(Field::Source, Field::Destination)
    }

    /// Which end is this host's.
    fn ends(self, local: Field, peer: Field) -> Self {
        match (self.want(local), self.want(peer)) {
            (Some(Want::Is(local)), Some(Want::Is(peer))) => {
                let ends = format!("{local} / {peer}");
                self.with(Field::Ends, &ends)
            }
            _ => self,
        }
    }

    /// It was passing through, and was at an interface.
    #[must_use]
    pub fn forward(self, net: &Net, interface: &str) -> Self {
        self.with(Field::Direction, "forward").on(net, interface)
    }

    fn on(self, net: &Net, interface: &str) -> Self {
        self.with(Field::Interface, &format!("{interface}#{}", net.index(interface)))
    }

    /// A socket of this kind in this state.
    #[must_use]
    pub fn socket(self, kind: &str, state: &str) -> Self {
        self.with(Field::Socket, &format!("{kind} / {state}"))
    }

    /// The socket that it is.
    #[must_use]
    pub fn cookie(self, cookie: u64) -> Self {
        self.with(Field::Cookie, &cookie.to_string())
    }

    /// A severity other than WARN.
    #[must_use]
    pub fn severity(self, text: &str) -> Self {
        self.with(Field::Severity, text)
    }

    /// A length of the IP packet that is not that of its bytes.
    #[must_use]
    pub fn size(self, size: usize) -> Self {
        self.with(Field::Size, &size.to_string())
    }

    /// The header is behind another one, that of a tunnel.
    #[must_use]
    pub fn encapsulated(self, tunnel: &str) -> Self {
        self.with(Field::Encapsulated, tunnel)
    }

    /// So many packets.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// TCP may have sent it again by the time that the scenario ends.
    #[must_use]
    pub fn again(self) -> Self {
        Self { again: true, ..self }
    }

    /// The kernel counts the same drops elsewhere: as many as are expected.
    #[must_use]
    pub fn witness(mut self, rise: Rise) -> Self {
        self.witness = Some(rise);
        self
    }

    /// Kernels before `kernel` have another value.
    #[must_use]
    pub fn before(mut self, kernel: Kernel, field: Field, value: &str) -> Self {
        self.changes.push(Change { before: kernel, field, want: Want::Is(value.to_owned()) });
        self
    }

    /// Kernels before `kernel` cannot tell.
    #[must_use]
    pub fn unknown_before(mut self, kernel: Kernel, field: Field) -> Self {
        self.changes.push(Change { before: kernel, field, want: Want::Absent });
        self
    }

    /// Whether it takes more drops than `told`.
    pub fn takes_more(&self, told: u64) -> bool {
        self.again || told < self.count
    }

    /// Drops that it stands for.
    pub fn drops(&self) -> u64 {
        self.count
    }

    /// As this kernel has it. The change of the oldest series that is newer than `kernel` counts.
    pub fn on_kernel(mut self, kernel: Kernel) -> Self {
        if kernel != Kernel::REFERENCE {
            self.forget_what_differs();
        }
        if kernel < Kernel::WITH_RECEIVING_SOCKET {
            self.only_if_told(Field::Socket);
            self.only_if_told(Field::Cookie);
        }
        let mut changes = std::mem::take(&mut self.changes);
        changes.retain(|change| kernel < change.before);
        changes.sort_by_key(|change| std::cmp::Reverse(change.before));
        self.wants.extend(changes.into_iter().map(|change| (change.field, change.want)));
        self
    }

    /// Which function a drop site is depends on what the compiler inlined and where it made tail calls. Kernels get more
    /// reasons with time, and class and severity follow from them.
    fn forget_what_differs(&mut self) {
        self.wants.insert(Field::Site, Want::Known);
        self.wants.remove(&Field::Class);
        self.wants.remove(&Field::Severity);
        if self.want(Field::Reason) == Some(&Want::Is(UNTOLD.to_owned())) {
            self.wants.remove(&Field::Reason);
        }
        self.only_if_told(Field::Reason);
    }

    fn only_if_told(&mut self, field: Field) {
        let values = match self.wants.get(&field) {
            Some(Want::Is(value)) => vec![value.clone()],
            Some(Want::OneOf(values)) => values.clone(),
            _ => return,
        };
        self.wants.insert(field, Want::IfTold(values));
    }

    /// What a field has to be; `None` if it is not looked at.
    pub fn want(&self, field: Field) -> Option<&Want> {
        self.wants.get(&field)
    }

    /// Fields of `record` that are as expected: tells the records of one scenario apart.
    pub fn likeness(&self, record: &LogRecord) -> usize {
        self.wants.iter().filter(|(field, want)| want.fits(field.of(record).as_deref())).count()
    }

    /// Each field against the records that are its own.
    pub fn judge(&self, records: &[&LogRecord]) -> BTreeMap<Field, Verdict> {
        if records.is_empty() {
            return BTreeMap::from([(Field::Count, Verdict::Wrong(format!("{}: no record", self.count)))]);
        }
        let mut verdicts: BTreeMap<_, _> =
            self.wants.iter().map(|(&field, want)| (field, judge_field(field, want, records))).collect();
        let count: u64 = records.iter().map(|record| record.count()).sum();
        let wanted = if self.again { self.count.max(count) } else { self.count };
        verdicts.insert(Field::Count, compare(wanted, count, "drops"));
        if let Some(Rise { counter, found, others }) = &self.witness {
            let found = if *others || self.again { (*found).min(self.count) } else { *found };
            verdicts.insert(Field::Kernel, compare(found, self.count, counter));
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        let wants = BTreeMap::new();
        Expected { wants, changes: Vec::new(), count: 1, again: false, witness: None }
            .with(Field::Reason, "NO_SOCKET")
            .with(Field::Site, "tcp_v4_rcv")
            .with(Field::Severity, "INFO")
            .with(Field::Socket, "full / established")
            .before(Kernel(6, 5), Field::Direction, "older")
            .before(Kernel(6, 0), Field::Direction, "oldest")
    }

    #[test]
    fn the_reference_kernel_has_to_say_all_that_is_written() {
        let here = expected().on_kernel(Kernel::REFERENCE);
        assert_eq!(here.want(Field::Site), Some(&Want::Is("tcp_v4_rcv".to_owned())));
        assert_eq!(here.want(Field::Socket), Some(&Want::Is("full / established".to_owned())));
        assert_eq!(here.want(Field::Direction), None);
    }

    #[test]
    fn older_kernels_may_say_less_and_nothing_else() {
        let older = expected().on_kernel(Kernel(6, 1));
        let reason = older.want(Field::Reason).expect("a wish");
        assert!(reason.fits(None) && reason.fits(Some("NO_SOCKET")) && reason.fits(Some(UNTOLD)));
        assert!(!reason.fits(Some("NETFILTER_DROP")));
        assert_eq!(older.want(Field::Site), Some(&Want::Known));
        assert_eq!(older.want(Field::Severity), None);
        assert!(older.want(Field::Socket).expect("a wish").fits(None));
        assert_eq!(older.want(Field::Direction), Some(&Want::Is("older".to_owned())));
        let oldest = expected().on_kernel(Kernel(5, 10));
        assert_eq!(oldest.want(Field::Direction), Some(&Want::Is("oldest".to_owned())));
    }
}
