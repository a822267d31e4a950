//! Where to begin when a log is read on: at a second, as the API server can be asked for that. Lines of two streams may be a
//! little out of order, so that a second counts as read only when a later one was seen.

use tiphys_core::Timestamp;

/// A second to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    second: i64,
    /// Lines that are older.
    older: usize,
    /// From this line on, all that come are in their place.
    pub(super) good_from: usize,
}

impl Mark {
    /// What to ask for.
    pub(super) fn time(self) -> Timestamp {
        Timestamp::from_second(self.second).unwrap_or_default()
    }
}

/// Counts lines, and marks seconds.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Number of the next line.
    pub(super) next: usize,
    /// A second, and how many lines are older.
    sure: Option<(i64, usize)>,
    last: Option<(i64, usize)>,
}

impl Marks {
    /// Begins there.
    pub(super) fn at(mark: Option<Mark>) -> Self {
        let last = mark.map(|mark| (mark.second, mark.older));
        Self { next: mark.map_or(0, |mark| mark.older), sure: None, last }
    }

    /// One line more.
    pub(super) fn take(&mut self, time: Timestamp) {
        let second = time.as_second();
        for (known, older) in self.sure.iter_mut().chain(&mut self.last) {
            *older += usize::from(second < *known);
        }
        if self.last.is_none_or(|(known, _)| second > known) {
            self.sure = self.last.replace((second, self.next));
        }
        self.next += 1;
    }

    /// Where to begin the next time; `None`: where this time.
    pub(super) fn mark(&self) -> Option<Mark> {
        let ((second, older), (_, good_from)) = (self.sure?, self.last?);
        Some(Mark { second, older, good_from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a log of these times, as the API server gives it from a mark on, up to a number of lines.
    fn read(log: &[i64], from: Option<Mark>, most: usize) -> (Vec<(usize, i64)>, Option<Mark>) {
        let mut marks = Marks::at(from);
        let mut found = Vec::new();
        let begin = from.map_or(i64::MIN, |mark| mark.second * 1000);
        for milli in log.iter().filter(|milli| **milli >= begin) {
            if marks.next >= most {
                break;
            }
            found.push((marks.next, *milli));
            marks.take(Timestamp::from_millisecond(*milli).unwrap());
        }
        (found, marks.mark())
    }

    #[test]
    fn lines_keep_their_numbers_though_their_times_are_out_of_order() {
        // Two streams: a line of the old second stands behind the first of the new one.
        let log = [1000, 1999, 2001, 1998, 2500, 3000, 2999, 3001, 4000, 4001];
        let whole: Vec<(usize, i64)> = log.iter().copied().enumerate().collect();
        assert_eq!(read(&log[..2], None, 99).1, None);
        for most in 1..=log.len() {
            let (found, mark) = read(&log, None, most);
            assert_eq!(found, whole[..most]);
            let Some(mark) = mark else { continue };
            let (rest, _) = read(&log, Some(mark), 99);
            let from = mark.good_from.max(most);
            let rest: Vec<_> = rest.into_iter().filter(|(number, _)| *number >= from).collect();
            assert_eq!(rest, whole[from..], "after {most} lines, {mark:?}");
        }
    }
}
