//! What proxies say about a request's origin: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//!
//! Only parses; the caller decides whether a proxy is trusted.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use super::host::{HostPort, parse_address, split_port};

/// Entries of a proxy chain that are read, nearest first: no real chain is longer, and clients can write any number.
const MAX_ENTRIES: usize = 32;

/// The addresses that a request was forwarded for, nearest first; `None` for an entry that is no address (`unknown`, an
/// obfuscated name). `Forwarded` is read only if there is no `X-Forwarded-For`: most proxies append to one of them, and pass on
/// what their client wrote into the other.
pub(super) fn addresses(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let listed = values(headers, &X_FORWARDED_FOR);
    let nodes: Vec<String> = match listed.is_empty() {
        false => listed.iter().map(|entry| unquoted(entry)).collect(),
        true => parameters(headers, "for").collect(),
    };
    let nearest_first = nodes.iter().rev().take(MAX_ENTRIES);
    nearest_first.map(|node| address(node)).collect()
}

/// The hosts that the client requested, according to proxies.
pub(super) fn hosts(headers: &HeaderMap) -> Vec<HostPort> {
    let listed = values(headers, &X_FORWARDED_HOST);
    let listed = listed.iter().map(|entry| unquoted(entry));
    let listed = listed.chain(parameters(headers, "host"));
    listed
        .take(MAX_ENTRIES)
        .filter_map(|host| HostPort::parse(&host))
        .collect()
}

/// The port that the client requested, according to the first proxy.
pub(super) fn port(headers: &HeaderMap) -> Option<u16> {
    values(headers, &X_FORWARDED_PORT).first()?.parse().ok()
}

/// Whether the client used TLS, according to the first proxy.
pub(crate) fn is_secure(headers: &HeaderMap) -> Option<bool> {
    let listed = values(headers, &X_FORWARDED_PROTO);
    let scheme = match listed.first() {
        Some(scheme) => unquoted(scheme),
        None => parameters(headers, "proto").next()?,
    };
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The entries of a list, over all lines of a header. A line that is not text is one unreadable entry.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter();
    let texts = lines.map(|line| line.to_str().unwrap_or_default());
    texts
        .flat_map(|text| text.split(',').map(str::trim))
        .collect()
}

/// The values of one parameter of `Forwarded`, from the client's end; empty for an element that lacks it.
fn parameters<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines = headers.get_all(http::header::FORWARDED).into_iter();
    let texts = lines.map(|line| line.to_str().unwrap_or_default());
    let elements = texts.flat_map(|text| split_unquoted(text, ','));
    elements.map(move |element| {
        let pairs = split_unquoted(element, ';').into_iter();
        let mut named = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| unquoted(value))
        });
        named.next().unwrap_or_default()
    })
}

/// Splits at a character that is outside of quotes.
fn split_unquoted(text: &str, at: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|c| {
        let was_escaped = escaped;
        escaped = quoted && c == '\\' && !was_escaped;
        if c == '"' && !was_escaped {
            quoted = !quoted;
        }
        c == at && !quoted
    })
    .collect()
}

/// A value without its quotes, if it has any.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(quoted) = quoted else {
        return value.to_owned();
    };
    let mut escaped = false;
    let plain = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    quoted.chars().filter(plain).collect()
}

/// A node's address, without its port.
fn address(node: &str) -> Option<IpAddr> {
    let (host, _) = split_port(node)?;
    parse_address(host)
}

#[cfg(test)]
mod tests;
