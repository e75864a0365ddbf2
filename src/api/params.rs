//! Path parameters and values that several calls share.

use serde::{Deserialize, Deserializer, de};
use utoipa::IntoParams;

use crate::{
    http::json::StringOrNumber,
    model::{MessageId, RoomName, UserId},
};

/// A message's id as a client sends it. An alias, because OpenAPI schemas have no generic parameters.
pub(super) type MessageIdParam = StringOrNumber<MessageId>;

/// A user's id as a client sends it.
pub(super) type UserIdParam = StringOrNumber<UserId>;

/// The room in a call's path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct RoomPath {
    /// The room.
    pub(super) room: RoomName,
}

/// The user in a call's path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct UserPath {
    /// The user.
    pub(super) user: UserId,
}

/// A number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounded<const MIN: u64, const MAX: u64>(u64);

/// A number that JSON carries safely everywhere (RFC 8259, section 6).
pub(super) type SafeInteger = Bounded<0, { (1 << 53) - 1 }>;

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// The number.
    pub(super) fn get(self) -> u64 {
        self.0
    }

    /// The number as a count.
    pub(super) fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if (MIN..=MAX).contains(&number) {
            return Ok(Self(number));
        }
        let expected = format!("a number from {MIN} to {MAX} is expected, not {number}");
        Err(de::Error::custom(expected))
    }
}
