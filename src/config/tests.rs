//! Loading from several sources, everything that can be wrong with them, and printing.

use std::{fs, path::Path, time::Duration};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    ByteSize, Config, ConfigError, ConfigSources, Identities, LoadedConfig, OptionSpec, Section,
    Store, Value, ValueSource, ValueSources, file, load, load_as, print, table,
};

/// Long enough to sign with.
const SECRET: &str = "hush, hush, hush, hush, hush, hush";

mod rules;

/// Loads the configuration from a `switchboard.toml`, variables and flags.
fn loaded(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<LoadedConfig, ConfigError> {
    let folder = TempDir::new().unwrap();
    if !file.is_empty() {
        fs::write(folder.path().join("switchboard.toml"), file).unwrap();
    }
    let sources = ConfigSources {
        flags: owned(flags),
        environment: owned(environment),
        file: None,
        folder: folder.path().to_owned(),
    };
    load_as(&sources, Identities::Configured)
}

fn owned<T: for<'a> From<&'a str>>(pairs: &[(&str, &str)]) -> Vec<(T, T)> {
    pairs
        .iter()
        .map(|(name, value)| (T::from(name), T::from(value)))
        .collect()
}

/// The error message for an invalid configuration.
fn problems(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    loaded(file, environment, flags)
        .expect_err("an invalid configuration")
        .to_string()
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing from:\n{text}");
    }
}

#[test]
fn the_defaults_are_consistent() {
    let LoadedConfig {
        config,
        value_sources,
        warnings,
    } = loaded("", &[], &[]).unwrap();
    assert_eq!(config, Config::default());
    assert!(value_sources.is_empty() && warnings.is_empty());
    assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.store(), Store::Sqlite);
    assert_eq!(config.limits.message_bytes, ByteSize::new(65536));
    assert_eq!(config.history.age, Duration::from_secs(7 * 86_400));
    assert_eq!(config.socketio.namespaces.len(), 1);
}

#[test]
fn a_flag_overrides_a_variable_overrides_the_file_overrides_the_default() {
    let file = "node = 'file'\n[limits]\nconnections = 1\ninbox = 1\n[drain]\nover = '1s'\n";
    let environment = [
        ("SWITCHBOARD_LIMITS_CONNECTIONS", "2"),
        ("SWITCHBOARD_LIMITS_INBOX", "2"),
    ];
    let found = loaded(file, &environment, &[("limits.connections", "3")]).unwrap();
    assert_eq!(found.config.limits.connections, 3);
    assert_eq!(found.config.limits.inbox, 2);
    assert_eq!(found.config.drain.over, Some(Duration::from_secs(1)));
    assert_eq!(found.config.drain.deadline, Duration::from_secs(25));
    assert_eq!(
        found.value_sources["limits.connections"],
        ValueSource::Flag("limits-connections".into())
    );
    assert_eq!(
        found.value_sources["limits.inbox"],
        ValueSource::Environment("SWITCHBOARD_LIMITS_INBOX".into())
    );
    assert!(matches!(
        &found.value_sources["drain.over"],
        ValueSource::File(_, 6)
    ));
    assert!(!found.value_sources.contains_key("drain.deadline"));
}

#[test]
fn the_file_accepts_numbers_booleans_strings_and_arrays() {
    let file = r#"
        listen = "localhost:80"
        [auth]
        allow_anyone = true
        [limits]
        message_bytes = 0x400
        messages_burst = "60"
        [history]
        rooms = ["team:*=5,1h", "*=1,1d"]
        [http]
        trusted_proxies = ["10.0.0.7", "192.168.0.0/16"]
        [socketio]
        relay = "chat message, draw"
    "#;
    let config = loaded(file, &[], &[]).unwrap().config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:80");
    assert!(config.auth.allow_anyone);
    assert_eq!(config.limits.message_bytes.bytes(), 1024);
    assert_eq!(config.limits.messages_burst, 60);
    assert_eq!(config.history.rooms.len(), 2);
    assert_eq!(config.http.trusted_proxies.len(), 2);
    let relay = config.socketio.relay.iter().map(ToString::to_string);
    assert_eq!(relay.collect::<Vec<_>>(), ["chat message", "draw"]);
}

