#!/usr/bin/env bash
# Makes the Debian package and the archive: `just package`. Both hold the same tree: program, ONNX Runtime, documents,
# man pages, completions, licences. Needs Python 3 with pip, binutils, dpkg, zstd; installs cargo-deb into the user's
# cache folder where it is missing.
#
#   packaging/package.sh                        target/package/verge_VERSION_ARCH.deb, verge-VERSION-linux-ARCH.tar.zst
#   packaging/package.sh --binary FILE          of a program that is built already
#   packaging/package.sh --version 0.1.0~next   under another version; the manifest's by default
#   packaging/package.sh --out DIR              elsewhere
#   packaging/package.sh --fast                 larger files in less time, for tests
#   packaging/package.sh --tools                installs cargo-deb where it is missing, and makes nothing
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binary=
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
out=target/package
fast=
tools_only=
while (($# > 0)); do
    case $1 in
        --binary) binary=$2; shift ;;
        --version) version=$2; shift ;;
        --out) out=$2; shift ;;
        --fast) fast=1 ;;
        --tools) tools_only=1 ;;
        *) echo "package.sh: unknown option $1" >&2; exit 64 ;;
    esac
    shift
done

readonly CARGO_DEB_VERSION=3.8.0
readonly TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/verge-ci/cargo-deb-$CARGO_DEB_VERSION

is_wanted_deb() {
    [[ $("$1" --version 2>/dev/null) == "cargo-deb $CARGO_DEB_VERSION" ]]
}

cargo_deb=$(command -v cargo-deb || true)
if [[ -z $cargo_deb ]] || ! is_wanted_deb "$cargo_deb"; then
    cargo_deb=$TOOLS/bin/cargo-deb
fi
if ! is_wanted_deb "$cargo_deb"; then
    # Not optimised: xz does the work.
    cargo install cargo-deb --version "$CARGO_DEB_VERSION" --locked --debug --force --root "$TOOLS"
fi
[[ -z $tools_only ]] || exit 0

arch=$(uname -m)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
# Modes of what is made here go into the packages.
umask 022

if [[ -z $binary ]]; then
    # Without the demo and the evaluation: no cabinet needs what draws their pictures.
    cargo build --locked --profile dist --no-default-features -p verge
    binary=target/dist/verge
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)

# cargo-deb's list in crates/verge/Cargo.toml names this folder.
tree=target/package/tree
rm -rf "$tree"
mkdir -p "$tree"/{bin,lib/verge,share/doc/verge/licences,share/man/man1} \
    "$tree"/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
install -m 755 "$binary" "$tree/bin/verge"
strip --strip-unneeded "$tree/bin/verge"
verge=$tree/bin/verge

# The pinned version, fetched as every user fetches it, and held against the same hashes.
XDG_CACHE_HOME=$PWD/target/package/cache "$verge" runtime install >/dev/null
runtime=$(echo target/package/cache/verge/runtime/*/)
install -m 644 "$runtime"/libonnxruntime.so.* "$tree/lib/verge/libonnxruntime.so"
for name in LICENSE ThirdPartyNotices.txt; do
    install -D -m 644 "$runtime/$name" "$tree/share/doc/verge/licences/onnxruntime/$name"
done
install -m 755 packaging/set-up "$tree/lib/verge/set-up"

documents=$tree/share/doc/verge
install -m 644 README.md CHANGELOG.md ARCHITECTURE.md "$documents"
cp -r docs configs examples certs "$documents"
rm -rf "$documents"/examples/junction_frames.rs
find "$documents" -name '*.key' -delete
python3 packaging/licences.py "$arch-unknown-linux-gnu" >"$documents/licences/LICENCES.txt"
install -m 644 LICENSE "$documents/licences/LICENSE"

"$verge" man "$tree/share/man/man1"
"$verge" completions bash >"$tree/share/bash-completion/completions/verge"
"$verge" completions zsh >"$tree/share/zsh/vendor-completions/_verge"
"$verge" completions fish >"$tree/share/fish/vendor_completions.d/verge.fish"
find "$tree" -type d -exec chmod 755 {} +
find "$tree" -type f -exec chmod u=rwX,go=rX {} +

"$cargo_deb" --no-build --no-strip --compress-system ${fast:+--fast -Z gz} \
    --package verge --deb-version "$version" --output "$out/"

# The archive: the same tree, what the service needs, and what installs it.
name=verge-$version-linux-$arch
folder=target/package/$name
rm -rf "$folder"
cp -r "$tree" "$folder"
mkdir "$folder/etc"
install -m 644 packaging/gateway.toml examples/systemd/verge.service "$folder/etc"
install -m 755 packaging/install.sh "$folder"
install -m 755 packaging/install.sh "$folder/lib/verge"
install -m 644 LICENSE "$folder"
touch "$folder/lib/verge/files"
(cd "$folder" && find bin lib share -type f | LC_ALL=C sort) >"$folder.files"
mv "$folder.files" "$folder/lib/verge/files"
tar --create --directory target/package --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    "$name" | zstd --quiet --force "-$([[ $fast ]] && echo 1 || echo 19)" -o "$out/$name.tar.zst"
rm -rf "$folder"

(cd "$out" && sha256sum "verge_${version}"*.deb "$name.tar.zst" | tee "verge-$version-SHA256SUMS")
