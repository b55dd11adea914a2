"""Results in an object store of each cloud: the real client, a real server, and a proxy that spoils chosen requests.

What was acknowledged is readable and the same byte by byte; nothing is there twice; no object is ever partly there.
"""

from __future__ import annotations

import os
import queue
import random
import re
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.children import COMMIT, COMMIT_EACH, Child
from support.object_servers import CLOUDS, stored
from support.runs import until
from support.spoiling_proxy import FAULTS, RIVAL, Faulty

from vmi.results.parts import part_name
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.spec.errors import InputError, StoreError
from vmi.storage import bucket, clouds
from vmi.storage.durable import put_exclusive, put_new, put_over, put_replacing, remove_same
from vmi.storage.paths import ObjectPath, opened, path_of

# The quick suite takes the one that matters most; the others take their turn in `make faults`.
QUICK = ("lost",)
EVERY_FAULT = [f if f in QUICK else pytest.param(f, marks=pytest.mark.faults) for f in FAULTS]


def at_each_request(proxy: Faulty, fault: str, action: Callable[[int], None]) -> int:
    """Do it again and again, the n-th time with its n-th request spoilt; how many requests there were to spoil."""
    for number in range(200):
        proxy.arm(fault, number)
        action(number)
        if proxy.hit is None:
            return number
    raise AssertionError("no end of requests")


def assert_sound(found: dict[str, bytes]) -> None:
    """Every object is a whole part, under the name of its content."""
    names = [key.rpartition("/")[2] for key in found]
    assert all(re.fullmatch(r"part-[0-9a-f]{32}\.parquet", name) for name in names), names
    assert [part_name(data) for data in found.values()] == names


@pytest.mark.parametrize("fault", EVERY_FAULT)
@pytest.mark.parametrize("first", [True, False], ids=["first commit", "append"])
def test_one_request_that_fails_loses_and_doubles_nothing(lab, proxy, root, fault, first):
    earlier, trial = lab.trial(seed=0), lab.trial(seed=1)

    def commit(number):
        store = Store(root, f"study{number}")
        plan, proxy.plan = proxy.plan, lambda *_: ""
        if not first:
            lab.record(store, {earlier: lab.completed(earlier)})
        before = stored(proxy, store.folder)
        proxy.plan, proxy.log[:] = plan, []
        assert lab.record(store, {trial: lab.completed(trial)}) == [trial.trial_id]
        rows = store.finished()
        spoilt, proxy.plan = proxy.hit, lambda *_: ""
        after = {k: v for k, v in stored(proxy, store.folder).items() if k.startswith(f"{store.folder.key}/")}
        assert_sound(after)
        assert before.items() <= {**before, **after}.items() and len(after) == (3 if first else 6)
        assert set(rows) == ({trial.trial_id} if first else {earlier.trial_id, trial.trial_id})
        assert [store.read(table).table.num_rows for table in TABLES] == ([1, 3, 1] if first else [2, 6, 2])
        proxy.hit = spoilt

    requests = at_each_request(proxy, fault, commit)
    assert requests >= (5 if first else 6)  # three puts, then a list and a get of each part of `trials`


@pytest.mark.parametrize("fault", [pytest.param(f, marks=pytest.mark.faults) for f in FAULTS])
def test_a_store_that_stays_away_gives_a_named_error_and_the_same_commit_goes_through_later(
    lab, proxy, root, fault, monkeypatch
):
    monkeypatch.setattr(bucket, "PATIENCE_SECONDS", 0.05)
    trial = lab.trial()
    for number in range(3):
        store = Store(root, f"study{number}")
        recorder = lab.buffered(store, {trial: lab.completed(trial)})
        proxy.arm(fault, number, lasting=True)
        if fault in ("truncated", "flipped"):  # of an answer without a body: the put is acknowledged
            recorder.commit()
        else:
            with pytest.raises(OSError, match=rf"{root.scheme}://results-.*/part-"):
                recorder.commit()
        proxy.arm()
        assert recorder.commit().ids in ((trial.trial_id,), ())
        assert set(store.finished()) == {trial.trial_id}
        assert [store.read(table).table.num_rows for table in TABLES] == [1, 3, 1]
    assert_sound(stored(proxy, root))


