//! What a Pub/Sub connection is subscribed to, as Redis names it: a channel or a pattern.

use redis::{RedisError, aio::MultiplexedConnection};

use crate::backend::Channel;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) is_pattern: bool,
}

impl Topic {
    pub(super) fn of(channel: &Channel) -> Self {
        match channel {
            Channel::Named(name) => Self {
                name: name.clone(),
                is_pattern: false,
            },
            Channel::Beginning(beginning) => Self {
                name: pattern(beginning),
                is_pattern: true,
            },
        }
    }

    /// What a message has come by.
    pub(super) fn received(channel: &str, pattern: Option<String>) -> Self {
        Self {
            is_pattern: pattern.is_some(),
            name: pattern.unwrap_or_else(|| channel.to_owned()),
        }
    }

    pub(super) async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), RedisError> {
        match self.is_pattern {
            true => connection.psubscribe(&self.name).await,
            false => connection.subscribe(&self.name).await,
        }
    }

    pub(super) async fn unsubscribe(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), RedisError> {
        match self.is_pattern {
            true => connection.punsubscribe(&self.name).await,
            false => connection.unsubscribe(&self.name).await,
        }
    }
}

/// The pattern of all channels whose names begin like this: what patterns give a meaning stands for itself.
fn pattern(beginning: &str) -> String {
    let mut pattern = String::with_capacity(beginning.len() + 1);
    for character in beginning.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_what_patterns_give_a_meaning_for_itself() {
        let beginning = Channel::Beginning(r"a*b?[c]\#/#".to_owned());
        let topic = Topic::of(&beginning);
        assert!(topic.is_pattern);
        assert_eq!(topic.name, r"a\*b\?\[c\]\\#/#*");
    }
}
