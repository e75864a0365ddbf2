//! Merging, compacting and comparing updates, checked against documents.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::{
    super::{
        history::{Edit, apply, clocks, content, document, document_of, history},
        walk::check_update,
    },
    *,
};

const NO_UPDATES: [&[u8]; 0] = [];

/// An update of client 5 that types `text` behind what it typed before.
fn typed(clock: u8, text: &str) -> Vec<u8> {
    let mut update = Writer::new();
    update.raw(&[1, 1, 5, clock]);
    if clock == 0 {
        update.raw(b"\x04\x01\x01t");
    } else {
        update.raw(&[0x84, 5, clock - 1]);
    }
    update.var_string(text).byte(0);
    update.into_bytes()
}

#[test]
fn nothing_is_an_empty_update() {
    assert_eq!(merge(&NO_UPDATES).unwrap(), EMPTY_UPDATE);
    assert_eq!(
        compact(&[EMPTY_UPDATE, EMPTY_UPDATE]).unwrap(),
        EMPTY_UPDATE
    );
    assert_eq!(state_vector(EMPTY_UPDATE).unwrap(), EMPTY_STATE_VECTOR);
    assert_eq!(
        diff(EMPTY_UPDATE, EMPTY_STATE_VECTOR).unwrap(),
        EMPTY_UPDATE
    );
}

#[test]
fn malformed_updates_are_refused() {
    assert!(merge(&[EMPTY_UPDATE, &[1]]).is_err());
    assert!(compact(&[EMPTY_UPDATE, &[1]]).is_err());
    assert!(diff(&[1], EMPTY_STATE_VECTOR).is_err());
    assert!(diff(EMPTY_UPDATE, &[1]).is_err());
    assert!(state_vector(&[0, 0, 0]).is_err());
}

#[test]
fn a_gap_is_kept_and_filled_later() {
    let gap = merge(&[typed(0, "ab"), typed(4, "ef")]).unwrap();
    assert_eq!(state_vector(&gap).unwrap(), [1, 5, 2]);
    assert_eq!(check_update(&gap).unwrap().structs, 3);
    let whole = compact(&[gap, typed(2, "cd")]).unwrap();
    assert_eq!(whole, typed(0, "abcdef"));
}

#[test]
fn overlapping_updates_are_divided() {
    let merged = merge(&[typed(0, "abc"), typed(1, "bcde")]).unwrap();
    let expected = b"\x01\x02\x05\x00\x04\x01\x01t\x03abc\x84\x05\x02\x02de\x00";
    assert_eq!(merged, expected);
    assert_eq!(compact(&[merged]).unwrap(), typed(0, "abcde"));
}

#[test]
fn deleted_text_is_gone_after_compaction() {
    let deletes = [0, 1, 5, 1, 1, 3];
    let compacted = compact(&[typed(0, "abSECd").as_slice(), &deletes]).unwrap();
    let expected =
        b"\x01\x03\x05\x00\x04\x01\x01t\x01a\x81\x05\x00\x03\x84\x05\x03\x02Cd\x01\x05\x01\x01\x03";
    assert_eq!(compacted, expected);
}

#[test]
fn elements_that_exist_are_not_replaced() {
    let garbage = vec![1, 1, 5, 0, 0, 4, 0];
    let merged = merge(&[typed(0, "ab"), garbage.clone()]).unwrap();
    assert_eq!(merged, b"\x01\x02\x05\x00\x04\x01\x01t\x02ab\x00\x02\x00");
    assert_eq!(merge(&[garbage.clone(), typed(0, "ab")]).unwrap(), garbage);
    let parts = [typed(0, "ab"), typed(2, "cd"), typed(0, "WXYZ")];
    assert_eq!(compact(&parts).unwrap(), typed(0, "abcd"));
    let parts = [
        typed(4, "e"),
        typed(2, "cd"),
        typed(0, "UVWXYZ"),
        typed(1, "1234567"),
    ];
    assert_eq!(compact(&parts).unwrap(), typed(0, "UVcdeZ67"));
}

#[test]
fn values_of_a_key_are_not_joined() {
    let set = |clock: u8| match clock {
        0 => vec![1, 1, 5, 0, 0x28, 1, 1, b'm', 1, b'k', 1, 126, 0],
        // The key is that of the value before.
        clock => vec![1, 1, 5, clock, 0x88, 5, clock - 1, 1, 126, 0],
    };
    let compacted = compact(&[set(0), set(1), set(2)]).unwrap();
    assert_eq!(check_update(&compacted).unwrap().structs, 3);
}

#[test]
fn keystrokes_become_one_struct() {
    let mut updates: Vec<Vec<u8>> = (0..100).map(|clock| typed(clock, "x")).collect();
    updates.reverse();
    let compacted = compact(&updates).unwrap();
    assert_eq!(compacted, typed(0, &"x".repeat(100)));
}

