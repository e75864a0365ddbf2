//! What an identity may do where: rules over room names.
//!
//! Knows rooms by name only: who is asking, and what is their own, is `principal`'s matter.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    error::{Error, Result},
    model::{PERSONAL, RoomName},
    pattern::Pattern,
};

/// Most rules that one identity may have.
pub const MOST_RULES: usize = 64;

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
        (!room.is_personal() || self.pattern.as_str().starts_with(PERSONAL))
            && self.pattern.matches(room.as_str())
    }
}

/// Rules that add up: something is allowed in a room when any rule that matches the room allows it.
///
/// In configuration and on the command line `team:*=join,publish; lobby=join`, with rules separated by `;` or
/// white space. In a token's `rooms` claim `[{ "match": "team:*", "can": ["join", "publish"] }]`, where words
/// that are not known are passed over, so that tokens made for a later version still work.
/// At most [`MOST_RULES`] rules.
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
    if rules > MOST_RULES {
        return Err(Error::bad_request(format!(
            "there are at most {MOST_RULES} rules, here are {rules}"
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn any_matching_rule_with_the_permission_allows_it() {
        let grants = Grants::parse("team:*=join,publish; lobby=join team:7=history").unwrap();
        assert!(grants.allow(Permission::Join, &room("team:7")));
        assert!(grants.allow(Permission::Publish, &room("team:7")));
        assert!(grants.allow(Permission::History, &room("team:7")));
        assert!(!grants.allow(Permission::History, &room("team:8")));
        assert!(grants.allow(Permission::Join, &room("lobby")));
        assert!(!grants.allow(Permission::Publish, &room("lobby")));
        assert!(!grants.allow(Permission::Join, &room("lobby2")));
        assert!(!Grants::default().allow(Permission::Join, &room("lobby")));
    }

    #[test]
    fn only_a_rule_that_begins_with_user_reaches_into_personal_rooms() {
        let alice = room("user:alice");
        for text in [
            "*=publish",
            "user*=publish",
            "*user:alice=publish",
            "u*=publish",
        ] {
            let grants = Grants::parse(text).unwrap();
            assert!(!grants.allow(Permission::Publish, &alice), "{text}");
        }
        for text in ["user:*=publish", "user:alice=publish"] {
            let grants = Grants::parse(text).unwrap();
            assert!(grants.allow(Permission::Publish, &alice), "{text}");
        }
    }

    #[test]
    fn everywhere_takes_a_rule_for_exactly_everything() {
        let everywhere = |text| {
            Grants::parse(text)
                .unwrap()
                .allow_everywhere(Permission::Signal)
        };
        assert!(everywhere("*=signal"));
        assert!(everywhere("a=join;*=join,signal"));
        for text in ["**=signal", "a*=signal", "*=join", ""] {
            assert!(!everywhere(text), "{text}");
        }
        assert!(Grants::everything().allow_everywhere(Permission::Signal));
    }

    #[test]
    fn a_rule_that_is_not_understood_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("lobby", "pattern=word,word"),
            ("lobby=join publish", "pattern=word,word"),
            ("lobby=join, publish", "none of the permissions"),
            ("lobby=jion", "join, publish, history, presence, signal"),
            ("lobby=", "join, publish"),
            ("lobby=join,", "join, publish"),
            ("=join", "1 to 133 bytes"),
        ] {
            let error = Grants::parse(text).unwrap_err();
            assert!(error.message().contains(expected), "{text}: {error}");
        }
        assert!(Grants::parse(&"a=join;".repeat(64)).is_ok());
        assert!(Grants::parse(&"a=join;".repeat(65)).is_err());
    }

    #[test]
    fn a_claim_may_hold_words_of_a_later_version() {
        let claim = r#"[{"match":"a","can":["join","fly"],"note":1},{"match":"b","can":["fly"]}]"#;
        let grants: Grants = serde_json::from_str(claim).unwrap();
        assert_eq!(grants, Grants::parse("a=join").unwrap());
    }

    #[test]
    fn a_claim_of_another_shape_is_refused() {
        let rule = r#"{"match":"a","can":["join"]}"#;
        let many = |n: usize| format!("[{}]", vec![rule; n].join(","));
        assert!(serde_json::from_str::<Grants>(&many(64)).is_ok());
        for claim in [
            many(65).as_str(),
            r#""a=join""#,
            r#"[{"match":"a b","can":["join"]}]"#,
            r#"[{"match":"a"}]"#,
            r#"[{"can":["join"]}]"#,
            r#"[{"match":"a","can":"join"}]"#,
        ] {
            assert!(serde_json::from_str::<Grants>(claim).is_err(), "{claim}");
        }
    }

    fn some_grants() -> impl Strategy<Value = Grants> {
        let rule = ("[a-z:*ä-]{1,12}", 1u8..32).prop_map(|(pattern, bits)| Rule {
            pattern: Pattern::parse(&pattern).unwrap(),
            can: Permissions(bits),
        });
        prop::collection::vec(rule, 0..=MOST_RULES).prop_map(Grants)
    }

    proptest! {
        #[test]
        fn grants_read_back_as_they_were_printed(grants in some_grants()) {
            prop_assert_eq!(&Grants::parse(&grants.to_string()).unwrap(), &grants);
        }

        #[test]
        fn grants_read_back_from_the_claim_they_make(grants in some_grants()) {
            let claim = serde_json::to_string(&grants).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Grants>(&claim).unwrap(), &grants);
        }

        #[test]
        fn no_text_makes_reading_grants_panic(text in "[a-z=,; *]{0,60}") {
            if let Ok(grants) = Grants::parse(&text) {
                prop_assert_eq!(&Grants::parse(&grants.to_string()).unwrap(), &grants);
            }
        }
    }
}
