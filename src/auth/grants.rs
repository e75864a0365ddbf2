//! Authorization: rules over room names.
//!
//! Knows rooms by name only; whose room a personal room is, `principal` decides.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    error::{Error, Result},
    model::{PERSONAL_ROOM_PREFIX, RoomName},
    pattern::Pattern,
};

/// The maximum number of rules of an identity.
pub const MAX_RULES: usize = 64;

/// One thing that can be allowed in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Join, and receive what is sent to the room.
    Join,
    /// Send messages and events.
    Publish,
    /// Read the history.
    History,
    /// See who is in the room.
    Presence,
    /// Send signals to users in the room and receive their replies; a rule for `user:*` permits it without a common room.
    Signal,
    /// Open a document of this name, and receive its updates.
    Read,
    /// Change a document.
    Write,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Permission; 7] = [
        Permission::Join,
        Permission::Publish,
        Permission::History,
        Permission::Presence,
        Permission::Signal,
        Permission::Read,
        Permission::Write,
    ];

    /// The name in tokens and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::Join => "join",
            Permission::Publish => "publish",
            Permission::History => "history",
            Permission::Presence => "presence",
            Permission::Signal => "signal",
            Permission::Read => "read",
            Permission::Write => "write",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.as_str() == name)
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
    /// All permissions.
    pub fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// Whether the set contains `permission`.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The permissions in the set, in the order of [`Permission::ALL`].
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

/// Grants permissions in every room whose name matches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    permissions: Permissions,
}

impl Rule {
    /// A wildcard does not match personal rooms: `*` in a token means the rooms of the application, not other people's
    /// notifications.
    fn applies_to(&self, room: &RoomName) -> bool {
        (!room.is_personal() || self.pattern.as_str().starts_with(PERSONAL_ROOM_PREFIX))
            && self.pattern.matches(room.as_str())
    }
}

/// A list of rules; a permission is granted in a room if any rule that matches the room grants it.
///
/// In the configuration and on the command line written `team:*=join,publish; lobby=join`, with rules separated by `;` or
/// white space. In the `rooms` claim of a token written `[{ "match": "team:*", "can": ["join", "publish"] }]`, where unknown
/// permissions are ignored, so that tokens made for a later version still work. At most [`MAX_RULES`] rules.
///
/// ```
/// use switchboard::{auth::{Grants, Permission}, model::RoomName};
///
/// let grants = Grants::parse("team:*=join,publish; lobby=join")?;
/// assert!(grants.allow(Permission::Publish, &RoomName::parse("team:7")?));
/// assert!(!grants.allow(Permission::Publish, &RoomName::parse("lobby")?));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Rule>);

impl Grants {
    /// Every permission in every room except personal rooms.
    pub fn everything() -> Self {
        Self(vec![Rule {
            pattern: Pattern::any(),
            permissions: Permissions::all(),
        }])
    }

    /// Parses `pattern=permission,permission; pattern=permission`. Empty text grants nothing.
    ///
    /// # Errors
    /// Fails with `bad_request` if a rule is malformed or there are too many.
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
            .any(|rule| rule.permissions.contains(permission) && rule.applies_to(room))
    }

    /// Whether a rule for exactly `*` grants `permission`; for what belongs to no room.
    pub(crate) fn allow_everywhere(&self, permission: Permission) -> bool {
        self.0
            .iter()
            .any(|rule| rule.pattern.is_any() && rule.permissions.contains(permission))
    }

    /// For each rule that grants `permission`, the literal prefix of the rooms it matches, and whether that is the whole name.
    pub(crate) fn literal_prefixes(
        &self,
        permission: Permission,
    ) -> impl Iterator<Item = (&str, bool)> {
        let granting = self.0.iter();
        granting
            .filter(move |rule| rule.permissions.contains(permission))
            .map(|rule| rule.pattern.literal_prefix())
    }

    /// Whether nothing is granted anywhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn parse_rule(text: &str) -> Result<Rule> {
    let (pattern, names) = text.split_once('=').ok_or_else(|| {
        Error::bad_request(format!(
            "a rule is written pattern=permission,permission; there is no = in \"{text}\""
        ))
    })?;
    let permissions = names
        .split(',')
        .map(|name| {
            Permission::from_name(name).ok_or_else(|| {
                let known = Permission::ALL.map(Permission::as_str).join(", ");
                Error::bad_request(format!(
                    "\"{name}\" in \"{text}\" is not a permission; expected one of {known}"
                ))
            })
        })
        .collect::<Result<_>>()?;
    Ok(Rule {
        pattern: Pattern::parse(pattern)?,
        permissions,
    })
}

fn check_count(rules: usize) -> Result<()> {
    if rules > MAX_RULES {
        return Err(Error::bad_request(format!(
            "at most {MAX_RULES} rules are allowed, got {rules}"
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

/// Prints the form that [`Grants::parse`] reads.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, rule) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{}=", rule.pattern)?;
            for (n, permission) in rule.permissions.iter().enumerate() {
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
            can: rule.permissions.iter().map(Permission::as_str).collect(),
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
            permissions: claim
                .can
                .iter()
                .filter_map(|name| Permission::from_name(name))
                .collect(),
        });
        Ok(Self(
            rules.filter(|rule| !rule.permissions.is_empty()).collect(),
        ))
    }
}

#[cfg(test)]
mod tests;
