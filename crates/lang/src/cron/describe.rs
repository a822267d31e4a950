//! Says in plain English when a schedule fires.

use super::fields::{Fields, Set};
use crate::value::layout::{DAYS as WEEKDAYS, MONTHS};

pub(super) fn fields(fields: &Fields) -> String {
    let mut text = time(fields);
    let by_day = !fields.day.open;
    let by_weekday = !fields.weekday.open;
    if by_day {
        text.push_str(&format!(" on day {} of the month", values(fields.day)));
    }
    if by_weekday {
        let or = if by_day { " or" } else { "" };
        text.push_str(&format!("{or} on {}", names(fields.weekday, 0, &WEEKDAYS)));
    }
    if !fields.month.open {
        text.push_str(&format!(" in {}", names(fields.month, 1, &MONTHS)));
    }
    let daily = text.starts_with("at ") && !by_day && !by_weekday;
    if daily {
        text.push_str(" every day");
    }
    text
}

fn time(fields: &Fields) -> String {
    let minutes: Vec<i8> = fields.minute.values().collect();
    let hours: Vec<i8> = fields.hour.values().collect();
    if hours.len() == 24 {
        return match (minutes.len(), step(&minutes, 60)) {
            (60, _) => "every minute".to_owned(),
            (1, _) => format!("every hour at minute {}", values(fields.minute)),
            (_, Some(step)) => format!("every {step} minutes"),
            _ => format!("every hour at minutes {}", values(fields.minute)),
        };
    }
    if minutes.len() * hours.len() <= 4 {
        let times: Vec<_> = hours
            .iter()
            .flat_map(|hour| minutes.iter().map(move |minute| format!("{hour:02}:{minute:02}")))
            .collect();
        return format!("at {}", enumerate(&times));
    }
    let minute = match minutes.len() {
        60 => "every minute".to_owned(),
        _ => format!("at minute {}", values(fields.minute)),
    };
    match step(&hours, 24) {
        Some(step) => format!("{minute} of every {step} hours"),
        None => format!("{minute} of hour {}", values(fields.hour)),
    }
}

/// The step of values that fill the whole range evenly.
fn step(values: &[i8], range: i8) -> Option<i8> {
    let (first, second) = (*values.first()?, *values.get(1)?);
    let step = second - first;
    let even =
        first == 0 && values.windows(2).all(|pair| matches!(pair, [one, other] if other - one == step));
    let full = range % step == 0 && values.len() == usize::try_from(range / step).ok()?;
    (even && full).then_some(step)
}

fn values(set: Set) -> String {
    enumerate(
        &runs(set)
            .into_iter()
            .map(|(from, to)| if from == to { from.to_string() } else { format!("{from} to {to}") })
            .collect::<Vec<_>>(),
    )
}

fn names(set: Set, least: i8, names: &[&str]) -> String {
    let name = |value: i8| -> &str {
        let index = usize::try_from(value - least).unwrap_or(0);
        names.get(index).copied().unwrap_or("?")
    };
    enumerate(
        &runs(set)
            .into_iter()
            .map(
                |(from, to)| {
                    if from == to { name(from).to_owned() } else { format!("{} to {}", name(from), name(to)) }
                },
            )
            .collect::<Vec<_>>(),
    )
}

/// Neighbouring values as ranges; two neighbours stay two.
fn runs(set: Set) -> Vec<(i8, i8)> {
    let mut runs: Vec<(i8, i8)> = Vec::new();
    for value in set.values() {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == value => *to = value,
            _ => runs.push((value, value)),
        }
    }
    runs.into_iter()
        .flat_map(|(from, to)| if to - from == 1 { vec![(from, from), (to, to)] } else { vec![(from, to)] })
        .collect()
}

fn enumerate(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
