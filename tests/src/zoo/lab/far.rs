//! TCP as the test plays it.

use super::{ANSWER, Wire};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys::Stall;
use std::net::{SocketAddr, TcpListener, TcpStream};

/// The test's end of a TCP connection.
#[derive(Clone, Debug)]
pub struct Far {
    /// The host's end.
    pub near: SocketAddr,
    /// The test's end.
    pub own: SocketAddr,
    /// Next sequence number of the test's.
    pub seq: u32,
    /// Next sequence number expected from the host.
    pub ack: u32,
    /// Window to announce.
    pub window: u16,
    /// Value of the timestamp option, if it is used.
    pub clock: Option<u32>,
    /// Last timestamp of the host's.
    pub echo: u32,
    /// Window that the host announced in the handshake.
    pub near_window: u16,
}

impl Far {
    /// The next segment, with these flags.
    pub fn segment(&self, flags: u16) -> Segment {
        Segment {
            seq: self.seq,
            ack: if flags & flag::ACK == 0 { 0 } else { self.ack },
            window: self.window,
            options: self.clock.map(|clock| timestamps(clock, self.echo)).unwrap_or_default(),
            ..Segment::new(self.own, self.near, flags)
        }
    }

    /// The next segment with data.
    pub fn data(&self, payload: &[u8]) -> Segment {
        self.segment(flag::ACK | flag::PSH).with_payload(payload)
    }

    /// The next segment that the host would send with these flags and data.
    pub fn answer(&self, flags: u16, payload: &[u8]) -> Segment {
        let segment = Segment::new(self.near, self.own, flags).with_payload(payload);
        Segment { seq: self.ack, ack: self.seq, window: self.near_window, ..segment }
    }
}

/// The timestamp option (RFC 7323), padded.
pub fn timestamps(value: u32, echo: u32) -> Vec<u8> {
    let mut option = vec![1, 1, 8, 10];
    option.extend(value.to_be_bytes());
    option.extend(echo.to_be_bytes());
    option
}

/// The value of the timestamp option among `options`.
pub(super) fn timestamp_value(options: &[u8]) -> Option<u32> {
    let mut rest = options;
    loop {
        match *rest.first()? {
            0 => return None,
            1 => rest = &rest[1..],
            8 => return rest.get(2..6)?.try_into().ok().map(u32::from_be_bytes),
            _ => rest = rest.get(usize::from(*rest.get(1)?).max(2)..)?,
        }
    }
}

/// A connection between a socket of the host and the test's own TCP.
#[derive(Debug)]
pub struct Conversation {
    /// The host's socket.
    pub socket: TcpStream,
    /// Where it came in.
    pub listener: TcpListener,
    /// The test's end.
    pub far: Far,
    /// Cookie of `socket`.
    pub cookie: u64,
}

impl Conversation {
    /// The test sends `payload`, and the host's socket reads it.
    pub fn deliver(&mut self, wire: &Wire, payload: &[u8]) {
        use std::io::Read;
        self.socket.set_read_timeout(Some(ANSWER)).expect("set a timeout");
        wire.send(&self.far.data(payload).packet());
        let mut received = vec![0; payload.len()];
        self.socket.read_exact(&mut received).expect("receive");
        self.far.seq = self.far.seq.wrapping_add(u32::try_from(payload.len()).expect("a short payload"));
    }

    /// Does `work` while the owner of the host's socket is inside a system call that holds the socket locked.
    pub fn while_locked(&self, work: impl FnOnce()) {
        let stall = Stall::new().expect("make memory that has to be waited for");
        std::thread::scope(|scope| {
            let owner = scope.spawn(|| stall.send(&self.socket));
            let release = ReleaseAtEnd(&stall);
            assert!(stall.is_awaited(ANSWER).expect("wait for the owner"), "the owner does not wait");
            work();
            drop(release);
            owner.join().expect("the owner ends");
        });
    }
}

/// Otherwise a test that fails would wait for ever.
struct ReleaseAtEnd<'a>(&'a Stall);

impl Drop for ReleaseAtEnd<'_> {
    fn drop(&mut self) {
        let _ = self.0.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_found_behind_other_options() {
        let options = [&[2, 4, 5, 0xb4][..], &timestamps(7, 9)].concat();
        assert_eq!(timestamp_value(&options), Some(7));
        assert_eq!(timestamp_value(&[2, 4, 5, 0xb4]), None);
    }
}
