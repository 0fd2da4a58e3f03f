//! Storms of drops, made on purpose: raw TCP segments from several threads, each on its CPU and in its network
//! namespace, at the rate that the kernel takes (some 500,000 a second and core on loopback).
//!
//! The number of drops is known beforehand: [`Segment::drops`] for each packet, [`Counts`] says what the kernel counted.

mod counts;
mod established;
mod packet;

pub use counts::Counts;
pub use packet::{Flow, Flows};

use crate::netns::Namespace;
use established::Connections;
use packet::{Header, Packet, flags};
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendFlags, SocketType, ipproto};
use rustix::net::{MMsgHdr, sendmmsg};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::io::IoSlice;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Most packets that are handed to the kernel at a time.
const BATCH: u64 = 64;
/// Batches a second, where a rate is given: what goes out at once is not to be taken for a burst.
const BATCHES_PER_SECOND: u64 = 1000;

/// What the packets are, and so why they are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A RST that no socket is there for: one drop, and no answer.
    Rst,
    /// A SYN that no socket is there for. The RST that answers it finds no socket either where the source address is
    /// local: two drops.
    Syn,
    /// A RST with a wrong checksum.
    BadChecksum,
    /// An ACK from before the window of an established connection. The connections are made first, on one listener, so
    /// that flows are limited by file descriptors, and ports and source addresses by the kernel's choice.
    OldSequence,
}

impl Segment {
    /// Drops for each packet, if its source address is in the namespace that it is sent to.
    pub fn drops(self) -> u64 {
        if self == Self::Syn { 2 } else { 1 }
    }

    fn header(self, seq: u32) -> Header {
        let plain = Header { seq, ack: 0, flags: flags::RST, good_checksum: true };
        match self {
            Self::Rst => plain,
            Self::Syn => Header { flags: flags::SYN, ..plain },
            Self::BadChecksum => Header { good_checksum: false, ..plain },
            Self::OldSequence => Header { flags: flags::ACK, ..plain },
        }
    }
}

/// A thread that sends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender<'a> {
    /// The CPU that it is pinned to. On loopback its packets are dropped there, too.
    pub cpu: Option<usize>,
    /// The namespace that it sends from; the current one if there is none.
    pub namespace: Option<&'a Namespace>,
}

/// A storm. The same one sends the same packets, apart from the connections of [`Segment::OldSequence`].
#[derive(Clone, Debug)]
pub struct Storm<'a> {
    /// Who sends.
    pub senders: Vec<Sender<'a>>,
    /// What.
    pub segment: Segment,
    /// The flows, which the senders take turns in.
    pub flows: Flows,
    /// Packets of all senders together.
    pub packets: u64,
    /// After this it ends, whatever was sent.
    pub at_most: Duration,
    /// Packets a second of all senders together; as many as the kernel takes if there is none.
    pub per_second: Option<u64>,
    /// Sequence numbers, and the flow to begin with.
    pub seed: u64,
}

/// What a storm was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blasted {
    /// Packets that were sent.
    pub packets: u64,
    /// From the first packet to the last.
    pub wall: Duration,
    /// CPU time of the senders: on loopback, what the drops cost is in it.
    pub cpu: Duration,
}

impl Blasted {
    /// Packets per second of wall time.
    pub fn rate(&self) -> f64 {
        self.packets as f64 / self.wall.as_secs_f64()
    }
}

