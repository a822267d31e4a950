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
    /// Measures in turn, and the other way round in each second round, so that neither side always
    /// finds the machine as the other left it.
    pub(crate) fn measure<C>(
        rounds: usize,
        context: &mut C,
        ours: impl Fn(&mut C) -> anyhow::Result<f64>,
        baseline: impl Fn(&mut C) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Self> {
        let mut pairs = Self::default();
        for round in 0..rounds {
            let pair = if round % 2 == 0 {
                let first = ours(context)?;
                (first, baseline(context)?)
            } else {
                let first = baseline(context)?;
                (ours(context)?, first)
            };
            pairs.0.push(pair);
        }
        Ok(pairs)
    }

    /// One measurement of each.
    pub(crate) fn of(ours: f64, baseline: f64) -> Self {
        Self(vec![(ours, baseline)])
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
