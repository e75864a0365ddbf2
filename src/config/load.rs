//! Loads a configuration: a flag overrides an environment variable, which overrides the file, which overrides the default.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{
    Config, Identities,
    file::{self, FileValues},
    suggest::suggest,
};
use crate::options::{
    ConfigError, ConfigWarning, ENV_PREFIX, InvalidValue, OptionSpec, Problem, Section, Value,
    ValueSource,
};

/// The file that is read, if it exists, when none is named.
pub const DEFAULT_FILE: &str = "switchboard.toml";
/// The environment variable that names the file.
const FILE_VARIABLE: &str = "SWITCHBOARD_CONFIG";

/// Where a configuration is loaded from. It may hold secrets, so it does not implement `Debug`.
#[derive(Clone, Default)]
pub struct ConfigSources {
    /// Flags as pairs of option path and value.
    pub flags: Vec<(String, String)>,
    /// The environment variables.
    pub environment: Vec<(OsString, OsString)>,
    /// The file that the command line names; it must exist.
    pub file: Option<PathBuf>,
    /// The folder that may contain `switchboard.toml`; empty for the working directory.
    pub folder: PathBuf,
}

/// A loaded configuration.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    /// Where each value that is set came from.
    pub value_sources: ValueSources,
    /// Probable mistakes that do no harm.
    pub warnings: Vec<ConfigWarning>,
}

/// Where values came from, by option path.
pub type ValueSources = BTreeMap<String, ValueSource>;

impl Config {
    /// The configuration of the environment (`SWITCHBOARD_*`) and of the file that `SWITCHBOARD_CONFIG` names, or
    /// `switchboard.toml` in the working directory if it exists: as the binary loads it without flags. What is probably a
    /// mistake but does no harm is logged as a warning. Whether anybody identifies clients who can come from other machines is
    /// checked when the server is built: the application may do so.
    ///
    /// # Errors
    /// Fails with every problem of every source, in one error.
    pub fn from_env() -> Result<Self, ConfigError> {
        let loaded = load(&ConfigSources {
            environment: std::env::vars_os().collect(),
            ..ConfigSources::default()
        })?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        Ok(loaded.config)
    }
}

/// Reads all sources and checks the result, except that somebody identifies clients who can come from other machines: that is
/// checked when the server is built, because the application may do so.
///
/// ```no_run
/// use switchboard::config::{ConfigSources, load};
///
/// # fn main() -> Result<(), switchboard::config::ConfigError> {
/// let sources = ConfigSources {
///     environment: std::env::vars_os().collect(),
///     ..ConfigSources::default()
/// };
/// let config = load(&sources)?.config;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Fails with every problem of every source, in one error.
pub fn load(sources: &ConfigSources) -> Result<LoadedConfig, ConfigError> {
    load_as(sources, Identities::OfApplication)
}

/// As [`load`], where it matters who identifies clients.
pub(crate) fn load_as(
    sources: &ConfigSources,
    identities: Identities,
) -> Result<LoadedConfig, ConfigError> {
    let options = Config::options();
    let mut loader = Loader::default();
    let is_broken = loader.read_file(sources, &options);
    loader.read_environment(sources, &options);
    loader.read_flags(sources, &options);
    // The values of a broken file are unknown, so consistency cannot be checked.
    if !is_broken && let Err(violations) = loader.config.check_as(identities) {
        loader.add_violations(violations);
    }
    loader.finish()
}

#[derive(Default)]
struct Loader {
    config: Config,
    value_sources: ValueSources,
    errors: ConfigError,
}

impl Loader {
    /// Applies the file; returns whether it is broken.
    fn read_file(&mut self, sources: &ConfigSources, options: &[OptionSpec]) -> bool {
        let FileValues {
            values,
            problems,
            is_broken,
        } = match find_file(sources) {
            Ok(Some((path, text))) => file::read(&path, &text, options),
            Ok(None) => FileValues::default(),
            Err((file, cause)) => FileValues {
                problems: vec![Problem::Unreadable { file, cause }],
                is_broken: true,
                ..FileValues::default()
            },
        };
        self.errors.problems.extend(problems);
        for (option, value, source) in values {
            self.set(&option, &value, source);
        }
        is_broken
    }

