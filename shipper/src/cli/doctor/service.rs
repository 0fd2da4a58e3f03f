//! The checks that settings decide: the agent's port, its memory, the receivers.

use super::check::Check;
use crate::config::model::Export;
use crate::config::{Config, ConfigError, Sources, ignored};
use crate::export::answer::Answer;
use crate::export::connector::NoRegistry;
use crate::export::route::{Route, RouteError};
use crate::export::service::Service;
use crate::export::transport::OtlpTransport;
use crate::serve::{self, ServeError};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Names and connections that take longer than this are called unreachable.
const PATIENCE: Duration = Duration::from_secs(3);
/// Names of the checks that need settings that hold.
const NAMES: [&str; 5] = ["health port", "spool", "logs", "traces", "metrics"];

/// What needs the settings, or that they don't hold.
pub(super) async fn checks(
    settings: Result<&(Config, Sources), &ConfigError>,
    memory: Option<u64>,
) -> Vec<Check> {
    let (config, sources) = match settings {
        Ok(settings) => settings,
        Err(error) => {
            let wrong = Check::fail(
                "configuration",
                error.to_string(),
                "correct it; tcpdrop-otel config check says when it holds, config reference lists all settings",
            );
            let skipped = NAMES.map(|name| Check::skipped(name, "needs a configuration that holds"));
            return std::iter::once(wrong).chain(skipped).collect();
        }
    };
    let own = config.own_export();
    let own_endpoint =
        if config.telemetry.endpoint.is_some() { "telemetry.endpoint" } else { "export.endpoint" };
    let (logs, traces, metrics) = tokio::join!(
        reach(Service::Logs, &config.export, "export.endpoint"),
        reach(Service::Traces, &config.export, "export.endpoint"),
        reach(Service::Metrics, &own, own_endpoint)
    );
    let port = match serve::bind(config.health.listen) {
        Err(ServeError::InUse { address }) => Port::Taken(address, ask_agent(address).await),
        bound => Port::Asked(config.health.listen, bound.map(drop)),
    };
    vec![
        configuration(&ignored(sources)),
        health_port(port),
        spool(config.spool.max_bytes, memory),
        receiver(&logs),
        receiver(&traces),
        receiver(&metrics),
    ]
}

fn configuration(ignored: &[String]) -> Check {
    const NAME: &str = "configuration";
    match ignored {
        [] => Check::ok(NAME, "holds; tcpdrop-otel config show lists it"),
        ignored => Check::warn(
            NAME,
            format!("holds, but\n{}", ignored.join("\n")),
            "unset these variables for the agent, or set what they were to do by its own settings",
        ),
    }
}

/// The port of the agent's own server.
enum Port {
    /// Whether it can be had.
    Asked(SocketAddr, Result<(), ServeError>),
    /// Somebody has it: an agent, if it has answered as one.
    Taken(SocketAddr, Option<Readiness>),
}

/// What an agent says at `/readyz`.
#[derive(Debug, serde::Deserialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

/// What the agent at `address` says of itself; `None` if none answers there.
async fn ask_agent(address: SocketAddr) -> Option<Readiness> {
    const MOST_BYTES: u64 = 64 << 10;
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
        let mut response = Vec::new();
        stream.take(MOST_BYTES).read_to_end(&mut response).await?;
        io::Result::Ok(response)
    };
    let response = timeout(PATIENCE, exchange).await.ok()?.ok()?;
    let response = String::from_utf8(response).ok()?;
    serde_json::from_str(response.split_once("\r\n\r\n")?.1).ok()
}

fn health_port(port: Port) -> Check {
    const NAME: &str = "health port";
    match port {
        Port::Asked(address, Ok(())) => Check::ok(NAME, format!("{address} is free")),
        Port::Asked(_, Err(error)) => {
            Check::fail(NAME, error.to_string(), "set health.listen to an address that can be had")
        }
        Port::Taken(address, Some(Readiness { ready: true, .. })) => {
            Check::ok(NAME, format!("an agent runs already and is ready, see http://{address}/status"))
        }
        Port::Taken(address, Some(Readiness { reasons, .. })) => Check::warn(
            NAME,
            format!("an agent runs already and is not ready: {}", reasons.join("; ")),
            format!("look at its log, and at http://{address}/status"),
        ),
        Port::Taken(address, None) => Check::fail(
            NAME,
            ServeError::InUse { address }.to_string(),
            "set health.listen to a free port, or end what has this one",
        ),
    }
}

