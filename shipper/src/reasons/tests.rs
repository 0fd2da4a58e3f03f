use super::names::ReasonNames;
use super::*;
use std::collections::BTreeSet;

#[test]
fn no_reason_is_there_twice_and_every_family_is() {
    let mut seen = BTreeSet::new();
    assert_eq!(all().map(|reason| reason.name).find(|name| !seen.insert(*name)), None);
    assert!(FAMILIES.iter().all(|family| seen.contains(family)));
}

#[test]
fn every_reason_of_this_kernel_is_explained() {
    let Ok(names) = ReasonNames::read() else {
        println!("skipped: no {}", crate::btf::KERNEL_BTF);
        return;
    };
    let unexplained: Vec<_> = names.all().into_values().filter(|name| find(name).is_none()).collect();
    assert_eq!(unexplained, [""; 0]);
}

/// Names of counters are checked against this kernel's own, as `nstat` shows them.
#[test]
fn counters_that_are_named_exist() {
    let Some(counters) = counters() else {
        println!("skipped: no counters in /proc/net");
        return;
    };
    if crate::cli::kernel_release().split(['.', '-']).next().is_none_or(|major| major < "6") {
        println!("skipped: older kernels lack some of the counters");
        return;
    }
    let texts = all().flat_map(|reason| reason.look.iter().map(move |look| (reason.name, *look)));
    let named = texts.flat_map(|(reason, look)| {
        let commands = look.split('`').filter_map(|command| command.strip_prefix("nstat -az "));
        commands.flat_map(str::split_whitespace).map(move |counter| (reason, counter))
    });
    let missing: Vec<_> = named.filter(|(_, counter)| !counters.contains(*counter)).collect();
    assert_eq!(missing, []);
}

fn counters() -> Option<BTreeSet<String>> {
    let mut counters = BTreeSet::new();
    for file in ["/proc/net/snmp", "/proc/net/netstat"] {
        for line in std::fs::read_to_string(file).ok()?.lines() {
            let (group, names) = line.split_once(": ")?;
            counters.extend(names.split(' ').map(|name| format!("{group}{name}")));
        }
    }
    let v6 = std::fs::read_to_string("/proc/net/snmp6").ok()?;
    counters.extend(v6.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned));
    Some(counters)
}

#[test]
fn texts_are_sentences_without_markup_that_would_break_a_table() {
    for reason in all() {
        let sentences = std::iter::once(&reason.meaning).chain(reason.causes);
        for text in sentences.clone().chain(reason.look) {
            assert_eq!(text.matches('`').count() % 2, 0, "{text}");
            assert!(!text.contains('\n') && !text.contains("  "), "{text}");
        }
        for sentence in sentences {
            assert!(sentence.ends_with('.'), "{}: {sentence}", reason.name);
        }
    }
}

#[test]
fn a_class_is_from_the_reason_else_from_the_site() {
    let of = |class, source| Some(Classified { class, source });
    let site = Some("nf_hook_slow");
    assert_eq!(classify(Cause::Named("NO_SOCKET"), site, None), of(Class::NoListener, ClassSource::Reason));
    assert_eq!(
        classify(Cause::of(Some(2), Some("NOT_SPECIFIED")), site, None),
        of(Class::Netfilter, ClassSource::Site)
    );
    assert_eq!(classify(Cause::of(None, None), site, None), of(Class::Netfilter, ClassSource::Site));
    assert_eq!(classify(Cause::of(Some(999), None), site, None), None, "a reason without a name");
    assert_eq!(classify(Cause::Named("NEWER_THAN_THIS"), site, None), None);
    assert_eq!(classify(Cause::Untold, None, None), None);
}

#[test]
fn a_site_corrects_a_reason_that_means_something_else_there() {
    let class =
        |reason, site| classify(Cause::Named(reason), Some(site), None).map(|classified| classified.class);
    assert_eq!(class("NO_SOCKET", "tcp_v4_rcv"), Some(Class::NoListener));
    assert_eq!(class("NO_SOCKET", "cookie_v4_check"), Some(Class::QueueFull));
    assert_eq!(class("IP_INHDR", "ip_rcv_core"), Some(Class::Malformed));
    assert_eq!(class("IP_INHDR", "ip6_forward"), Some(Class::Routing));
}

#[test]
fn a_family_explains_all_its_reasons() {
    assert_eq!(find("MAC80211_UNUSABLE_U_MIC_FAIL").unwrap().name, "MAC80211_UNUSABLE");
    assert_eq!(find("MAC80211_"), None);
    assert_eq!(find("NO_SOCKET_"), None);
}
