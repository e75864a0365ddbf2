#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use serde_json::value::to_raw_value;
use tempfile::TempDir;

use super::*;

/// A folder of schemas, by their file names.
fn folder(schemas: &[(&str, Value)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, schema) in schemas {
        fs::write(folder.path().join(name), schema.to_string()).unwrap();
    }
    folder
}

fn check(schema: &EventSchema, data: &Value) -> Result<(), SchemaRefusal> {
    schema.check(&to_raw_value(data).unwrap())
}

#[test]
fn a_refusal_names_the_place_as_a_json_pointer() {
    let folder = folder(&[(
        "s.json",
        serde_json::json!({ "properties": { "a/b": { "items": { "type": "number" } } } }),
    )]);
    let schema = EventSchema::read(&folder.path().join("s.json")).unwrap();
    let refusal = check(&schema, &serde_json::json!({ "a/b": [1, "two"] })).unwrap_err();
    assert_eq!(refusal.at, "/a~1b/1");
    assert_eq!(refusal.message, r#""two" is not of type "number""#);
    assert_eq!(
        check(&schema, &serde_json::json!({ "a/b": [1, 2] })),
        Ok(())
    );
}

#[test]
fn a_schema_refers_to_files_beside_it_and_to_nothing_else() {
    let refer = |to: &str| serde_json::json!({ "$ref": to });
    let folder = folder(&[
        ("point.json", serde_json::json!({ "type": "number" })),
        ("good.json", refer("point.json")),
        ("above.json", refer("../point.json")),
        ("absolute.json", refer("/etc/passwd")),
        ("file.json", refer("file:///etc/passwd")),
        ("web.json", refer("https://example.com/schema.json")),
        ("hidden.json", refer("a/../point.json")),
        ("encoded.json", refer("..%2Fpoint.json")),
        (
            "metaschema.json",
            refer("https://json-schema.org/draft/2020-12/schema"),
        ),
    ]);
    let read = |name: &str| EventSchema::read(&folder.path().join(name));
    assert!(check(&read("good.json").unwrap(), &Value::from("x")).is_err());
    for name in ["absolute.json", "file.json", "web.json", "encoded.json"] {
        assert!(read(name).is_err(), "{name}");
    }
    // What a URL does with dots stays in the folder.
    for name in ["above.json", "hidden.json"] {
        assert!(
            check(&read(name).unwrap(), &Value::from("x")).is_err(),
            "{name}"
        );
    }
    // It is built in.
    assert!(read("metaschema.json").is_ok());
}

#[test]
fn patterns_take_linear_time_or_are_refused() {
    let folder = folder(&[
        ("slow.json", serde_json::json!({ "pattern": "^(a+)+$" })),
        ("behind.json", serde_json::json!({ "pattern": "(?=a)a" })),
    ]);
    let slow = EventSchema::read(&folder.path().join("slow.json")).unwrap();
    assert!(check(&slow, &Value::from(format!("{}b", "a".repeat(50_000)))).is_err());
    assert!(EventSchema::read(&folder.path().join("behind.json")).is_err());
}