#[test]
fn all_problems_are_reported_at_once_with_their_source_and_what_was_expected() {
    let file = "lisen = '127.0.0.1:1'\n[limits]\nmessage_bytes = 'lots'\n\n[socketio]\nping_timeout = '0s'\n";
    let environment = [
        ("SWITCHBOARD_STORE", "postgres"),
        ("SWITCHBOARD_HISTORY_AGE", "7"),
    ];
    let flags = [
        ("limits.connections", "-1"),
        ("socketio.namespaces", "/, chat"),
    ];
    let message = problems(file, &environment, &flags);
    assert_contains(
        &message,
        &[
            "7 problems",
            "switchboard.toml:1: unknown option lisen; did you mean listen?",
            "switchboard.toml:3: limits.message_bytes is \"lots\"; expected a size",
            "environment SWITCHBOARD_STORE: store is \"postgres\"; expected sqlite or memory or redis",
            "environment SWITCHBOARD_HISTORY_AGE: history.age is \"7\"; expected a duration",
            "--limits-connections: limits.connections is \"-1\"; expected a whole number",
            "--socketio-namespaces: socketio.namespaces has \"chat\"; expected a namespace",
            "socketio.ping_timeout: must be more than 0",
        ],
    );
}

#[test]
fn the_namespaces_of_documents_cannot_be_served_otherwise() {
    let message = problems("[socketio]\nnamespaces = ['/', '/yjs|notes']\n", &[], &[]);
    assert_contains(
        &message,
        &[
            "socketio.namespaces: has /yjs|notes",
            "are those of documents",
        ],
    );
}

#[test]
fn an_invalid_value_is_a_problem_even_if_another_source_overrides_it() {
    let message = problems("[limits]\ninbox = 'x'\n", &[], &[("limits.inbox", "5")]);
    assert_contains(&message, &["limits.inbox is \"x\""]);
}

#[test]
fn an_unknown_key_of_the_file_is_a_problem_with_a_suggestion() {
    let message = problems(
        "message_bytes = 1\n[limit]\nconnections = 5\n[colour]\n[colours]\nred = 1\n",
        &[],
        &[],
    );
    assert_contains(
        &message,
        &[
            "toml:1: unknown option message_bytes; did you mean limits.message_bytes?",
            "toml:3: unknown option limit.connections; did you mean limits.connections?",
            "toml:4: unknown option colour\n",
            "toml:6: unknown option colours.red",
        ],
    );
}

#[test]
fn invalid_toml_is_a_problem_with_its_line_and_hides_no_other() {
    let message = problems(
        "node = 'n'\nlisten = \n[limits\n",
        &[("SWITCHBOARD_STORE", "x")],
        &[],
    );
    assert_contains(
        &message,
        &["switchboard.toml:2: invalid TOML", "SWITCHBOARD_STORE"],
    );
}

#[test]
fn a_table_or_a_nested_array_is_not_a_value() {
    let message = problems(
        "listen = { port = 1 }\n[http]\norigins = [['x']]\n",
        &[],
        &[],
    );
    assert_contains(
        &message,
        &["listen has a wrong value", "http.origins has a wrong value"],
    );
}

#[test]
fn only_a_named_file_must_exist() {
    let sources = |file: Option<&Path>, variable: &str| ConfigSources {
        environment: owned(&[("SWITCHBOARD_CONFIG", variable)]),
        file: file.map(Into::into),
        folder: "/nowhere".into(),
        ..ConfigSources::default()
    };
    assert!(load(&sources(None, "")).is_ok());
    for missing in [
        sources(Some(Path::new("/nowhere/a.toml")), ""),
        sources(None, "/nowhere/a.toml"),
    ] {
        let message = load(&missing).unwrap_err().to_string();
        assert_contains(&message, &["/nowhere/a.toml: cannot be read"]);
    }
}

#[test]
fn a_named_file_is_read_instead_of_the_default_one() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("switchboard.toml"), "node = 'usual'").unwrap();
    let named = folder.path().join("other.toml");
    fs::write(&named, "node = 'named'").unwrap();
    let mut sources = ConfigSources {
        environment: vec![("SWITCHBOARD_CONFIG".into(), named.clone().into())],
        folder: folder.path().to_owned(),
        ..ConfigSources::default()
    };
    let node = |sources: &ConfigSources| load(sources).unwrap().config.node.unwrap();
    assert_eq!(node(&sources), "named");
    sources.environment.clear();
    assert_eq!(node(&sources), "usual");
    sources.file = Some(named);
    assert_eq!(node(&sources), "named");
}

