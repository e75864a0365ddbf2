//! Serialization of errors.

use super::*;

#[test]
fn an_error_shows_its_code_and_message_and_hides_its_cause() {
    let error = Error::unavailable("the log cannot take it now; retry with the same id")
        .caused_by(std::io::Error::other("disk full"))
        .retry_after(Duration::from_micros(300));
    assert_eq!(
        serde_json::to_string(&error).expect("plain strings"),
        r#"{"code":"unavailable","message":"the log cannot take it now; retry with the same id","retry_after_ms":1}"#
    );
}

#[test]
fn every_code_has_its_own_word() {
    let words: std::collections::HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), Code::ALL.len());
}
