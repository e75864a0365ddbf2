//! An event of a plain Socket.IO server, with places for room and data.

/// An event's name and arguments as JSON, cut where data is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    name: String,
    /// The arguments, comma between them, with `{room}` and `{data}`.
    arguments: String,
}

/// The place of the room's name.
const ROOM: &str = "{room}";
/// The place of the message's data.
const DATA: &str = "{data}";

impl Template {
    /// Parses arguments such as `{"room":"{room}","text":"{data}"}`: both places are inside of strings.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(name: &str, arguments: &str, carries_data: bool) -> Result<Self, String> {
        if carries_data && arguments.matches(DATA).count() != 1 {
            return Err(format!(
                "{arguments}: the arguments need one place for the message, such as \"{DATA}\""
            ));
        }
        let filled = arguments.replace(ROOM, "a").replace(DATA, "b");
        let parsed: Result<Vec<serde_json::Value>, _> =
            serde_json::from_str(&format!("[{filled}]"));
        if let Err(error) = parsed {
            return Err(format!(
                "{arguments}: expected JSON values with commas between them, such as {{\"room\":\"{ROOM}\"}}: {error}"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        })
    }

    /// The event for a room as a JSON array, in two parts: what is before the data, and what is behind.
    pub(in crate::load) fn for_room(&self, room: &str) -> (String, String) {
        let name = serde_json::Value::from(self.name.as_str());
        let separator = if self.arguments.is_empty() { "" } else { "," };
        let text = format!("[{name}{separator}{}]", self.arguments.replace(ROOM, room));
        match text.split_once(DATA) {
            Some((before, behind)) => (before.to_owned(), behind.to_owned()),
            None => (text, String::new()),
        }
    }
}
