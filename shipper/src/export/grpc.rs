//! OTLP over gRPC: a call with one message each way, which is an HTTP/2 request with five bytes before its body
//! (grpc.io, "gRPC over HTTP2"). `docs/decisions/grpc-by-the-same-client.md` says why there is no more to it.

use super::destination::Destination;
use crate::config::model::Compression;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::io::{self, Read};
use std::time::Duration;

/// Whether the message is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A message as gRPC sends it.
pub(super) fn frame(compression: Compression, message: &[u8]) -> io::Result<Bytes> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_u8(u8::from(compression == Compression::Gzip));
    frame.put_u32(length);
    frame.put_slice(message);
    Ok(frame.freeze())
}

/// Most of a message that is unpacked: it is a number and a sentence.
const MAX_UNPACKED_BYTES: u64 = 64 << 10;

/// The first message of a body, unpacked: receivers answer a gzip request in gzip, the Collector among them. `None` if
/// it is not whole or packed otherwise.
pub(super) fn message(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (prefix, rest) = body.split_at_checked(PREFIX_BYTES)?;
    let (compressed, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let message = rest.get(..usize::try_from(length).ok()?)?;
    match compressed {
        0 => Some(message.into()),
        1 => gunzip(message).map(Cow::from),
        _ => None,
    }
}

fn gunzip(packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).take(MAX_UNPACKED_BYTES).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// Describes a body that [`body::make`](super::body::make) made.
pub(super) fn describe_body(headers: &mut HeaderMap, destination: &Destination) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(HeaderName::from_static("grpc-timeout"), timeout(destination.timeout));
    if destination.compression == Compression::Gzip {
        headers.insert(HeaderName::from_static("grpc-encoding"), HeaderValue::from_static("gzip"));
    }
}

/// gRPC has at most eight digits; the settings allow an hour.
fn timeout(timeout: Duration) -> HeaderValue {
    let text = format!("{}m", timeout.as_millis().clamp(1, 99_999_999));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("10S"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_is_read_back() {
        let framed = frame(Compression::None, b"message").unwrap();
        assert_eq!(message(&framed).as_deref(), Some(&b"message"[..]));
        assert_eq!(message(&frame(Compression::None, b"").unwrap()).as_deref(), Some(&b""[..]));
        assert_eq!(frame(Compression::Gzip, b"").unwrap()[0], 1);
    }

    #[test]
    fn what_is_not_whole_is_no_message() {
        let framed = frame(Compression::None, b"message").unwrap();
        for end in 0..framed.len() {
            assert_eq!(message(&framed[..end]), None, "{end}");
        }
        assert_eq!(message(&frame(Compression::Gzip, b"not packed").unwrap()), None);
        assert_eq!(message(&[0, 255, 255, 255, 255, 1]), None);
    }

    #[test]
    fn answers_in_gzip_are_unpacked_within_bounds() {
        let packed = |message: &[u8]| {
            let mut packed = Vec::new();
            let mut encoder = flate2::read::GzEncoder::new(message, flate2::Compression::fast());
            encoder.read_to_end(&mut packed).unwrap();
            frame(Compression::Gzip, &packed).unwrap()
        };
        assert_eq!(message(&packed(b"message")).as_deref(), Some(&b"message"[..]));
        let bomb = packed(&vec![0; 1 << 20]);
        assert_eq!(message(&bomb).unwrap().len() as u64, MAX_UNPACKED_BYTES);
    }

    #[test]
    fn timeouts_fit_into_eight_digits() {
        assert_eq!(timeout(Duration::from_secs(10)), "10000m");
        assert_eq!(timeout(Duration::MAX), "99999999m");
        assert_eq!(timeout(Duration::from_micros(1)), "1m");
    }
}
