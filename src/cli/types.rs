//! `switchboard types`: TypeScript for the events of this server, for socket.io-client and for `@switchboard/client`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use crate::{
    config::{Config, ConfigError},
    events::CONTRACT_EVENTS,
    policies::{EventData, RoomPolicies, property},
};

/// The types of the contract's events, which use `RoomEvents`, `OwnClientEvents` and `OwnServerEvents`.
const CONTRACT: &str = include_str!("types/contract.ts");

/// Prints the types.
pub(super) fn run(config: &Config) -> ExitCode {
    match config.policies() {
        Ok(policies) => {
            print!("{}", Events::new(config, &policies).written());
            ExitCode::SUCCESS
        }
        Err(problems) => super::reject_config(&ConfigError::from(problems)),
    }
}

/// The events of a server by name, with the types of their data.
struct Events {
    /// Those that are published to rooms.
    published: BTreeMap<String, String>,
    /// Those that are relayed, or answered by hooks: their arguments are the application's own.
    own: BTreeMap<String, String>,
}

impl Events {
    fn new(config: &Config, policies: &RoomPolicies) -> Self {
        let published = policies.events().into_iter();
        let mut published: BTreeMap<_, _> = published
            .map(|(event, data)| (event.to_owned(), type_of(&data)))
            .collect();
        let unknown = || "unknown".to_owned();
        published
            .entry("message".to_owned())
            .or_insert_with(unknown);
        let relayed = config.socketio.relay.iter();
        let relayed = relayed.map(|rule| rule.event.clone());
        let answered = config.hooks.events().into_iter().flatten();
        let own = relayed
            .chain(answered)
            .filter(|name| !name.contains('*') && !CONTRACT_EVENTS.contains(&&**name))
            .map(|name| {
                let arguments = match published.get(&name) {
                    Some(data) => format!("(data: {data}, ...rest: any[]) => void"),
                    None => "(...args: any[]) => void".to_owned(),
                };
                (name, arguments)
            });
        Self {
            own: own.collect(),
            published,
        }
    }

    fn written(&self) -> String {
        let mut received = self.own.clone();
        for event in self.published.keys().filter(|event| *event != "message") {
            let arguments =
                format!("(data: RoomEvents[{event:?}], meta: Meta, offset?: string) => void");
            received.entry(event.clone()).or_insert(arguments);
        }
        format!(
            "// Written by `switchboard types`. Do not edit.\n\n{}\n{}\n{}\n{CONTRACT}",
            interface(
                "The data of events that are published to rooms, for `createClient<RoomEvents>()` of @switchboard/client.",
                "RoomEvents",
                &self.published
            ),
            interface(
                "Events of the application that clients send.",
                "OwnClientEvents",
                &self.own
            ),
            interface(
                "Events of the application that clients receive.",
                "OwnServerEvents",
                &received
            ),
        )
    }
}

fn type_of(data: &EventData<'_>) -> String {
    match data {
        EventData::Any => "unknown".to_owned(),
        EventData::Schemas(schemas) => {
            let types: BTreeSet<_> = schemas.iter().map(|schema| schema.typescript()).collect();
            match types.contains("unknown") {
                true => "unknown".to_owned(),
                false => types.into_iter().collect::<Vec<_>>().join(" | "),
            }
        }
    }
}

fn interface(doc: &str, name: &str, members: &BTreeMap<String, String>) -> String {
    let members: String = members
        .iter()
        .map(|(name, of)| format!("  {}: {of};\n", property(name)))
        .collect();
    format!("/** {doc} */\nexport interface {name} {{\n{members}}}\n")
}
