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
