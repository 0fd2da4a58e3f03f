//! What the kernel counted of TCP in a network namespace.

use crate::netns::Namespace;
use std::fs;
use std::ops::Sub;

/// Counters of a namespace (RFC 4022, `include/uapi/linux/snmp.h`), and those of the host's receive queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// `TcpInSegs`: segments that reached TCP, with a bad checksum too.
    pub received: u64,
    /// `TcpInCsumErrors`
    pub bad_checksum: u64,
    /// `TcpOutRsts`
    pub resets_sent: u64,
    /// Packets of the whole host that found a CPU's backlog full, and are drops of the reason `CPU_BACKLOG`
    /// (`net/softnet_stat`).
    pub backlog_full: u64,
}

impl Counts {
    /// Of `namespace`, or of the current one.
    pub fn read(namespace: Option<&Namespace>) -> Self {
        match namespace {
            Some(namespace) => namespace.run(Self::read_here),
            None => Self::read_here(),
        }
    }

    fn read_here() -> Self {
        let snmp = fs::read_to_string("/proc/thread-self/net/snmp").expect("read the counters of TCP");
        let softnet =
            fs::read_to_string("/proc/net/softnet_stat").expect("read the counters of the backlogs");
        let tcp = |name| counter(&snmp, "Tcp:", name);
        Self {
            received: tcp("InSegs"),
            bad_checksum: tcp("InCsumErrors"),
            resets_sent: tcp("OutRsts"),
            backlog_full: softnet.lines().map(backlog_full).sum(),
        }
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            received: self.received - earlier.received,
            bad_checksum: self.bad_checksum - earlier.bad_checksum,
            resets_sent: self.resets_sent - earlier.resets_sent,
            backlog_full: self.backlog_full - earlier.backlog_full,
        }
    }
}

/// A value of a file that has, for each protocol, a line of names and below it a line of values.
fn counter(file: &str, protocol: &str, name: &str) -> u64 {
    let mut lines = file.lines().filter(|line| line.starts_with(protocol)).map(str::split_whitespace);
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { panic!("no {protocol} in {file}") };
    names
        .zip(values)
        .find(|(found, _)| *found == name)
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or_else(|| panic!("no {protocol} {name} in {file}"))
}

/// The second column of a CPU's line, in hexadecimal.
fn backlog_full(line: &str) -> u64 {
    let column = line.split_whitespace().nth(1);
    column
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or_else(|| panic!("softnet_stat: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_name() {
        let file =
            "Ip: InReceives\nIp: 7\nTcp: MaxConn InSegs InCsumErrors\nTcp: -1 5 2\nTcpX: InSegs\nTcpX: 9\n";
        assert_eq!((counter(file, "Tcp:", "InSegs"), counter(file, "Tcp:", "InCsumErrors")), (5, 2));
        assert_eq!(backlog_full("0000ffff 0000001f 00000002"), 31);
    }
}
