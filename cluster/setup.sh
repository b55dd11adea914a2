#!/usr/bin/env bash
# Prepares one node: the environment that requirements.lock names (every file checked against its hash), this code,
# the folder that all nodes share, and the data sets. What is there already is left, so it may run again.
#
#   VMI_SETUP     folder with requirements.lock and dist/*.whl              (default: the folder of this script)
#   VMI_VENV      the environment to make                                   (default: ~/vmi-venv)
#   VMI_CODE      the code: a wheel, or git+URL@COMMIT with a whole commit  (default: the newest wheel in dist)
#   VMI_SHARED    what all nodes share, a folder or an NFS export (server:/path), which becomes ~/results; or an address
#                 in a bucket (s3://, gs://, az://), which needs nothing here            (default: none)
#   VMI_DATA_DIR  folder of the data sets on this node                      (default: ~/.cache/vmi-sweeps)
#   VMI_DATASETS  data sets to fetch into it once, such as "mnist"          (default: none; digits need no fetching)
set -euo pipefail

setup=${VMI_SETUP:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}
venv=${VMI_VENV:-$HOME/vmi-venv}
data=${VMI_DATA_DIR:-$HOME/.cache/vmi-sweeps}
lock=$setup/requirements.lock

say() { echo "==> $(hostname): $*"; }
fail() { echo "error: $(hostname): $*" >&2; exit 2; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
uv() { VIRTUAL_ENV=$venv "$venv/bin/uv" --quiet "$@"; }

newest_python() {
  for python in python3.13 python3.12 python3.11 python3; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$python"; return; fi
  done
  fail "no Python 3.11 or newer: choose an image that has one"
}

make_venv() {
  if [ -x "$venv/bin/python" ]; then return; fi
  local python
  python=$(newest_python)
  # Debian and Ubuntu ship venv apart.
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    root apt-get update -qq
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$(basename "$python")-venv" >/dev/null
  fi
  "$python" -m venv "$venv"
}

# The stamp holds the lock's own hash: a node that has the environment already installs nothing.
install_locked() {
  local wanted
  wanted=$(sha256sum <"$lock")
  if [ "$(cat "$venv/.lock" 2>/dev/null)" = "$wanted" ]; then say "the locked environment is there"; return; fi
  say "installing the locked environment (once per node)"
  if [ ! -x "$venv/bin/uv" ]; then
    # The installer comes from the same lock, by its hash.
    awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' "$lock" >"$venv/uv.txt"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$venv/uv.txt"
  fi
  uv pip sync --require-hashes "$lock"
  echo "$wanted" >"$venv/.lock"
}

install_code() {
  local code=${VMI_CODE:-}
  if [ -z "$code" ]; then code=$(find "$setup/dist" -name '*.whl' -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-); fi
  case $code in
    git+*) [[ $code =~ @[0-9a-f]{40}$ ]] || fail "VMI_CODE=$code: name a whole commit, git+URL@COMMIT" ;;
    *) [ -f "$code" ] || fail "no wheel in $setup/dist: make one with 'make wheel' before 'ray up'" ;;
  esac
  uv pip install --no-deps --no-build-isolation --reinstall-package vmi-sweeps "$code"
  say "code: $(basename "$code")"
}

share_results() {
  local shared=${VMI_SHARED:-} results=$HOME/results
  if [ -z "$shared" ]; then return; fi
  if [[ $shared == *://* ]]; then say "results: $shared"; return; fi
  if [[ $shared == *:/* ]]; then
    mkdir -p "$results"
    if ! mountpoint -q "$results"; then
      command -v mount.nfs4 >/dev/null || {
        root apt-get update -qq
        root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nfs-common >/dev/null
      }
      root mount -t nfs4 -o rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport "$shared" "$results"
      [ -w "$results" ] || root chown "$(id -u):$(id -g)" "$results"
    fi
  else
    [ -d "$shared" ] || fail "VMI_SHARED=$shared is no folder on this node"
    if [ -e "$results" ] && [ ! -L "$results" ]; then fail "$results is in the way of the link to $shared"; fi
    ln -sfn "$shared" "$results"
  fi
  say "results: $results on $shared"
}

fetch_data() {
  local name
  mkdir -p "$data"
  for name in ${VMI_DATASETS:-}; do
    say "data set $name in $data"
    VMI_DATA_DIR=$data "$venv/bin/python" -c 'import sys; from vmi.data.dataset import load; load(sys.argv[1])' "$name"
  done
}

# Whoever has the token may run code on the cluster.
guard_token() {
  if [ -f "$HOME/.ray/auth_token" ]; then chmod 700 "$HOME/.ray"; chmod 600 "$HOME/.ray/auth_token"; fi
}

# What every shell on this node needs, of which `ray submit` uses one. RAY_ADDRESS: the cluster, never a new local one.
write_profile() {
  {
    echo "export PATH=\"$venv/bin:\$PATH\""
    echo "export RAY_AUTH_MODE=token RAY_ADDRESS=auto RAY_USAGE_STATS_ENABLED=0"
    echo "export VMI_DATA_DIR=\"$data\""
  } >"$HOME/.vmi-env"
  touch "$HOME/.bashrc"
  # shellcheck disable=SC2016  # the shell that reads it expands it
  grep -q vmi-env "$HOME/.bashrc" || echo '. "$HOME/.vmi-env"' >>"$HOME/.bashrc"
}

guard_token
make_venv
install_locked
install_code
share_results
fetch_data
write_profile
say "ready"
