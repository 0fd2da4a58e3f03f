//! The command line: one file per subcommand.

pub mod args;
pub mod classic;
pub mod config;
pub mod console;
pub mod demo;
pub mod run;
pub mod watch;

use crate::otlp::resource::{self, HostView};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::collections::BTreeMap;

/// The resource of drops without a known owner: this host, named as the environment says.
pub fn observed_resource() -> Resource {
    let service_name = std::env::var("OTEL_SERVICE_NAME").ok();
    let declared = match std::env::var("OTEL_RESOURCE_ATTRIBUTES") {
        Ok(text) => resource::parse_attributes(&text).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            BTreeMap::new()
        }),
        Err(_) => BTreeMap::new(),
    };
    resource::observed_host(&HostView::read(), service_name.as_deref(), &declared)
}
