//! Dependencies point one way, and each foreign crate is named only where it belongs.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod imports;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each layer, and what it may use of the crate. `config`, `app`, `cli` and `testing` are above all of them.
const MAY_USE: [(&str, &[&str]); 23] = [
    ("sync", &[]),
    ("progress", &["sync"]),
    ("model", &["error", "pattern"]),
    ("error", &[]),
    ("pattern", &["error"]),
    ("retry", &["sync"]),
    ("limits", &["error", "model", "sync"]),
    ("telemetry", &["error", "procfs", "sync"]),
    ("options", &["model", "pattern"]),
    ("traces", &["retry", "options"]),
    ("policies", &["limits", "model", "options", "pattern"]),
    ("events", &["error", "model", "pattern", "options"]),
    (
        "auth",
        &["error", "model", "pattern", "retry", "options", "sync"],
    ),
    (
        "backend",
        &[
            "error", "model", "pattern", "progress", "retry", "options", "sync",
        ],
    ),
    (
        "hooks",
        &[
            "error",
            "model",
            "pattern",
            "events",
            "auth",
            "backend",
            "limits",
            "retry",
            "telemetry",
            "traces",
            "options",
            "sync",
        ],
    ),
    (
        "documents",
        &[
            "error",
            "model",
            "backend",
            "hooks",
            "telemetry",
            "retry",
            "options",
            "sync",
        ],
    ),
    (
        "hub",
        &[
            "error",
            "documents",
            "model",
            "auth",
            "backend",
            "hooks",
            "limits",
            "policies",
            "retry",
            "telemetry",
            "traces",
            "options",
            "sync",
        ],
    ),
    (
        "http",
        &[
            "error",
            "model",
            "pattern",
            "auth",
            "limits",
            "retry",
            "telemetry",
            "traces",
            "options",
            "sync",
        ],
    ),
    (
        "transport",
        &[
            "documents",
            "error",
            "events",
            "hooks",
            "http",
            "model",
            "pattern",
            "auth",
            "backend",
            "hub",
            "limits",
            "retry",
            "telemetry",
            "traces",
            "options",
            "sync",
        ],
    ),
    (
        "emitters",
        &[
            "error",
            "events",
            "model",
            "backend",
            "hub",
            "limits",
            "retry",
            "telemetry",
            "transport",
            "sync",
        ],
    ),
    ("pages", &["http"]),
    // It sees what clients see, and nothing of the server.
    ("load", &["procfs", "progress", "sync"]),
    (
        "api",
        &[
            "error",
            "model",
            "auth",
            "backend",
            "hooks",
            "hub",
            "http",
            "transport",
            "limits",
            "policies",
            "telemetry",
            "sync",
        ],
    ),
];

/// Foreign crates, and the only places that name them.
const HOME: [(&str, &[&str]); 32] = [
    ("axum", &["http", "transport", "api", "pages", "app"]),
    ("hyper", &["http", "transport"]),
    ("socketioxide", &["transport/socketio"]),
    ("socketioxide_redis", &["transport/socketio/adapter.rs"]),
    ("engineioxide", &["transport/socketio"]),
    ("rusqlite", &["backend/sqlite"]),
    (
        "redis",
        &["backend/redis", "backend/conformance/fixture.rs"],
    ),
    ("jsonwebtoken", &["auth"]),
    ("reqwest", &["auth", "hooks", "cli/doc"]),
    ("opentelemetry", &["traces"]),
    ("opentelemetry_http", &["traces"]),
    ("opentelemetry_otlp", &["traces"]),
    ("opentelemetry_sdk", &["traces"]),
    ("tracing_opentelemetry", &["traces"]),
    ("jsonschema", &["policies/schema.rs"]),
    ("yrs", &["documents/history.rs"]),
    ("clap", &["cli"]),
    ("hdrhistogram", &["load"]),
    (
        "rmp",
        &["emitters/msgpack.rs", "emitters/msgpack_writer.rs"],
    ),
    (
        "aws_lc_rs",
        &[
            "auth",
            "backend/epoch.rs",
            "hooks/notify_hook.rs",
            "hooks/signature.rs",
            "transport/socketio/worker/repeats.rs",
        ],
    ),
    ("utoipa", &["api"]),
    ("utoipa_axum", &["api"]),
    ("utoipa_swagger_ui", &["api"]),
    (
        "tokio_tungstenite",
        &[
            "transport/websocket",
            "transport/client_socket.rs",
            "transport/document_socket.rs",
            "testing",
        ],
    ),
    (
        "rustls",
        &["app/crypto.rs", "http/tls", "cli/health/tls.rs"],
    ),
    ("wtransport", &["http/webtransport"]),
    ("sd_notify", &["cli/serve.rs"]),
    ("proxy_header", &["http/proxy_protocol"]),
    ("tokio_rustls", &["http/tls"]),
    ("rcgen", &["http/tls", "backend/redis/tests/tls.rs"]),
    ("x509_parser", &["http/tls/certificate.rs"]),
    ("rustix", &["backend/sqlite/compact.rs", "cli"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every file under `src` with its path there and its code without comments.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let code = fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            let path = path
                .strip_prefix(&root)
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            (path, code.join("\n"))
        })
        .collect()
}

fn layer(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn a_layer_uses_only_those_beneath_it() {
    let layers: Vec<&str> = MAY_USE
        .iter()
        .map(|(layer, _)| *layer)
        .chain(["config", "app", "cli", "testing"])
        .collect();
    let mut wrong = Vec::new();
    for (path, code) in files() {
        let Some((own, allowed)) = MAY_USE.iter().find(|(own, _)| *own == layer(&path)) else {
            continue;
        };
        for other in &layers {
            // `use crate::{a, b::c}` names its parts alone: look for them as paths and as list items.
            let named = code.contains(&format!("crate::{other}::"))
                || uses_lists(&code).any(|list| list_names(&list, other));
            if named && other != own && !allowed.contains(other) {
                wrong.push(format!("src/{path} uses {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The insides of every `use crate::{…};`.
fn uses_lists(code: &str) -> impl Iterator<Item = String> {
    code.split("use crate::{")
        .skip(1)
        .map(|rest| rest.split("};").next().unwrap().to_owned())
}

/// Whether the outermost level of a use list begins an item with `name`.
fn list_names(list: &str, name: &str) -> bool {
    let mut depth = 0;
    let mut item = String::new();
    let mut items = Vec::new();
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    items.push(item);
    items
        .iter()
        .any(|item| item.trim().split("::").next() == Some(name))
}

#[test]
fn a_foreign_crate_is_named_only_at_home() {
    let mut wrong = Vec::new();
    for (path, code) in files() {
        for (foreign, homes) in HOME {
            let named = [format!("{foreign}::"), format!("use {foreign};")];
            let at_home = homes.iter().any(|home| path.starts_with(home));
            if !at_home
                && code
                    .lines()
                    .any(|line| named.iter().any(|name| begins_word(line, name)))
            {
                wrong.push(format!("src/{path} names {foreign}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn begins_word(line: &str, name: &str) -> bool {
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = imports::Imports::read(&files()).circles();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let long: Vec<String> = files()
        .into_iter()
        .filter(|(_, code)| code.lines().count() > 500)
        .map(|(path, code)| format!("src/{path}: {} lines", code.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}
