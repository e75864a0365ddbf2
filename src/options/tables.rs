//! An option that is a list of tables: `[[name]]` in the file, a JSON array of objects in a variable.
//!
//! The option keeps them as they were written. The module that the tables configure reads each with a [`TableReader`], so that every
//! problem in them is reported, with the index and the key.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::{
    problem::Problem,
    secret::SecretUrl,
    value::{InvalidValue, OptionValue, TableEntry, Value},
};

/// Keys whose values are never printed.
const SECRET_KEYS: [&str; 1] = ["secret"];

/// Keys whose values are URLs, of which credentials and the query are never printed.
const URL_KEYS: [&str; 1] = ["url"];

/// Printed in place of a secret.
const SET: &str = "(set)";

/// Tables as they were written. They may hold secrets, so `Debug` prints only how many there are.
///
/// ```
/// use switchboard::config::Tables;
///
/// let tables = Tables::from_json(r#"[{ "url": "http://127.0.0.1:8000/", "events": ["createOrder"] }]"#);
/// assert_eq!(tables.map(|tables| tables.len()), Some(1));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tables(Vec<Map<String, Json>>);

impl Tables {
    /// Reads a JSON array of objects; `None` if it is none.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a table has a key.
    pub(crate) fn has(&self, index: usize, key: &str) -> bool {
        self.0
            .get(index)
            .is_some_and(|table| table.contains_key(key))
    }

    /// Reads each table of the option at `path`.
    pub(crate) fn read<T>(
        &self,
        path: &'static str,
        problems: &mut Vec<Problem>,
        mut read: impl FnMut(&mut TableReader<'_>) -> Option<T>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (index, table) in self.0.iter().enumerate() {
            let mut reader = TableReader {
                path,
                index,
                table,
                known: Vec::new(),
                problems,
            };
            let value = read(&mut reader);
            reader.report_unknown();
            values.extend(value);
        }
        values
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} tables]", self.0.len())
    }
}

impl OptionValue for Tables {
    const METAVAR: &'static str = "JSON";
    const SECRET: bool = true;

    fn expected() -> String {
        "tables, or a JSON array of objects".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" => Some(Self::default()),
            text => Self::from_json(text),
        }
    }

    fn to_value(&self) -> Value {
        let entry = |(key, value): (&String, &Json)| {
            let shown = shown(key, value);
            TableEntry {
                key: key.clone(),
                redacted: shown != *value,
                value: shown,
            }
        };
        let tables = self.0.iter();
        Value::Tables(
            tables
                .map(|table| table.iter().map(entry).collect())
                .collect(),
        )
    }

    fn is_redacted(&self) -> bool {
        let entries = self.0.iter().flatten();
        entries
            .into_iter()
            .any(|(key, value)| shown(key, value) != *value)
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match value {
            Value::Tables(tables) => {
                let map = |table: &Vec<TableEntry>| {
                    let entries = table.iter();
                    entries
                        .map(|entry| (entry.key.clone(), entry.value.clone()))
                        .collect()
                };
                Ok(Self(tables.iter().map(map).collect()))
            }
            Value::Items(items) if items.is_empty() => Ok(Self::default()),
            Value::Text(text) => {
                Self::parse(text).ok_or_else(|| InvalidValue::expected(Self::expected()))
            }
            _ => Err(InvalidValue::expected(Self::expected())),
        }
    }
}

/// A value as it may be printed.
fn shown(key: &str, value: &Json) -> Json {
    match value {
        Json::String(_) if SECRET_KEYS.contains(&key) => SET.into(),
        Json::String(url) if URL_KEYS.contains(&key) => SecretUrl::new(&**url).to_string().into(),
        value => value.clone(),
    }
}

/// Reads the keys of one table, and notes what is wrong with each.
pub(crate) struct TableReader<'a> {
    path: &'static str,
    index: usize,
    table: &'a Map<String, Json>,
    known: Vec<&'static str>,
    problems: &'a mut Vec<Problem>,
}

impl TableReader<'_> {
    /// The table's index in the list.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// How many problems there are so far, of this and of all other tables.
    pub(crate) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// The value of a key; `None` if it is not set, or has a problem.
    pub(crate) fn get<T: OptionValue>(&mut self, key: &'static str) -> Option<T> {
        self.known.push(key);
        let json = self.table.get(key)?;
        let parsed = match plain_value(json) {
            Some(value) => T::from_value(&value),
            None => Err(InvalidValue::expected(T::expected())),
        };
        match parsed {
            Ok(value) => Some(value),
            Err(reason) => {
                let item = reason.item.filter(|_| !T::SECRET);
                let has = item.map_or_else(String::new, |item| format!("has {item:?}; "));
                self.problem(key, format!("{has}expected {}", reason.expected));
                None
            }
        }
    }

    /// The entries of a table that is the value of a key, as they are written; none if it is not set, or no table, which is a problem.
    /// `expected` is a noun phrase.
    pub(crate) fn entries(&mut self, key: &'static str, expected: &str) -> Vec<(String, Json)> {
        self.known.push(key);
        match self.table.get(key) {
            None => Vec::new(),
            Some(Json::Object(entries)) => entries.clone().into_iter().collect(),
            Some(_) => {
                self.problem(key, format!("expected {expected}"));
                Vec::new()
            }
        }
    }

    /// Whether a key is set.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes a problem with a key.
    pub(crate) fn problem(&mut self, key: &'static str, message: impl Into<String>) {
        self.problems.push(Problem::Table {
            option: self.path,
            index: self.index,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Notes keys that nobody has asked for.
    fn report_unknown(self) {
        let unknown = self.table.keys();
        let unknown = unknown.filter(|key| !self.known.contains(&key.as_str()));
        let problems = unknown.map(|key| Problem::Table {
            option: self.path,
            index: self.index,
            key: key.clone(),
            message: format!("there is no such key; there are {}", self.known.join(", ")),
        });
        self.problems.extend(problems);
    }
}

/// A value as other options have it: text, a number or boolean as text, or a list of those.
fn plain_value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(_) | Json::Bool(_) => Value::Bare(json.to_string()),
        Json::Array(items) => {
            let items = items.iter().map(|item| match plain_value(item)? {
                Value::Text(text) | Value::Bare(text) => Some(text),
                Value::Items(_) | Value::Tables(_) => None,
            });
            Value::Items(items.collect::<Option<_>>()?)
        }
        Json::Null | Json::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests;
