//! Puts a configuration together: a flag before an environment variable before the file before the default.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{
    Config, Section,
    file::{self, FileValues},
    problem::{Origin, Problem, Problems, Warning},
    setting::{ENV_PREFIX, OptionSpec, Unfit, Value},
    suggest::suggest,
};

/// The file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "switchboard.toml";
/// The environment variable that names the file.
const FILE_VARIABLE: &str = "SWITCHBOARD_CONFIG";

/// Where a configuration is taken from. It may hold secrets, so it cannot be printed.
#[derive(Clone, Default)]
pub struct Sources {
    /// Options by path, as the command line gives them.
    pub flags: Vec<(String, String)>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The file that the command line names; it must be there.
    pub file: Option<PathBuf>,
    /// The folder to look for `switchboard.toml` in; empty for the one the process is in.
    pub folder: PathBuf,
}

/// A configuration, and how it came about.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where each value that is not a default came from.
    pub origins: Origins,
    /// What is probably not meant.
    pub warnings: Vec<Warning>,
}

/// Where values came from, by the option's path.
pub type Origins = BTreeMap<String, Origin>;

/// Reads all sources and checks the whole, or says everything that is wrong with it.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let options = Config::options();
    let mut loading = Loading::default();
    let broken = loading.file(sources, &options);
    loading.environment(sources, &options);
    loading.flags(sources, &options);
    // What a broken file sets is unknown, so nothing can be said about how values go together.
    if !broken && let Err(found) = loading.config.check() {
        loading.rules(found);
    }
    loading.finish()
}

#[derive(Default)]
struct Loading {
    config: Config,
    origins: Origins,
    found: Problems,
}

impl Loading {
    /// Takes what the file sets; true if it could not be understood.
    fn file(&mut self, sources: &Sources, options: &[OptionSpec]) -> bool {
        let FileValues {
            values,
            problems,
            broken,
        } = match read_file(sources) {
            Ok(Some((path, text))) => file::read(&path, &text, options),
            Ok(None) => FileValues::default(),
            Err((file, cause)) => FileValues {
                problems: vec![Problem::Unreadable { file, cause }],
                broken: true,
                ..FileValues::default()
            },
        };
        self.found.problems.extend(problems);
        for (option, value, origin) in values {
            self.set(&option, &value, origin);
        }
        broken
    }

    fn environment(&mut self, sources: &Sources, options: &[OptionSpec]) {
        let names: Vec<_> = options.iter().map(OptionSpec::env).collect();
        for (name, value) in &sources.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            if name == FILE_VARIABLE {
                continue;
            }
            let Some(at) = names.iter().position(|known| known == name) else {
                self.unknown_variable(name, &names);
                continue;
            };
            let origin = Origin::Environment(name.to_owned());
            match value.to_str() {
                Some(text) => self.set(&options[at], &Value::Text(text.to_owned()), origin),
                None => self.found.problems.push(Problem::Unfit {
                    origin,
                    option: options[at].path(),
                    value: None,
                    unfit: Unfit::expected("text in UTF-8"),
                }),
            }
        }
    }

    /// Only a warning: Kubernetes sets variables such as `SWITCHBOARD_PORT` for a service named switchboard.
    fn unknown_variable(&mut self, name: &str, known: &[String]) {
        // Without the prefix, which all share, or everything would be near everything.
        let known: Vec<_> = known
            .iter()
            .map(|name| name[ENV_PREFIX.len()..].to_owned())
            .collect();
        if let Some(like) = suggest(&name[ENV_PREFIX.len()..], &known, '_') {
            self.found.warnings.push(Warning {
                variable: name.to_owned(),
                like: format!("{ENV_PREFIX}{like}"),
            });
        }
    }

    fn flags(&mut self, sources: &Sources, options: &[OptionSpec]) {
        for (path, text) in &sources.flags {
            match options.iter().find(|option| option.path() == *path) {
                Some(option) => {
                    let origin = Origin::Flag(option.flag());
                    self.set(option, &Value::Text(text.clone()), origin);
                }
                None => {
                    let paths: Vec<_> = options.iter().map(OptionSpec::path).collect();
                    self.found.problems.push(Problem::Unknown {
                        origin: Origin::Flag(path.replace(['.', '_'], "-")),
                        name: path.clone(),
                        like: suggest(path, &paths, '.'),
                    });
                }
            }
        }
    }

    fn set(&mut self, option: &OptionSpec, value: &Value, origin: Origin) {
        match self.config.set(option, value) {
            Some(Err(unfit)) => self.found.problems.push(Problem::Unfit {
                origin,
                option: option.path(),
                value: (!option.secret).then(|| value.clone()),
                unfit,
            }),
            Some(Ok(())) => {
                self.origins.insert(option.path(), origin);
            }
            None => {}
        }
    }

    /// Keeps those broken rules that are not the mere consequence of a value that could not be read.
    fn rules(&mut self, broken: Problems) {
        let news: Vec<_> = broken
            .problems
            .into_iter()
            .filter(|problem| match problem {
                Problem::Rule { options, .. } => !options.iter().any(|option| {
                    self.found
                        .problems
                        .iter()
                        .any(|known| known.concerns(option))
                }),
                _ => true,
            })
            .collect();
        self.found.problems.extend(news);
    }

    fn finish(self) -> Result<Loaded, Problems> {
        if !self.found.problems.is_empty() {
            return Err(self.found);
        }
        Ok(Loaded {
            config: self.config,
            origins: self.origins,
            warnings: self.found.warnings,
        })
    }
}

/// The file's path and text; nothing if no file is named and the usual one is not there.
fn read_file(sources: &Sources) -> Result<Option<(PathBuf, String)>, (PathBuf, io::Error)> {
    let named = sources.file.clone().or_else(|| {
        sources
            .environment
            .iter()
            .find(|(name, value)| name == FILE_VARIABLE && !value.is_empty())
            .map(|(_, value)| value.into())
    });
    let path = named
        .clone()
        .unwrap_or_else(|| sources.folder.join(Path::new(DEFAULT_FILE)));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(cause) if named.is_none() && cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err((path, cause)),
    }
}
