#!/bin/sh
# Installs Verge from this folder, or removes it, and says each step.
set -eu

usage() {
    cat <<'END'
Usage: ./install.sh [--prefix DIR] [--no-service] [--dry-run]
       ./install.sh --uninstall [--prefix DIR] [--dry-run]      (also as PREFIX/lib/verge/install.sh)

Installs the program, ONNX Runtime, documents, man pages and completions below DIR (default: /usr/local). As root and
without --no-service also what the service needs: the user verge, the folders /etc/verge and /var/lib/verge, a first
/etc/verge/gateway.toml unless there is one, and /etc/systemd/system/verge.service, neither enabled nor started.
Run again with a newer version it upgrades; a running service keeps the old version until it is restarted.

  --prefix DIR   where programs are installed
  --no-service   program and documents only
  --dry-run      say what would be done, and do nothing
  --uninstall    remove what was installed; configuration, keys, state and user stay
END
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

run() {
    echo "  $*"
    [ -n "$dry" ] || "$@"
}

UNIT=/etc/systemd/system/verge.service
here=$(cd "$(dirname "$0")" && pwd)
# Beside the archive's folders, or where an installation has put it.
unpacked=
[ ! -f "$here/lib/verge/files" ] || unpacked=1
prefix=/usr/local
[ -n "$unpacked" ] || prefix=$(cd "$here/../.." && pwd)
service=yes
dry=
action=install
while [ $# -gt 0 ]; do
    case "$1" in
        --prefix) [ $# -gt 1 ] || fail "--prefix: a folder is missing"; prefix=$2; shift ;;
        --prefix=*) prefix=${1#--prefix=} ;;
        --no-service) service=no ;;
        --dry-run) dry=1 ;;
        --uninstall) action=uninstall ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; fail "unknown option $1" ;;
    esac
    shift
done

# Removes what a manifest lists and then the folders that are empty.
remove_listed() {
    while read -r file; do
        [ ! -e "$1/$file" ] || run rm "$1/$file"
    done <"$2"
    sed 's,/[^/]*$,,' "$2" | sort -ru | while read -r folder; do
        case "$folder" in
            *verge*) [ -n "$dry" ] || rmdir "$1/$folder" 2>/dev/null || true ;;
        esac
    done
}

systemd_runs() {
    [ -d /run/systemd/system ]
}

case "$prefix" in
    /*) prefix=${prefix%/} ;;
    *) fail "--prefix $prefix: an absolute path is expected" ;;
esac

if [ "$action" = uninstall ]; then
    manifest=$prefix/lib/verge/files
    [ -f "$manifest" ] || fail "nothing is installed below $prefix ($manifest is missing); --prefix names another place"
    echo "Removing Verge from $prefix"
    if [ -f "$UNIT" ] && grep -q "^ExecStart=$prefix/bin/verge " "$UNIT"; then
        if systemd_runs; then
            run systemctl disable --now verge.service
        fi
        run rm "$UNIT"
        if systemd_runs; then
            run systemctl daemon-reload
        fi
    fi
    list=$(mktemp)
    cp "$manifest" "$list"
    remove_listed "$prefix" "$list"
    rm "$list"
    echo "Kept, where they are: /etc/verge (configuration, keys), /var/lib/verge (verdicts), the user verge."
    exit 0
fi

[ -n "$unpacked" ] || fail "installs from the unpacked archive only; this copy serves --uninstall"
if [ "$service" = yes ] && [ "$(id -u)" != 0 ]; then
    service=no
    echo "Not root: the program alone is installed, without user, folders and service."
fi
if [ "$service" = yes ] && [ -e /lib/systemd/system/verge.service ]; then
    fail "the Debian package verge is installed: remove it first, or use --no-service"
fi

echo "Installing Verge below $prefix"
old=$prefix/lib/verge/files
if [ -f "$old" ]; then
    # What an older version had and this one has not.
    gone=$(mktemp)
    grep -vxF -f "$here/lib/verge/files" "$old" >"$gone" || true
    remove_listed "$prefix" "$gone"
    rm "$gone"
fi
while read -r file; do
    mode=644
    [ ! -x "$here/$file" ] || mode=755
    # The old file is replaced, not written into: a gateway that runs is not disturbed.
    run install -D -m "$mode" "$here/$file" "$prefix/$file"
done <"$here/lib/verge/files"

if [ "$service" = yes ]; then
    echo "Setting up the service"
    if [ -e /etc/verge/gateway.toml ]; then
        echo "  (kept: /etc/verge/gateway.toml)"
    else
        run install -D -m 640 "$here/etc/gateway.toml" /etc/verge/gateway.toml
    fi
    if [ -n "$dry" ]; then
        "$here/lib/verge/set-up" --dry-run
    else
        "$prefix/lib/verge/set-up"
    fi
    echo "  write $UNIT for $prefix/bin/verge"
    if [ -z "$dry" ]; then
        mkdir -p "${UNIT%/*}"
        sed "s,/usr/bin/verge,$prefix/bin/verge,; s,/usr/share/doc,$prefix/share/doc," \
            "$here/etc/verge.service" >"$UNIT"
    fi
    if systemd_runs; then
        run systemctl daemon-reload
    fi
    echo "Installed, not started. Edit /etc/verge/gateway.toml, then:"
    echo "  sudo -u verge $prefix/bin/verge check -c /etc/verge/gateway.toml"
    echo "  sudo systemctl enable --now verge      (after an upgrade: sudo systemctl restart verge)"
fi
echo "To remove it: $prefix/lib/verge/install.sh --uninstall"
