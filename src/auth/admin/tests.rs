//! Sessions of the dashboard.

use http::header;

use super::*;

const KEY: &str = "a key of an operator, long";
const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn access() -> AdminAccess {
    AdminAccess::new(&Secret::new(KEY.replace(' ', "-"))).unwrap()
}

fn with_cookie(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let cookies = format!("theme=dark; {ADMIN_COOKIE}={value}");
    headers.insert(header::COOKIE, cookies.parse().unwrap());
    headers
}

#[test]
fn a_session_is_valid_until_it_ends_on_every_node_with_the_key() {
    let cookie = access().open_session(NOW);
    let session = access().session(&with_cookie(&cookie), NOW).unwrap();
    assert_eq!(session.expires_at, NOW.plus(ADMIN_SESSION));
    let late = session.expires_at;
    assert_eq!(access().session(&with_cookie(&cookie), late), None);
}

#[test]
fn a_session_that_was_ended_is_not_valid_any_more() {
    let access = access();
    let (first, second) = (access.open_session(NOW), access.open_session(NOW));
    let session = access.session(&with_cookie(&first), NOW).unwrap();
    access.end_session(session, NOW);
    assert_eq!(access.session(&with_cookie(&first), NOW), None);
    assert!(access.session(&with_cookie(&second), NOW).is_some());
}

#[test]
fn a_cookie_with_any_other_byte_is_refused() {
    let access = access();
    let cookie = access.open_session(NOW);
    for at in 0..cookie.len() {
        let mut bytes = cookie.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(access.session(&with_cookie(&changed), NOW), None, "{at}");
    }
    for other in ["", "A", "not base64 at all", &cookie[..30]] {
        assert_eq!(access.session(&with_cookie(other), NOW), None, "{other}");
    }
    let other_key = AdminAccess::new(&Secret::new("another-key-of-another-server")).unwrap();
    assert_eq!(other_key.session(&with_cookie(&cookie), NOW), None);
    assert_eq!(access.session(&HeaderMap::new(), NOW), None);
}

#[test]
fn a_key_is_long_and_not_a_digest() {
    let problem = |key: &str| AdminAccess::new(&Secret::new(key)).unwrap_err();
    assert!(problem("short").contains("too short"));
    assert!(problem(&format!("sha256:{}", "0".repeat(64))).contains("the key itself"));
    assert!(access().is_key(&KEY.replace(' ', "-")));
    assert!(!access().is_key("another-key-of-another-server"));
}
