//! Tables without borders: columns padded to the widest cell, three spaces apart.

/// A table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// Behind so many rows stands this line.
    notes: Vec<(usize, String)>,
}

impl Table {
    /// With these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()], notes: Vec::new() }
    }

    /// Adds a line that has no part in the columns.
    pub(crate) fn note(&mut self, line: String) {
        self.notes.push((self.rows.len(), line));
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is nothing below the headings.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The text.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| visible(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        let mut notes = self.notes.iter().peekable();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width + 3 - visible(cell)));
            }
            out.push_str(line.trim_end());
            out.push('\n');
            while let Some((_, note)) = notes.next_if(|(behind, _)| *behind <= number + 1) {
                out.push_str(note.trim_end());
                out.push('\n');
            }
        }
        out
    }
}

/// Characters that are seen: without colour sequences.
fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut hidden = false;
    for character in text.chars() {
        match character {
            '\u{1b}' => hidden = true,
            'm' if hidden => hidden = false,
            _ if hidden => {}
            _ => count += 1,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_and_without_colour() {
        let mut table = Table::new(&["NAME", "PHASE"]);
        table.row(["a".into(), "\u{1b}[32mSucceeded\u{1b}[0m".into()]);
        table.note("  a note that is longer than any cell".into());
        table.row(["long-name".into(), "x".into()]);
        assert_eq!(
            table.render(),
            "NAME        PHASE\na           \u{1b}[32mSucceeded\u{1b}[0m\n  a note that is longer than any cell\nlong-name   x\n"
        );
    }
}
