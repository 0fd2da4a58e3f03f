//! enrich: what the host knows about a drop. One file per source of knowledge.
//!
//! Its work costs, so it comes after dedup and limit. What a source does not know stays absent.

pub mod clock;
mod direction;
pub mod site_names;
pub mod symbols;

use crate::config::model;
use crate::drop_report::{
    DropReport, Facts, FlowReport, Frame, GroupReport, NamedStack, SuppressedReport, SuppressionCause,
    TraceContext, UnixNanos,
};
use crate::drop_summary::{DropSummary, GroupWindow, SpanIds};
use crate::packet_drop::{Direction, PacketDrop};
use crate::probe::REFUSING_FUNCTION;
use crate::reasons::names::ReasonNames;
use crate::reasons::{Cause, classify};
use crate::stack::{self, Boundaries};
use clock::WallClock;
use site_names::SiteNames;
use std::sync::Arc;
use symbols::{KernelSymbols, NoSymbols, SymbolSource};

/// The stage.
pub struct Enricher {
    /// Names of drop reasons.
    pub reasons: ReasonNames,
    /// Names of kernel functions.
    pub symbols: Box<dyn SymbolSource>,
    /// Where stacks are cut.
    pub boundaries: Arc<Boundaries>,
    /// Names of drop sites, for the metrics.
    pub site_names: SiteNames,
}

/// What an [`Enricher`] of this host is made of. Unlike the enricher it can move between threads.
pub struct Host {
    reasons: ReasonNames,
    boundaries: Arc<Boundaries>,
    symbols: bool,
    site_names: SiteNames,
}

impl Host {
    /// With what the probe read of the kernel.
    pub fn new(settings: &model::Enrich, reasons: ReasonNames, boundaries: Arc<Boundaries>) -> Self {
        Self { reasons, boundaries, symbols: settings.symbols, site_names: SiteNames::default() }
    }

    /// Where stacks are cut.
    pub fn boundaries(&self) -> Arc<Boundaries> {
        self.boundaries.clone()
    }

    /// Names of drop sites, filled as drops come in.
    pub fn site_names(&self) -> SiteNames {
        self.site_names.clone()
    }

    /// Names of drop reasons.
    pub fn reason_names(&self) -> ReasonNames {
        self.reasons.clone()
    }

    /// The enricher, with its symbols read: the first drop should not have to wait for them.
    pub fn enricher(self) -> Enricher {
        let symbols: Box<dyn SymbolSource> =
            if self.symbols { Box::new(KernelSymbols::default()) } else { Box::new(NoSymbols) };
        if let Some(address) = self.boundaries.any_address() {
            symbols.resolve(address);
        }
        Enricher { reasons: self.reasons, symbols, boundaries: self.boundaries, site_names: self.site_names }
    }
}

/// Drops of a site and reason that have no detail, over a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuppressedCount {
    /// Address of the drop site; `None` for what found no room in the table of sites.
    pub site: Option<u64>,
    /// Drop reason.
    pub reason: Option<u32>,
    /// Why they have no detail.
    pub cause: SuppressionCause,
    /// Drops.
    pub count: u64,
}

impl Enricher {
    /// A summary with all that is known about its drops.
    pub fn report(&self, mut summary: DropSummary, clock: WallClock) -> DropReport {
        DropReport {
            facts: self.facts(&mut summary.sample),
            time: clock.at(summary.interval.first),
            last_time: clock.at(summary.interval.last),
            observed: clock.now(),
            trace: own_span(summary.ids),
            summary,
        }
    }

    /// Refused SYNs. The function that refused them is known, the way there is not.
    pub fn silent_report(&self, summary: DropSummary, clock: WallClock) -> DropReport {
        let frame = Frame { symbol: Some(REFUSING_FUNCTION.into()), offset: 0 };
        let stack = NamedStack { frames: vec![frame], hash: None, truncated: true };
        DropReport {
            facts: Facts { reason: None, class: None, stack: Arc::new(stack) },
            time: clock.at(summary.interval.first),
            last_time: clock.at(summary.interval.last),
            observed: clock.now(),
            trace: own_span(summary.ids),
            summary,
        }
    }

    /// A stack group's window with all that is known about its drops.
    pub fn group_report(&self, window: GroupWindow, clock: WallClock) -> GroupReport {
        let flows = window
            .flows
            .into_iter()
            .map(|mut flow| FlowReport {
                facts: self.facts(&mut flow.sample),
                time: clock.at(flow.interval.first),
                last_time: clock.at(flow.interval.last),
                window: flow,
            })
            .collect();
        GroupReport {
            trace: own_span(window.ids),
            flows,
            time: clock.at(window.interval.first),
            last_time: clock.at(window.interval.last),
        }
    }

    /// A total with the names of its site and reason. `since` is the end of the window before.
    pub fn suppressed_report(
        &self,
        count: SuppressedCount,
        since: UnixNanos,
        clock: WallClock,
    ) -> SuppressedReport {
        let reason = count.reason.and_then(|code| self.reasons.name(code));
        let site = count.site.and_then(|site| self.symbols.resolve(site)).map(|symbol| symbol.name);
        SuppressedReport {
            class: classify(Cause::of(count.reason, reason.as_deref()), site.as_deref(), None),
            reason,
            reason_code: count.reason,
            site,
            count: count.count,
            cause: count.cause,
            time: since,
            observed: clock.now(),
        }
    }

