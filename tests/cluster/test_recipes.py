"""The recipes in cluster/, as far as they can be checked without a cloud: by Ray's own configuration check for the
cluster launcher, by hand for the RayJob, by shell and shellcheck for the scripts; and what none of them may do.

Not checked here: whether a cloud knows the machines, images and fields of `node_config`; the RayJob's pod templates,
beyond their containers' mounts; whether KubeRay's operator takes the RayJob.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.gcp.config import DEFAULT_SERVICE_ACCOUNT_ID, SERVICE_ACCOUNT_EMAIL_TEMPLATE
from ray.autoscaler._private.util import prepare_config, validate_config

from vmi.cli.recipes import places_in
from vmi.cli.submit import CONFIG_MAP, RESULTS_MOUNT, STUDY_MOUNT

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "cluster"
LAUNCHER = ("aws", "gcp", "onprem")
SCRIPTS = sorted(FOLDER.glob("*.sh"))
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.iterdir()) if path.is_file()}
# Fields of KubeRay 1.5.1's Go types (RayJobSpec, RayClusterSpec, HeadGroupSpec, WorkerGroupSpec) that a recipe may use.
JOB = {"entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit",
       "rayClusterSpec", "activeDeadlineSeconds", "submitterPodTemplate", "runtimeEnvYAML"}  # fmt: skip
CLUSTER = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling"}
HEAD = {"serviceType", "rayStartParams", "template"}
WORKERS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def loaded(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(TEXTS[f"{name}.yaml"])
    return config


@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_s_own_check_accepts_the_recipe(name: str) -> None:
    validate_config(prepare_config(loaded(name)))


@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_s_own_check_would_find_a_field_that_is_wrong(name: str) -> None:
    with pytest.raises(Exception, match="worker_count"):
        validate_config(prepare_config(loaded(name) | {"worker_count": 2}))


@pytest.mark.parametrize("name", LAUNCHER)
def test_a_recipe_asks_for_the_token_and_keeps_the_dashboard_on_loopback(name: str) -> None:
    config = loaded(name)
    for kind in ("head", "worker"):
        stop, start = config[f"{kind}_start_ray_commands"]
        assert stop == "ray stop"
        assert "RAY_AUTH_MODE=token" in start and "--disable-usage-stats" in start
        assert start.count("ray start") == 1 and start.index("RAY_AUTH_MODE=token") < start.index("ray start")
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][1]
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_place_is_set_up_by_the_one_script_from_the_lock_and_the_wheel(name: str) -> None:
    config = loaded(name)
    assert config["file_mounts"]["~/vmi-setup/requirements.lock"] == "requirements.lock"
    assert config["file_mounts"]["~/vmi-setup/setup.sh"] == "cluster/setup.sh"
    assert len(config["setup_commands"]) == 1 and config["setup_commands"][0].endswith("bash ~/vmi-setup/setup.sh")


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_cloud_workers_are_spot_and_the_head_is_not(name: str) -> None:
    types = loaded(name)["available_node_types"]
    market = {"aws": "InstanceMarketOptions", "gcp": "scheduling"}[name]
    assert market in types["worker"]["node_config"] and market not in types["head"]["node_config"]
    assert types["head"]["resources"]["CPU"] == 0


@pytest.mark.parametrize("name", TEXTS)
def test_no_recipe_opens_a_port_to_the_world(name: str) -> None:
    text = TEXTS[name]
    assert not re.search(r"0\.0\.0\.0/0|::/0|0\.0\.0\.0:|host[=: ]+[\"']?0\.0\.0\.0", text)
    assert not re.search(r"NodePort|LoadBalancer|kind: Ingress|IpPermissions|sourceRanges", text)
    for line in text.splitlines():
        opens = re.search(r"authorize-security-group-ingress|firewall-rules create", line)
        assert not (opens and re.search(r"\b(8265|6379|10001)\b", line)), line


@pytest.mark.parametrize("name", TEXTS)
def test_no_recipe_holds_a_secret(name: str) -> None:
    secret = r"AKIA[0-9A-Z]{16}|PRIVATE KEY|\b[0-9a-f]{40,}\b|RAY_AUTH_TOKEN=[^\"$]|(password|api_?key)\s*[=:]\s*\S"
    assert not re.search(secret, TEXTS[name], re.IGNORECASE)


def test_the_rayjob_uses_fields_that_kuberay_has() -> None:
    job = loaded("kuberay")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    for used, known in ((spec, JOB), (cluster, CLUSTER), (head, HEAD), *((group, WORKERS) for group in workers)):
        assert set(used) <= known
    assert cluster["authOptions"] == {"mode": "token"} and head["serviceType"] == "ClusterIP"
    for group in (head, *workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert group["rayStartParams"]["disable-usage-stats"] == "true"


def test_every_pod_mounts_the_study_where_submit_puts_it_and_the_shared_results() -> None:
    spec = loaded("kuberay")["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec["entrypoint"] == f"sh {STUDY_MOUNT}/command"
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["study"]["configMap"]["name"] == CONFIG_MAP
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(mounts.values()) == set(volumes) and {STUDY_MOUNT, RESULTS_MOUNT} <= set(mounts)


def test_the_rayjob_runs_the_ray_of_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    version = loaded("kuberay")["spec"]["rayClusterSpec"]["rayVersion"]
    assert re.search(rf"^ray=={re.escape(version)} ", lock, re.MULTILINE)


def test_slurm_starts_ray_with_a_token_of_the_job_s_own() -> None:
    text = TEXTS["slurm.sh"]
    assert "ray symmetric-run" in text and "--dashboard-host=127.0.0.1" in text and "--disable-usage-stats" in text
    assert "umask 077" in text and "RAY_AUTH_MODE=token" in text and "RAY_AUTH_TOKEN_PATH" in text


def test_the_folder_s_places_are_those_of_its_readme() -> None:
    names = [place.name for place in places_in(FOLDER)]
    assert names == ["aws", "gcp", "kuberay", "onprem", "slurm"]
    assert all(f"cluster/{place.path.name}" in TEXTS["README.md"] for place in places_in(FOLDER))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_sound(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    if not shutil.which("shellcheck"):
        pytest.skip("needs shellcheck")
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


class Node:
    """A home in which the environment is there already, and its installer writes down what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.home, self.setup = folder / "home", folder / "setup"
        venv = self.home / "vmi-venv"
        (venv / "bin").mkdir(parents=True)
        (self.setup / "dist").mkdir(parents=True)
        (self.setup / "dist" / "vmi_sweeps-1-py3-none-any.whl").write_text("")
        (self.setup / "requirements.lock").write_text("uv==1 \\\n    --hash=sha256:0\n")
        (venv / "bin" / "python").symlink_to(sys.executable)
        (venv / "bin" / "uv").write_text('#!/bin/sh\necho "$@" >>"$HOME/asked"\n')
        (venv / "bin" / "uv").chmod(0o755)
        stamp = subprocess.run(["sha256sum"], input=b"uv==1 \\\n    --hash=sha256:0\n", capture_output=True).stdout
        (venv / ".lock").write_bytes(stamp)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        mine = {"HOME": str(self.home), "PATH": os.environ["PATH"], "VMI_SETUP": str(self.setup)}
        command = ["bash", str(FOLDER / "setup.sh")]
        return subprocess.run(command, env=mine | environment, capture_output=True, text=True)


