//! [`Filters`]: which drops the program lets pass.

use super::{ProbeError, take_map};
use crate::filter::{
    Criteria, Facts, Filter, FilterReport, MOST_NAMESPACES, MOST_PREFIXES, MOST_REASONS, Names, Rules,
    namespaces,
};
use crate::packet_drop::Direction;
use crate::reasons::names::ReasonNames;
use crate::wire::TcpDropPorts;
use crate::wire::filter::{
    List, PREFIXES, TcpDropFilterPrefix, TcpDropFilterSet, TcpDropFilterValue, VALUES, kind,
};
use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, MapError};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Nothing is filtered.
const NO_SET: u32 = 0;
/// Bits of a prefix's key before the address.
const BITS_BEFORE_ADDRESS: u32 = 32;

// The longest lists fit into the maps, so that a filter that was read is never too large.
const _: () = assert!(MOST_NAMESPACES + MOST_REASONS <= VALUES && MOST_PREFIXES <= PREFIXES);

/// Changes the filter, also while the program is attached: each drop is judged by the old rules or by the new, whole.
#[derive(Clone)]
pub struct Filters {
    maps: Arc<Mutex<Maps>>,
    reasons: ReasonNames,
    agent_netns: u32,
    rules: Arc<Mutex<Rules>>,
}

struct Maps {
    active: Array<MapData, u32>,
    sets: Array<MapData, TcpDropFilterSet>,
    ports: Array<MapData, TcpDropPorts>,
    values: HashMap<MapData, TcpDropFilterValue, u8>,
    prefixes: LpmTrie<MapData, TcpDropFilterPrefix, u8>,
    in_use: Entries,
}

/// What a set has in the maps that are shared.
#[derive(Default)]
struct Entries {
    /// Number of the set, from 1.
    set: u32,
    values: Vec<TcpDropFilterValue>,
    prefixes: Vec<Key<TcpDropFilterPrefix>>,
}

// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for TcpDropFilterSet {}
// SAFETY: repr(C), integers only, its padding is a field.
unsafe impl aya::Pod for TcpDropFilterValue {}
// SAFETY: repr(C), integers only, its padding is a field.
unsafe impl aya::Pod for TcpDropFilterPrefix {}

impl Filters {
    pub(super) fn new(ebpf: &mut Ebpf, reasons: ReasonNames, agent_netns: u32) -> Result<Self, ProbeError> {
        let maps = Maps {
            active: Array::try_from(take_map(ebpf, ".data.filter_active")?)?,
            sets: Array::try_from(take_map(ebpf, "filter_sets")?)?,
            ports: Array::try_from(take_map(ebpf, "filter_ports")?)?,
            values: HashMap::try_from(take_map(ebpf, "filter_values")?)?,
            prefixes: LpmTrie::try_from(take_map(ebpf, "filter_prefixes")?)?,
            in_use: Entries::default(),
        };
        Ok(Self { maps: Arc::new(Mutex::new(maps)), reasons, agent_netns, rules: Arc::default() })
    }

    /// From here on, the program lets only those drops pass that `filter` wants.
    ///
    /// # Errors
    /// If a namespace is not known or the kernel refuses an entry; then the filter stays as it was.
    pub fn set(&self, filter: &Filter) -> Result<FilterReport, ProbeError> {
        let reasons = &self.reasons.all();
        let names = Names { own_netns: self.agent_netns, host_netns: namespaces::host, reasons };
        let (rules, report) = filter.resolve(&names)?;
        self.maps.lock().unwrap_or_else(PoisonError::into_inner).change(&rules)?;
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(report)
    }

    /// Whether the filter wants a drop that the program did not judge.
    pub fn wants(&self, facts: &Facts) -> bool {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).wants(facts)
    }
}

impl Maps {
    /// Writes the set at rest, names it as the one in use, and empties the other.
    fn change(&mut self, rules: &Rules) -> Result<(), MapError> {
        let mut next = Entries::default();
        if !rules.is_empty() {
            next.set = if self.in_use.set == 1 { 2 } else { 1 };
        }
        let changed = self.fill(&mut next, rules).and_then(|()| self.active.set(0, next.set, 0));
        let unused = match changed {
            Ok(()) => std::mem::replace(&mut self.in_use, next),
            Err(_) => next,
        };
        // A drop that began under the old set ends under it.
        super::wait_for_programs();
        self.clear(&unused);
        changed
    }