#[test]
fn a_diff_begins_inside_of_a_struct() {
    let update = typed(0, "abcdef");
    assert_eq!(diff(&update, &[1, 5, 4]).unwrap(), typed(4, "ef"));
    assert_eq!(diff(&update, &[1, 5, 6]).unwrap(), EMPTY_UPDATE);
    assert_eq!(diff(&update, &[1, 6, 4]).unwrap(), update);
    let beyond = [1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(diff(&update, &beyond).unwrap(), EMPTY_UPDATE);
}

#[test]
fn a_document_contains_what_was_merged_into_it() {
    let document = merge(&[typed(0, "abc"), typed(5, "f"), vec![0, 1, 5, 1, 0, 2]]).unwrap();
    for known in [
        typed(1, "b"),
        typed(5, "f"),
        EMPTY_UPDATE.to_vec(),
        vec![0, 1, 5, 1, 1, 1],
    ] {
        assert!(contains(&document, &known).unwrap(), "{known:?}");
    }
    for new in [typed(2, "cd"), typed(6, "g"), vec![0, 1, 5, 1, 1, 2]] {
        assert!(!contains(&document, &new).unwrap(), "{new:?}");
    }
    assert!(contains(&document, &[1]).is_err());
    assert!(contains(&[1], &document).is_err());
}

#[test]
fn state_vectors_are_those_of_documents() {
    let doc = document_of(&[typed(0, "abc")]);
    assert_eq!(clocks(&doc), [(5, 3)]);
    assert_eq!(state_vector(&typed(0, "abc")).unwrap(), [1, 5, 3]);
    assert_eq!(state_vector(&typed(1, "abc")).unwrap(), EMPTY_STATE_VECTOR);
}

/// Merges or compacts random groups of updates, until one is left.
fn fold(updates: &[Vec<u8>], picks: &[(Index, Index, bool)]) -> Vec<u8> {
    let mut parts = updates.to_vec();
    for (a, b, compacts) in picks {
        if parts.len() < 2 {
            break;
        }
        let a = parts.swap_remove(a.index(parts.len()));
        let b = parts.swap_remove(b.index(parts.len()));
        parts.push(if *compacts {
            compact(&[a, b]).unwrap()
        } else {
            merge(&[a, b]).unwrap()
        });
    }
    compact(&parts).unwrap()
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    vec(any::<Edit>(), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_merged_update_makes_the_same_document(
        edits in edits(),
        picks in vec(any::<(Index, Index, bool)>(), 0..60),
    ) {
        let updates = history(&edits);
        let expected = document_of(&updates);
        for result in [merge(&updates).unwrap(), compact(&updates).unwrap(), fold(&updates, &picks)] {
            prop_assert!(check_update(&result).is_ok());
            let doc = document_of(&[&result]);
            prop_assert!(updates.iter().all(|update| contains(&result, update).unwrap()));
            prop_assert_eq!(content(&doc), content(&expected));
            prop_assert_eq!(clocks(&doc), clocks(&expected));
            let vector = state_vector(&result).unwrap();
            let vector = walk::parse_state_vector(&vector).unwrap();
            let vector: Vec<_> = vector.iter().map(|(client, clock)| (*client, *clock as u32)).collect();
            prop_assert_eq!(vector, clocks(&expected));
        }
    }

    #[test]
    fn what_was_merged_before_is_not_lost(edits in edits(), split: Index, compacts: bool) {
        let updates = history(&edits);
        let expected = document_of(&updates);
        let (before, after) = updates.split_at(split.index(updates.len()));
        let combine = |parts: &[Vec<u8>]| {
            if compacts { compact(parts) } else { merge(parts) }.unwrap()
        };
        // What is merged first depends on what is missing.
        let again = combine(&[combine(after), combine(before)]);
        prop_assert_eq!(content(&document_of(&[again])), content(&expected));
    }

    #[test]
    fn a_diff_is_what_is_missing(edits in edits(), split: Index) {
        let updates = history(&edits);
        let known = compact(&updates[..split.index(updates.len())]).unwrap();
        let all = compact(&updates).unwrap();
        let missing = diff(&all, &state_vector(&known).unwrap()).unwrap();
        prop_assert!(missing.len() <= all.len() + 32);
        let doc = document(1);
        apply(&doc, &known);
        apply(&doc, &missing);
        prop_assert_eq!(content(&doc), content(&document_of(&updates)));
        let nothing = diff(&all, &state_vector(&all).unwrap()).unwrap();
        prop_assert_eq!(check_update(&nothing).unwrap().structs, 0);
    }

    #[test]
    fn of_many_texts_the_first_is_taken(texts in vec((0..20u8, "[a-z]{1,12}"), 1..12)) {
        let parts: Vec<_> = texts.iter().map(|(clock, text)| typed(*clock, text)).collect();
        let mut expected = [0; 40];
        for (clock, text) in texts.iter().rev() {
            let at = usize::from(*clock);
            expected[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        let compacted = compact(&parts).unwrap();
        let mut found = [0; 40];
        for range in elements_of(&compacted).of_client(5) {
            for clock in range.start..range.end {
                let rest = diff(&compacted, &[1, 5, clock as u8]).unwrap();
                found[clock as usize] = rest[typed(clock as u8, "").len() - 1];
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn compacting_again_changes_nothing(edits in edits()) {
        let updates = history(&edits);
        let once = compact(&updates).unwrap();
        prop_assert_eq!(compact(&[&once]).unwrap(), once.clone());
        prop_assert_eq!(compact(&[&once, &once]).unwrap(), once);
    }
}

/// Changes bytes of an update.
fn mutate(update: &mut Vec<u8>, changes: &[(Index, u8, u8)]) {
    for (at, what, byte) in changes {
        let at = at.index(update.len() + 1);
        match what % 4 {
            0 => update.truncate(at.max(update.len() / 2)),
            1 => update.insert(at, *byte),
            _ => {
                if let Some(old) = update.get_mut(at) {
                    *old = if what % 4 == 2 {
                        *byte
                    } else {
                        *old ^ (1 << (byte % 8))
                    };
                }
            }
        }
    }
}

/// Elements that an update has.
fn elements_of(update: &[u8]) -> ElementSet {
    elements(&Streams::parse([update]).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_update_that_is_cut_says_the_same(edits in edits(), max_bytes in 0_usize..400) {
        let whole = merge(&history(&edits)).unwrap();
        let parts = split(&whole, max_bytes).unwrap();
        prop_assert!(parts.iter().all(|part| check_update(part).is_ok()));
        let facts = |update: &Vec<u8>| check_update(update).unwrap();
        let is_cuttable = |part: &Vec<u8>| facts(part).structs > 1 && facts(part).deletes == 0;
        prop_assert!(parts.iter().all(|part| part.len() <= max_bytes || !is_cuttable(part)));
        prop_assert_eq!(content(&document_of(&parts)), content(&document_of(&[&whole])));
        prop_assert_eq!(merge(&parts).unwrap(), whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_mutated_update_is_refused_or_goes_through_whole(
        edits in vec(any::<Edit>(), 1..12),
        at: Index,
        changes in vec(any::<(Index, u8, u8)>(), 1..4),
        other in select(vec![true, false]),
    ) {
        let updates = history(&edits);
        let mut update = updates[at.index(updates.len())].clone();
        mutate(&mut update, &changes);
        let is_sound = check_update(&update).is_ok();
        prop_assert_eq!(merge(&[&update]).is_ok(), is_sound);
        prop_assert_eq!(compact(&[&update]).is_ok(), is_sound);
        prop_assert_eq!(state_vector(&update).is_ok(), is_sound);
        if !is_sound {
            return Ok(());
        }
        let merged = merge(&[&update]).unwrap();
        let compacted = compact(&[&update]).unwrap();
        prop_assert_eq!(elements_of(&merged), elements_of(&update));
        prop_assert_eq!(elements_of(&compacted), elements_of(&update));
        prop_assert_eq!(walk::parse_update(&compacted).unwrap().deletes, walk::parse_update(&update).unwrap().deletes);
        prop_assert!(merged.len() <= 2 * update.len());
        let with = merge(&[if other { &update } else { &updates[0] }, &update]).unwrap();
        prop_assert!(check_update(&with).is_ok());
        for part in [&with, &compacted, &merged] {
            let vector = state_vector(part).unwrap();
            prop_assert!(check_update(&diff(part, &vector).unwrap()).is_ok());
            prop_assert!(check_update(&compact(&[part]).unwrap()).is_ok());
        }
    }
}

/// Bytes of a recording, by line.
fn recording() -> Vec<Vec<u8>> {
    let lines = include_str!("tests/yjs.txt").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    let byte = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).unwrap();
        u8::from_str_radix(digits, 16).unwrap()
    };
    lines
        .map(|line| line.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

#[test]
fn updates_of_yjs_are_understood() {
    let mut updates = recording();
    let state = updates.pop().unwrap();
    for update in &updates {
        assert_eq!(&merge(&[update]).unwrap(), update);
    }
    let compacted = compact(&updates).unwrap();
    assert_eq!(elements_of(&compacted), elements_of(&state));
    assert_eq!(elements_of(&merge(&updates).unwrap()), elements_of(&state));
    let vectors = [&compacted, &state].map(|update| state_vector(update).unwrap());
    assert_eq!(vectors[0], vectors[1]);
    assert!(compacted.len() < merge(&updates).unwrap().len());
    let secret = b"SECRET";
    let holds = |update: &[u8]| update.windows(secret.len()).any(|bytes| bytes == secret);
    assert!(updates.iter().any(|update| holds(update)));
    assert!(!holds(&compacted));
}
