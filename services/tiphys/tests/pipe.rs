//! Where the reader of standard output has gone, the command line ends without a word.

use std::process::{Command, Stdio};

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    for arguments in [["completion", "bash"], ["explain", "TIP-MAN-001"]] {
        let ended = Command::new(env!("CARGO_BIN_EXE_tiphys"))
            .args(arguments)
            .stdout(writer.try_clone().expect("another end"))
            .stderr(Stdio::piped())
            .output()
            .expect("started");
        assert!(ended.status.success(), "{arguments:?}: {:?}", ended.status);
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
    }
}