    /// What is known beyond the packet. A direction that only the drop site tells is put into the packet.
    fn facts(&self, drop: &mut Arc<PacketDrop>) -> Facts {
        let reason = drop.reason.and_then(|code| self.reasons.name(code));
        let stack = Arc::new(self.named_stack(drop));
        let told = stack.site().and_then(direction::of_site);
        if let (Direction::Unknown, Some(told)) = (drop.direction, told) {
            Arc::make_mut(drop).direction = told;
        }
        let class = classify(Cause::of(drop.reason, reason.as_deref()), stack.site(), Some(drop));
        Facts { reason, class, stack }
    }

    /// The stack from the drop site on. A site that the kernel's walk missed is put in front.
    ///
    /// Now and then the kernel walks no stack at all: its buffers for that are few, and another tracer that was
    /// interrupted may hold them (`get_callchain_entry` in kernel/events/callchain.c). Then the site is all there is, and
    /// a hash of it would pass for that of a whole stack.
    fn named_stack(&self, drop: &PacketDrop) -> NamedStack {
        let walked = self.boundaries.from_site(&drop.stack, drop.site);
        let missing = (walked.first() != Some(&drop.site)).then_some(drop.site);
        let frames: Vec<Frame> = missing.iter().chain(walked).map(|&address| self.frame(address)).collect();
        let not_walked = drop.stack.is_empty();
        let names = frames.iter().map(|frame| frame.symbol.as_deref());
        NamedStack {
            hash: if not_walked { None } else { stack::shipped_hash(names) },
            frames,
            truncated: drop.stack_truncated || not_walked,
        }
    }

    fn frame(&self, address: u64) -> Frame {
        match self.symbols.resolve(address) {
            Some(symbol) => Frame { symbol: Some(symbol.name), offset: symbol.offset },
            None => Frame { symbol: None, offset: 0 },
        }
    }
}

fn own_span(ids: SpanIds) -> TraceContext {
    TraceContext { trace: ids.trace, span: ids.span, flags: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::packet_drop::{BootTime, Task};
    use std::collections::BTreeMap;

    fn enricher() -> Enricher {
        let symbols = BTreeMap::from([(0x100, "tcp_v4_rcv"), (0x200, "ip_rcv"), (0x300, "do_idle")]);
        Enricher {
            reasons: BTreeMap::from([(3, "NO_SOCKET".to_owned())]).into(),
            symbols: Box::new(symbols::FixedSymbols::new(symbols)),
            boundaries: Arc::new(Boundaries::default()),
            site_names: SiteNames::default(),
        }
    }

    fn drop_with(site: u64, stack: &[u64]) -> PacketDrop {
        PacketDrop {
            time: BootTime(0),
            site,
            reason: Some(3),
            stack: stack.to_vec(),
            stack_truncated: false,
            ip_version: None,
            flow: None,
            tcp: None,
            tunnel: None,
            packet_size: None,
            segments: None,
            direction: Direction::Unknown,
            interface_index: None,
            interface_name: None,
            network_namespace: None,
            socket: None,
            listener: None,
            silent: None,
            task: Task { pid: 0, comm: String::new(), cgroup_id: 0 },
        }
    }

    fn names(stack: &NamedStack) -> Vec<Option<&str>> {
        stack.frames.iter().map(|frame| frame.symbol.as_deref()).collect()
    }

    #[test]
    fn the_first_frame_is_the_drop_site() {
        let facts = enricher().facts(&mut drop_with(0x110, &[0x50, 0x110, 0x204]).into());
        assert_eq!(names(&facts.stack), [Some("tcp_v4_rcv"), Some("ip_rcv")]);
        assert_eq!(facts.stack.frames[1].offset, 4);
        assert_eq!(facts.reason.as_deref(), Some("NO_SOCKET"));
    }

    #[test]
    fn a_site_that_the_walk_missed_is_put_in_front() {
        let facts = enricher().facts(&mut drop_with(0x110, &[0x204]).into());
        assert_eq!(names(&facts.stack), [Some("tcp_v4_rcv"), Some("ip_rcv")]);
    }

    #[test]
    fn a_stack_that_was_not_walked_is_the_site_and_said_to_be_cut() {
        let facts = enricher().facts(&mut drop_with(0x110, &[]).into());
        assert_eq!(names(&facts.stack), [Some("tcp_v4_rcv")]);
        assert_eq!((facts.stack.hash, facts.stack.truncated), (None, true));
    }

    #[test]
    fn a_frame_without_a_name_leaves_the_hash_absent() {
        let facts = enricher().facts(&mut drop_with(0x110, &[0x110, 0x50]).into());
        assert_eq!(names(&facts.stack), [Some("tcp_v4_rcv"), None]);
        assert_eq!(facts.stack.hash, None);
    }
}
