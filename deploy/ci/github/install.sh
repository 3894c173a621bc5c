#!/usr/bin/env bash
# Installs the client into an environment of its own: the job's packages stay as they are.
set -euo pipefail

environment=${RUNNER_TEMP:?}/lossatlas
client=${LOSSATLAS_CLIENT:-$GITHUB_ACTION_PATH/../../../openapi/client}

python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check -- "$client"
