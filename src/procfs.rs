//! What Linux says of a process in `/proc`, for every layer.

/// The clock ticks per second in which the kernel reports CPU time: part of Linux' interface on all current architectures.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory in KiB, of `/proc/PID/status`. A process that has ended and was not waited for has none.
pub(crate) fn parse_resident_kib(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time, the fields 14 and 15 (proc_pid_stat(5)). The second field is the program's name in parentheses and
/// may contain anything.
pub(crate) fn parse_cpu_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests;
