//! A search over the names of rooms in order: only where the caller can have any, and a bounded number of names at a time.
//!
//! Pure state: it returns which names it needs next, is given them, and keeps those that match. The names come from this node or
//! from all nodes.

use std::sync::Arc;

use crate::{
    auth::{Permission, Principal},
    hub::Caller,
    model::{PERSONAL_ROOM_PREFIX, RoomName},
};

/// Patterns that are compared with names in one search: a name costs as many as the caller has rules.
const MAX_COMPARISONS: usize = 10_000;
/// Names that are read in one search, whatever the number of rules.
const MIN_NAMES: usize = 300;
/// Names that are read at once.
const PAGE_NAMES: usize = 250;

/// Names with a common prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    prefix: String,
    /// `prefix` is a whole name, the only one of the span.
    is_exact: bool,
}

/// A search in progress.
#[derive(Debug)]
pub(in crate::hub) struct RoomSearch {
    /// Those that have not been read, the last first.
    spans: Vec<Span>,
    after: Option<RoomName>,
    /// Names that may still be read.
    remaining: usize,
    comparisons_per_name: usize,
    names_read: usize,
    found: Vec<RoomName>,
    limit: usize,
    /// A text near the end of the search that names no room, and after which nothing was found.
    stop: Option<RoomName>,
}

/// The names that a search needs: the first with this prefix after `after`.
#[derive(Debug)]
pub(in crate::hub) struct NameQuery {
    pub(in crate::hub) prefix: String,
    pub(in crate::hub) after: Option<RoomName>,
    pub(in crate::hub) limit: usize,
    is_exact: bool,
}

/// The result of a search.
#[derive(Debug)]
pub(in crate::hub) struct SearchResult {
    /// In order.
    pub(in crate::hub) rooms: Vec<RoomName>,
    /// Where the search stopped: nothing after this was read. `None`: all names were read, or enough rooms found.
    pub(in crate::hub) stopped_at: Option<RoomName>,
    /// Patterns that were compared.
    pub(in crate::hub) comparisons: usize,
}

