//! Request bodies: what waits in the spool, turned into what a receiver was promised.

use super::destination::Destination;
use super::grpc;
use super::service::Service;
use crate::config::model::{Compression, Protocol};
use bytes::Bytes;
use flate2::write::GzEncoder;
use std::io::{self, Write};

/// The body of a request whose protobuf is `encoded`.
///
/// # Errors
/// `encoded` is not the service's request; only where it has to be read, which is for JSON.
pub(super) fn make(destination: &Destination, service: Service, encoded: Bytes) -> io::Result<Bytes> {
    let body = match destination.protocol {
        Protocol::HttpJson => service.to_json(encoded)?,
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
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use prost::Message;
    use std::io::Read;

    fn destination(protocol: Protocol, compression: Compression) -> Destination {
        Export { protocol, compression, ..Export::default() }.destination(Service::Logs)
    }

    #[test]
    fn gzip_is_undone_by_gunzip() {
        let body = Bytes::from(b"abc".repeat(1_000));
        let packed =
            make(&destination(Protocol::HttpProtobuf, Compression::Gzip), Service::Logs, body.clone())
                .unwrap();
        assert!(packed.len() < 100);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, body);
    }

    #[test]
    fn protobuf_goes_as_it_is() {
        let body = Bytes::from_static(b"encoded");
        let made = make(&destination(Protocol::HttpProtobuf, Compression::None), Service::Logs, body.clone());
        assert_eq!(made.unwrap(), body);
        let made = make(&destination(Protocol::Grpc, Compression::None), Service::Logs, body);
        assert_eq!(made.unwrap(), b"\0\0\0\0\x07encoded"[..]);
    }

    #[test]
    fn json_is_made_of_what_can_be_read() {
        let json = destination(Protocol::HttpJson, Compression::None);
        let request = ExportLogsServiceRequest { resource_logs: vec![Default::default()] };
        let body = make(&json, Service::Logs, request.encode_to_vec().into()).unwrap();
        assert_eq!(body, br#"{"resourceLogs":[{}]}"#[..]);
        assert!(make(&json, Service::Logs, Bytes::from_static(b"\xff")).is_err());
    }
}
