//! `switchboard compact`: gives the disk space of deleted messages back, while no server runs.

use std::process::ExitCode;

use super::{INTERRUPTED, fail, long_work, reject, reject_config};
use crate::{
    backend::sqlite::{
        SqliteConfig,
        compact::{self, CompactError, Compacted, CompactionEstimate},
    },
    config::{Config, ConfigError, Store},
    policies::RoomPolicies,
    progress::{bytes, count},
};

/// The options that say where the log is, and what is kept of it.
pub(super) const OPTIONS: [&str; 11] = [
    "data",
    "rooms",
    "store",
    "redis.url",
    "history.messages",
    "history.age",
    "history.rooms",
    "history.idempotency",
    "recovery.window",
    "log.filter",
    "log.format",
];

/// The flags of `switchboard compact`, in addition to the options.
#[derive(clap::Args)]
pub(super) struct CompactArguments {
    /// Only say what it would gain, also while a server runs
    #[arg(long)]
    dry_run: bool,
}

/// Compacts the embedded log, or says what that would gain.
pub(super) fn run(arguments: &CompactArguments, config: &Config) -> ExitCode {
    let log = match config.store() {
        Store::Sqlite => match config.policies() {
            Ok(policies) => log(config, &policies),
            Err(problems) => return reject_config(&ConfigError::from(problems)),
        },
        Store::Redis => {
            return reject(
                &"there is no file to compact: the log is in Redis, which reuses and returns memory itself as messages are deleted \
                 (MEMORY PURGE and `activedefrag yes` of Redis make it return more)",
            );
        }
        Store::Memory => {
            return reject(
                &"there is no file to compact: store = memory keeps messages in memory, until the server stops",
            );
        }
    };
    super::log::start(&config.log, None);
    if arguments.dry_run {
        return match compact::estimate(&log) {
            Ok(estimate) => print(&estimate_text(&estimate)),
            Err(error) => fail(&error),
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format_args!("starting the runtime failed: {error}")),
    };
    let compacting = long_work::run(move |progress| compact::compact(&log, progress));
    match runtime.block_on(compacting) {
        Ok(compacted) => print(&compacted_text(&compacted)),
        Err(error @ CompactError::Cancelled { .. }) => {
            eprintln!("{error}");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => fail(&error),
    }
}

fn log(config: &Config, policies: &RoomPolicies) -> SqliteConfig {
    SqliteConfig {
        retention: config.retention(policies),
        idempotency: config.history.idempotency,
        session_window: config.recovery.window,
        ..SqliteConfig::new(&config.data)
    }
}

fn print(text: &str) -> ExitCode {
    use std::io::{Write, stdout};
    match stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn compacted_text(compacted: &Compacted) -> String {
    let Compacted {
        path,
        before,
        after,
        trimmed,
    } = compacted;
    let mut text = String::new();
    if *trimmed > 0 {
        text += &format!(
            "deleted {} that retention no longer keeps\n",
            messages(*trimmed)
        );
    }
    text += &format!(
        "{}: {} before, {} after, {} given back\n",
        path.display(),
        bytes(*before),
        bytes(*after),
        bytes(before.saturating_sub(*after))
    );
    text
}

fn estimate_text(estimate: &CompactionEstimate) -> String {
    let CompactionEstimate {
        path,
        size,
        unused,
        due,
        after,
        disk_free,
    } = estimate;
    let mut text = format!(
        "{}: {}, of which {} are free\n",
        path.display(),
        bytes(*size),
        bytes(*unused)
    );
    if *due > 0 {
        text += &format!(
            "retention no longer keeps {}, which would be deleted\n",
            messages(*due)
        );
    }
    // Pages that are partly free are not counted.
    let about = if *due > 0 { "about" } else { "at least" };
    text += &format!(
        "compacting would give back {about} {}; it needs {} of free disk space while it runs, and {} are free\n",
        bytes(size.saturating_sub(*after)),
        bytes(*after),
        bytes(*disk_free)
    );
    text
}

fn messages(number: u64) -> String {
    match number {
        1 => "1 message".to_owned(),
        _ => format!("{} messages", count(number)),
    }
}

#[cfg(test)]
mod tests;
