//! Extracts a token, or in open mode a user id, from an HTTP request.
//!
//! Verifies nothing; that is up to `Authority`. Knows no HTTP framework.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

/// Where in a request a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer`.
    Authorization,
    /// The configured cookie. A browser sends it unasked, even with requests that another site initiates.
    Cookie,
    /// `?token=`.
    Query,
}

/// A token found in an HTTP request, not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpToken {
    /// The token's text.
    pub text: String,
    /// Where it was found.
    pub source: TokenSource,
}

impl HttpToken {
    /// Whether it has the three parts of a signed JSON Web Token. Tokens that a proxy or an application sends for its own use
    /// often do not.
    pub fn is_jwt(&self) -> bool {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let mut parts = 0;
        let are_valid = self.text.split('.').all(|part| {
            parts += 1;
            (parts == 3 || !part.is_empty()) && part.bytes().all(is_base64url)
        });
        are_valid && parts == 3
    }
}

/// Prints the size and source only: a token gives access to an account.
impl fmt::Debug for HttpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpToken")
            .field("bytes", &self.text.len())
            .field("source", &self.source)
            .finish()
    }
}

/// Finds the token of a request: the first of `Authorization: Bearer`, the cookie named `cookie_name`, and `?token=`. Empty
/// ones are skipped, and each may be prefixed with `Bearer `.
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

/// Strips an optional `Bearer ` prefix; `None` if nothing else is left.
pub fn strip_bearer(text: &str) -> Option<&str> {
    let text = text.trim();
    let token = match text.split_at_checked(SCHEME.len()) {
        Some((scheme, "")) if scheme.eq_ignore_ascii_case(SCHEME) => "",
        // Form encoding writes a space as `+`.
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

/// The text of an id in JSON: the contents of a string, or the digits of a whole number.
pub fn id_text(json: &RawValue) -> Option<String> {
    let text = json.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    serde_json::from_str(text).ok()
}

/// The `?user=` parameter of a request, for open mode; `None` if it is empty.
pub fn query_user(query: Option<&str>) -> Option<String> {
    let user = parameters(query?, "user").find(|value| !value.is_empty());
    user.map(Cow::into_owned)
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
        .find_map(|value| strip_bearer(value).map(str::to_owned))
}

/// The value of a cookie.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .find_map(|(_, value)| {
            let value = percent_decode_str(value.trim_matches('"')).decode_utf8_lossy();
            strip_bearer(&value).map(str::to_owned)
        })
}

/// Decodes parameters, leaving `+` as it is: neither a token nor a user id contains a space, and an id such as an e-mail
/// address may contain a plus.
fn parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy())
}

fn query_token(query: &str) -> Option<String> {
    parameters(query, "token").find_map(|value| strip_bearer(&value).map(str::to_owned))
}

#[cfg(test)]
mod tests;
