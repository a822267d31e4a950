//! Kills at any moment, judged by an outside ledger.
