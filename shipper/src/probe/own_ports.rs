//! [`OwnPorts`]: what traffic is the agent's own.

use super::ProbeError;
use crate::wire::TcpDropOwnPort;
use aya::maps::{HashMap, Map, MapData};
use std::sync::{Arc, Mutex, PoisonError};

/// Ports of the agent's own connections. The kernel side counts their drops as `own` and sends no event, so that a
/// Collector that is down does not feed the agent with its own attempts to reach it.
///
/// Bounded: the kernel forgets those that were longest unused.
#[derive(Clone)]
pub struct OwnPorts {
    map: Arc<Mutex<HashMap<MapData, TcpDropOwnPort, u8>>>,
    agent_netns: u32,
}

// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for TcpDropOwnPort {}

impl OwnPorts {
    pub(super) fn new(map: Map, agent_netns: u32) -> Result<Self, ProbeError> {
        Ok(Self { map: Arc::new(Mutex::new(HashMap::try_from(map)?)), agent_netns })
    }

    /// Makes a connection of the agent known, from its `local_port` to `peer_port`. To be called between bind and
    /// connect. In the agent's namespace the port says enough, whatever a proxy makes of the other end; for
    /// other namespaces of the host, which the packets may cross, both do.
    ///
    /// # Errors
    /// If the kernel refuses the entry.
    pub fn register(&self, local_port: u16, peer_port: u16) -> Result<(), ProbeError> {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(TcpDropOwnPort { netns_inode: self.agent_netns, local_port, peer_port: 0 }, 1, 0)?;
        map.insert(TcpDropOwnPort { netns_inode: 0, local_port, peer_port }, 1, 0)?;
        Ok(())
    }
}
