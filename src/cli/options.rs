//! Flags for the options of the configuration, made from their definitions.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::{Config, ConfigSources, OptionSpec, Section};

/// What the help ends with.
pub(super) const AFTER_HELP: &str = "\
Every option can be set in three more ways; the first that sets it counts: the flag, an environment variable \
(--limits-message-bytes: SWITCHBOARD_LIMITS_MESSAGE_BYTES), a line of the file (`message_bytes` in [limits]).";

/// Names the file; no option of the configuration has this name.
const FILE: &str = "config file";

/// Gives `command` the flags of those options that are `wanted`.
pub(super) fn add(command: Command, wanted: impl Fn(&OptionSpec) -> bool) -> Command {
    let file = Arg::new(FILE)
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("File to read; otherwise SWITCHBOARD_CONFIG, or ./switchboard.toml if it is there");
    let options = Config::options();
    command
        .arg(file)
        .args(options.iter().filter(|option| wanted(option)).map(flag))
}

fn flag(option: &OptionSpec) -> Arg {
    let heading = match option.section {
        "" => "Options of the server".to_owned(),
        section => format!("Options of [{section}]"),
    };
    let default = match option.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    let arg = Arg::new(option.path())
        .long(option.flag())
        .value_name(option.metavar)
        .help(format!("{}{default}", option.doc.trim_end_matches('.')))
        .help_heading(heading);
    if option.is_switch() {
        // With an equals sign only, or a command after it would be taken for the value.
        return arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true");
    }
    arg.allow_hyphen_values(option.any_text)
}

/// Where the configuration of the command comes from: its flags, before it and after it, and the process.
pub(super) fn sources(matches: &ArgMatches) -> ConfigSources {
    let levels: Vec<_> = std::iter::successors(Some(matches), |level| {
        level.subcommand().map(|(_, inner)| inner)
    })
    .collect();
    let options = Config::options();
    ConfigSources {
        flags: levels
            .iter()
            .flat_map(|level| options.iter().filter_map(|option| given(level, option)))
            .collect(),
        environment: std::env::vars_os().collect(),
        file: levels
            .iter()
            .rev()
            .find_map(|level| level.try_get_one::<PathBuf>(FILE).ok().flatten().cloned()),
        folder: PathBuf::new(),
    }
}

/// The value of an option's flag; a command need not have the flag.
fn given(matches: &ArgMatches, option: &OptionSpec) -> Option<(String, String)> {
    let path = option.path();
    let value = matches.try_get_one::<String>(&path).ok().flatten()?;
    Some((path, value.clone()))
}
