//! Which events may be sent to a room, and with which data.

use std::collections::BTreeMap;

use super::schema::EventSchema;

/// What holds for the events that have no rule of their own.
pub(super) const OTHERS: &str = "*";

/// What holds for an event.
#[derive(Debug)]
pub(crate) enum EventRule {
    /// Any data.
    Anything,
    /// It may not be sent.
    Refused,
    /// Data that a schema accepts.
    Schema(EventSchema),
}

/// The rules of one policy, by the events' names.
#[derive(Debug, Default)]
pub(crate) struct EventRules(BTreeMap<String, EventRule>);

impl EventRules {
    pub(super) fn new(rules: BTreeMap<String, EventRule>) -> Self {
        Self(rules)
    }

    /// The rule of an event.
    pub(crate) fn of(&self, event: &str) -> &EventRule {
        let rule = self.0.get(event).or_else(|| self.0.get(OTHERS));
        rule.unwrap_or(&EventRule::Anything)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All rules.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &EventRule)> {
        self.0.iter().map(|(event, rule)| (&**event, rule))
    }
}
