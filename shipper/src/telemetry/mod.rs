//! What the agent tells about itself: log lines on stderr, metrics on `/metrics`, and both over OTLP.

mod drop_metrics;
pub(crate) mod ledger_metrics;
mod logs;
pub mod metrics;
pub mod own_exporter;
mod process;
mod repeats;
mod silent_metrics;

pub use logs::{set_level, start};

use crate::config::Config;
use crate::enrich::site_names::SiteNames;
use crate::export::connector::OwnPortRegistry;
use crate::export::route::{Route, RouteError};
use crate::export::send::ExportStates;
use crate::export::service::Service;
use crate::ledger::{Ledger, Snapshot};
use crate::probe::Counters;
use crate::reasons::names::ReasonNames;
use crate::silent::books::Books;
use crate::state::live_slack;
use logs::OtlpLogs;
use metrics::{MetricsError, OwnMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use own_exporter::OwnExporter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What the metrics are read from, each time they are collected.
pub struct Observed {
    /// The kernel's counts.
    pub counters: Counters,
    /// User space's.
    pub ledger: Arc<Ledger>,
    /// How the export goes.
    pub export: ExportStates,
    /// Names of drop sites.
    pub site_names: SiteNames,
    /// Names of drop reasons.
    pub reasons: ReasonNames,
    /// Drops that the tracepoint does not tell.
    pub silent: Arc<Books>,
}

impl Observed {
    /// `None`, and said, if the kernel does not let its side be read.
    fn ledger(&self) -> Option<Snapshot> {
        let mut unreadable = None;
        let read_kernel =
            || self.counters.kernel().map_err(|error| unreadable = Some(error)).unwrap_or_default();
        let ledger = self.ledger.snapshot(read_kernel, live_slack());
        match unreadable {
            None => Some(ledger),
            Some(error) => {
                tracing::error!("{error}; the metrics of the ledger have a gap");
                None
            }
        }
    }
}

/// The ways of the agent's own telemetry; `None` is not sent.
pub struct OwnRoutes {
    metrics: Option<Route>,
    logs: Option<Route>,
}

impl OwnRoutes {
    /// Where metrics go, for people.
    pub fn metrics_to(&self) -> String {
        self.metrics.as_ref().map_or_else(|| "/metrics only".to_owned(), |route| route.destination.name())
    }
}

/// The agent's own telemetry at work.
pub struct OwnTelemetry {
    /// Metrics.
    pub metrics: OwnMetrics,
    logs: Option<OtlpLogs>,
}

impl OwnTelemetry {
    /// The ways to where it is sent, their files read.
    ///
    /// # Errors
    /// If a file is missing or wrong.
    pub fn routes(config: &Config) -> Result<OwnRoutes, RouteError> {
        let export = config.own_export();
        Ok(OwnRoutes {
            metrics: Route::of(&export, Service::Metrics)?,
            logs: Route::of(&export, Service::Logs)?,
        })
    }

    /// Starts to collect and to send, as the agent whose host is described by `observed`. `registry` is told of the
    /// connections before they are made.
    ///
    /// # Errors
    /// When the libraries refuse their settings.
    pub fn start(
        config: &Config,
        routes: OwnRoutes,
        registry: Arc<dyn OwnPortRegistry>,
        observed: &Resource,
    ) -> Result<Self, MetricsError> {
        let exporter = |route, service| OwnExporter::new(route, registry.clone(), service);
        let resource = metrics::resource(observed);
        let logs = routes.logs.map(|route| OtlpLogs::start(resource.clone(), exporter(route, Service::Logs)));
        let otlp = routes
            .metrics
            .map(|route| (exporter(route, Service::Metrics), config.telemetry.metrics_interval));
        Ok(Self { metrics: OwnMetrics::start(resource, otlp)?, logs })
    }

    /// Sends what is left, for at most `limit`.
    pub async fn shut_down(self, limit: Duration) {
        let Self { metrics, logs } = self;
        let metrics = within(limit, "metrics", move || metrics.shut_down());
        let logs = async {
            if let Some(logs) = logs {
                within(limit, "log lines", move || logs.shut_down()).await;
            }
        };
        tokio::join!(metrics, logs);
    }
}

/// The libraries wait as long as they like; on a thread of its own, since a blocking task of the runtime would keep the
/// process from ending.
async fn within(limit: Duration, what: &str, shut_down: impl FnOnce() + Send + 'static) {
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("last-telemetry".to_owned()).spawn(move || {
        shut_down();
        let _ = done.send(());
    });
    if thread.is_err() || tokio::time::timeout(limit, ended).await.is_err() {
        tracing::warn!("the last own {what} were not taken within {limit:?}");
    }
}
