//! JSON, as `JSON.parse` has it.

use super::*;

#[test]
fn what_json_parse_takes_is_json() {
    for text in [
        "null",
        " [1, -2.5e300, 1e999, {\"a\": \"\\u0041\\n\"}] ",
        // JavaScript cuts through pairs.
        r#""\ud83d""#,
        "\"\u{feff}\"",
    ] {
        assert!(is_json(text, 128), "{text}");
    }
    for text in [
        "",
        "undefined",
        "{a:1}",
        "[1,]",
        "01",
        "'a'",
        "1 2",
        "\"\n\"",
        "NaN",
    ] {
        assert!(!is_json(text, 128), "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(is_json(&nested(128), 128));
    assert!(!is_json(&nested(129), 128));
    assert!(!is_json(&nested(1_000_000), 128));
    assert!(is_json(
        &format!(r#"["{}","\\\"{}"]"#, "[".repeat(500), "{".repeat(500)),
        1
    ));
    assert!(is_json(r#"{"a":[{}],"b":[[]]}"#, 3));
    assert!(!is_json(r#"{"a":[{}],"b":[[]]}"#, 2));
}
