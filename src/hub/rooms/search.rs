//! A walk over the names of rooms in order: only where the caller can have any, and a bounded way at once.
//!
//! Pure state: it says which names it wants next, is given them, and keeps those that pass. Whoever has the names, this node or
//! all nodes, answers.

use std::sync::Arc;

use crate::{
    auth::{Permission, Principal},
    hub::Caller,
    model::{PERSONAL, RoomName},
};

/// Patterns that are compared with names on one walk: a name costs as many as the caller has rules.
const COMPARISONS: usize = 10_000;
/// Names that are looked at on one walk, whatever the rules.
const LEAST_NAMES: usize = 300;
/// Names that are asked for at once.
const PAGE: usize = 250;

/// Names that begin alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    prefix: String,
    /// The only name, and not what it begins with.
    whole: bool,
}

/// A walk that has begun.
#[derive(Debug)]
pub(in crate::hub) struct Walk {
    /// Those that are still to be looked at, the last first.
    spans: Vec<Span>,
    after: Option<RoomName>,
    /// Names that may still be looked at.
    left: usize,
    /// Comparisons that a name costs.
    each: usize,
    looked_at: usize,
    found: Vec<RoomName>,
    most: usize,
    /// A place near the end of the walk that names no room, and behind which nothing was found.
    stop: Option<RoomName>,
}

/// The names that a walk wants: the first with this prefix behind `after`.
#[derive(Debug)]
pub(in crate::hub) struct Wanted {
    pub(in crate::hub) prefix: String,
    pub(in crate::hub) after: Option<RoomName>,
    pub(in crate::hub) most: usize,
    whole: bool,
}

/// What a walk has come to.
#[derive(Debug)]
pub(in crate::hub) struct Found {
    /// In order.
    pub(in crate::hub) rooms: Vec<RoomName>,
    /// Nothing behind this was looked at; `None`: everything was, or enough was found.
    pub(in crate::hub) until: Option<RoomName>,
    /// Patterns that were compared.
    pub(in crate::hub) comparisons: usize,
}

impl Walk {
    /// Over the rooms with this prefix behind `after` that `caller` may join, until `most` are found.
    pub(in crate::hub) fn new(
        caller: &impl Caller,
        prefix: &str,
        after: Option<&RoomName>,
        most: usize,
    ) -> Self {
        let rules = |principal: Arc<Principal>| principal.grants.literals(Permission::Join).count();
        let each = caller.identity().map_or(0, rules).max(1);
        let mut spans = disjoint(spans(caller, prefix));
        spans.reverse();
        Self {
            spans,
            after: after.cloned(),
            left: (COMPARISONS / each).max(LEAST_NAMES),
            each,
            looked_at: 0,
            found: Vec::new(),
            most,
            stop: None,
        }
    }

    /// What to give it next by [`take`](Self::take); `None` at its end.
    pub(in crate::hub) fn wants(&mut self) -> Option<Wanted> {
        if self.found.len() >= self.most || self.left == 0 {
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
            return Some(Wanted {
                prefix: span.prefix.clone(),
                after: self.after.clone(),
                most: if span.whole { 1 } else { PAGE.min(self.left) },
                whole: span.whole,
            });
        }
    }

    /// Takes the names that it wanted, and keeps those that pass.
    pub(in crate::hub) fn take(
        &mut self,
        wanted: &Wanted,
        names: Vec<RoomName>,
        mut passes: impl FnMut(&RoomName) -> bool,
    ) {
        if names.len() < wanted.most || wanted.whole {
            self.spans.pop();
        }
        self.left = self.left.saturating_sub(names.len().max(1));
        self.looked_at += names.len().max(1);
        for name in names {
            if self.found.len() >= self.most {
                return;
            }
            if wanted.whole && name.as_str() != wanted.prefix {
                continue; // it may be in a span that comes later
            }
            self.note_stop(&name);
            if passes(&name) {
                self.stop = None;
                self.found.push(name.clone());
            }
            self.after = Some(name);
        }
    }

    pub(in crate::hub) fn found(self) -> Found {
        let cut = self.found.len() < self.most && !self.spans.is_empty();
        Found {
            rooms: self.found,
            until: self.stop.or(self.after).filter(|_| cut),
            comparisons: self.looked_at.saturating_mul(self.each),
        }
    }

    /// Looks for a place between the name before and `next` that says as little as possible of either: the caller is told to go
    /// on from there, and may not know rooms that it cannot join.
    fn note_stop(&mut self, next: &RoomName) {
        if self.left > PAGE {
            return;
        }
        let Some(place) = self.after.as_ref().and_then(|last| between(last, next)) else {
            return;
        };
        let length = |place: &RoomName| place.as_str().chars().count();
        if self
            .stop
            .as_ref()
            .is_none_or(|stop| length(&place) <= length(stop))
        {
            self.stop = Some(place);
        }
    }
}

impl Span {
    /// Whether none of its names is behind `after`.
    fn is_before(&self, after: &RoomName) -> bool {
        let (prefix, after) = (self.prefix.as_str(), after.as_str());
        after >= prefix && (self.whole || !after.starts_with(prefix))
    }
}

/// Where the rooms can be that `caller` may join, of those with this prefix; one span for each of its rules.
fn spans(caller: &impl Caller, prefix: &str) -> Vec<Span> {
    let span = |prefix: &str, whole| Span {
        prefix: prefix.to_owned(),
        whole,
    };
    let Some(principal) = caller.identity() else {
        return vec![span(prefix, false)];
    };
    if prefix.starts_with(PERSONAL) {
        let own = RoomName::personal(&principal.user);
        let is_meant = own.as_str().starts_with(prefix);
        return Vec::from_iter(is_meant.then(|| span(own.as_str(), true)));
    }
    let literals = principal.grants.literals(Permission::Join);
    literals
        // Nobody joins the personal rooms of others by a grant.
        .filter(|(literal, _)| !literal.starts_with(PERSONAL))
        .filter_map(|(literal, whole)| match literal.starts_with(prefix) {
            true => Some(span(literal, whole)),
            false => (!whole && prefix.starts_with(literal)).then(|| span(prefix, false)),
        })
        .collect()
}

/// The same names in order, none of them twice.
fn disjoint(mut spans: Vec<Span>) -> Vec<Span> {
    // Of two with the same text the one that holds the other comes first.
    spans.sort_unstable();
    spans.dedup_by(|span, before| {
        let held = !before.whole && span.prefix.starts_with(&before.prefix);
        held || span == before
    });
    spans
}

/// A place behind `last` and before `next` that is shorter than both, if there is one.
fn between(last: &RoomName, next: &RoomName) -> Option<RoomName> {
    /// No name that people give has a character behind this one.
    const LAST: char = '\u{10FFFD}';
    let (last, next) = (last.as_str(), next.as_str());
    let same = last.chars().zip(next.chars()).take_while(|(a, b)| a == b);
    let mut place: String = last.chars().take(same.count() + 1).collect();
    place.push(LAST);
    let is_between = last <= place.as_str() && place.as_str() < next;
    (is_between && place.len() < last.len()).then(|| RoomName::from_log(&place))
}

#[cfg(test)]
mod tests;
