#!/usr/bin/env bash
# The same with kcat and jq, from the oldest record to the newest: bash read_kcat.sh [host:port]
set -o pipefail
kcat -b "${1:-127.0.0.1:19092}" -C -t articles.scored -o beginning -e -q |
  jq -r 'select(.filters.uplifting.tier | IN("medium", "high")) | "\(.filters.uplifting.weighted)  \(.title)"'
