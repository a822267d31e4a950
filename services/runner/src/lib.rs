//! Runs one step: command, time stamped logs, outputs, exit report.
