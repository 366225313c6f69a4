//! Threads of this process that do the work of logs, and what waits for one.

pub(crate) mod pool;
#[cfg_attr(not(feature = "node"), allow(dead_code, reason = "only the binding bounds its readers"))]
pub(crate) mod semaphore;
#[cfg_attr(
    not(feature = "node"),
    allow(dead_code, reason = "without the binding nobody asks for the pool")
)]
pub(crate) mod resumable;
