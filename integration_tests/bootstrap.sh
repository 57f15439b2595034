#!/usr/bin/env bash
# Installs what is missing on a Debian machine, then runs the project's checks or its demonstration.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: [sudo] integration_tests/bootstrap.sh COMMAND

  install            Debian packages, virtual environments, this project
  test [PYTEST...]   install, then linters, types, import rules and all tests (a choice with PYTEST...)
  long               install, then every script, the whole crash matrix, a 5-minute soak and the
                     defects that scripts must catch; about an hour. It alone also installs
                     debootstrap and systemd-container, to boot a Debian with the units
  demo [ARGS...]     install, then back up and restore a loopback Btrfs through an embedded S3
  bench ARGS...      install, then python -m integration_tests.bench ARGS
  run ARGS...        install, then python ARGS
  shell              install, then a shell with the environment on its PATH

Everything generated lies under integration_tests/run (or HARNESS_RUN_DIR). Without root, test
leaves out what needs it.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
run_dir=${HARNESS_RUN_DIR:-$root/integration_tests/run}
venv=$run_dir/venv
python=$venv/bin/python
# Debian's su and cron leave these out, and the programs of btrfs-progs and util-linux lie there.
export PATH="$PATH:/usr/sbin:/sbin"
export PYTHONPATH="${PYTHONPATH:-$root}"
export PIP_DISABLE_PIP_VERSION_CHECK=1
child=""

say() { printf '\n== %s ==\n' "$*"; }

fail() {
    printf 'bootstrap.sh: %s\n' "$*" >&2
    exit 1
}

is_root() { [[ $EUID -eq 0 ]]; }

retry() { # up to three times: registries and mirrors have bad moments
    local attempt
    for attempt in 1 2 3; do
        "$@" && return
        [[ $attempt -eq 3 ]] || sleep $((attempt * 5))
    done
    return 1
}

