//! The drop reasons of a kernel, as its BTF has them.
//!
//! Numbers below 2^16 are those of `enum skb_drop_reason`. In others the high 16 bits name a subsystem
//! (`enum skb_drop_reason_subsys`, include/net/dropreason.h), and the whole is in an enum of the subsystem's own, which may
//! lie in a module's BTF: `ovs_drop_reason`, `mac80211_drop_reason`, `qdisc_drop_reason`.

use super::Btf;
use std::collections::BTreeMap;

/// What all enums of drop reasons end in.
const ENUM_NAME: &str = "drop_reason";
const PREFIX: &str = "SKB_DROP_REASON_";
const SUBSYSTEM_PREFIX: &str = "SKB_DROP_REASON_SUBSYS_";
/// What stands between a subsystem's own prefix and the name: `OVS_DROP_METER`.
const OWN_PREFIX_END: &str = "DROP_";

/// Names of subsystems, by the high 16 bits of their reasons. Empty before 6.4.
pub type Subsystems = BTreeMap<u32, String>;

/// Names of drop reasons, by number.
pub type Names = BTreeMap<u32, String>;

/// Whether the reason `code` is one of a subsystem.
pub fn is_of_subsystem(code: u32) -> bool {
    code >> 16 != 0
}

/// The subsystems that the kernel with the BTF `kernel` knows.
pub fn subsystems(kernel: &Btf) -> Subsystems {
    let members = kernel.enum_members("skb_drop_reason_subsys").unwrap_or_default().into_iter();
    let named = members.filter_map(|(name, value)| {
        let name = name.strip_prefix(SUBSYSTEM_PREFIX)?;
        let number = u32::from(u16::try_from(value).ok()?);
        Some((number, name.to_owned())).filter(|_| number != 0 && name != "NUM")
    });
    named.collect()
}

/// The drop reasons of the kernel's core, without `SKB_DROP_REASON_`. What no dropped packet has is left out: the marks
/// for "not dropped" and "consumed", and the bounds of the enum. Empty before 5.17.
pub fn of_core(kernel: &Btf) -> Names {
    let members = kernel.enum_members("skb_drop_reason").unwrap_or_default().into_iter();
    let named = members.filter_map(|(name, value)| {
        let name = name.strip_prefix(PREFIX)?;
        let is_bound = matches!(name, "MAX" | "SUBSYS_MASK");
        Some((u32::try_from(value).ok()?, name.to_owned())).filter(|_| !is_bound)
    });
    named.collect()
}

/// The drop reasons of subsystems that `btf` has, the kernel's or a module's: the subsystem's name, then the kernel's
/// name after `DROP_`: `OPENVSWITCH_METER` for `OVS_DROP_METER`.
pub fn of_subsystems(btf: &Btf, subsystems: &Subsystems) -> Names {
    let mut names = Names::new();
    for (name, value) in btf.enums_ending_in(ENUM_NAME) {
        let Some(code) = u32::try_from(value).ok().filter(|&code| is_of_subsystem(code)) else { continue };
        // Marks of where the subsystem's numbers begin and end.
        let is_bound = name.starts_with("__") || name.ends_with("_MAX") || name.starts_with(PREFIX);
        if let Some(subsystem) = subsystems.get(&(code >> 16)).filter(|_| !is_bound) {
            let own = name.split_once(OWN_PREFIX_END).map_or(name.as_str(), |(_, own)| own);
            names.entry(code).or_insert_with(|| format!("{subsystem}_{own}"));
        }
    }
    names
}
