//! Reading `/proc`.

use super::*;

#[test]
#[cfg(target_os = "linux")]
fn this_process_uses_memory_and_files() {
    assert!(resident_bytes() > Some(1_000_000.0));
    assert!(cpu_seconds() >= Some(0.0));
    assert!(open_files() >= Some(3.0));
}
