//! What is read of a process of Redis.

use super::*;

#[test]
fn a_process_is_believed_to_have_run_only_for_what_it_certainly_has() {
    for (told, certain) in [(0, 0), (1, 0), (2, 1), (3600, 3599)] {
        let info = format!("# Server\r\nrun_id:abc\r\nuptime_in_seconds:{told}\r\n");
        let process = parse_process(&info);
        assert_eq!(process.run_id, "abc");
        assert_eq!(process.uptime, Duration::from_secs(certain), "{told}");
    }
}

#[test]
fn a_service_that_does_not_tell_its_process_or_its_uptime_has_neither() {
    for info in ["", "run_id:abc\r\n", "uptime_in_seconds:7\r\n"] {
        let process = parse_process(info);
        assert_eq!(
            (process.run_id.as_str(), process.uptime),
            ("", Duration::ZERO)
        );
    }
}
