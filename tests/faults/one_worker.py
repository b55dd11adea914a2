"""Works on a task, as a program: prints every update as JSON.

python one_worker.py TASK.json
"""

from __future__ import annotations

import sys
from pathlib import Path

from vmi.sweep.task import Task
from vmi.sweep.work import work

for update in work(Task.from_json(Path(sys.argv[1]).read_text())):
    print(update.to_json(), flush=True)
