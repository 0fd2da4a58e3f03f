//! Which part of a kernel stack is the cause of a drop.
//!
//! A stack as the kernel walks it begins with the tracing machinery and, for a packet that a softirq handled, goes on
//! below the softirq's entry into whatever was interrupted. Neither says why the packet was dropped, and with either in
//! the hash one cause would make many groups. Both ends are found by symbol, once at start, so that grouping works on
//! raw addresses.

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead};
use std::ops::Range;
use twox_hash::XxHash3_64;
use zerocopy::IntoBytes;

/// Whether `symbol` belongs to the tracing of a drop or to the functions that free a packet, rather than to its drop site.
pub fn is_tracing(symbol: &str) -> bool {
    const NAMES: [&str; 9] = [
        "__traceiter_kfree_skb",
        "__kfree_skb",
        "kfree_skb",
        "kfree_skb_reason",
        "kfree_skb_list",
        "kfree_skb_list_reason",
        "sk_skb_reason_drop",
        "__sk_skb_reason_drop",
        "tcp_drop",
    ];
    const PREFIXES: [&str; 5] =
        ["bpf_prog_", "bpf_trace_run", "bpf_trampoline_", "__bpf_trace_", "trace_event_raw_event_"];
    NAMES.contains(&symbol) || PREFIXES.iter().any(|prefix| symbol.starts_with(prefix))
}

/// Whether `symbol` is where an interrupt or softirq begins: what lies below it was interrupted.
pub fn is_interrupt_entry(symbol: &str) -> bool {
    matches!(symbol, "handle_softirqs" | "__do_softirq" | "do_softirq" | "do_softirq_own_stack")
        || symbol.starts_with("asm_")
}

/// Why a stack is cut at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Tracing machinery: the cause begins after it.
    Tracing,
    /// An interrupt or softirq begins: the cause ends before it.
    InterruptEntry,
}

/// Where the tracing machinery and the interrupt entries are in this kernel's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boundaries {
    tracing: Vec<Range<u64>>,
    interrupt_entries: Vec<Range<u64>>,
}

impl Boundaries {
    /// Some kernel function's address, if addresses are known.
    pub fn any_address(&self) -> Option<u64> {
        self.interrupt_entries.first().map(|range| range.start)
    }

    /// What is at `address`, if stacks are cut there.
    pub fn cut_at(&self, address: u64) -> Option<Cut> {
        if contains(&self.tracing, address) {
            Some(Cut::Tracing)
        } else {
            contains(&self.interrupt_entries, address).then_some(Cut::InterruptEntry)
        }
    }

    /// Cuts stacks at `address` too: for recordings, which know no more than the addresses that they hold.
    pub fn add(&mut self, address: u64, cut: Cut) {
        let ranges = match cut {
            Cut::Tracing => &mut self.tracing,
            Cut::InterruptEntry => &mut self.interrupt_entries,
        };
        let place = ranges.partition_point(|range| range.start < address);
        ranges.insert(place, address..address.saturating_add(1));
    }

    /// The part of `stack` (innermost first) that begins with the drop site.
    pub fn from_site<'a>(&self, stack: &'a [u64], site: u64) -> &'a [u64] {
        let start = stack.iter().position(|&address| address == site).unwrap_or_else(|| {
            // What was interrupted may have been freeing a packet, too.
            stack[..self.interrupt_entry(stack)]
                .iter()
                .rposition(|&address| contains(&self.tracing, address))
                .map_or(0, |last_of_tracing| last_of_tracing + 1)
        });
        &stack[start..]
    }

    /// The part of `stack` from the drop site to the first interrupt or softirq entry.
    pub fn cause<'a>(&self, stack: &'a [u64], site: u64) -> &'a [u64] {
        let stack = self.from_site(stack, site);
        &stack[..self.interrupt_entry(stack)]
    }

    /// Index of the first frame of an interrupt's or softirq's entry; the length of `stack` if it has none.
    fn interrupt_entry(&self, stack: &[u64]) -> usize {
        stack.iter().position(|&address| contains(&self.interrupt_entries, address)).unwrap_or(stack.len())
    }
}

/// Hash that groups drops with the same cause on this host, until reboot. Without a stack it is the site's.
pub fn group_hash(cause: &[u64], site: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(site, cause.as_bytes())
}

