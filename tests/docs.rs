//! The tables of options and metrics in `docs/` are the code's. `UPDATE=1 cargo test --test docs` writes them.

use std::{fs, path::Path};

use switchboard::error::Limit;

#[test]
fn the_documentation_lists_every_option_as_it_is_defined() {
    check(
        "docs/configuration.md",
        ("<!-- options -->\n", "<!-- /options -->"),
        &switchboard::config::table(),
    );
}

#[test]
fn the_documentation_lists_every_metric_as_it_is_defined() {
    check(
        "docs/metrics.md",
        ("<!-- metrics -->\n", "<!-- /metrics -->"),
        &switchboard::telemetry::table(),
    );
}

#[test]
fn the_documentation_lists_every_limit() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md"))
        .unwrap_or_else(|error| panic!("docs/limits.md: {error}"));
    let named = |limit: &Limit| text.contains(&format!("`{}`", limit.name()));
    let missing: Vec<_> = Limit::ALL.iter().filter(|limit| !named(limit)).collect();
    assert!(missing.is_empty(), "docs/limits.md has no {missing:?}");
}

/// The part of a file between two lines has to be this table.
fn check(file: &str, (start, end): (&str, &str), table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (before, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("{file} has no line {start:?}: put it where the table belongs"));
    let (shown, after) = rest
        .split_once(end)
        .unwrap_or_else(|| panic!("{file} has no line {end:?}: put it where the table ends"));
    let table = format!("\n{table}\n");
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        fs::write(&path, [before, start, &table, end, after].concat())
            .unwrap_or_else(|error| panic!("{file} cannot be written: {error}"));
        return;
    }
    assert_eq!(
        shown, table,
        "a table in {file} is old; `UPDATE=1 cargo test --test docs` writes it anew"
    );
}
