//! Which stacks of the text view are shown whole. Most drops of a minute have a handful of stacks, and twenty lines for each
//! would hide what differs.

use crate::drop_report::{Frame, NamedStack};
use crate::stack::is_interrupt_entry;
use clap::ValueEnum;
use std::collections::HashMap;

/// Records after which a stack that comes again is shown whole once more: it may be out of sight by then.
const IN_SIGHT: u64 = 50;
/// Stacks whose numbers are remembered; when there are more, all are new again.
const REMEMBERED: usize = 1024;

/// `--stacks`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StackChoice {
    /// Whole when it is new or was last shown a while ago, else its number.
    #[default]
    New,
    /// Whole with every drop.
    Always,
    /// Not at all: a line for each drop.
    Never,
}

/// How to show a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Every frame; with a number, by which it is told from others later.
    Whole(Option<u64>),
    /// The stack of this number, again.
    Again(u64),
    /// Nothing.
    Hidden,
}

/// The stacks that were shown.
#[derive(Debug, Default)]
pub struct Stacks {
    choice: StackChoice,
    records: u64,
    numbers_given: u64,
    shown: HashMap<Box<[Frame]>, Shown>,
}

#[derive(Debug)]
struct Shown {
    number: u64,
    /// The record that it was last shown whole with.
    whole_at: u64,
}

impl Stacks {
    /// Nothing was shown yet.
    pub fn new(choice: StackChoice) -> Self {
        Self { choice, ..Self::default() }
    }

    /// How to show `stack` with the next record.
    pub fn next(&mut self, stack: &NamedStack) -> View {
        self.records += 1;
        match self.choice {
            StackChoice::Never => View::Hidden,
            StackChoice::Always => View::Whole(None),
            StackChoice::New if stack.frames.is_empty() => View::Whole(None),
            StackChoice::New => self.new_or_known(cause(&stack.frames)),
        }
    }

    fn new_or_known(&mut self, cause: &[Frame]) -> View {
        let now = self.records;
        if let Some(shown) = self.shown.get_mut(cause) {
            if now - shown.whole_at <= IN_SIGHT {
                return View::Again(shown.number);
            }
            shown.whole_at = now;
            return View::Whole(Some(shown.number));
        }
        if self.shown.len() >= REMEMBERED {
            self.shown.clear();
        }
        self.numbers_given += 1;
        self.shown.insert(cause.into(), Shown { number: self.numbers_given, whole_at: now });
        View::Whole(Some(self.numbers_given))
    }
}

/// The frames down to the first interrupt: what that interrupted is another each time.
fn cause(frames: &[Frame]) -> &[Frame] {
    let is_entry = |frame: &Frame| frame.symbol.as_deref().is_some_and(is_interrupt_entry);
    &frames[..frames.iter().position(is_entry).unwrap_or(frames.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: &[(&str, u64)]) -> NamedStack {
        let frame = |&(symbol, offset): &(&str, u64)| Frame { symbol: Some(symbol.into()), offset };
        NamedStack { frames: frames.iter().map(frame).collect(), hash: None, truncated: false }
    }

    #[test]
    fn a_stack_is_whole_the_first_time_and_has_a_number_from_then_on() {
        let mut stacks = Stacks::new(StackChoice::New);
        let (one, other) = (stack(&[("tcp_v4_rcv", 1)]), stack(&[("tcp_v4_rcv", 2)]));
        assert_eq!(stacks.next(&one), View::Whole(Some(1)));
        assert_eq!(stacks.next(&other), View::Whole(Some(2)), "another place in the same function");
        assert_eq!([&one, &other].map(|stack| stacks.next(stack)), [View::Again(1), View::Again(2)]);
    }

    #[test]
    fn what_an_interrupt_met_makes_no_other_stack() {
        let mut stacks = Stacks::new(StackChoice::New);
        let on_top_of = |interrupted| stack(&[("tcp_v4_rcv", 1), ("handle_softirqs", 2), (interrupted, 3)]);
        assert_eq!(stacks.next(&on_top_of("do_idle")), View::Whole(Some(1)));
        assert_eq!(stacks.next(&on_top_of("vfs_read")), View::Again(1));
    }

    #[test]
    fn out_of_sight_it_is_shown_whole_again() {
        let mut stacks = Stacks::new(StackChoice::New);
        let one = stack(&[("tcp_v4_rcv", 1)]);
        stacks.next(&one);
        for _ in 0..IN_SIGHT {
            assert_eq!(stacks.next(&one), View::Again(1));
        }
        assert_eq!(stacks.next(&one), View::Whole(Some(1)));
        assert_eq!(stacks.next(&one), View::Again(1));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut stacks = Stacks::new(StackChoice::New);
        let bound = u64::try_from(REMEMBERED).expect("a small number");
        for offset in 1..=bound + 1 {
            assert_eq!(stacks.next(&stack(&[("f", offset)])), View::Whole(Some(offset)));
        }
        assert!(stacks.shown.len() <= REMEMBERED);
        assert_eq!(stacks.next(&stack(&[("f", 1)])), View::Whole(Some(bound + 2)), "as new");
    }

    #[test]
    fn always_and_never_are_that() {
        let one = stack(&[("tcp_v4_rcv", 1)]);
        for (choice, view) in [(StackChoice::Always, View::Whole(None)), (StackChoice::Never, View::Hidden)] {
            let mut stacks = Stacks::new(choice);
            assert_eq!([stacks.next(&one), stacks.next(&one)], [view, view]);
        }
    }
}
