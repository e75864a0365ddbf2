//! The table of owners, by namespace and name.

use std::collections::BTreeMap;

use super::{ContractScope, RelayMode, RelayRule, relay_rule::check_name};
use crate::{model::Namespace, pattern};

/// The events of the contract that clients send.
pub const CONTRACT_EVENTS: [&str; 13] = [
    "join",
    "leave",
    "message",
    "publish",
    "history",
    "refresh",
    "presence",
    "status",
    "typing",
    "typing_start",
    "typing_stop",
    "read",
    "signal",
];

/// Events that only the server sends. Clients cannot tell them from relayed ones.
const SERVER_EVENTS: [&str; 5] = ["session", "notification", "kicked", "draining", "reset"];

/// Who owns an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The contract.
    Contract,
    /// It is relayed.
    Relay(RelayMode),
    /// An endpoint of `hooks.call` answers it: the one with this index.
    Hook(usize),
    /// The embedding application has a handler for it.
    Application,
}

/// The owners of all events.
#[derive(Clone, Debug, Default)]
pub struct EventOwners(BTreeMap<Namespace, NamespaceOwners>);

/// The owners of a namespace's events.
#[derive(Clone, Debug, Default)]
pub struct NamespaceOwners {
    contract: bool,
    /// A few names that are looked up with each event: a hash of the name would cost more than comparing it.
    claimed: BTreeMap<String, Owner>,
    /// Names with `*`, the first that matches wins.
    patterns: Vec<(String, Owner)>,
}

impl EventOwners {
    /// The owners in `namespaces`, by their configuration.
    pub fn new(namespaces: &[Namespace], contract: &ContractScope, relay: &[RelayRule]) -> Self {
        let of = |namespace: &Namespace| {
            let mut owners = NamespaceOwners {
                contract: contract.includes(namespace),
                ..NamespaceOwners::default()
            };
            // A rule for this namespace comes before those for all.
            for rule in relay.iter().filter(|rule| rule.namespace.is_none()) {
                owners.relay(rule);
            }
            for rule in relay {
                if rule.namespace.as_ref() == Some(namespace) {
                    owners.relay(rule);
                }
            }
            (namespace.clone(), owners)
        };
        Self(namespaces.iter().map(of).collect())
    }

    /// Gives the events of each endpoint of `hooks.call` to it, in every namespace. Its patterns come before those that are relayed.
    pub fn add_hooks(&mut self, hooks: &[Vec<String>]) {
        for owners in self.0.values_mut() {
            let mut patterns = Vec::new();
            for (index, event) in indexed(hooks) {
                match is_pattern(event) {
                    true => patterns.push((event.clone(), Owner::Hook(index))),
                    false => drop(owners.claimed.insert(event.clone(), Owner::Hook(index))),
                }
            }
            owners.patterns.splice(..0, patterns);
        }
    }

    /// What is wrong with the events of `hooks.call`: the endpoint's index, each with a problem.
    pub fn hook_problems(relay: &[RelayRule], hooks: &[Vec<String>]) -> Vec<(usize, String)> {
        let mut problems = Vec::new();
        let all: Vec<_> = indexed(hooks).collect();
        for (nth, (index, event)) in all.iter().enumerate() {
            let earlier = || all[..nth].iter().map(|(_, earlier)| *earlier);
            let shadows = |other: &&String| {
                is_pattern(other) && is_pattern(event) && pattern::matches(other, event)
            };
            let problem = if let Err(error) = check_name(event) {
                format!("{event:?} cannot be answered: {}", error.message())
            } else if earlier().any(|other| other == *event) {
                format!("{event:?} is named twice: remove one")
            } else if relay.iter().any(|rule| rule.event == **event) {
                format!("{event:?} is relayed by socketio.relay, too: remove one")
            } else if let Some(other) = earlier().find(shadows) {
                format!(
                    "{event:?} never applies, since {other:?} stands before it: change their order"
                )
            } else {
                continue;
            };
            problems.push((*index, problem));
        }
        problems
    }

