//! The resource: the host that is observed, not the agent.
//!
//! Inside a container the host's name and id are not what the container shows. They are only believed where the
//! kernel's fixed namespace numbers prove that it is the host's own view; elsewhere they are left to the configuration.

use super::semconv;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

/// Inode numbers of the initial namespaces (kernel: `enum init_ns_ino` in `include/uapi/linux/nsfs.h`, before it
/// `include/linux/proc_ns.h`; the same since 3.8).
mod initial_namespace {
    pub(super) const UTS: u64 = 0xEFFF_FFFE;
    pub(super) const PID: u64 = 0xEFFF_FFFC;
    pub(super) const CGROUP: u64 = 0xEFFF_FFFB;
}

/// What the agent sees of the host that it runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostView {
    /// `uname`'s node name.
    pub node_name: Option<String>,
    /// Contents of `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// Inode of the agent's UTS namespace.
    pub uts_namespace: Option<u64>,
    /// Inode of the agent's PID namespace.
    pub pid_namespace: Option<u64>,
    /// Inode of the agent's cgroup namespace.
    pub cgroup_namespace: Option<u64>,
    /// Whether the agent's root directory is that of process 1; `None` without the right to look.
    pub root_is_that_of_init: Option<bool>,
}

impl HostView {
    /// Looks at the host. What cannot be read stays unknown.
    pub fn read() -> Self {
        let inode = |path: &str| std::fs::metadata(path).ok().map(|file| file.ino());
        let place = |path: &str| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        Self {
            node_name: rustix::system::uname().nodename().to_str().ok().map(str::to_owned),
            machine_id: std::fs::read_to_string("/etc/machine-id").ok(),
            uts_namespace: inode("/proc/self/ns/uts"),
            pid_namespace: inode("/proc/self/ns/pid"),
            cgroup_namespace: inode("/proc/self/ns/cgroup"),
            root_is_that_of_init: place("/proc/1/root/").map(|root| Some(root) == place("/")),
        }
    }

    fn host_name(&self) -> Option<&str> {
        let own = self.uts_namespace == Some(initial_namespace::UTS);
        self.node_name.as_deref().filter(|name| own && !name.is_empty())
    }

    /// The file is the host's where the root directory is. With the host's processes in sight, process 1 is the
    /// host's; where its root may not be looked at, a cgroup namespace tells most containers apart.
    fn host_id(&self) -> Option<&str> {
        let sees_host_processes = self.pid_namespace == Some(initial_namespace::PID);
        let in_host_cgroups = self.cgroup_namespace == Some(initial_namespace::CGROUP);
        let own = sees_host_processes && self.root_is_that_of_init.unwrap_or(in_host_cgroups);
        self.machine_id.as_deref().map(str::trim_end).filter(|id| own && is_machine_id(id))
    }
}

/// See machine-id(5); an image that never booted says `uninitialized`.
fn is_machine_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0')
}

/// The resource of drops whose owner is not known. `service_name` is `OTEL_SERVICE_NAME`, `declared` what
/// [`parse_attributes`] made of `OTEL_RESOURCE_ATTRIBUTES`: it fills what is not known and overrides nothing.
pub fn observed_host(
    host: &HostView,
    service_name: Option<&str>,
    declared: &BTreeMap<String, String>,
) -> Resource {
    let known = [
        (semconv::HOST_NAME, host.host_name()),
        (semconv::HOST_ID, host.host_id()),
        (semconv::OS_TYPE, Some("linux")),
        (semconv::SERVICE_NAME, service_name.filter(|name| !name.is_empty())),
        (semconv::TELEMETRY_DISTRO_NAME, Some(semconv::AGENT)),
        (semconv::TELEMETRY_DISTRO_VERSION, Some(semconv::AGENT_VERSION)),
    ];
    let mut attributes = BTreeMap::from([(semconv::SERVICE_NAME, semconv::AGENT)]);
    attributes.extend(declared.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    attributes.extend(known.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let attributes = attributes.into_iter().map(|(name, value)| KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    });
    Resource { attributes: attributes.collect(), ..Resource::default() }
}

/// Why `OTEL_RESOURCE_ATTRIBUTES` cannot be used. The specification wants it ignored as a whole then, and said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedAttributes {
    /// A member is not `key=value`.
    #[error(
        "OTEL_RESOURCE_ATTRIBUTES is ignored: `{0}` is not of the form key=value; members are separated by commas"
    )]
    NoValue(String),
    /// A member has nothing before its `=`.
    #[error("OTEL_RESOURCE_ATTRIBUTES is ignored: `{0}` has no key before the `=`")]
    NoKey(String),
    /// A percent sign is not followed by two hexadecimal digits, or the bytes are not UTF-8.
    #[error(
        "OTEL_RESOURCE_ATTRIBUTES is ignored: `{0}` is not percent-encoded UTF-8; write a percent sign itself as %25"
    )]
    BadEncoding(String),
}

/// Reads `OTEL_RESOURCE_ATTRIBUTES`: `key1=value1,key2=value2`, with keys and values percent-encoded (specification
/// "Resource SDK", "Specifying resource information via an environment variable"). Of a key given twice the last wins.
///
/// # Errors
/// If any part of it is malformed.
pub fn parse_attributes(text: &str) -> Result<BTreeMap<String, String>, MalformedAttributes> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    members.map(parse_member).collect()
}

