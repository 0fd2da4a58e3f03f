//! The recording that `demo` shows where no drop can be made. `BLESS=1` makes it anew, which needs root.
#![allow(clippy::unwrap_used)]

mod skip;

use skip::skip;
use std::process::Command;
use tcpdrop_otel::cli::demo;
use tcpdrop_otel::config::Config;
use tcpdrop_otel::recording::Recording;
use tcpdrop_otel::wire;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/demo_recording.json");

#[tokio::test]
async fn the_bundled_recording_is_a_refused_syn_with_all_its_names() {
    if std::env::var_os("BLESS").is_some() {
        let (mut recording, _) = demo::capture(&Config::default()).await.unwrap();
        recording.kernel = recording.kernel.split('-').next().unwrap().to_owned();
        std::fs::write(PATH, serde_json::to_string_pretty(&recording).unwrap() + "\n").unwrap();
    }
    let recording: Recording = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    let [event] = recording.events().collect::<Vec<_>>().try_into().unwrap();
    let drop = wire::decode(&event.unwrap()).unwrap();
    assert_eq!(drop.tcp.unwrap().flags.names().collect::<Vec<_>>(), ["SYN"]);
    assert_eq!(drop.interface_name.as_deref(), Some("lo"));
    let enricher = recording.enricher();
    assert_eq!(enricher.reasons.name(drop.reason.unwrap()).as_deref(), Some("NO_SOCKET"));
    assert_eq!(&*enricher.symbols.resolve(drop.site).unwrap().name, "tcp_v4_rcv");
}

#[test]
fn without_rights_it_shows_the_recording_and_says_why() {
    let Ok(version) = Command::new("setpriv").arg("--version").output() else {
        return skip("needs the command setpriv");
    };
    assert!(version.status.success());
    let as_root = rustix::process::geteuid().is_root();
    let mut command = if as_root { Command::new("setpriv") } else { Command::new("env") };
    if as_root {
        // The program may lie where only root can look: capabilities are dropped, the user stays.
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
    }
    let output = command.args([env!("CARGO_BIN_EXE_tcpdrop-otel"), "demo"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("CAP_BPF"), "{text}");
    assert!(text.contains("a drop that was recorded"), "{text}");
    assert!(text.contains("(SYN) NO_SOCKET\n\ttcp_v4_rcv+"), "{text}");
    assert!(text.contains("tcpdrop.packet.dropped"), "{text}");
}
