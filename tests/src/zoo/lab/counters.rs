//! The kernel's counters, by which a test knows what happened.

use super::Net;
use crate::wait::wait_for;

impl Net {
    /// A counter: `TcpExt.PAWSEstab` or `Ip.InHdrErrors` of `/proc/net/netstat` and `snmp`, `Ip6InHdrErrors` of `snmp6`,
    /// `nft NAME` of a named nftables counter, `link NAME rx dropped` of an interface, `qdisc NAME` drops of its qdiscs,
    /// `xfrm NAME` of `/proc/net/xfrm_stat`.
    pub fn counter(&self, name: &str) -> u64 {
        let words: Vec<_> = name.split_whitespace().collect();
        let value = match words.as_slice() {
            ["nft", counter] => self.nft_counter(counter),
            ["link", interface, direction, kind] => self.link_counter(interface, direction, kind),
            ["qdisc", interface] => self.qdisc_drops(interface),
            ["xfrm", kind] => self.xfrm_counter(kind),
            [name] => self.proc_counter(name),
            _ => None,
        };
        value.unwrap_or_else(|| panic!("no counter {name}"))
    }

    fn proc_counter(&self, name: &str) -> Option<u64> {
        let read = |file: &str| self.run(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")));
        let Some((group, name)) = name.split_once('.') else {
            let listing = read("snmp6").ok()?;
            let line = listing.lines().find(|line| line.split_whitespace().next() == Some(name))?;
            return line.split_whitespace().nth(1)?.parse().ok();
        };
        ["netstat", "snmp"].into_iter().find_map(|file| paired_lines(&read(file).ok()?, group, name))
    }

    fn nft_counter(&self, name: &str) -> Option<u64> {
        let listing = self.command("nft", "-j list counters", "");
        let listing: serde_json::Value = serde_json::from_str(&listing).ok()?;
        let counters = listing["nftables"].as_array()?.iter().map(|object| &object["counter"]);
        counters.into_iter().find(|counter| counter["name"] == name)?["packets"].as_u64()
    }

    fn link_counter(&self, interface: &str, direction: &str, kind: &str) -> Option<u64> {
        let listing = self.command("ip", &format!("-s -j link show dev {interface}"), "");
        let listing: serde_json::Value = serde_json::from_str(&listing).ok()?;
        listing[0]["stats64"][direction][kind].as_u64()
    }

    fn qdisc_drops(&self, interface: &str) -> Option<u64> {
        let listing = self.command("tc", &format!("-s -j qdisc show dev {interface}"), "");
        let listing: serde_json::Value = serde_json::from_str(&listing).ok()?;
        Some(listing.as_array()?.iter().filter_map(|qdisc| qdisc["drops"].as_u64()).sum())
    }

    fn xfrm_counter(&self, name: &str) -> Option<u64> {
        let listing = self.run(|| std::fs::read_to_string("/proc/thread-self/net/xfrm_stat")).ok()?;
        let line = listing.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

/// `GROUP: names…` and `GROUP: values…` in lines below each other.
fn paired_lines(listing: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = listing.lines().filter(|line| line.split(':').next() == Some(group));
    let column = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(column)?.parse().ok()
}

/// A counter of the kernel's, watched from the start on.
#[derive(Debug)]
pub struct Watched<'a> {
    net: &'a Net,
    name: String,
    start: u64,
}

impl<'a> Watched<'a> {
    /// Watches the counter `name`; see [`Net::counter`].
    pub fn new(net: &'a Net, name: &str) -> Self {
        Self { net, name: name.to_owned(), start: net.counter(name) }
    }

    /// Its rise until now.
    pub fn so_far(&self) -> u64 {
        self.net.counter(&self.name).saturating_sub(self.start)
    }

    /// Its rise, once it is `at_least`.
    pub fn rise(&self, at_least: u64) -> Rise {
        let found = wait_for(&format!("{} to rise by {at_least}", self.name), || {
            Some(self.so_far()).filter(|&rise| rise >= at_least)
        });
        Rise { counter: self.name.clone(), found, others: false }
    }
}

/// What a counter said.
#[derive(Clone, Debug)]
pub struct Rise {
    /// Its name.
    pub counter: String,
    /// By how much it rose.
    pub found: u64,
    /// Whether it counts other packets too.
    pub others: bool,
}

impl Rise {
    /// Of a counter that counts other protocols' packets too.
    #[must_use]
    pub fn at_least(self) -> Self {
        Self { others: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_paired_lines() {
        let listing = "Ip: A B\nIp: 1 2\nTcpExt: A PAWSEstab\nTcpExt: 3 4\n";
        assert_eq!(paired_lines(listing, "TcpExt", "PAWSEstab"), Some(4));
        assert_eq!(paired_lines(listing, "TcpExt", "None"), None);
    }
}
