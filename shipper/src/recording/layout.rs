//! Where the fields of an event are. A recording says it, so that one stays readable when the event grows: fields are
//! found by name, and those that a recording lacks are zero, which no presence bit calls known.

use crate::wire::TcpDropEvent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::mem::offset_of;
use zerocopy::IntoBytes;

/// An event is a few hundred bytes; a recording that says otherwise is damaged.
const MOST_BYTES: usize = 4096;

/// The fixed part of an event; its stack follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Bytes of the fixed part.
    pub size: usize,
    /// Offset and size of each field, in bytes.
    pub fields: BTreeMap<String, (usize, usize)>,
}

macro_rules! fields {
    ($($field:ident),+ $(,)?) => {{
        let event = TcpDropEvent::default();
        [$((stringify!($field), (offset_of!(TcpDropEvent, $field), size_of_val(&event.$field)))),+]
    }};
}

impl Layout {
    /// The layout that this program's probe has.
    pub fn own() -> Self {
        let fields = fields!(
            boot_ns,
            site,
            netns_cookie,
            socket_cookie,
            socket_cgroup,
            task_cgroup,
            present,
            reason,
            netns_inode,
            interface_index,
            packet_size,
            seq,
            ack,
            pid,
            window,
            tcp_flags,
            source_port,
            destination_port,
            segments,
            stack_frames,
            ip_version,
            direction,
            socket_kind,
            socket_state,
            source,
            destination,
            comm,
            interface_name,
            listener_backlog,
            listener_backlog_max,
            listener_syn_backlog,
            silent,
        );
        Self {
            size: size_of::<TcpDropEvent>(),
            fields: fields.map(|(name, place)| (name.to_owned(), place)).into(),
        }
    }

    /// What is wrong with it, if anything is.
    pub fn flaw(&self) -> Option<String> {
        if self.size > MOST_BYTES {
            return Some(format!("its events have {} bytes, more than {MOST_BYTES}", self.size));
        }
        let own = Self::own();
        self.fields.iter().find_map(|(name, &(offset, size))| {
            if offset.checked_add(size).is_none_or(|end| end > self.size) {
                return Some(format!("its field `{name}` lies outside of the event"));
            }
            let own_size = own.fields.get(name).map_or(size, |&(_, own_size)| own_size);
            (size != own_size).then(|| format!("its field `{name}` has {size} bytes instead of {own_size}"))
        })
    }
}

/// Brings events of one layout into this program's.
#[derive(Clone, Debug)]
pub struct Converter {
    size: usize,
    /// Where fields are in the recording, where they go, and how long they are.
    moves: Vec<(usize, usize, usize)>,
    /// The layouts are the same.
    same: bool,
}

impl Converter {
    /// From `layout`, which has no [flaw](Layout::flaw). Fields that this program does not know are left out.
    pub fn from(layout: &Layout) -> Self {
        let own = Layout::own();
        let moves = layout
            .fields
            .iter()
            .filter_map(|(name, &(from, size))| own.fields.get(name).map(|&(to, _)| (from, to, size)))
            .collect();
        Self { size: layout.size, moves, same: *layout == own }
    }

    /// The event as this program's probe would have sent it. `None` if it is shorter than its fixed part.
    pub fn convert(&self, event: &[u8]) -> Option<Vec<u8>> {
        let (fixed, stack) = event.split_at_checked(self.size)?;
        if self.same {
            return Some(event.to_vec());
        }
        let mut own = TcpDropEvent::default();
        let bytes = own.as_mut_bytes();
        for &(from, to, size) in &self.moves {
            bytes[to..to + size].copy_from_slice(&fixed[from..from + size]);
        }
        Some([own.as_bytes(), stack].concat())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_in_the_layout() {
        let layout = Layout::own();
        assert_eq!(layout.fields.values().map(|(_, size)| size).sum::<usize>(), layout.size);
        assert_eq!(layout.flaw(), None);
    }

    #[test]
    fn an_event_of_another_layout_keeps_what_is_known() {
        let own = TcpDropEvent { pid: 42, reason: 7, ..TcpDropEvent::default() };
        let own = own.as_bytes();
        let at = |name: &str| Layout::own().fields[name].0;
        let word = |offset: usize| &own[offset..offset + 4];
        let other = Layout {
            size: 12,
            fields: [("reason", 0), ("unheard_of", 4), ("pid", 8)]
                .map(|(name, offset)| (name.to_owned(), (offset, 4)))
                .into(),
        };
        assert_eq!(other.flaw(), None);
        let event = [word(at("reason")), &[9; 4], word(at("pid")), &[1; 8]].concat();
        let converted = Converter::from(&other).convert(&event).unwrap();
        assert_eq!(converted, [own, &[1; 8]].concat());
        assert_eq!(Converter::from(&other).convert(&[0; 11]), None);
    }

    #[test]
    fn layouts_that_lie_are_refused() {
        let with = |size, field: &str, place| Layout { size, fields: [(field.to_owned(), place)].into() };
        assert!(with(8, "pid", (6, 4)).flaw().unwrap().contains("outside"));
        assert!(with(8, "x", (usize::MAX, 4)).flaw().unwrap().contains("outside"));
        assert!(with(8, "pid", (0, 8)).flaw().unwrap().contains("8 bytes instead of 4"));
        assert!(with(1 << 20, "pid", (0, 4)).flaw().unwrap().contains("more than"));
    }
}
