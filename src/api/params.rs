//! What stands in the addresses and bodies of several calls.

use serde::{Deserialize, Deserializer, de};
use utoipa::IntoParams;

use crate::{
    http::json::StringOrNumber,
    model::{MessageId, RoomName, UserId},
};

/// A message's id as its sender gives it. Descriptions take no parameters, so it has a name of its own.
pub(super) type GivenId = StringOrNumber<MessageId>;

/// A user as somebody names it.
pub(super) type GivenUser = StringOrNumber<UserId>;

/// The room that a call is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct InRoom {
    /// The room.
    pub(super) room: RoomName,
}

/// The user that a call is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfUser {
    /// The user.
    pub(super) user: UserId,
}

/// A number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounded<const LEAST: u64, const MOST: u64>(u64);

/// A number that JSON carries safely everywhere (RFC 8259, section 6).
pub(super) type AnyNumber = Bounded<0, { (1 << 53) - 1 }>;

impl<const LEAST: u64, const MOST: u64> Bounded<LEAST, MOST> {
    /// The number.
    pub(super) fn get(self) -> u64 {
        self.0
    }

    /// The number, of things.
    pub(super) fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Bounded<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if (LEAST..=MOST).contains(&number) {
            return Ok(Self(number));
        }
        let expected = format!("a number from {LEAST} to {MOST} is expected, not {number}");
        Err(de::Error::custom(expected))
    }
}
