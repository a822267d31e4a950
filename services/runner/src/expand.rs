//! `$(VAR)` in commands, arguments and values, as Kubernetes replaces it.

/// Replaces `$(NAME)` by what `value` says, leaves it where that says nothing, and turns `$$` into `$`.
/// What is put in is not scanned again.
#[must_use]
pub fn expand<'v>(text: &str, value: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match value(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn as_kubernetes_does() {
        let value = |name: &str| match name {
            "A" => Some("1"),
            "LOOP" => Some("$(A)"),
            _ => None,
        };
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(LOOP)", "$(A)"),
            ("$(UNKNOWN) $(A)", "$(UNKNOWN) 1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$", "$"),
            ("a$b", "a$b"),
            ("$(A", "$(A"),
            ("cost: $5, é$(A)é", "cost: $5, é1é"),
        ] {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }
}
