#!/usr/bin/env bash
# Everything it needs is in the environment. Its exit code is that of `lossatlas ci`; the report is
# shown whatever the verdict. A summary shows no images of the runner's, so the surface is drawn in
# characters there.
set -euo pipefail

report=${RUNNER_TEMP:?}/lossatlas-gate.md
rm -f "$report"

code=0
"$RUNNER_TEMP/lossatlas/bin/lossatlas" ci --text-map --markdown "$report" --outputs "$GITHUB_OUTPUT" ||
  code=$?
if [ -f "$report" ]; then
  cat "$report" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
