"""One thread everywhere: the bitwise promises are made for one thread per worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings
from support.owned import Owner

if TYPE_CHECKING:
    from support.lab import Lab
    from support.spoiling_proxy import Faulty

    from tests.analysis.browsing import Browser
    from vmi.results.store import Store
    from vmi.storage.paths import ObjectPath

# A timing says nothing on a shared machine; the seed is fixed, so that a red run can be run again.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")
torch.set_num_threads(1)
# A test session in the background ignores Ctrl-C, and so would every run that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The files that take longest, which a test run begins with: else one process is at them when the other is done.
LONGEST = (
    "driver/test_run_study.py", "training/test_one_device.py", "mirror/test_live_runs.py", "worker/test_work.py",
    "driver/test_online_runs.py", "analysis/test_report.py", "analysis/html/test_browser.py", "mirror/test_mirror.py",
    "driver/test_budget_ray.py", "api/test_run.py", "driver/test_growth_in_flight.py", "driver/test_growth.py",
    "analysis/html/test_explorer.py", "test_packaging.py", "driver/test_stopping.py", "driver/test_restarts.py",
    "cost/test_footprint.py", "driver/test_retry_failed.py", "analysis/html/test_hostile.py", "driver/test_own_data.py",
)  # fmt: skip


# Beyond the limit of pyproject.toml: the longest of these on a machine that is ten times slower than ours.
SECONDS = {"slow": 3600, "cluster": 3600, "faults": 3600, "soak": 6 * 3600}


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Owner(config), "owner")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--no-loadscope-reorder` files are handed out in this order; `--random-order` shuffles them afterwards."""
    for item in items:
        if limits := [seconds for name, seconds in SECONDS.items() if item.get_closest_marker(name)]:
            item.add_marker(pytest.mark.timeout(max(limits)), append=False)
    rank = {str(Path(__file__).parent / name): i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(str(item.path), len(rank)))


@pytest.fixture(autouse=True)
def fresh_torch() -> Iterator[None]:
    """Each test draws the same numbers, in whatever order tests run.

    Training in this process flushes denormals for good, and Hypothesis refuses to draw floats after that.
    """
    torch.manual_seed(0)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with MNIST and FashionMNIST; tests that need it are skipped by name where there is none."""
    folder = os.environ.get("VMI_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs VMI_DATA_DIR: a folder with MNIST and FashionMNIST in torchvision's layout")
    return Path(folder)


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    """It leaves the page with the test: one that loads itself again and again would go on with it for the session."""
    yield opened
    opened.leave()


@pytest.fixture(scope="session")
def opened() -> Iterator[Browser]:
    """One Chromium for all tests of a page, as two in a process are one too many; skipped by name without one."""
    from tests.analysis.browsing import CHROMIUM, chromium

    pytest.importorskip("playwright.sync_api", reason="no playwright: the page is not tried in a browser")
    if CHROMIUM is None:
        pytest.skip("no Chromium: the page is not tried in a browser")
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def lab() -> Lab:
    from support.lab import Lab

    return Lab()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    from vmi.results.store import Store

    return Store(tmp_path / "results", "lambda")


@pytest.fixture(scope="module", params=["s3", "gs", "az"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Faulty]:
    """A server of an object store of each cloud, behind a proxy that can spoil each request."""
    from support.object_servers import faulty_server

    with faulty_server(request.param) as running:
        yield running


@pytest.fixture
def root(proxy: Faulty, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectPath]:
    """Results in a bucket of their own; what fails is tried again at once."""
    from support.object_servers import new_bucket

    from vmi.storage import bucket  # loads obstore

    monkeypatch.setattr(bucket, "FIRST_WAIT", 0.005)
    yield new_bucket(proxy)
    proxy.arm()
    proxy.ignores_conditions = proxy.hides_checksums = False
    proxy.server.page = 1000
