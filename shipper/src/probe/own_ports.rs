//! [`OwnPorts`]: what traffic is the agent's own.

use super::ProbeError;
use crate::wire::TcpDropOwnPort;
use aya::maps::{HashMap, Map, MapData};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Ports of the agent's own connections. The kernel side counts their drops as `own` and sends no event, so that a
/// Collector that is down does not feed the agent with its own attempts to reach it.
///
/// Bounded: the kernel forgets those that were longest unused.
#[derive(Clone)]
pub struct OwnPorts {
    registered: Arc<Mutex<Registered>>,
    agent_netns: u32,
}

struct Registered {
    map: HashMap<MapData, TcpDropOwnPort, u8>,
    /// A port can be taken again while its last use is still held.
    uses: BTreeMap<(u32, u16, u16), u32>,
}

// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for TcpDropOwnPort {}

impl OwnPorts {
    pub(super) fn new(map: Map, agent_netns: u32) -> Result<Self, ProbeError> {
        let registered = Registered { map: HashMap::try_from(map)?, uses: BTreeMap::new() };
        Ok(Self { registered: Arc::new(Mutex::new(registered)), agent_netns })
    }

    /// Makes a connection of the agent known, from its `local_port` to `peer_port`. To be called between bind and
    /// connect. In the agent's namespace the port says enough, whatever a proxy makes of the other end; for
    /// other namespaces of the host, which the packets may cross, both do.
    ///
    /// # Errors
    /// If the kernel refuses the entry.
    pub fn register(&self, local_port: u16, peer_port: u16) -> Result<(), ProbeError> {
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.keys(local_port, peer_port) {
            *registered.uses.entry((key.netns_inode, key.local_port, key.peer_port)).or_default() += 1;
            registered.map.insert(key, 1, 0)?;
        }
        Ok(())
    }

    /// Takes back one [`register`](Self::register): others may have the port from now on.
    pub fn release(&self, local_port: u16, peer_port: u16) {
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.keys(local_port, peer_port) {
            let name = (key.netns_inode, key.local_port, key.peer_port);
            match registered.uses.get_mut(&name) {
                Some(uses) if *uses > 1 => *uses -= 1,
                _ => {
                    registered.uses.remove(&name);
                    // The kernel may have forgotten it already.
                    let _ = registered.map.remove(&key);
                }
            }
        }
    }

    fn keys(&self, local_port: u16, peer_port: u16) -> [TcpDropOwnPort; 2] {
        [
            TcpDropOwnPort { netns_inode: self.agent_netns, local_port, peer_port: 0 },
            TcpDropOwnPort { netns_inode: 0, local_port, peer_port },
        ]
    }
}
