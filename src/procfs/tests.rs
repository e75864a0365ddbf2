//! Reading the files of a process.

use super::*;

#[test]
fn cpu_time_is_found_behind_a_program_name_with_spaces_and_parentheses() {
    let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 900 0 3 0 250 50 0 0 20 0 4 0 100 1000 200";
    assert_eq!(parse_cpu_ticks(stat), Some(300.0));
    assert_eq!(parse_cpu_ticks("7 (short) S 1"), None);
}

#[test]
fn resident_memory_is_found_in_the_status() {
    let status = "Name:\tswitchboard\nVmPeak:\t  900 kB\nVmRSS:\t   512 kB\n";
    assert_eq!(parse_resident_kib(status), Some(512.0));
    assert_eq!(parse_resident_kib("Name:\tx\n"), None);
}
