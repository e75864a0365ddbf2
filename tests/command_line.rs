//! The `switchboard` command as an operator meets it: what it prints, where, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    fs,
    io::Write,
    os::unix::net::UnixDatagram,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::process::ServerProcess;
use tempfile::TempDir;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update, updates::decoder::Decode};

/// Long enough to sign with, and a value all the same though it looks like a flag.
const SECRET: &str = "-hush, hush, hush, hush, hush, hush";

/// What a command said and how it ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// An empty folder to run the command in, without any variable of ours.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.0.path().join(name), text).expect("the folder can be written");
        self
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(&[], arguments)
    }

    fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Ended {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .current_dir(self.0.path())
            .env_clear()
            .envs(environment.iter().copied())
            .args(arguments)
            .output()
            .expect("the command starts");
        Ended {
            code: status.code(),
            stdout: String::from_utf8(stdout).expect("text"),
            stderr: String::from_utf8(stderr).expect("text"),
        }
    }
}

impl Ended {
    #[track_caller]
    fn refused(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(2), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "{part:?} is missing from:\n{}",
                self.stderr
            );
        }
    }

    #[track_caller]
    fn printed(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

#[test]
fn an_unknown_flag_is_refused_with_a_suggestion() {
    Place::new()
        .run(&["--limits-message-byte", "5"])
        .refused(&["--limits-message-byte", "'--limits-message-bytes'"]);
}

#[test]
fn wrong_values_from_all_sources_are_refused_together() {
    Place::new()
        .with("switchboard.toml", "[drain]\nover = 3\n")
        .run_with(
            &[("SWITCHBOARD_STORE", "floppy")],
            &["serve", "--listen", "3000", "--limits-inbox=many"],
        )
        .refused(&[
            "error: invalid configuration, 4 problems",
            "switchboard.toml:2: drain.over is \"3\"; expected a duration with its unit",
            "environment SWITCHBOARD_STORE: store is \"floppy\"; expected sqlite or memory or redis",
            "--listen: listen is \"3000\"; expected an address and a port",
            "--limits-inbox: limits.inbox is \"many\"; expected a whole number",
        ]);
}

#[test]
fn a_named_file_that_is_missing_is_refused() {
    Place::new()
        .run(&["config", "--config", "missing.toml"])
        .refused(&["missing.toml: cannot be read"]);
}

#[test]
fn a_file_with_an_unknown_key_is_refused_with_a_suggestion() {
    Place::new()
        .with("switchboard.toml", "[limits]\nmesage_bytes = 5\n")
        .run(&["config", "--check"])
        .refused(&["switchboard.toml:2", "did you mean limits.message_bytes?"]);
}

#[test]
fn an_address_for_operators_that_is_the_clients_and_a_weak_key_are_refused() {
    for listen in ["127.0.0.1:3000", "0.0.0.0:3000"] {
        Place::new()
            .run(&["config", "--http-internal-listen", listen])
            .refused(&["http.internal_listen", "are the same address"]);
    }
    Place::new()
        .run(&["config", "--http-metrics-key", "hush"])
        .refused(&["http.metrics_key", "too short"]);
    let elsewhere = "127.0.0.1:9090";
    Place::new()
        .run(&["config", "--http-internal-listen", elsewhere])
        .printed();
}

#[test]
fn keys_that_cannot_be_read_are_refused() {
    Place::new()
        .with("not.pem", "hello")
        .with("not.json", "[]")
        .run(&[
            "--auth-hmac-secret-file=missing",
            "--auth-public-key=not.pem",
            "--auth-jwks=not.json",
        ])
        .refused(&[
            "auth.hmac_secret_file: the file missing cannot be read",
            "auth.public_key: not.pem: ",
            "auth.jwks: ",
        ]);
}

#[test]
fn listening_on_other_addresses_without_a_key_is_refused_with_advice() {
    Place::new().run(&["--listen", "0.0.0.0:3000"]).refused(&[
        "auth.hmac_secret, auth.public_key or auth.jwks",
        "auth.allow_anyone = true",
    ]);
}

#[test]
fn a_valid_configuration_is_called_valid() {
    let ended = Place::new().run(&["config", "--check", "--listen", "localhost:80"]);
    assert_eq!(ended.printed(), "configuration is valid\n");
}

#[test]
fn the_printed_configuration_can_be_loaded_and_shows_no_secret() {
    let place = Place::new();
    let first = place
        .run_with(
            &[("SWITCHBOARD_AUTH_HMAC_SECRET", SECRET)],
            &["config", "--limits-inbox", "7", "--auth-allow-anyone"],
        )
        .printed();
    assert!(first.contains("inbox = 7 # --limits-inbox\n"), "{first}");
    assert!(first.contains("allow_anyone = true"), "{first}");
    assert!(first.contains("# hmac_secret = \"(set)\""), "{first}");
    assert!(!first.contains("hush"), "{first}");

    let place = place.with("switchboard.toml", &first);
    let second = place.run(&["config"]).printed();
    assert!(second.contains("inbox = 7 # switchboard.toml:"), "{second}");
}

#[test]
fn a_flag_counts_before_and_after_the_command() {
    let place = Place::new();
    for arguments in [
        ["--node", "n", "config"],
        ["config", "--node", "n"],
        ["--node=m", "config", "--node=n"],
    ] {
        let printed = place.run(&arguments).printed();
        assert!(printed.contains("node = \"n\" # --node\n"), "{printed}");
    }
}

#[test]
fn a_variable_that_is_nearly_an_option_is_warned_about_and_no_hindrance() {
    let ended = Place::new().run_with(
        &[
            ("SWITCHBOARD_LISTN", "x"),
            ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1"),
        ],
        &["config", "--check"],
    );
    assert_eq!(
        ended.stderr,
        "warning: environment SWITCHBOARD_LISTN: unknown option, ignored; did you mean SWITCHBOARD_LISTEN?\n"
    );
    ended.printed();
}

#[test]
fn help_and_version_exit_with_success() {
    let place = Place::new();
    let help = place.run(&["--help"]).printed();
    for part in [
        "--limits-message-bytes <SIZE>",
        "[default: 64 KiB]",
        "Options of [socketio]:",
        "--store <sqlite|memory|redis>",
        "SWITCHBOARD_LIMITS_MESSAGE_BYTES",
    ] {
        assert!(help.contains(part), "{part:?} is missing from:\n{help}");
    }
    let version = place.run(&["--version"]).printed();
    assert_eq!(
        version,
        concat!("switchboard ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

/// The claims of a token, unverified.
fn claims(token: &str) -> Value {
    let payload = token
        .trim()
        .split('.')
        .nth(1)
        .expect("header.payload.signature");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_token_says_what_was_asked_and_is_signed_with_the_secret() {
    let token = Place::new()
        .with(
            "switchboard.toml",
            &format!("[auth]\nhmac_secret = '{SECRET}'\nissuer = 'me'\naudience = ['chat']\n"),
        )
        .run(&[
            "token",
            "--sub",
            "alice",
            "--name",
            "Alice",
            "--info",
            r#"{"team":7}"#,
            "--room",
            "team:*=join,publish",
            "--room",
            "news=join",
            "--ttl",
            "2m",
        ])
        .printed();
    let mut rules = jsonwebtoken::Validation::default();
    rules.set_issuer(&["me"]);
    rules.set_audience(&["chat"]);
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::decode::<Value>(token.trim(), &key, &rules).expect("a good token");
    let mut said = token.claims;
    let lasts = said["exp"]
        .as_u64()
        .zip(said["iat"].as_u64())
        .map(|(end, start)| end - start);
    // Rounded up to whole seconds, so that the token is never shorter than asked.
    assert!(matches!(lasts, Some(120 | 121)), "{lasts:?}");
    said["exp"].take();
    said["iat"].take();
    assert_eq!(
        said,
        json!({
            "sub": "alice", "name": "Alice", "info": { "team": 7 }, "iss": "me", "aud": ["chat"],
            "rooms": [
                { "match": "team:*", "can": ["join", "publish"] },
                { "match": "news", "can": ["join"] },
            ],
            "exp": null, "iat": null,
        })
    );
}

#[test]
fn a_token_leaves_out_what_was_not_asked() {
    let token = Place::new()
        .run(&["token", "--sub", "alice", "--auth-hmac-secret", SECRET])
        .printed();
    let claims = claims(&token);
    let names: Vec<_> = claims.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["exp", "iat", "sub"]);
}

#[test]
fn a_token_needs_a_secret_a_user_and_rooms_that_can_be_understood() {
    let place = Place::new();
    place
        .run(&["token", "--sub", "alice"])
        .refused(&["set auth.hmac_secret or auth.hmac_secret_file"]);
    place
        .run(&[
            "token",
            "--sub",
            "alice",
            "--auth-jwks",
            "https://example.com/keys",
        ])
        .refused(&["must be signed with the private key"]);
    place.run(&["token"]).refused(&["--sub <SUB>"]);
    place
        .run(&["token", "--sub", "a b"])
        .refused(&["must not contain white space"]);
    for (flag, value, expected) in [
        (
            "--room",
            "team",
            "a rule is written pattern=permission,permission",
        ),
        ("--room", "team=fly", "join, publish, history, presence"),
        ("--info", "[]", "object"),
        ("--ttl", "1", "expected a duration"),
    ] {
        place
            .run(&["token", "--sub", "alice", flag, value])
            .refused(&[expected]);
    }
}

#[test]
fn a_node_that_cannot_use_its_redis_says_why() {
    // Nobody listens there: the port is the system's own.
    let ended = Place::new().run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--redis-url",
        "redis://127.0.0.1:1",
    ]);
    assert_eq!(ended.code, Some(1));
    let said = &ended.stderr;
    assert!(said.contains("Redis cannot be used"), "{said}");
    assert!(said.contains("refused"), "{said}");
}

/// A document into which this was typed, letter by letter from the back, as one update.
fn document(text: &str) -> Vec<u8> {
    let doc = Doc::with_client_id(7);
    let content = doc.get_or_insert_text("text");
    for letter in text.chars().rev() {
        content.insert(&mut doc.transact_mut(), 0, &letter.to_string());
    }
    let state = StateVector::default();
    doc.transact().encode_state_as_update_v1(&state)
}

/// The text of a document.
fn text(update: &[u8]) -> String {
    let doc = Doc::new();
    let content = doc.get_or_insert_text("text");
    let update = Update::decode_v1(update).expect("an update");
    let applied = doc.transact_mut().apply_update(update);
    applied.expect("an update that fits");
    content.get_string(&doc.transact())
}

#[test]
fn a_document_goes_to_a_file_and_back() {
    let server = ServerProcess::start(&[], &["--store", "memory"]);
    let url = format!("http://{}/", server.address);
    let place = Place::new();
    let file = |name: &str| place.0.path().join(name);
    fs::write(file("notes.yjs"), document("Hello")).expect("the folder can be written");
    let imported = place.run(&["doc", "import", "team/notes", "notes.yjs", "--url", &url]);
    let imported = imported.printed();
    assert!(
        imported.starts_with("team/notes: imported ") && !imported.contains("parts"),
        "{imported}"
    );
    // The address of the configuration.
    let listen = server.address.to_string();
    place
        .run(&[
            "doc",
            "export",
            "team/notes",
            "--out",
            "copy",
            "--listen",
            &listen,
        ])
        .printed();
    let copy = fs::read(file("copy")).expect("it was written");
    assert_eq!(text(&copy), "Hello");

    let piped = |arguments: &[&str], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .current_dir(place.0.path())
            .env_clear()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut stdin = command.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("it reads");
        drop(stdin);
        let ended = command.wait_with_output().expect("it ends");
        assert!(ended.status.success());
        ended.stdout
    };
    piped(&["doc", "import", "other", "-", "--url", &url], &copy);
    let other = piped(&["doc", "export", "other", "--url", &url], &[]);
    assert_eq!(text(&other), "Hello");
}

#[test]
fn a_document_that_is_larger_than_an_update_may_be_is_imported_in_parts() {
    let limit = ["--documents-update-bytes", "1 KiB"];
    let server = ServerProcess::start(&[], &["--store", "memory", limit[0], limit[1]]);
    let url = format!("http://{}", server.address);
    let place = Place::new();
    let file = |name: &str| place.0.path().join(name);
    let long = "0123456789".repeat(100);
    fs::write(file("notes.yjs"), document(&long)).expect("the folder can be written");
    let import = ["doc", "import", "notes", "notes.yjs", "--url", &url];
    let whole = place.run(&import);
    assert_eq!(whole.code, Some(1));
    for part in [
        "documents.update_bytes",
        "give --documents-update-bytes here",
    ] {
        assert!(whole.stderr.contains(part), "{}", whole.stderr);
    }
    let cut = place.run(&[&import[..], &limit[..]].concat()).printed();
    assert!(cut.contains(" parts\n"), "{cut}");
    place
        .run(&["doc", "export", "notes", "--out", "copy", "--url", &url])
        .printed();
    let copy = fs::read(file("copy")).expect("it was written");
    assert_eq!(text(&copy), long);
}

#[test]
fn what_goes_wrong_with_documents_is_said_with_what_to_do() {
    let key = "a-key-of-the-back-end-for-tests";
    let flags = [
        "--store",
        "memory",
        "--auth-hmac-secret",
        SECRET,
        "--auth-api-keys",
        key,
    ];
    let server = ServerProcess::start(&[], &flags);
    let url = format!("http://{}", server.address);
    let place = Place::new().with("notes.txt", "hello");
    fs::write(place.0.path().join("empty.yjs"), [0, 0]).expect("the folder can be written");
    let export = |url: &str| ["doc", "export", "notes", "--url", url].map(str::to_owned);
    let failed = |environment: &[(&str, &str)], arguments: &[&str], parts: &[&str]| {
        let ended = place.run_with(environment, arguments);
        assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stdout, "");
        for part in parts {
            assert!(ended.stderr.contains(part), "{part:?}: {}", ended.stderr);
        }
    };
    let with_key = [("SWITCHBOARD_AUTH_API_KEYS", key)];
    let export_of = export(&url);
    let export_of: Vec<_> = export_of.iter().map(String::as_str).collect();
    failed(&[], &export_of, &["set auth.api_keys"]);
    failed(
        &with_key,
        &export_of,
        &["there is no document notes", "GET /v1/documents"],
    );
    let below = export(&format!("{url}/elsewhere"));
    let below: Vec<_> = below.iter().map(String::as_str).collect();
    failed(&with_key, &below, &["there is nothing at"]);
    // Nobody listens there: the port is the system's own.
    let nobody = ["doc", "export", "notes", "--listen", "127.0.0.1:1"];
    failed(
        &[],
        &nobody,
        &["no response from http://127.0.0.1:1", "refused", "--url"],
    );
    for (file, part) in [
        ("notes.txt", "is no update of Yjs"),
        ("missing", "missing cannot be read"),
    ] {
        let import = ["doc", "import", "notes", file, "--url", &url];
        failed(&with_key, &import, &[part]);
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    place
        .run_with(&[("SWITCHBOARD_AUTH_API_KEYS", &digest)], &export_of)
        .refused(&["only the SHA-256"]);
    for url in ["notes", "ftp://host", "http://host/?a=b"] {
        place
            .run(&["doc", "export", "notes", "--url", url])
            .refused(&["expected an address such as"]);
    }
    place
        .run(&["doc", "export", "a b"])
        .refused(&["white space"]);
    let empty = ["doc", "import", "notes", "empty.yjs", "--url", &url];
    let imported = place.run_with(&with_key, &empty).printed();
    assert_eq!(
        imported,
        "notes: imported nothing, the file is an empty document\n"
    );
}

#[test]
fn a_service_goes_on_when_it_is_told_to_read_its_files_again() {
    let server = ServerProcess::with_environment(&[("SWITCHBOARD_STORE", "memory")]);
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    let began = Instant::now();
    while !server.log().contains("policies of rooms are read again") {
        assert!(began.elapsed() < support::DEADLINE, "{}", server.log());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_service_manager_is_notified_of_the_start_and_of_the_stop() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(support::DEADLINE)).unwrap();
    let notified = || {
        let mut state = [0; 100];
        let length = manager.recv(&mut state).unwrap();
        String::from_utf8(state[..length].to_vec()).unwrap()
    };
    let server = ServerProcess::with_environment(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("SWITCHBOARD_STORE", "memory"),
    ]);
    assert_eq!(notified(), "READY=1\n");
    let id = i32::try_from(server.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    assert_eq!(notified(), "STOPPING=1\n");
}
