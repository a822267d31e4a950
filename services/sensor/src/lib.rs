//! Decides: filters, conditions and parameters turn events into firings and verdicts.
