//! Event arguments that are JSON text already.

use serde::{Serialize, Serializer, ser::SerializeTuple};
use serde_json::value::RawValue;

/// Serializes JSON texts as the separate arguments of one event.
pub(super) struct RawArguments<'a>(pub(super) &'a [Box<RawValue>]);

impl Serialize for RawArguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut arguments = serializer.serialize_tuple(self.0.len())?;
        for value in self.0 {
            arguments.serialize_element(value)?;
        }
        arguments.end()
    }
}
