#!/usr/bin/env bash
# On a spot machine: makes the file VMI_PREEMPTION_FILE once its provider says that it will take the machine back. Workers
# then write a checkpoint at once, and every few seconds from then on: preemption.sh aws|gcp [ADDRESS]
set -u
file="${VMI_PREEMPTION_FILE:?the file to make on a notice}"
rm -f "$file"
case "${1:-}" in
  aws)
    address="${2:-http://169.254.169.254}/latest"
    noticed() {
      local token
      token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$address/api/token") &&
        curl -sf -m 2 -o /dev/null -H "X-aws-ec2-metadata-token: $token" "$address/meta-data/spot/instance-action"
    }
    ;;
  gcp)
    address="${2:-http://metadata.google.internal}/computeMetadata/v1/instance/preempted"
    noticed() { curl -sf -m 2 -H 'Metadata-Flavor: Google' "$address" | grep -q TRUE; }
    ;;
  *) echo "usage: preemption.sh aws|gcp [ADDRESS]" >&2; exit 2 ;;
esac
until noticed; do sleep "${VMI_PREEMPTION_SECONDS:-5}"; done
touch "$file"
