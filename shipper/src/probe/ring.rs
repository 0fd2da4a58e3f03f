//! [`Ring`]: the events that the program sends.

use aya::maps::{MapData, RingBuf};
use std::io;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The ring buffer's reading end.
pub struct Ring {
    ring: AsyncFd<RingBuf<MapData>>,
    /// Whether the last [`drain`](Self::drain) found its end. The kernel only wakes readers that were there.
    drained: bool,
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the ring's file descriptor is its map's, which it owns and does not change.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        Ok(Self { ring, drained: false })
    }

    /// Waits until there may be events; at once if the last drain stopped at its limit. Cancel safe.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub async fn readable(&mut self) -> io::Result<()> {
        if self.drained {
            // Cleared before the drain: what comes during it raises it again.
            self.ring.readable().await?.clear_ready();
            self.drained = false;
        }
        Ok(())
    }

    /// Gives up to `limit` events to `take`, oldest first, and says how many there were. Does not wait.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(&[u8])) -> usize {
        let ring = self.ring.get_mut();
        for count in 0..limit {
            let Some(event) = ring.next() else {
                self.drained = true;
                return count;
            };
            take(&event);
        }
        limit
    }
}
