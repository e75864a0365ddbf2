//! Lost, repeated and disordered messages are each found.

use super::*;

fn gap(sender: usize, from: u32, to: u32) -> Missing {
    Missing { sender, from, to }
}

#[test]
fn messages_in_order_are_new_and_nothing_is_missing() {
    let mut checker = Checker::default();
    for number in 0..5 {
        assert_eq!(checker.see(2, 0, number), Seen::New);
        assert_eq!(checker.see(2, 1, number), Seen::New);
        assert!(checker.see_seq(u64::from(number) + 1));
    }
    assert!(checker.missing(&[5, 5]).is_empty());
}

#[test]
fn what_never_comes_is_missing() {
    let mut checker = Checker::default();
    for number in [0, 1, 4] {
        assert_eq!(checker.see(2, 1, number), Seen::New);
    }
    assert_eq!(
        checker.missing(&[2, 7]),
        [gap(1, 2, 4), gap(0, 0, 2), gap(1, 5, 7)]
    );
    assert_eq!(Checker::default().missing(&[3]), [gap(0, 0, 3)]);
}

#[test]
fn what_comes_late_is_overtaken_and_no_longer_missing() {
    let mut checker = Checker::default();
    checker.see(1, 0, 0);
    checker.see(1, 0, 4);
    assert_eq!(checker.see(1, 0, 2), Seen::Overtaken);
    assert_eq!(checker.missing(&[5]), [gap(0, 1, 2), gap(0, 3, 4)]);
    assert_eq!(checker.see(1, 0, 1), Seen::Overtaken);
    assert_eq!(checker.see(1, 0, 3), Seen::Overtaken);
    assert!(checker.missing(&[5]).is_empty());
}

#[test]
fn what_comes_again_is_a_repeat() {
    let mut checker = Checker::default();
    checker.see(1, 0, 0);
    assert_eq!(checker.see(1, 0, 0), Seen::Repeat);
    checker.see(1, 0, 2);
    checker.see(1, 0, 1);
    assert_eq!(checker.see(1, 0, 1), Seen::Repeat);
    assert_eq!(
        checker.see(1, 9, 0),
        Seen::Repeat,
        "of a sender that does not exist"
    );
}

#[test]
fn messages_of_two_senders_have_one_order_by_the_rooms_numbers() {
    let mut checker = Checker::default();
    assert!(checker.see_seq(5) && checker.see_seq(7));
    assert!(!checker.see_seq(6));
    checker.forget_seq();
    assert!(checker.see_seq(1));
}

#[test]
fn who_comes_late_is_not_told_that_it_missed_what_was_before() {
    let mut checker = Checker::late();
    assert_eq!(checker.see(2, 0, 70), Seen::New);
    assert_eq!(checker.see(2, 0, 72), Seen::New);
    assert_eq!(checker.missing(&[80, 50]), [gap(0, 71, 72), gap(0, 73, 80)]);
}
