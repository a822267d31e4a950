//! Checks across objects.

pub mod support;