# The first Python on PATH that is new enough, can make virtual environments, and can be reached by
# the user behind sudo.
find_python() {
    local candidate test='
import ensurepip, os, sys, venv
hidden = sys.base_prefix.startswith("/root/") and os.environ.get("SUDO_UID", "0") != "0"
sys.exit(hidden or sys.version_info < (3, 11))'
    for candidate in python3.11 python3.12 python3.13 python3 /usr/bin/python3; do
        if "$candidate" -c "$test" >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

missing_packages() { # optionally with "machine": also what boots one
    if [[ ${1:-} == machine ]]; then
        command -v debootstrap >/dev/null || echo debootstrap
        command -v systemd-nspawn >/dev/null || echo systemd-container
    fi
    find_python >/dev/null || printf '%s\n' python3 python3-venv
    command -v mkfs.btrfs >/dev/null || echo btrfs-progs
    command -v zstd >/dev/null || echo zstd
    command -v setpriv >/dev/null || echo util-linux
    command -v losetup >/dev/null || echo mount
    command -v strace >/dev/null || echo strace
    command -v sudo >/dev/null || echo sudo
    command -v nft >/dev/null || echo nftables
    command -v systemd-analyze >/dev/null || echo systemd
    command -v useradd >/dev/null || echo passwd
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
}

install_packages() { # as missing_packages
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! is_root; then
        echo "Missing Debian packages: ${missing[*]}; install them with: $(as_root install)"
        find_python >/dev/null || fail "nothing can run without Python 3.11 or later"
        return 0
    fi
    command -v apt-get >/dev/null || fail "no apt-get here; install by hand: ${missing[*]}"
    say "Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    local options=(-qq -o DPkg::Lock::Timeout=300)
    retry apt-get "${options[@]}" update
    retry apt-get "${options[@]}" install --yes --no-install-recommends "${missing[@]}"
}

# Makes or completes the environment; the mark is written last, so one cut short is made again.
install_project() {
    local base recipe mark=$venv/complete
    base=$(find_python)
    recipe=$({
        echo "$root"
        "$base" -c 'import sys; print(sys.version, sys.base_prefix)'
        cat pyproject.toml integration_tests/requirements.txt
    } | sha256sum)
    [[ $(cat "$mark" 2>/dev/null) != "$recipe" ]] || return 0
    say "Virtual environment in $venv"
    rm -f "$mark"
    "$base" -m venv --clear "$venv"
    retry "$python" -m pip install --quiet --editable '.[test]' \
        --requirement integration_tests/requirements.txt
    echo "$recipe" >"$mark"
}

install() { # optionally with the names of tools that have environments of their own
    install_packages
    mkdir -p "$run_dir"
    (
        flock 9
        install_project
    ) 9>"$run_dir/bootstrap.lock"
    [[ $# -eq 0 ]] || retry "$python" -m integration_tests.harness.services "$@" >/dev/null
    give_back
}

# What root made in a user's checkout goes to that user, who shall be able to work with it.
give_back() {
    local owner="${SUDO_UID:-0}:${SUDO_GID:-0}" path
    if ! is_root || [[ $owner == 0:* ]]; then
        return 0
    fi
    # What this script and its tools make; scratch filesystems in run/ keep their owners.
    for path in "$venv" "$run_dir"/{venvs,coverage} ./.{mypy,ruff,pytest,import_linter}_cache \
        .hypothesis; do
        [[ ! -e $path ]] || chown -hR "$owner" "$path"
    done
    find "$run_dir" -xdev -maxdepth 1 -uid 0 -exec chown -h "$owner" {} +
    find . -xdev -path ./integration_tests/run -prune -o -path '*/__pycache__*' -uid 0 \
        -exec chown -h "$owner" {} +
}

as_root() { echo "sudo ./integration_tests/bootstrap.sh $*"; }

# Runs a command so that it ends with this script: in a session of its own, where the terminal's
# ctrl-C does not reach it besides `interrupted`, which passes on exactly one.
supervise() {
    local status=0
    env --default-signal=INT,QUIT setsid setpriv --pdeathsig INT "$@" &
    child=$!
    wait "$child" || status=$?
    child=""
    return "$status"
}

interrupted() {
    trap '' INT TERM HUP
    if [[ -n $child ]]; then
        kill -INT "$child" 2>/dev/null || true
        for _ in {1..300}; do
            kill -0 "$child" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$child" 2>/dev/null || true
    fi
    exit 130
}

leave_nothing() {
    local status=$?
    trap - EXIT
    if is_root && [[ -x $python && -f integration_tests/harness/machine/state.py ]]; then
        "$python" - <<'PYTHON' || true
from integration_tests.harness.machine.state import sweep

for resource, reason in sweep().failed:
    print(f"left behind: {resource.kind.value} {resource.name}: {reason}")
PYTHON
    fi
    give_back
    exit "$status"
}

steps=()
failed=0
step() { # TITLE COMMAND...
    local title=$1 began=$SECONDS result=ok
    shift
    say "$title"
    supervise "$@" || {
        result=FAILED
        failed=1
    }
    steps+=("$title $result ($((SECONDS - began)) s)")
}

run_tests() {
    local options=(--numprocesses 2 --dist worksteal)
    if ! is_root; then
        [[ ${CI:-} != true ]] || fail "CI=true means that every test runs, and some need root"
        echo "Not root: tests that need a loopback Btrfs are left out. All of them: $(as_root test)"
        options+=(-m "not btrfs")
    fi
    if [[ $# -eq 0 ]]; then
        mkdir -p "$run_dir/coverage"
        export COVERAGE_FILE=$run_dir/coverage/data
        step "ruff check" "$python" -m ruff check .
        step "ruff format" "$python" -m ruff format --check .
        step "mypy" "$python" -m mypy
        step "import rules" "$venv/bin/lint-imports"
        options+=(--cov --cov-report=term)
    fi
    step "pytest" "$python" -m pytest "${options[@]}" "$@"
    printf '\n'
    printf '%s\n' "${steps[@]}"
    return "$failed"
}

run_long() {
    local scripts=integration_tests/scripts
    step "every script" "$python" "$scripts/run_all.py" \
        --include-large --include-archive --include-faults --include-systemd
    step "the whole crash matrix" "$python" "$scripts/run_faults.py" --crash-matrix --all-points
    step "soak" "$python" "$scripts/run_soak.py" --duration 5m --load wave
    step "defects" "$python" -m integration_tests.harness.defects
    printf '\n'
    printf '%s\n' "${steps[@]}"
    return "$failed"
}

command=${1:-help}
[[ $# -eq 0 ]] || shift
trap interrupted INT TERM HUP
[[ $command =~ ^(install|test|long|demo|bench|run|shell)$ ]] && trap leave_nothing EXIT
case $command in
install)
    install swift rclone mitmproxy
    echo "Installed: $python"
    ;;
test)
    install swift rclone mitmproxy
    run_tests "$@"
    ;;
long)
    is_root || fail "this needs root; run: $(as_root long)"
    install rclone mitmproxy
    install_packages machine
    run_long
    ;;
demo)
    is_root || fail "the demonstration makes a loopback Btrfs; run: $(as_root demo)"
    install
    supervise "$python" -m integration_tests.harness.demo "$@"
    ;;
bench)
    install rclone
    supervise "$python" -m integration_tests.bench "$@"
    ;;
run)
    install
    "$python" "$@" # not supervised: it may be a dialogue
    ;;
shell)
    install
    PATH="$venv/bin:$PATH" "${SHELL:-/bin/bash}" || true
    ;;
help | --help | -h) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
