//! Small BPF programs: what each hook does with a verdict, whatever the packet.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a BPF program hooks in.
#[derive(Clone, Copy, Debug)]
pub enum Hook<'a> {
    /// XDP before the stack, on skbs (`generic`) or in the driver.
    Xdp {
        /// Interface.
        interface: u32,
        /// On skbs.
        generic: bool,
    },
    /// A socket filter.
    Socket,
    /// clsact, to be attached by tc.
    Classifier,
    /// An interface, by a link: tcx.
    Tcx {
        /// Interface.
        interface: u32,
        /// On the way out.
        egress: bool,
    },
    /// Sockets of a cgroup.
    Cgroup {
        /// Its folder.
        folder: &'a std::fs::File,
        /// On the way out.
        egress: bool,
    },
    /// A hook of netfilter in the calling thread's namespace.
    Netfilter {
        /// IPv4 or IPv6: `NFPROTO_IPV4`, `NFPROTO_IPV6`.
        family: u32,
        /// `NF_INET_…`.
        hook: u32,
    },
    /// Looking for the socket of a packet, in a network namespace.
    SocketLookup(&'a std::fs::File),
    /// Choosing among sockets that share a port.
    Reuseport,
    /// What sockets of a map receive.
    SocketMap,
    /// A route, to be attached by ip.
    Route {
        /// What is sent, not what is received.
        output: bool,
    },
}

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_SK_SKB_VERDICT: u32 = 38;

impl Hook<'_> {
    /// Kind of program and of attachment (linux/bpf.h).
    fn kinds(self) -> (u32, u32) {
        match self {
            Self::Socket => (1, 0),
            Self::Classifier => (3, 0),
            Self::Tcx { egress, .. } => (3, if egress { 47 } else { 46 }),
            Self::Xdp { .. } => (6, 37),
            Self::Cgroup { egress, .. } => (8, u32::from(egress)),
            Self::Route { output } => (if output { 11 } else { 10 }, 0),
            Self::SocketMap => (14, BPF_SK_SKB_VERDICT),
            Self::Reuseport => (21, 39),
            Self::SocketLookup(_) => (30, 36),
            Self::Netfilter { .. } => (32, 45),
        }
    }

    /// What a link is made with: target, flags, and what follows them; `None` where there is no link.
    fn link(self) -> Option<(u32, u32, [u32; 3])> {
        let descriptor = |file: &std::fs::File| u32::try_from(file.as_raw_fd()).expect("a descriptor");
        match self {
            // XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE
            Self::Xdp { interface, generic } => Some((interface, if generic { 2 } else { 4 }, [0; 3])),
            Self::Tcx { interface, .. } => Some((interface, 0, [0; 3])),
            Self::Cgroup { folder, .. } => Some((descriptor(folder), 0, [0; 3])),
            Self::SocketLookup(namespace) => Some((descriptor(namespace), 0, [0; 3])),
            Self::Netfilter { family, hook } => Some((0, 0, [family, hook, 1])),
            Self::Socket | Self::Classifier | Self::Reuseport | Self::SocketMap | Self::Route { .. } => None,
        }
    }
}

/// A BPF program that returns a number, whatever the packet. It stays attached until dropped.
#[derive(Debug)]
pub struct Program {
    /// The program.
    pub descriptor: OwnedFd,
    _link: Option<OwnedFd>,
}

impl Program {
    /// Loads it, and attaches it where that needs no other tool.
    pub fn returning(verdict: i32, hook: Hook<'_>) -> io::Result<Self> {
        let [low, high] = [verdict & 0xffff, verdict >> 16].map(|half| half.to_le_bytes());
        let code = [
            0xb7, 0x00, 0, 0, low[0], low[1], high[0], high[1], // r0 = verdict
            0x95, 0x00, 0, 0, 0, 0, 0, 0, // exit
        ];
        let (kind, attachment) = hook.kinds();
        let license = c"GPL";
        let mut attributes = Attributes::new();
        attributes.number(0, kind).number(4, 2).pointer(8, code.as_ptr()).pointer(16, license.as_ptr());
        attributes.number(68, attachment);
        let descriptor = attributes.open(BPF_PROG_LOAD)?;
        let link = hook.link().map(|(target, flags, more)| {
            let mut attributes = Attributes::new();
            attributes.descriptor(0, &descriptor).number(4, target).number(8, attachment).number(12, flags);
            attributes.number(16, more[0]).number(20, more[1]).number(24, more[2]);
            attributes.open(BPF_LINK_CREATE)
        });
        Ok(Self { descriptor, _link: link.transpose()? })
    }

