//! The command line: loads the configuration, runs a command, returns the exit code. One file per command.
//!
//! Exit codes: 0 success, 1 failure at run time, 2 invalid arguments or configuration.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, ConfigError, ConfigWarning, Identities, LoadedConfig};

mod config_command;
mod health;
mod options;
mod serve;
mod token;

/// The exit code for invalid arguments or configuration.
const USAGE_ERROR: u8 = 2;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return reject_arguments(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return reject_arguments(&error),
    };
    let loaded = match load(&matches) {
        Ok(loaded) => loaded,
        Err(error) => return reject_config(&error),
    };
    match cli.command.unwrap_or(CliCommand::Serve) {
        CliCommand::Serve => serve::run(loaded),
        CliCommand::Token(arguments) => token::run(&arguments, &loaded.config.auth),
        CliCommand::Health => health::run(&loaded.config),
        CliCommand::Config(arguments) => config_command::run(&arguments, &loaded),
    }
}

#[derive(Parser)]
#[command(
    name = "switchboard",
    version,
    about = "A realtime server you run instead of write: rooms, numbered messages and history for any socket.io client.",
    after_help = options::AFTER_HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Serve (default).
    Serve,
    /// Check whether the server at the configured address is ready, and print why not; exit code 0 if it is.
    Health,
    /// Print a token signed with the configured secret.
    Token(token::TokenArguments),
    /// Print the effective configuration, or every problem in it.
    Config(config_command::ConfigArguments),
}

/// The command line, with the options that apply to each command.
fn command() -> clap::Command {
    options::add(Cli::command(), |_| true)
        .mut_subcommand("serve", |serve| options::add(serve, |_| true))
        .mut_subcommand("health", |health| {
            options::add(health, |option| {
                health::OPTIONS.contains(&option.path().as_str())
            })
        })
        .mut_subcommand("config", |config| options::add(config, |_| true))
        .mut_subcommand("token", |token| {
            options::add(token, |option| option.section == "auth")
        })
}

fn load(matches: &ArgMatches) -> Result<LoadedConfig, ConfigError> {
    let loaded = config::load_as(&options::sources(matches), Identities::Configured)?;
    warn(&loaded.warnings);
    Ok(loaded)
}

fn reject_arguments(error: &clap::Error) -> ExitCode {
    // Help and version are errors too, with exit code 0. If printing fails, there is no one to tell.
    let _ = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn reject_config(error: &ConfigError) -> ExitCode {
    warn(&error.warnings);
    reject(error)
}

/// Prints what is wrong with the arguments or the configuration.
fn reject(reason: &impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(USAGE_ERROR)
}

/// Prints a failure at run time.
fn fail(reason: &impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::FAILURE
}

fn warn(warnings: &[ConfigWarning]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

#[cfg(test)]
mod tests;
