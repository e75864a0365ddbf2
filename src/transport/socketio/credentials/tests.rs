//! What is accepted in the `auth` payload of a CONNECT.

use super::*;
use crate::error::Code;

fn user(text: &str) -> Result<Option<String>, Code> {
    let user = Credentials::read(text).user();
    user.map_err(|error| error.code())
}

fn token(text: &str) -> Result<Option<String>, Code> {
    let token = Credentials::read(text).token();
    token.map_err(|error| error.code())
}

#[test]
fn a_user_name_is_a_string_or_a_whole_number_and_anything_else_is_refused() {
    let named = |name: &str| Ok(Some(name.to_owned()));
    for (text, expected) in [
        (r#"{"user":"alice"}"#, named("alice")),
        (r#"{"user":"gr\u00f6\u00dfe"}"#, named("größe")),
        (r#"{"user":42}"#, named("42")),
        (
            r#"{"user":12345678901234567890123}"#,
            named("12345678901234567890123"),
        ),
        (r#"{"user":""}"#, Ok(None)),
        (r#"{"user":null}"#, Ok(None)),
        (r#"{"name":"alice"}"#, Ok(None)),
        (r#"{"user":4.2}"#, Err(Code::BadRequest)),
        (r#"{"user":1e3}"#, Err(Code::BadRequest)),
        (r#"{"user":true}"#, Err(Code::BadRequest)),
        (r#"{"user":{}}"#, Err(Code::BadRequest)),
        (r#"{"user":["alice"]}"#, Err(Code::BadRequest)),
        (r#"{"user":"\ud800"}"#, Err(Code::BadRequest)),
        (r#"{"user":"a","user":"b"}"#, Err(Code::BadRequest)),
        ("token=t&user=alice,", named("alice")),
        ("\"alice\"", Ok(None)),
        ("", Ok(None)),
    ] {
        assert_eq!(user(text), expected, "{text}");
    }
}

#[test]
fn a_token_is_a_string_with_or_without_its_scheme_and_an_empty_one_counts_as_none() {
    let given = Ok(Some("a.b.c".to_owned()));
    for (text, expected) in [
        (r#"{"token":"a.b.c"}"#, given.clone()),
        (r#"{"token":"Bearer a.b.c"}"#, given.clone()),
        (r#"{"token":""}"#, Ok(None)),
        (r#"{"token":"Bearer "}"#, Ok(None)),
        (r#"{"token":null}"#, Ok(None)),
        (r#"{"token":{}}"#, Err(Code::Unauthorized)),
        (r#"{"token":7}"#, Err(Code::Unauthorized)),
        ("token=a.b.c", given),
    ] {
        assert_eq!(token(text), expected, "{text}");
    }
}

#[test]
fn a_session_is_resumed_by_its_pid_and_offset() {
    let pid = Pid::generate();
    let secret = pid.reveal();
    let resume = |text: String| Credentials::read(&text).resume();
    let session = |offset| ResumeRequest::Session { pid, offset };
    assert_eq!(resume("{}".into()), ResumeRequest::NewSession);
    assert_eq!(resume(r#"{"pid":null}"#.into()), ResumeRequest::NewSession);
    assert_eq!(resume(format!(r#"{{"pid":"{secret}"}}"#)), session(None));
    let offset = Offset(7).to_string();
    assert_eq!(
        resume(format!(r#"{{"pid":"{secret}","offset":"{offset}"}}"#)),
        session(Some(Offset(7)))
    );
    for offset in ["5", "\"\"", "\"x\"", "{}"] {
        assert_eq!(
            resume(format!(r#"{{"pid":"{secret}","offset":{offset}}}"#)),
            ResumeRequest::Invalid { pid: Some(pid) },
            "{offset}"
        );
    }
    for bad in ["\"\"", "7", "[]", "\"x\""] {
        let unreadable = ResumeRequest::Invalid { pid: None };
        assert_eq!(resume(format!(r#"{{"pid":{bad}}}"#)), unreadable);
    }
}
