#!/usr/bin/env bash
# One study on the nodes of a Slurm job: sbatch cluster/slurm.sh sweeps/lambda.py [ARGUMENTS OF THE STUDY]
# Once before: make wheel && mkdir -p ~/vmi-setup && cp -r requirements.lock dist cluster/setup.sh ~/vmi-setup/ &&
# bash ~/vmi-setup/setup.sh, on a node that sees the same home. The folder that sbatch is called in must be on storage
# that all nodes share: results/ is made there.
#SBATCH --job-name=vmi
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --output=vmi-%j.log
#SBATCH --signal=B:USR1@60
set -euo pipefail

if [ $# -eq 0 ]; then echo "usage: sbatch cluster/slurm.sh STUDY.py [ARGUMENTS]" >&2; exit 2; fi
# shellcheck disable=SC1090  # written by setup.sh
. "${VMI_PROFILE:-$HOME/.vmi-env}"
# symmetric-run starts a cluster of this job alone, so none is to be looked for.
unset RAY_ADDRESS

# A token of this job's own, in a file that only its owner reads and that goes with the job.
token=$(umask 077 && mktemp "$PWD/.vmi-token-XXXXXX")
driver="$token.pid"
trap 'rm -f "$token" "$driver"' EXIT
# A minute before the job's time is over Slurm warns this script alone: the study writes checkpoints and ends with code 4.
trap 'kill -USR1 "$(cat "$driver")" 2>/dev/null || true' USR1
# scancel: the same, with code 143.
trap 'kill -TERM "$(cat "$driver")" 2>/dev/null || true' TERM
python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$token"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$token"

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --all-ip-addresses | cut -d' ' -f1)
# Jobs of several users may share a node: a port by the job's number.
port=$((20000 + SLURM_JOB_ID % 20000))

# shellcheck disable=SC2016  # the shell that becomes the driver expands it
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
  ray symmetric-run --address "$address:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --dashboard-host=127.0.0.1 --disable-usage-stats \
  -- bash -c 'echo $$ >"$0"; exec python "$@"' "$driver" "$@" &
job=$! code=0
# A trap cuts a wait short.
while kill -0 "$job" 2>/dev/null; do wait "$job" && code=0 || code=$?; done
exit "$code"
