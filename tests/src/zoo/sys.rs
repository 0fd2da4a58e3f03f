//! What the kernel offers that the standard library and rustix do not: packet and raw sockets, odd socket options, small
//! BPF programs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn size_of_type<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("a small type")
}

fn socket(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; a descriptor that is not negative is new and ours.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol))?)) }
}

/// Sets a socket option to the bytes of `value`.
pub fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &[u8],
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).expect("a short value");
    // SAFETY: the kernel reads `length` bytes at `value`, which lives across the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) })
        .map(drop)
}

/// Sets a socket option that is an integer.
pub fn set_number(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: i32,
) -> io::Result<()> {
    set_option(socket, level, name, &value.to_ne_bytes())
}

/// A 64-bit socket option.
pub fn long_option(socket: &impl AsRawFd, level: libc::c_int, name: libc::c_int) -> io::Result<u64> {
    let mut value = 0u64;
    let mut length = size_of_type::<u64>();
    // SAFETY: the kernel writes at most `length` bytes to `value`.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
    })?;
    Ok(value)
}

/// Asks a listener for segments that are signed with MD5 (RFC 2385) by `peer`.
pub fn ask_for_md5(listener: &impl AsRawFd, peer: IpAddr) -> io::Result<()> {
    const TCP_MD5SIG: libc::c_int = 14;
    const KEY: &[u8; 6] = b"secret";
    // struct tcp_md5sig (linux/tcp.h): sockaddr_storage, flags, prefix length, key length, interface, key.
    let mut signature = [0u8; 216];
    match peer {
        IpAddr::V4(address) => {
            signature[0..2].copy_from_slice(&2u16.to_ne_bytes()); // AF_INET
            signature[4..8].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            signature[0..2].copy_from_slice(&10u16.to_ne_bytes()); // AF_INET6
            signature[8..24].copy_from_slice(&address.octets());
        }
    }
    signature[130..132].copy_from_slice(&6u16.to_ne_bytes());
    signature[136..136 + KEY.len()].copy_from_slice(KEY);
    set_option(listener, libc::IPPROTO_TCP, TCP_MD5SIG, &signature)
}

/// The cookie of a socket. The kernel gives it when it is asked for the first time.
pub fn cookie(socket: &impl AsRawFd) -> u64 {
    long_option(socket, libc::SOL_SOCKET, libc::SO_COOKIE).expect("SO_COOKIE")
}

/// Moves the calling thread into a new network namespace.
pub fn enter_new_network_namespace() -> io::Result<()> {
    // SAFETY: passes no memory, and takes away nothing that other threads share.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Begins to connect, from the calling thread's namespace.
pub fn connect_without_waiting(to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// The local address of a socket.
pub fn local_address(socket: &OwnedFd) -> SocketAddr {
    let address = rustix::net::getsockname(socket).expect("getsockname");
    address.try_into().expect("an IP address")
}

/// A BPF file system, mounted if need be.
pub fn bpf_file_system() -> std::path::PathBuf {
    static MOUNT: std::sync::Once = std::sync::Once::new();
    let path = std::path::PathBuf::from("/sys/fs/bpf");
    MOUNT.call_once(|| {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        if !mounts.lines().any(|line| line.contains(" /sys/fs/bpf bpf ")) {
            let mount = rustix::mount::mount("bpf", &path, "bpf", rustix::mount::MountFlags::empty(), None);
            mount.expect("mount a BPF file system");
        }
    });
    path
}

/// Whether an interface of the calling thread's namespace is up, its carrier too.
pub fn is_running(interface: &str) -> io::Result<bool> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = [0u8; 40];
    request[..interface.len()].copy_from_slice(interface.as_bytes());
    // SAFETY: the kernel reads and writes a struct ifreq, 40 bytes, at `request`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, request.as_mut_ptr()) })?;
    Ok(i32::from(u16::from_ne_bytes([request[16], request[17]])) & libc::IFF_RUNNING != 0)
}

/// A packet socket on one interface of the calling thread's namespace: whole Ethernet frames.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens it on the interface with this index.
    pub fn open(interface: u32) -> io::Result<Self> {
        let all = libc::c_int::from(0x0003_u16.to_be()); // ETH_P_ALL
        let socket = Self(socket(libc::AF_PACKET, libc::SOCK_RAW, all)?);
        // SAFETY: all bytes of a sockaddr_ll may be zero.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = 17; // AF_PACKET
        address.sll_protocol = 0x0003_u16.to_be();
        address.sll_ifindex = i32::try_from(interface).expect("an interface index");
        // SAFETY: the kernel reads the size of a sockaddr_ll at `address`.
        check(unsafe {
            libc::bind(socket.0.as_raw_fd(), (&raw const address).cast(), size_of_type::<libc::sockaddr_ll>())
        })?;
        set_number(&socket.0, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 8 << 20)?;
        Ok(socket)
    }

    /// From now on, sends past the interface's queue.
    pub fn bypass_queue(&self) -> io::Result<()> {
        set_number(&self.0, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the kernel reads `frame.len()` bytes at `frame`.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next frame, `None` if there is none within `limit`.
    pub fn receive(&self, limit: Duration) -> io::Result<Option<Vec<u8>>> {
        if !is_readable(&self.0, limit)? {
            return Ok(None);
        }
        let mut buffer = vec![0; 1 << 17];
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
        let length = unsafe {
            libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        buffer.truncate(length);
        Ok(Some(buffer))
    }
}

fn is_readable(file: &impl AsRawFd, limit: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = i32::try_from(limit.as_millis()).expect("a short limit");
    // SAFETY: one entry is passed, and one is announced.
    Ok(check(unsafe { libc::poll(&raw mut entry, 1, limit) })? > 0)
}

/// Sends a whole IP packet, header included, through a raw socket of the calling thread's namespace.
pub fn send_raw(packet: &[u8], destination: IpAddr) -> io::Result<()> {
    let family = if destination.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    let address = socket2::SockAddr::from(SocketAddr::new(destination, 0));
    // SAFETY: both memory areas are announced with their lengths and live across the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            address.as_ptr().cast(),
            address.len(),
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A TUN (`packet`) or TAP (`frame`) interface of the calling thread's namespace; gone when dropped.
#[derive(Debug)]
pub struct Tun(std::fs::File);

impl Tun {
    /// Makes it. `frames` chooses TAP.
    pub fn open(name: &str, frames: bool) -> io::Result<Self> {
        const IFF_TUN: i16 = 1;
        const IFF_TAP: i16 = 2;
        const IFF_NO_PI: i16 = 0x1000;
        const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
        let file = std::fs::File::options().read(true).write(true).open("/dev/net/tun")?;
        let mut request = [0u8; 40];
        request[..name.len()].copy_from_slice(name.as_bytes());
        let flags = IFF_NO_PI | if frames { IFF_TAP } else { IFF_TUN };
        request[16..18].copy_from_slice(&flags.to_ne_bytes());
        // SAFETY: the kernel reads and writes a struct ifreq, 40 bytes, at `request`.
        check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, request.as_mut_ptr()) })?;
        Ok(Self(file))
    }

    /// Lets the kernel receive a packet or frame.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write;
        (&self.0).write_all(bytes)
    }
}

