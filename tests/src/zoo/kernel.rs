//! [`Kernel`]: which one runs, and what the expectations of scenarios go by.

/// A kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel(pub u32, pub u32);

impl Kernel {
    /// The one whose drop sites are written in the scenarios.
    pub const REFERENCE: Self = Self(6, 18);
    /// The first that names the socket which was to receive a packet.
    pub(super) const WITH_RECEIVING_SOCKET: Self = Self(6, 11);

    /// The running one.
    pub fn running() -> Self {
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy().into_owned();
        let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
        let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Self(next(), next())
    }
}
