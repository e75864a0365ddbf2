//! The `switchboard` command.

use std::process::ExitCode;

/// jemalloc, for storing a message takes 1.3 to 1.4 times its CPU time with glibc's allocator and 1.1 times with mimalloc
/// (`cargo bench`); an idle connection holds 35 kB, with those two 33 and 45. The background threads cost less
/// than runs differ, and give memory back: of 103 MB after 2,000 connections came and went four times, 13 are left a
/// quarter of a minute later. glibc gives back nothing of 73, mimalloc a quarter of 102.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    switchboard::cli::main()
}
