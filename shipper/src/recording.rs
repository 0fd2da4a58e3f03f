//! Raw events of the probe with what is needed to read them anywhere: names of reasons and symbols, and the clocks.

use crate::drop_report::UnixNanos;
use crate::enrich::Enricher;
use crate::enrich::clock::WallClock;
use crate::enrich::reason::ReasonNames;
use crate::enrich::symbols::{FixedSymbols, SymbolSource};
use crate::packet_drop::{BootTime, PacketDrop};
use crate::stack::Boundaries;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Boot clock and wall clock, in nanoseconds, read together.
    pub boot_ns: u64,
    /// See `boot_ns`.
    pub unix_ns: u64,
    /// Names of the drop reasons that occur.
    pub reasons: BTreeMap<u32, String>,
    /// Names of the functions that occur, by start address in hexadecimal.
    pub symbols: BTreeMap<String, String>,
    /// Events as they were in the ring, in hexadecimal.
    pub events: Vec<String>,
}

impl Recording {
    /// A recording of `events`, each with the drop that it decodes to.
    pub fn new(
        kernel: String,
        clock: WallClock,
        events: &[(Vec<u8>, PacketDrop)],
        reasons: &ReasonNames,
        symbols: &dyn SymbolSource,
    ) -> Self {
        let boot = crate::enrich::clock::boot_now();
        let mut recording = Self { kernel, boot_ns: boot.0, unix_ns: clock.at(boot).0, ..Self::default() };
        for (bytes, drop) in events {
            recording.events.push(hex(bytes));
            if let Some((code, name)) = drop.reason.and_then(|code| Some((code, reasons.name(code)?))) {
                recording.reasons.insert(code, name.to_string());
            }
            for &address in std::iter::once(&drop.site).chain(&drop.stack) {
                if let Some(symbol) = symbols.resolve(address) {
                    let start = format!("{:016x}", address - symbol.offset);
                    recording.symbols.insert(start, symbol.name.to_string());
                }
            }
        }
        recording
    }

    /// The events' bytes; one that is not hexadecimal is `None`.
    pub fn events(&self) -> impl Iterator<Item = Option<Vec<u8>>> {
        self.events.iter().map(|event| unhex(event))
    }

    /// The clocks of the recording.
    pub fn clock(&self) -> WallClock {
        WallClock::fixed(BootTime(self.boot_ns), UnixNanos(self.unix_ns))
    }

    /// An enricher that knows what was known at the recording.
    pub fn enricher(&self) -> Enricher {
        let symbols = self
            .symbols
            .iter()
            .filter_map(|(start, name)| Some((u64::from_str_radix(start, 16).ok()?, name.as_str())));
        Enricher {
            reasons: self.reasons.clone().into(),
            symbols: Box::new(FixedSymbols::new(symbols)),
            boundaries: Arc::new(Boundaries::default()),
            site_names: Default::default(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_there_and_back() {
        assert_eq!(unhex(&hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
        for bad in ["f", "zz", "é0"] {
            assert_eq!(unhex(bad), None);
        }
    }
}
