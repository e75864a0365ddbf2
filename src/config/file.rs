//! Parses `switchboard.toml` into option values with their line numbers. Knows TOML, and options by name only.

use std::path::Path;

use serde_json::Value as Json;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::suggest::suggest;
use crate::options::{InvalidValue, OptionSpec, Problem, TableEntry, Value, ValueSource};

/// The options that a file sets, and the problems found in it.
#[derive(Default)]
pub(super) struct FileValues {
    /// The options that the file sets, each with its line.
    pub(super) values: Vec<(OptionSpec, Value, ValueSource)>,
    /// The problems.
    pub(super) problems: Vec<Problem>,
    /// Whether the file cannot be read or parsed, so that its values are unknown.
    pub(super) is_broken: bool,
}

/// Parses the text of the file at `path`.
pub(super) fn read(path: &Path, text: &str, options: &[OptionSpec]) -> FileValues {
    let mut reader = FileReader {
        path,
        text,
        options,
        parsed: FileValues::default(),
    };
    match DeTable::parse_recoverable(text) {
        (table, errors) if errors.is_empty() => reader.read_table("", table.get_ref()),
        (_, errors) => {
            reader.parsed.is_broken = true;
            for error in errors {
                let at = error.span().map_or(0, |span| span.start);
                let source = reader.source_at(at);
                reader.parsed.problems.push(Problem::Syntax {
                    source,
                    message: error.message().to_owned(),
                });
            }
        }
    }
    reader.parsed
}

struct FileReader<'a> {
    path: &'a Path,
    text: &'a str,
    options: &'a [OptionSpec],
    parsed: FileValues,
}

impl FileReader<'_> {
    fn source_at(&self, at: usize) -> ValueSource {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        ValueSource::File(self.path.to_owned(), line)
    }

    fn read_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = match prefix {
                "" => key.get_ref().to_string(),
                prefix => format!("{prefix}.{}", key.get_ref()),
            };
            let source = self.source_at(key.span().start);
            match self.options.iter().find(|option| option.path() == name) {
                Some(option) => self.read_value(*option, value, source),
                None => self.unknown_option(&name, value, source),
            }
        }
    }

    fn read_value(
        &mut self,
        option: OptionSpec,
        value: &Spanned<DeValue<'_>>,
        source: ValueSource,
    ) {
        match to_value(value.get_ref()) {
            Some(value) => self.parsed.values.push((option, value, source)),
            None => self.parsed.problems.push(Problem::Invalid {
                source,
                option: option.path(),
                value: None,
                reason: InvalidValue::expected((option.expected)()),
            }),
        }
    }

    fn unknown_option(&mut self, name: &str, value: &Spanned<DeValue<'_>>, source: ValueSource) {
        let section = self.options.iter().any(|option| option.section == name);
        match value.get_ref() {
            DeValue::Table(table) if section || !table.is_empty() => self.read_table(name, table),
            _ => {
                let paths: Vec<_> = self.options.iter().map(OptionSpec::path).collect();
                self.parsed.problems.push(Problem::Unknown {
                    source,
                    suggestion: suggest(name, &paths, '.'),
                    name: name.to_owned(),
                });
            }
        }
    }
}

/// Converts numbers and booleans to text, so that the option's one parser reads them too.
fn to_value(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Boolean(truth) => Some(Value::Bare(truth.to_string())),
        DeValue::Float(number) => Some(Value::Bare(number.as_str().to_owned())),
        DeValue::Integer(number) => {
            let digits = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(Value::Bare(digits.to_string()))
        }
        DeValue::Datetime(time) => Some(Value::Bare(time.to_string())),
        DeValue::Array(items)
            if !items.is_empty() && items.iter().all(|item| item.get_ref().is_table()) =>
        {
            let tables = items.iter().filter_map(|item| item.get_ref().as_table());
            tables
                .map(to_entries)
                .collect::<Option<_>>()
                .map(Value::Tables)
        }
        DeValue::Array(items) => items
            .iter()
            .map(|item| match to_value(item.get_ref())? {
                Value::Text(text) | Value::Bare(text) => Some(text),
                Value::Items(_) | Value::Tables(_) => None,
            })
            .collect::<Option<_>>()
            .map(Value::Items),
        DeValue::Table(_) => None,
    }
}

/// The keys of a table in an array of tables.
fn to_entries(table: &DeTable<'_>) -> Option<Vec<TableEntry>> {
    let entries = table.iter().map(|(key, value)| {
        Some(TableEntry {
            key: key.get_ref().to_string(),
            value: to_json(value.get_ref())?,
            redacted: false,
        })
    });
    entries.collect()
}

/// A value as JSON; `None` for numbers that JSON does not have.
fn to_json(value: &DeValue<'_>) -> Option<Json> {
    Some(match value {
        DeValue::String(text) => Json::from(&**text),
        DeValue::Boolean(truth) => Json::from(*truth),
        DeValue::Float(number) => Json::from(number.as_str().parse::<f64>().ok()?),
        DeValue::Integer(number) => {
            Json::from(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Datetime(time) => Json::from(time.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| to_json(item.get_ref()));
            items.collect::<Option<Vec<_>>>()?.into()
        }
        DeValue::Table(table) => {
            let entries = table
                .iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), to_json(value.get_ref())?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
    })
}
