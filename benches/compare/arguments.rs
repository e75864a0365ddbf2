//! The command line.

use std::{env, path::PathBuf};

use super::{lines::Line, support::process::Result};

/// How often the servers take turns.
const ROUNDS: usize = 5;

/// What is to be measured.
pub struct Arguments {
    pub rounds: usize,
    pub chart: Option<PathBuf>,
    /// Parts of the names of lines; all lines if there are none.
    names: Vec<String>,
}

impl Arguments {
    pub fn parse() -> Result<Self> {
        let mut parsed = Self {
            rounds: ROUNDS,
            chart: None,
            names: Vec::new(),
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {}
                "--rounds" => parsed.rounds = value()?.parse()?,
                "--chart" => parsed.chart = Some(value()?.into()),
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}").into());
                }
                _ => parsed.names.push(argument),
            }
        }
        if parsed.rounds == 0 {
            return Err("--rounds is at least 1".into());
        }
        Ok(parsed)
    }

    pub fn selects(&self, line: &Line) -> bool {
        let mut names = self.names.iter();
        self.names.is_empty() || names.any(|name| line.name.contains(name))
    }
}
