//! Writer, reader and replay together, without a kernel.

use super::*;
use crate::drop_report::{DropReport, GroupReport, SilentReport, SuppressedReport};
use crate::enrich::symbols::FixedSymbols;
use crate::reasons::names::ReasonNames;
use crate::recording::{Known, Recorder};
use crate::wire::present;
use zerocopy::IntoBytes;

const SECOND: u64 = 1_000_000_000;
const SITE: u64 = 0x110;
const CLOCK: Clock = Clock { boot_ns: 100 * SECOND, unix_ns: 1_800_000_000 * SECOND };

fn event(at: u64) -> Vec<u8> {
    let fixed = TcpDropEvent {
        boot_ns: CLOCK.boot_ns + at,
        site: SITE,
        reason: 3,
        present: present::REASON,
        stack_frames: 3,
        ..TcpDropEvent::default()
    };
    let stack = [0x50_u64, SITE, 0x205];
    [fixed.as_bytes(), stack.as_bytes()].concat()
}

/// Events at these distances from the start, in nanoseconds, and an end two seconds after the last.
fn recording(times: &[u64]) -> Vec<u8> {
    let reasons = ReasonNames::from(std::collections::BTreeMap::from([(3, "NO_SOCKET".to_owned())]));
    let symbols = FixedSymbols::new([(0x40, "bpf_trace_run4"), (0x100, "tcp_v4_rcv"), (0x200, "ip_rcv")]);
    let mut boundaries = Boundaries::default();
    boundaries.add(0x50, Cut::Tracing);
    let known = Known { reasons: &reasons, symbols: &symbols, boundaries: &boundaries };
    let header = Header::new("6.18".to_owned(), Default::default(), CLOCK);
    let mut recorder = Recorder::start(Vec::new(), &header, known).unwrap();
    for &time in times {
        recorder.event(&event(time)).unwrap();
    }
    let last = times.last().unwrap_or(&0) + 2 * SECOND;
    let sites =
        [SiteCount { site: Some(SITE), reason: Some(3), seen: 9, ring_lost: 4, ..SiteCount::default() }];
    let kernel = KernelCounts { seen: 9, ring_lost: 4, admitted: 5, ..KernelCounts::default() };
    recorder.finish(CLOCK.at(BootTime(CLOCK.boot_ns + last)), 1, kernel, &sites).unwrap()
}

/// What came out, as far as these tests ask for it.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Reason, name of the site, count, and milliseconds from the start at which it was told.
    drops: Vec<(String, String, u64, u64)>,
    groups: usize,
    suppressed: u64,
}

impl Sink for &RefCell<Seen> {
    fn drops(&mut self, report: DropReport) {
        let told = report.observed.0.saturating_sub(CLOCK.unix_ns) / 1_000_000;
        let site = report.facts.stack.site().unwrap_or_default().to_owned();
        let reason = report.facts.reason.as_deref().unwrap_or_default().to_owned();
        self.borrow_mut().drops.push((reason, site, report.summary.tally.count, told));
    }

    fn group(&mut self, _report: GroupReport) {
        self.borrow_mut().groups += 1;
    }

    fn suppressed(&mut self, report: SuppressedReport) {
        self.borrow_mut().suppressed += report.count;
    }

    fn silent(&mut self, _report: SilentReport) {}

    fn flush(&mut self) {}
}

fn replayed(recording: &[u8]) -> (Seen, Result<Replayed, ReadError>) {
    let seen = RefCell::default();
    let result = Reader::new(recording)
        .and_then(|mut reader| replay(&mut reader, &Config::default(), |_, _| &seen, || false));
    (seen.into_inner(), result)
}

fn told(count: u64, at_ms: u64) -> (String, String, u64, u64) {
    ("NO_SOCKET".to_owned(), "tcp_v4_rcv".to_owned(), count, at_ms)
}

#[test]
fn drops_are_told_when_they_would_have_been_told_live() {
    let (seen, result) = replayed(&recording(&[0, SECOND, 2 * SECOND, 30 * SECOND]));
    // The first of a flow at once; the others at the end of the window of ten seconds; after it the flow is new.
    assert_eq!(seen.drops, [told(1, 0), told(2, 10_000), told(1, 30_000)]);
    assert_eq!((seen.groups, seen.suppressed), (2, 4));
    let result = result.unwrap();
    assert_eq!((result.events, result.undecodable, result.left_out), (4, 0, 1));
    assert_eq!(result.kernel.unwrap().seen, 9);
}

#[test]
fn a_recording_cut_anywhere_gives_what_came_before() {
    let whole = recording(&[0, SECOND]);
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in header..whole.len() {
        let (seen, result) = replayed(&whole[..length]);
        let result = result.unwrap_or_else(|error| panic!("{length}: {error}"));
        assert_eq!(result.kernel, None, "{length}");
        assert_eq!(seen.drops.iter().map(|(_, _, count, _)| count).sum::<u64>(), result.events, "{length}");
    }
    for length in 0..header - 1 {
        assert!(matches!(replayed(&whole[..length]).1, Err(ReadError::Foreign(_))), "{length}");
    }
}

