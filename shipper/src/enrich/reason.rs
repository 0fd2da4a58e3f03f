//! Names of drop reasons, as the running kernel's BTF has them: numbers shift between kernels.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Names without `SKB_DROP_REASON_`, by number.
#[derive(Clone, Debug, Default)]
pub struct ReasonNames(BTreeMap<u32, Arc<str>>);

impl ReasonNames {
    /// The name of `code`; `None` if this kernel's BTF does not say.
    pub fn name(&self, code: u32) -> Option<Arc<str>> {
        self.0.get(&code).cloned()
    }

    /// Adds a name.
    pub fn insert(&mut self, code: u32, name: Arc<str>) {
        self.0.insert(code, name);
    }

    /// All names, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0.iter().map(|(&code, name)| (code, name.as_ref()))
    }
}

impl From<BTreeMap<u32, String>> for ReasonNames {
    fn from(names: BTreeMap<u32, String>) -> Self {
        Self(names.into_iter().map(|(code, name)| (code, name.into())).collect())
    }
}
