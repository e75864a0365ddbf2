//! Arguments of acks.

use super::*;

fn read(text: &str) -> Result<Vec<String>, ()> {
    let read: Acknowledgement = serde_json::from_str(text).map_err(|_| ())?;
    let values = read.values().map_err(|_| ())?;
    Ok(values.iter().map(|value| value.get().to_owned()).collect())
}

#[test]
fn any_number_of_arguments_is_kept_byte_for_byte() {
    assert_eq!(read("[]").unwrap(), Vec::<String>::new());
    assert_eq!(read("[null]").unwrap(), ["null"]);
    assert_eq!(read("[1.0, [2]]").unwrap(), ["1.0", "[2]"]);
    assert_eq!(
        read(r#"[null,"a","_placeholder",{"_placeholder":false}]"#).unwrap(),
        [
            "null",
            "\"a\"",
            "\"_placeholder\"",
            r#"{"_placeholder":false}"#
        ]
    );
}

#[test]
fn acks_that_are_no_array_or_have_attachments_are_refused() {
    for text in [
        "",
        "{}",
        "7",
        "[1",
        "[1,]",
        r#"[{"_placeholder":true,"num":0}]"#,
        r#"[1,{"a":[{"num":0,"_placeholder":true}]}]"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}
