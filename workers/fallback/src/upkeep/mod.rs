//! What runs beside the escalations: the audit of the timers, and the removal of silent devices.

mod auditor;
mod device_pruner;
