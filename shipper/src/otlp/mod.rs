//! `convert`: reports become OTLP. Pure: time and randomness come in as values, nothing is looked up.
//!
//! [`logs`] and [`spans`] make an [`Entry`] of each report, [`encode`] packs entries with their resources into requests.
//! [`semconv`] has the attribute names, `attributes` what each is filled with.

mod attributes;
pub mod body;
pub mod encode;
pub mod json;
pub mod logs;
pub mod resource;
pub mod semconv;
pub mod severity;
pub mod spans;

use crate::drop_report::UnixNanos;
use crate::export::Contents;

/// A log record or span, with what it counts for in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<T> {
    /// The record or span.
    pub message: T,
    /// What it holds.
    pub contents: Contents,
}

/// The moment as a timestamp; all of `u64` fits (until the year 2554).
pub(crate) fn timestamp(time: UnixNanos) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or(jiff::Timestamp::MAX)
}
