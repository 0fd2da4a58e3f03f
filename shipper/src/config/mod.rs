//! Settings: [`model`] says which there are, the rest reads and checks them.
//!
//! They come in layers, and the later wins:
//!
//! 1. the built-in defaults;
//! 2. the file: the one that was named, else `/etc/tcpdrop-otel/tcpdrop-otel.toml` if there is one;
//! 3. the OpenTelemetry variables `OTEL_EXPORTER_OTLP_*`;
//! 4. `TCPDROP_OTEL_<SECTION>_<KEY>`, which exist for every key;
//! 5. `--set section.key=value`.
//!
//! The product's own variables win over the standard ones because they are the more specific: `OTEL_*` is often given to
//! all that runs on a host or in a pod. As the OpenTelemetry specification has it, a variable that is empty counts as
//! unset, and what is set for one signal wins over what is set for all, whichever layer either comes from.
//! Where the specification would ignore a bad value with a warning, it is refused here: a wrong setting must not be found
//! during an incident. Variables of the specification that change nothing here are [`ignored`], with a word.
//!
//! [`load`] is a pure function from the texts of the layers to a [`Config`] or to all that is wrong with them;
//! [`Sources::gather`] gets the texts from the process.

mod destination;
mod endpoint;
mod error;
mod filter;
pub(crate) mod headers;
mod ignored;
mod keys;
mod load;
pub mod model;
pub(crate) mod nearest;
mod read;
mod severity;
pub mod show;
mod sources;
mod standard;

pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::{ConfigError, Origin, Problem};
pub use ignored::ignored;
pub use load::load;
pub use model::{Config, default_path};
pub use severity::default_policy;
pub use sources::{SourceFile, Sources};

/// The names of all settings, sections included.
pub fn key_paths() -> impl Iterator<Item = &'static str> {
    keys::KEYS.iter().map(|key| key.path)
}
