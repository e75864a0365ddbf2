//! The public API is what `tests/public_api.txt` lists: `UPDATE=1 cargo test --test public_api` writes it.
//!
//! The listing is derived from the sources, not from rustdoc: modules that `src/lib.rs` makes public and documents, what they
//! export, and the public methods of those types.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const LISTING: &str = "tests/public_api.txt";

#[test]
fn the_public_api_is_the_one_that_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = public_api(&root.join("src"));
    let listing = root.join(LISTING);
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        fs::write(&listing, found.join("\n") + "\n").unwrap();
        return;
    }
    let text = fs::read_to_string(&listing).unwrap();
    let (found, listed): (BTreeSet<&str>, BTreeSet<&str>) = (
        found.iter().map(String::as_str).collect(),
        text.lines().collect(),
    );
    let added: Vec<_> = found.difference(&listed).collect();
    let removed: Vec<_> = listed.difference(&found).collect();
    assert!(
        added.is_empty() && removed.is_empty(),
        "the public API has changed; if that is intended, `UPDATE=1 cargo test --test public_api` lists it\n\
         added: {added:#?}\nremoved: {removed:#?}"
    );
}

/// Every public path, sorted.
fn public_api(src: &Path) -> Vec<String> {
    let root = fs::read_to_string(src.join("lib.rs")).unwrap();
    let mut items = exports("switchboard", &root);
    for module in public_modules(&root) {
        let text = fs::read_to_string(src.join(format!("{module}.rs"))).unwrap();
        items.extend(exports(&format!("switchboard::{module}"), &text));
    }
    let mut sources = Vec::new();
    collect(src, &mut sources);
    // Unlike the modules of that name for our own tests.
    collect(&src.join("testing"), &mut sources);
    let methods: Vec<(String, String)> = sources
        .iter()
        .flat_map(|path| methods(&fs::read_to_string(path).unwrap()))
        .collect();
    let mut api: BTreeSet<String> = items.iter().cloned().collect();
    for item in &items {
        let name = item.rsplit("::").next().unwrap();
        let own = methods.iter().filter(|(type_name, _)| type_name == name);
        api.extend(own.map(|(_, method)| format!("{item}::{method}")));
    }
    api.into_iter().collect()
}

/// The modules of the root that are public and documented.
fn public_modules(root: &str) -> Vec<&str> {
    let lines: Vec<&str> = root.lines().collect();
    let is_hidden = |nth: usize| nth > 0 && lines[nth - 1].contains("doc(hidden)");
    let modules = lines.iter().enumerate().filter(|(nth, _)| !is_hidden(*nth));
    modules
        .filter_map(|(_, line)| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect()
}

/// What a module's file exports: its own public items, and what it re-exports.
fn exports(path: &str, text: &str) -> Vec<String> {
    const ITEMS: [&str; 8] = [
        "struct ",
        "enum ",
        "trait ",
        "type ",
        "fn ",
        "async fn ",
        "const fn ",
        "const ",
    ];
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("\npub ") {
        let hidden = rest[..at].ends_with("doc(hidden)]");
        rest = &rest[at + "\npub ".len()..];
        if hidden {
            continue;
        }
        if let Some(list) = rest.strip_prefix("use ") {
            let list = list.split(';').next().unwrap();
            found.extend(used_names(list).map(|name| format!("{path}::{name}")));
        } else if let Some(item) = ITEMS.iter().find_map(|item| rest.strip_prefix(item)) {
            found.push(format!("{path}::{}", identifier(item)));
        }
    }
    found
}

/// The names that a `use` brings in: the last segment of each path.
fn used_names(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', '{', '}'])
        .map(str::trim)
        .filter(|path| !path.is_empty() && !path.ends_with("::"))
        .map(|path| path.rsplit([':', ' ']).next().unwrap())
        .filter(|name| *name != "self")
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The public and documented methods in a file, each with the type it belongs to. The sources are formatted, so a block at the top level ends
/// with the first brace at the start of a line.
fn methods(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for block in text.split("\nimpl").skip(1) {
        let body = block.split("\n}").next().unwrap();
        let header = body.split('{').next().unwrap();
        if header.contains(" for ") {
            continue;
        }
        // `impl<K: Hash> Name<K>`: generics come before the space.
        let Some(name) = header
            .split_whitespace()
            .find(|word| word.starts_with(char::is_uppercase) && !word.ends_with([':', '>', ',']))
        else {
            continue;
        };
        let lines: Vec<&str> = body.lines().collect();
        let is_hidden = |nth: usize| nth > 0 && lines[nth - 1].contains("doc(hidden)");
        let shown = lines.iter().enumerate().filter(|(nth, _)| !is_hidden(*nth));
        let functions = shown.filter_map(|(_, line)| {
            let line = line.strip_prefix("    pub ")?;
            let line = line.strip_prefix("const ").unwrap_or(line);
            let line = line.strip_prefix("async ").unwrap_or(line);
            line.strip_prefix("fn ").map(identifier)
        });
        found.extend(functions.map(|method| (identifier(name).to_owned(), method.to_owned())));
    }
    found
}

/// The source files, tests left out.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if matches!(name, "tests" | "testing") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}
