//! The columns of the table: what a record tells, one thing each.

use crate::otlp_json::{Attributes, LogRecord};

/// A column of the table: one thing that a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Field {
    Reason,
    Site,
    Class,
    Severity,
    Netns,
    Interface,
    Direction,
    Source,
    Destination,
    Ends,
    Type,
    Encapsulated,
    Flags,
    Seq,
    Ack,
    Window,
    Size,
    Segments,
    Socket,
    Cookie,
    Count,
    Kernel,
}

impl Field {
    /// All, in the order of the columns.
    pub const ALL: [Self; 22] = [
        Self::Reason,
        Self::Site,
        Self::Class,
        Self::Severity,
        Self::Netns,
        Self::Interface,
        Self::Direction,
        Self::Source,
        Self::Destination,
        Self::Ends,
        Self::Type,
        Self::Encapsulated,
        Self::Flags,
        Self::Seq,
        Self::Ack,
        Self::Window,
        Self::Size,
        Self::Segments,
        Self::Socket,
        Self::Cookie,
        Self::Count,
        Self::Kernel,
    ];

    /// What a record says; `None`: nothing. [`Field::Count`] and [`Field::Kernel`] are of all records together.
    pub(super) fn of(self, record: &LogRecord) -> Option<String> {
        let attributes = &record.attributes;
        let text = |name| attributes.text(name).map(str::to_owned);
        let number = |name| attributes.number(name).map(|value| value.to_string());
        match self {
            Self::Reason => text("tcpdrop.reason"),
            Self::Site => text("code.function.name"),
            Self::Class => ends(text("tcpdrop.class"), text("tcpdrop.class_source")),
            Self::Severity => Some(record.severity_text.clone()),
            Self::Netns => netns(attributes),
            Self::Interface => interface(attributes),
            Self::Direction => direction(attributes),
            Self::Source => end(attributes, "source"),
            Self::Destination => end(attributes, "destination"),
            Self::Ends => ends(end(attributes, "network.local"), end(attributes, "network.peer")),
            Self::Type => text("network.type"),
            Self::Encapsulated => text("tcpdrop.packet.encapsulated"),
            Self::Flags => number("tcpdrop.tcp.flags_bits"),
            Self::Seq => number("tcpdrop.tcp.seq"),
            Self::Ack => number("tcpdrop.tcp.ack"),
            Self::Window => number("tcpdrop.tcp.window"),
            Self::Size => number("tcpdrop.packet.size"),
            Self::Segments => number("tcpdrop.packet.segments"),
            Self::Socket => ends(text("tcpdrop.socket.kind"), text("network.connection.state")),
            Self::Cookie => text("tcpdrop.socket.cookie"),
            Self::Count | Self::Kernel => None,
        }
    }
}

fn netns(attributes: &Attributes) -> Option<String> {
    let cookie = attributes.text("tcpdrop.netns_cookie").unwrap_or("-");
    Some(format!("{} {cookie}", attributes.text("tcpdrop.netns")?))
}

fn interface(attributes: &Attributes) -> Option<String> {
    let name = attributes.text("network.interface.name");
    let index = attributes.number("tcpdrop.interface.index");
    match (name, index) {
        (None, None) => None,
        (name, index) => Some(format!(
            "{}#{}",
            name.unwrap_or("?"),
            index.map_or("?".to_owned(), |index| index.to_string())
        )),
    }
}

/// Both attributes have to agree: the conventions' one knows no forwarding.
fn direction(attributes: &Attributes) -> Option<String> {
    let direction = attributes.text("tcpdrop.direction")?;
    let conventional = attributes.text("network.io.direction");
    let agree = match direction {
        "receive" | "transmit" => conventional == Some(direction),
        _ => conventional.is_none(),
    };
    Some(if agree { direction.to_owned() } else { format!("{direction} but {conventional:?}") })
}

fn end(attributes: &Attributes, role: &str) -> Option<String> {
    let address = attributes.text(&format!("{role}.address"))?;
    Some(match attributes.number(&format!("{role}.port")) {
        Some(port) => format!("{address} {port}"),
        None => address.to_owned(),
    })
}

fn ends(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (None, None) => None,
        (one, other) => Some(format!("{} / {}", one.unwrap_or_default(), other.unwrap_or_default())),
    }
}