impl RoomSearch {
    /// A search for the rooms with this prefix after `after` that `caller` may join, until `limit` are found.
    pub(in crate::hub) fn new(
        caller: &impl Caller,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Self {
        let rules =
            |principal: Arc<Principal>| principal.grants.literal_prefixes(Permission::Join).count();
        let comparisons_per_name = caller.identity().map_or(0, rules).max(1);
        let mut spans = disjoint(spans(caller, prefix));
        spans.reverse();
        Self {
            spans,
            after: after.cloned(),
            remaining: (MAX_COMPARISONS / comparisons_per_name).max(MIN_NAMES),
            comparisons_per_name,
            names_read: 0,
            found: Vec::new(),
            limit,
            stop: None,
        }
    }

    /// The names to pass to [`add_names`](Self::add_names) next; `None` at the end of the search.
    pub(in crate::hub) fn next_query(&mut self) -> Option<NameQuery> {
        if self.found.len() >= self.limit || self.remaining == 0 {
            return None;
        }
        loop {
            let span = self.spans.last()?;
            if self
                .after
                .as_ref()
                .is_some_and(|after| span.is_before(after))
            {
                self.spans.pop();
                continue;
            }
            let limit = match span.is_exact {
                true => 1,
                false => PAGE_NAMES.min(self.remaining),
            };
            return Some(NameQuery {
                prefix: span.prefix.clone(),
                after: self.after.clone(),
                limit,
                is_exact: span.is_exact,
            });
        }
    }

    /// Adds the names that a query returned, and keeps those that match.
    pub(in crate::hub) fn add_names(
        &mut self,
        query: &NameQuery,
        names: Vec<RoomName>,
        mut matches: impl FnMut(&RoomName) -> bool,
    ) {
        if names.len() < query.limit || query.is_exact {
            self.spans.pop();
        }
        self.remaining = self.remaining.saturating_sub(names.len().max(1));
        self.names_read += names.len().max(1);
        for name in names {
            if self.found.len() >= self.limit {
                return;
            }
            if query.is_exact && name.as_str() != query.prefix {
                continue; // it may be in a later span
            }
            self.update_stop(&name);
            if matches(&name) {
                self.stop = None;
                self.found.push(name.clone());
            }
            self.after = Some(name);
        }
    }

    pub(in crate::hub) fn finish(self) -> SearchResult {
        let stopped = self.found.len() < self.limit && !self.spans.is_empty();
        SearchResult {
            rooms: self.found,
            stopped_at: self.stop.or(self.after).filter(|_| stopped),
            comparisons: self.names_read.saturating_mul(self.comparisons_per_name),
        }
    }

    /// Looks for a text between the last name and `next` that reveals as little as possible of either: the caller is told to
    /// continue after it, and must not learn the names of rooms that it may not join.
    fn update_stop(&mut self, next: &RoomName) {
        if self.remaining > PAGE_NAMES {
            return;
        }
        let Some(text) = self.after.as_ref().and_then(|last| between(last, next)) else {
            return;
        };
        let length = |text: &RoomName| text.as_str().chars().count();
        if self
            .stop
            .as_ref()
            .is_none_or(|stop| length(&text) <= length(stop))
        {
            self.stop = Some(text);
        }
    }
}

impl Span {
    /// Whether none of its names comes after `after`.
    fn is_before(&self, after: &RoomName) -> bool {
        let (prefix, after) = (self.prefix.as_str(), after.as_str());
        after >= prefix && (self.is_exact || !after.starts_with(prefix))
    }
}

/// Where the rooms with this prefix can be that `caller` may join; one span for each of its rules.
fn spans(caller: &impl Caller, prefix: &str) -> Vec<Span> {
    let span = |prefix: &str, is_exact| Span {
        prefix: prefix.to_owned(),
        is_exact,
    };
    let Some(principal) = caller.identity() else {
        return vec![span(prefix, false)];
    };
    if prefix.starts_with(PERSONAL_ROOM_PREFIX) {
        let own = RoomName::personal(&principal.user);
        let has_prefix = own.as_str().starts_with(prefix);
        return Vec::from_iter(has_prefix.then(|| span(own.as_str(), true)));
    }
    let literals = principal.grants.literal_prefixes(Permission::Join);
    literals
        // No grant allows to join the personal rooms of others.
        .filter(|(literal, _)| !literal.starts_with(PERSONAL_ROOM_PREFIX))
        .filter_map(|(literal, is_exact)| match literal.starts_with(prefix) {
            true => Some(span(literal, is_exact)),
            false => (!is_exact && prefix.starts_with(literal)).then(|| span(prefix, false)),
        })
        .collect()
}

/// The same names in order, none of them twice.
fn disjoint(mut spans: Vec<Span>) -> Vec<Span> {
    // Of two with the same text, the one that contains the other comes first.
    spans.sort_unstable();
    spans.dedup_by(|span, before| {
        let contained = !before.is_exact && span.prefix.starts_with(&before.prefix);
        contained || span == before
    });
    spans
}

/// A text after `last` and before `next` that is shorter than both, if there is one.
fn between(last: &RoomName, next: &RoomName) -> Option<RoomName> {
    /// The last code point that is not reserved: no character in the names that people choose comes after it.
    const LAST_CHAR: char = '\u{10FFFD}';
    let (last, next) = (last.as_str(), next.as_str());
    let common = last.chars().zip(next.chars()).take_while(|(a, b)| a == b);
    let mut text: String = last.chars().take(common.count() + 1).collect();
    text.push(LAST_CHAR);
    let is_between = last <= text.as_str() && text.as_str() < next;
    (is_between && text.len() < last.len()).then(|| RoomName::from_log(&text))
}

#[cfg(test)]
mod tests;
