//! Keeps a line that repeats from flooding the log: each place in the code may say a few a minute, the rest is counted
//! and told in one line.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// Lines of one place that are written in one [`INTERVAL`].
const LINES: u32 = 10;
/// Time for which lines are counted, and after which the rest is told.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
/// More places than the code has; beyond it nothing is held back.
const PLACES: usize = 1024;
/// Bytes of a line that are remembered as an example.
const EXAMPLE: usize = 200;

/// What was held back of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) level: Level,
    pub(super) lines: u64,
    pub(super) example: String,
}

#[derive(Debug)]
struct Place {
    since: Instant,
    written: u32,
    held: Option<Held>,
}

/// The places that spoke lately. Clones share.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats(Arc<Mutex<HashMap<Identifier, Place>>>);

impl Repeats {
    fn places(&self) -> MutexGuard<'_, HashMap<Identifier, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a line of `place` may be written now. `example` is asked for the first that may not.
    fn admit(&self, metadata: &Metadata<'_>, now: Instant, example: impl FnOnce() -> String) -> bool {
        let mut places = self.places();
        if places.len() >= PLACES && !places.contains_key(&metadata.callsite()) {
            return true;
        }
        let new = || Place { since: now, written: 0, held: None };
        let place = places.entry(metadata.callsite()).or_insert_with(new);
        if now.saturating_duration_since(place.since) >= INTERVAL {
            place.since = now;
            place.written = 0;
        }
        if place.written < LINES {
            place.written += 1;
            return true;
        }
        let new = || Held { level: *metadata.level(), lines: 0, example: example() };
        place.held.get_or_insert_with(new).lines += 1;
        false
    }

    /// What was held back since the last call; places that were quiet for an interval are forgotten.
    pub(super) fn take_held(&self, now: Instant) -> Vec<Held> {
        let mut places = self.places();
        let held = places.values_mut().filter_map(|place| place.held.take()).collect();
        places.retain(|_, place| now.saturating_duration_since(place.since) < INTERVAL);
        held
    }
}

impl<S: Subscriber> Filter<S> for Repeats {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        // The lines that tell what was held back come once a minute by themselves.
        event.metadata().target() == TELLING
            || self.admit(event.metadata(), Instant::now(), || message(event))
    }
}

/// Target of the lines that tell what was held back.
const TELLING: &str = "tcpdrop_otel::repeats";

/// Says what was held back.
pub(super) fn tell(held: Vec<Held>) {
    for Held { level, lines, example } in held {
        let text = format!("and {lines} more lines like this in the last minute: {example}");
        match level {
            Level::ERROR => tracing::error!(target: TELLING, "{text}"),
            Level::WARN => tracing::warn!(target: TELLING, "{text}"),
            Level::INFO => tracing::info!(target: TELLING, "{text}"),
            _ => tracing::debug!(target: TELLING, "{text}"),
        }
    }
}

/// The start of an event's message.
fn message(event: &Event<'_>) -> String {
    struct Message(String);
    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                // Writing to a string cannot fail.
                let _ = write!(self.0, "{value:?}");
            }
        }
    }
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0.truncate(message.0.floor_char_boundary(EXAMPLE));
    message.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, fmt, registry};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `work` logs, and the state that it leaves.
    fn logged(work: impl FnOnce()) -> (String, Repeats) {
        let (lines, repeats) = (Lines::default(), Repeats::default());
        let writer = lines.clone();
        let layer = fmt::layer().with_ansi(false).without_time().with_writer(move || writer.clone());
        let subscriber = registry().with(layer.with_filter(repeats.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        (text, repeats)
    }

    #[test]
    fn a_flood_of_one_place_is_cut_and_counted_and_others_go_on() {
        let (text, repeats) = logged(|| {
            for number in 0..133 {
                tracing::warn!("event {number} is broken");
            }
            tracing::info!("something else");
        });
        assert_eq!(text.matches("is broken").count(), 10, "{text}");
        assert!(text.contains("something else"), "{text}");
        let held = repeats.take_held(Instant::now());
        let expected = Held { level: Level::WARN, lines: 123, example: "event 10 is broken".to_owned() };
        assert_eq!(held, [expected]);
        assert_eq!(repeats.take_held(Instant::now()), []);
    }

    #[test]
    fn what_was_held_back_is_told_and_never_held_back_itself() {
        let held = Held { level: Level::WARN, lines: 123, example: "it is broken".to_owned() };
        let (text, _) = logged(|| (0..50).for_each(|_| tell(vec![held.clone()])));
        assert_eq!(text.matches("and 123 more lines like this in the last minute: it is broken").count(), 50);
        assert!(text.contains("WARN"), "{text}");
    }

    #[test]
    fn after_an_interval_a_place_may_speak_again_and_quiet_ones_are_forgotten() {
        let (_, repeats) = logged(|| (0..11).for_each(|_| tracing::warn!("broken")));
        let later = Instant::now() + INTERVAL;
        assert_eq!(repeats.places().len(), 1);
        assert_eq!(repeats.take_held(later).len(), 1);
        assert_eq!(repeats.places().len(), 0);
    }

    #[test]
    fn a_long_message_is_cut_at_a_letter() {
        let (_, repeats) = logged(|| (0..11).for_each(|_| tracing::warn!("{}", "é".repeat(150))));
        assert_eq!(repeats.take_held(Instant::now())[0].example, "é".repeat(100));
    }
}
