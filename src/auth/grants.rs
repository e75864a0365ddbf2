//! What an identity may do where: rules over room names.
//!
//! Knows rooms by name only: who is asking, and what is their own, is `principal`'s matter.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    error::{Error, Result},
    model::{PERSONAL_ROOM_PREFIX, RoomName},
    pattern::Pattern,
};

/// Most rules that one identity may have.
pub const MAX_RULES: usize = 64;

/// One thing that can be allowed in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Become a member: receive what is sent there.
    Join,
    /// Send messages and events.
    Publish,
    /// Read what was sent before.
    History,
    /// See who is there.
    Presence,
    /// Ask other connections and wait for their answer. Not of a room: only a rule for `*` gives it.
    Signal,
}

impl Permission {
    /// All of them.
    pub const ALL: [Permission; 5] = [
        Permission::Join,
        Permission::Publish,
        Permission::History,
        Permission::Presence,
        Permission::Signal,
    ];

    /// The word in tokens and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::Join => "join",
            Permission::Publish => "publish",
            Permission::History => "history",
            Permission::Presence => "presence",
            Permission::Signal => "signal",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.as_str() == word)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of [`Permission`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    /// Every permission there is.
    pub fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// Whether `permission` is among them.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in the set, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL
            .into_iter()
            .filter(move |each| self.contains(*each))
    }

    const fn bit(permission: Permission) -> u8 {
        1 << permission as u8
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(
            permissions
                .into_iter()
                .fold(0, |set, each| set | Self::bit(each)),
        )
    }
}

/// Allows something in every room whose name matches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    can: Permissions,
}

impl Rule {
    /// A wildcard does not reach into personal rooms: `*` in a token means the rooms of the application, and
    /// whoever wrote it did not think of other people's notifications.
    fn reaches(&self, room: &RoomName) -> bool {
        (!room.is_personal() || self.pattern.as_str().starts_with(PERSONAL_ROOM_PREFIX))
            && self.pattern.matches(room.as_str())
    }
}

/// Rules that add up: something is allowed in a room when any rule that matches the room allows it.
///
/// In configuration and on the command line `team:*=join,publish; lobby=join`, with rules separated by `;` or
/// white space. In a token's `rooms` claim `[{ "match": "team:*", "can": ["join", "publish"] }]`, where words
/// that are not known are passed over, so that tokens made for a later version still work.
/// At most [`MAX_RULES`] rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Rule>);

impl Grants {
    /// Every permission in every room that is nobody's personal room.
    pub fn everything() -> Self {
        Self(vec![Rule {
            pattern: Pattern::any(),
            can: Permissions::all(),
        }])
    }

    /// Reads `pattern=word,word; pattern=word`. Empty text grants nothing.
    pub fn parse(text: &str) -> Result<Self> {
        let rules = text
            .split(|c: char| c == ';' || c.is_whitespace())
            .filter(|rule| !rule.is_empty())
            .map(parse_rule)
            .collect::<Result<Vec<_>>>()?;
        check_count(rules.len())?;
        Ok(Self(rules))
    }

    /// Whether `permission` is granted in `room`.
    pub fn allow(&self, permission: Permission, room: &RoomName) -> bool {
        self.0
            .iter()
            .any(|rule| rule.can.contains(permission) && rule.reaches(room))
    }

    /// Whether `permission` is granted by a rule for exactly `*`: for what belongs to no room.
    pub fn allow_everywhere(&self, permission: Permission) -> bool {
        self.0
            .iter()
            .any(|rule| rule.pattern.is_any() && rule.can.contains(permission))
    }

    /// What the names of all rooms begin with in which `permission` is granted, one for each rule that grants it, and whether
    /// that is the whole name.
    pub fn literals(&self, permission: Permission) -> impl Iterator<Item = (&str, bool)> {
        let granting = self.0.iter();
        granting
            .filter(move |rule| rule.can.contains(permission))
            .map(|rule| rule.pattern.literal())
    }

    /// Whether nothing is granted anywhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn parse_rule(text: &str) -> Result<Rule> {
    let (pattern, words) = text.split_once('=').ok_or_else(|| {
        Error::bad_request(format!(
            "a rule is written pattern=word,word; there is no = in \"{text}\""
        ))
    })?;
    let can = words
        .split(',')
        .map(|word| {
            Permission::from_word(word).ok_or_else(|| {
                let known = Permission::ALL.map(Permission::as_str).join(", ");
                Error::bad_request(format!(
                    "\"{word}\" in \"{text}\" is none of the permissions {known}"
                ))
            })
        })
        .collect::<Result<_>>()?;
    Ok(Rule {
        pattern: Pattern::parse(pattern)?,
        can,
    })
}

fn check_count(rules: usize) -> Result<()> {
    if rules > MAX_RULES {
        return Err(Error::bad_request(format!(
            "there are at most {MAX_RULES} rules, here are {rules}"
        )));
    }
    Ok(())
}

impl FromStr for Grants {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// Prints what [`Grants::parse`] reads.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, rule) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{}=", rule.pattern)?;
            for (n, permission) in rule.can.iter().enumerate() {
                let separator = if n == 0 { "" } else { "," };
                write!(f, "{separator}{permission}")?;
            }
        }
        Ok(())
    }
}

/// The form of the `rooms` claim.
impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Claim<'a> {
            r#match: &'a Pattern,
            can: Vec<&'static str>,
        }
        serializer.collect_seq(self.0.iter().map(|rule| Claim {
            r#match: &rule.pattern,
            can: rule.can.iter().map(Permission::as_str).collect(),
        }))
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Claim {
            r#match: Pattern,
            can: Vec<String>,
        }
        let claims = Vec::<Claim>::deserialize(deserializer)?;
        check_count(claims.len()).map_err(|error| de::Error::custom(error.message().to_owned()))?;
        let rules = claims.into_iter().map(|claim| Rule {
            pattern: claim.r#match,
            can: claim
                .can
                .iter()
                .filter_map(|word| Permission::from_word(word))
                .collect(),
        });
        Ok(Self(rules.filter(|rule| !rule.can.is_empty()).collect()))
    }
}

#[cfg(test)]
mod tests;
