//! Cgroups for single threads: what such a thread opens belongs to its cgroup.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A cgroup below the one that this process is in; gone when dropped.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    threads: &'static str,
}

impl Cgroup {
    /// A new one of version 2, in which threads of this process can be.
    ///
    /// # Panics
    /// If cgroups of version 2 are not mounted.
    pub fn new() -> Self {
        let (mount, own) = place("cgroup2", "").expect("cgroups of version 2, mounted");
        let cgroup = Self::below(&mount, &own, "cgroup.threads");
        fs::write(cgroup.folder.join("cgroup.type"), "threaded").expect("make a cgroup of threads");
        cgroup
    }

    /// A new one of version 1, of the controller `memory`.
    ///
    /// # Panics
    /// If cgroups of version 1 are not mounted.
    pub fn of_memory() -> Self {
        let (mount, own) = place("cgroup", "memory").expect("the controller memory, mounted");
        Self::below(&mount, &own, "tasks")
    }

    /// Writes a value to one of its files.
    pub fn set(&self, file: &str, value: &str) {
        fs::write(self.folder.join(file), value).unwrap_or_else(|error| panic!("set {file}: {error}"));
    }

    fn below(mount: &str, own: &str, threads: &'static str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tcpdrop-zoo-{}-{number}", std::process::id());
        let folder = PathBuf::from(format!("{mount}{own}")).join(name);
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
        Self { folder, threads }
    }

    /// Its folder, opened.
    pub fn open(&self) -> File {
        File::open(&self.folder).expect("open a cgroup")
    }

    /// Runs `work` on a thread that is inside, and so are the threads and sockets that it makes.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
                fs::write(self.folder.join(self.threads), thread).expect("enter a cgroup");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Where a hierarchy of cgroups is mounted, and this process's place in it.
fn place(kind: &str, controller: &str) -> Option<(String, String)> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let fits =
            words[2] == kind && (controller.is_empty() || words[3].split(',').any(|word| word == controller));
        fits.then(|| words[1].to_owned())
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| {
        let mut words = line.splitn(3, ':').skip(1);
        let controllers = words.next()?;
        controllers.split(',').any(|word| word == controller).then(|| words.next().map(str::to_owned))?
    })?;
    Some((mount, own.trim_end_matches('/').to_owned()))
}
