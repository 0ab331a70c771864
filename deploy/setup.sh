# Sourced by ./run, ./test and make bench: makes .venv with pinned packages; quick when nothing has changed. POSIX shell, run in the root.

say() { printf '%s\n' "$*" >&2; }

as_root_install() {
    # $*: Debian packages. As root they are installed; otherwise they are named and the command ends.
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "missing: install the Debian packages $*, or what provides them, and start again"
        exit 1
    fi
    say "installing the Debian packages $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >&2
    apt-get install -q -y --no-install-recommends "$@" >&2
}

need_programs() {
    # $*: words command:package. Installs the Debian packages of those that are missing.
    missing=
    for pair; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
    done
    # shellcheck disable=SC2086  # a list of words
    [ -z "$missing" ] || as_root_install $missing
}

find_python() {
    # The first of the usual names that works and is of a version that pyproject.toml allows.
    for candidate in ${PYTHON:-} python3.11 /usr/bin/python3.11 python3.12 python3.13 python3 /usr/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "missing: Python 3.11, 3.12 or 3.13"
    exit 1
}

compiled_sources() {
    # What is compiled where there is a compiler, and is to be again when it changes.
    find proto resolver registry adapters -name '*.p[yx][xd]' | LC_ALL=C sort
}

set_up() {
    # $1: what to install, as pip names it ('.' or '.[dev]'). The stamp says what .venv holds; any change sets it up again.
    stamp=.venv/set-up
    # A compiler that came or went is a change, too.
    wanted="$1 $(pwd) $(command -v cc || :) $(cat pyproject.toml $(compiled_sources) | cksum)"
    if [ -x .venv/bin/python ] && [ -f "$stamp" ]; then
        # The developers' set holds the run-time set too.
        held=$(cat "$stamp")
        [ "$held" = "$wanted" ] || [ "$held" = ".[dev] ${wanted#* }" ] && .venv/bin/python -c '' 2>/dev/null && return
    fi
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        as_root_install python3-venv
    fi
    say "setting up .venv with $("$python" --version)"
    rm -f "$stamp"
    [ -x .venv/bin/pip ] && .venv/bin/python -c '' 2>/dev/null || { rm -rf .venv && "$python" -m venv .venv; }
    .venv/bin/python -m pip install -q --disable-pip-version-check --root-user-action=ignore -e "$1" >&2
    .venv/bin/python -m compileall -q proto resolver registry adapters node
    printf '%s\n' "$wanted" >"$stamp"
}
