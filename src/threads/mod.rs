//! Threads of the process for the work of logs, and the queues before them.
//!
//! The folder owns the pool, the clock thread, the semaphores and long work in parts. It never
//! knows what a job does. The files are in the order of dependence; `semaphore` stands alone.

pub(crate) mod pool;
#[cfg_attr(not(feature = "node"), allow(dead_code, reason = "only the binding bounds its readers"))]
pub(crate) mod semaphore;
#[cfg_attr(
    not(feature = "node"),
    allow(dead_code, reason = "without the binding nobody asks for the pool")
)]
pub(crate) mod resumable;
