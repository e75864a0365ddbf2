use std::time::Duration;

use super::*;

fn read(json: &str) -> (Vec<(String, Duration)>, Vec<String>) {
    let mut problems = Vec::new();
    let tables = Tables::from_json(json).unwrap();
    let values = tables.read("hooks.call", &mut problems, |table| {
        let (url, timeout) = (table.get::<String>("url"), table.get("timeout"));
        Some((url?, timeout.unwrap_or(Duration::from_secs(3))))
    });
    (values, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn each_table_is_read() {
    let (values, problems) = read(r#"[{"url":"a"},{"url":"b","timeout":"1s"}]"#);
    assert_eq!(problems, [""; 0]);
    assert_eq!(values[1], ("b".to_owned(), Duration::from_secs(1)));
}

#[test]
fn every_problem_names_its_table_and_its_key() {
    let (_, problems) = read(r#"[{"url":7},{"url":["a"],"timeout":"x","tiemout":1},{"url":{}}]"#);
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(problems[0].starts_with("hooks.call[1].url: "));
    assert!(problems[1].starts_with("hooks.call[1].timeout: "));
    assert!(problems[2].starts_with("hooks.call[1].tiemout: there is no such key; there are url"));
    assert!(problems[3].starts_with("hooks.call[2].url: "));
}

#[test]
fn secrets_are_not_printed() {
    let tables = Tables::from_json(r#"[{"url":"http://u:hush@a/?t=hush","secret":"hush"}]"#);
    let tables = tables.unwrap();
    assert!(tables.is_redacted());
    let printed = format!("{tables:?} {:?} {}", tables.to_value(), tables.to_value());
    assert!(!printed.contains("hush"), "{printed}");
}

#[test]
fn what_is_no_array_of_objects_is_refused() {
    for text in ["{}", "[1]", "x", "[{]"] {
        assert_eq!(Tables::parse(text), None, "{text}");
    }
    assert_eq!(Tables::parse(""), Some(Tables::default()));
}
