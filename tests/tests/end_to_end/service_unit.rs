//! `packaging/systemd/tcpdrop-otel.service` gives the agent the rights that it needs.

use crate::checks::{CLOSED_PORT, assert_drop_record, dropped_in};
use std::os::unix::net::UnixDatagram;
use tcpdrop_otel_tests::agent::Options;
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::VethPair;
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::PATIENCE;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd/tcpdrop-otel.service");

#[test]
fn the_unit_s_capabilities_are_enough_for_an_ordinary_user() {
    require!(Root, Btf, Tool("ip"), Tool("setpriv"), Collector);
    let unit = std::fs::read_to_string(UNIT).expect("read the unit");
    let capabilities = setting(&unit, "AmbientCapabilities");
    assert_eq!(capabilities, setting(&unit, "CapabilityBoundingSet"));
    let pair = VethPair::new();
    let collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint()).with_only(&capabilities).start();

    pair.client.connect_refused((pair.server.v4, CLOSED_PORT).into(), 1);

    let ours = collector.records_for(1, |record| dropped_in(&record.attributes, &pair.server, "NO_SOCKET"));
    ours.iter().for_each(assert_drop_record);
    assert!(agent.terminate().status.success());
}

#[test]
fn the_service_manager_is_told_of_start_and_end() {
    require!(Root, Btf, Collector);
    let unit = std::fs::read_to_string(UNIT).expect("read the unit");
    assert_eq!(setting(&unit, "Type"), ["notify"]);
    let folder = tempfile::tempdir().expect("make a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("bind");
    manager.set_read_timeout(Some(PATIENCE)).expect("set a limit");
    let told = || {
        let mut message = [0; 64];
        let length = manager.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let collector = Collector::start();
    let agent =
        Options::new(&collector.http_endpoint()).env("NOTIFY_SOCKET", &path.to_string_lossy()).start();

    assert_eq!(told(), "READY=1");
    assert!(agent.terminate().status.success());
    assert_eq!(told(), "STOPPING=1");
}

fn setting<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let value = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in the unit")).split_whitespace().collect()
}
