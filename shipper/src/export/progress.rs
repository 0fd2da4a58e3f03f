//! How the export of a signal goes: numbers for `/status`, and what to say in the log.

use super::answer::Answer;
use super::throttle::{Held, Throttle};
use super::{Contents, Signal};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::time::Instant;

/// The export of one signal, as `/status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportState {
    /// Where it goes, without secrets.
    pub destination: String,
    /// Attempts to send a request, ever.
    pub attempts: u64,
    /// Attempts after which the request had to be sent again.
    pub retries: u64,
    /// Requests that were refused, wholly or in part.
    pub refusals: u64,
    /// Since when requests come back, while they do.
    pub failing_since: Option<Timestamp>,
    /// Why the last attempt failed that did.
    pub last_error: Option<String>,
    /// When a request was last accepted.
    pub last_success: Option<Timestamp>,
}

/// A moment, for intervals and for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) wall: Timestamp,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Info(String),
    Warn(String),
}

/// Attempts in a row that came to nothing.
#[derive(Debug)]
struct Outage {
    since: Instant,
    attempts: u64,
    line: Throttle,
}

/// Takes the answers in, one after the other.
#[derive(Debug)]
pub(super) struct Progress {
    signal: Signal,
    state: ExportState,
    outage: Option<Outage>,
    refused_line: Throttle,
    partial_line: Throttle,
    remark_line: Throttle,
}

impl Progress {
    pub(super) fn new(signal: Signal, destination: String) -> Self {
        Self {
            signal,
            state: ExportState { destination, ..ExportState::default() },
            outage: None,
            refused_line: Throttle::default(),
            partial_line: Throttle::default(),
            remark_line: Throttle::default(),
        }
    }

    pub(super) fn state(&self) -> &ExportState {
        &self.state
    }

    /// Takes in the answer to a request of `contents`; returns what to say.
    pub(super) fn record(&mut self, answer: &Answer, contents: Contents, now: Now) -> Vec<Line> {
        self.state.attempts += 1;
        match answer {
            Answer::Retry { why, .. } => self.failed(why, now).into_iter().collect(),
            Answer::Refused { why } => {
                let back = self.reachable(now);
                self.state.refusals += 1;
                self.state.last_error = Some(why.clone());
                let held = self.refused_line.add(contents, now.instant);
                let line = held.map(|held| Line::Warn(self.refused(held, why)));
                back.into_iter().chain(line).collect()
            }
            Answer::Accepted { rejected, message } => {
                let back = self.reachable(now);
                self.state.last_success = Some(now.wall);
                back.into_iter().chain(self.accepted(*rejected, message.as_deref(), contents, now)).collect()
            }
        }
    }

