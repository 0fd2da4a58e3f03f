//! The host as it is.

use super::{Observed, Place, Running, Subject};
use crate::requirements::Requirement;

pub(super) const NAME: &str = "nothing";

pub(super) struct Nothing;

impl Subject for Nothing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs(&self) -> Vec<Requirement> {
        Vec::new()
    }

    fn start(&self, _place: &Place) -> Box<dyn Running> {
        Box::new(Self)
    }
}

impl Running for Nothing {
    fn process(&self) -> Option<u32> {
        None
    }

    fn programs(&self) -> Vec<u32> {
        Vec::new()
    }

    fn finish(self: Box<Self>) -> Observed {
        Observed::default()
    }
}
