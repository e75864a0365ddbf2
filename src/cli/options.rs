//! Generates the flags from the options of the configuration.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::{Config, ConfigSources, OptionSpec, Section};

/// The end of the help text.
pub(super) const AFTER_HELP: &str = "\
Every option can be set in three ways, of which the first that is present applies: the flag, an environment variable \
(--limits-message-bytes: SWITCHBOARD_LIMITS_MESSAGE_BYTES), or the file (`message_bytes` in [limits]).";

/// The id of the argument that names the file; no option has this name.
const FILE: &str = "config file";

/// Adds the flags of those options that `applies` selects.
pub(super) fn add(command: Command, applies: impl Fn(&OptionSpec) -> bool) -> Command {
    let file = Arg::new(FILE)
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(
            "Configuration file; by default SWITCHBOARD_CONFIG, or ./switchboard.toml if it exists",
        );
    let options = Config::options();
    command
        .arg(file)
        .args(options.iter().filter(|option| applies(option)).map(flag))
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
        // With an equals sign only, or a following command would be taken for the value.
        return arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true");
    }
    arg.allow_hyphen_values(option.any_text)
}

/// The sources of the configuration: flags before and after the command, and the environment.
pub(super) fn sources(matches: &ArgMatches) -> ConfigSources {
    let levels: Vec<_> = std::iter::successors(Some(matches), |level| {
        level.subcommand().map(|(_, inner)| inner)
    })
    .collect();
    let options = Config::options();
    ConfigSources {
        flags: levels
            .iter()
            .flat_map(|level| {
                options
                    .iter()
                    .filter_map(|option| flag_value(level, option))
            })
            .collect(),
        environment: std::env::vars_os().collect(),
        file: levels
            .iter()
            .rev()
            .find_map(|level| level.try_get_one::<PathBuf>(FILE).ok().flatten().cloned()),
        folder: PathBuf::new(),
    }
}

/// The path and the value of an option whose flag is set; not every command has every flag.
fn flag_value(matches: &ArgMatches, option: &OptionSpec) -> Option<(String, String)> {
    let path = option.path();
    let value = matches.try_get_one::<String>(&path).ok().flatten()?;
    Some((path, value.clone()))
}
