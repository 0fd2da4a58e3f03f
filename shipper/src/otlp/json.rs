//! OTLP/JSON, one request a line: what a Collector's file exporter writes and its receivers read.
//!
//! Fields with their default value are left out, as protobuf's JSON mapping allows.

use super::encode::{Exported, Placed, pack};
use serde_json::Value;

/// Entries as lines of OTLP/JSON, each ended by a newline.
///
/// # Errors
/// None that data can cause: it is the serializer's.
pub fn lines<T: Exported>(entries: Vec<Placed<T>>) -> serde_json::Result<String> {
    let mut lines = String::new();
    for (request, _) in pack(entries) {
        lines += &value(&request)?.to_string();
        lines += "\n";
    }
    Ok(lines)
}

/// A request, or a part of one, as OTLP/JSON.
///
/// # Errors
/// None that data can cause: it is the serializer's.
pub fn value(message: &impl serde::Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(message)?;
    leave_out_defaults(&mut value);
    Ok(value)
}

fn leave_out_defaults(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| !is_default(name, field));
            // Of an attribute's or a body's value the very presence says which type it has.
            let messages = fields.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "value" | "body"));
            messages.for_each(|(_, field)| leave_out_defaults(field));
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_defaults),
        _ => {}
    }
}

/// Whether a field has protobuf's default value.
fn is_default(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_u64() == Some(0),
        // Times are 64-bit integers, which are strings in JSON.
        Value::String(text) => text.is_empty() || (text == "0" && name.ends_with("UnixNano")),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use serde_json::json;

    #[test]
    fn defaults_of_fields_are_left_out_those_of_values_are_kept() {
        let any = |value| Some(AnyValue { value: Some(value) });
        let attribute =
            |key: &str, value| KeyValue { key: key.to_owned(), value: any(value), ..KeyValue::default() };
        let zero = ArrayValue { values: vec![any(Any::IntValue(0)).unwrap()] };
        let record = LogRecord {
            body: any(Any::StringValue(String::new())),
            attributes: vec![
                attribute("0", Any::IntValue(0)),
                attribute("b", Any::BoolValue(false)),
                attribute("c", Any::ArrayValue(zero)),
            ],
            ..LogRecord::default()
        };
        let expected = json!({
            "body": {"stringValue": ""},
            "attributes": [
                {"key": "0", "value": {"intValue": "0"}},
                {"key": "b", "value": {"boolValue": false}},
                {"key": "c", "value": {"arrayValue": {"values": [{"intValue": "0"}]}}},
            ],
        });
        assert_eq!(value(&record).unwrap(), expected);
    }
}
