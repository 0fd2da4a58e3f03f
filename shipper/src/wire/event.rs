//! [`decode`]: what an event of the ring says, checked.

use super::{STACK_DEPTH, TcpDropEvent, present};
use crate::packet_drop::{
    BootTime, Direction, Flow, IpVersion, ListenerQueues, NetworkNamespace, PacketDrop, Ports, Sighted,
    Sighting, Socket, SocketKind, Task, TcpFlags, TcpHeader, TcpState, Tunnel,
};
use crate::silent::SilentCounter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::FromBytes;

/// Why bytes are no event. The probe and this code come in one binary, so it is a bug or damaged bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum DecodeError {
    #[error("the event has {0} bytes, fewer than its header")]
    Short(usize),
    #[error("the event says it has {frames} stack frames, but {bytes} bytes follow its header")]
    Stack { frames: u16, bytes: usize },
    #[error("the event has the unknown {field} {value}")]
    Unknown { field: &'static str, value: u32 },
}

fn unknown(field: &'static str, value: impl Into<u32>) -> DecodeError {
    DecodeError::Unknown { field, value: value.into() }
}

/// The drop that the probe's bytes describe.
///
/// # Errors
/// If the bytes are not a whole event, or have a value that has no meaning.
pub fn decode(bytes: &[u8]) -> Result<PacketDrop, DecodeError> {
    Event::read(bytes).map(|event| event.describe())
}

/// An event of the ring, checked, without anything allocated: most are only counted.
#[derive(Clone, Debug)]
pub struct Event {
    fixed: TcpDropEvent,
    frames: [u64; STACK_DEPTH],
    sighting: Sighting,
    silent: Option<SilentCounter>,
    tunnel: Option<Tunnel>,
}

impl Event {
    /// Checks the probe's bytes.
    ///
    /// # Errors
    /// If they are not a whole event, or have a value that has no meaning.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (fixed, rest) =
            TcpDropEvent::read_from_prefix(bytes).map_err(|_| DecodeError::Short(bytes.len()))?;
        if fixed.present & !(present::ALL | present::TUNNEL) != 0 {
            return Err(unknown("field bits", fixed.present));
        }
        Ok(Self {
            sighting: fixed.sighting()?,
            frames: fixed.stack(rest)?,
            silent: fixed.silent()?,
            tunnel: fixed.tunnel()?,
            fixed,
        })
    }

    /// Return addresses: see [`PacketDrop::stack`].
    pub fn stack(&self) -> &[u64] {
        &self.frames[..usize::from(self.fixed.stack_frames)]
    }
}

impl Sighted for &Event {
    fn sighting(&self) -> Sighting {
        self.sighting
    }

    fn describe(self) -> PacketDrop {
        let Event { fixed: event, sighting, silent, tunnel, .. } = self;
        PacketDrop {
            time: sighting.time,
            site: sighting.site,
            reason: sighting.reason,
            stack: self.stack().to_vec(),
            stack_truncated: event.has(present::STACK_TRUNCATED),
            ip_version: sighting.flow.map(|flow| match flow.source {
                IpAddr::V4(_) => IpVersion::V4,
                IpAddr::V6(_) => IpVersion::V6,
            }),
            flow: sighting.flow,
            tcp: sighting.tcp,
            tunnel: *tunnel,
            packet_size: sighting.packet_size,
            segments: (event.segments > 1).then_some(event.segments),
            direction: sighting.direction,
            interface_index: event.if_present(present::INTERFACE, event.interface_index),
            interface_name: event.has(present::INTERFACE_NAME).then(|| text(&event.interface_name)),
            network_namespace: sighting.network_namespace,
            socket: sighting.socket,
            listener: event.listener(),
            silent: *silent,
            task: Task { pid: event.pid, comm: text(&event.comm), cgroup_id: event.task_cgroup },
        }
    }
}

