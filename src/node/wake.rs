//! Waking a JavaScript thread from another thread, by one threadsafe function.
//!
//! The function keeps the process alive and its callback reachable only while something is pending.
//! So an idle port keeps no realm in memory, as that of a Jest test file.

#![expect(
    unsafe_code,
    reason = "napi has no threadsafe function with a weak callback; these are the plain Node-API calls"
)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex};

use napi::bindgen_prelude::{Env, Error, Result, Status};
use napi::sys;

use crate::mutex::locked;

/// Wakes its JavaScript thread.
pub(super) struct Waker(Arc<Mutex<Option<Function>>>);

/// The threadsafe function. It is taken out when its environment ends, and must not be used after
/// that.
#[derive(Clone, Copy)]
struct Function(sys::napi_threadsafe_function);

// SAFETY: Node-API allows a threadsafe function to be called and released from every thread.
unsafe impl Send for Function {}

/// The callback, reachable from the threadsafe function.
struct Context {
    callback: sys::napi_ref,
    function: Arc<Mutex<Option<Function>>>,
    /// Called when the environment ends, on its thread.
    at_end: Box<dyn FnOnce()>,
}

/// The part that only the JavaScript thread may use.
pub(super) struct Hold {
    env: sys::napi_env,
    callback: sys::napi_ref,
    held: bool,
    function: Arc<Mutex<Option<Function>>>,
}

/// Creates both for a callback of this environment. `at_end` is called when the environment ends.
pub(super) fn waker(
    env: &Env,
    callback: sys::napi_value,
    at_end: Box<dyn FnOnce()>,
) -> Result<(Waker, Hold)> {
    let raw = env.raw();
    let name = env.create_string("chronicle")?;
    let function = Arc::new(Mutex::new(None));
    let mut reference = ptr::null_mut();
    // SAFETY: `callback` is a live function value of this environment.
    check(unsafe { sys::napi_create_reference(raw, callback, 0, &raw mut reference) })?;
    let context = Box::new(Context { callback: reference, function: function.clone(), at_end });
    let context: *mut c_void = Box::into_raw(context).cast();
    let mut made = ptr::null_mut();
    // SAFETY: the context lives until `finalize`, which Node-API calls once and last. Without a
    // JavaScript function, `call` finds the callback itself.
    let status = unsafe {
        sys::napi_create_threadsafe_function(
            raw,
            ptr::null_mut(),
            ptr::null_mut(),
            napi::JsValue::raw(&name),
            0,
            1,
            context,
            Some(finalize),
            context,
            Some(call),
            &raw mut made,
        )
    };
    if let Err(error) = check(status) {
        // SAFETY: Node-API failed and so did not take the context over.
        drop(unsafe { Box::from_raw(context.cast::<Context>()) });
        return Err(error);
    }
    // SAFETY: just created, on the thread of its environment.
    check(unsafe { sys::napi_unref_threadsafe_function(raw, made) })?;
    *locked(&function) = Some(Function(made));
    let hold = Hold { env: raw, callback: reference, held: false, function: function.clone() };
    Ok((Waker(function), hold))
}

impl Waker {
    /// Calls the callback soon. Does nothing once the environment has ended.
    pub(super) fn wake(&self) {
        let mut function = locked(&self.0);
        let Some(Function(raw)) = *function else {
            return;
        };
        // SAFETY: `finalize` takes the function out under this mutex before it is freed.
        let status = unsafe {
            sys::napi_call_threadsafe_function(
                raw,
                ptr::null_mut(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            )
        };
        if status == sys::Status::napi_closing {
            *function = None;
        }
    }
}

impl Hold {
    /// Keeps the process alive and the callback reachable, or releases both. Only on the JavaScript
    /// thread.
    pub(super) fn set(&mut self, held: bool) {
        if held == self.held {
            return;
        }
        let Some(Function(raw)) = *locked(&self.function) else {
            return;
        };
        self.held = held;
        // SAFETY: on the thread of the environment, which has not ended, so the function exists.
        unsafe {
            if held {
                sys::napi_reference_ref(self.env, self.callback, ptr::null_mut());
                sys::napi_ref_threadsafe_function(self.env, raw);
            } else {
                sys::napi_reference_unref(self.env, self.callback, ptr::null_mut());
                sys::napi_unref_threadsafe_function(self.env, raw);
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(Function(raw)) = locked(&self.function).take() {
            // SAFETY: owned here and released once. The finalizer of the port runs on the
            // JavaScript thread.
            unsafe {
                sys::napi_release_threadsafe_function(
                    raw,
                    sys::ThreadsafeFunctionReleaseMode::release,
                );
            }
        }
    }
}

extern "C" fn call(
    env: sys::napi_env,
    _function: sys::napi_value,
    context: *mut c_void,
    _data: *mut c_void,
) {
    if env.is_null() {
        return;
    }
    // SAFETY: the context lives until `finalize`. Node-API opened a handle scope for this call. An
    // exception of the callback stays pending and becomes an uncaught one.
    unsafe {
        let context = &*context.cast::<Context>();
        let mut callback = ptr::null_mut();
        let found = sys::napi_get_reference_value(env, context.callback, &raw mut callback);
        if found != sys::Status::napi_ok || callback.is_null() {
            return;
        }
        let mut receiver = ptr::null_mut();
        if sys::napi_get_undefined(env, &raw mut receiver) != sys::Status::napi_ok {
            return;
        }
        sys::napi_call_function(env, receiver, callback, 0, ptr::null(), ptr::null_mut());
    }
}

extern "C" fn finalize(env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: `data` came from `Box::into_raw` and this is its last use, on the JavaScript thread.
    let context = unsafe { Box::from_raw(data.cast::<Context>()) };
    let Context { callback, function, at_end } = *context;
    *locked(&function) = None;
    if !env.is_null() {
        // SAFETY: created in this environment, and not used after the function was taken out.
        unsafe {
            sys::napi_delete_reference(env, callback);
        }
    }
    // No panic may cross into Node.js.
    let _ = catch_unwind(AssertUnwindSafe(at_end));
}

fn check(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(Error::new(Status::from(status), "Node-API call failed"))
    }
}
