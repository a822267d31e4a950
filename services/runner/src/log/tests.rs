use super::*;

fn read(dir: &Path) -> Vec<(Stream, String)> {
    let bytes = std::fs::read(dir.join(FILE)).unwrap();
    let lines = bytes.split(|byte| *byte == b'\n');
    let parsed: Vec<_> = lines.filter(|line| !line.is_empty()).map(parse).collect();
    parsed
        .into_iter()
        .map(|line| line.unwrap())
        .map(|(time, stream, text)| {
            assert_eq!(time, Timestamp::UNIX_EPOCH);
            (stream, text)
        })
        .collect()
}

fn written(limit: u64, pieces: &[(Stream, &[u8])]) -> Vec<(Stream, String)> {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::create(dir.path(), limit).unwrap();
    for (stream, bytes) in pieces {
        log.take(*stream, bytes, Timestamp::UNIX_EPOCH);
    }
    log.finish(Timestamp::UNIX_EPOCH);
    read(dir.path())
}

#[test]
fn lines_are_put_together_per_stream() {
    let lines = written(
        10_000,
        &[(Stream::Output, b"one\ntw"), (Stream::Error, b"oops\n"), (Stream::Output, b"o\n\n  three")],
    );
    let expected = [
        (Stream::Output, "one"),
        (Stream::Error, "oops"),
        (Stream::Output, "two"),
        (Stream::Output, ""),
        (Stream::Output, "  three"),
    ];
    assert_eq!(lines, expected.map(|(stream, text)| (stream, text.to_owned())));
}

#[test]
fn a_long_line_is_split_between_characters_and_nothing_is_lost() {
    for lead in 0..4 {
        let text = format!("{}{}", "x".repeat(lead), "€".repeat(60_000));
        let whole: Vec<_> = written(1 << 20, &[(Stream::Output, format!("{text}\n").as_bytes())]);
        assert!(whole.len() > 2);
        assert!(whole.iter().all(|(_, part)| part.len() <= LONGEST_LINE));
        let joined: String = whole.into_iter().map(|(_, part)| part).collect();
        assert_eq!(joined, text);
    }
}

#[test]
fn a_full_log_says_so_once() {
    let line = [b'x'; 99];
    let many: Vec<u8> = [&line[..], b"\n"].concat().repeat(100);
    let lines = written(1000, &[(Stream::Output, &many), (Stream::Output, &many)]);
    assert!(lines.len() < 10, "{}", lines.len());
    let (stream, last) = lines.last().unwrap();
    assert_eq!(*stream, Stream::Error);
    assert!(last.contains("full at 1000 bytes"));
    assert_eq!(lines.iter().filter(|(_, text)| text.contains("full")).count(), 1);
}

#[test]
fn only_the_end_of_a_long_output_is_the_result() {
    let mut tail = Tail::default();
    for number in 0..200_000 {
        tail.take(format!("{number}\n").as_bytes());
    }
    let text = tail.into_text();
    assert_eq!(text.len(), Tail::MOST - 1);
    assert!(text.ends_with("\n199998\n199999"));

    let mut tail = Tail::default();
    tail.take(b"a\n\n");
    assert_eq!(tail.into_text(), "a\n");
}

#[test]
fn what_is_no_line_is_not_read_as_one() {
    for line in ["", "x", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z x text", "yesterday o text"] {
        assert_eq!(parse(line.as_bytes()), None, "{line}");
    }
}