    fn read_environment(&mut self, sources: &ConfigSources, options: &[OptionSpec]) {
        let names: Vec<_> = options.iter().map(OptionSpec::env).collect();
        for (name, value) in &sources.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            if name == FILE_VARIABLE {
                continue;
            }
            let Some(at) = names.iter().position(|known| known == name) else {
                self.warn_of_variable(name, &names);
                continue;
            };
            let source = ValueSource::Environment(name.to_owned());
            match value.to_str() {
                Some(text) => self.set(&options[at], &Value::Text(text.to_owned()), source),
                None => self.errors.problems.push(Problem::Invalid {
                    source,
                    option: options[at].path(),
                    value: None,
                    reason: InvalidValue::expected("text in UTF-8"),
                }),
            }
        }
    }

    /// An unknown variable is only a warning: Kubernetes sets `SWITCHBOARD_PORT` and the like for a service named
    /// switchboard.
    fn warn_of_variable(&mut self, name: &str, known: &[String]) {
        // Compare without the common prefix, which would make all names similar.
        let known: Vec<_> = known
            .iter()
            .map(|name| name[ENV_PREFIX.len()..].to_owned())
            .collect();
        if let Some(suggestion) = suggest(&name[ENV_PREFIX.len()..], &known, '_') {
            self.errors.warnings.push(ConfigWarning {
                variable: name.to_owned(),
                suggestion: format!("{ENV_PREFIX}{suggestion}"),
            });
        }
    }

    fn read_flags(&mut self, sources: &ConfigSources, options: &[OptionSpec]) {
        for (path, text) in &sources.flags {
            match options.iter().find(|option| option.path() == *path) {
                Some(option) => {
                    let source = ValueSource::Flag(option.flag());
                    self.set(option, &Value::Text(text.clone()), source);
                }
                None => {
                    let paths: Vec<_> = options.iter().map(OptionSpec::path).collect();
                    self.errors.problems.push(Problem::Unknown {
                        source: ValueSource::Flag(path.replace(['.', '_'], "-")),
                        name: path.clone(),
                        suggestion: suggest(path, &paths, '.'),
                    });
                }
            }
        }
    }

    fn set(&mut self, option: &OptionSpec, value: &Value, source: ValueSource) {
        match self.config.set(option, value) {
            Some(Err(reason)) => self.errors.problems.push(Problem::Invalid {
                source,
                option: option.path(),
                value: (!option.secret).then(|| value.clone()),
                reason,
            }),
            Some(Ok(())) => {
                self.value_sources.insert(option.path(), source);
            }
            None => {}
        }
    }

    /// Adds violated rules, except those that merely follow from a value that is invalid.
    fn add_violations(&mut self, violations: ConfigError) {
        let independent: Vec<_> = violations
            .problems
            .into_iter()
            .filter(|problem| match problem {
                Problem::Rule { options, .. } => !options.iter().any(|option| {
                    self.errors
                        .problems
                        .iter()
                        .any(|problem| problem.is_invalid(option))
                }),
                _ => true,
            })
            .collect();
        self.errors.problems.extend(independent);
    }

    fn finish(self) -> Result<LoadedConfig, ConfigError> {
        if !self.errors.problems.is_empty() {
            return Err(self.errors);
        }
        Ok(LoadedConfig {
            config: self.config,
            value_sources: self.value_sources,
            warnings: self.errors.warnings,
        })
    }
}

/// The path and text of the file; `None` if no file is named and the default one does not exist.
fn find_file(sources: &ConfigSources) -> Result<Option<(PathBuf, String)>, (PathBuf, io::Error)> {
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
