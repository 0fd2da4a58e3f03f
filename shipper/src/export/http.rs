//! OTLP over HTTP: what a request says about its body.

use super::destination::Destination;
use crate::config::model::{Compression, Protocol};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// Describes a body that [`body::make`](super::body::make) made.
pub(super) fn describe_body(headers: &mut HeaderMap, destination: &Destination) {
    let media = match destination.protocol {
        Protocol::HttpJson => "application/json",
        Protocol::HttpProtobuf | Protocol::Grpc => "application/x-protobuf",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    if destination.compression == Compression::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}