/// Sends a storm, and returns when it is over.
///
/// # Panics
/// If a sender can't do its work: no rights, no such CPU, no route.
pub fn blast(storm: &Storm) -> Blasted {
    let start = Barrier::new(storm.senders.len());
    std::thread::scope(|scope| {
        let start = &start;
        let threads: Vec<_> = (0_u64..)
            .zip(&storm.senders)
            .map(|(number, sender)| {
                scope.spawn(move || match sender.namespace {
                    Some(namespace) => namespace.run(|| Volley::new(storm, number, *sender).send(start)),
                    None => Volley::new(storm, number, *sender).send(start),
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .reduce(Sent::join)
            .map_or_else(|| panic!("a storm without senders"), Sent::summary)
    })
}

/// One sender's part of a storm.
struct Volley<'a> {
    storm: &'a Storm<'a>,
    socket: OwnedFd,
    connections: Option<Connections>,
    /// Number of the next packet among all of the storm; the senders take turns.
    next: u64,
    sent: u64,
    limit: u64,
}

impl<'a> Volley<'a> {
    fn new(storm: &'a Storm, number: u64, sender: Sender) -> Self {
        if let Some(cpu) = sender.cpu {
            let mut cpus = CpuSet::new();
            cpus.set(cpu);
            sched_setaffinity(None, &cpus).unwrap_or_else(|error| panic!("pin to CPU {cpu}: {error}"));
        }
        let senders = storm.senders.len() as u64;
        let connections = (storm.segment == Segment::OldSequence).then(|| Connections::open(&storm.flows));
        Self {
            storm,
            socket: raw_socket(storm.flows.destination),
            connections,
            next: number,
            sent: 0,
            limit: storm.packets / senders + u64::from(number < storm.packets % senders),
        }
    }

    fn send(mut self, start: &Barrier) -> Sent {
        start.wait();
        let (begin, cpu) = (Instant::now(), thread_cpu_time());
        while self.sent < self.limit && begin.elapsed() < self.storm.at_most {
            let batch = self.batch();
            send_all(&self.socket, &batch);
            self.sent += batch.len() as u64;
            self.keep_pace(begin);
        }
        Sent { packets: self.sent, begin, end: Instant::now(), cpu: thread_cpu_time().saturating_sub(cpu) }
    }

    fn batch(&mut self) -> Vec<Packet> {
        let share = self.storm.per_second.map_or(u64::MAX, |rate| rate / self.storm.senders.len() as u64);
        let size = (share / BATCHES_PER_SECOND).clamp(1, BATCH);
        (0..size.min(self.limit - self.sent)).map(|_| self.packet()).collect()
    }

    fn packet(&mut self) -> Packet {
        let Storm { segment, flows, seed, senders, .. } = self.storm;
        let number = self.next.wrapping_add(*seed);
        self.next += senders.len() as u64;
        match &self.connections {
            Some(connections) => {
                let connection = connections.nth(number);
                Packet::new(connection.flow, segment.header(connection.old_sequence))
            }
            None => Packet::new(flows.nth(number), segment.header(scatter(number))),
        }
    }

    /// Sleeps for as long as it is ahead of its share of the rate.
    fn keep_pace(&self, begin: Instant) {
        let Some(per_second) = self.storm.per_second else { return };
        let share = per_second as f64 / self.storm.senders.len() as f64;
        let due = Duration::from_secs_f64(self.sent as f64 / share);
        let ahead = due.min(self.storm.at_most).saturating_sub(begin.elapsed());
        if !ahead.is_zero() {
            std::thread::sleep(ahead);
        }
    }
}

/// What one sender, or several, sent.
struct Sent {
    packets: u64,
    begin: Instant,
    end: Instant,
    cpu: Duration,
}

impl Sent {
    fn join(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            begin: self.begin.min(other.begin),
            end: self.end.max(other.end),
            cpu: self.cpu + other.cpu,
        }
    }

    fn summary(self) -> Blasted {
        Blasted { packets: self.packets, wall: self.end - self.begin, cpu: self.cpu }
    }
}

/// A socket that sends packets with their IP header.
fn raw_socket(destination: IpAddr) -> OwnedFd {
    let family = if destination.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    rustix::net::socket(family, SocketType::RAW, Some(ipproto::RAW)).expect("open a raw socket")
}

fn send_all(socket: &OwnedFd, packets: &[Packet]) {
    let slices: Vec<_> = packets.iter().map(|packet| [IoSlice::new(packet.bytes())]).collect();
    let mut controls: Vec<_> = packets.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<_> = packets
        .iter()
        .zip(&slices)
        .zip(&mut controls)
        .map(|((packet, slice), control)| MMsgHdr::new_with_addr(&packet.to, slice, control))
        .collect();
    let mut sent = 0;
    while sent < messages.len() {
        match sendmmsg(socket, &mut messages[sent..], SendFlags::empty()) {
            Ok(count) => sent += count,
            // The kernel's queues are full: they are emptied by this CPU, too.
            Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => std::thread::yield_now(),
            Err(error) => panic!("send a packet: {error}"),
        }
    }
}

fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// A number for each number, spread over all (splitmix64).
fn scatter(number: u64) -> u32 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests;
