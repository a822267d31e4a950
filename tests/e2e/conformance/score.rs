//! How many workflows ended as expected on each launcher, and why others did not run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::case::{Case, Outcome};

/// What came of all cases on one launcher.
pub(super) struct Score {
    place: &'static str,
    good: usize,
    wrong: Vec<String>,
    /// By the reason.
    not_applicable: BTreeMap<String, Vec<String>>,
}

/// What came of each case, by launcher, in the order in which they ran.
pub(super) type Found = Vec<(&'static str, BTreeMap<String, Outcome>)>;

/// Compares each launcher with what is expected, and with the first that ran the same.
pub(super) fn scores(cases: &[Case], found: &Found) -> Vec<Score> {
    let places = found.iter().map(|(place, outcomes)| {
        let mut score = Score { place, good: 0, wrong: Vec::new(), not_applicable: BTreeMap::new() };
        for case in cases {
            let outcome = outcomes.get(&case.name);
            let refused =
                outcome.filter(|_| case.may_be_refused).and_then(|outcome| outcome.refused.as_ref());
            let left = case.not_on.get(*place).cloned().or_else(|| refused.map(|why| reason(why)));
            if let Some(why) = left {
                score.not_applicable.entry(why).or_default().push(case.name.clone());
                continue;
            }
            let Some(outcome) = outcome else {
                score.wrong.push(format!("{}: it did not run", case.name));
                continue;
            };
            match outcome.wrong(case, first(case, found).filter(|(first, _)| first != place)) {
                Some(why) => score.wrong.push(why),
                None => score.good += 1,
            }
        }
        score
    });
    places.collect()
}

/// The first launcher on which a case ran.
fn first<'f>(case: &Case, found: &'f Found) -> Option<(&'static str, &'f Outcome)> {
    found.iter().find_map(|(place, outcomes)| {
        let outcome = outcomes.get(&case.name).filter(|outcome| outcome.refused.is_none())?;
        Some((*place, outcome))
    })
}

/// A refusal without the names that differ from workflow to workflow.
fn reason(message: &str) -> String {
    let from = message.find(" uses ").map_or(0, |at| at + " uses ".len());
    let what = message.get(from..).unwrap_or(message);
    if message.contains("brings its own") {
        return "it leaves the command to its image".into();
    }
    what.split([';', ',']).next().unwrap_or(what).to_owned()
}

/// All of it as a table.
pub(super) fn table(scores: &[Score], left_out: &[(String, String)]) -> String {
    let mut text = format!("{:12} {:>6} {:>12} {:>15}\n", "launcher", "ran", "as expected", "not applicable");
    for score in scores {
        let ran = score.good + score.wrong.len();
        let not: usize = score.not_applicable.values().map(Vec::len).sum();
        let _ = writeln!(text, "{:12} {ran:>6} {:>12} {not:>15}", score.place, score.good);
    }
    for score in scores {
        for (why, cases) in &score.not_applicable {
            let _ = writeln!(text, "not on {}: {why} ({}): {}", score.place, cases.len(), cases.join(", "));
        }
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (case, why) in left_out {
        reasons.entry(why).or_default().push(case);
    }
    if !left_out.is_empty() {
        let _ = writeln!(text, "left out everywhere: {} of Argo's examples", left_out.len());
    }
    for (why, cases) in reasons {
        let _ = writeln!(text, "  {why} ({}): {}", cases.len(), cases.join(", "));
    }
    text
}

/// # Panics
/// When something ended in another way.
pub(super) fn check(scores: &[Score]) {
    let wrong: Vec<String> = scores
        .iter()
        .flat_map(|score| score.wrong.iter().map(|why| format!("{}: {why}", score.place)))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