    fn pin(&self, path: &Path) -> io::Result<()> {
        let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path without NUL");
        Attributes::new()
            .pointer(0, path.as_ptr())
            .descriptor(8, &self.descriptor)
            .call(BPF_OBJ_PIN)
            .map(drop)
    }
}

/// A map of one socket, and what is done with all that the socket receives.
#[derive(Debug)]
pub struct SocketMap(OwnedFd);

impl SocketMap {
    /// A map for which `verdict` decides.
    pub fn new(verdict: &Program) -> io::Result<Self> {
        const SOCKMAP: u32 = 15;
        let map = Attributes::new()
            .number(0, SOCKMAP)
            .number(4, 4)
            .number(8, 4)
            .number(12, 1)
            .open(BPF_MAP_CREATE)?;
        Attributes::new()
            .descriptor(0, &map)
            .descriptor(4, &verdict.descriptor)
            .number(8, BPF_SK_SKB_VERDICT)
            .call(BPF_PROG_ATTACH)?;
        Ok(Self(map))
    }

    /// Puts a connected socket into it.
    pub fn hold(&self, socket: &impl AsRawFd) -> io::Result<()> {
        let (key, value) = (0u32, socket.as_raw_fd());
        let mut attributes = Attributes::new();
        attributes.descriptor(0, &self.0).pointer(8, &raw const key).pointer(16, &raw const value);
        attributes.call(BPF_MAP_UPDATE_ELEM).map(drop)
    }
}

/// A program with a name by which tools find it; the name is gone when dropped.
#[derive(Debug)]
pub struct Pinned(PathBuf);

impl Pinned {
    /// Names it.
    pub fn new(program: &Program) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = bpf_file_system().join(format!("tcpdrop-zoo-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        program.pin(&path).expect("pin a program");
        Self(path)
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A BPF file system, mounted if need be.
fn bpf_file_system() -> PathBuf {
    static MOUNT: std::sync::Once = std::sync::Once::new();
    let path = PathBuf::from("/sys/fs/bpf");
    MOUNT.call_once(|| {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        if !mounts.lines().any(|line| line.contains(" /sys/fs/bpf bpf ")) {
            let mount = rustix::mount::mount("bpf", &path, "bpf", rustix::mount::MountFlags::empty(), None);
            mount.expect("mount a BPF file system");
        }
    });
    path
}

/// `union bpf_attr` (linux/bpf.h).
struct Attributes([u8; 128]);

impl Attributes {
    fn new() -> Self {
        Self([0; 128])
    }

    fn number(&mut self, at: usize, value: u32) -> &mut Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn descriptor(&mut self, at: usize, file: &impl AsRawFd) -> &mut Self {
        self.number(at, u32::try_from(file.as_raw_fd()).expect("a descriptor"))
    }

    fn pointer<T>(&mut self, at: usize, value: *const T) -> &mut Self {
        self.0[at..at + 8].copy_from_slice(&(value as u64).to_ne_bytes());
        self
    }

    /// For commands that give a new descriptor.
    fn open(&mut self, command: libc::c_int) -> io::Result<OwnedFd> {
        let descriptor = self.call(command)?;
        // SAFETY: these commands give a new descriptor, which is ours.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    fn call(&mut self, command: libc::c_int) -> io::Result<libc::c_int> {
        // SAFETY: the kernel reads and writes the announced 128 bytes; what they point to outlives the call.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), self.0.len()) };
        check(libc::c_int::try_from(result).expect("a descriptor or an error"))
    }
}