#[test]
fn a_step_of_the_wall_clock_is_written_and_followed() {
    let header = Header::new(String::new(), Default::default(), CLOCK);
    let (reasons, symbols, boundaries) = Default::default();
    let known = Known { reasons: &reasons, symbols: &FixedSymbols::clone(&symbols), boundaries: &boundaries };
    let mut recorder = Recorder::start(Vec::new(), &header, known).unwrap();
    recorder.clock(CLOCK.at(BootTime(CLOCK.boot_ns + SECOND))).unwrap();
    recorder.clock(Clock { boot_ns: CLOCK.boot_ns + SECOND, unix_ns: CLOCK.unix_ns + 60 * SECOND }).unwrap();
    recorder.event(&event(2 * SECOND)).unwrap();
    let end = Clock::default();
    let recording = recorder.finish(end, 0, KernelCounts::default(), &[]).unwrap();
    assert_eq!(String::from_utf8_lossy(&recording).matches("{\"clock\":").count(), 1);
    assert_eq!(replayed(&recording).0.drops[0].3, 61_000);
}

fn complaint(recording: &str) -> String {
    replayed(recording.as_bytes()).1.unwrap_err().to_string()
}

#[test]
fn what_is_damaged_is_named_with_its_line() {
    let text = String::from_utf8(recording(&[0])).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let with = |index: usize, line: &str| {
        let mut lines = lines.clone();
        lines[index] = line;
        lines.join("\n") + "\n"
    };
    assert_eq!(lines.len(), 8, "{text}");
    for (line, part) in [
        ("{}", "line 3 is damaged"),
        ("", "line 3 is damaged"),
        ("{\"evnt\":\"00\"}", "line 3 is damaged: unknown variant `evnt`"),
        ("{\"event\":\"0\"}", "line 3 is damaged: an event is not in pairs of hexadecimal digits"),
        ("{\"event\":\"00\"}", "line 3 is damaged: its event has 1 bytes, fewer than the header says"),
        ("{\"symbol\":{\"address\":\"zz\",\"name\":\"\",\"offset\":0}}", "\"zz\" is no address"),
    ] {
        let complaint = complaint(&with(2, line));
        assert!(complaint.contains(part), "{line}: {complaint}");
    }
    let end = lines[7];
    assert!(
        complaint(&with(6, end)).contains("line 7 is damaged: it counts 1 events, but 0 stand before it")
    );
    assert!(complaint(&(text.clone() + "{}\n")).contains("line 8 is damaged: it is the last line"));
    let long = format!("\"{}\"", "x".repeat(2 << 20));
    assert!(complaint(&with(2, &long)).contains("longer than 1048576 bytes"));
}

#[test]
fn headers_that_cannot_be_used_say_why() {
    let text = String::from_utf8(recording(&[0])).unwrap();
    assert!(complaint("").contains("it is no recording of tcpdrop-otel"));
    assert!(complaint("{\"resourceLogs\":[]}\n").contains("it is no recording of tcpdrop-otel"));
    let version = text.replacen("_recording\":1", "_recording\":2", 1);
    assert!(complaint(&version).contains("it has the version 2 of the format"));
    let order = text.replacen("\"little\"", "\"big\"", 1);
    assert!(complaint(&order).contains("byte order of another machine (big-endian)"));
    let layout = text.replacen("\"pid\":[", "\"pid\":[9", 1);
    assert!(complaint(&layout).contains("its header is damaged: its field `pid` lies outside"));
}

/// Whatever is in a file: a replay ends, with a result or an error that names a line.
#[test]
fn damaged_recordings_never_stop_the_reader() {
    let whole = recording(&[0, SECOND, 12 * SECOND]);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3_000 {
        let mut damaged = whole.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..damaged.len());
            match random.u8(..4) {
                0 => damaged[at] = random.u8(..),
                1 => damaged[at] = *random.choice(b"0123456789abcdef\"{}[],:\n").unwrap(),
                2 => drop(damaged.drain(at..(at + random.usize(..40)).min(damaged.len()))),
                _ => {
                    let piece = damaged[at..(at + 200).min(damaged.len())].to_vec();
                    damaged.splice(at..at, piece);
                }
            }
            if damaged.is_empty() {
                break;
            }
        }
        if let Err(error) = replayed(&damaged).1 {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn events_of_any_time_are_replayed() {
    for time in [0, 1, CLOCK.boot_ns, u64::MAX / 2, u64::MAX - CLOCK.boot_ns] {
        let (seen, result) = replayed(&recording(&[time, 0]));
        assert_eq!(seen.drops.iter().map(|(_, _, count, _)| count).sum::<u64>(), 2);
        assert_eq!(result.unwrap().events, 2);
    }
}
