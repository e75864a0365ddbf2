//! Prints a configuration as a file that loads to the same values, and the table of options for the documentation.

use std::fmt::Write;

use super::{Config, load::ValueSources};
use crate::options::{OptionSpec, Section};

/// Formats a configuration as TOML, with the source of each value in a comment.
///
/// Secrets and URLs with credentials are commented out and redacted, so the text is safe to share and still loads.
pub fn print(config: &Config, sources: &ValueSources) -> String {
    let mut text = String::new();
    // The tables of a section stand behind its values: what followed them would be theirs.
    let (mut section, mut tables_of_section) = ("", String::new());
    for option in Config::options() {
        if option.section != section {
            section = option.section;
            text += &std::mem::take(&mut tables_of_section);
            let _ = write!(text, "\n[{section}]\n");
        }
        let source = sources.get(&option.path());
        // A path may contain a line break, which would end the comment.
        let comment = source.map(|source| format!(" # {}", source.to_string().escape_debug()));
        let comment = comment.unwrap_or_default();
        let tables = config.get(&option);
        let tables = tables.and_then(|value| value.to_toml_tables(&option.path(), &comment));
        match tables {
            Some(tables) => tables_of_section += &(tables.trim_end().to_owned() + "\n"),
            None => text += &(line(config, &option) + &comment + "\n"),
        }
    }
    text + &tables_of_section
}

fn line(config: &Config, option: &OptionSpec) -> String {
    let value = config
        .get(option)
        .map(|value| value.to_toml())
        .unwrap_or_default();
    let comment = if config.is_redacted(option) { "# " } else { "" };
    format!("{comment}{} = {value}", option.name)
}

/// Formats all options as a Markdown table: name, default, description.
pub fn table() -> String {
    let mut text = String::from("| option | default | |\n|---|---|---|\n");
    for option in Config::options() {
        let default = match option.default {
            "" => "none".to_owned(),
            default => format!("`{default}`"),
        };
        let cells = [
            format!("`{}`", option.path()),
            default,
            option.doc.to_owned(),
        ]
        .map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}
