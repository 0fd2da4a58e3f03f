//! The text view: bcc tcpdrop's line for each drop, with the reason, then the kernel stack.

use super::stacks::View;
use crate::drop_report::{DropReport, Frame, NamedStack, SilentReport, SuppressedReport, UnixNanos};
use crate::otlp::body::{self, source_and_destination};
use crate::otlp::{semconv, timestamp};
use crate::packet_drop::IpVersion;
use anstyle::{AnsiColor, Style as Ansi};
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// Width of a process id: Linux has up to 4194304.
const PID: usize = 7;
/// Width of an address and port: `255.255.255.255:65535`. IPv6 may need more.
const ENDPOINT: usize = 21;
/// Width of both endpoints and the arrow; a long one may use the padding of the other.
const FLOW: usize = 2 * ENDPOINT + 3;

/// Styles of the parts that catch the eye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    header: Ansi,
    reason: Ansi,
    flags: Ansi,
    site: Ansi,
    suppressed: Ansi,
}

impl Style {
    /// No styles, for pipes and files.
    pub const fn plain() -> Self {
        Self {
            header: Ansi::new(),
            reason: Ansi::new(),
            flags: Ansi::new(),
            site: Ansi::new(),
            suppressed: Ansi::new(),
        }
    }

    /// For terminals.
    pub const fn coloured() -> Self {
        Self {
            header: Ansi::new().bold(),
            reason: AnsiColor::Red.on_default().bold(),
            flags: AnsiColor::Yellow.on_default(),
            site: AnsiColor::Cyan.on_default(),
            suppressed: AnsiColor::Magenta.on_default(),
        }
    }
}

/// Writes the names of the columns.
///
/// # Errors
/// Those of the writer.
pub fn write_header(out: &mut impl Write, style: &Style) -> io::Result<()> {
    let flow = format!("{:<ENDPOINT$} > DADDR:DPORT", "SADDR:SPORT");
    let header = style.header;
    writeln!(out, "{header}{:<8} {:<PID$} IP {flow:<FLOW$} STATE (FLAGS) REASON{header:#}", "TIME", "PID")
}

/// Writes the line of a drop, its stack as `view` says, and an empty line if there is a stack. The time is the first drop's,
/// in `zone`.
///
/// # Errors
/// Those of the writer.
pub fn write_drop(
    out: &mut impl Write,
    report: &DropReport,
    view: View,
    style: &Style,
    zone: &TimeZone,
) -> io::Result<()> {
    let packet = report.packet();
    let alone = !report.summary.other_flows;
    let pid = if alone { packet.task.pid.to_string() } else { "-".to_owned() };
    let version = match packet.ip_version.filter(|_| alone) {
        Some(IpVersion::V4) => "4",
        Some(IpVersion::V6) => "6",
        None => "-",
    };
    let flow = flow(report);
    let state = packet.socket.filter(|_| alone).map_or("-", |socket| socket.state.kernel_name());
    let flags =
        packet.tcp.filter(|_| alone).map_or_else(|| "-".to_owned(), |header| body::flags(header.flags));
    let reason =
        body::reason(report.facts.reason.as_deref(), packet.reason).unwrap_or_else(|| "-".to_owned());
    let Style { flags: flags_style, reason: reason_style, .. } = style;

    write!(out, "{} {pid:<PID$} {version:<2} {flow:<FLOW$} {state} ", clock_time(report.time, zone))?;
    write!(out, "{flags_style}({flags}){flags_style:#} {reason_style}{reason}{reason_style:#}")?;
    match report.summary.tally.count {
        1 => writeln!(out)?,
        count => writeln!(out, " ×{count}")?,
    }
    write_stack(out, &report.facts.stack, view, style)
}

/// Writes a line about drops without detail, and an empty line. The time is the start of their window, in `zone`.
///
/// # Errors
/// Those of the writer.
pub fn write_suppressed(
    out: &mut impl Write,
    report: &SuppressedReport,
    style: &Style,
    zone: &TimeZone,
) -> io::Result<()> {
    let Style { suppressed, .. } = style;
    let text = body::of_suppressed(report);
    writeln!(out, "{} {suppressed}{text}{suppressed:#}\n", clock_time(report.time, zone))
}

/// Writes a line about drops that the tracepoint does not tell, and an empty line. The time is the first drop's, or the
/// start of their window, in `zone`.
///
/// # Errors
/// Those of the writer.
pub fn write_silent(
    out: &mut impl Write,
    report: &SilentReport,
    style: &Style,
    zone: &TimeZone,
) -> io::Result<()> {
    let Style { suppressed, .. } = style;
    let text = body::of_silent(report);
    writeln!(out, "{} {suppressed}{text}{suppressed:#}\n", clock_time(report.time(), zone))
}

fn flow(report: &DropReport) -> String {
    if report.summary.other_flows {
        return "(other flows)".to_owned();
    }
    match report.packet().flow.map(source_and_destination) {
        Some((source, destination)) => {
            // Formatted apart, since addresses ignore a width that they do not fill themselves.
            let source = source.to_string();
            format!("{source:<ENDPOINT$} > {destination}")
        }
        None => format!("{:<ENDPOINT$} > -", "-"),
    }
}

fn write_stack(out: &mut impl Write, stack: &NamedStack, view: View, style: &Style) -> io::Result<()> {
    let site = style.site;
    let site_text = |frame| format!("\t{site}{}{site:#}", frame_text(frame));
    match (stack.frames.split_first(), view) {
        (_, View::Hidden) => return Ok(()),
        (None, _) => {}
        (Some((first, _)), View::Again(number)) => {
            writeln!(out, "{} … stack {number} again", site_text(first))?;
        }
        (Some((first, rest)), View::Whole(number)) => {
            let label = number.map(|number| format!("  (stack {number})")).unwrap_or_default();
            writeln!(out, "{}{label}", site_text(first))?;
            rest.iter().try_for_each(|frame| writeln!(out, "\t{}", frame_text(frame)))?;
            if stack.truncated {
                writeln!(out, "\t...")?;
            }
        }
    }
    writeln!(out)
}

fn frame_text(frame: &Frame) -> String {
    match &frame.symbol {
        Some(symbol) => format!("{symbol}+{:#x}", frame.offset),
        None => semconv::UNKNOWN_FRAME.to_owned(),
    }
}

fn clock_time(time: UnixNanos, zone: &TimeZone) -> String {
    zone.to_datetime(timestamp(time)).strftime("%H:%M:%S").to_string()
}
