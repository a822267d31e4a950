//! How many workflows ended as expected on each launcher, and why others did not run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::case::Case;
use super::outcome::Outcome;

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
            let refused = outcome.and_then(|outcome| outcome.refused.as_ref()).map(|why| reason(why));
            let left = refused.filter(|why| case.may_be_refused && may_refuse(place, why));
            if let Some(why) = case.not_on.get(*place).cloned().or(left) {
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

/// What is not run yet, whatever starts the steps.
const NOT_YET: [&str; 12] = [
    "containerSet",
    "data",
    "hooks other than exit",
    "http",
    "memoize",
    "plugin",
    "plugins",
    "synchronization",
    "an artifact in `artifactory`",
    "an artifact in `hdfs`",
    "an artifact in `oss`",
    "an artifact in `plugin`",
];
/// What a process of the host cannot have.
const NO_PROCESS: [&str; 5] =
    ["initContainers", "resourceClaims", "sidecars", "volumeMounts", "the command of its image"];

/// Whether a refusal is one that is known; any other is a mistake.
fn may_refuse(place: &str, why: &str) -> bool {
    NOT_YET.contains(&why) || (place == "process" && NO_PROCESS.contains(&why))
}

/// A refusal without the names that differ from workflow to workflow.
fn reason(message: &str) -> String {
    if message.contains("brings its own") {
        return "the command of its image".into();
    }
    if let Some((_, from)) = message.split_once("an artifact in ") {
        return format!("an artifact in {}", from.split(' ').next().unwrap_or_default());
    }
    let what = message.split_once(" uses ").map_or(message, |(_, what)| what);
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
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, cases)| std::cmp::Reverse(cases.len()));
    if !reasons.is_empty() {
        let _ = writeln!(text, "compared nowhere: {} of Argo's examples", left_out.len());
    }
    for (why, cases) in reasons {
        let _ = writeln!(text, "{:4} {why}: {}", cases.len(), cases.join(", "));
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
