//! The agent, sending to a receiver that takes everything.

use super::{Observed, Place, Running, Subject};
use crate::agent;
use crate::bench::cost::Runs;
use crate::ledger::Ledger;
use crate::receiver::Receiver;
use crate::requirements::Requirement;

pub(super) struct Agent {
    pub(super) name: &'static str,
    /// Besides the defaults.
    pub(super) settings: &'static [&'static str],
}

impl Subject for Agent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn needs(&self) -> Vec<Requirement> {
        let settings = self.settings.iter().map(|setting| Requirement::Setting(setting));
        std::iter::once(Requirement::Btf).chain(settings).collect()
    }

    fn start(&self, _place: &Place) -> Box<dyn Running> {
        Box::new(AgentRun::start(self.settings))
    }
}

/// The agent with its default settings, unless others are given, and its receiver.
#[derive(Debug)]
pub struct AgentRun {
    /// The agent.
    pub agent: agent::Agent<'static>,
    /// Where it sends to.
    pub receiver: Receiver,
    programs: Vec<u32>,
}

impl AgentRun {
    /// Starts it and waits until it watches.
    pub fn start(settings: &[&str]) -> Self {
        let receiver = Receiver::start();
        let before = Runs::read().expect("read the statistics of programs");
        let options =
            settings.iter().fold(agent::Options::with_defaults(&receiver.endpoint()), |options, setting| {
                options.set(setting)
            });
        let agent = options.start();
        let programs = Runs::read().expect("read the statistics of programs").programs_since(&before);
        Self { agent, receiver, programs }
    }

    /// Ends it: its ledger, exact.
    pub fn end(self) -> (Ledger, Receiver) {
        (self.agent.terminate().ledger(), self.receiver)
    }
}

impl Running for AgentRun {
    fn process(&self) -> Option<u32> {
        Some(self.agent.process().id())
    }

    fn programs(&self) -> Vec<u32> {
        self.programs.clone()
    }

    fn finish(self: Box<Self>) -> Observed {
        let (ledger, _) = self.end();
        Observed { described: Some(ledger.term("admitted")), counted: Some(ledger.term("seen")) }
    }
}
