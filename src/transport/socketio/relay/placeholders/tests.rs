//! Placeholders of attachments in relayed events.

use super::*;

/// The arguments, with the first byte of each attachment in its place.
fn filled(text: &str, attachments: u8) -> Result<String> {
    let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
    let attachments: VecDeque<Bytes> = (0..attachments)
        .map(|byte| Bytes::from(vec![byte + 7]))
        .collect();
    let filled = FilledArguments::new(&values, Some(&attachments))?;
    Ok(serde_json::to_string(&filled).unwrap())
}

#[test]
fn attachments_replace_their_placeholders_and_everything_else_is_unchanged() {
    for (text, expected) in [
        ("[1.0, \"_placeholder\"]", "[1.0,\"_placeholder\"]"),
        (
            r#"[{"_placeholder":true,"num":1},[{"a":{"num":0,"_placeholder":true},"b":1.50}]]"#,
            r#"[[8],[{"a":[7],"b":1.50}]]"#,
        ),
        (r#"[{"_placeh\u006flder":true,"num":0}]"#, "[[7]]"),
        (
            r#"[{"_placeholder":true,"_placeholder":false}]"#,
            r#"[{"_placeholder":true,"_placeholder":false}]"#,
        ),
        (
            r#"[{"_placeholder":1,"num":9}]"#,
            r#"[{"_placeholder":1,"num":9}]"#,
        ),
    ] {
        assert_eq!(filled(text, 2).unwrap(), expected, "{text}");
    }
}

#[test]
fn every_placeholder_names_an_attachment_and_no_attachment_is_named_twice() {
    for text in [
        r#"[{"_placeholder":true,"num":2}]"#,
        r#"[{"_placeholder":true,"num":-1}]"#,
        r#"[{"_placeholder":true,"num":1.5}]"#,
        r#"[{"_placeholder":true,"num":"0"}]"#,
        r#"[{"_placeholder":true,"num":null}]"#,
        r#"[{"_placeholder":true}]"#,
        r#"[{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":0}]}]"#,
        // Clients take these for placeholders, too.
        r#"[{"_placeholder":true,"num":7,"more":1}]"#,
        r#"[{"_placeholder":true,"num":0,"num":7}]"#,
        r#"[{"_placeholder":false,"_placeholder":true,"num":7}]"#,
    ] {
        let error = filled(text, 2).expect_err(text);
        assert_eq!(error.code(), crate::error::Code::BadRequest);
    }
    let many = vec![r#"{"_placeholder":true,"num":0}"#; 1_000].join(",");
    assert!(filled(&format!("[{many}]"), 1).is_err());
}

#[test]
fn an_event_without_attachments_passes_unchanged() {
    let text = r#"[{"_placeholder":true,"num":0}, 1.0]"#;
    let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
    let filled = FilledArguments::new(&values, None).unwrap();
    let passed = serde_json::to_string(&filled).unwrap();
    assert_eq!(passed, r#"[{"_placeholder":true,"num":0},1.0]"#);
}

#[test]
fn a_placeholder_is_found_however_its_name_is_written() {
    for text in [
        r#"{"_placeholder":true,"num":0}"#,
        r#"[{"a\u00e4":1,"b":{"\u005fplaceholder":true,"num":0}}]"#,
        r#"{"num":0,"_placeh\u006flder":true}"#,
        r#"["say \"hi\" \u00e4",{"_pl\u0061ceholder":true,"num":0}]"#,
    ] {
        assert!(may_hold_placeholder(text), "{text}");
    }
    for text in ["1", r#"{"a":"\u00e4\u00f6"}"#, r#""\\u005fplaceholder""#] {
        assert!(!may_hold_placeholder(text), "{text}");
    }
}