/// The agent holds at most this much, besides what it needs anyway.
fn spool(max_bytes: u64, available: Option<u64>) -> Check {
    const NAME: &str = "spool";
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let wanted = mebibytes(max_bytes);
    match available {
        Some(available) if max_bytes > available / 2 => Check::warn(
            NAME,
            format!(
                "may grow to {wanted} MiB in memory, of which {} MiB are available",
                mebibytes(available)
            ),
            "set spool.max_bytes to less: under pressure the kernel would end the agent",
        ),
        Some(available) => Check::ok(
            NAME,
            format!("up to {wanted} MiB in memory, {} MiB are available", mebibytes(available)),
        ),
        None => Check::ok(NAME, format!("up to {wanted} MiB in memory")),
    }
}

/// How far a request to a receiver came.
#[derive(Debug)]
pub(super) struct Reached {
    service: Service,
    name: String,
    /// The key that names it, or could.
    setting: &'static str,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Its name has no address.
    Unresolved(io::Error),
    /// It does not take connections.
    Unconnected(io::Error),
    /// A file that it needs is missing or wrong.
    NoRoute(RouteError),
    /// It is not wanted.
    NotExported,
    /// It takes connections, and this came of an empty request.
    Answered(Answer),
}

async fn reach(service: Service, export: &Export, common: &'static str) -> Reached {
    let name = export.destination(service).name();
    let setting = match service {
        _ if export.of(service).endpoint.is_none() => common,
        Service::Logs => "export.logs.endpoint",
        Service::Traces => "export.traces.endpoint",
        Service::Metrics => "export.metrics.endpoint",
    };
    let step = match Route::of(export, service) {
        Ok(Some(route)) => try_to_reach(service, route).await,
        Ok(None) => Step::NotExported,
        Err(error) => Step::NoRoute(error),
    };
    Reached { service, name, setting, step }
}

async fn try_to_reach(service: Service, route: Route) -> Step {
    let destination = &route.destination;
    let host = destination.url.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = destination.url.port_u16().unwrap_or(if destination.is_tls() { 443 } else { 80 });
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let addresses: Vec<_> = match timeout(PATIENCE, lookup_host((host, port))).await.map_err(|_| late()) {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) | Err(error) => return Step::Unresolved(error),
    };
    match timeout(PATIENCE, TcpStream::connect(&addresses[..])).await.map_err(|_| late()) {
        Ok(Ok(_)) => {}
        Ok(Err(error)) | Err(error) => return Step::Unconnected(error),
    }
    Step::Answered(OtlpTransport::new(route, Arc::new(NoRegistry)).deliver(service, Bytes::new()).await)
}

/// A receiver that is away for now costs room in the spool, one that refuses costs the data; without own metrics the agent
/// does its work.
fn receiver(reached: &Reached) -> Check {
    let Reached { service, name: url, setting, step } = reached;
    let name = service.name();
    let meanwhile = match service {
        Service::Metrics => "they are not sent",
        Service::Logs | Service::Traces => "what comes waits in the spool",
    };
    match step {
        Step::Unresolved(error) => Check::warn(
            name,
            format!("the host of {url} has no address: {error}"),
            format!("check the spelling in {setting}, and this host's DNS"),
        ),
        Step::Unconnected(error) => Check::warn(
            name,
            format!("{url} takes no connections, and {meanwhile}: {error}"),
            format!("start the Collector there, let firewalls pass it, or name another in {setting}"),
        ),
        Step::NoRoute(error) => Check::fail(name, error.to_string(), "mend the file, or name another"),
        Step::NotExported => Check::ok(name, format!("not exported (export.{service}.exporter = \"none\")")),
        Step::Answered(Answer::Accepted { .. }) => Check::ok(name, format!("{url} takes an empty request")),
        Step::Answered(Answer::Retry { why, .. }) => Check::warn(
            name,
            format!("{url} does not take requests now, and {meanwhile}: {why}"),
            format!("look at the receiver's logs, and at {setting}"),
        ),
        Step::Answered(Answer::Refused { why }) if *service == Service::Metrics => Check::warn(
            name,
            format!("{url} refuses requests: {why}"),
            format!(
                "check {setting}, or set export.metrics.exporter = \"none\": the agent's own metrics stay at /metrics"
            ),
        ),
        Step::Answered(Answer::Refused { why }) => Check::fail(
            name,
            format!("{url} refuses requests: {why}"),
            format!("check {setting} and export.headers: what is refused is lost"),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "service_tests.rs"]
mod tests;
