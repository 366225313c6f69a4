#!/usr/bin/env bash
# scripts/prove/sanitize.sh address|thread|miri|valgrind: finds memory errors and data races. The
# compiler is the stable one that builds the addon; RUSTC_BOOTSTRAP makes it accept the flags of the
# sanitizers.
#
#   address   the addon under Node.js, with AddressSanitizer; needs gcc's libasan.
#             Runs the named specs, or a selection.
#   thread    the core with ThreadSanitizer, with a standard library built for it;
#             needs `rustup component add rust-src`.
#   miri      the core in an interpreter that detects undefined behaviour;
#             needs `rustup component add miri rust-src --toolchain nightly`.
#   valgrind  the core's own tests under memcheck; needs valgrind.
set -eu
cd "$(dirname "$0")/../.."
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
    source=$(rustc --print sysroot)/lib/rustlib/src/rust/library
    [[ -d $source ]] || { echo 'SKIPPED thread: rust-src not found'; exit 0; }
    (($#)) || set -- --lib --test group_commit --test failed_sync --test lock_wait --test model \
      --test fail_nth --test real_files --test side_index --test index_runs
    RUSTFLAGS='-Zsanitizer=thread' cargo test -Zbuild-std --target "$target" --target-dir target/thread --no-default-features "$@"
    ;;
  miri)
    cargo +nightly miri --version >/dev/null 2>&1 || { echo 'SKIPPED miri: miri not found'; exit 0; }
    # A thousand times slower: without the tests that append much. The pool's threads end with the
    # process, which Miri calls a leak.
    (($#)) || set -- --test failed_sync -- --skip what_is_acknowledged --skip while_syncs
    MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-ignore-leaks' cargo +nightly miri test --locked --target-dir target/miri --no-default-features "$@"
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
