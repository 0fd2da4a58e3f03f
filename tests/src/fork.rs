//! Children have what their parent has open until they run their program: a socket is not closed while one is on its way there.

use std::io;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock};

/// Read by who has a child on its way.
static ON_THE_WAY: RwLock<()> = RwLock::new(());

/// Starts `command`. Returns once it runs its program.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _on_the_way = ON_THE_WAY.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Closes `open`, which no child of [`spawn`] has then.
pub(crate) fn close<T>(open: T) {
    let _none_on_the_way = ON_THE_WAY.write().unwrap_or_else(PoisonError::into_inner);
    drop(open);
}
