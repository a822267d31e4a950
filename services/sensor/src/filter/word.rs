//! Values in the words of a verdict: short, and told apart from the sentence around them.

/// Longer texts are cut; the event itself can be looked at.
const LONGEST: usize = 120;

/// A text in quotes, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// What a gjson value looks like in a sentence: texts in quotes, everything else as written.
pub(super) fn shown(found: &tiphys_lang::gjson::Found<'_>) -> String {
    if found.kind == tiphys_lang::gjson::Type::String {
        return quoted(&found.text());
    }
    match found.raw.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", found.raw.get(..end).unwrap_or_default()),
        None => found.raw.to_string(),
    }
}
