//! How the entries of a filter are written, in files, variables and on the command line.

use super::Namespace;
use crate::packet_drop::Direction;
use crate::reasons::canonical;
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// `self`, `host`, or an inode number.
///
/// # Errors
/// What it must be.
pub fn namespace(text: &str) -> Result<Namespace, String> {
    match text {
        "self" => Ok(Namespace::Own),
        "host" => Ok(Namespace::Host),
        _ => text.parse().ok().filter(|inode| *inode > 0).map(Namespace::Inode).ok_or_else(|| {
            wrong(text, "\"self\", \"host\" or the inode number that `readlink /proc/PID/ns/net` shows")
        }),
    }
}

/// A port, or a range of ports: `8000-8080`.
///
/// # Errors
/// What it must be.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok();
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(wrong(text, "a port from 0 to 65535 or a range such as \"8000-8080\"")),
    }
}

/// An address, or a prefix of addresses: `10.0.0.0/8`, `fd00::/8`. Bits behind the prefix do not matter. An IPv4-mapped
/// IPv6 prefix, `::ffff:10.0.0.0/104`, stands for the IPv4 prefix: packets of such sockets are IPv4 packets.
///
/// # Errors
/// What it must be.
pub fn prefix(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let parsed = parsed.map(|prefix| unmapped(prefix.trunc()));
    parsed.ok_or_else(|| wrong(text, "an IP address or a prefix such as \"10.0.0.0/8\" or \"fd00::/8\""))
}

fn unmapped(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else { return prefix };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(prefix, IpNet::V4)
}

/// The name of a drop reason, as records carry it. People also write it in lower case, or as the kernel's C sources do.
///
/// # Errors
/// What it must be.
pub fn reason(text: &str) -> Result<String, String> {
    let name = canonical(text);
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(name)
    } else {
        Err(wrong(text, "the name of a drop reason such as \"NO_SOCKET\""))
    }
}

/// The name of a direction, as records carry it.
///
/// # Errors
/// What it must be.
pub fn direction(text: &str) -> Result<Direction, String> {
    use Direction::{Forward, Receive, Transmit, Unknown};
    let all = [Receive, Transmit, Forward, Unknown];
    all.into_iter()
        .find(|direction| direction.name() == text)
        .ok_or_else(|| wrong(text, "\"receive\", \"transmit\", \"forward\" or \"unknown\""))
}

fn wrong(given: &str, wanted: &str) -> String {
    let shown: String = given.chars().take(60).collect();
    format!("must be {wanted}, not {shown:?}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_names_or_numbers() {
        assert_eq!(namespace("self"), Ok(Namespace::Own));
        assert_eq!(namespace("host"), Ok(Namespace::Host));
        assert_eq!(namespace("4026531840"), Ok(Namespace::Inode(4_026_531_840)));
        for text in ["", "0", "-1", "Self", "net:[1]", "4294967296"] {
            assert!(namespace(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_single_or_ranges() {
        assert_eq!(ports("80"), Ok(80..=80));
        assert_eq!(ports("8000-8080"), Ok(8000..=8080));
        assert_eq!(ports("0 - 65535"), Ok(0..=u16::MAX));
        for text in ["", "-", "80-", "-80", "8080-8000", "65536", "http", "1-2-3"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mapped_prefix_is_the_ipv4_prefix_and_a_wider_one_is_not() {
        let read = |text| prefix(text).unwrap().to_string();
        assert_eq!(read("10.1.2.3/8"), "10.0.0.0/8");
        assert_eq!(read("10.1.2.3"), "10.1.2.3/32");
        assert_eq!(read("fd00::1"), "fd00::1/128");
        assert_eq!(read("::ffff:10.1.2.3"), "10.1.2.3/32");
        assert_eq!(read("::ffff:10.1.2.3/104"), "10.0.0.0/8");
        assert_eq!(read("::ffff:10.1.2.3/96"), "0.0.0.0/0");
        assert_eq!(read("::ffff:10.1.2.3/80"), "::/80");
        assert_eq!(read("::/0"), "::/0");
        for text in ["", "10.0.0.0/33", "10.0.0", "::/129", "example.com", "10.0.0.0/255.0.0.0"] {
            assert!(prefix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reasons_are_written_as_people_do() {
        for text in ["NO_SOCKET", "no_socket", "SKB_DROP_REASON_NO_SOCKET", "skb_drop_reason_no_socket"] {
            assert_eq!(reason(text).unwrap(), "NO_SOCKET");
        }
        for text in ["", "NO SOCKET", "SKB_DROP_REASON_", "3.5"] {
            assert!(reason(text).is_err(), "{text}");
        }
    }

    #[test]
    fn directions_have_the_names_of_the_records() {
        assert_eq!(direction("forward"), Ok(Direction::Forward));
        assert_eq!(
            direction("in").unwrap_err(),
            "must be \"receive\", \"transmit\", \"forward\" or \"unknown\", not \"in\""
        );
    }
}
