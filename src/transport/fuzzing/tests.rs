//! The corpus of the fuzzers, replayed.

use std::{fs, path::Path};

/// Parses every input of a target.
pub(crate) fn replay(target: &str, parse: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for file in fs::read_dir(&folder).unwrap() {
        parse(&fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "no inputs in {}", folder.display());
}

#[test]
fn frames_of_the_corpus_are_parsed() {
    replay("frames", super::frames);
}

#[test]
fn payloads_of_the_corpus_are_parsed() {
    replay("payload", super::payload);
}

#[test]
fn packets_of_the_corpus_are_parsed() {
    replay("packet", super::packet);
}

#[test]
fn envelopes_of_the_corpus_are_parsed() {
    replay("envelope", super::envelope);
}

#[test]
fn messages_about_documents_of_the_corpus_are_parsed() {
    replay("document", super::document);
}

#[test]
fn updates_of_the_corpus_are_merged() {
    replay("updates", super::updates);
}

#[test]
fn queries_of_the_corpus_are_parsed() {
    replay("query", super::query);
}
