//! Which network namespace is the host's: the initial one. It is proved or refused, never assumed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Inode of the initial PID namespace: `PID_NS_INIT_INO` in the kernel's `include/uapi/linux/nsfs.h`, fixed since 3.8.
const INITIAL_PID_NAMESPACE: u32 = 0xEFFF_FFFC;

/// A setting that only processes in the initial network namespace see (`net_core_table`, net/core/sysctl_net_core.c).
const HOST_ONLY_SETTING: &str = "sys/net/core/netdev_max_backlog";

/// Why a namespace that a filter names is not known.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// It is in a container of its own, and sees no other.
    #[error(
        "filter: which network namespace is the host's cannot be told from here: the agent has a network namespace and a PID \
         namespace of its own. Run it in the host's network (`hostNetwork: true`, `--network host`) or with its processes \
         (`hostPID: true`, `--pid host`), or give the inode number that `readlink /proc/1/ns/net` shows on the host \
         instead of \"host\""
    )]
    InContainer,
    /// It sees the host's first process, but may not ask about it.
    #[error(
        "filter: which network namespace is the host's cannot be told: /proc/1/ns/net cannot be read ({0}). Run the agent in \
         the host's network, or with the capability CAP_SYS_PTRACE, or give the inode number that `readlink /proc/1/ns/net` \
         shows on the host instead of \"host\""
    )]
    Unreadable(io::Error),
}

/// Inode of the host's network namespace.
///
/// # Errors
/// If this cannot be proved from where the agent runs.
pub fn host() -> Result<u32, NamespaceError> {
    host_by(Path::new("/proc"))
}

fn host_by(proc: &Path) -> Result<u32, NamespaceError> {
    if proc.join(HOST_ONLY_SETTING).exists()
        && let Ok(own) = inode(&proc.join("thread-self/ns/net"))
    {
        return Ok(own);
    }
    if inode(&proc.join("thread-self/ns/pid")).ok() != Some(INITIAL_PID_NAMESPACE) {
        return Err(NamespaceError::InContainer);
    }
    inode(&proc.join("1/ns/net")).map_err(NamespaceError::Unreadable)
}

fn inode(path: &Path) -> io::Result<u32> {
    u32::try_from(std::fs::metadata(path)?.ino()).map_err(io::Error::other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A `/proc` with these files; their inode numbers are whatever they are.
    fn proc_with(files: &[&str]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for file in files {
            let path = proc.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        proc
    }

    #[test]
    fn the_own_namespace_is_the_hosts_where_the_hosts_settings_show() {
        let proc = proc_with(&[HOST_ONLY_SETTING, "thread-self/ns/net"]);
        let own = std::fs::metadata(proc.path().join("thread-self/ns/net")).unwrap().ino();
        // Some file systems have larger numbers.
        assert_eq!(host_by(proc.path()).ok(), u32::try_from(own).ok());
    }

    #[test]
    fn a_container_does_not_take_its_first_process_for_the_hosts() {
        let proc = proc_with(&["thread-self/ns/net", "thread-self/ns/pid", "1/ns/net"]);
        assert!(matches!(host_by(proc.path()), Err(NamespaceError::InContainer)));
    }
}
