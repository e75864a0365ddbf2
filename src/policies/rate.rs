//! How fast each user may send to a room: `20/s`, `30/m`.

use std::{fmt, time::Duration};

use crate::{
    limits::Rate,
    options::{OptionValue, Value},
};

/// Events in a time, all of them at once if need be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoomRate {
    events: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Unit {
    const ALL: [Unit; 3] = [Unit::Second, Unit::Minute, Unit::Hour];

    fn letter(self) -> &'static str {
        match self {
            Unit::Second => "s",
            Unit::Minute => "m",
            Unit::Hour => "h",
        }
    }

    fn time(self) -> Duration {
        Duration::from_secs(match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
        })
    }
}

impl RoomRate {
    pub(super) fn rate(self) -> Rate {
        Rate::per(self.unit.time(), self.events)
    }
}

impl fmt::Display for RoomRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.events, self.unit.letter())
    }
}

impl OptionValue for RoomRate {
    const METAVAR: &'static str = "RATE";

    fn expected() -> String {
        "a rate such as 20/s, 30/m or 100/h".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        let (events, unit) = text.split_once('/')?;
        let events = events.trim().parse().ok().filter(|events| *events > 0)?;
        let unit = Unit::ALL
            .into_iter()
            .find(|known| known.letter() == unit.trim())?;
        Some(Self { events, unit })
    }

    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}