@pytest.mark.faults
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("first", [True, False], ids=["first commit", "append"])
def test_a_kill_at_any_request_leaves_a_readable_store(lab, proxy, root, first, after):
    earlier, trial = lab.trial(seed=0), lab.trial(seed=1)
    for number in range(20):
        store = Store(root, f"study{number}")
        if not first:
            lab.record(store, {earlier: lab.completed(earlier)})
        before = store.finished()
        acknowledged, killed = killed_at(number, after, proxy, store, trial)
        found = store.finished()
        assert set(before) | set(acknowledged) <= set(found) <= set(before) | {trial.trial_id}
        assert all(found[trial_id] == row for trial_id, row in before.items())
        assert_sound(stored(proxy, store.folder))
        if not killed:
            break
        if trial.trial_id not in found:  # what a resume does
            lab.record(store, {trial: lab.completed(trial)}, store.next_attempt())
        assert len(store.read("trials").checked()) == len(before) + 1
    assert acknowledged == [trial.trial_id] and number == 3


def killed_at(number, after, proxy, store, trial):
    """Commit in a child that is killed at its n-th request: (acknowledged ids, was it killed)."""
    with Child(COMMIT, store.root, store.study, trial.config.seed, store.next_attempt()) as child:
        proxy.arm(*(() if after else ("drop", number)))  # else what was on its way would arrive after the death
        setattr(proxy, "after" if after else "before", lambda at: child.kill() if at == number else None)
        acknowledged = child.go().split()
        proxy.arm()
    return acknowledged, child.killed


@pytest.mark.faults
def test_of_a_crowd_of_writers_that_are_killed_through_a_bad_network_each_acknowledged_trial_is_there_once(
    lab, proxy, root
):
    store, chance = Store(root, "lambda"), random.Random(0)
    proxy.plan = lambda *_: chance.choice(FAULTS) if chance.random() < 0.1 else ""
    seeds, said, killed, living = iter(range(10**6)), queue.SimpleQueue[str](), 0, list[Child]()

    def listen(child):
        for line in child.process.stdout:
            said.put(line.strip())

    def writer():
        child = Child(COMMIT_EACH, root, "lambda", *(next(seeds) for _ in range(10))).__enter__()
        child.process.stdin.write("\n")
        child.process.stdin.flush()
        child.ear = threading.Thread(target=listen, args=(child,))
        child.ear.start()
        return child

    def ended(child):
        code = child.process.wait()
        child.ear.join()
        child.process.stdin.close()
        return code

    acknowledged = []
    while killed < 12:
        living += [writer() for _ in range(3 - len(living))]
        acknowledged.append(said.get())
        (victim := living.pop(chance.randrange(3))).process.kill()
        killed += ended(victim) == -signal.SIGKILL
    assert [ended(child) for child in living] == [0] * len(living)
    while not said.empty():
        acknowledged.append(said.get())
    proxy.arm()
    found = store.read("trials").checked()["trial_id"].to_pylist()
    tried = {lab.trial(seed=seed).trial_id for seed in range(next(seeds))}
    print(len(acknowledged), "acknowledged,", len(found), "there,", killed, "killed")
    assert len(acknowledged) >= killed and len(set(acknowledged)) == len(acknowledged)
    assert set(acknowledged) <= set(found) <= tried and len(set(found)) == len(found)
    assert_sound(stored(proxy, root))


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
def test_each_way_of_putting_holds_at_each_request(proxy, root, fault):
    def ways(number):
        folder = root / f"{number}"
        assert put_new(folder, "a", b"one" * 99) == put_new(folder, "a", b"one" * 99) == folder / "a"
        assert put_exclusive(folder, "b", b"mine") and not put_exclusive(folder, "b", b"mine")
        put_replacing(folder, "c", b"old")
        put_replacing(folder, "c", b"new" * 99)
        assert put_over(folder, "b", b"again" * 9, b"mine") and not put_over(folder, "b", b"third", b"mine")
        assert not put_over(folder, "absent", b"x", b"")
        read = {path.name: path.read_bytes() for path in folder.iterdir()}
        remove_same(folder, "c", b"old")
        remove_same(folder, "b", b"again" * 9)
        assert read == {"a": b"one" * 99, "b": b"again" * 9, "c": b"new" * 99}
        assert set(folder.times()) == {"a", "c"}
        for path in folder.iterdir():
            path.unlink()
        assert not folder.exists()

    assert at_each_request(proxy, fault, ways) > 20
    assert stored(proxy, root) == {}


def test_a_name_that_another_writer_took_is_not_ours(proxy, root):
    proxy.arm("race", 0)
    assert put_exclusive(root, "lock", b"mine") is False and (root / "lock").read_bytes() == RIVAL
    proxy.arm("race", 0)
    with pytest.raises(StoreError, match=r"part-1: damaged, kept as it is"):
        put_new(root, "part-1", b"mine")
    put_replacing(root, "driver", b"seen")
    proxy.arm("race", 1)  # between the look and the put
    assert put_over(root, "driver", b"mine", b"seen") is False and (root / "driver").read_bytes() == RIVAL


