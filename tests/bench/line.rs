//! The line that a bench prints, and the pairs of measurements behind it.

use serde::Serialize;

/// What a bench prints.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    name: &'static str,
    ours: f64,
    baseline: f64,
    ratio: f64,
    worst: f64,
    unit: &'static str,
    aim: &'static str,
    against: &'static str,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What a bench measures, in words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) aim: &'static str,
    /// What the baseline is.
    pub(crate) against: &'static str,
    pub(crate) better: Better,
}

/// Measurements, ours and the baseline's side by side.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    /// Measures in turn, as [`in_turn`] does.
    pub(crate) fn measure<C>(
        rounds: usize,
        context: &mut C,
        ours: impl Fn(&mut C) -> anyhow::Result<f64>,
        baseline: impl Fn(&mut C) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Self> {
        in_turn(rounds, context, ours, baseline).map(Self)
    }

    /// One measurement of each.
    pub(crate) fn of(ours: f64, baseline: f64) -> Self {
        Self(vec![(ours, baseline)])
    }

    /// One number of each measurement.
    pub(crate) fn pick<T>(pairs: &[(T, T)], number: impl Fn(&T) -> f64) -> Self {
        Self(pairs.iter().map(|(ours, baseline)| (number(ours), number(baseline))).collect())
    }

    /// Adds those of another.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Prints the line.
    pub(crate) fn print(&self, words: Words) -> anyhow::Result<()> {
        let ratios = || self.0.iter().map(|(ours, baseline)| ours / baseline);
        let worst = match words.better {
            Better::Higher => ratios().fold(f64::INFINITY, f64::min),
            Better::Lower => ratios().fold(0.0, f64::max),
        };
        let line = Line {
            name: words.name,
            ours: rounded(median(self.0.iter().map(|pair| pair.0))),
            baseline: rounded(median(self.0.iter().map(|pair| pair.1))),
            ratio: rounded(median(ratios())),
            worst: rounded(worst),
            unit: words.unit,
            aim: words.aim,
            against: words.against,
        };
        println!("{}", serde_json::to_string(&line)?);
        Ok(())
    }
}

/// Measures in turn, and the other way round in each second round, so that neither side always finds the machine as the
/// other left it.
pub(crate) fn in_turn<C, T>(
    rounds: usize,
    context: &mut C,
    ours: impl Fn(&mut C) -> anyhow::Result<T>,
    baseline: impl Fn(&mut C) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<(T, T)>> {
    let mut pairs = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let pair = if round % 2 == 0 {
            let first = ours(context)?;
            (first, baseline(context)?)
        } else {
            let first = baseline(context)?;
            (ours(context)?, first)
        };
        pairs.push(pair);
    }
    Ok(pairs)
}

/// So much of the values, in hundredths, is not greater than this.
pub(crate) fn percentile(values: &mut [f64], hundredths: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * hundredths).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three digits after the point, or none where there are many before it.
fn rounded(value: f64) -> f64 {
    if value.abs() >= 1000.0 {
        return value.round();
    }
    (value * 1000.0).round() / 1000.0
}
