//! The lines of a recording, each a JSON object. Numbers that JSON readers would round (addresses) are hexadecimal text.

use super::layout::Layout;
use crate::drop_report::UnixNanos;
use crate::enrich::clock::WallClock;
use crate::ledger::KernelCounts;
use crate::packet_drop::BootTime;
use crate::probe::SiteCount;
use crate::stack::Cut;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Version of the format that is written. Readers refuse any other.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub tcpdrop_otel_recording: u32,
    /// Version of the program that wrote it.
    pub agent: String,
    /// Release of the recorded kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Byte order of the events: `little` or `big`.
    pub byte_order: String,
    /// Where the fields of an event are.
    pub event: Layout,
    /// What the records are about.
    pub resource: Resource,
    /// The clocks at the start.
    #[serde(flatten)]
    pub clock: Clock,
}

impl Header {
    /// The header of a recording by this program on this machine, started at `clock`.
    pub fn new(kernel: String, resource: Resource, clock: Clock) -> Self {
        Self {
            tcpdrop_otel_recording: VERSION,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            kernel,
            byte_order: native_byte_order().to_owned(),
            event: Layout::own(),
            resource,
            clock,
        }
    }
}

/// As [`Header::byte_order`] names it.
pub fn native_byte_order() -> &'static str {
    if cfg!(target_endian = "little") { "little" } else { "big" }
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The kernel's boot clock, in nanoseconds.
    pub boot_ns: u64,
    /// Time since the Unix epoch, in nanoseconds.
    pub unix_ns: u64,
}

impl Clock {
    /// Reads the clocks.
    pub fn read() -> Self {
        let boot = crate::enrich::clock::boot_now();
        Self { boot_ns: boot.0, unix_ns: WallClock::read().at(boot).0 }
    }

    /// When the boot clock shows `boot`, and no clock was set since.
    pub fn at(self, boot: BootTime) -> Self {
        Self { boot_ns: boot.0, unix_ns: self.wall_clock().at(boot).0 }
    }

    /// The same for enrichment.
    pub fn wall_clock(self) -> WallClock {
        WallClock::fixed(BootTime(self.boot_ns), UnixNanos(self.unix_ns))
    }
}

/// Any line but the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The name of a drop reason. Before the first event that has it.
    Reason {
        /// Its number in this kernel.
        code: u32,
        /// Without `SKB_DROP_REASON_`.
        name: String,
    },
    /// The function that an address lies in. Before the first event that has it.
    Symbol {
        /// Return address or drop site.
        address: Address,
        /// Bare name.
        name: String,
        /// Bytes from the function's start.
        offset: u64,
    },
    /// Stacks are cut at an address. Before the first event that has it.
    Cut {
        /// Return address.
        address: Address,
        /// Why.
        kind: Cut,
    },
    /// The clocks again, because the wall clock was set.
    Clock(Clock),
    /// An event as it was in the ring.
    Event(Bytes),
    /// The last line.
    End(End),
}

/// The last line: how the recording ended, and what the kernel counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The clocks at the end.
    #[serde(flatten)]
    pub clock: Clock,
    /// Events in the file.
    pub events: u64,
    /// Events that came while it ended, and are not in the file.
    #[serde(default)]
    pub left_out: u64,
    /// The kernel's side of the ledger.
    #[serde(default)]
    pub kernel: KernelCounts,
    /// Drops without detail.
    #[serde(default)]
    pub sites: Vec<Site>,
}

/// A drop site and reason with drops that have no detail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Address of the site; absent for those that found no room in the kernel's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Drop reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<u32>,
    /// Over budget.
    pub suppressed: u64,
    /// The ring was full.
    pub ring_lost: u64,
}

impl From<&SiteCount> for Site {
    fn from(count: &SiteCount) -> Self {
        Self {
            address: count.site.map(Address),
            reason: count.reason,
            suppressed: count.suppressed,
            ring_lost: count.ring_lost,
        }
    }
}

impl From<&Site> for SiteCount {
    fn from(site: &Site) -> Self {
        Self {
            site: site.address.map(|address| address.0),
            reason: site.reason,
            suppressed: site.suppressed,
            ring_lost: site.ring_lost,
            ..Self::default()
        }
    }
}

/// An address of the kernel, in 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub u64);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let address = u64::from_str_radix(&text, 16).ok().filter(|_| digits);
        address
            .map(Address)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no address of up to 16 hexadecimal digits")))
    }
}

/// Bytes, two hexadecimal digits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits =
            |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[digit as usize]));
        serializer.serialize_str(&self.0.iter().flat_map(digits).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text)
            .map(Bytes)
            .ok_or_else(|| D::Error::custom("an event is not in pairs of hexadecimal digits"))
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks();
    let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
    bytes.collect::<Option<_>>().filter(|_| rest.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = serde_json::to_string(&Bytes(bytes.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap().0, bytes);
        for bad in ["f", "zz", "é0", "+1"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_are_up_to_sixteen_digits() {
        let read = |text: &str| serde_json::from_str::<Address>(&format!("{text:?}")).ok();
        assert_eq!(read("ffffffff81000000"), Some(Address(0xffff_ffff_8100_0000)));
        assert_eq!(serde_json::to_string(&Address(16)).unwrap(), "\"0000000000000010\"");
        for bad in ["", "+1", "0x1", "11111111111111111", "g"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
