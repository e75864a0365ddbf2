//! Reads policies from the tables `[[rooms]]`.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value as Json;

use super::{
    RoomPolicies,
    event_rules::{EventRule, EventRules, OTHERS},
    policy::{JoinRule, KeptHistory, PresenceRule, PublishRule, RoomPolicy, RoomRates},
    rate::RoomRate,
    schema::EventSchema,
};
use crate::{
    model::EventName,
    options::{
        ByteSize, OptionValue, Problem, TableReader, Tables, Value, format_duration, parse_duration,
    },
    pattern::Pattern,
};

/// The option that has the tables.
pub(crate) const OPTION: &str = "rooms";

/// Reads the tables.
///
/// # Errors
/// Every problem in them.
pub(crate) fn read(tables: &Tables) -> Result<RoomPolicies, Vec<Problem>> {
    let mut problems = Vec::new();
    let policies = tables.read(OPTION, &mut problems, read_policy);
    match problems.is_empty() {
        true => Ok(policies.into_iter().collect()),
        false => Err(problems),
    }
}

fn read_policy(table: &mut TableReader<'_>) -> Option<RoomPolicy> {
    let pattern = table.get::<Pattern>("match");
    if !table.has("match") {
        table.problem(
            "match",
            format!("is not set; expected {}", Pattern::expected()),
        );
    }
    let presence = table.get("presence").unwrap_or(PresenceRule::Users);
    let policy = RoomPolicy {
        index: table.index(),
        pattern: pattern?,
        join: table.get("join").unwrap_or(JoinRule::Anyone),
        publish: table.get("publish").unwrap_or(PublishRule::Anyone),
        history: table.get("history"),
        presence,
        typing: table
            .get("typing")
            .unwrap_or(presence == PresenceRule::Users),
        rate: table.get::<RoomRate>("rate").map(RoomRates::new),
        message_bytes: table.get::<ByteSize>("message_bytes").map(ByteSize::bytes),
        events: EventRules::new(read_events(table)),
    };
    if policy.history.is_some_and(|history| history.age.is_zero()) {
        table.problem("history", "the age has to be more than 0");
    }
    Some(policy)
}

/// What a value of `events` may be.
const EVENT_RULE: &str =
    "the file of a JSON Schema, false to refuse the event, or true for any data";

fn read_events(table: &mut TableReader<'_>) -> BTreeMap<String, EventRule> {
    let mut rules = BTreeMap::new();
    for (event, value) in table.entries(
        "events",
        "a table such as { cursor = \"cursor.json\", \"*\" = false }",
    ) {
        if event != OTHERS && !is_event_name(&event) {
            table.problem("events", format!("{event:?} is no event name"));
        }
        let rule = match value {
            Json::Bool(true) => EventRule::Anything,
            Json::Bool(false) => EventRule::Refused,
            Json::String(file) => match EventSchema::read(Path::new(&file)) {
                Ok(schema) => EventRule::Schema(schema),
                Err(error) => {
                    table.problem("events", format!("{event:?}: {error}"));
                    continue;
                }
            },
            _ => {
                table.problem("events", format!("{event:?}: expected {EVENT_RULE}"));
                continue;
            }
        };
        rules.insert(event, rule);
    }
    rules
}

/// Whether an event can have this name: that of a relayed one may have white space, too.
fn is_event_name(name: &str) -> bool {
    EventName::parse(&name.replace(char::is_whitespace, "_")).is_ok()
}

impl OptionValue for KeptHistory {
    const METAVAR: &'static str = "HISTORY";

    fn expected() -> String {
        "messages and an age such as \"1000, 30d\"".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        let (messages, age) = text.split_once(',')?;
        Some(Self {
            messages: messages.trim().parse().ok()?,
            age: parse_duration(age)?,
        })
    }

    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl std::fmt::Display for KeptHistory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.messages, format_duration(self.age))
    }
}
