//! What the values of the options of `switchboard load` look like.

use std::time::Duration;

use crate::config::{OptionValue, parse_duration};

pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.replace(['_', ','], "").parse().ok();
    let allowed = number.filter(|number| (1..=10_000_000).contains(number));
    allowed.ok_or_else(|| "expected a whole number above 0".to_owned())
}

pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "expected a number above 0: so many a second".to_owned())
}

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("expected {}", Duration::expected()))
}

/// Names go into JSON and URLs as they are.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    match !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("expected up to 64 letters, digits and - _ . :".to_owned()),
    }
}

pub(super) fn parse_token(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("a token has no blanks and no letters beyond ASCII".to_owned()),
    }
}

pub(super) fn parse_path(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    match text.starts_with('/') && text.bytes().all(is_plain) {
        true => Ok(format!("{}/", text.trim_end_matches('/'))),
        false => Err("expected a path such as /socket.io/".to_owned()),
    }
}
