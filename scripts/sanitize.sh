#!/usr/bin/env bash
# scripts/sanitize.sh address|thread|valgrind: looks for errors of memory and for races. The compiler is the stable one that builds the
# addon; RUSTC_BOOTSTRAP lets it take the flags of the sanitizers.
#
#   address   the addon under Node.js, with AddressSanitizer; needs gcc's libasan. Runs the specs named behind it, or a choice of them.
#   thread    the core with ThreadSanitizer, the standard library built along: from `rustup component add rust-src`, or from Debian's
#             rust-web-src with the compiler of its version, which has no runtime of the sanitizer: it gets that of the other compiler.
#   valgrind  the core's own tests under memcheck; needs valgrind.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-}
[[ $# -eq 0 ]] || shift
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 RUST_BACKTRACE=0

case $kind in
  address)
    runtime=$(gcc -print-file-name=libasan.so)
    [[ -e $runtime ]] || { echo 'SKIPPED address: libasan not found'; exit 0; }
    # A copy of the tree: its addon is the checked one.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    RUSTFLAGS='-Zsanitizer=address' cargo build --locked --target "$target" --target-dir target/address
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
    ln -s "$PWD/node_modules" "$copy/node_modules"
    for addon in chronicle.*.node; do
      cp "target/address/$target/debug/libsage_chronicle.so" "$copy/$addon"
    done
    cd "$copy"
    (($#)) || set -- __test__/append.spec.ts __test__/chain.spec.ts __test__/query.spec.ts \
      __test__/stream.spec.ts __test__/workers.spec.ts
    # V8 keeps what it likes until the end: leaks are not looked for.
    LD_PRELOAD=$runtime ASAN_OPTIONS=detect_leaks=0 node node_modules/vitest/vitest.mjs run --pool=forks "$@"
    ;;
  thread)
    flags=-Zsanitizer=thread
    if [[ ! -d $(rustc --print sysroot)/lib/rustlib/src/rust/library ]]; then
      [[ -d /usr/lib/rustlib/src/rust/library && -x /usr/bin/rustc && -x /usr/bin/cargo ]] ||
        { echo 'SKIPPED thread: rust-src not found'; exit 0; }
      runtime=$(ls "$(rustc --print sysroot)/lib/rustlib/$target/lib"/librustc-*_rt.tsan.a)
      flags+=' -Zexternal-clangrt'
      tools=$(mktemp -d)
      trap 'rm -rf "$tools"' EXIT
      # Programs get the runtime; the addon, a library that no test loads, must not have it.
      cat >"$tools/cc" <<CC
#!/usr/bin/env bash
[[ " \$* " == *' -shared '* ]] || set -- "\$@" -Wl,--whole-archive '$runtime' -Wl,--no-whole-archive
exec /usr/bin/cc "\$@"
CC
      chmod +x "$tools/cc"
      export PATH=$tools:/usr/bin:$PATH RUSTC=/usr/bin/rustc
    fi
    RUSTFLAGS=$flags cargo test -Zbuild-std --target "$target" --target-dir target/thread \
      --no-default-features --test group_commit --test failed_sync --test lock_wait --test model "$@"
    ;;
  valgrind)
    command -v valgrind >/dev/null || { echo 'SKIPPED valgrind: valgrind not found'; exit 0; }
    runner=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_RUNNER
    export "$runner=valgrind -q --error-exitcode=9 --leak-check=no"
    cargo test --no-default-features --test group_commit --test failed_sync --test side_index "$@"
    ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
