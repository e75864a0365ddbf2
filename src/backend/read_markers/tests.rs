use super::*;

const NOON: Timestamp = Timestamp(1_711_000_000_000);

fn at(seq: u64) -> StoredMarker {
    StoredMarker {
        seq: Seq(seq),
        ts: NOON,
    }
}

#[test]
fn a_mark_moves_forward_and_no_further_than_the_head() {
    let set = |old: StoredMarker, seq, head| old.set(Seq(seq), Seq(head), NOON.into());
    assert_eq!(set(StoredMarker::NEVER, 3, 5), Some(at(3)));
    assert_eq!(set(at(3), 9, 5), Some(at(5)));
    assert_eq!(set(at(3), u64::MAX, 5), Some(at(5)));
    assert_eq!(set(at(3), 3, 5), None);
    assert_eq!(set(at(3), 2, 5), None);
}

#[test]
fn nothing_is_kept_of_a_user_who_has_read_nothing() {
    assert_eq!(StoredMarker::NEVER.set(Seq(0), Seq(5), NOON.into()), None);
    assert_eq!(StoredMarker::NEVER.set(Seq(5), Seq(0), NOON.into()), None);
}

#[test]
fn a_mark_set_again_where_it_stands_is_noted_once_a_day() {
    let day = Timestamp(NOON.0 + 24 * 3600 * 1000);
    assert_eq!(at(3).set(Seq(3), Seq(5), day.into()), None);
    let later = Timestamp(day.0 + 1);
    let noted = StoredMarker {
        seq: Seq(3),
        ts: later,
    };
    assert_eq!(at(3).set(Seq(1), Seq(5), later.into()), Some(noted));
}
