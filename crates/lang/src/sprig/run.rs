//! What one run of a program may know and spend.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::LangError;
use crate::template::Context;
use crate::value::Value;

/// The longest text that one function may build, in bytes.
pub(crate) const MAX_TEXT: usize = 1 << 20;

/// How deep lists and maps may nest.
pub(crate) const MAX_DEPTH: usize = 64;

/// The work that a run may do, in units of some ten nanoseconds. It stands for a limit on time, and unlike
/// one it refuses the same program on the same input each time.
const FUEL: u64 = 8_000_000;

/// The state of one run: its moment, its random numbers, and what is left to spend.
#[derive(Debug)]
pub(crate) struct Run {
    language: &'static str,
    now: Timestamp,
    fuel: u64,
    random: [u8; 32],
    drawn: u64,
}

impl Run {
    pub(crate) fn new(language: &'static str, context: Context<'_>) -> Self {
        Self {
            language,
            now: context.now,
            fuel: FUEL,
            random: Sha256::digest(context.seed.as_bytes()).into(),
            drawn: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes from the budget.
    pub(crate) fn spend(&mut self, units: u64) -> Result<(), LangError> {
        match self.fuel.checked_sub(units) {
            Some(rest) => {
                self.fuel = rest;
                Ok(())
            }
            None => Err(self.limit("steps")),
        }
    }

    /// Pays for all that a value holds. Values that share parts can be very large, so that it counts no
    /// further than there is to spend.
    pub(crate) fn pay_for(&mut self, value: &Value) -> Result<(), LangError> {
        let limit = self.fuel.saturating_add(1).saturating_mul(8);
        self.spend(value.weight(limit) / 8)
    }

    /// Allows for a text of so many bytes, before it is built.
    pub(crate) fn allow(&mut self, bytes: usize) -> Result<(), LangError> {
        if bytes > MAX_TEXT {
            return Err(self.limit("output"));
        }
        self.spend(bytes as u64 / 8 + 1)
    }

    pub(crate) fn limit(&self, limit: &'static str) -> LangError {
        LangError::Limit { language: self.language, limit }
    }

    pub(crate) fn fail(&self, message: impl Into<String>) -> LangError {
        LangError::Eval { language: self.language, message: message.into() }
    }

    /// The next random bytes: the same for the same seed.
    pub(crate) fn random(&mut self) -> [u8; 32] {
        self.drawn += 1;
        Sha256::new().chain_update(self.random).chain_update(self.drawn.to_be_bytes()).finalize().into()
    }

    /// A random number below `end`; 0 where `end` is 0.
    pub(crate) fn random_below(&mut self, end: u64) -> u64 {
        let bytes = self.random();
        let (first, _) = bytes.split_at(8);
        let number = first.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        number.checked_rem(end).unwrap_or(0)
    }
}
