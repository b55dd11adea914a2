"""The environment variables that are read, and what each does. Standard library only.

Variables that only obstore, boto3, Ray or W&B read are theirs to document. `tests/docs` holds this list to the code.
"""

from __future__ import annotations

from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {
    "VMI_DATA_DIR": "folder of the data sets, in torchvision's layout; default: `~/.cache/vmi-sweeps`",
    "VMI_CHECKPOINT_SECONDS": "seconds between two checkpoints of a pack, 0 to 1000000; default: 30, and more where "
    "writing takes more than 2 % of the time",
    "VMI_PREEMPTION_FILE": "a file that appears when the node is about to go: checkpoints come at once, then every 5 s",
    "SLURM_JOB_END_TIME": "the end of the Slurm job in seconds since 1970, set by Slurm: a run ends a minute before",
    "VMI_CUDA_GRAPH": "`0`: launch each step on a GPU instead of replaying a captured one",
    "WANDB_MODE": "`offline` (default), `online` or `disabled`; without a key `online` becomes `offline`, with a note",
    "WANDB_API_KEY": "the key for `online`; `wandb login` or netrc keep one as well",
    "WANDB_IDENTITY_TOKEN_FILE": "a token's file in place of a key",
    "WANDB_BASE_URL": "the W&B server; default: the public one",
    "WANDB_CONFIG_DIR": "W&B's settings; replaced by the run's temporary folder where it cannot be written",
    "WANDB_CACHE_DIR": "W&B's cache; as `WANDB_CONFIG_DIR`",
    "WANDB_DATA_DIR": "W&B's staging folder; as `WANDB_CONFIG_DIR`",
    "RAY_ADDRESS": "the cluster, where `--address` names none",
    "RAY_TMPDIR": "parent of the run's temporary folder; default: `TMPDIR`",
    "RAY_AUTH_TOKEN": "Ray's token; default: `~/.ray/auth_token`, made for a cluster of one run",
    "RAY_AUTH_TOKEN_PATH": "the file of Ray's token",
    "RAY_USE_TLS": "as Ray has it; the check of a head before `vmi submit` heeds it",
    "CUDA_VISIBLE_DEVICES": "the GPUs to use; empty: none",
    "MKL_CBWR": "MKL's mode; `import vmi` sets `AUTO,STRICT` where it is unset, so that a trial is bitwise the same in "
    "a pack of any size",
    "AWS_ENDPOINT_URL_S3": "an S3 store that is not AWS; else `AWS_ENDPOINT_URL`, or the profile's. Keys and roles are "
    "found as AWS's tools find them",
    "AWS_REGION": "the region of a bucket; else `AWS_DEFAULT_REGION`, or the profile's",
    "AWS_PROFILE": "the profile of `~/.aws`; one that asks for SSO, another role or a process needs boto3",
    "AWS_CA_BUNDLE": "certificates to trust beside the system's, for any object store",
    "GOOGLE_APPLICATION_CREDENTIALS": "the key file for `gs://`; else gcloud's login, or the machine's account",
    "STORAGE_EMULATOR_HOST": "an emulator in place of Google's store",
    "AZURE_STORAGE_ACCOUNT": "the account of `az://`; its key is in `AZURE_STORAGE_KEY`, a signature in "
    "`AZURE_STORAGE_SAS_TOKEN`, else a service principal, an identity of the machine or `az login`",
    "AZURE_STORAGE_CONNECTION_STRING": "account, key and endpoint in one",
    "NETRC": "the netrc file in which a W&B key is looked for",
    "TMPDIR": "parent of the temporary folder, where `RAY_TMPDIR` names none",
    "HOME": "your home folder: cache of data and k-means, W&B's settings, Ray's token",
}
