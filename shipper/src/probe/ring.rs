//! [`Ring`]: the events that the program sends.

use aya::maps::{MapData, RingBuf};
use std::io;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// How long after a look that found events the ring is looked at again: meanwhile the program wakes nobody.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The ring buffer's reading end.
pub struct Ring {
    ring: AsyncFd<RingBuf<MapData>>,
    last_look: Look,
}

/// What a [`drain`](Ring::drain) came upon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// As many events as were asked for: there may be more.
    Limit,
    /// Events, and then the end.
    Events,
    /// Nothing. From here on the next event wakes.
    Nothing,
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the ring's file descriptor is its map's, which it owns and does not change.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        // What came before was not waited for.
        Ok(Self { ring, last_look: Look::Limit })
    }

    /// Waits until there may be events; at once if the last drain stopped at its limit. Cancel safe.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    pub async fn readable(&mut self) -> io::Result<()> {
        // Cleared before the drain: what comes during it raises it again.
        let woken = async || self.ring.readable().await.map(|mut guard| guard.clear_ready());
        match self.last_look {
            Look::Limit => Ok(()),
            Look::Events => timeout(LOOK_AGAIN, woken()).await.unwrap_or(Ok(())),
            Look::Nothing => woken().await,
        }
    }

    /// Gives up to `limit` events to `take`, oldest first, and says how many there were. Does not wait.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(&[u8])) -> usize {
        let ring = self.ring.get_mut();
        let mut count = 0;
        while count < limit {
            let Some(event) = ring.next() else { break };
            take(&event);
            count += 1;
        }
        self.last_look = match count {
            0 => Look::Nothing,
            _ if count < limit => Look::Events,
            _ => Look::Limit,
        };
        count
    }
}
