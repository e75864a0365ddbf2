//! Where in an HTTP request a token, or in open mode a user's name, may travel.
//!
//! Only finds; whether a token is good is `Authority`'s to say. Knows no HTTP framework.

use std::fmt;

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

/// How a token came with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer`.
    Authorization,
    /// The configured cookie: a browser sends it by itself, also when another site made the request.
    Cookie,
    /// `?token=`.
    Query,
}

/// A token that travels with an HTTP request, not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpToken {
    /// The token's text.
    pub text: String,
    /// How it came.
    pub source: TokenSource,
}

/// A token is a key to somebody's account: logs get its size and source only.
impl fmt::Debug for HttpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpToken")
            .field("bytes", &self.text.len())
            .field("source", &self.source)
            .finish()
    }
}

/// The token of a request: the first of `Authorization: Bearer`, the cookie named `cookie_name`, and `?token=`.
/// An empty one counts as none.
pub fn find_token(
    headers: &HeaderMap,
    query: Option<&str>,
    cookie_name: Option<&str>,
) -> Option<HttpToken> {
    let found = |source| move |text: String| HttpToken { text, source };
    bearer(headers)
        .map(found(TokenSource::Authorization))
        .or_else(|| cookie(headers, cookie_name?).map(found(TokenSource::Cookie)))
        .or_else(|| parameter(query?, "token").map(found(TokenSource::Query)))
}

/// The `?user=` of a request, for open mode. An empty one counts as none.
pub fn query_user(query: Option<&str>) -> Option<String> {
    parameter(query?, "user")
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .find_map(|(_, token)| filled(token.trim()))
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .find_map(|(_, value)| filled(value.trim_matches('"')))
}

/// `+` stays what it is: neither a token nor a user's id has a space that it could stand for, and an id such as
/// an e-mail address may well have a plus.
fn parameter(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| *key == name)
        .find_map(|(_, value)| filled(&percent_decode_str(value).decode_utf8_lossy()))
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
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
    fn another_scheme_or_an_empty_token_does_not_hide_a_token_elsewhere() {
        let basic = (header::AUTHORIZATION, "Basic dTpw");
        let empty = (header::COOKIE, "session=");
        let (text, source) = found(&[basic, empty], Some("token=q")).unwrap();
        assert_eq!((text.as_str(), source), ("q", TokenSource::Query));
    }

    #[test]
    fn only_the_cookie_of_exactly_the_configured_name_is_looked_at() {
        let cookies = [
            (header::COOKIE, "xsession=1; session2=2"),
            (header::COOKIE, "session=\"a.b=.c\""),
        ];
        assert_eq!(found(&cookies, None).unwrap().0, "a.b=.c");
        assert_eq!(find_token(&headers(&cookies), None, None), None);
    }

    #[test]
    fn query_values_are_percent_decoded_and_a_plus_stays_a_plus() {
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
}
