//! `switchboard config`: prints the effective configuration with the source of each value.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::config::{self, LoadedConfig};

/// The flags of `switchboard config`, in addition to the options.
#[derive(clap::Args)]
pub(super) struct ConfigArguments {
    /// Only check whether the configuration is valid.
    #[arg(long)]
    check: bool,
}

/// Prints a configuration that has been checked already.
pub(super) fn run(arguments: &ConfigArguments, loaded: &LoadedConfig) -> ExitCode {
    let text = if arguments.check {
        "configuration is valid\n".to_owned()
    } else {
        config::print(&loaded.config, &loaded.value_sources)
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
