//! Diagnostics as text: long for people, one line for editors and logs.

use std::fmt::Write as _;

use super::{Diagnostic, Severity};

/// Source lines are cut to about this many characters around the position.
const WIDTH: usize = 100;

/// Several lines: code and message, position, source line with a caret, help.
#[must_use]
pub fn render(diagnostic: &Diagnostic, color: bool) -> String {
    let (bold, reset, tint) = match (color, diagnostic.severity) {
        (false, _) => ("", "", ""),
        (true, Severity::Error) => ("\x1b[1m", "\x1b[0m", "\x1b[1;31m"),
        (true, Severity::Warning) => ("\x1b[1m", "\x1b[0m", "\x1b[1;33m"),
    };
    let mut out = format!(
        "{tint}{}[{}]{reset}{bold}: {}{reset}\n",
        word(diagnostic.severity),
        diagnostic.code,
        printable(&diagnostic.message)
    );
    let number = diagnostic.line.to_string();
    let margin = " ".repeat(number.len());
    let _ = write!(out, "{margin}--> {}", place(diagnostic));
    let about = about(diagnostic);
    if !about.is_empty() {
        let _ = write!(out, " ({about})");
    }
    out.push('\n');
    if diagnostic.line > 0 && !diagnostic.source.trim().is_empty() {
        let (text, caret) = excerpt(&diagnostic.source, diagnostic.column);
        let _ = writeln!(out, "{margin} |\n{number} | {text}");
        let _ = writeln!(out, "{margin} | {}{tint}^{reset}", " ".repeat(caret));
    }
    if !diagnostic.help.is_empty() {
        let _ = writeln!(out, "{margin} = help: {}", printable(&diagnostic.help));
    }
    out
}

/// One line: `file:line:column: severity[code]: message (path); help`.
#[must_use]
pub fn short(diagnostic: &Diagnostic) -> String {
    let mut out = format!(
        "{}: {}[{}]: {}",
        place(diagnostic),
        word(diagnostic.severity),
        diagnostic.code,
        printable(&diagnostic.message)
    );
    if !diagnostic.path.is_empty() {
        let _ = write!(out, " (at {})", printable(&diagnostic.path));
    }
    if !diagnostic.help.is_empty() {
        let _ = write!(out, "; {}", printable(&diagnostic.help));
    }
    out
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn place(diagnostic: &Diagnostic) -> String {
    let file = printable(&diagnostic.file);
    match (diagnostic.line, diagnostic.column) {
        (0, _) => file,
        (line, 0) => format!("{file}:{line}"),
        (line, column) => format!("{file}:{line}:{column}"),
    }
}

fn about(diagnostic: &Diagnostic) -> String {
    let parts = [&diagnostic.object, &diagnostic.path];
    let parts: Vec<String> =
        parts.into_iter().filter(|part| !part.is_empty()).map(|part| printable(part)).collect();
    parts.join(": ")
}

/// The line without control characters, cut around the column; and where the caret stands in it.
fn excerpt(source: &str, column: usize) -> (String, usize) {
    let at = column.saturating_sub(1);
    let start = at.saturating_sub(WIDTH / 2);
    let start = if source.chars().count() <= WIDTH { 0 } else { start };
    let text: String = source.chars().skip(start).take(WIDTH).collect();
    (printable(&text), at - start)
}

/// Control characters could steer the reader's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Diagnostic {
        Diagnostic {
            code: "TIP-MAN-008".into(),
            severity: Severity::Warning,
            file: "sensor.yaml".into(),
            line: 12,
            column: 7,
            path: "spec.dependencies[0].eventNam".into(),
            object: "Sensor/a".into(),
            message: "there is no field `eventNam` here".into(),
            help: "did you mean `eventName`?".into(),
            source: "      eventNam: x".into(),
        }
    }

    #[test]
    fn long() {
        assert_eq!(
            render(&sample(), false),
            "warning[TIP-MAN-008]: there is no field `eventNam` here\n  \
             --> sensor.yaml:12:7 (Sensor/a: spec.dependencies[0].eventNam)\n   \
             |\n12 |       eventNam: x\n   |       ^\n   = help: did you mean `eventName`?\n"
        );
        assert!(render(&sample(), true).contains("\x1b["));
    }

    #[test]
    fn one_line() {
        let mut diagnostic = sample();
        diagnostic.message.push_str("\x1b[31m\nforged: line");
        let line = short(&diagnostic);
        assert!(line.starts_with("sensor.yaml:12:7: warning[TIP-MAN-008]: there is"));
        assert!(!line.contains('\n') && !line.contains('\x1b'));
    }

    #[test]
    fn a_long_line_is_cut_around_the_position() {
        let source = "x".repeat(5000) + "!" + &"y".repeat(5000);
        let (text, caret) = excerpt(&source, 5001);
        assert!(text.len() <= WIDTH);
        assert_eq!(text.chars().nth(caret), Some('!'));
    }
}
