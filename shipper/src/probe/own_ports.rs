//! [`OwnPorts`]: what traffic is the agent's own.

use super::{ProbeError, take_map};
use crate::wire::{TcpDropOwnPort, TcpDropPorts};
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError};
use std::collections::BTreeMap;
use std::net::SocketAddr;
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
    bits: Array<MapData, TcpDropPorts>,
    /// What `bits` holds: the local ports that have uses, and `status`.
    local: Box<TcpDropPorts>,
    status: Option<u16>,
    /// By local port. A port can be taken again while its last use is still held.
    uses: BTreeMap<(u16, u16, u32), u32>,
}

// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for TcpDropOwnPort {}
// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for TcpDropPorts {}

impl OwnPorts {
    /// `status` is where the agent serves its status.
    pub(super) fn new(
        ebpf: &mut Ebpf,
        agent_netns: u32,
        status: Option<SocketAddr>,
    ) -> Result<Self, ProbeError> {
        let mut registered = Registered {
            map: HashMap::try_from(take_map(ebpf, "own_ports")?)?,
            bits: Array::try_from(take_map(ebpf, ".data.own_port_bits")?)?,
            local: Box::default(),
            status: status.map(|status| status.port()),
            uses: BTreeMap::new(),
        };
        if let Some(port) = registered.status {
            registered.mark(port)?;
        }
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
            *registered.uses.entry(name(key)).or_default() += 1;
            registered.map.insert(key, 1, 0)?;
        }
        Ok(registered.mark(local_port)?)
    }

    /// Takes back one [`register`](Self::register): others may have the port from now on.
    pub fn release(&self, local_port: u16, peer_port: u16) {
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.keys(local_port, peer_port) {
            match registered.uses.get_mut(&name(key)) {
                Some(uses) if *uses > 1 => *uses -= 1,
                _ => {
                    registered.uses.remove(&name(key));
                    // The kernel may have forgotten it already.
                    let _ = registered.map.remove(&key);
                }
            }
        }
        if let Err(error) = registered.mark(local_port) {
            tracing::warn!(%error, "a port of the agent that it has given back is still asked for");
        }
    }

    fn keys(&self, local_port: u16, peer_port: u16) -> [TcpDropOwnPort; 2] {
        [
            TcpDropOwnPort { netns_inode: self.agent_netns, local_port, peer_port: 0 },
            TcpDropOwnPort { netns_inode: 0, local_port, peer_port },
        ]
    }
}

fn name(key: TcpDropOwnPort) -> (u16, u16, u32) {
    (key.local_port, key.peer_port, key.netns_inode)
}

impl Registered {
    /// Has the program ask for `port` as long as it has uses. All other bits are written as they are.
    fn mark(&mut self, port: u16) -> Result<(), MapError> {
        let has_uses = self.uses.range((port, 0, 0)..=(port, u16::MAX, u32::MAX)).next().is_some();
        self.local.set(port, has_uses || self.status == Some(port));
        self.bits.set(0, *self.local, 0)
    }
}
