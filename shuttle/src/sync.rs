//! The part of `std::sync` that the core uses, scheduled by shuttle.

pub(crate) use std::sync::{Arc, OnceLock, PoisonError, Weak};

use shuttle::sync::Mutex as Scheduled;
pub(crate) use shuttle::sync::{Condvar, MutexGuard, atomic, mpsc};

/// shuttle's mutex, which never stays poisoned.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(Scheduled<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Mutex(Scheduled::new(value))
    }

    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, T>, PoisonError<MutexGuard<'_, T>>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn try_lock(&self) -> Result<MutexGuard<'_, T>, ()> {
        match self.0.try_lock() {
            Ok(guard) => Ok(guard),
            Err(std::sync::TryLockError::Poisoned(error)) => Ok(error.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => Err(()),
        }
    }

    pub(crate) fn clear_poison(&self) {}
}
