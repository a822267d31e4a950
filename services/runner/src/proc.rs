//! Processes as `/proc` shows them.

use std::io;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Process id.
    pub pid: i32,
    /// State letter; `Z` is a zombie.
    pub state: char,
    /// Id of the parent.
    pub parent: i32,
    /// Id of the session.
    pub session: i32,
    /// Its start, in clock ticks since boot.
    pub start: u64,
}

/// What is known of a process; nothing if there is none.
#[must_use]
pub fn stat(pid: i32) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes that are visible.
#[must_use]
pub fn all() -> Vec<Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter_map(stat).collect()
}

/// Whether the environment a process was started with holds `NAME=VALUE`. False where it may not be read.
#[must_use]
pub fn has_variable(pid: i32, variable: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes()))
}

/// Identity of the running kernel's boot.
///
/// # Errors
/// Where `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// Start of this process, in clock ticks since boot.
pub(crate) fn own_start() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    parse(&text).map(|stat| stat.start).ok_or_else(|| io::Error::other("/proc/self/stat is not understood"))
}

/// The name in brackets may itself hold brackets and blanks, so reading begins after the last one.
fn parse(text: &str) -> Option<Stat> {
    let (pid, _) = text.split_once(' ')?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        pid: pid.parse().ok()?,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let text = "42 (a) R 1 (b)) S 7 42 41 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3";
        let stat = parse(text).unwrap();
        assert_eq!((stat.pid, stat.state, stat.parent), (42, 'S', 7));
        assert_eq!((stat.session, stat.start), (41, 987_654));
    }

    #[test]
    fn this_process_is_seen() {
        let own = i32::try_from(std::process::id()).unwrap();
        let seen = all().into_iter().find(|stat| stat.pid == own).unwrap();
        assert_eq!(seen.start, own_start().unwrap());
        assert!(boot_id().unwrap().len() > 30);
    }
}
