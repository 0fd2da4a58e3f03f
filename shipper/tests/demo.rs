//! The recording that `demo` shows where no drop can be made. `BLESS=1` makes it anew, which needs root.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "support/command.rs"]
mod command;
#[path = "support/recordings.rs"]
mod recordings;

use command::{Rights, run};
use recordings::neutral;
use std::path::Path;
use tcpdrop_otel::cli::demo;
use tcpdrop_otel::config::Config;
use tcpdrop_otel::recording::Reader;
use tcpdrop_otel::recording::format::Line;
use tcpdrop_otel::recording::reader::Item;
use tcpdrop_otel::wire;

#[test]
fn the_bundled_recording_is_a_refused_syn_with_all_its_names() {
    if recordings::blessing() {
        let capture = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(demo::capture(&Config::default())).unwrap()
        };
        // The thread's name is in the recording.
        let thread = std::thread::Builder::new().name("tcpdrop-otel".to_owned()).spawn(capture).unwrap();
        let (recording, _) = thread.join().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo_recording.jsonl");
        std::fs::write(path, neutral(&recording)).unwrap();
        return;
    }
    let mut reader = Reader::new(demo::BUNDLED.as_bytes()).unwrap();
    let mut drops = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Line(Line::Event(event)) => drops.push(wire::decode(&event.0).unwrap()),
            Item::Line(_) => {}
            Item::CutShort => panic!("it is cut short"),
        }
    }
    let [drop] = &drops[..] else { panic!("{drops:?}") };
    assert_eq!(drop.tcp.unwrap().flags.names().collect::<Vec<_>>(), ["SYN"]);
    assert_eq!(drop.interface_name.as_deref(), Some("lo"));
    assert!(!demo::BUNDLED.contains("host.name"));
}

#[test]
fn without_rights_it_shows_the_recording_and_says_why() {
    let Some(shown) = run(&["demo"], Rights::None) else { return };
    assert_eq!(shown.status, 0, "{shown:?}");
    for part in ["CAP_BPF", "recorded on Linux", "(SYN) NO_SOCKET\n\ttcp_v4_rcv+", "tcpdrop.packet.dropped"] {
        assert!(shown.out.contains(part), "{part}: {shown:?}");
    }
    let json = run(&["demo", "--json"], Rights::None).unwrap();
    assert_eq!(json.out.lines().count(), 1, "{json:?}");
    assert!(
        json.out.starts_with("{\"resourceLogs\":") && json.error.contains("recorded on Linux"),
        "{json:?}"
    );
}
