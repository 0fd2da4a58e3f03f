use super::*;
use std::cell::Cell;

fn facts() -> Facts {
    Facts {
        netns: Some(7),
        ports: Some(Ports { source: 40_000, destination: 80 }),
        addresses: Some(("10.0.0.1".parse().unwrap(), "192.0.2.9".parse().unwrap())),
        reason: Some(3),
        direction: Direction::Receive,
    }
}

fn unknown() -> Facts {
    Facts { netns: None, ports: None, addresses: None, reason: None, direction: Direction::Unknown }
}

/// Criteria of one kind each: the first of a pair knows [`facts`], the second does not.
fn pairs() -> [(Criteria, Criteria); 5] {
    let netns = |inode| Criteria { netns: Some([inode].into()), ..Criteria::default() };
    let ports = |range| Criteria { ports: Some(vec![range]), ..Criteria::default() };
    let address =
        |text| Criteria { addresses: Some([parse::prefix(text).unwrap()].into()), ..Criteria::default() };
    let reason = |code| Criteria { reasons: Some([code].into()), ..Criteria::default() };
    let direction = |way| Criteria { direction: Some(vec![way]), ..Criteria::default() };
    [
        (netns(7), netns(8)),
        (ports(70..=80), ports(81..=90)),
        (address("10.0.0.0/8"), address("::/0")),
        (reason(3), reason(4)),
        (direction(Direction::Receive), direction(Direction::Transmit)),
    ]
}

fn including(include: Criteria) -> Rules {
    Rules { include, ..Rules::default() }
}

fn excluding(exclude: Criteria) -> Rules {
    Rules { exclude, ..Rules::default() }
}

#[test]
fn without_rules_everything_is_wanted() {
    assert!(Rules::default().is_empty());
    assert!(Rules::default().wants(&facts()) && Rules::default().wants(&unknown()));
}

#[test]
fn each_kind_includes_and_excludes_what_it_knows() {
    for (knows, other) in pairs() {
        assert!(including(knows.clone()).wants(&facts()), "{knows:?}");
        assert!(!excluding(knows.clone()).wants(&facts()), "{knows:?}");
        assert!(!including(other.clone()).wants(&facts()), "{other:?}");
        assert!(excluding(other.clone()).wants(&facts()), "{other:?}");
    }
}

#[test]
fn what_is_not_known_fits_no_entry() {
    for (criteria, _) in pairs() {
        assert!(!including(criteria.clone()).wants(&unknown()), "{criteria:?}");
        assert!(excluding(criteria.clone()).wants(&unknown()), "{criteria:?}");
    }
    let direction = Criteria { direction: Some(vec![Direction::Unknown]), ..Criteria::default() };
    assert!(including(direction).wants(&unknown()), "unknown is a direction of its own");
}

#[test]
fn all_included_kinds_must_know_the_drop_and_no_excluded_one() {
    let [(netns, _), (ports, other_ports), ..] = pairs();
    let both = |ports: &Criteria| Criteria { ports: ports.ports.clone(), ..netns.clone() };
    assert!(including(both(&ports)).wants(&facts()));
    assert!(!including(both(&other_ports)).wants(&facts()));
    assert!(!excluding(both(&other_ports)).wants(&facts()), "one excluded kind is enough");
    assert!(!Rules { include: netns, exclude: ports }.wants(&facts()), "excluded wins over included");
}

#[test]
fn either_end_counts() {
    let [_, _, (address, _), ..] = pairs();
    let other =
        Criteria { addresses: Some([parse::prefix("192.0.2.0/24").unwrap()].into()), ..Criteria::default() };
    let source = Criteria { ports: Some(vec![40_000..=40_000]), ..Criteria::default() };
    for criteria in [address, other, source] {
        assert!(including(criteria).wants(&facts()));
    }
}

#[test]
fn prefixes_of_one_family_know_no_address_of_the_other() {
    let all =
        |text| Criteria { addresses: Some([parse::prefix(text).unwrap()].into()), ..Criteria::default() };
    let mapped =
        Facts { addresses: Some(("::ffff:10.0.0.1".parse().unwrap(), "::1".parse().unwrap())), ..facts() };
    assert!(including(all("0.0.0.0/0")).wants(&facts()) && !including(all("::/0")).wants(&facts()));
    assert!(!including(all("0.0.0.0/0")).wants(&mapped) && including(all("::/0")).wants(&mapped));
}

fn names<H: Fn() -> Result<u32, NamespaceError>>(
    reasons: &BTreeMap<u32, String>,
    host_netns: H,
) -> Names<'_, H> {
    Names { own_netns: 11, host_netns, reasons }
}

fn no_host() -> Result<u32, NamespaceError> {
    Err(NamespaceError::InContainer)
}

#[test]
fn names_become_this_hosts_numbers() {
    let reasons = BTreeMap::from([(3, "NO_SOCKET".to_owned()), (9, "TCP_CSUM".to_owned())]);
    let asked = Cell::new(0);
    let host = || {
        asked.set(asked.get() + 1);
        Ok(22)
    };
    let selection = Selection {
        netns: vec![Namespace::Own, Namespace::Host, Namespace::Inode(33)],
        reasons: vec!["TCP_CSUM".to_owned()],
        ..Selection::default()
    };
    let filter = Filter { include: selection, ..Filter::default() };
    let (rules, report) = filter.resolve(&names(&reasons, host)).unwrap();
    assert_eq!(rules.include.netns, Some([11, 22, 33].into()));
    assert_eq!(rules.include.reasons, Some([9].into()));
    assert_eq!(rules.include.ports, None);
    assert_eq!(report.warning(), None);
    assert_eq!(asked.get(), 1);
    assert!(filter.resolve(&names(&reasons, no_host)).is_err());
}

#[test]
fn reasons_that_the_kernel_lacks_are_told_and_never_widen_the_filter() {
    let reasons = BTreeMap::from([(3, "NO_SOCKET".to_owned())]);
    let with = |list: &[&str]| {
        let reasons = list.iter().map(|&name| name.to_owned()).collect();
        Filter { include: Selection { reasons, ..Selection::default() }, ..Filter::default() }
    };
    let (rules, report) = with(&["NO_SOCKET", "NEWER"]).resolve(&names(&reasons, no_host)).unwrap();
    assert!(rules.wants(&facts()));
    let warning = report.warning().unwrap();
    assert!(warning.contains("NEWER") && !warning.contains("NO_SOCKET"), "{warning}");

    let (rules, report) = with(&["NEWER"]).resolve(&names(&reasons, no_host)).unwrap();
    assert!(!rules.is_empty() && !rules.wants(&facts()));
    assert!(report.warning().unwrap().contains("all drops are filtered out"));
}
