//! Drops that this kernel really made, through the whole pipeline, compared with files that people have read.
//! `BLESS=1` makes the recording and those files anew, which needs root, `ip` and `nft`.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "golden/blessed.rs"]
mod blessed;
#[path = "support/command.rs"]
mod command;
#[path = "support/recordings.rs"]
mod recordings;

use blessed::assert_blessed;
use command::{Rights, run};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tcpdrop_otel::config::model;
use tcpdrop_otel::enrich::symbols::KernelSymbols;
use tcpdrop_otel::probe::Probe;
use tcpdrop_otel::reasons::names::ReasonNames;
use tcpdrop_otel::recording::{Clock, Header, Known, Recorder};
use tcpdrop_otel::wire;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/loopback.jsonl")
}

#[test]
fn a_recording_gives_the_same_otlp_on_every_machine() {
    if recordings::blessing() {
        std::fs::write(path(), recordings::neutral(&record())).unwrap();
    }
    let path = path();
    let file = path.to_str().unwrap();
    let once = run(&["replay", "--json", file], Rights::None).unwrap();
    assert_eq!((once.status, once.error.as_str()), (0, ""));
    let again = run(&["replay", "--json", file], Rights::Own).unwrap();
    assert_eq!(once.out, again.out);
    assert_blessed("tests/recordings/loopback.otlp.jsonl", &once.out);
    for part in ["NO_SOCKET", "NETFILTER_DROP", "established", "::1", "transmit", "resourceSpans"] {
        assert!(once.out.contains(&format!("\"{part}\"")), "{part}");
    }
}

/// Two knocks at closed ports of each family and segments of a connection that nftables drops, in a namespace of its own.
fn record() -> Vec<u8> {
    let work = || {
        // SAFETY: the thread shares no file descriptor table that this would part.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        succeed(Command::new("ip").args(["link", "set", "lo", "up"]), "");
        record_here()
    };
    // The thread's name is in the recording.
    std::thread::Builder::new().name("client".to_owned()).spawn(work).unwrap().join().unwrap()
}

fn record_here() -> Vec<u8> {
    let mut probe = Probe::load(&model::Probe::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut ring = {
        let _context = runtime.enter();
        probe.take_ring().unwrap().unwrap()
    };
    let reasons: ReasonNames = probe.reason_names().clone();
    let symbols = KernelSymbols::default();
    let boundaries = probe.boundaries().clone();
    let header = Header::new(
        tcpdrop_otel::cli::kernel_release(),
        tcpdrop_otel::cli::observed_resource(),
        Clock::read(),
    );
    let known = Known { reasons: &reasons, symbols: &symbols, boundaries: &boundaries };
    let mut recorder = Recorder::start(Vec::new(), &header, known).unwrap();
    probe.attach().unwrap();
    make_drops();
    probe.detach().unwrap();
    let own = u32::try_from(std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino()).unwrap();
    // Of other drops of the machine nothing is kept.
    ring.drain(10_000, |event| {
        let namespace = wire::decode(event).unwrap().network_namespace;
        if namespace.is_some_and(|namespace| namespace.inode == own) {
            recorder.event(event).unwrap();
        }
    });
    recorder.finish(Clock::read(), 0, Default::default(), &[]).unwrap()
}

fn make_drops() {
    for address in ["127.0.0.1:9", "127.0.0.1:9", "[::1]:9", "[::1]:9"] {
        TcpStream::connect(address).unwrap_err();
    }
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let mut client = TcpStream::connect("127.0.0.1:8080").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    // On loopback only what leaves has its socket with it: there is no early demux.
    for hook in ["input", "output"] {
        let chain = format!("chain c {{ type filter hook {hook} priority 0; tcp dport 8080 drop; }}");
        succeed(Command::new("nft").args(["-f", "-"]), &format!("table inet t {{ {chain}; }}"));
        client.write_all(b"late").unwrap();
        std::thread::sleep(Duration::from_millis(700));
        succeed(Command::new("nft").args(["delete", "table", "inet", "t"]), "");
        server.read_exact(&mut [0; 4]).unwrap();
    }
}

fn succeed(command: &mut Command, input: &str) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
}
