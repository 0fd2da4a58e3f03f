//! Memory that whoever reads it waits for.

use super::{check, is_readable};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

const UFFD_API: u64 = 0xaa;
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_ZEROPAGE: libc::c_ulong = 0xc020_aa04;
const REGISTER_MISSING: u64 = 1;
const PAGE: usize = 4096;

/// A page that is missing until it is released: a system call that reads it waits in the kernel, holding what it has
/// locked.
#[derive(Debug)]
pub struct Stall {
    faults: OwnedFd,
    page: *mut libc::c_void,
}

// SAFETY: the page belongs to this alone, and only the kernel reads it.
unsafe impl Sync for Stall {}

impl Stall {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: passes no memory; a descriptor that is not negative is new and ours.
        let faults = unsafe {
            let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
            let descriptor = libc::syscall(libc::SYS_userfaultfd, flags);
            OwnedFd::from_raw_fd(check(libc::c_int::try_from(descriptor).expect("a descriptor or an error"))?)
        };
        // SAFETY: asks for new memory.
        let page = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stall = Self { faults, page };
        stall.control(UFFDIO_API, [UFFD_API, 0, 0, 0])?;
        stall.control(UFFDIO_REGISTER, [page as u64, PAGE as u64, REGISTER_MISSING, 0])?;
        Ok(stall)
    }

    /// Sends a byte of it through a socket, which is locked until [`Stall::release`]. Whether it is sent then depends on
    /// what the socket met meanwhile.
    pub fn send(&self, socket: &impl AsRawFd) {
        // SAFETY: the kernel reads one byte of the page, which lives as long as `self`.
        unsafe { libc::send(socket.as_raw_fd(), self.page, 1, libc::MSG_NOSIGNAL) };
    }

    /// Whether somebody waits for it within `limit`.
    pub fn is_awaited(&self, limit: Duration) -> io::Result<bool> {
        is_readable(&self.faults, limit)
    }

    /// Lets all that wait go on.
    pub fn release(&self) -> io::Result<()> {
        self.control(UFFDIO_ZEROPAGE, [self.page as u64, PAGE as u64, 0, 0])
    }

    fn control(&self, command: libc::c_ulong, mut words: [u64; 4]) -> io::Result<()> {
        // SAFETY: the kernel reads and writes at most the four words at `words`.
        check(unsafe { libc::ioctl(self.faults.as_raw_fd(), command as _, words.as_mut_ptr()) }).map(drop)
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        // SAFETY: the page is ours, and nobody has a reference to it.
        unsafe { libc::munmap(self.page, PAGE) };
    }
}
