//! Names of drop sites, learned by the thread that has the symbols and read by whoever tells the kernel's counts.

use super::symbols::SymbolSource;
use crate::probe::SiteCount;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Names = HashMap<u64, Option<Arc<str>>>;

/// The names. As many as the probe's table has sites, which is bounded. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub struct SiteNames(Arc<Mutex<Names>>);

impl SiteNames {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up the names of `sites` that are new.
    pub fn learn(&self, sites: &[SiteCount], symbols: &dyn SymbolSource) {
        let mut names = self.names();
        for site in sites.iter().filter_map(|count| count.site) {
            names.entry(site).or_insert_with(|| symbols.resolve(site).map(|symbol| symbol.name));
        }
    }

    /// What is known of a site: `None` until it was looked up, `Some(None)` if it has no name.
    pub fn get(&self, site: u64) -> Option<Option<Arc<str>>> {
        self.names().get(&site).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::enrich::symbols::FixedSymbols;

    #[test]
    fn a_site_is_unknown_until_it_was_looked_up() {
        let names = SiteNames::default();
        assert_eq!(names.get(0x110), None);
        let count = |site| SiteCount { site, ..SiteCount::default() };
        let symbols = FixedSymbols::new([(0x100, "tcp_v4_rcv")]);
        names.learn(&[count(Some(0x110)), count(Some(0x50)), count(None)], &symbols);
        assert_eq!(names.get(0x110).unwrap().as_deref(), Some("tcp_v4_rcv"));
        assert_eq!(names.get(0x50), Some(None));
    }
}