    /// What is wrong with the configuration: options, each with a problem.
    pub fn problems(
        namespaces: &[Namespace],
        contract: &ContractScope,
        relay: &[RelayRule],
    ) -> Vec<(&'static str, String)> {
        let unknown = |name: &Namespace| {
            let is_unknown = !namespaces.contains(name);
            is_unknown.then(|| format!("{name} is none of socketio.namespaces"))
        };
        let mut problems = Vec::new();
        if let ContractScope::Only(only) = contract {
            let unknown = only.iter().filter_map(unknown);
            problems.extend(unknown.map(|problem| ("socketio.contract", problem)));
        }
        for (nth, rule) in relay.iter().enumerate() {
            let problem = rule
                .conflict(&relay[..nth])
                .or_else(|| rule.namespace.as_ref().and_then(unknown))
                .or_else(|| rule.forgery(namespaces, contract));
            problems.extend(problem.map(|problem| ("socketio.relay", problem)));
        }
        problems
    }

    /// Claims an event for the application in a namespace.
    ///
    /// # Errors
    /// Why it cannot have it, as a sentence.
    pub fn claim(&mut self, namespace: &Namespace, event: &str) -> Result<(), String> {
        if event.contains('*') {
            return Err(format!(
                "{event:?} cannot be handled: patterns are for socketio.relay"
            ));
        }
        check_name(event)
            .map_err(|error| format!("{event:?} cannot be handled: {}", error.message()))?;
        let Some(owners) = self.0.get_mut(namespace) else {
            return Err(format!(
                "{event:?} cannot be handled in {namespace}: it is none of socketio.namespaces"
            ));
        };
        match owners.claimed.insert(event.to_owned(), Owner::Application) {
            None => Ok(()),
            Some(Owner::Application | Owner::Contract) => Err(format!(
                "{event:?} has two handlers in {namespace}: remove one"
            )),
            Some(Owner::Hook(_)) => Err(format!(
                "{event:?} has a handler in {namespace}, and hooks.call names it: remove one"
            )),
            Some(Owner::Relay(_)) => Err(format!(
                "{event:?} has a handler in {namespace}, and socketio.relay names it: remove one"
            )),
        }
    }

    /// Turns the contract off in a namespace.
    pub fn turn_contract_off(&mut self, namespace: &Namespace) {
        if let Some(owners) = self.0.get_mut(namespace) {
            owners.contract = false;
        }
    }

    /// The owners in a namespace; those of an unknown one own nothing.
    pub fn of(&self, namespace: &Namespace) -> NamespaceOwners {
        self.0.get(namespace).cloned().unwrap_or_default()
    }

    /// Describes the table: a line for each owner in each namespace.
    pub fn describe(&self) -> String {
        let lines = self
            .0
            .iter()
            .map(|(namespace, owners)| owners.describe(namespace));
        lines.collect()
    }
}

impl RelayRule {
    /// Why this rule and an earlier one cannot both apply.
    fn conflict(&self, earlier: &[Self]) -> Option<String> {
        let earlier = || {
            earlier
                .iter()
                .filter(|other| other.namespace == self.namespace)
        };
        let rule = self.to_string();
        if let Some(other) = earlier().find(|other| other.event == self.event) {
            let other = other.to_string();
            return Some(format!(
                "{other:?} and {rule:?} are rules for the same event: remove one"
            ));
        }
        let shadows = |other: &&Self| {
            other.is_pattern() && self.is_pattern() && pattern::matches(&other.event, &self.event)
        };
        let other = earlier().find(shadows)?.to_string();
        Some(format!(
            "{rule:?} never applies, since {other:?} stands before it: change their order"
        ))
    }

