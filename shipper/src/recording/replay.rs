//! [`replay`]: a recording through the pipeline. The same stages as live, with the file's clocks as the time; nothing is
//! asked of the machine that it runs on, and ids come from the file: two replays are equal byte by byte.

use super::format::{Bytes, Clock, End, Header, Line};
use super::reader::{Item, ReadError, Reader};
use crate::agent::TICK;
use crate::config::Config;
use crate::dedup::Released;
use crate::enrich::Enricher;
use crate::enrich::symbols::{Symbol, SymbolSource};
use crate::ledger::{KernelCounts, Ledger};
use crate::packet_drop::BootTime;
use crate::pipeline::{Intake, Reporting, Sink};
use crate::probe::SiteCount;
use crate::stack::{Boundaries, Cut};
use crate::wire::TcpDropEvent;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::BufRead;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use twox_hash::XxHash3_64;
use zerocopy::FromBytes;

/// Symbols that are remembered: all that a kernel could have on its stacks, and a bound on what a file can take.
const MOST_SYMBOLS: usize = 1 << 20;
/// Addresses at which stacks are cut; each needs a new table.
const MOST_CUTS: usize = 1 << 12;
/// Later moments (146 years after boot) are taken for this one, so that sums of times fit.
const LAST_MOMENT: BootTime = BootTime(1 << 62);

/// What a recording held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events.
    pub events: u64,
    /// Those of them that are no events of this program's probe.
    pub undecodable: u64,
    /// Events that came while the recording ended, and are not in it.
    pub left_out: u64,
    /// What the kernel counted; `None` where the file was cut short.
    pub kernel: Option<KernelCounts>,
    /// Lines that were read.
    pub lines: u64,
}

/// Sends what `reader` gives to the sink that `make_sink` makes, until the end or until `stop` says so. What came before
/// a damaged line was replayed.
///
/// # Errors
/// See [`ReadError`].
pub fn replay<R: BufRead, S: Sink>(
    reader: &mut Reader<R>,
    config: &Config,
    make_sink: impl FnOnce(&Header, StdRng) -> S,
    stop: impl Fn() -> bool,
) -> Result<Replayed, ReadError> {
    let mut random = StdRng::seed_from_u64(XxHash3_64::oneshot(reader.header_text()));
    let sink = make_sink(reader.header(), StdRng::from_rng(&mut random));
    let mut replay = Replay::new(reader.header(), config, random, sink);
    let read = loop {
        if stop() {
            break Ok(());
        }
        match reader.next_item() {
            Ok(Some(Item::Line(line))) => replay.take(line),
            Ok(Some(Item::CutShort) | None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    replay.finish();
    read.map(|()| Replayed { lines: reader.line(), ..replay.replayed })
}

struct Replay<S> {
    intake: Intake,
    reporting: Reporting<S>,
    symbols: RecordedSymbols,
    clock: Clock,
    now: BootTime,
    next_tick: BootTime,
    sites: Vec<SiteCount>,
    cuts: usize,
    replayed: Replayed,
}

impl<S: Sink> Replay<S> {
    fn new(header: &Header, config: &Config, random: StdRng, sink: S) -> Self {
        let boundaries = Arc::<Boundaries>::default();
        let symbols = RecordedSymbols::default();
        let enricher = Enricher {
            reasons: Default::default(),
            symbols: Box::new(symbols.clone()),
            boundaries: boundaries.clone(),
            site_names: Default::default(),
        };
        let start = BootTime(header.clock.boot_ns).min(LAST_MOMENT);
        Self {
            intake: Intake::new(config, Arc::<Ledger>::default(), boundaries, random),
            reporting: Reporting::new(enricher, sink, header.clock.wall_clock().now()),
            symbols,
            clock: header.clock,
            now: start,
            next_tick: start,
            sites: Vec::new(),
            cuts: 0,
            replayed: Replayed::default(),
        }
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Reason { code, name } => self.reporting.enricher.reasons.insert(code, name.into()),
            Line::Symbol { address, name, offset } => {
                self.symbols.insert(address.0, Symbol { name: name.into(), offset });
            }
            Line::Cut { address, kind } => self.cut(address.0, kind),
            Line::Clock(clock) => {
                self.advance(BootTime(clock.boot_ns));
                self.clock = clock;
            }
            Line::Event(Bytes(event)) => self.event(&event),
            Line::End(End { clock, left_out, kernel, sites, .. }) => {
                self.advance(BootTime(clock.boot_ns));
                self.replayed.left_out = left_out;
                self.replayed.kernel = Some(kernel);
                self.sites = sites.iter().map(SiteCount::from).collect();
            }
        }
    }

    fn cut(&mut self, address: u64, kind: Cut) {
        if self.intake.boundaries.cut_at(address).is_none() && self.cuts < MOST_CUTS {
            self.cuts += 1;
            let mut boundaries = (*self.intake.boundaries).clone();
            boundaries.add(address, kind);
            self.intake.boundaries = Arc::new(boundaries);
            self.reporting.enricher.boundaries = self.intake.boundaries.clone();
        }
    }

    fn event(&mut self, event: &[u8]) {
        if let Ok((fixed, _)) = TcpDropEvent::read_from_prefix(event) {
            self.advance(BootTime(fixed.boot_ns));
        }
        self.replayed.events += 1;
        let summaries = self.intake.take(event, self.now, true).into_iter().collect();
        self.report(Released { summaries, ..Released::default() });
        let evicted = self.intake.take_evicted();
        self.report(evicted);
    }

    /// Lets the time go on to `moment`, with all that ends on the way. Events of several CPUs may be out of order by a
    /// little: time never goes back.
    fn advance(&mut self, moment: BootTime) {
        let moment = moment.min(LAST_MOMENT);
        while self.next_tick <= moment {
            if self.intake.dedup.is_empty() {
                self.next_tick = next_tick_after(moment);
                break;
            }
            self.now = self.next_tick.max(self.now);
            let released = self.intake.release(self.now);
            self.report(released);
            self.next_tick = self.next_tick.after(TICK);
        }
        self.now = self.now.max(moment);
    }

    fn report(&mut self, released: Released) {
        if !released.is_empty() {
            self.reporting.report(released, self.clock.at(self.now).wall_clock());
        }
    }

    fn finish(&mut self) {
        let released = self.intake.release_all();
        self.report(released);
        self.replayed.undecodable = self.intake.ledger.decode_errors();
        let clock = self.clock.at(self.now).wall_clock();
        self.reporting.report_totals(&self.sites, self.replayed.undecodable, clock);
        self.reporting.sink.flush();
    }
}

/// The first multiple of [`TICK`] after `moment`.
fn next_tick_after(moment: BootTime) -> BootTime {
    let tick = u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX);
    moment.after(Duration::from_nanos(tick - moment.0 % tick))
}

/// The symbols read so far.
#[derive(Clone, Default)]
struct RecordedSymbols(Rc<RefCell<HashMap<u64, Symbol>>>);

impl RecordedSymbols {
    fn insert(&self, address: u64, symbol: Symbol) {
        let mut symbols = self.0.borrow_mut();
        if symbols.len() < MOST_SYMBOLS {
            symbols.insert(address, symbol);
        }
    }
}

impl SymbolSource for RecordedSymbols {
    fn resolve(&self, address: u64) -> Option<Symbol> {
        self.0.borrow().get(&address).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests.rs"]
mod tests;