    fn failed(&mut self, why: &str, now: Now) -> Option<Line> {
        self.state.retries += 1;
        self.state.failing_since.get_or_insert(now.wall);
        self.state.last_error = Some(why.to_owned());
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: now.instant,
            attempts: 0,
            line: Throttle::default(),
        });
        outage.attempts += 1;
        outage.line.add(Contents::default(), now.instant)?;
        let (signal, to) = (self.signal, &self.state.destination);
        Some(Line::Warn(match outage.attempts {
            1 => format!(
                "{signal} cannot be delivered to {to}: {why}; they wait in the spool, to be sent again"
            ),
            attempts => format!(
                "{signal} still cannot be delivered to {to}, after {attempts} attempts in {}: {why}",
                rounded(outage.since, now.instant)
            ),
        }))
    }

    fn reachable(&mut self, now: Now) -> Option<Line> {
        self.state.failing_since = None;
        let outage = self.outage.take()?;
        Some(Line::Info(format!(
            "{} reach {} again, after {} failed attempts in {}",
            self.signal,
            self.state.destination,
            outage.attempts,
            rounded(outage.since, now.instant)
        )))
    }

    fn refused(&self, held: Held, why: &str) -> String {
        format!(
            "{} refused {} for good: {}: {why}",
            self.state.destination,
            count(held.requests, "request"),
            self.amount(held.contents)
        )
    }

    fn accepted(
        &mut self,
        rejected: u64,
        message: Option<&str>,
        contents: Contents,
        now: Now,
    ) -> Option<Line> {
        let said = message.map(|message| format!(": {message:?}")).unwrap_or_default();
        let to = &self.state.destination;
        if rejected == 0 {
            message?;
            self.remark_line.add(contents, now.instant)?;
            return Some(Line::Warn(format!("{to} accepted {} with a remark{said}", self.signal)));
        }
        self.state.refusals += 1;
        self.state.last_error = Some(format!("{rejected} of {} rejected{said}", contents.records));
        let refused = super::answer::partial(contents, rejected).refused;
        let held = self.partial_line.add(refused, now.instant)?;
        Some(Line::Warn(format!(
            "{} refused a part of {} for good: {} (drops: at most, for it does not say which){said}",
            self.state.destination,
            count(held.requests, "request"),
            self.amount(held.contents)
        )))
    }

    fn amount(&self, contents: Contents) -> String {
        match self.signal {
            Signal::Logs => format!(
                "{} of {}",
                count(contents.records, "record"),
                count(contents.drops + contents.totals, "drop")
            ),
            Signal::Traces => count(contents.records, "span"),
        }
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn rounded(since: Instant, now: Instant) -> String {
    let seconds = now.saturating_duration_since(since).as_secs();
    format!("{:#}", SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ONE: Contents = Contents { records: 1, drops: 7, totals: 0 };

    struct Fixture {
        progress: Progress,
        start: Instant,
    }

    fn fixture(signal: Signal) -> Fixture {
        let progress = Progress::new(signal, "http://collector.test/v1/logs".to_owned());
        Fixture { progress, start: Instant::now() }
    }

    impl Fixture {
        fn at(&mut self, seconds: u64, answer: &Answer) -> Vec<String> {
            let now = Now {
                instant: self.start + Duration::from_secs(seconds),
                wall: Timestamp::UNIX_EPOCH + Duration::from_secs(seconds),
            };
            let lines = self.progress.record(answer, ONE, now);
            lines.into_iter().map(|(Line::Info(text) | Line::Warn(text))| text).collect()
        }
    }

    fn retry() -> Answer {
        Answer::Retry { after: None, why: "connection refused".to_owned() }
    }

    const ACCEPTED: Answer = Answer::Accepted { rejected: 0, message: None };

    #[test]
    fn an_outage_is_said_first_each_minute_and_at_its_end() {
        let mut logs = fixture(Signal::Logs);
        assert_eq!(
            logs.at(0, &retry()),
            [
                "logs cannot be delivered to http://collector.test/v1/logs: connection refused; they wait in the \
              spool, to be sent again"
            ]
        );
        for second in 1..60 {
            assert!(logs.at(second, &retry()).is_empty());
        }
        assert_eq!(
            logs.at(75, &retry()),
            [
                "logs still cannot be delivered to http://collector.test/v1/logs, after 61 attempts in 1m 15s: \
              connection refused"
            ]
        );
        assert_eq!(
            logs.at(130, &ACCEPTED),
            ["logs reach http://collector.test/v1/logs again, after 61 failed attempts in 2m 10s"]
        );
        assert!(logs.at(131, &ACCEPTED).is_empty());
        assert_eq!(logs.at(132, &retry()).len(), 1, "a new outage is said at once");
    }

    #[test]
    fn the_state_counts_and_dates() {
        let mut logs = fixture(Signal::Logs);
        logs.at(5, &retry());
        logs.at(6, &retry());
        let failing = logs.progress.state().clone();
        assert_eq!((failing.attempts, failing.retries), (2, 2));
        assert_eq!(failing.failing_since, Some(Timestamp::UNIX_EPOCH + Duration::from_secs(5)));
        assert_eq!(failing.last_error.as_deref(), Some("connection refused"));
        logs.at(9, &ACCEPTED);
        let state = logs.progress.state();
        assert_eq!((state.attempts, state.retries, state.refusals), (3, 2, 0));
        assert_eq!(state.failing_since, None);
        assert_eq!(state.last_success, Some(Timestamp::UNIX_EPOCH + Duration::from_secs(9)));
    }

    #[test]
    fn refusals_are_said_with_their_sum() {
        let mut logs = fixture(Signal::Logs);
        let refused = Answer::Refused { why: "HTTP 400".to_owned() };
        assert_eq!(
            logs.at(0, &refused),
            ["http://collector.test/v1/logs refused 1 request for good: 1 record of 7 drops: HTTP 400"]
        );
        assert!(logs.at(1, &refused).is_empty());
        assert_eq!(
            logs.at(61, &refused),
            ["http://collector.test/v1/logs refused 2 requests for good: 2 records of 14 drops: HTTP 400"]
        );
        assert_eq!(logs.progress.state().refusals, 3);
    }

    #[test]
    fn a_refusal_ends_an_outage() {
        let mut spans = fixture(Signal::Traces);
        spans.at(0, &retry());
        let lines = spans.at(2, &Answer::Refused { why: "HTTP 404".to_owned() });
        assert!(lines[0].contains("again, after 1 failed attempt") && lines[1].contains("1 span: HTTP 404"));
        assert_eq!(spans.progress.state().failing_since, None);
    }

    #[test]
    fn partial_success_says_that_drops_are_an_upper_bound() {
        let mut logs = fixture(Signal::Logs);
        let lines = logs.at(0, &Answer::Accepted { rejected: 1, message: Some("too old".to_owned()) });
        assert!(lines[0].contains("1 record of 7 drops (drops: at most"), "{lines:?}");
        assert!(lines[0].contains("\"too old\""), "{lines:?}");
        assert_eq!(logs.progress.state().refusals, 1);
        assert!(logs.progress.state().last_success.is_some());
    }

    #[test]
    fn a_remark_is_passed_on_once_a_minute() {
        let mut logs = fixture(Signal::Logs);
        let remark = Answer::Accepted { rejected: 0, message: Some("near the quota".to_owned()) };
        assert!(logs.at(0, &remark)[0].contains("near the quota"));
        assert!(logs.at(1, &remark).is_empty());
    }
}
