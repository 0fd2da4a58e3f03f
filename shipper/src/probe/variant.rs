//! [`Variant`]: the program for the running kernel. [`Capabilities`]: what it can tell.

use crate::silent::SilentSource;
use serde::Serialize;
use std::fmt;

/// A program of the object, for kernels whose tracepoint has its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub program: &'static str,
    /// Parameters of `btf_trace_kfree_skb`, `__data` included.
    pub parameters: usize,
    pub has_reason: bool,
    pub has_receiving_socket: bool,
}

/// Best first. A kernel runs each that wants no more than it passes.
pub(super) const VARIANTS: [Variant; 3] = [
    Variant { program: "kfree_skb_rx_sk", parameters: 5, has_reason: true, has_receiving_socket: true },
    Variant { program: "kfree_skb_reason", parameters: 4, has_reason: true, has_receiving_socket: false },
    Variant { program: "kfree_skb_bare", parameters: 3, has_reason: false, has_receiving_socket: false },
];

impl Variant {
    pub(super) fn for_parameters(parameters: usize) -> Option<Self> {
        VARIANTS.into_iter().find(|variant| variant.parameters <= parameters)
    }

    /// With the tracepoint alone.
    pub(super) fn capabilities(self) -> Capabilities {
        Capabilities {
            program: self.program,
            reason: self.has_reason,
            receiving_socket: self.has_receiving_socket,
            socket_drops: self.has_reason,
            refused_syns: SilentSource::None,
        }
    }
}

/// What the running kernel lets the probe tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Name of the program at the tracepoint.
    pub program: &'static str,
    /// Why a packet was dropped: from Linux 5.17 on.
    pub reason: bool,
    /// The socket that was to receive a packet, also where the packet does not lead to it: from Linux 6.11 on.
    pub receiving_socket: bool,
    /// Segments that a socket's state machine refused: from Linux 5.18 on at the tracepoint; before, where the function
    /// `tcp_drop` can be watched, which compilers may have inlined.
    pub socket_drops: bool,
    /// How SYNs are seen that a listener refused for a full queue, which the tracepoint does not tell.
    pub refused_syns: SilentSource,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = [
            (self.reason, "the reason of a drop (Linux 5.17)"),
            (self.receiving_socket, "the receiving socket of every packet (6.11)"),
            (self.socket_drops, "segments that an existing socket refused (5.18)"),
            (
                self.refused_syns != SilentSource::Netstat,
                "the flows of SYNs that a full queue refused (fexit); their number it can",
            ),
        ];
        let missing: Vec<_> = missing.into_iter().filter(|(given, _)| !given).map(|(_, name)| name).collect();
        write!(f, "program {}", self.program)?;
        if missing.is_empty() {
            return write!(f, ", this kernel gives all there is");
        }
        write!(f, "; this kernel cannot give: {}", missing.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variant_takes_as_many_arguments_as_the_kernel_passes() {
        let program = |parameters| Variant::for_parameters(parameters).map(|variant| variant.program);
        assert_eq!(program(2), None);
        assert_eq!(program(3), Some("kfree_skb_bare"));
        assert_eq!(program(4), Some("kfree_skb_reason"));
        assert_eq!(program(5), Some("kfree_skb_rx_sk"));
        assert_eq!(program(6), Some("kfree_skb_rx_sk"));
    }

    #[test]
    fn what_a_kernel_cannot_give_is_said() {
        let said = |parameters| {
            Variant::for_parameters(parameters).map(|variant| variant.capabilities().to_string())
        };
        assert_eq!(said(5).as_deref(), Some("program kfree_skb_rx_sk, this kernel gives all there is"));
        let of_6_1 =
            "program kfree_skb_reason; this kernel cannot give: the receiving socket of every packet (6.11)";
        assert_eq!(said(4).as_deref(), Some(of_6_1));
        let of_5_10 = said(3).unwrap_or_default();
        assert!(of_5_10.contains("reason of a drop (Linux 5.17), the receiving socket"), "{of_5_10}");
        assert!(of_5_10.ends_with("segments that an existing socket refused (5.18)"), "{of_5_10}");
    }
}
