use super::*;

#[test]
fn a_message_that_is_not_kept_is_known_however_it_is_written() {
    let joins = |body: &str| {
        let text = format!(r#"{{"method":"POST","path":"/","body":{body}}}"#);
        let call: Call = serde_json::from_str(&text).unwrap();
        call.joins_messages()
    };
    assert!(joins(r#"{"data":1}"#));
    assert!(joins(r#"{"data":{"ephemeral":true}}"#));
    assert!(!joins(r#"{"data":1,"event":"e","ephemeral":true}"#));
    assert!(!joins(r#"{"data":1,"event":"e","\u0065phemeral":true}"#));
}
