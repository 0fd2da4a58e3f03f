//! Request headers, whose values may be secret: none of the messages here repeats one.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

/// Reads `name=value,name2=value2` with percent-encoded values, the form of `OTEL_EXPORTER_OTLP_HEADERS` (OpenTelemetry
/// specification, OTLP exporter, "Specifying headers via environment variables").
pub(crate) fn parse(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (index, pair) in text.split(',').enumerate().filter(|(_, pair)| !pair.trim().is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!(
                "must be a list such as name=value,name2=value2: part {} has no `=`",
                index + 1
            ));
        };
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| {
            format!("has a value for {:?} that is not UTF-8 once percent-decoded", name.trim())
        })?;
        insert(&mut headers, name.trim(), &value)?;
    }
    Ok(headers)
}

/// Reads a file of headers: a line each, `name: value` or `name=value`, the value as it is. Empty lines and those that
/// begin with `#` are skipped.
pub(crate) fn parse_file(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let Some((name, value)) = line.split_once([':', '=']) else {
            return Err(format!("line {number} must be name: value or name=value"));
        };
        insert(&mut headers, name.trim(), value.trim()).map_err(|what| format!("line {number} {what}"))?;
    }
    Ok(headers)
}

/// Adds a header, its value marked sensitive.
pub(super) fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let known = name
        .parse::<HeaderName>()
        .map_err(|_| format!("has {name:?}, which cannot be the name of a header"))?;
    if is_the_exporter_s(&known) {
        return Err(format!("must not set `{known}`: the exporter does"));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        format!("has a value for `{known}` with a line break or another character that no header may hold")
    })?;
    value.set_sensitive(true);
    if headers.insert(known, value).is_some() {
        return Err(format!("has {name:?} twice (upper and lower case are the same)"));
    }
    Ok(())
}

/// Headers that describe the body or the connection: another value would break requests in ways that are hard to see.
fn is_the_exporter_s(name: &HeaderName) -> bool {
    use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING].contains(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_trimmed_and_decoded() {
        let headers = parse(" api-key = s%20e%2Cc=r , X-Team=a,").unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["api-key"], "s e,c=r");
        assert_eq!(headers["x-team"], "a");
    }

    #[test]
    fn a_file_has_a_header_a_line_taken_as_it_is() {
        let text = "# of the vendor\r\n\r\napi-key: a=b:c%2C\r\n X-Team=net: 1 ";
        let headers = parse_file(text).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["api-key"], "a=b:c%2C");
        assert_eq!(headers["x-team"], "net: 1");
        assert!(headers.values().all(HeaderValue::is_sensitive));
    }

    #[test]
    fn a_file_s_mistakes_are_told_by_line_and_without_secrets() {
        for (text, what) in [
            ("secret", "line 1 must be name: value or name=value"),
            ("\na b: secret", "line 2 has \"a b\", which cannot be the name of a header"),
            ("a: secret\nA=secret", "line 2 has \"A\" twice (upper and lower case are the same)"),
        ] {
            assert_eq!(parse_file(text).unwrap_err(), what);
        }
    }

    #[test]
    fn values_are_shown_neither_by_debug_nor_by_errors() {
        assert!(!format!("{:?}", parse("api-key=secret").unwrap()).contains("secret"));
        for text in [
            "a b=secret",
            "a=secret%0A",
            "a=secret,A=secret",
            "a=secret%FF",
            "a=1,secret",
            "=secret",
            "content-type=secret",
        ] {
            let complaint = parse(text).unwrap_err();
            assert!(!complaint.contains("secret"), "{text}: {complaint}");
        }
    }
}