    fn fill(&mut self, next: &mut Entries, rules: &Rules) -> Result<(), MapError> {
        if next.set == NO_SET {
            return Ok(());
        }
        let lists = [(List::Include, &rules.include), (List::Exclude, &rules.exclude)];
        for (list, criteria) in lists {
            self.fill_list(next, list, criteria)?;
        }
        let set = TcpDropFilterSet {
            include_kinds: kinds(&rules.include),
            include_directions: directions(&rules.include),
            exclude_kinds: kinds(&rules.exclude),
            exclude_directions: directions(&rules.exclude),
        };
        self.sets.set(next.set - 1, set, 0)
    }

    fn fill_list(&mut self, next: &mut Entries, list: List, criteria: &Criteria) -> Result<(), MapError> {
        let set = u8::from(next.set == 2);
        self.ports.set(u32::from(set) * 2 + list as u32, ports(criteria), 0)?;
        for value in values(criteria, set, list) {
            self.values.insert(value, 1, 0)?;
            next.values.push(value);
        }
        for prefix in criteria.addresses.iter().flatten() {
            let key = prefix_key(*prefix, set, list);
            self.prefixes.insert(&key, 1, 0)?;
            next.prefixes.push(key);
        }
        Ok(())
    }

    /// Failures are said only: an entry that stays costs room, and is never looked at as long as its set is at rest.
    fn clear(&mut self, unused: &Entries) {
        let values = unused.values.iter().map(|value| self.values.remove(value));
        let prefixes = unused.prefixes.iter().map(|prefix| self.prefixes.remove(prefix));
        for error in values.chain(prefixes).filter_map(Result::err) {
            tracing::warn!(%error, "an entry of the old filter could not be removed");
        }
    }
}

fn kinds(criteria: &Criteria) -> u32 {
    let kinds = [
        (kind::NETNS, criteria.netns.is_some()),
        (kind::PORTS, criteria.ports.is_some()),
        (kind::ADDRESSES, criteria.addresses.is_some()),
        (kind::REASONS, criteria.reasons.is_some()),
        (kind::DIRECTION, criteria.direction.is_some()),
    ];
    kinds.into_iter().filter(|(_, given)| *given).map(|(kind, _)| u32::from(kind)).sum()
}

/// A bit for each direction, at the number of `enum tcp_drop_direction`.
fn directions(criteria: &Criteria) -> u32 {
    let bit = |direction: &Direction| match direction {
        Direction::Unknown => 1 << 0,
        Direction::Receive => 1 << 1,
        Direction::Transmit => 1 << 2,
        Direction::Forward => 1 << 3,
    };
    criteria.direction.iter().flatten().fold(0, |bits, direction| bits | bit(direction))
}

fn ports(criteria: &Criteria) -> TcpDropPorts {
    let mut ports = TcpDropPorts::default();
    for port in criteria.ports.iter().flatten().flat_map(Clone::clone) {
        ports.set(port, true);
    }
    ports
}

fn values(criteria: &Criteria, set: u8, list: List) -> impl Iterator<Item = TcpDropFilterValue> {
    let value = move |kind| {
        move |&value: &u32| TcpDropFilterValue { value, kind, set, list: list as u8, _padding: 0 }
    };
    let netns = criteria.netns.iter().flatten().map(value(kind::NETNS));
    netns.chain(criteria.reasons.iter().flatten().map(value(kind::REASONS)))
}

fn prefix_key(prefix: IpNet, set: u8, list: List) -> Key<TcpDropFilterPrefix> {
    let mut data = TcpDropFilterPrefix { set, list: list as u8, ..TcpDropFilterPrefix::default() };
    match prefix.network() {
        IpAddr::V4(address) => {
            data.version = 4;
            data.address[..4].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            data.version = 6;
            data.address = address.octets();
        }
    }
    Key::new(BITS_BEFORE_ADDRESS + u32::from(prefix.prefix_len()), data)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_port_of_a_range_has_its_bit() {
        let criteria = Criteria { ports: Some(vec![0..=0, 63..=64, 65_535..=65_535]), ..Criteria::default() };
        let words = ports(&criteria).words;
        assert_eq!((words[0], words[1], words[1023]), (1 | 1 << 63, 1, 1 << 63));
        assert_eq!(words.iter().map(|word| word.count_ones()).sum::<u32>(), 4);
    }

    #[test]
    fn only_what_is_given_is_asked() {
        assert_eq!(kinds(&Criteria::default()), 0);
        let criteria = Criteria {
            reasons: Some([].into()),
            direction: Some(vec![Direction::Forward, Direction::Unknown]),
            ..Criteria::default()
        };
        assert_eq!(kinds(&criteria), u32::from(kind::REASONS | kind::DIRECTION));
        assert_eq!(directions(&criteria), 0b1001);
    }
}
