#!/usr/bin/env bash
# Installs the client into an environment of its own: the job's packages stay as they are. What the
# client needs is held to the hashes of the lock; so is the client, where it is given with its hash.
set -euo pipefail

environment=${RUNNER_TEMP:?}/lossatlas
repository=$GITHUB_ACTION_PATH/../../..
client=${LOSSATLAS_CLIENT:-$repository/openapi/client}

python3 -m venv "$environment"
pip() {
  "$environment/bin/python" -m pip --disable-pip-version-check install --quiet "$@"
}

pip --require-hashes -r "$repository/deploy/locks/client.txt"
case $client in
*--hash=*)
  printf '%s\n' "$client" >"$environment/client.txt"
  pip --no-deps --require-hashes -r "$environment/client.txt"
  ;;
*) pip --no-deps --no-build-isolation -- "$client" ;;
esac
