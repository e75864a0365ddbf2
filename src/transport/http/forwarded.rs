//! What proxies add to a request about where it came from: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//!
//! Only reads; whether a proxy is trusted is for others to say.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use crate::transport::web_address::{HostPort, parse_address, split_port};

/// How many entries of a chain of proxies are looked at, nearest first: nobody has more, and anybody can write them.
const ENTRIES: usize = 32;

/// The addresses that a request came by, nearest first; `None` for one that cannot be read (`unknown`, a name of the
/// proxy's own). `Forwarded` counts where there is no `X-Forwarded-For`: most proxies add to that, and pass on whatever
/// their client wrote into the other.
pub(super) fn addresses(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let said = values(headers, &X_FORWARDED_FOR);
    let nodes: Vec<String> = match said.is_empty() {
        false => said.iter().map(|entry| unquoted(entry)).collect(),
        true => parameters(headers, "for").collect(),
    };
    let nearest_first = nodes.iter().rev().take(ENTRIES);
    nearest_first.map(|node| address(node)).collect()
}

/// The hosts that clients asked for, as proxies say.
pub(in crate::transport) fn hosts(headers: &HeaderMap) -> Vec<HostPort> {
    let said = values(headers, &X_FORWARDED_HOST);
    let said = said.iter().map(|entry| unquoted(entry));
    let said = said.chain(parameters(headers, "host"));
    said.take(ENTRIES)
        .filter_map(|host| HostPort::parse(&host))
        .collect()
}

/// The port that the client asked, as the first proxy says.
pub(in crate::transport) fn port(headers: &HeaderMap) -> Option<u16> {
    values(headers, &X_FORWARDED_PORT).first()?.parse().ok()
}

/// Whether the client spoke TLS, as the first proxy says.
pub(in crate::transport) fn secure(headers: &HeaderMap) -> Option<bool> {
    let said = values(headers, &X_FORWARDED_PROTO);
    let scheme = match said.first() {
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

/// The entries of a list, over all lines of the header. A line that is no text is an entry that cannot be read.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter();
    let texts = lines.map(|line| line.to_str().unwrap_or_default());
    texts
        .flat_map(|text| text.split(',').map(str::trim))
        .collect()
}

/// The values of one parameter of `Forwarded`, the client's end first; an element without it has an empty one.
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

/// Splits at a character that stands outside of quotes.
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

/// A node's address, whatever its port is.
fn address(node: &str) -> Option<IpAddr> {
    let (host, _) = split_port(node)?;
    parse_address(host)
}

#[cfg(test)]
mod tests;
