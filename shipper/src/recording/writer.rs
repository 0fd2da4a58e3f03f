//! [`Recorder`]: writes a recording, line by line.

use super::format::{Address, Bytes, Clock, End, Header, Line, Site};
use crate::enrich::symbols::SymbolSource;
use crate::ledger::KernelCounts;
use crate::packet_drop::BootTime;
use crate::probe::SiteCount;
use crate::reasons::names::ReasonNames;
use crate::stack::Boundaries;
use crate::wire;
use std::collections::HashSet;
use std::io::{self, Write};

/// Addresses that are remembered as told; when there are more, some are told again, which readers do not mind.
const REMEMBERED: usize = 1 << 16;
/// A wall clock that was shifted by more than this was set.
const CLOCK_STEP_NS: u64 = 1_000_000;

/// What is known about this kernel; a recording takes along what its events need of it.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Names of drop reasons.
    pub reasons: &'a ReasonNames,
    /// Names of functions.
    pub symbols: &'a dyn SymbolSource,
    /// Where stacks are cut.
    pub boundaries: &'a Boundaries,
}

/// Writes a recording. Each call writes whole lines, so what was written is readable whatever happens after it.
pub struct Recorder<'a, W> {
    out: W,
    known: Known<'a>,
    clock: Clock,
    told_reasons: HashSet<u32>,
    told_addresses: HashSet<u64>,
    events: u64,
}

impl<'a, W: Write> Recorder<'a, W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When `out` takes no more.
    pub fn start(out: W, header: &Header, known: Known<'a>) -> io::Result<Self> {
        let mut recorder = Self {
            out,
            known,
            clock: header.clock,
            told_reasons: HashSet::new(),
            told_addresses: HashSet::new(),
            events: 0,
        };
        recorder.write(header)?;
        Ok(recorder)
    }

    /// Events written so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Writes an event, after the names that it is the first to need. One that can't be decoded is written as it is.
    ///
    /// # Errors
    /// When the file takes no more.
    pub fn event(&mut self, event: &[u8]) -> io::Result<()> {
        if let Ok(drop) = wire::decode(event) {
            self.name_reason(drop.reason)?;
            for &address in std::iter::once(&drop.site).chain(&drop.stack) {
                self.name_address(address)?;
            }
        }
        self.write(&Line::Event(Bytes(event.to_vec())))?;
        self.events += 1;
        Ok(())
    }

    /// Writes the clocks if the wall clock was set since they were last written.
    ///
    /// # Errors
    /// When the file takes no more.
    pub fn clock(&mut self, now: Clock) -> io::Result<()> {
        let expected = self.clock.at(BootTime(now.boot_ns)).unix_ns;
        if expected.abs_diff(now.unix_ns) > CLOCK_STEP_NS {
            self.clock = now;
            self.write(&Line::Clock(now))?;
        }
        Ok(())
    }

    /// Writes the last line. `left_out` events came that are not in the file.
    ///
    /// # Errors
    /// When the file takes no more.
    pub fn finish(
        mut self,
        clock: Clock,
        left_out: u64,
        kernel: KernelCounts,
        sites: &[SiteCount],
    ) -> io::Result<W> {
        let without_detail = |site: &&SiteCount| site.suppressed + site.ring_lost > 0;
        let sites: Vec<_> = sites.iter().filter(without_detail).collect();
        for site in &sites {
            self.name_reason(site.reason)?;
            if let Some(address) = site.site {
                self.name_address(address)?;
            }
        }
        let sites = sites.into_iter().map(Site::from).collect();
        self.write(&Line::End(End { clock, events: self.events, left_out, kernel, sites }))?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Hands on what was written.
    ///
    /// # Errors
    /// When the file takes no more.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn name_reason(&mut self, code: Option<u32>) -> io::Result<()> {
        if let Some(code) = code.filter(|code| self.told_reasons.insert(*code))
            && let Some(name) = self.known.reasons.name(code)
        {
            self.write(&Line::Reason { code, name: name.to_string() })?;
        }
        Ok(())
    }

    fn name_address(&mut self, address: u64) -> io::Result<()> {
        if self.told_addresses.len() >= REMEMBERED {
            self.told_addresses.clear();
        }
        if !self.told_addresses.insert(address) {
            return Ok(());
        }
        if let Some(kind) = self.known.boundaries.cut_at(address) {
            self.write(&Line::Cut { address: Address(address), kind })?;
        }
        if let Some(symbol) = self.known.symbols.resolve(address) {
            let name = symbol.name.to_string();
            self.write(&Line::Symbol { address: Address(address), name, offset: symbol.offset })?;
        }
        Ok(())
    }

    fn write(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.out.write_all(&text)
    }
}
