//! One table of `hooks.call`: an endpoint that answers, and what it is asked.

use std::time::Duration;

use http::HeaderName;
use reqwest::Url;

use super::{
    SigningKey,
    table::{read_key, read_url, shown_url},
};
use crate::{
    options::{Problem, TableReader, choice},
    pattern::Pattern,
};

choice! {
    /// What an endpoint permits.
    pub enum HookPermit {
        /// That a client connects.
        Connect = "connect",
        /// That a client joins a room.
        Join = "join",
        /// That a client publishes to a room.
        Publish = "publish",
    }
}

/// An endpoint that answers, as configured.
#[derive(Clone, Debug)]
pub(crate) struct CallHook {
    /// Its place among the tables.
    pub(super) index: usize,
    /// Where it is called.
    pub(super) url: Url,
    /// The clients' events that it answers: names, and patterns with `*`.
    pub(crate) events: Vec<String>,
    /// What it permits.
    pub(super) on: Vec<HookPermit>,
    /// The rooms that it permits joining and publishing in; `None`: all.
    pub(super) rooms: Option<Pattern>,
    /// How long a call may wait for its place, and then for its reply.
    pub(super) timeout: Duration,
    /// Most calls under way.
    pub(super) concurrency: usize,
    /// The request headers that it is told with `connect`.
    pub(super) headers: Vec<HeaderName>,
    /// What calls are signed with.
    pub(super) key: Option<SigningKey>,
}

/// The option that the tables are.
pub(super) const CALL: &str = "hooks.call";

/// Calls under way when nothing is configured.
const CONCURRENCY: usize = 64;
/// Most calls under way that can be configured: each is a connection to the endpoint.
const MAX_CONCURRENCY: usize = 4096;
/// The time of a call when nothing is configured.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time that can be configured: clients' connections and handlers wait for it.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Most headers that an endpoint is told.
const MAX_HEADERS: usize = 32;

impl CallHook {
    /// Reads a table. `None` if it has a problem.
    pub(super) fn read(table: &mut TableReader<'_>) -> Option<Self> {
        let before = table.problems();
        let url = read_url(table);
        let events: Vec<String> = table.get("events").unwrap_or_default();
        let on: Vec<HookPermit> = table.get("on").unwrap_or_default();
        let rooms = table.get("rooms");
        let timeout = table.get("timeout").unwrap_or(TIMEOUT);
        let concurrency = table.get("concurrency").unwrap_or(CONCURRENCY);
        let headers = read_headers(table);
        let key = read_key(table);
        let has = |permit| on.contains(&permit);
        if events.is_empty() && on.is_empty() && !table.has("events") && !table.has("on") {
            table.problem(
                "events",
                "the endpoint is asked nothing: set events, on or both",
            );
        }
        if table.has("rooms") && !has(HookPermit::Join) && !has(HookPermit::Publish) {
            table.problem(
                "rooms",
                "narrows join and publish, and on has neither: add one, or remove rooms",
            );
        }
        if table.has("headers") && !has(HookPermit::Connect) {
            table.problem(
                "headers",
                "are told with connect, and on does not have it: add it, or remove headers",
            );
        }
        if timeout.is_zero() || timeout > MAX_TIMEOUT {
            table.problem("timeout", "expected more than 0 s and at most 60 s");
        }
        if concurrency == 0 || concurrency > MAX_CONCURRENCY {
            table.problem("concurrency", format!("expected 1 to {MAX_CONCURRENCY}"));
        }
        let hook = Self {
            index: table.index(),
            url: url?,
            events,
            on,
            rooms,
            timeout,
            concurrency,
            headers,
            key,
        };
        (table.problems() == before).then_some(hook)
    }

    /// The URL without what is secret in it.
    pub(super) fn shown_url(&self) -> String {
        shown_url(&self.url)
    }
}

/// Checks what concerns several endpoints.
pub(super) fn check_together(calls: &[CallHook], problems: &mut Vec<Problem>) {
    let connects = calls.iter();
    let connects = connects.filter(|call| call.on.contains(&HookPermit::Connect));
    // One endpoint says who a client is.
    problems.extend(connects.skip(1).map(|call| Problem::Table {
        option: CALL,
        index: call.index,
        key: "on".to_owned(),
        message: "another endpoint before this one has connect: remove one".to_owned(),
    }));
}

fn read_headers(table: &mut TableReader<'_>) -> Vec<HeaderName> {
    let names: Vec<String> = table.get("headers").unwrap_or_default();
    if names.len() > MAX_HEADERS {
        table.problem("headers", format!("expected at most {MAX_HEADERS}"));
    }
    let mut headers = Vec::new();
    for name in names {
        match name.parse() {
            Ok(header) => headers.push(header),
            Err(_) => table.problem("headers", format!("{name:?} is no name of a header")),
        }
    }
    headers
}

#[cfg(test)]
mod tests;
