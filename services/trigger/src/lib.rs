//! Acts: turns firings into effects, once, with a ledger, retries and dead letters.
