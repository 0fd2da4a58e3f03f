//! The catalogue: what each drop reason means, why it happens, where to look next. The one source of `explain`, of
//! `docs/reasons.md`, and of the classes of reasons.
//!
//! The texts are about TCP packets, since no others are reported. Their facts are from the kernel's sources: what the
//! reasons stand for from `include/net/dropreason-core.h`, `include/net/dropreason-qdisc.h`, `net/openvswitch/drop.h` and
//! `net/mac80211/drop.h`, when they are given from the callers of `kfree_skb_reason`, counters from `net/ipv4/proc.c`.

/// Defines a part of the catalogue: `NAME = Class, "meaning", ["cause", ...], ["what to look at", ...];`. A reason whose
/// class is `None` says nothing about the cause.
macro_rules! reasons {
    ($($name:ident = $class:ident, $meaning:literal, [$($cause:literal),* $(,)?], [$($look:literal),+ $(,)?];)*) => {
        pub(super) const REASONS: &[crate::reasons::Reason] = &[$(crate::reasons::Reason {
            name: stringify!($name),
            class: reasons!(@class $class),
            meaning: $meaning,
            causes: &[$($cause),*],
            look: &[$($look),+],
        },)*];
    };
    (@class None) => { None };
    (@class $class:ident) => { Some(crate::reasons::Class::$class) };
}

mod ip;
mod link;
mod socket;
mod subsystems;
mod tcp;
mod traffic;

/// All parts, in the order of the documentation.
pub(super) const PARTS: [&[super::Reason]; 6] =
    [tcp::REASONS, socket::REASONS, ip::REASONS, traffic::REASONS, link::REASONS, subsystems::REASONS];
