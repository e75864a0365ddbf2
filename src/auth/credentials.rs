//! Where in an HTTP request a token, or in open mode a user's name, may travel.
//!
//! Only finds; whether a token is good is `Authority`'s to say. Knows no HTTP framework.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

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

impl HttpToken {
    /// Whether it has the three parts of a signed JSON Web Token. What a proxy or an application sends for itself often has
    /// not.
    pub fn is_jwt(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let mut parts = 0;
        let filled = self.text.split('.').all(|part| {
            parts += 1;
            (parts == 3 || !part.is_empty()) && part.bytes().all(plain)
        });
        filled && parts == 3
    }
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
/// An empty one counts as none, and `Bearer ` may stand in front anywhere.
pub fn find_token(
    headers: &HeaderMap,
    query: Option<&str>,
    cookie_name: Option<&str>,
) -> Option<HttpToken> {
    let found = |source| move |text: String| HttpToken { text, source };
    bearer(headers)
        .map(found(TokenSource::Authorization))
        .or_else(|| cookie(headers, cookie_name?).map(found(TokenSource::Cookie)))
        .or_else(|| query_token(query?).map(found(TokenSource::Query)))
}

/// The token in a text that may have `Bearer ` in front; none if nothing else is there.
pub fn token_in(text: &str) -> Option<&str> {
    let text = text.trim();
    let token = match text.split_at_checked(SCHEME.len()) {
        Some((scheme, "")) if scheme.eq_ignore_ascii_case(SCHEME) => "",
        // A `+` is the space of a form that was encoded.
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case(SCHEME) && rest.starts_with([' ', '+']) =>
        {
            rest.trim_start_matches([' ', '+'])
        }
        _ => text,
    };
    (!token.is_empty()).then_some(token)
}

const SCHEME: &str = "bearer";

/// The text of an id that is written in JSON: a string's text, or the digits of a whole number.
pub fn text_of_id(json: &RawValue) -> Option<String> {
    let text = json.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    serde_json::from_str(text).ok()
}

/// The `?user=` of a request, for open mode. An empty one counts as none.
pub fn query_user(query: Option<&str>) -> Option<String> {
    let filled = parameters(query?, "user").find(|value| !value.is_empty());
    filled.map(Cow::into_owned)
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter(|value| {
            let scheme = value.trim_start().split_once(' ');
            scheme.is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
        })
        .find_map(|value| token_in(value).map(str::to_owned))
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .find_map(|(_, value)| {
            let value = percent_decode_str(value.trim_matches('"')).decode_utf8_lossy();
            token_in(&value).map(str::to_owned)
        })
}

/// `+` stays what it is: neither a token nor a user's id has a space that it could stand for, and an id such as
/// an e-mail address may well have a plus.
fn parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy())
}

fn query_token(query: &str) -> Option<String> {
    parameters(query, "token").find_map(|value| token_in(&value).map(str::to_owned))
}

#[cfg(test)]
mod tests;
