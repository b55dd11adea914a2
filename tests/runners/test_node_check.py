"""The probe of a cluster's nodes: what a node does not see is named with the node, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.owned import short_folder

from vmi.runners import node_check
from vmi.runners.node_check import Needs, check_nodes, look, needs_of
from vmi.spec.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_check, "PATIENCE_SECONDS", 0.3)


@pytest.fixture
def needs(tmp_path: Path) -> Needs:
    return needs_of(tmp_path / "deep" / "results", ["digits"])


def nodes(**seen: Callable[[Needs, str], Any]) -> node_check.Everywhere:
    """Nodes by name, each with what it sees in place of what is there."""

    def everywhere(function: Any, needs: Needs, mark: str) -> Iterable[tuple[str, Any]]:
        assert function is look
        return [(name, see(needs, mark)) for name, see in seen.items()]

    return everywhere


def elsewhere(needs: Needs, mark: str) -> node_check.Seen:
    """A node with a disk of its own in place of the shared folder."""
    return look(needs, mark.replace("deep", "own"))


def test_nodes_that_see_everything_pass_and_nothing_is_left(needs: Needs, tmp_path: Path) -> None:
    check_nodes(needs, nodes(a=look, b=look))
    assert list(tmp_path.iterdir()) == []


def test_results_that_exist_are_left_as_they_are(needs: Needs, tmp_path: Path) -> None:
    Path(needs.results).mkdir(parents=True)
    (Path(needs.results) / "study").write_text("kept")
    check_nodes(needs, nodes(a=look))
    assert [path.name for path in Path(needs.results).iterdir()] == ["study"]


def test_every_node_that_does_not_see_the_results_is_named(needs: Needs, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        check_nodes(needs, nodes(a=look, b=elsewhere, c=elsewhere))
    assert [problem.field for problem in error.value.problems] == ["--results", "--results"]
    assert "b does not see it" in str(error.value) and "c does not see it" in str(error.value)
    assert str(needs.results) in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_node_that_cannot_write_is_named(needs: Needs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    def read_only(needs: Needs, mark: str) -> node_check.Seen:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", refused)
            return look(needs, mark)

    with pytest.raises(InputError, match="b cannot write to it: Read-only file system"):
        check_nodes(needs, nodes(b=read_only))


def test_a_node_whose_files_are_not_seen_here_is_named(needs: Needs) -> None:
    with pytest.raises(InputError, match="what b writes is not seen here"):
        check_nodes(needs, nodes(b=lambda *_: node_check.Seen((), "/nowhere/answer")))


def test_a_node_that_answers_with_an_error_is_named_with_it(needs: Needs) -> None:
    missing = ModuleNotFoundError("long story\nNo module named 'vmi'")
    with pytest.raises(InputError, match=r"node = 'b': a node that answers and runs this code .No module named 'vmi'"):
        check_nodes(needs, nodes(b=lambda *_: missing))


def test_other_code_and_other_data_are_named(needs: Needs) -> None:
    other = needs._replace(code="0" * 16, data={"/nowhere/MNIST/raw/t10k": 3})
    with pytest.raises(InputError) as error:
        check_nodes(other, nodes(b=look))
    assert [problem.field for problem in error.value.problems] == ["vmi", "VMI_DATA_DIR"]
    assert "b has other code" in str(error.value) and "b lacks t10k" in str(error.value)


def test_a_data_set_s_files_are_needed_with_their_sizes(data_folder: Path, tmp_path: Path) -> None:
    needs = needs_of(tmp_path, ["digits", "mnist"])
    assert len(needs.data) == 4 and all(Path(path).stat().st_size == size for path, size in needs.data.items())


def test_what_appears_a_moment_later_counts(tmp_path: Path) -> None:
    timer = threading.Timer(0.1, (tmp_path / "late").write_text, ["x"])
    timer.start()
    assert node_check._appears(tmp_path / "late", "x")
    timer.join()


TWO_NODES = """
import sys
from pathlib import Path
from ray.cluster_utils import Cluster
from vmi.spec.errors import InputError
from vmi.runners.node_check import needs_of
from vmi.runners.tune import TuneRunner

small = {"num_cpus": 1, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args=small)
cluster.add_node(**small)
needs = needs_of(Path(sys.argv[1]) / "results", ["digits"])
runner = TuneRunner(cluster.address, 0.0, needs)
print("workers", runner.workers())
runner.close()
try:
    TuneRunner(cluster.address, 0.0, needs._replace(code="other")).workers()
except InputError as error:
    print(error)
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """What a driver of a real cluster with two nodes says, where all is well and where no node has its code."""
    folder = tmp_path_factory.mktemp("nodes")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    own = str(short_folder())  # Ray leaves its logs and its agents' folders there
    done = subprocess.run(
        [sys.executable, "-c", TWO_NODES, str(folder)], env={**clean, "RAY_TMPDIR": own, "TMPDIR": own},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    yield done.stdout, folder


@pytest.mark.slow
def test_ray_asks_each_of_its_nodes(two_nodes: tuple[str, Path]) -> None:
    said, folder = two_nodes
    assert "workers 2" in said and "cluster: 2 problems" in said and said.count("has other code") == 2
    assert list(folder.iterdir()) == []
