//! Writes a configuration: as a file that loads to the same again, and the options as a table for the manual.

use std::fmt::Write;

use super::{Config, Section, load::Origins, setting::OptionSpec};

/// The configuration in effect as TOML, with where each value that is not a default came from.
///
/// Secrets stand in comments as `(set)`, and URLs without what they hold of secrets, so the text can be shown to anybody and
/// still loads.
pub fn print(config: &Config, origins: &Origins) -> String {
    let mut text = String::new();
    let mut section = "";
    for option in Config::options() {
        if option.section != section {
            section = option.section;
            let _ = write!(text, "\n[{section}]\n");
        }
        text.push_str(&line(config, &option));
        if let Some(origin) = origins.get(&option.path()) {
            // A path may hold anything, and a line break would end the comment.
            let _ = write!(text, " # {}", origin.to_string().escape_debug());
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
    let comment = if config.hides(option) { "# " } else { "" };
    format!("{comment}{} = {value}", option.name)
}

/// All options as a Markdown table: name, default, meaning.
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
