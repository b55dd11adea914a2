"""Two packs are trained and mirrored online in this process; prints what was said of each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.packs import trial

from vmi.mirror import runs
from vmi.mirror.follower import Following
from vmi.process.scratch import scratch
from vmi.results.store import Store
from vmi.spec.trial import PackSpec
from vmi.worker.messages import Task
from vmi.worker.work import work

said = []
with scratch():
    following = Following(Store(Path(sys.argv[1]), "s"), "online")
    for number, patience in enumerate((8.0, 1e6)):  # the second is not to wait: it would for ever
        runs.INIT_SECONDS = runs.FINISH_SECONDS = patience
        pack = PackSpec(f"pack{number}", tuple(trial(steps=2, seed=2 * number + k) for k in (0, 1)))
        task = Task(
            pack=pack, root=sys.argv[1], study="s", layouts=("n16+c10*",), attempt=1, device="cpu",
            data_folder=sys.argv[1],
        )  # fmt: skip
        last = list(work(task))[-1]
        said.append("; ".join(settled.warning for settled in following.write(last.stored) if settled.warning))
    following.close()
print(json.dumps(said), flush=True)
