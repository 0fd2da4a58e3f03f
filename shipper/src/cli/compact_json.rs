//! JSON for people: what fits into a line stands in one.

use serde_json::Value;

/// Columns that a line may have, indentation included.
const WIDTH: usize = 110;

/// `value` as indented JSON in which objects and arrays stay on one line where they fit.
pub fn to_string(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, 0, &mut text);
    text
}

/// `lead` are the columns that the line has before the value.
fn write(value: &Value, depth: usize, lead: usize, text: &mut String) {
    let line = value.to_string();
    if lead + line.chars().count() <= WIDTH {
        return text.push_str(&line);
    }
    match value {
        Value::Object(fields) => {
            let items =
                fields.iter().map(|(name, field)| (format!("{}: ", Value::from(name.as_str())), field));
            write_items('{', items, '}', depth, text);
        }
        Value::Array(items) => {
            write_items('[', items.iter().map(|item| (String::new(), item)), ']', depth, text);
        }
        _ => text.push_str(&line),
    }
}

fn write_items<'a>(
    open: char,
    items: impl Iterator<Item = (String, &'a Value)>,
    close: char,
    depth: usize,
    text: &mut String,
) {
    text.push(open);
    let mut separator = "\n";
    for (label, item) in items {
        text.push_str(separator);
        separator = ",\n";
        text.push_str(&"  ".repeat(depth + 1));
        text.push_str(&label);
        write(item, depth + 1, 2 * (depth + 1) + label.len(), text);
    }
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(close);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_fits_stays_on_a_line_and_all_of_it_is_json() {
        let long = "x".repeat(WIDTH);
        let value = json!({"short": [1, 2, {"a": "b"}], "long": [long, {"k": "v"}], "none": null});
        let text = to_string(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.lines().any(|line| line == r#"  "short": [1,2,{"a":"b"}]"#), "{text}");
    }
}
