//! The table, in Markdown.

use std::fmt::Write as _;

use super::{
    arguments::Arguments,
    lines::{LOADS, Line},
    results::{Results, Spread},
    servers::Server,
};

/// Writes the table, with what has to be known to read it.
pub fn write(results: &Results, arguments: &Arguments, about: &str) -> String {
    let rounds = arguments.rounds;
    let mut text = format!(
        "{about}; medians of {rounds} rounds, in which the servers took turns; in parentheses the least and the largest value. Ratios \
         are those within a round.\n\n| | median | to Socket.IO on Node | to the floor |\n|---|---|---|---|\n"
    );
    let lines = LOADS.iter().flat_map(|load| load.lines);
    for line in lines.filter(|line| arguments.selects(line)) {
        let servers = results.servers(line);
        if servers.is_empty() {
            continue;
        }
        let (title, unit, better) = (line.title, line.unit, line.better.text());
        // Writing into memory does not fail.
        let _ = writeln!(text, "| **{title}**: {unit}, {better} | | | |");
        for (server, value) in servers {
            text += &row(results, line, server, value);
        }
    }
    for note in &results.notes {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

fn row(results: &Results, line: &Line, server: Server, value: Spread) -> String {
    let is_compared = !line.is_durable;
    let ratio = |to: Server| {
        let ratio = results.ratio(line, server, to);
        let ratio = ratio.filter(|_| is_compared && server != to);
        ratio.map_or_else(String::new, |ratio| spread(ratio, 2))
    };
    let stores = match is_compared || server.stores() {
        true => "",
        false => ", nothing stored",
    };
    format!(
        "| {}{stores} | {} | {} | {} |\n",
        server.name(),
        spread(value, decimals(value.median)),
        ratio(server.node()),
        ratio(Server::Floor),
    )
}

/// Three digits, more or less.
fn decimals(value: f64) -> usize {
    match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    }
}

fn spread(values: Spread, decimals: usize) -> String {
    let number = |value| number(value, decimals);
    let Spread {
        least,
        median,
        most,
    } = values;
    match least < most {
        true => format!("{} ({}–{})", number(median), number(least), number(most)),
        false => number(median),
    }
}

/// A number for people: with separators.
pub fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// A value with three digits, more or less.
pub fn short_number(value: f64) -> String {
    number(value, decimals(value))
}
