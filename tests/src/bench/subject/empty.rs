//! A BPF program that does nothing.

use super::{Observed, Place, Running, Subject};
use crate::bench::empty_program::EmptyProgram;
use crate::requirements::Requirement;

pub(super) const NAME: &str = "empty program";

pub(super) struct Empty;

impl Subject for Empty {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs(&self) -> Vec<Requirement> {
        vec![Requirement::Btf]
    }

    fn start(&self, _place: &Place) -> Box<dyn Running> {
        Box::new(EmptyProgram::attach().expect("attach the empty program"))
    }
}

impl Running for EmptyProgram {
    fn process(&self) -> Option<u32> {
        None
    }

    fn programs(&self) -> Vec<u32> {
        vec![self.id]
    }

    fn finish(self: Box<Self>) -> Observed {
        Observed::default()
    }
}