    /// Why this rule lets clients forge events of the server.
    fn forgery(&self, namespaces: &[Namespace], contract: &ContractScope) -> Option<String> {
        let here = |namespace: &&Namespace| {
            let applies = self.namespace.as_ref().is_none_or(|of| of == *namespace);
            applies && contract.includes(namespace)
        };
        let is_forgery =
            SERVER_EVENTS.contains(&&*self.event) && namespaces.iter().any(|name| here(&name));
        is_forgery.then(|| {
            format!(
                "{:?}: the server sends this event itself, and clients could forge it; turn the contract off there (socketio.contract)",
                self.to_string()
            )
        })
    }
}

impl NamespaceOwners {
    fn relay(&mut self, rule: &RelayRule) {
        let owner = Owner::Relay(rule.mode);
        match rule.is_pattern() {
            true => self.patterns.push((rule.event.clone(), owner)),
            false => drop(self.claimed.insert(rule.event.clone(), owner)),
        }
    }

    /// Whether an endpoint of a hook answers events here.
    pub fn has_hooks(&self) -> bool {
        let patterns = self.patterns.iter().map(|(_, owner)| owner);
        let mut owners = self.claimed.values().chain(patterns);
        owners.any(|owner| matches!(owner, Owner::Hook(_)))
    }

    /// Whether the contract's own events exist here.
    pub fn has_contract(&self) -> bool {
        self.contract
    }

    /// The owner of an event: who claims its name, or else the contract, or else whoever claims a pattern that matches it. A pattern takes
    /// no name from the contract, nor any that the server sends, and nobody owns a name of Socket.IO's own.
    pub fn owner(&self, event: &str) -> Option<Owner> {
        if let Some(owner) = self.claimed.get(event) {
            return Some(*owner);
        }
        if self.contract && CONTRACT_EVENTS.contains(&event) {
            return Some(Owner::Contract);
        }
        if check_name(event).is_err() || self.contract && SERVER_EVENTS.contains(&event) {
            return None;
        }
        let mut patterns = self.patterns.iter();
        let matching = patterns.find(|(pattern, _)| pattern::matches(pattern, event));
        matching.map(|(_, owner)| *owner)
    }

    /// Whether the server sends its own events of this name here: not where somebody else owns the name, nor without the
    /// contract. Errors are always sent.
    pub fn sends_notice(&self, name: &str) -> bool {
        name == "error" || self.contract && !self.claimed.contains_key(name)
    }

    fn describe(&self, namespace: &Namespace) -> String {
        let mut by_owner: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let claimed = self.claimed.iter();
        for (name, owner) in claimed.chain(self.patterns.iter().map(|(name, owner)| (name, owner)))
        {
            by_owner.entry(owner.name()).or_default().push(name);
        }
        let contract = CONTRACT_EVENTS
            .into_iter()
            .filter(|event| self.owner(event) == Some(Owner::Contract));
        by_owner.insert(Owner::Contract.name(), contract.collect());
        let mut text = String::new();
        for (owner, mut events) in by_owner {
            events.sort_unstable();
            if !events.is_empty() {
                text += &format!("{namespace} {owner}: {}\n", events.join(", "));
            }
        }
        text
    }
}

impl Owner {
    fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Relay(RelayMode {
                to_sender: false,
                empty_ack: false,
            }) => "relay",
            Self::Relay(RelayMode {
                to_sender: true,
                empty_ack: false,
            }) => "relay to all",
            Self::Relay(RelayMode {
                to_sender: false,
                empty_ack: true,
            }) => "relay with an ack",
            Self::Relay(RelayMode {
                to_sender: true,
                empty_ack: true,
            }) => "relay to all with an ack",
            Self::Hook(_) => "hook",
            Self::Application => "application",
        }
    }
}

/// The events of all endpoints, each with its endpoint's index.
fn indexed(hooks: &[Vec<String>]) -> impl Iterator<Item = (usize, &String)> {
    let hooks = hooks.iter().enumerate();
    hooks.flat_map(|(index, events)| events.iter().map(move |event| (index, event)))
}

fn is_pattern(event: &str) -> bool {
    event.contains('*')
}

#[cfg(test)]
mod tests;
