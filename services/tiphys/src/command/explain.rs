//! `explain CODE`.

use crate::exit::{Code, Failure};

/// The codes of all rooms but the manifests, as the documentation has them.
const DOCUMENTED: &str = include_str!("../../../../docs/errors.md");

/// Prints what a code means and what to do.
pub(super) fn run(code: &str) -> Result<(), Failure> {
    let code = code.to_ascii_uppercase();
    let Some(text) = tiphys_manifest::codes::explain(&code).map(str::to_owned).or_else(|| documented(&code))
    else {
        return Err(Failure::new(
            Code::NotFound,
            format!(
                "`{code}` is no code; they look like TIP-MAN-001 and stand in square brackets in messages"
            ),
        ));
    };
    println!("{code}\n{text}");
    Ok(())
}

/// The row of a code; `x` in a row stands for any digit.
fn documented(code: &str) -> Option<String> {
    DOCUMENTED.lines().find_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (listed, what, then) = (cells.next()?, cells.next()?, cells.next()?);
        let fits = |(listed, given): (char, char)| listed == given || listed == 'x' && given.is_ascii_digit();
        let same = listed.len() == code.len() && listed.chars().zip(code.chars()).all(fits);
        same.then(|| format!("What it is: {what}.\nWhat to do: {then}."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_every_room_are_explained() {
        for code in ["TIP-BUS-002", "TIP-TRG-005", "TIP-SRC-001", "TIP-SEN-022"] {
            assert!(documented(code).is_some_and(|text| text.contains("What to do: ")), "{code}");
        }
        assert_eq!(documented("TIP-SEN-ABC"), None);
        assert_eq!(documented("code"), Some("What it is: what.\nWhat to do: what to do.".into()));
    }
}