def test_a_put_that_was_done_though_its_answer_was_lost_is_known_again(proxy, root):
    for fault in ("lost", "500 after"):
        proxy.arm(fault, 0)
        assert put_exclusive(root, f"lock {fault}", b"mine") and [m for m, _ in proxy.log] == ["PUT", "PUT", "HEAD"]
        proxy.arm(fault, 1)
        assert put_over(root, f"lock {fault}", b"next", b"mine") and (root / f"lock {fault}").read_bytes() == b"next"
        proxy.arm(fault, 0)
        assert not put_exclusive(root, f"lock {fault}", b"next")


@pytest.mark.faults
def test_a_put_that_arrives_after_it_was_given_up_changes_nothing(proxy, root, monkeypatch):
    monkeypatch.setattr(bucket, "READ_SECONDS", 0.3)
    proxy.arm("slow", 0)
    assert put_exclusive(root, "lock", b"mine")
    proxy.arm("slow", 1)
    assert put_over(root, "lock", b"next", b"mine") and put_over(root, "lock", b"last", b"next")
    late = []
    proxy.after = late.append
    proxy.go.set()
    assert until(lambda: sorted(late) == [0, 1]) and (root / "lock").read_bytes() == b"last"


def test_of_many_who_put_the_same_bytes_under_one_name_one_wins(proxy, root):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda _: put_exclusive(root, "lock", b"the same"), range(8)))
        put_new(root, "state", b"old")
        over = list(pool.map(lambda i: put_over(root, "state", b"%d" % i, b"old"), range(8)))
    assert sorted(won) == sorted(over) == [False] * 7 + [True]
    assert (root / "state").read_bytes() == b"%d" % over.index(True)


def test_a_folder_of_more_than_one_page_is_listed_whole(proxy, root):
    proxy.server.page = 3  # Azurite's is its own: a list of one page
    names = {f"name {i} ä+%2F" for i in range(7)}
    for name in names:
        put_new(root / "folder", name, b"x")
    put_new(root / "folder" / "below", "y", b"x")
    assert {path.name for path in (root / "folder").iterdir()} == names | {"below"}
    for fault in ("503", "drop"):  # the page alone is asked for again
        proxy.arm(fault, 1)
        assert set((root / "folder").times()) == names
        assert len(proxy.log) == (4 if proxy.hit else 1)
    proxy.arm()
    with pytest.raises(NotADirectoryError, match="name 0"):
        (root / "folder" / "name 0 ä+%2F").iterdir()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        (root / "nowhere").iterdir()
    for path in (*map((root / "folder").__truediv__, names), root / "folder" / "below" / "y"):
        path.unlink()
    assert stored(proxy, root) == {}


def test_a_store_that_ignores_conditions_is_refused_and_left_as_it_was(proxy, root):
    Store(root, "lambda").check_writable()
    proxy.ignores_conditions = True
    with pytest.raises(InputError, match="ignores the condition If-None-Match") as refused:
        Store(root, "lambda").check_writable()
    assert [(p.field, p.value) for p in refused.value.problems] == [("results", str(root))]
    assert stored(proxy, root) == {}


def test_an_address_that_means_no_bucket_is_refused(scheme):
    wrong = ("foo://x/y", "file:///x", *(f"{scheme}{rest}" for rest in ("://", ":///x", ":/bucket/x", "://UPPER/x")))
    for text in (*wrong, f"{scheme}://okok/a/../b", "az://no.dots/x", "az://no_lines/x", "s3://no_lines/x"):
        with pytest.raises(InputError, match=re.escape(text)):
            path_of(text)
    assert path_of("gs://one_line.and.dots/x").bucket == "one_line.and.dots"


def test_a_store_that_cannot_be_used_is_named_with_the_reason(proxy, root):
    nobodys = ObjectPath("nobody-has-made-this", "x", scheme=root.scheme)
    for refused in (lambda: opened(str(nobodys)), Store(nobodys, "lambda").check_writable):
        with pytest.raises(InputError, match="the bucket does not exist"):
            refused()
    proxy.arm("403", 0, lasting=True)
    for refused in (lambda: opened(str(root)), Store(root, "lambda").check_writable):
        with pytest.raises(InputError, match=r"access denied \(AccessDenied\)"):
            refused()


