//! Links the addon when the `node` feature is on; a plain Rust build needs nothing.

fn main() {
    // Otherwise cargo examines all files of the folder, those of `.setup` too.
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "node")]
    napi_build::setup();
}
