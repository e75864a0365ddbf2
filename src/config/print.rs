//! Prints a configuration as a file that loads to the same values, and the table of options for the documentation.

use std::fmt::Write;

use super::{Config, load::ValueSources};
use crate::options::{OptionSpec, Section};

/// Formats a configuration as TOML, with the source of each value in a comment.
///
/// Secrets and URLs with credentials are commented out and redacted, so the text is safe to share and still loads.
pub fn print(config: &Config, sources: &ValueSources) -> String {
    let mut text = String::new();
    let mut section = "";
    for option in Config::options() {
        if option.section != section {
            section = option.section;
            let _ = write!(text, "\n[{section}]\n");
        }
        text.push_str(&line(config, &option));
        if let Some(source) = sources.get(&option.path()) {
            // A path may contain a line break, which would end the comment.
            let _ = write!(text, " # {}", source.to_string().escape_debug());
        }
        text.push('\n');
    }
    text
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