/// Where a BPF program hooks in.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
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
    /// Ingress or egress of a cgroup.
    Cgroup,
}

/// A BPF program that returns a number, whatever the packet. It stays attached until dropped.
#[derive(Debug)]
pub struct Program {
    /// The program.
    pub descriptor: OwnedFd,
    _link: Option<OwnedFd>,
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_XDP: u32 = 37;

impl Program {
    /// Loads it, and attaches it where that needs no other tool.
    pub fn returning(verdict: i32, hook: Hook) -> io::Result<Self> {
        let [low, high] = [verdict & 0xffff, verdict >> 16].map(|half| half.to_le_bytes());
        let code = [
            0xb7, 0x00, 0, 0, low[0], low[1], high[0], high[1], // r0 = verdict
            0x95, 0x00, 0, 0, 0, 0, 0, 0, // exit
        ];
        let kind: u32 = match hook {
            Hook::Socket => 1,
            Hook::Classifier => 3,
            Hook::Xdp { .. } => 6,
            Hook::Cgroup => 8,
        };
        let license = c"GPL";
        let mut attributes = [0u8; 128];
        attributes[0..4].copy_from_slice(&kind.to_ne_bytes());
        attributes[4..8].copy_from_slice(&2u32.to_ne_bytes());
        attributes[8..16].copy_from_slice(&(code.as_ptr() as u64).to_ne_bytes());
        attributes[16..24].copy_from_slice(&(license.as_ptr() as u64).to_ne_bytes());
        let descriptor = bpf(BPF_PROG_LOAD, &mut attributes)?;
        let link = match hook {
            Hook::Xdp { interface, generic } => {
                let flags: u32 = if generic { 2 } else { 4 }; // XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE
                Some(link(&descriptor, interface, BPF_XDP, flags)?)
            }
            _ => None,
        };
        Ok(Self { descriptor, _link: link })
    }

    /// Gives it a name in a BPF file system.
    pub fn pin(&self, path: &std::path::Path) -> io::Result<()> {
        let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path without NUL");
        let mut attributes = [0u8; 128];
        attributes[0..8].copy_from_slice(&(path.as_ptr() as u64).to_ne_bytes());
        attributes[8..12].copy_from_slice(&self.descriptor.as_raw_fd().to_ne_bytes());
        bpf_call(BPF_OBJ_PIN, &mut attributes).map(drop)
    }

    /// Attaches it to a cgroup; `attach_type` is 0 for ingress, 1 for egress.
    pub fn attach_to_cgroup(&mut self, cgroup: &std::fs::File, attach_type: u32) -> io::Result<()> {
        let target = u32::try_from(cgroup.as_raw_fd()).expect("a descriptor");
        self._link = Some(link(&self.descriptor, target, attach_type, 0)?);
        Ok(())
    }
}

fn link(program: &OwnedFd, target: u32, attach_type: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attributes = [0u8; 128];
    attributes[0..4].copy_from_slice(&program.as_raw_fd().to_ne_bytes());
    attributes[4..8].copy_from_slice(&target.to_ne_bytes());
    attributes[8..12].copy_from_slice(&attach_type.to_ne_bytes());
    attributes[12..16].copy_from_slice(&flags.to_ne_bytes());
    bpf(BPF_LINK_CREATE, &mut attributes)
}

fn bpf(command: libc::c_int, attributes: &mut [u8; 128]) -> io::Result<OwnedFd> {
    let descriptor = bpf_call(command, attributes)?;
    // SAFETY: these commands give a new descriptor, which is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn bpf_call(command: libc::c_int, attributes: &mut [u8; 128]) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads and writes the announced 128 bytes; what they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), attributes.len()) };
    check(libc::c_int::try_from(result).expect("a descriptor or an error"))
}
