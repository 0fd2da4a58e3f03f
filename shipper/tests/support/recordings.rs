//! Recordings that tests keep.
#![allow(dead_code, unreachable_pub)]

use tcpdrop_otel::recording::Reader;

/// Whether files are to be made anew.
pub fn blessing() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

/// The recording without what names the machine that it was made on.
pub fn neutral(recording: &[u8]) -> Vec<u8> {
    let reader = Reader::new(recording).unwrap();
    let mut header = reader.header().clone();
    header.kernel = header.kernel.split('-').next().unwrap().to_owned();
    header.resource.attributes.retain(|attribute| !attribute.key.starts_with("host."));
    let mut neutral = serde_json::to_vec(&header).unwrap();
    neutral.extend_from_slice(&recording[reader.header_text().len()..]);
    neutral
}
