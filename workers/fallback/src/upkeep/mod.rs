//! What runs beside the escalations.
//!
//! | file | what it is |
//! |---|---|
//! | `auditor.rs` | finds open escalations without a timer, and counts those that are late |
//! | `device_pruner.rs` | removes devices that were not heard of for months |

mod auditor;
mod device_pruner;

pub use auditor::Auditor;
pub use device_pruner::DevicePruner;
