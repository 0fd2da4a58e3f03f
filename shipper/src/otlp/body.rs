//! Drops in words: the bodies of log records, and what the text view has in common with them.

use super::attributes::{MAX_STRING_BYTES, truncate};
use crate::drop_report::{DropReport, SilentReport, SuppressedReport, SuppressionCause};
use crate::packet_drop::{Direction, Flow, TcpFlags};
use crate::silent::SilentCounter;
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};

/// One side of a flow. Displayed as `10.0.0.1:80`, `[2001:db8::1]:80`, or without the port that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: Option<u16>,
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// Source and destination of a flow.
pub fn source_and_destination(flow: Flow) -> (Endpoint, Endpoint) {
    let source = Endpoint { address: flow.source, port: flow.ports.map(|ports| ports.source) };
    let destination = Endpoint { address: flow.destination, port: flow.ports.map(|ports| ports.destination) };
    (source, destination)
}

/// This host's side of a flow and the other; `None` where the packet was for neither or nobody knows.
pub(super) fn local_and_peer(flow: Flow, direction: Direction) -> Option<(Endpoint, Endpoint)> {
    let (source, destination) = source_and_destination(flow);
    match direction {
        Direction::Receive => Some((destination, source)),
        Direction::Transmit => Some((source, destination)),
        Direction::Forward | Direction::Unknown => None,
    }
}

/// Flags as in `SYN|ACK`; empty if none is set.
pub fn flags(flags: TcpFlags) -> String {
    flags.names().collect::<Vec<_>>().join("|")
}

/// The reason by name, else by number; `None` on kernels without reasons.
pub fn reason(name: Option<&str>, code: Option<u32>) -> Option<String> {
    match name {
        Some(name) => Some(truncate(name, MAX_STRING_BYTES).to_owned()),
        None => code.map(|code| format!("reason {code}")),
    }
}

/// As in `NO_SOCKET: 10.0.0.1:41234 > 10.0.0.2:8080 SYN dropped at tcp_v4_rcv (×12)`.
pub fn of_drop(report: &DropReport) -> String {
    let packet = report.packet();
    let mut body = prefix(report.facts.reason.as_deref(), packet.reason);
    body += &subject(report);
    body += " dropped";
    body += &at(report.facts.stack.site());
    match report.summary.tally.count {
        1 => {}
        count => body += &format!(" (×{count})"),
    }
    body
}

/// As in `ListenOverflows: 10.0.0.1:41234 > 10.0.0.2:8080 SYN refused, accept queue full (129 of 128)`, or
/// `ListenOverflows: 12 SYNs refused, accept queue full`.
pub fn of_silent(report: &SilentReport) -> String {
    let Some(counter) = report.counter() else { return String::new() };
    let what = match report {
        SilentReport::Seen(drops) => subject(drops),
        SilentReport::Counted { .. } if report.count() == 1 => "1 SYN".to_owned(),
        SilentReport::Counted { .. } => format!("{} SYNs", report.count()),
    };
    let mut body = format!("{}: {what} refused, {}", counter.name(), counter.meaning());
    if let SilentReport::Seen(drops) = report {
        if let Some(queues) = drops.packet().listener.filter(|_| counter == SilentCounter::ListenOverflows) {
            body += &format!(" ({} of {})", queues.backlog, queues.backlog_max);
        }
        match report.count() {
            1 => {}
            count => body += &format!(" (×{count})"),
        }
    }
    body
}

/// As in `NO_SOCKET: 5000 packets dropped at tcp_v4_rcv, without detail: over the limit of the probe`.
pub fn of_suppressed(report: &SuppressedReport) -> String {
    let mut body = prefix(report.reason.as_deref(), report.reason_code);
    let packets = if report.count == 1 { "packet" } else { "packets" };
    body += &format!("{} {packets} dropped", report.count);
    body += &at(report.site.as_deref());
    body += match report.cause {
        SuppressionCause::Budget => ", without detail: over the limit of the probe",
        SuppressionCause::RingFull => ", without detail: the ring buffer was full",
        SuppressionCause::DecodeError => ", without detail: the event could not be decoded",
    };
    body
}

fn prefix(name: Option<&str>, code: Option<u32>) -> String {
    reason(name, code).map_or_else(String::new, |reason| format!("{reason}: "))
}

fn subject(report: &DropReport) -> String {
    let packet = report.packet();
    if report.summary.other_flows {
        return if report.summary.tally.count == 1 {
            "packet of another flow"
        } else {
            "packets of other flows"
        }
        .to_owned();
    }
    let mut subject = match packet.flow.map(source_and_destination) {
        Some((source, destination)) => format!("{source} > {destination}"),
        None => "TCP packet".to_owned(),
    };
    if let Some(header) = packet.tcp.filter(|header| header.flags.0 != 0) {
        subject += " ";
        subject += &flags(header.flags);
    }
    subject
}

fn at(site: Option<&str>) -> String {
    site.map_or_else(String::new, |site| format!(" at {}", truncate(site, MAX_STRING_BYTES)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::packet_drop::Ports;

    fn flow(ports: Option<Ports>) -> Flow {
        Flow { source: IpAddr::from([10, 0, 0, 1]), destination: IpAddr::from([10, 0, 0, 2]), ports }
    }

    #[test]
    fn an_endpoint_shows_what_is_known() {
        let v6 = Endpoint { address: "2001:db8::1".parse().unwrap(), port: Some(80) };
        assert_eq!(v6.to_string(), "[2001:db8::1]:80");
        assert_eq!(Endpoint { port: None, ..v6 }.to_string(), "2001:db8::1");
    }

    #[test]
    fn the_local_side_is_where_the_packet_was_going_or_came_from() {
        let flow = flow(Some(Ports { source: 1, destination: 2 }));
        let (source, destination) = source_and_destination(flow);
        assert_eq!(local_and_peer(flow, Direction::Receive), Some((destination, source)));
        assert_eq!(local_and_peer(flow, Direction::Transmit), Some((source, destination)));
        assert_eq!(local_and_peer(flow, Direction::Forward), None);
        assert_eq!(local_and_peer(flow, Direction::Unknown), None);
    }

    #[test]
    fn a_total_names_its_cause_and_what_is_known() {
        let mut report = SuppressedReport {
            class: None,
            reason: None,
            reason_code: Some(77),
            site: Some("tcp_v4_rcv".into()),
            count: 1,
            cause: SuppressionCause::RingFull,
            time: Default::default(),
            observed: Default::default(),
        };
        assert_eq!(
            of_suppressed(&report),
            "reason 77: 1 packet dropped at tcp_v4_rcv, without detail: the ring buffer was full"
        );
        report.reason_code = None;
        report.site = None;
        report.count = 2;
        assert_eq!(of_suppressed(&report), "2 packets dropped, without detail: the ring buffer was full");
    }
}
