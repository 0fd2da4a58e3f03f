use super::*;
use crate::netns::VethPair;
use crate::require;
use std::net::{Ipv6Addr, SocketAddr};

const PORT: u16 = 9;

fn storm<'a>(senders: &[Sender<'a>], segment: Segment, flows: Flows, packets: u64) -> Storm<'a> {
    let at_most = Duration::from_secs(30);
    Storm { senders: senders.to_vec(), segment, flows, packets, at_most, per_second: None, seed: 7 }
}

/// What the namespace counted of a storm, and whether all its packets came through.
fn counted(namespace: &Namespace, storm: &Storm) -> Counts {
    let before = Counts::read(Some(namespace));
    let blasted = blast(storm);
    assert_eq!(blasted.packets, storm.packets);
    assert!(!blasted.wall.is_zero() && !blasted.cpu.is_zero(), "{blasted:?}");
    Counts::read(Some(namespace)) - before
}

#[test]
fn each_packet_is_the_drops_that_it_is_said_to_be() {
    require!(Root, Tool("ip"));
    let pair = VethPair::new();
    let two = [Some(0), None].map(|cpu| Sender { cpu, namespace: Some(&pair.client) });
    let v6 = Flows {
        source: Ipv6Addr::LOCALHOST.into(),
        destination: Ipv6Addr::LOCALHOST.into(),
        ..Flows::to_port(PORT, 50_000)
    };
    for (segment, flows) in [
        (Segment::Rst, Flows::to_port(PORT, 1)),
        (Segment::Rst, Flows::scan()),
        (Segment::Rst, v6.clone()),
        (Segment::Syn, Flows::to_port(PORT, 100_000)),
        (Segment::Syn, v6),
        (Segment::BadChecksum, Flows::to_port(PORT, 3)),
    ] {
        let counts = counted(&pair.client, &storm(&two, segment, flows, 1001));
        let (syn, bad) = (segment == Segment::Syn, segment == Segment::BadChecksum);
        assert_eq!(counts.received + counts.backlog_full, 1001 * segment.drops(), "{segment:?}: {counts:?}");
        assert_eq!(counts.resets_sent, if syn { 1001 } else { 0 }, "{segment:?}: {counts:?}");
        assert_eq!(counts.bad_checksum, if bad { 1001 } else { 0 }, "{segment:?}: {counts:?}");
    }
}

#[test]
fn segments_from_before_the_window_reach_their_connections() {
    require!(Root, Tool("ip"));
    let pair = VethPair::new();
    let sender = Sender { cpu: None, namespace: Some(&pair.client) };
    for flows in
        [Flows::to_port(PORT, 20), Flows { destination: pair.client.v6.into(), ..Flows::to_port(PORT, 2) }]
    {
        let skipped = || pair.client.command("nstat", &["-asz", "TcpExtTCPACKSkippedSeq"], "");
        let before = number_at_end(&skipped());
        counted(&pair.client, &storm(&[sender], Segment::OldSequence, flows.clone(), 1000));
        // The first of each connection is answered, and one more each half second; for the others no ACK is sent.
        let dropped = number_at_end(&skipped()) - before;
        assert!((900..=1000 - u64::from(flows.count)).contains(&dropped), "{dropped} of {flows:?}");
    }
}

/// The count in the last line of nstat, whose columns are name, count and rate.
fn number_at_end(nstat: &str) -> u64 {
    let line = nstat.lines().last().unwrap_or_default();
    let count = line.split_whitespace().nth(1).and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("nstat: {nstat}"))
}

#[test]
fn a_storm_keeps_its_pace_and_its_end() {
    require!(Root, Tool("ip"));
    let pair = VethPair::new();
    let sender = Sender { cpu: None, namespace: Some(&pair.client) };
    let slow =
        Storm { per_second: Some(1000), ..storm(&[sender], Segment::Rst, Flows::to_port(PORT, 1), 500) };
    assert!(blast(&slow).rate() <= 1200.0);
    let short = Storm { at_most: Duration::from_millis(100), packets: u64::MAX, ..slow };
    assert!(blast(&short).packets <= 200);
}

#[test]
fn senders_take_turns_in_the_flows() {
    require!(Root);
    let storm = storm(&[Sender::default(); 2], Segment::Rst, Flows::to_port(PORT, 20), 20);
    let ports = |number| {
        let mut volley = Volley::new(&storm, number, Sender::default());
        volley.batch().iter().map(|packet| packet.bytes()[20..22].to_vec()).collect::<Vec<_>>()
    };
    let [mut all, odd] = [0, 1].map(ports);
    all.extend(odd);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 20);
    assert!(SocketAddr::from(([127, 0, 0, 1], PORT)) == storm.flows.nth(3).destination);
}
