//! What the kernel offers that the standard library and rustix do not: packet and raw sockets, odd socket options, small
//! BPF programs.

mod bpf;
mod cgroup;
mod stall;

pub use bpf::{Hook, Pinned, Program, SocketMap};
pub use cgroup::Cgroup;
pub use stall::Stall;

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

/// Sends through a connected socket.
pub fn send(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `bytes.len()` bytes at `bytes`.
    let sent =
        unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes a connection from a socket, which can be used again.
pub fn disconnect(socket: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: all bytes of a sockaddr may be zero: the family is then AF_UNSPEC.
    let nowhere: libc::sockaddr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel reads the size of a sockaddr at `nowhere`.
    let done =
        unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, size_of_type::<libc::sockaddr>()) };
    check(done).map(drop)
}

/// A raw socket that gets a copy of each TCP packet which comes to the calling thread's namespace.
pub fn raw_receiver(address: IpAddr) -> io::Result<OwnedFd> {
    socket(if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }, libc::SOCK_RAW, libc::IPPROTO_TCP)
}

/// Waits until a socket has received something, which stays there.
pub fn await_packet(socket: &impl AsRawFd) -> io::Result<()> {
    if is_readable(socket, Duration::from_secs(20))? { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// The local address of a socket.
pub fn local_address(socket: &OwnedFd) -> SocketAddr {
    let address = rustix::net::getsockname(socket).expect("getsockname");
    address.try_into().expect("an IP address")
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

    /// From now on it holds a few frames only.
    pub fn shrink(&self) -> io::Result<()> {
        set_number(&self.0, libc::SOL_SOCKET, libc::SO_RCVBUF, 0)
    }

    /// Waits until it has seen `frames`: how many of them it had no room for.
    ///
    /// # Panics
    /// If they do not come.
    pub fn await_drops(&self, frames: u64) -> u64 {
        const PACKET_STATISTICS: libc::c_int = 6;
        let mut counted = (0, 0);
        crate::wait::wait_for("frames to be captured", || {
            // struct tpacket_stats: all, and those that were dropped. Reading sets them to zero.
            let both =
                long_option(&self.0, libc::SOL_PACKET, PACKET_STATISTICS).expect("counts").to_ne_bytes();
            let [all, dropped] = [0, 4].map(|at| both[at..at + 4].try_into().map_or(0, u32::from_ne_bytes));
            counted = (counted.0 + u64::from(all), counted.1 + u64::from(dropped));
            (counted.0 >= frames).then_some(counted.1)
        })
    }

    /// From now on, a virtual machine's header is in front of each frame (linux/virtio_net.h).
    pub fn expect_offload(&self) -> io::Result<()> {
        const PACKET_VNET_HDR: libc::c_int = 15;
        set_number(&self.0, libc::SOL_PACKET, PACKET_VNET_HDR, 1)
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.0, frame)
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

const IFF_TUN: i16 = 1;
const IFF_TAP: i16 = 2;

/// A TUN (`packet`) or TAP (`frame`) interface of the calling thread's namespace; gone when dropped.
#[derive(Debug)]
pub struct Tun(std::fs::File);

impl Tun {
    /// Makes it. `frames` chooses TAP.
    pub fn open(name: &str, frames: bool) -> io::Result<Self> {
        Self::with_flags(name, if frames { IFF_TAP } else { IFF_TUN })
    }

    /// A TAP interface of a virtual machine: a header is in front of each frame (linux/virtio_net.h).
    pub fn of_guest(name: &str) -> io::Result<Self> {
        const IFF_VNET_HDR: i16 = 0x4000;
        Self::with_flags(name, IFF_TAP | IFF_VNET_HDR)
    }

    fn with_flags(name: &str, flags: i16) -> io::Result<Self> {
        const IFF_NO_PI: i16 = 0x1000;
        const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
        let file = std::fs::File::options().read(true).write(true).open("/dev/net/tun")?;
        let mut request = [0u8; 40];
        request[..name.len()].copy_from_slice(name.as_bytes());
        let flags = IFF_NO_PI | flags;
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