fn parse_member(member: &str) -> Result<(String, String), MalformedAttributes> {
    let (key, value) =
        member.split_once('=').ok_or_else(|| MalformedAttributes::NoValue(member.to_owned()))?;
    let decode = |text: &str| {
        percent_decode(text.trim()).ok_or_else(|| MalformedAttributes::BadEncoding(member.to_owned()))
    };
    let key = decode(key)?;
    if key.is_empty() {
        return Err(MalformedAttributes::NoKey(member.to_owned()));
    }
    Ok((key, decode(value)?))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MACHINE_ID: &str = "5f1ddc6ac1d94a1aa5bbd9a8e2c1f0de";

    fn on_the_host() -> HostView {
        HostView {
            node_name: Some("web-1".to_owned()),
            machine_id: Some(format!("{MACHINE_ID}\n")),
            uts_namespace: Some(initial_namespace::UTS),
            pid_namespace: Some(initial_namespace::PID),
            cgroup_namespace: Some(initial_namespace::CGROUP),
            root_is_that_of_init: Some(true),
        }
    }

    fn names_and_values(resource: &Resource) -> BTreeMap<&str, &str> {
        let pairs = resource.attributes.iter().map(|attribute| {
            let Some(AnyValue { value: Some(Value::StringValue(value)) }) = &attribute.value else {
                panic!("{attribute:?} is not a string")
            };
            (attribute.key.as_str(), value.as_str())
        });
        pairs.collect()
    }

    #[test]
    fn on_the_host_the_resource_names_it() {
        let resource = observed_host(&on_the_host(), None, &BTreeMap::new());
        let expected = [
            ("host.id", MACHINE_ID),
            ("host.name", "web-1"),
            ("os.type", "linux"),
            ("service.name", "tcpdrop-otel"),
            ("telemetry.distro.name", "tcpdrop-otel"),
            ("telemetry.distro.version", env!("CARGO_PKG_VERSION")),
        ];
        assert_eq!(names_and_values(&resource), BTreeMap::from(expected));
    }

    #[test]
    fn a_containers_own_names_are_not_the_hosts() {
        let other = Some(4_026_532_000);
        let host = on_the_host();
        let container = HostView { uts_namespace: other, pid_namespace: other, ..host.clone() };
        assert_eq!((container.host_name(), container.host_id()), (None, None));
        let with_host_processes = HostView { root_is_that_of_init: Some(false), ..host.clone() };
        assert_eq!(with_host_processes.host_id(), None);
        let nobody_may_look = HostView { root_is_that_of_init: None, ..host.clone() };
        assert_eq!(nobody_may_look.host_id(), Some(MACHINE_ID));
        let nobody_may_look = HostView { cgroup_namespace: other, ..nobody_may_look };
        assert_eq!(nobody_may_look.host_id(), None);
        assert_eq!(HostView::default().host_name(), None);
    }

    #[test]
    fn an_image_that_never_booted_has_no_id() {
        for id in ["uninitialized", "", "00000000000000000000000000000000"] {
            assert_eq!(HostView { machine_id: Some(id.to_owned()), ..on_the_host() }.host_id(), None);
        }
    }

    #[test]
    fn declared_attributes_fill_gaps_and_override_nothing() {
        let declared = parse_attributes("host.name=fake,k8s.node.name=node-7,service.name=edge").unwrap();
        let on_host = observed_host(&on_the_host(), None, &declared);
        let on_host = names_and_values(&on_host);
        assert_eq!(on_host["host.name"], "web-1");
        assert_eq!(on_host["k8s.node.name"], "node-7");
        assert_eq!(on_host["service.name"], "edge");
        let in_container = observed_host(&HostView::default(), Some("agent"), &declared);
        let in_container = names_and_values(&in_container);
        assert_eq!(in_container["host.name"], "fake");
        assert_eq!(in_container["service.name"], "agent");
        let unset = observed_host(&HostView::default(), Some(""), &BTreeMap::new());
        assert_eq!(names_and_values(&unset)["service.name"], "tcpdrop-otel");
    }

    #[test]
    fn attributes_are_percent_decoded() {
        let parsed = parse_attributes(
            " team = net%20ops , path=a%2Cb%3Dc,snow=%E2%98%83,twice=1,twice=2,base64=aa==,empty=,",
        );
        let expected = [
            ("team", "net ops"),
            ("path", "a,b=c"),
            ("snow", "☃"),
            ("twice", "2"),
            ("base64", "aa=="),
            ("empty", ""),
        ];
        assert_eq!(parsed, Ok(expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into()));
        assert_eq!(parse_attributes(""), Ok(BTreeMap::new()));
    }

    #[test]
    fn one_malformed_member_spoils_the_whole() {
        use MalformedAttributes::{BadEncoding, NoKey, NoValue};
        assert_eq!(parse_attributes("a=1,b"), Err(NoValue("b".to_owned())));
        assert_eq!(parse_attributes("a=1,=b"), Err(NoKey("=b".to_owned())));
        for member in ["b=%", "b=%4", "b=%zz", "b=%+1", "b=%ff", "b=%é"] {
            assert_eq!(parse_attributes(&format!("a=1,{member}")), Err(BadEncoding(member.to_owned())));
        }
    }
}
