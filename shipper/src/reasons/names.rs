//! [`ReasonNames`]: what the running kernel calls its drop reasons. Numbers shift between kernels, so the names are read
//! from its BTF; those of subsystems may lie in modules, which may be loaded at any time.

use crate::btf::reasons::{self, Names, Subsystems, is_of_subsystem};
use crate::btf::{Btf, BtfError, KERNEL_BTF};
use crate::memory;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Where a running kernel shows the BTF of its modules, beside its own.
const MODULES: &str = "/sys/kernel/btf";
/// The largest module's BTF is some MiB.
const MOST_BYTES: u64 = 64 << 20;
/// A distribution's kernel has some 5000 modules; a host loads a few hundred.
const MOST_MODULES: usize = 8192;
/// How long a subsystem's number without a name stays without, before modules are read again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names of drop reasons by number, as records carry them. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub struct ReasonNames(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    names: RwLock<BTreeMap<u32, Arc<str>>>,
    /// `None` where the names are not those of the running kernel.
    modules: Option<Mutex<Modules>>,
}

/// Where more names may appear.
#[derive(Debug)]
struct Modules {
    read: fn() -> Names,
    last: Option<Instant>,
}

impl ReasonNames {
    /// Those of the running kernel, whose BTF is `kernel`, its modules included. Names of modules that are loaded later
    /// are found when they are asked for, at most once a minute.
    pub fn of_kernel(kernel: &Arc<Btf>) -> Self {
        let mut names = reasons::of_core(kernel);
        names.extend(of_modules(kernel, Path::new(MODULES)));
        Self::rereading(names, || {
            let names = Btf::of_kernel().map(|kernel| of_modules(&Arc::new(kernel), Path::new(MODULES)));
            memory::give_back();
            names.unwrap_or_default()
        })
    }

    /// `names`, and what `read` finds when a subsystem's reason has none.
    fn rereading(names: Names, read: fn() -> Names) -> Self {
        let modules = Modules { read, last: None };
        Self(Arc::new(Shared { names: RwLock::new(shared(names)), modules: Some(Mutex::new(modules)) }))
    }

    /// The same as [`of_kernel`](Self::of_kernel) for who has not read the BTF yet.
    ///
    /// # Errors
    /// If the kernel shows none, or one of a form that is not known.
    pub fn read() -> Result<Self, BtfError> {
        Ok(Self::of_kernel(&Arc::new(Btf::of_kernel()?)))
    }

    /// The name of `code`; `None` if this kernel does not say.
    pub fn name(&self, code: u32) -> Option<Arc<str>> {
        self.known(code).or_else(|| {
            self.learn_more(code, Instant::now());
            self.known(code)
        })
    }

    fn known(&self, code: u32) -> Option<Arc<str>> {
        self.0.names.read().unwrap_or_else(PoisonError::into_inner).get(&code).cloned()
    }

    /// Reads modules again if `code` may be of one, and they were not read just now.
    fn learn_more(&self, code: u32, now: Instant) {
        let Some(modules) = self.0.modules.as_ref().filter(|_| is_of_subsystem(code)) else { return };
        let mut modules = modules.lock().unwrap_or_else(PoisonError::into_inner);
        if modules.last.is_some_and(|last| now.saturating_duration_since(last) < PATIENCE) {
            return;
        }
        modules.last = Some(now);
        let names = shared((modules.read)());
        self.0.names.write().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    /// Adds a name.
    pub fn insert(&self, code: u32, name: Arc<str>) {
        self.0.names.write().unwrap_or_else(PoisonError::into_inner).insert(code, name);
    }

    /// All names that are known by now.
    pub fn all(&self) -> Names {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|(&code, name)| (code, name.to_string())).collect()
    }
}

impl From<Names> for ReasonNames {
    fn from(names: Names) -> Self {
        Self(Arc::new(Shared { names: RwLock::new(shared(names)), modules: None }))
    }
}

fn shared(names: Names) -> BTreeMap<u32, Arc<str>> {
    names.into_iter().map(|(code, name)| (code, name.into())).collect()
}

/// The reasons of subsystems, in `kernel` and in the modules whose BTF is in `directory`. A module that cannot be read is
/// left out: its reasons then stay numbers.
fn of_modules(kernel: &Arc<Btf>, directory: &Path) -> Names {
    let subsystems = reasons::subsystems(kernel);
    let mut names = reasons::of_subsystems(kernel, &subsystems);
    let modules = fs::read_dir(directory).into_iter().flatten().flatten().take(MOST_MODULES);
    for module in modules.filter(|module| !subsystems.is_empty() && Path::new(KERNEL_BTF) != module.path()) {
        match of_module(kernel, &module.path(), &subsystems) {
            Ok(found) => names.extend(found),
            Err(error) => tracing::debug!(%error, module = %module.path().display(), "unreadable BTF"),
        }
    }
    names
}

fn of_module(kernel: &Arc<Btf>, path: &Path, subsystems: &Subsystems) -> Result<Names, BtfError> {
    let btf = Btf::parse_split(bounded(path)?, kernel)?;
    Ok(reasons::of_subsystems(&btf, subsystems))
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const METER: u32 = 0x3_0005;

    fn names(pairs: &[(u32, &str)]) -> Names {
        pairs.iter().map(|&(code, name)| (code, name.to_owned())).collect()
    }

    #[test]
    fn an_unknown_number_of_the_core_stays_unknown() {
        let reasons = ReasonNames::rereading(names(&[(3, "NO_SOCKET")]), || unreachable!());
        assert_eq!(reasons.name(3).as_deref(), Some("NO_SOCKET"));
        assert_eq!(reasons.name(999), None);
    }

    #[test]
    fn modules_are_read_again_when_a_subsystem_is_unknown_but_not_for_each_drop() {
        static READ: AtomicU32 = AtomicU32::new(0);
        let reasons = ReasonNames::rereading(Names::new(), || {
            // The module is there the second time.
            let later = [(METER, "OPENVSWITCH_METER".to_owned())];
            if READ.fetch_add(1, Ordering::Relaxed) == 0 { Names::new() } else { Names::from(later) }
        });
        let start = Instant::now();
        for _ in 0..1000 {
            reasons.learn_more(METER, start);
        }
        assert_eq!((READ.load(Ordering::Relaxed), reasons.known(METER)), (1, None));
        reasons.learn_more(METER, start + PATIENCE - Duration::from_millis(1));
        assert_eq!(READ.load(Ordering::Relaxed), 1);
        reasons.clone().learn_more(METER, start + PATIENCE);
        assert_eq!(reasons.name(METER).as_deref(), Some("OPENVSWITCH_METER"), "clones share");
        assert_eq!(READ.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_recording_s_names_lead_to_no_reading() {
        assert_eq!(ReasonNames::from(Names::new()).name(METER), None);
    }
}
