//! JSON Schemas of events' data.
//!
//! A schema is a file, and may refer to others in the same folder, and to nothing else. Its patterns are matched in linear time: those
//! that cannot be are refused when the schema is read.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde_json::{Value, value::RawValue};

use super::typescript;

/// Longest value that a refusal repeats.
const MAX_SHOWN_CHARS: usize = 80;

/// A schema that can be checked against.
pub(crate) struct EventSchema {
    file: PathBuf,
    /// With what it refers to in its place.
    whole: Value,
    validator: Validator,
}

/// Why a schema accepts no data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SchemaRefusal {
    /// Where in the data, as a JSON pointer.
    pub(crate) at: String,
    /// What is expected there, for people.
    pub(crate) message: String,
}

impl EventSchema {
    /// Reads a schema and those that it refers to.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let schema = read_json(file)?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let options = jsonschema::options()
            .with_pattern_options(PatternOptions::regex())
            .with_base_uri(BASE)
            .with_retriever(SiblingFiles(folder));
        let problem = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
        let validator = options.build(&schema).map_err(|error| problem(&error))?;
        let whole = options
            .dereference(&schema)
            .map_err(|error| problem(&error))?;
        Ok(Self {
            file: file.to_owned(),
            whole,
            validator,
        })
    }

    /// The file that it is read from.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The schema, with what it refers to in its place.
    pub(crate) fn whole(&self) -> &Value {
        &self.whole
    }

    /// The TypeScript type of the data that it accepts.
    pub(crate) fn typescript(&self) -> String {
        typescript::type_of(&self.whole)
    }

    /// Checks data.
    ///
    /// # Errors
    /// The first place that the schema does not accept.
    pub(crate) fn check(&self, data: &RawValue) -> Result<(), SchemaRefusal> {
        let data: Value = serde_json::from_str(data.get()).map_err(|_| SchemaRefusal {
            at: String::new(),
            message: "the data is not JSON".to_owned(),
        })?;
        self.validator.validate(&data).map_err(|error| {
            let shown = shortened(&error.instance().to_string());
            SchemaRefusal {
                at: error.instance_path().to_string(),
                message: error.masked_with(shown).to_string(),
            }
        })
    }
}

impl fmt::Debug for EventSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventSchema({})", self.file.display())
    }
}

/// Under which schemas of one folder are known to each other.
const BASE: &str = "json-schema:///";

/// Finds schemas that are referred to by the names of files beside the first one.
struct SiblingFiles(PathBuf);

impl Retrieve for SiblingFiles {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().strip_prefix(BASE).unwrap_or_default();
        let is_file_name = !name.is_empty() && !name.contains(['/', '\\']) && name != "..";
        if !is_file_name {
            return Err(format!(
                "{uri} is not the name of a file in the same folder: nothing else is read"
            )
            .into());
        }
        Ok(read_json(&self.0.join(name))?)
    }
}

fn read_json(file: &Path) -> Result<Value, String> {
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// A value as an error repeats it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
