//! Placeholders of attachments in events.

use super::*;

fn check(text: &str, attachments: usize) -> Result<()> {
    let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
    check_placeholders(
        &values,
        Some(&VecDeque::from(vec![Bytes::new(); attachments])),
    )
}

#[test]
fn placeholders_that_name_each_an_attachment_pass() {
    for text in [
        "[1.0, \"_placeholder\"]",
        r#"[{"_placeholder":true,"num":1},[{"a":{"num":0,"_placeholder":true},"b":1.50}]]"#,
        r#"[{"_placeh\u006flder":true,"num":0}]"#,
        r#"[{"_placeholder":true,"_placeholder":false}]"#,
        r#"[{"_placeholder":1,"num":9}]"#,
    ] {
        check(text, 2).expect(text);
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
        let error = check(text, 2).expect_err(text);
        assert_eq!(error.code(), crate::error::Code::BadRequest);
    }
    let many = vec![r#"{"_placeholder":true,"num":0}"#; 1_000].join(",");
    assert!(check(&format!("[{many}]"), 1).is_err());
}

#[test]
fn an_event_without_attachments_has_no_placeholders() {
    let values: Vec<&RawValue> =
        serde_json::from_str(r#"[{"_placeholder":true,"num":0}]"#).unwrap();
    check_placeholders(&values, None).unwrap();
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
