//! The events that clients sent lately, kept for operators who look.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    model::{ConnectionId, Namespace, Timestamp},
    sync::lock,
};

/// How long events are kept on after somebody has asked for them.
const OPEN_FOR_MILLIS: u64 = 5000;

/// Events that are kept.
const MAX_EVENTS: usize = 200;

/// Bytes of an event that is kept whole; of a longer one its name is.
const MAX_EVENT: usize = 1024;

/// Bytes of the name of an event that is not kept whole.
const MAX_NAME: usize = 128;

/// An event that a client has sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TappedEvent {
    /// Its number on this node, from 1.
    pub(crate) number: u64,
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// Its sender.
    pub(crate) socket: ConnectionId,
    /// When it was received.
    pub(crate) ts: Timestamp,
    /// `["event", argument…]`
    pub(crate) event: Box<RawValue>,
}

/// Keeps events for a while after it was read.
pub(in crate::hub) struct EventTap {
    started: Instant,
    /// Milliseconds after `started`; 0: nobody has looked yet.
    open_until: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    last: u64,
    events: VecDeque<TappedEvent>,
}

impl Default for EventTap {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            open_until: AtomicU64::new(0),
            kept: Mutex::default(),
        }
    }
}

impl EventTap {
    /// Whether somebody looks.
    pub(super) fn is_open(&self) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        until > 0 && self.millis() < until
    }

    /// Keeps an event.
    pub(super) fn push(&self, namespace: &Namespace, socket: ConnectionId, text: &str) {
        let Some(event) = shown(text) else { return };
        let mut kept = lock(&self.kept);
        kept.last += 1;
        if kept.events.len() == MAX_EVENTS {
            kept.events.pop_front();
        }
        let event = TappedEvent {
            number: kept.last,
            namespace: namespace.clone(),
            socket,
            ts: Timestamp::now(),
            event,
        };
        kept.events.push_back(event);
    }

    /// The events behind number `after`, if there are more. Keeps those that come, for a while.
    pub(super) fn read(&self, after: Option<u64>) -> Vec<TappedEvent> {
        let was_open = self.is_open();
        let until = self.millis() + OPEN_FOR_MILLIS;
        self.open_until.store(until, Ordering::Relaxed);
        let mut kept = lock(&self.kept);
        if !was_open {
            kept.events.clear();
        }
        // Another process has counted that far.
        let after = after.filter(|after| *after <= kept.last).unwrap_or(0);
        let newer = kept.events.iter().filter(|event| event.number > after);
        newer.cloned().collect()
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// An event as it is shown: a long one by its name and size.
fn shown(text: &str) -> Option<Box<RawValue>> {
    if text.len() <= MAX_EVENT {
        return RawValue::from_string(text.to_owned()).ok();
    }
    let elements = text.strip_prefix('[')?;
    let mut names = serde_json::Deserializer::from_str(elements).into_iter();
    let mut name: String = names.next()?.ok()?;
    name.truncate(name.floor_char_boundary(MAX_NAME));
    let rest = format!("… {} bytes", text.len());
    serde_json::value::to_raw_value(&[name, rest]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(events: &[TappedEvent]) -> Vec<u64> {
        events.iter().map(|event| event.number).collect()
    }

    #[test]
    fn events_are_kept_from_when_somebody_looks() {
        let tap = EventTap::default();
        assert!(!tap.is_open());
        assert!(tap.read(None).is_empty());
        assert!(tap.is_open());
        for _ in 0..3 {
            tap.push(&Namespace::root(), ConnectionId::generate(), r#"["a",1]"#);
        }
        assert_eq!(numbers(&tap.read(None)), [1, 2, 3]);
        assert_eq!(numbers(&tap.read(Some(2))), [3]);
    }

    #[test]
    fn the_oldest_events_are_forgotten_first() {
        let tap = EventTap::default();
        tap.read(None);
        for _ in 0..=MAX_EVENTS {
            tap.push(&Namespace::root(), ConnectionId::generate(), r#"["a"]"#);
        }
        let kept = numbers(&tap.read(None));
        assert_eq!((kept.len(), kept[0]), (MAX_EVENTS, 2));
    }

    #[test]
    fn a_long_event_is_shown_by_its_name_and_size() {
        let text = serde_json::json!(["draw", "x".repeat(5000)]).to_string();
        let shown = shown(&text).expect("an event");
        assert_eq!(shown.get(), format!(r#"["draw","… {} bytes"]"#, text.len()));
        assert!(shown.get().len() < MAX_EVENT);
    }
}
