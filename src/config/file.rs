//! Reads `switchboard.toml` into options with their lines; knows TOML, and no option but by name.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    problem::{Origin, Problem},
    setting::{OptionSpec, Unfit, Value},
    suggest::suggest,
};

/// A file's options with where they stand, and what is wrong with the rest.
#[derive(Default)]
pub struct FileValues {
    /// The options that the file sets.
    pub values: Vec<(OptionSpec, Value, Origin)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// The text was not TOML, so what it sets is unknown.
    pub broken: bool,
}

/// Reads the text of the file at `path`.
pub fn read(path: &Path, text: &str, options: &[OptionSpec]) -> FileValues {
    let mut reader = Reader {
        path,
        text,
        options,
        found: FileValues::default(),
    };
    match DeTable::parse_recoverable(text) {
        (table, errors) if errors.is_empty() => reader.table("", table.get_ref()),
        (_, errors) => {
            reader.found.broken = true;
            for error in errors {
                let at = error.span().map_or(0, |span| span.start);
                let origin = reader.origin(at);
                reader.found.problems.push(Problem::Syntax {
                    origin,
                    message: error.message().to_owned(),
                });
            }
        }
    }
    reader.found
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    options: &'a [OptionSpec],
    found: FileValues,
}

impl Reader<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File(self.path.to_owned(), line)
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = match prefix {
                "" => key.get_ref().to_string(),
                prefix => format!("{prefix}.{}", key.get_ref()),
            };
            let origin = self.origin(key.span().start);
            match self.options.iter().find(|option| option.path() == name) {
                Some(option) => self.value(*option, value, origin),
                None => self.no_option(&name, value, origin),
            }
        }
    }

    fn value(&mut self, option: OptionSpec, value: &Spanned<DeValue<'_>>, origin: Origin) {
        match plain(value.get_ref()) {
            Some(value) => self.found.values.push((option, value, origin)),
            None => self.found.problems.push(Problem::Unfit {
                origin,
                option: option.path(),
                value: None,
                unfit: Unfit::expected((option.expected)()),
            }),
        }
    }

    fn no_option(&mut self, name: &str, value: &Spanned<DeValue<'_>>, origin: Origin) {
        let section = self.options.iter().any(|option| option.section == name);
        match value.get_ref() {
            DeValue::Table(table) if section || !table.is_empty() => self.table(name, table),
            _ => {
                let paths: Vec<_> = self.options.iter().map(OptionSpec::path).collect();
                self.found.problems.push(Problem::Unknown {
                    origin,
                    like: suggest(name, &paths, '.'),
                    name: name.to_owned(),
                });
            }
        }
    }
}

/// Numbers and truth values become text, so that the option's one parser reads them too.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Boolean(truth) => Some(Value::Bare(truth.to_string())),
        DeValue::Float(number) => Some(Value::Bare(number.as_str().to_owned())),
        DeValue::Integer(number) => {
            let digits = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(Value::Bare(digits.to_string()))
        }
        DeValue::Datetime(time) => Some(Value::Bare(time.to_string())),
        DeValue::Array(items) => items
            .iter()
            .map(|item| match plain(item.get_ref())? {
                Value::Text(text) | Value::Bare(text) => Some(text),
                Value::Items(_) => None,
            })
            .collect::<Option<_>>()
            .map(Value::Items),
        DeValue::Table(_) => None,
    }
}
