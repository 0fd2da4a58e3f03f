//! What differs between two JSON documents.

use serde_json::Value;
use std::collections::BTreeSet;

/// One difference. Positions in lists are left out of the path, so that a reason holds for all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    pub(crate) path: String,
    pub(crate) ours: String,
    pub(crate) theirs: String,
}

/// All of them, each once.
pub(crate) fn between(ours: &Value, theirs: &Value) -> BTreeSet<Difference> {
    let mut found = BTreeSet::new();
    compare("", ours, theirs, &mut found);
    found
}

fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut BTreeSet<Difference>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for name in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
                let of = |fields: &serde_json::Map<_, _>| fields.get(name).cloned().unwrap_or_default();
                compare(&format!("{path}.{name}"), &of(ours), &of(theirs), found);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            ours.iter().zip(theirs).for_each(|(ours, theirs)| compare(path, ours, theirs, found));
        }
        _ if ours == theirs => {}
        _ => {
            let path = path.trim_start_matches('.').to_owned();
            found.insert(Difference { path, ours: ours.to_string(), theirs: theirs.to_string() });
        }
    }
}

/// Sorts the attributes of the resources: the SDK keeps them in a hash table, in no order.
pub(crate) fn sort_resource_attributes(document: &mut Value) {
    let groups =
        document.as_object_mut().unwrap().values_mut().flat_map(|groups| groups.as_array_mut().unwrap());
    for group in groups {
        let attributes = group["resource"]["attributes"].as_array_mut().unwrap();
        attributes.sort_by_key(|attribute| attribute["key"].to_string());
    }
}
