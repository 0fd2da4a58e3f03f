//! Recordings: raw events of the probe with what is needed to read them anywhere. `docs/recording-format.md` describes
//! the file.
//!
//! [`Recorder`] writes lines, [`Reader`] reads them, [`replay()`] sends what is read through the pipeline with the file's
//! clocks as the time. [`format`](mod@format) has the lines, [`layout`] makes events of other versions readable.

pub mod format;
pub mod layout;
pub mod reader;
pub mod replay;
pub mod writer;

pub use format::{Clock, End, Header};
pub use reader::{ReadError, Reader};
pub use replay::{Replayed, replay};
pub use writer::{Known, Recorder};
