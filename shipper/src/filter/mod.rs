//! [`Filter`]: which drops are wanted.
//!
//! The program in the kernel decides (`bpf/filter.h`); [`Rules::wants`] has the same rules, by which the tests judge it.
//! A drop is wanted if each kind of `include` that is given knows it, and no kind of `exclude` does. A kind knows a drop
//! if one of its entries fits. What is not known of a drop fits no entry: a packet without ports passes no
//! `include.ports`, and no `exclude.ports` stops it.

pub mod namespaces;
pub mod parse;

use crate::packet_drop::{Direction, PacketDrop, Ports};
use ipnet::IpNet;
use namespaces::NamespaceError;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Most network namespaces in a list; with reasons, they fill a map of the kernel side.
pub const MOST_NAMESPACES: usize = 256;
/// Most reasons in a list.
pub const MOST_REASONS: usize = 256;
/// Most prefixes in a list.
pub const MOST_PREFIXES: usize = 1024;

/// Most ports and ranges in a list.
pub const MOST_PORTS: usize = 1024;
/// Most directions in a list: there are four.
pub const MOST_DIRECTIONS: usize = 4;

/// `[filter]`: as it was configured. Without any entry everything is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// What a drop has to be.
    pub include: Selection,
    /// What a drop must not be.
    pub exclude: Selection,
}

/// Kinds of entries; one without entries is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Network namespaces that dropped the packet.
    pub netns: Vec<Namespace>,
    /// Source or destination ports.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Prefixes of source or destination addresses.
    pub addresses: Vec<IpNet>,
    /// Names of drop reasons.
    pub reasons: Vec<String>,
    /// Directions.
    pub direction: Vec<Direction>,
}

/// A network namespace, as it is named in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// The agent's own: `self`.
    Own,
    /// The initial one: `host`.
    Host,
    /// By the inode number of `/proc/PID/ns/net`.
    Inode(u32),
}

/// A filter in this host's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What a drop has to be.
    pub include: Criteria,
    /// What a drop must not be.
    pub exclude: Criteria,
}

/// A selection in this host's numbers. `None` is not asked; an empty list knows no drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// Inode numbers of network namespaces.
    pub netns: Option<BTreeSet<u32>>,
    /// Source or destination ports.
    pub ports: Option<Vec<RangeInclusive<u16>>>,
    /// Prefixes of source or destination addresses.
    pub addresses: Option<BTreeSet<IpNet>>,
    /// Drop reasons.
    pub reasons: Option<BTreeSet<u32>>,
    /// Directions.
    pub direction: Option<Vec<Direction>>,
}

/// What this host says about names.
pub struct Names<'a, H> {
    /// Inode of the agent's network namespace.
    pub own_netns: u32,
    /// Finds the inode of the initial network namespace.
    pub host_netns: H,
    /// The kernel's drop reasons.
    pub reasons: &'a BTreeMap<u32, String>,
}

/// What to say about a filter that was set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterReport {
    /// Reasons that this kernel does not have.
    pub unknown_reasons: BTreeSet<String>,
    /// Whether only such reasons are included, so that no drop is wanted.
    pub wants_nothing: bool,
}

impl FilterReport {
    /// What the user should hear, if anything.
    pub fn warning(&self) -> Option<String> {
        if self.unknown_reasons.is_empty() {
            return None;
        }
        let names: Vec<_> = self.unknown_reasons.iter().map(String::as_str).collect();
        let effect =
            if self.wants_nothing { "; nothing else is included, so all drops are filtered out" } else { "" };
        Some(format!(
            "filter: this kernel has no drop reason {}{effect}. Kernels differ in their reasons: /status and the records show \
             those that occur here",
            names.join(", ")
        ))
    }
}

impl Filter {
    /// The filter in this host's numbers.
    ///
    /// # Errors
    /// If a namespace that it names is not known.
    pub fn resolve<H>(&self, names: &Names<'_, H>) -> Result<(Rules, FilterReport), NamespaceError>
    where
        H: Fn() -> Result<u32, NamespaceError>,
    {
        let rules = Rules { include: self.include.resolve(names)?, exclude: self.exclude.resolve(names)? };
        let known: BTreeSet<_> = names.reasons.values().collect();
        let given = self.include.reasons.iter().chain(&self.exclude.reasons);
        let unknown_reasons = given.filter(|name| !known.contains(name)).cloned().collect();
        let wants_nothing = rules.include.reasons.as_ref().is_some_and(BTreeSet::is_empty);
        Ok((rules, FilterReport { unknown_reasons, wants_nothing }))
    }
}

impl Selection {
    fn resolve<H>(&self, names: &Names<'_, H>) -> Result<Criteria, NamespaceError>
    where
        H: Fn() -> Result<u32, NamespaceError>,
    {
        let inode = |namespace: &Namespace| match namespace {
            Namespace::Own => Ok(names.own_netns),
            Namespace::Host => (names.host_netns)(),
            Namespace::Inode(inode) => Ok(*inode),
        };
        let code = |(code, name): (&u32, &String)| self.reasons.contains(name).then_some(*code);
        Ok(Criteria {
            netns: given(&self.netns).map(|list| list.iter().map(inode).collect()).transpose()?,
            ports: given(&self.ports).map(<[_]>::to_vec),
            addresses: given(&self.addresses).map(|list| list.iter().copied().collect()),
            reasons: given(&self.reasons).map(|_| names.reasons.iter().filter_map(code).collect()),
            direction: given(&self.direction).map(<[_]>::to_vec),
        })
    }
}

fn given<T>(list: &[T]) -> Option<&[T]> {
    Some(list).filter(|list| !list.is_empty())
}

/// What filters ask about a drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Inode number of the network namespace.
    pub netns: Option<u32>,
    /// Ports.
    pub ports: Option<Ports>,
    /// Source and destination.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Drop reason.
    pub reason: Option<u32>,
    /// Direction.
    pub direction: Direction,
}

impl From<&PacketDrop> for Facts {
    fn from(drop: &PacketDrop) -> Self {
        Self {
            netns: drop.network_namespace.map(|namespace| namespace.inode),
            ports: drop.flow.and_then(|flow| flow.ports),
            addresses: drop.flow.map(|flow| (flow.source, flow.destination)),
            reason: drop.reason,
            direction: drop.direction,
        }
    }
}

impl Rules {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a drop is wanted.
    pub fn wants(&self, facts: &Facts) -> bool {
        self.include.verdicts(facts).all(|knows| knows) && !self.exclude.verdicts(facts).any(|knows| knows)
    }
}

impl Criteria {
    /// For each kind that is given, whether it knows the drop.
    fn verdicts(&self, facts: &Facts) -> impl Iterator<Item = bool> {
        let Facts { netns, ports, addresses, reason, direction } = *facts;
        let either_port = |range: &RangeInclusive<u16>, ports: Ports| {
            range.contains(&ports.source) || range.contains(&ports.destination)
        };
        let either_end = |prefix: &IpNet, (source, destination): (IpAddr, IpAddr)| {
            prefix.contains(&source) || prefix.contains(&destination)
        };
        [
            self.netns.as_ref().map(|list| netns.is_some_and(|inode| list.contains(&inode))),
            self.ports
                .as_ref()
                .map(|list| ports.is_some_and(|ports| list.iter().any(|range| either_port(range, ports)))),
            self.addresses
                .as_ref()
                .map(|list| addresses.is_some_and(|ends| list.iter().any(|prefix| either_end(prefix, ends)))),
            self.reasons.as_ref().map(|list| reason.is_some_and(|reason| list.contains(&reason))),
            self.direction.as_ref().map(|list| list.contains(&direction)),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
