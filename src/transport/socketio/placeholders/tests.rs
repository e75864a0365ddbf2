//! Placeholders of attachments in events.

use super::*;

fn check(text: &str, attachments: usize) -> Result<()> {
    let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
    check_placeholders(&values, &VecDeque::from(vec![Bytes::new(); attachments]))
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
fn a_placeholder_is_found_however_its_name_is_written() {
    let found = |text: &str| {
        find_placeholders(text)
            .into_iter()
            .map(|holder| (text[holder.range].to_owned(), holder.holds))
            .collect::<Vec<_>>()
    };
    let placeholder = |text: &str| (text.to_owned(), Holds::Placeholder(Some(0)));
    let others = |text: &str| (text.to_owned(), Holds::Others);
    let plain = r#"{"_placeholder":true,"num":0}"#;
    assert_eq!(found(plain), [placeholder(plain)]);
    for own in [
        r#"{ "_placeholder" : true , "num" : 0 }"#,
        r#"{"\u005Fplaceholder":true,"n\u0075m":0}"#,
        r#"{"num":0,"_placeh\u006flder":true,"more":[{"_placeholder":true,"num":1}]}"#,
        r#"{"num":7,"_placeholder":false,"_placeholder":true,"num":0}"#,
    ] {
        let object = format!(r#"{{"b":{own}}}"#);
        let text = format!(r#"["say \"hi\" \u00e4",[1],{object},{{}},"num"]"#);
        assert_eq!(
            found(&text),
            [others(&text), others(&object), placeholder(own)]
        );
    }
    for text in [
        "1",
        r#"{"a":"\u00e4\u00f6"}"#,
        r#"{"\\u005fplaceholder":true,"num":0}"#,
        r#"["_placeholder",true,{"a":"_placeholder","b":true}]"#,
        r#"{"_placeholder":{"_placeholder":"true"}}"#,
        r#"[{"_placeholder":[true],"num":0}]"#,
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn the_number_of_an_attachment_is_a_whole_one() {
    for (number, expected) in [
        ("0", Some(0)),
        ("12", Some(12)),
        ("-1", None),
        ("1.0", None),
        ("1e3", None),
        ("\"1\"", None),
        ("{}", None),
        ("99999999999999999999999", None),
    ] {
        let text = format!(r#"{{"_placeholder":true,"num":{number}}}"#);
        let found = find_placeholders(&text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].holds, Holds::Placeholder(expected), "{number}");
    }
}
