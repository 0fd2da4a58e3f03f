//! Drop reasons: what this kernel calls them ([`names`]), what they mean (the catalogue, of all that kernels from 5.17 on
//! have), and what kind of cause they are ([`Class`]), which drop sites may imply too.

mod catalogue;
mod class;
pub mod names;
mod site;

pub use class::{Class, ClassSource, Classified};

use crate::packet_drop::PacketDrop;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The prefix of the kernel's names, which records leave out.
pub const PREFIX: &str = "SKB_DROP_REASON_";

/// A drop reason, explained.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its name, as records carry it; where reasons share a beginning, that.
    pub name: &'static str,
    /// What kind of cause it is; `None` if it does not tell.
    pub class: Option<Class>,
    /// What happened.
    pub meaning: &'static str,
    /// Why that happens, the usual first.
    pub causes: &'static [&'static str],
    /// What to look at next: counters, settings, commands.
    pub look: &'static [&'static str],
}

/// Subsystems whose reasons are explained by one entry.
const FAMILIES: [&str; 2] = ["MAC80211_UNUSABLE", "MAC80211_MONITOR"];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Reason>> =
    LazyLock::new(|| all().map(|reason| (reason.name, reason)).collect());

/// All entries, by subject.
pub fn all() -> impl Iterator<Item = &'static Reason> {
    catalogue::PARTS.into_iter().flatten()
}

/// The entry for the reason `name`, as records carry it.
pub fn find(name: &str) -> Option<&'static Reason> {
    let family = || FAMILIES.into_iter().find(|family| name.starts_with(&format!("{family}_")));
    BY_NAME.get(name).or_else(|| BY_NAME.get(family()?)).copied()
}

/// How subsystems begin the names of their reasons in the kernel, and how records do.
const ALIASES: [(&str, &str); 4] = [
    ("OVS_DROP_", "OPENVSWITCH_"),
    ("QDISC_DROP_", "QDISC_"),
    ("RX_DROP_U_", "MAC80211_UNUSABLE_U_"),
    ("RX_DROP_M_", "MAC80211_MONITOR_M_"),
];

/// The form that records carry of a name as people write it: in any case, with the kernel's prefix or without.
pub fn canonical(name: &str) -> String {
    let name = name.trim().to_ascii_uppercase();
    let alias = |(theirs, ours)| Some(format!("{ours}{}", name.strip_prefix(theirs)?));
    match name.strip_prefix(PREFIX) {
        Some(name) => name.to_owned(),
        None => ALIASES.into_iter().find_map(alias).unwrap_or(name),
    }
}

/// What the kernel says about why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// The reason with this name.
    Named(&'a str),
    /// A reason without a name.
    Unnamed,
    /// Nothing: it has no reasons, or gives none there.
    Untold,
}

impl<'a> Cause<'a> {
    /// What number and name of a reason say.
    pub fn of(code: Option<u32>, name: Option<&'a str>) -> Self {
        match (code, name) {
            (_, Some("NOT_SPECIFIED")) | (None, None) => Self::Untold,
            (_, Some(name)) => Self::Named(name),
            (Some(_), None) => Self::Unnamed,
        }
    }
}

/// What kind of cause a drop has: what its reason says, else what its site implies, or corrects. `packet` is one of the drops, where
/// there is one.
pub fn classify(cause: Cause, site: Option<&str>, packet: Option<&PacketDrop>) -> Option<Classified> {
    let classified = |source| move |class| Classified { class, source };
    match cause {
        Cause::Named(reason) => site::exception(reason, site)
            .map(classified(ClassSource::Site))
            .or_else(|| find(reason)?.class.map(classified(ClassSource::Reason))),
        // It is a reason, and the site might contradict it.
        Cause::Unnamed => None,
        Cause::Untold => site::class(site?, packet).map(classified(ClassSource::Site)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
