//! Contracts in protocol buffers.
