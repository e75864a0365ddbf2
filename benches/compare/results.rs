//! What was measured, round by round, and how servers compare.

use super::{
    lines::{LOADS, Line},
    servers::Server,
};

/// All values, and what went wrong.
#[derive(Default)]
pub struct Results {
    values: Vec<Value>,
    pub notes: Vec<String>,
}

struct Value {
    line: &'static str,
    server: Server,
    round: usize,
    value: f64,
}

/// A median, with the least and the largest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (first, last) = (values.first()?, values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self {
            least: *first,
            median: f64::midpoint(low, high),
            most: *last,
        })
    }
}

impl Results {
    pub fn add(&mut self, line: &Line, server: Server, round: usize, value: f64) {
        self.values.push(Value {
            line: line.name,
            server,
            round,
            value,
        });
    }

    pub fn note(&mut self, line: &str, server: Server, round: usize, what: &str) {
        let (server, round) = (server.name(), round + 1);
        let note = format!("{line}, {server}, round {round}: {what}");
        self.notes.push(note);
    }

    /// The values of a server over all rounds.
    pub fn of(&self, line: &Line, server: Server) -> Option<Spread> {
        Spread::of(self.rounds(line, server).map(|(_, value)| value).collect())
    }

    /// The ratios of a server to another one, each within a round.
    pub fn ratio(&self, line: &Line, server: Server, to: Server) -> Option<Spread> {
        let ratios = self.rounds(line, server).filter_map(|(round, value)| {
            let mut others = self.rounds(line, to);
            let (_, other) = others.find(|(of, _)| *of == round)?;
            (other > 0.0).then(|| value / other)
        });
        Spread::of(ratios.collect())
    }

    fn rounds(&self, line: &Line, server: Server) -> impl Iterator<Item = (usize, f64)> {
        let name = line.name;
        let values = self.values.iter();
        values
            .filter(move |value| value.line == name && value.server == server)
            .map(|value| (value.round, value.value))
    }

    /// The servers of a line that were measured, with their values.
    pub fn servers(&self, line: &Line) -> Vec<(Server, Spread)> {
        let loads = LOADS.iter();
        let mut loads = loads.filter(|load| load.lines.iter().any(|one| one.name == line.name));
        let servers = loads.next().map_or(&[][..], |load| load.servers);
        let servers = servers.iter();
        servers
            .filter_map(|server| Some((*server, self.of(line, *server)?)))
            .collect()
    }
}
