//! Where a token is found in a request.

use http::{HeaderName, HeaderValue};

use super::*;

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn found(pairs: &[(HeaderName, &str)], query: Option<&str>) -> Option<(String, TokenSource)> {
    find_token(&headers(pairs), query, Some("session")).map(|token| (token.text, token.source))
}

#[test]
fn a_token_is_taken_from_the_header_then_the_cookie_then_the_query() {
    let authorization = (header::AUTHORIZATION, "Bearer h");
    let cookie = (header::COOKIE, "a=1; session=c; b=2");
    let query = Some("x=1&token=q");
    let of = |text: &str, source| Some((text.to_owned(), source));
    assert_eq!(
        found(&[authorization.clone(), cookie.clone()], query),
        of("h", TokenSource::Authorization)
    );
    assert_eq!(found(&[cookie], query), of("c", TokenSource::Cookie));
    assert_eq!(found(&[], query), of("q", TokenSource::Query));
    assert_eq!(found(&[], None), None);
}

#[test]
fn the_scheme_is_bearer_in_any_case_and_nothing_else() {
    for (value, token) in [
        ("bearer t", Some("t")),
        ("BEARER  t ", Some("t")),
        ("Basic dTpw", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearert", None),
    ] {
        let text = found(&[(header::AUTHORIZATION, value)], None).map(|(text, _)| text);
        assert_eq!(text.as_deref(), token, "{value:?}");
    }
}

#[test]
fn a_token_may_be_prefixed_with_its_scheme_anywhere_and_an_empty_one_is_none() {
    for (text, token) in [
        ("t", Some("t")),
        (" Bearer  t ", Some("t")),
        ("bearer+t", Some("t")),
        ("Bearer", None),
        ("Bearer ", None),
        (" ", None),
        ("", None),
        ("Bearert", Some("Bearert")),
        ("ä", Some("ä")),
    ] {
        assert_eq!(strip_bearer(text), token, "{text:?}");
    }
    for query in ["token=Bearer%20q", "token=&token=Bearer+q"] {
        assert_eq!(found(&[], Some(query)).unwrap().0, "q");
    }
    for cookie in [
        "session=Bearer%20c",
        "session=\"Bearer c\"",
        "session=; session=c",
    ] {
        assert_eq!(found(&[(header::COOKIE, cookie)], None).unwrap().0, "c");
    }
}

#[test]
fn a_token_of_another_form_is_not_a_jwt() {
    let is_jwt = |text: &str| {
        let token = HttpToken {
            text: text.to_owned(),
            source: TokenSource::Query,
        };
        token.is_jwt()
    };
    assert!(is_jwt("eyJh.e30.s-_9"));
    assert!(is_jwt("eyJh.e30."), "unsigned");
    for text in ["abc", "a.b", "a.b.c.d", "a..c", ".b.c", "a.b c.d", "..", ""] {
        assert!(!is_jwt(text), "{text}");
    }
}

#[test]
fn another_scheme_or_an_empty_token_does_not_hide_a_token_elsewhere() {
    let basic = (header::AUTHORIZATION, "Basic dTpw");
    let empty = (header::COOKIE, "session=");
    let (text, source) = found(&[basic, empty], Some("token=q")).unwrap();
    assert_eq!((text.as_str(), source), ("q", TokenSource::Query));
}

#[test]
fn only_the_cookie_of_exactly_the_configured_name_is_read() {
    let cookies = [
        (header::COOKIE, "xsession=1; session2=2"),
        (header::COOKIE, "session=\"a.b=.c\""),
    ];
    assert_eq!(found(&cookies, None).unwrap().0, "a.b=.c");
    assert_eq!(find_token(&headers(&cookies), None, None), None);
}

#[test]
fn query_values_are_percent_decoded_and_a_plus_is_literal() {
    assert_eq!(found(&[], Some("token=a%2Eb%2ec")).unwrap().0, "a.b.c");
    assert_eq!(query_user(Some("user=a+b%40x")).as_deref(), Some("a+b@x"));
    assert_eq!(
        query_user(Some("users=x&user=&user=%C3%A4")).as_deref(),
        Some("ä")
    );
    assert_eq!(query_user(Some("user")), None);
    assert_eq!(query_user(Some("token=x")), None);
    assert_eq!(query_user(None), None);
    assert!(query_user(Some("user=%FF%zz%")).is_some());
}

#[test]
fn a_token_is_never_printed() {
    let token =
        found(&[], Some("token=verysecret")).map(|(text, source)| HttpToken { text, source });
    assert!(!format!("{token:?}").contains("verysecret"));
}
