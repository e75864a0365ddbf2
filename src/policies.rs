//! Room policies: what may be done in the rooms whose names match a pattern, whoever asks. A policy narrows what an identity's grants
//! allow, and never widens it.
//!
//! Policies are one table, of which the first that matches a room applies. Pure: what they say is enforced by the hub.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

mod event_rules;
mod policy;
mod rate;
mod schema;
mod settings;
mod typescript;

pub(crate) use event_rules::EventRule;
use event_rules::OTHERS;
pub(crate) use policy::{JoinRule, KeptHistory, PresenceRule, PublishRule, RoomPolicy};
use schema::EventSchema;
pub(crate) use settings::{OPTION, read};
pub(crate) use typescript::property;

use crate::model::RoomName;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct RoomPolicies(Vec<RoomPolicy>);

impl RoomPolicies {
    /// The policy of a room, if it has one. A personal room has one only if the pattern names personal rooms, as with grants.
    pub(crate) fn of(&self, room: &RoomName) -> Option<&RoomPolicy> {
        let mut policies = self.0.iter();
        policies.find(|policy| room.is_matched_by(&policy.pattern))
    }

    /// The events that have rules of their own, with the data that some policy accepts.
    pub(crate) fn events(&self) -> BTreeMap<&str, EventData<'_>> {
        let mut events = BTreeMap::new();
        let rules = self.iter().flat_map(|policy| policy.events.iter());
        for (event, rule) in rules.filter(|(event, _)| *event != OTHERS) {
            match rule {
                EventRule::Refused => {}
                EventRule::Anything => drop(events.insert(event, EventData::Any)),
                EventRule::Schema(schema) => {
                    let data = events.entry(event);
                    let data = data.or_insert_with(|| EventData::Schemas(Vec::new()));
                    if let EventData::Schemas(schemas) = data {
                        schemas.push(schema);
                    }
                }
            }
        }
        events
    }

    /// Who is shown in a room.
    pub(crate) fn presence(&self, room: &RoomName) -> PresenceRule {
        let policy = self.of(room);
        policy.map_or(PresenceRule::Users, |policy| policy.presence)
    }

    /// Drops what is kept of the rates of users who have not sent anything lately.
    pub(crate) fn drop_full_buckets(&self, now: Instant) {
        for rates in self.iter().filter_map(|policy| policy.rate.as_ref()) {
            rates.buckets.remove_full(now);
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All policies, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RoomPolicy> {
        self.0.iter()
    }
}

impl FromIterator<RoomPolicy> for RoomPolicies {
    fn from_iter<I: IntoIterator<Item = RoomPolicy>>(policies: I) -> Self {
        Self(policies.into_iter().collect())
    }
}

/// The data of an event, over all policies.
#[derive(Debug)]
pub(crate) enum EventData<'a> {
    /// Any.
    Any,
    /// What one of these schemas accepts.
    Schemas(Vec<&'a EventSchema>),
}

/// The policies in force, which are replaced when the configuration is read again.
#[derive(Clone, Debug, Default)]
pub(crate) struct CurrentPolicies(Arc<RwLock<Arc<RoomPolicies>>>);

impl CurrentPolicies {
    pub(crate) fn new(policies: RoomPolicies) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(policies))))
    }

    /// Those in force now.
    pub(crate) fn get(&self) -> Arc<RoomPolicies> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces them.
    pub(crate) fn replace(&self, policies: RoomPolicies) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policies);
    }
}

#[cfg(test)]
mod tests;
