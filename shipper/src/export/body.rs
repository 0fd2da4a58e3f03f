//! Request bodies: what waits in the spool, turned into what a receiver was promised.

use super::Signal;
use super::destination::Destination;
use super::grpc;
use crate::config::model::{Compression, Protocol};
use crate::otlp::json;
use bytes::Bytes;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Serialize;
use std::io::{self, Write};

/// The body of a request whose protobuf is `encoded`.
///
/// # Errors
/// `encoded` is not the signal's request; only where it has to be read, which is for JSON.
pub(super) fn make(destination: &Destination, signal: Signal, encoded: Bytes) -> io::Result<Bytes> {
    let body = match destination.protocol {
        Protocol::HttpJson => to_json(signal, encoded)?,
        Protocol::HttpProtobuf | Protocol::Grpc => encoded,
    };
    let body = match destination.compression {
        Compression::Gzip => gzip(&body)?,
        Compression::None => body,
    };
    match destination.protocol {
        Protocol::Grpc => grpc::frame(destination.compression, &body),
        Protocol::HttpProtobuf | Protocol::HttpJson => Ok(body),
    }
}

fn to_json(signal: Signal, encoded: Bytes) -> io::Result<Bytes> {
    match signal {
        Signal::Logs => json_of::<ExportLogsServiceRequest>(encoded),
        Signal::Traces => json_of::<ExportTraceServiceRequest>(encoded),
    }
}

fn json_of<Request: Message + Default + Serialize>(encoded: Bytes) -> io::Result<Bytes> {
    let request = Request::decode(encoded)?;
    Ok(serde_json::to_vec(&json::value(&request)?)?.into())
}

/// Fast rather than small: the host may be in trouble already.
fn gzip(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::model::Export;
    use std::io::Read;

    fn destination(protocol: Protocol, compression: Compression) -> Destination {
        Export { protocol, compression, ..Export::default() }.destination(Signal::Logs)
    }

    #[test]
    fn gzip_is_undone_by_gunzip() {
        let body = Bytes::from(b"abc".repeat(1_000));
        let packed =
            make(&destination(Protocol::HttpProtobuf, Compression::Gzip), Signal::Logs, body.clone())
                .unwrap();
        assert!(packed.len() < 100);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, body);
    }

    #[test]
    fn protobuf_goes_as_it_is() {
        let body = Bytes::from_static(b"encoded");
        let made = make(&destination(Protocol::HttpProtobuf, Compression::None), Signal::Logs, body.clone());
        assert_eq!(made.unwrap(), body);
        let made = make(&destination(Protocol::Grpc, Compression::None), Signal::Logs, body);
        assert_eq!(made.unwrap(), b"\0\0\0\0\x07encoded"[..]);
    }

    #[test]
    fn json_is_made_of_what_can_be_read() {
        let json = destination(Protocol::HttpJson, Compression::None);
        let request = ExportLogsServiceRequest { resource_logs: vec![Default::default()] };
        let body = make(&json, Signal::Logs, request.encode_to_vec().into()).unwrap();
        assert_eq!(body, br#"{"resourceLogs":[{}]}"#[..]);
        assert!(make(&json, Signal::Logs, Bytes::from_static(b"\xff")).is_err());
    }
}
