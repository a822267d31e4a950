//! Brings the outside in: webhooks and calendars become events on the bus.