#[test]
fn an_unknown_variable_is_a_warning_only_if_it_resembles_a_known_one() {
    let kubernetes = [
        "SWITCHBOARD_PORT",
        "SWITCHBOARD_PORT_3000_TCP",
        "SWITCHBOARD_PORT_3000_TCP_ADDR",
        "SWITCHBOARD_PORT_3000_TCP_PORT",
        "SWITCHBOARD_PORT_3000_TCP_PROTO",
        "SWITCHBOARD_SERVICE_HOST",
        "SWITCHBOARD_SERVICE_PORT",
        "SWITCHBOARD_SERVICE_PORT_HTTP",
        "SWITCHBOARD_LOAD_URL",
    ];
    let environment = kubernetes.map(|name| (name, "tcp://10.0.0.1:3000"));
    assert_eq!(loaded("", &environment, &[]).unwrap().warnings, []);

    let found = loaded("", &[("SWITCHBOARD_LIMIT_MESSAGE_BYTES", "5")], &[]).unwrap();
    assert_contains(
        &found.warnings[0].to_string(),
        &[
            "SWITCHBOARD_LIMIT_MESSAGE_BYTES:",
            "SWITCHBOARD_LIMITS_MESSAGE_BYTES?",
        ],
    );
}

#[test]
fn the_names_of_an_option_derive_from_its_path() {
    let options = Config::options();
    let names: Vec<_> = options
        .iter()
        .filter(|option| ["listen", "message_bytes"].contains(&option.name))
        .map(|option| (option.path(), option.flag(), option.env()))
        .collect();
    let expected = [
        ("listen", "listen", "SWITCHBOARD_LISTEN"),
        (
            "limits.message_bytes",
            "limits-message-bytes",
            "SWITCHBOARD_LIMITS_MESSAGE_BYTES",
        ),
    ]
    .map(|(path, flag, env)| (path.to_owned(), flag.to_owned(), env.to_owned()));
    assert_eq!(names, expected);
}

#[test]
fn options_have_distinct_flags_and_variables_and_a_description() {
    let options = Config::options();
    for of in [OptionSpec::flag, OptionSpec::env] {
        let names: std::collections::HashSet<_> = options.iter().map(of).collect();
        assert_eq!(names.len(), options.len());
    }
    for option in &options {
        let path = option.path();
        assert!(option.doc.len() > 10 && option.doc.ends_with('.'), "{path}");
        assert_eq!(
            table().matches(&format!("| `{path}` |")).count(),
            1,
            "{path}"
        );
    }
}

#[test]
fn the_printed_configuration_has_the_source_of_each_value() {
    let found = loaded("[limits]\ninbox = 7\n", &[("SWITCHBOARD_NODE", "n")], &[]).unwrap();
    let printed = print(&found.config, &found.value_sources);
    assert_contains(
        &printed,
        &[
            "node = \"n\" # environment SWITCHBOARD_NODE\n",
            "switchboard.toml:2\n",
            "\ninbox_bytes = \"4 MiB\"\n",
        ],
    );
}

/// Values of every kind; each option takes some of them.
fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        any::<u16>().prop_map(|number| number.to_string()),
        any::<u32>().prop_map(|number| format!("{number}ms")),
        any::<u32>().prop_map(|number| format!("{number} KiB")),
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}:{d}")),
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        "[a-z:*=\"']{1,9}=[0-9]{1,5},[0-9]{1,3}[dhms]",
        "/[a-z]{0,8}",
        prop::sample::select(vec!["true", "false", "memory", "json", "off", "websocket"])
            .prop_map(str::to_owned),
    ];
    prop_oneof![
        text.clone().prop_map(Value::Text),
        prop::collection::vec(text, 0..4).prop_map(Value::Items),
    ]
}

proptest! {
    #[test]
    fn a_printed_configuration_loads_to_the_same(
        values in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..200)
    ) {
        let options = Config::options();
        let mut config = Config::default();
        let mut value_sources = ValueSources::new();
        for (index, value) in values {
            let option = index.get(&options);
            if !option.secret && config.set(option, &value) == Some(Ok(())) {
                let file = "a\nb".into();
                value_sources.insert(option.path(), ValueSource::File(file, 1));
            }
        }
        let printed = print(&config, &value_sources);
        let read = file::read(Path::new("printed"), &printed, &options);
        prop_assert!(read.problems.is_empty(), "{:?}\n{}", read.problems, printed);
        let mut again = Config::default();
        for (option, value, _) in read.values {
            prop_assert_eq!(again.set(&option, &value), Some(Ok(())));
        }
        prop_assert_eq!(again, config);
    }
}