def test_setup_runs_again_and_again_with_the_same_result(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.home / ".ray").mkdir()
    (node.home / ".ray" / "auth_token").write_text("t")
    (tmp_path / "shared").mkdir()
    for _ in range(2):
        done = node.run(VMI_SHARED=str(tmp_path / "shared"))
        assert done.returncode == 0, done.stderr
    assert (node.home / "results").readlink() == tmp_path / "shared"
    assert (node.home / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    assert (node.home / ".bashrc").read_text().count("vmi-env") == 1
    assert "RAY_AUTH_MODE=token RAY_ADDRESS=auto" in (node.home / ".vmi-env").read_text()
    asked = (node.home / "asked").read_text().splitlines()
    assert len(asked) == 2 and "--no-deps" in asked[0] and asked[0].endswith("vmi_sweeps-1-py3-none-any.whl")


def test_a_bucket_for_the_results_needs_nothing_on_a_node(tmp_path: Path) -> None:
    node = Node(tmp_path)
    done = node.run(VMI_SHARED="gs://bucket/results")
    assert done.returncode == 0 and "results: gs://bucket/results" in done.stdout
    assert not (node.home / "results").exists()


@pytest.mark.parametrize(("name", "scheme"), [("aws", "s3"), ("gcp", "gs")])
def test_a_cloud_s_recipe_keeps_results_in_its_bucket_and_every_node_has_an_account_that_may(
    name: str, scheme: str
) -> None:
    (place,) = (place for place in places_in(FOLDER) if place.name == name)
    assert place.bucket == f"{scheme}://REPLACE-bucket/results"
    types = loaded(name)["available_node_types"]
    if name == "aws":
        assert all("IamInstanceProfile" in each["node_config"] for each in types.values())
    else:  # Ray gives its own account to the head alone
        (account,) = types["worker"]["node_config"]["serviceAccounts"]
        made = SERVICE_ACCOUNT_EMAIL_TEMPLATE.format(
            account_id=DEFAULT_SERVICE_ACCOUNT_ID, project_id="REPLACE-project"
        )
        assert account["email"] == made and account["scopes"][0].endswith("/auth/cloud-platform")


def test_setup_installs_a_changed_lock_with_its_hashes(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.setup / "requirements.lock").write_text("uv==2 \\\n    --hash=sha256:0\n")
    assert node.run().returncode == 0
    assert "pip sync --require-hashes" in (node.home / "asked").read_text()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"VMI_CODE": "git+https://host/code@main"}, "name a whole commit"),
        ({"VMI_CODE": "/nowhere/x.whl"}, "make one with 'make wheel'"),
        ({"VMI_SHARED": "/nowhere"}, "VMI_SHARED=/nowhere is no folder on this node"),
    ],
)
def test_setup_names_what_is_wrong(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    done = Node(tmp_path).run(**environment)
    assert done.returncode == 2 and said in done.stderr
