//! Parsing and redaction of session secrets.

use super::*;

#[test]
fn only_revealed_text_parses_and_debug_redacts_it() {
    let pid = Pid::generate();
    assert_eq!(Pid::parse(&pid.reveal()), Some(pid));
    assert_ne!(Pid::generate(), pid);
    let upper = format!("A{}", &pid.reveal()[1..]);
    for bad in ["", "7", "g", &"0".repeat(31), &"0".repeat(33), &upper] {
        assert_eq!(Pid::parse(bad), None, "{bad:?}");
    }
    assert!(!format!("{pid:?}").contains(&pid.reveal()));
}

#[test]
fn a_secret_begins_with_the_second_of_its_making_and_is_random_after_that() {
    let began = Timestamp::now().0 / 1000;
    let secrets = [Pid::generate().reveal(), Pid::generate().reveal()];
    for secret in &secrets {
        let second = u64::from_str_radix(&secret[..8], 16).unwrap();
        assert!((began..=Timestamp::now().0 / 1000).contains(&second));
    }
    assert_ne!(secrets[0][8..], secrets[1][8..]);
}
