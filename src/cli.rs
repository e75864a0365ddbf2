//! The command line: loads the configuration, runs a command, returns the exit code. One file per command.
//!
//! Exit codes: 0 success, 1 failure at run time, 2 invalid arguments or configuration, 130 interrupted before the work was done.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Config, ConfigError, ConfigWarning, Identities, LoadedConfig};

mod compact;
mod config_command;
mod doc;
mod health;
mod load;
mod log;
mod long_work;
mod options;
mod serve;
mod terminal;
mod token;
mod types;

/// The exit code for invalid arguments or configuration.
const USAGE_ERROR: u8 = 2;

/// The exit code of a command that was interrupted before its work was done.
const INTERRUPTED: u8 = 130;

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
    match cli.command.unwrap_or(CliCommand::Serve) {
        // It loads any server, and has nothing to do with the configuration of one here.
        CliCommand::Load(arguments) => load::run(&arguments),
        CliCommand::Serve => {
            let sources = options::sources(&matches);
            let reload = move || config::load_as(&sources, Identities::Configured);
            configured(&matches, |loaded| serve::run(loaded, reload))
        }
        CliCommand::Token(arguments) => configured(&matches, |loaded| {
            token::run(&arguments, &loaded.config.auth)
        }),
        CliCommand::Health => beside_server(&matches, |config| health::run(&config)),
        CliCommand::Compact(arguments) => {
            beside_server(&matches, |config| compact::run(&arguments, &config))
        }
        CliCommand::Doc(arguments) => {
            beside_server(&matches, |config| doc::run(&arguments, &config))
        }
        CliCommand::Types => beside_server(&matches, |config| types::run(&config)),
        CliCommand::Config(arguments) => {
            configured(&matches, |loaded| config_command::run(&arguments, &loaded))
        }
    }
}

/// Runs a command with the configuration, or says what is wrong with that.
fn configured(matches: &ArgMatches, run: impl FnOnce(LoadedConfig) -> ExitCode) -> ExitCode {
    load_and_run(matches, Identities::Configured, run)
}

/// As [`configured`], for a command that serves nobody, and needs none of the server's secrets.
fn beside_server(matches: &ArgMatches, run: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    load_and_run(matches, Identities::NotServing, |loaded| run(loaded.config))
}

fn load_and_run(
    matches: &ArgMatches,
    identities: Identities,
    run: impl FnOnce(LoadedConfig) -> ExitCode,
) -> ExitCode {
    match config::load_as(&options::sources(matches), identities) {
        Ok(loaded) => {
            warn(&loaded.warnings);
            run(loaded)
        }
        Err(error) => reject_config(&error),
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
    /// Give the disk space of deleted messages back, while no server runs.
    ///
    /// SQLite keeps the space of deleted messages for later ones, so the file of the embedded log never becomes smaller by itself. This
    /// deletes what retention no longer keeps, writes the rest into a new file, and puts that in the place of the old one. It may be
    /// interrupted at any moment, and needs free disk space for the new file.
    Compact(compact::CompactArguments),
    /// Write a document of a running server to a file, or add a file to a document.
    Doc(doc::DocArguments),
    /// Load a server, count what it delivers, and print what that costs it.
    #[command(long_about = load::LONG_ABOUT, after_help = load::EXAMPLES, args_override_self = true)]
    Load(Box<load::LoadArguments>),
    /// Print TypeScript types of the events of a server with this configuration.
    Types,
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
        .mut_subcommand("compact", |compact| {
            options::add(compact, |option| {
                compact::OPTIONS.contains(&option.path().as_str())
            })
        })
        .mut_subcommand("doc", |doc| {
            let add = |command| {
                options::add(command, |option| {
                    doc::OPTIONS.contains(&option.path().as_str())
                })
            };
            doc.mut_subcommand("export", add)
                .mut_subcommand("import", add)
        })
        .mut_subcommand("config", |config| options::add(config, |_| true))
        .mut_subcommand("types", |types| options::add(types, |_| true))
        .mut_subcommand("token", |token| {
            options::add(token, |option| option.section == "auth")
        })
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