/// Hash over symbol names from the drop site to the first interrupt entry: the same on every host and boot of a kernel
/// build. `None` if a name is missing.
pub fn shipped_hash<'a>(symbols: impl Iterator<Item = Option<&'a str>>) -> Option<u64> {
    let mut text = String::new();
    for symbol in symbols {
        let symbol = symbol?;
        if is_interrupt_entry(symbol) {
            break;
        }
        text.push_str(symbol);
        text.push('\n');
    }
    (!text.is_empty()).then(|| XxHash3_64::oneshot(text.as_bytes()))
}

/// Where functions of the running kernel are, from one look at its symbols: there are some 200,000.
#[derive(Clone, Debug, Default)]
pub struct KernelFunctions {
    /// Of stacks.
    pub boundaries: Boundaries,
    asked_for: Vec<(&'static str, Range<u64>)>,
}

impl KernelFunctions {
    /// Reads `/proc/kallsyms`, and remembers where the functions `names` are.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_kernel(names: &[&'static str]) -> io::Result<Self> {
        Self::read(io::BufReader::new(std::fs::File::open("/proc/kallsyms")?), names)
    }

    /// From text as that of `/proc/kallsyms`. Symbols may come in any order; each ends where the next one begins. Where the
    /// kernel hides its addresses nothing is found, and stacks are not cut.
    pub(crate) fn read(kallsyms: impl BufRead, names: &[&'static str]) -> io::Result<Self> {
        let mut starts = Vec::new();
        let mut tracing = Vec::new();
        let mut interrupt_entries = Vec::new();
        let mut found = Vec::new();
        for_each_symbol(kallsyms, |address, symbol| {
            starts.push(address);
            if is_tracing(symbol) {
                tracing.push(address);
            } else if is_interrupt_entry(symbol) {
                interrupt_entries.push(address);
            }
            found.extend(names.iter().find(|&&name| name == symbol).map(|&name| (name, address)));
        })?;
        starts.sort_unstable();
        let range = |(name, start)| Some((name, ranges(vec![start], &starts).first()?.clone()));
        Ok(Self {
            boundaries: Boundaries {
                tracing: ranges(tracing, &starts),
                interrupt_entries: ranges(interrupt_entries, &starts),
            },
            asked_for: found.into_iter().filter_map(range).collect(),
        })
    }

    /// Where the function `name` is, if it was asked for; empty if the kernel has none, or hides its addresses.
    pub fn range_of(&self, name: &str) -> Range<u64> {
        self.asked_for.iter().find(|(asked, _)| *asked == name).map_or(0..0, |(_, range)| range.clone())
    }
}

fn for_each_symbol(mut kallsyms: impl BufRead, mut visit: impl FnMut(u64, &str)) -> io::Result<()> {
    let mut line = String::new();
    while kallsyms.read_line(&mut line)? > 0 {
        let mut fields = line.split_ascii_whitespace();
        if let (Some(address), Some(_), Some(name)) = (fields.next(), fields.next(), fields.next())
            && let Ok(address @ 1..) = u64::from_str_radix(address, 16)
        {
            visit(address, name);
        }
        line.clear();
    }
    Ok(())
}

/// The symbols that begin at `wanted`, in order. `starts` are those of all symbols, sorted.
fn ranges(mut wanted: Vec<u64>, starts: &[u64]) -> Vec<Range<u64>> {
    wanted.sort_unstable();
    wanted.dedup();
    let end_of = |start| {
        let next = starts.partition_point(|&other| other <= start);
        starts.get(next).copied().unwrap_or(u64::MAX)
    };
    wanted.into_iter().map(|start| start..end_of(start)).collect()
}

fn contains(ranges: &[Range<u64>], address: u64) -> bool {
    let after = ranges.partition_point(|range| range.start <= address);
    after.checked_sub(1).is_some_and(|index| ranges[index].contains(&address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KALLSYMS: &str = "\
ffff0500 t handle_softirqs
ffff0100 T tcp_v4_rcv
ffff0200 T sk_skb_reason_drop
ffff0300 T ip_rcv
ffff0600 T do_syscall_64
ffff0700 t bpf_trace_run4
ffff0800 t last\t[module]
";
    const SITE: u64 = 0xffff_0123;
    const TRACING: u64 = 0xffff_0210;
    const SOFTIRQ: u64 = 0xffff_05ff;

    fn boundaries() -> Boundaries {
        KernelFunctions::read(KALLSYMS.as_bytes(), &[]).unwrap().boundaries
    }

    #[test]
    fn the_cause_is_what_lies_between_tracing_and_the_softirq() {
        let stack = [0xffff_0710, TRACING, SITE, 0xffff_0310, SOFTIRQ, 0xffff_0610];
        assert_eq!(boundaries().cause(&stack, SITE), [SITE, 0xffff_0310]);
        assert_eq!(boundaries().from_site(&stack, SITE), [SITE, 0xffff_0310, SOFTIRQ, 0xffff_0610]);
    }

    #[test]
    fn a_site_that_is_not_on_the_stack_falls_back_to_the_tracing_frames() {
        let stack = [0xffff_0710, TRACING, 0xffff_0310, SOFTIRQ];
        assert_eq!(boundaries().cause(&stack, 42), [0xffff_0310]);
    }

    #[test]
    fn an_interrupted_free_is_not_taken_for_the_tracing_of_this_drop() {
        let stack = [0xffff_0710, TRACING, 0xffff_0310, SOFTIRQ, TRACING, 0xffff_0610];
        assert_eq!(boundaries().cause(&stack, 42), [0xffff_0310]);
    }

    #[test]
    fn single_addresses_cut_as_whole_functions_do() {
        let stack = [0xffff_0710, TRACING, 0xffff_0310, SOFTIRQ, 0xffff_0610];
        let mut added = Boundaries::default();
        for address in stack.into_iter().rev() {
            if let Some(cut) = boundaries().cut_at(address) {
                added.add(address, cut);
            }
        }
        for site in [SITE, TRACING, 42] {
            assert_eq!(added.cause(&stack, site), boundaries().cause(&stack, site));
        }
    }

    #[test]
    fn ranges_end_where_the_next_symbol_begins() {
        let boundaries = boundaries();
        assert!(contains(&boundaries.interrupt_entries, SOFTIRQ));
        assert!(!contains(&boundaries.interrupt_entries, 0xffff_0600));
        assert!(!contains(&boundaries.tracing, 0xffff_0800));
    }

    #[test]
    fn functions_that_were_asked_for_are_known() {
        let functions =
            KernelFunctions::read(KALLSYMS.as_bytes(), &["ip_rcv", "sk_skb_reason_drop"]).unwrap();
        assert_eq!(functions.range_of("ip_rcv"), 0xffff_0300..0xffff_0500);
        assert_eq!(functions.range_of("sk_skb_reason_drop"), 0xffff_0200..0xffff_0300);
        assert_eq!(functions.range_of("tcp_v4_rcv"), 0..0, "not asked for");
        assert_eq!(functions.boundaries, boundaries());
    }

    #[test]
    fn hidden_addresses_leave_stacks_whole() {
        let hidden = "0000000000000000 T sk_skb_reason_drop\n0000000000000000 t handle_softirqs\n";
        let boundaries = KernelFunctions::read(hidden.as_bytes(), &[]).unwrap().boundaries;
        assert_eq!(boundaries, Boundaries::default());
        assert_eq!(boundaries.cause(&[1, 2, 3], 9), [1, 2, 3]);
    }

    #[test]
    fn what_was_interrupted_does_not_change_the_shipped_hash() {
        let hash = |symbols: &[&'static str]| shipped_hash(symbols.iter().map(|&symbol| Some(symbol)));
        let on_idle = hash(&["tcp_v4_rcv", "ip_rcv", "handle_softirqs", "do_idle"]);
        let in_a_syscall = hash(&["tcp_v4_rcv", "ip_rcv", "handle_softirqs", "do_syscall_64"]);
        assert_eq!(on_idle, in_a_syscall);
        assert_ne!(on_idle, hash(&["tcp_v6_rcv", "ip_rcv", "handle_softirqs"]));
        assert_eq!(shipped_hash([Some("tcp_v4_rcv"), None].into_iter()), None);
    }

    #[test]
    fn the_running_kernel_has_boundaries_where_it_shows_addresses() {
        let boundaries = KernelFunctions::of_kernel(&[]).unwrap().boundaries;
        let shown = !std::fs::read_to_string("/proc/kallsyms").unwrap().starts_with("0000000000000000");
        assert_eq!(shown, !boundaries.interrupt_entries.is_empty());
    }
}