/// The kernel's string: up to the first zero.
fn text(bytes: &[u8; 16]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl TcpDropEvent {
    fn has(&self, bit: u32) -> bool {
        self.present & bit != 0
    }

    fn if_present<T>(&self, bit: u32, value: T) -> Option<T> {
        self.has(bit).then_some(value)
    }

    fn sighting(&self) -> Result<Sighting, DecodeError> {
        let tcp =
            TcpHeader { seq: self.seq, ack: self.ack, window: self.window, flags: TcpFlags(self.tcp_flags) };
        let network_namespace = NetworkNamespace {
            inode: self.netns_inode,
            cookie: self.if_present(present::NETNS_COOKIE, self.netns_cookie),
        };
        Ok(Sighting {
            time: BootTime(self.boot_ns),
            site: self.site,
            reason: self.if_present(present::REASON, self.reason),
            flow: self.flow()?,
            tcp: self.if_present(present::TCP_HEADER, tcp),
            packet_size: self.if_present(present::PACKET_SIZE, self.packet_size),
            direction: self.direction()?,
            network_namespace: self.if_present(present::NETNS, network_namespace),
            socket: self.socket()?,
        })
    }

    fn stack(&self, rest: &[u8]) -> Result<[u64; STACK_DEPTH], DecodeError> {
        let (frames, remainder) = rest.as_chunks();
        if !remainder.is_empty()
            || frames.len() != usize::from(self.stack_frames)
            || frames.len() > STACK_DEPTH
        {
            return Err(DecodeError::Stack { frames: self.stack_frames, bytes: rest.len() });
        }
        let mut stack = [0; STACK_DEPTH];
        for (place, frame) in stack.iter_mut().zip(frames) {
            *place = u64::from_ne_bytes(*frame);
        }
        Ok(stack)
    }

    fn flow(&self) -> Result<Option<Flow>, DecodeError> {
        if !self.has(present::ADDRESSES) {
            return Ok(None);
        }
        let address = |bytes: [u8; 16]| match (self.ip_version, bytes) {
            (4, [a, b, c, d, ..]) => Ok(IpAddr::from(Ipv4Addr::new(a, b, c, d))),
            (6, bytes) => Ok(IpAddr::from(Ipv6Addr::from(bytes))),
            (version, _) => Err(unknown("IP version", version)),
        };
        let ports = Ports { source: self.source_port, destination: self.destination_port };
        Ok(Some(Flow {
            source: address(self.source)?,
            destination: address(self.destination)?,
            ports: self.if_present(present::PORTS, ports),
        }))
    }

    fn tunnel(&self) -> Result<Option<Tunnel>, DecodeError> {
        match (self.present & present::TUNNEL) >> present::TUNNEL_SHIFT {
            0 => Ok(None),
            1 => Ok(Some(Tunnel::IpInIp)),
            2 => Ok(Some(Tunnel::Gre)),
            3 => Ok(Some(Tunnel::Vxlan)),
            4 => Ok(Some(Tunnel::Geneve)),
            other => Err(unknown("tunnel", other)),
        }
    }

    fn direction(&self) -> Result<Direction, DecodeError> {
        match self.direction {
            0 => Ok(Direction::Unknown),
            1 => Ok(Direction::Receive),
            2 => Ok(Direction::Transmit),
            3 => Ok(Direction::Forward),
            other => Err(unknown("direction", other)),
        }
    }

    fn listener(&self) -> Option<ListenerQueues> {
        let queues = ListenerQueues {
            backlog: self.listener_backlog,
            backlog_max: self.listener_backlog_max,
            syn_backlog: self.listener_syn_backlog,
        };
        self.if_present(present::LISTENER, queues)
    }

    fn silent(&self) -> Result<Option<SilentCounter>, DecodeError> {
        match self.silent {
            0 => Ok(None),
            kind => SilentCounter::from_wire(kind).map(Some).ok_or_else(|| unknown("silent counter", kind)),
        }
    }

    fn socket(&self) -> Result<Option<Socket>, DecodeError> {
        if !self.has(present::SOCKET) {
            return Ok(None);
        }
        let kind = match self.socket_kind {
            1 => SocketKind::Full,
            2 => SocketKind::Request,
            3 => SocketKind::TimeWait,
            4 => SocketKind::Listener,
            other => return Err(unknown("socket kind", other)),
        };
        let state = TcpState::from_kernel(self.socket_state)
            .ok_or_else(|| unknown("socket state", self.socket_state))?;
        Ok(Some(Socket {
            kind,
            state,
            cookie: self.if_present(present::SOCKET_COOKIE, self.socket_cookie),
            cgroup_id: self.if_present(present::SOCKET_CGROUP, self.socket_cgroup),
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn full_event() -> TcpDropEvent {
        let mut event = TcpDropEvent {
            boot_ns: 7,
            site: 0xffff_ffff_8100_0000,
            netns_cookie: 11,
            socket_cookie: 12,
            socket_cgroup: 13,
            task_cgroup: 14,
            present: present::ALL | 3 << present::TUNNEL_SHIFT,
            reason: 3,
            netns_inode: 0xf000_0000,
            interface_index: 2,
            packet_size: 60,
            seq: 21,
            ack: 22,
            pid: 23,
            window: 24,
            tcp_flags: 0x102,
            source_port: 40000,
            destination_port: 80,
            segments: 3,
            stack_frames: 2,
            ip_version: 4,
            direction: 1,
            socket_kind: 1,
            socket_state: 1,
            listener_backlog: 31,
            listener_backlog_max: 32,
            listener_syn_backlog: 33,
            silent: 1,
            ..TcpDropEvent::default()
        };
        event.source[..4].copy_from_slice(&[10, 0, 0, 1]);
        event.destination[..4].copy_from_slice(&[10, 0, 0, 2]);
        event.comm[..4].copy_from_slice(b"curl");
        event.interface_name[..4].copy_from_slice(b"eth0");
        event
    }

    fn bytes_of(event: &TcpDropEvent, stack: &[u64]) -> Vec<u8> {
        let mut bytes = event.as_bytes().to_vec();
        bytes.extend(stack.iter().flat_map(|frame| frame.to_ne_bytes()));
        bytes
    }

    #[test]
    fn a_full_event_is_decoded() {
        let drop = decode(&bytes_of(&full_event(), &[1, 2])).unwrap();
        let expected = PacketDrop {
            time: BootTime(7),
            site: 0xffff_ffff_8100_0000,
            reason: Some(3),
            stack: vec![1, 2],
            stack_truncated: true,
            ip_version: Some(IpVersion::V4),
            flow: Some(Flow {
                source: [10, 0, 0, 1].into(),
                destination: [10, 0, 0, 2].into(),
                ports: Some(Ports { source: 40000, destination: 80 }),
            }),
            tcp: Some(TcpHeader { seq: 21, ack: 22, window: 24, flags: TcpFlags(0x102) }),
            tunnel: Some(Tunnel::Vxlan),
            packet_size: Some(60),
            segments: Some(3),
            direction: Direction::Receive,
            interface_index: Some(2),
            interface_name: Some("eth0".to_owned()),
            network_namespace: Some(NetworkNamespace { inode: 0xf000_0000, cookie: Some(11) }),
            socket: Some(Socket {
                kind: SocketKind::Full,
                state: TcpState::Established,
                cookie: Some(12),
                cgroup_id: Some(13),
            }),
            listener: Some(ListenerQueues { backlog: 31, backlog_max: 32, syn_backlog: 33 }),
            silent: Some(SilentCounter::ListenOverflows),
            task: Task { pid: 23, comm: "curl".to_owned(), cgroup_id: 14 },
        };
        assert_eq!(drop, expected);
    }

    #[test]
    fn what_is_not_present_is_none() {
        let event = TcpDropEvent { present: 0, segments: 1, stack_frames: 0, silent: 0, ..full_event() };
        let drop = decode(&bytes_of(&event, &[])).unwrap();
        let told = (drop.reason, drop.flow, drop.tcp, drop.packet_size, drop.interface_index);
        assert_eq!(told, (None, None, None, None, None));
        let told =
            (drop.network_namespace, drop.socket, drop.segments, drop.ip_version, drop.stack_truncated);
        assert_eq!(told, (None, None, None, None, false));
        assert_eq!((drop.listener, drop.silent), (None, None));
    }

    #[test]
    fn a_mapped_address_stays_as_in_the_packet() {
        let mapped: Ipv6Addr = "::ffff:10.0.0.1".parse().unwrap();
        let event = TcpDropEvent { ip_version: 6, source: mapped.octets(), ..full_event() };
        let drop = decode(&bytes_of(&event, &[1, 2])).unwrap();
        assert_eq!(drop.flow.unwrap().source, IpAddr::V6(mapped));
    }

    #[test]
    fn a_name_without_an_end_or_in_no_encoding_is_shown_as_far_as_it_goes() {
        let event = TcpDropEvent { comm: [b'x'; 16], ..full_event() };
        assert_eq!(decode(&bytes_of(&event, &[1, 2])).unwrap().task.comm, "x".repeat(16));
        let event = TcpDropEvent { comm: [0xff; 16], ..full_event() };
        assert_eq!(decode(&bytes_of(&event, &[1, 2])).unwrap().task.comm.chars().count(), 16);
    }

    #[test]
    fn bytes_of_the_wrong_length_are_refused() {
        let bytes = bytes_of(&full_event(), &[1, 2]);
        let header = size_of::<TcpDropEvent>();
        for length in (0..bytes.len()).chain([bytes.len() + 1, bytes.len() + 8]) {
            let mut cut = bytes.clone();
            cut.resize(length, 0);
            let error = decode(&cut).unwrap_err();
            if length < header {
                assert_eq!(error, DecodeError::Short(length));
            } else {
                assert_eq!(error, DecodeError::Stack { frames: 2, bytes: length - header });
            }
        }
    }

    #[test]
    fn a_stack_deeper_than_the_probe_sends_is_refused() {
        let event = TcpDropEvent { stack_frames: 65, ..full_event() };
        assert!(matches!(decode(&bytes_of(&event, &[0; 65])), Err(DecodeError::Stack { frames: 65, .. })));
    }

    #[test]
    fn values_without_a_meaning_are_refused() {
        let event = full_event();
        for (field, event) in [
            ("field bits", TcpDropEvent { present: present::ALL + 1, ..event }),
            ("tunnel", TcpDropEvent { present: present::ALL | 5 << present::TUNNEL_SHIFT, ..event }),
            ("IP version", TcpDropEvent { ip_version: 5, ..event }),
            ("direction", TcpDropEvent { direction: 4, ..event }),
            ("socket kind", TcpDropEvent { socket_kind: 0, ..event }),
            ("socket state", TcpDropEvent { socket_state: 13, ..event }),
            ("silent counter", TcpDropEvent { silent: 4, ..event }),
        ] {
            let error = decode(&bytes_of(&event, &[1, 2])).unwrap_err();
            assert!(matches!(error, DecodeError::Unknown { field: found, .. } if found == field), "{error}");
        }
    }

    #[test]
    fn bytes_are_read_wherever_they_lie() {
        let bytes = bytes_of(&full_event(), &[1, 2]);
        for offset in 0..8 {
            let mut shifted = vec![0; offset];
            shifted.extend_from_slice(&bytes);
            assert_eq!(decode(&shifted[offset..]), decode(&bytes));
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let length = usize::try_from(random() % 700).unwrap();
            let bytes: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0]).collect();
            let _ = decode(&bytes);

            let mut event = bytes_of(&full_event(), &[1, 2]);
            let position = usize::try_from(random()).unwrap() % event.len();
            event[position] = random().to_le_bytes()[0];
            let _ = decode(&event);
        }
    }
}