@pytest.mark.faults
@pytest.mark.parametrize("fault", ["drop", "slow"])
def test_a_store_that_does_not_answer_is_given_up_and_refused(proxy, root, fault):
    """Within half a minute: so long the limits are, and it answers nothing before the test says so."""
    assert bucket.HASTY_SECONDS + bucket.HASTY_READ_SECONDS + clouds.CONNECT_SECONDS < 30
    proxy.arm(fault, 0, lasting=True)
    with pytest.raises(InputError, match="object store"):
        opened(str(root)) if fault == "slow" else Store(root, "lambda").check_writable()
    assert {method for method, _ in proxy.log} and proxy.hit
    proxy.go.set()


@pytest.fixture(params=CLOUDS)
def scheme(request):
    return request.param


def test_addresses_are_read_as_they_are_written_back(scheme):
    top = f"{scheme}://bucket"
    assert str(path_of(f"{top}//a/b/")) == f"{top}/a/b" == str(path_of(top) / "a" / "b")
    assert path_of(f"{scheme.upper()}://bucket/a") == ObjectPath("bucket", "a", scheme=scheme)
    place = path_of(f"{top}/a/b")
    assert (place.name, str(place.parent), str(place.parent.parent)) == ("b", f"{top}/a", top)
    assert path_of("~/results") == Path.home() / "results" and path_of("a:b/c") == Path("a:b/c")


def test_bytes_that_changed_on_their_way_are_not_taken(proxy, root, monkeypatch):
    put_new(root, "model.pt", b"weights" * 100)
    monkeypatch.setattr(bucket, "PATIENCE_SECONDS", 0.05)
    for fault, hides in (("flipped", False), ("flipped", True), ("truncated", False), ("truncated", True)):
        proxy.arm(fault, 0, lasting=True)
        proxy.hides_checksums = hides  # of the store itself; ours stay
        with pytest.raises(OSError, match="what was read is not whole"):
            (root / "model.pt").read_bytes()


def test_a_store_that_stays_away_is_not_called_damaged(lab, proxy, root, monkeypatch):
    store, trial = Store(root, "lambda"), lab.trial()
    lab.record(store, {trial: lab.completed(trial)})
    store.write_study({"name": "lambda"})
    monkeypatch.setattr(bucket, "PATIENCE_SECONDS", 0.02)
    for fault in ("503", "drop"):
        for number, ask in ((0, store.read_study), (0, store.finished), (1, store.finished)):
            proxy.arm(fault, number, lasting=True)
            with pytest.raises(ConnectionError, match="object store"):
                ask()


def test_a_damaged_object_is_named_and_kept(lab, proxy, root):
    store, trial = Store(root, "lambda"), lab.trial()
    lab.record(store, {trial: lab.completed(trial)})
    (part,) = store.folder_of("trials").iterdir()
    damaged = part.read_bytes()[:-1]
    put_replacing(part.parent, part.name, damaged)
    with pytest.raises(StoreError, match=re.escape(str(part))):
        store.finished()
    assert part.read_bytes() == damaged


def test_a_forked_child_of_a_user_of_the_store_is_refused_and_does_not_hang(proxy, root):
    put_new(root, "a", b"x")
    heard, said = os.pipe()
    if (child := os.fork()) == 0:
        try:
            (root / "a").read_bytes()
        except OSError as error:
            os.write(said, str(error).encode())
        os._exit(0)
    os.close(said)
    with os.fdopen(heard) as lines:
        assert (
            f"forked after its parent had used an object store cannot: spawn it instead: '{root.scheme}" in lines.read()
        )
    assert os.waitpid(child, 0)[1] == 0


def test_a_signal_is_handled_while_a_request_waits(proxy, root, monkeypatch):
    """The library would hold it up until the answer, which never comes here."""

    class HeardError(Exception):
        pass

    def heard(number, frame):
        raise HeardError

    monkeypatch.setattr(bucket, "READ_SECONDS", 600.0)
    before = signal.signal(signal.SIGUSR1, heard)
    try:
        proxy.arm("held", 0)
        proxy.before = lambda number: os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(HeardError):
            (root / "a").read_bytes()
    finally:
        proxy.go.set()
        signal.signal(signal.SIGUSR1, before)


def test_an_object_that_another_has_replaced_is_not_removed(proxy, root):
    put_new(root, "lock", b"mine")
    proxy.arm("race", 1)  # between the look and what is put before the removal
    remove_same(root, "lock", b"mine")
    assert (root / "lock").read_bytes() == RIVAL
    assert [method for method, _ in proxy.log][:3] == ["GET", "PUT", "HEAD"]
