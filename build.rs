//! Links the addon when the `node` feature is on; a plain Rust build needs nothing.

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
