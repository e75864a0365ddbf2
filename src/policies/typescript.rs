//! The TypeScript type of what a JSON Schema accepts, as far as types can say it.

use serde_json::Value;

/// How deep schemas are followed; what is deeper is `unknown`.
const MAX_DEPTH: usize = 32;

/// The type of the data that a schema accepts. It may accept less: types know nothing of lengths, ranges and patterns.
pub(super) fn type_of(schema: &Value) -> String {
    written(schema, MAX_DEPTH)
}

fn written(schema: &Value, depth: usize) -> String {
    let Some(schema) = schema.as_object().filter(|_| depth > 0) else {
        // No value fits the schema `false`.
        return if schema == &Value::Bool(false) {
            "never"
        } else {
            "unknown"
        }
        .to_owned();
    };
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return union(values.iter().map(Value::to_string).collect());
    }
    let of_all = |schemas: &Vec<Value>| -> Vec<String> {
        let types = schemas.iter().map(|schema| written(schema, depth - 1));
        types.collect()
    };
    let mut parts = Vec::new();
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(schemas)) = schema.get(key) {
            parts.push(union(of_all(schemas)));
        }
    }
    if let Some(Value::Array(schemas)) = schema.get("allOf") {
        parts.extend(of_all(schemas));
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ if schema.contains_key("properties") => vec!["object"],
        _ => Vec::new(),
    };
    let kinds = kinds.into_iter().map(|kind| match kind {
        "string" | "boolean" | "null" => kind.to_owned(),
        "number" | "integer" => "number".to_owned(),
        "array" => array(schema, depth - 1),
        "object" => object(schema, depth - 1),
        _ => "unknown".to_owned(),
    });
    let kinds = kinds.collect::<Vec<_>>();
    if !kinds.is_empty() {
        parts.push(union(kinds));
    }
    parts.retain(|part| part != "unknown");
    match parts.len() {
        0 => "unknown".to_owned(),
        1 => parts.remove(0),
        _ => {
            let parts = parts.iter().map(|part| match part.contains(" | ") {
                true => format!("({part})"),
                false => part.clone(),
            });
            parts.collect::<Vec<_>>().join(" & ")
        }
    }
}

fn union(mut types: Vec<String>) -> String {
    let mut seen = std::collections::BTreeSet::new();
    types.retain(|each| seen.insert(each.clone()));
    match types.iter().any(|each| each == "unknown") {
        true => "unknown".to_owned(),
        false if types.is_empty() => "never".to_owned(),
        false => types.join(" | "),
    }
}

type Schema = serde_json::Map<String, Value>;

fn array(schema: &Schema, depth: usize) -> String {
    let items = schema.get("items");
    // The older drafts have a tuple's types in `items`, and the rest in `additionalItems`.
    let (first, rest) = match (schema.get("prefixItems"), items) {
        (Some(Value::Array(first)), rest) => (Some(first), rest),
        (None, Some(Value::Array(first))) => (Some(first), schema.get("additionalItems")),
        (_, rest) => (None, rest),
    };
    let rest = rest.map_or_else(|| "unknown".to_owned(), |items| written(items, depth));
    let Some(first) = first else {
        return format!("Array<{rest}>");
    };
    let mut types: Vec<_> = first
        .iter()
        .map(|item| format!("{}?", grouped(&written(item, depth))))
        .collect();
    if rest != "never" {
        types.push(format!("...Array<{rest}>"));
    }
    format!("[{}]", types.join(", "))
}

fn object(schema: &Schema, depth: usize) -> String {
    let additional = schema.get("additionalProperties");
    let Some(Value::Object(properties)) = schema.get("properties") else {
        let values = additional.map_or_else(|| "unknown".to_owned(), |more| written(more, depth));
        return format!("Record<string, {values}>");
    };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|each| each == name));
    let members = properties.iter().map(|(name, schema)| {
        let mark = if is_required(name) { "" } else { "?" };
        format!("{}{mark}: {}", property(name), written(schema, depth))
    });
    format!("{{ {} }}", members.collect::<Vec<_>>().join("; "))
}

/// A type of which something is said behind it.
fn grouped(text: &str) -> String {
    match text.contains([' ', '|']) {
        true => format!("({text})"),
        false => text.to_owned(),
    }
}

/// A property's name as TypeScript has it.
pub(crate) fn property(name: &str) -> String {
    let mut chars = name.chars();
    let begins = chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    match begins && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_written_as_types() {
        for (schema, expected) in [
            (json!(true), "unknown"),
            (json!(false), "never"),
            (json!({}), "unknown"),
            (json!({ "type": "string", "minLength": 3 }), "string"),
            (json!({ "type": ["integer", "null"] }), "number | null"),
            (json!({ "enum": ["a", 1, null] }), r#""a" | 1 | null"#),
            (json!({ "const": { "a": 1 } }), r#"{"a":1}"#),
            (
                json!({ "type": "array", "items": { "type": "number" } }),
                "Array<number>",
            ),
            (json!({ "type": "array" }), "Array<unknown>"),
            (
                json!({ "type": "array", "prefixItems": [{ "type": "string" }], "items": false }),
                "[string?]",
            ),
            (
                json!({ "type": "array", "items": [{ "type": ["string", "null"] }], "additionalItems": { "type": "number" } }),
                "[(string | null)?, ...Array<number>]",
            ),
            (
                json!({ "properties": { "x": { "type": "number" }, "a-b": {} }, "required": ["x"] }),
                r#"{ "a-b"?: unknown; x: number }"#,
            ),
            (
                json!({ "type": "object", "additionalProperties": { "type": "boolean" } }),
                "Record<string, boolean>",
            ),
            (
                json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
                "string | number",
            ),
            (
                json!({ "allOf": [{ "properties": { "a": {} } }], "oneOf": [{ "const": 1 }, { "const": 2 }] }),
                "(1 | 2) & { a?: unknown }",
            ),
        ] {
            assert_eq!(type_of(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn what_is_too_deep_is_unknown() {
        let mut schema = json!({ "type": "string" });
        for _ in 0..1000 {
            schema = json!({ "type": "array", "items": schema });
        }
        assert!(type_of(&schema).contains("Array<unknown>"));
    }
}
