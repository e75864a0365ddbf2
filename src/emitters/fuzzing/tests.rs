//! The corpus of the fuzzer, replayed.

use crate::transport::fuzzing::tests::replay;

#[test]
fn messages_of_emitters_of_the_corpus_are_read() {
    replay("emitter", super::emitter);
}
