//! The documents of a text. Split before anything is parsed, so that a bad one does not spoil the others.

/// One document's text, and the line of the file on which it begins, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    pub(super) first_line: usize,
}

/// Splits at lines that are a document marker. YAML allows such a line nowhere else, not even in block text.
pub(super) fn documents(text: &str) -> Vec<Part<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parts = Vec::new();
    let (mut start, mut first_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let plain = line.trim_end();
        let begins = plain == "---" || plain.starts_with("--- ");
        let ends = plain == "...";
        if begins && is_head(text.get(start..offset).unwrap_or_default()) {
            offset += line.len();
            continue;
        }
        if (begins || ends) && offset > start {
            push(&mut parts, text, start, offset, first_line);
            // One more than allowed tells enough.
            if parts.len() > super::MAX_DOCUMENTS {
                return parts;
            }
        }
        if begins || ends {
            // The marker stays with its document: text may follow it on the same line.
            start = if ends { offset + line.len() } else { offset };
            first_line = if ends { index + 2 } else { index + 1 };
        }
        offset += line.len();
    }
    push(&mut parts, text, start, offset, first_line);
    parts
}

/// Directives, such as `%YAML 1.1`, which belong to the document that begins after them.
fn is_head(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    lines.clone().next().is_some() && lines.all(|line| line.starts_with('%'))
}

fn push<'a>(parts: &mut Vec<Part<'a>>, text: &'a str, start: usize, end: usize, first_line: usize) {
    let Some(text) = text.get(start..end) else {
        return;
    };
    let blank = text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line == "---" || line.starts_with('#') || line.starts_with("--- #")
    });
    if !blank {
        parts.push(Part { text, first_line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_and_comments() {
        let text = "# only a comment\n---\na: 1\n--- # two\nb: |\n  ---\n...\nc: 3\n---\n";
        let parts = documents(text);
        let seen: Vec<_> = parts.iter().map(|p| (p.first_line, p.text)).collect();
        assert_eq!(seen, [(2, "---\na: 1\n"), (4, "--- # two\nb: |\n  ---\n"), (8, "c: 3\n")]);
        assert_eq!(documents("%YAML 1.1\n# x\n---\na: 1\n---\nb: 2\n").len(), 2);
        assert!(documents("").is_empty());
        assert!(documents("---\n---\n").is_empty());
    }
}
