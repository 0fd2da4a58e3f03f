//! The flags of `watch` that say which drops are wanted: each stands for a key of `[filter]`.

use crate::filter::{Filter, Namespace, Selection, parse};
use crate::packet_drop::Direction;
use clap::Args;
use ipnet::IpNet;
use std::ops::RangeInclusive;

/// Flags for filters.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Filters (each may be repeated or take a list A,B; --not-X leaves out)")]
pub struct FilterArgs {
    /// Only drops with this source or destination port, or one in the range.
    #[arg(long = "port", value_name = "PORT|A-B", value_parser = parse::ports, value_delimiter = ',')]
    ports: Vec<RangeInclusive<u16>>,
    /// Only drops from or to this address or prefix, such as 10.0.0.0/8 or fd00::/8.
    #[arg(long = "address", value_name = "ADDRESS", value_parser = parse::prefix, value_delimiter = ',')]
    addresses: Vec<IpNet>,
    /// Only drops in this network namespace.
    #[arg(long = "netns", value_name = "self|host|INODE", value_parser = parse::namespace, value_delimiter = ',')]
    netns: Vec<Namespace>,
    /// Only drops for this reason, such as NO_SOCKET.
    #[arg(long = "reason", value_name = "REASON", value_parser = parse::reason, value_delimiter = ',')]
    reasons: Vec<String>,
    /// Only drops on this way: receive, transmit, forward or unknown.
    #[arg(long, value_name = "WAY", value_parser = parse::direction, value_delimiter = ',')]
    direction: Vec<Direction>,
    /// No drops with this port.
    #[arg(long = "not-port", value_name = "PORT|A-B", value_parser = parse::ports, value_delimiter = ',')]
    not_ports: Vec<RangeInclusive<u16>>,
    /// No drops from or to this address.
    #[arg(long = "not-address", value_name = "ADDRESS", value_parser = parse::prefix, value_delimiter = ',')]
    not_addresses: Vec<IpNet>,
    /// No drops in this network namespace.
    #[arg(long, value_name = "self|host|INODE", value_parser = parse::namespace, value_delimiter = ',')]
    not_netns: Vec<Namespace>,
    /// No drops for this reason.
    #[arg(long = "not-reason", value_name = "REASON", value_parser = parse::reason, value_delimiter = ',')]
    not_reasons: Vec<String>,
    /// No drops on this way.
    #[arg(long, value_name = "WAY", value_parser = parse::direction, value_delimiter = ',')]
    not_direction: Vec<Direction>,
}

impl FilterArgs {
    /// Puts what was given in the place of the same key of `filter`; the rest of it stays.
    pub fn apply(self, filter: &mut Filter) {
        let Self { ports, addresses, netns, reasons, direction, .. } = self;
        replace(&mut filter.include, Selection { netns, ports, addresses, reasons, direction });
        let exclude = Selection {
            netns: self.not_netns,
            ports: self.not_ports,
            addresses: self.not_addresses,
            reasons: self.not_reasons,
            direction: self.not_direction,
        };
        replace(&mut filter.exclude, exclude);
    }
}

fn replace(selection: &mut Selection, given: Selection) {
    let Selection { netns, ports, addresses, reasons, direction } = given;
    replace_list(&mut selection.netns, netns);
    replace_list(&mut selection.ports, ports);
    replace_list(&mut selection.addresses, addresses);
    replace_list(&mut selection.reasons, reasons);
    replace_list(&mut selection.direction, direction);
}

fn replace_list<T>(list: &mut Vec<T>, given: Vec<T>) {
    if !given.is_empty() {
        *list = given;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: FilterArgs,
    }

    fn parse_line(line: &str) -> Result<FilterArgs, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.filter)
    }

    #[test]
    fn each_flag_goes_to_its_key() {
        let line = "x --port 80,81 --port 8000-8080 --address fd00::/8 --netns self --reason no_socket \
                    --direction forward --not-port 1 --not-address 10.0.0.1 --not-netns 7 --not-reason A --not-direction transmit";
        let mut filter = Filter::default();
        parse_line(line).unwrap().apply(&mut filter);
        let expected = Filter {
            include: Selection {
                netns: vec![Namespace::Own],
                ports: vec![80..=80, 81..=81, 8000..=8080],
                addresses: vec!["fd00::/8".parse().unwrap()],
                reasons: vec!["NO_SOCKET".to_owned()],
                direction: vec![Direction::Forward],
            },
            exclude: Selection {
                netns: vec![Namespace::Inode(7)],
                ports: vec![1..=1],
                addresses: vec!["10.0.0.1/32".parse().unwrap()],
                reasons: vec!["A".to_owned()],
                direction: vec![Direction::Transmit],
            },
        };
        assert_eq!(filter, expected);
    }

    #[test]
    fn a_flag_takes_the_place_of_its_key_alone() {
        let include = Selection { ports: vec![1..=1], reasons: vec!["A".to_owned()], ..Selection::default() };
        let mut filter = Filter { include, ..Filter::default() };
        parse_line("x --port 2").unwrap().apply(&mut filter);
        assert_eq!((filter.include.ports, filter.include.reasons), (vec![2..=2], vec!["A".to_owned()]));
    }

    #[test]
    fn wrong_values_are_refused_with_what_would_be_right() {
        for line in [
            "x --port http",
            "x --port 80,",
            "x --address a",
            "x --netns x",
            "x --reason 1.5",
            "x --not-direction in",
        ] {
            let error = parse_line(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains("must be"), "{error}");
        }
    }
}
