"""The table of bad inputs that need nothing to be there: row by row, what is given and which words have to come.

A `Fields` variant is a study file, tried through its own command line and through `vmi plan`; an `Options` variant is
the smoke study's command line; a `Command` variant is one of `vmi`. All of them are exit code 2.
"""

from __future__ import annotations

from typing import NamedTuple


class Fields(NamedTuple):
    """Arguments of Study as Python text, and words of the message."""

    text: str
    words: tuple[str, ...]


class Options(NamedTuple):
    """Options of a study file, and words of the message."""

    arguments: tuple[str, ...]
    words: tuple[str, ...]


class Command(NamedTuple):
    """Arguments of `vmi`, and words of the message; SMOKE and SEARCH stand for those study files."""

    arguments: tuple[str, ...]
    words: tuple[str, ...]


Variant = Fields | Options | Command

MAX_SEED = 2**63 - 1


def fields(text: str, *words: str) -> Fields:
    return Fields(text, words)


def options(line: str, *words: str) -> Options:
    return Options(tuple(line.split(" ")), words)


def command(line: str, *words: str) -> Command:
    return Command(tuple(line.split(" ")), words)


def _layouts() -> list[Variant]:
    said = {
        "": "at least one block", "n0": "'n0' at position 0", "c1": "'c1' at position 0", "x3": "'x3' at position 0",
        "n16+": "'' at position 4", "n16++c10": "'' at position 4", "c10**": "'c10**' at position 0",
        "n16+c10**": "'c10**' at position 4", "n-1": "'n-1'", " n16": "' n16'", "n16\n": "'n16\\n'", "n1_0": "'n1_0'",
        "n016": "'n016'", "n٣": "'n٣'", "N16": "'N16'", "n16;c10": "position 0", "+".join(["n2"] * 65): "64 blocks",
    }  # fmt: skip
    found: list[Variant] = []
    for text, words in said.items():
        grammar = "blocks" if "65" not in words else ""
        found.append(fields(f"fixed={{'layout': {text!r}}}", "fixed.layout = ", words, grammar))
        found.append(fields(f"space={{'layout': choice('n16+c10*', {text!r})}}", "space.layout[1] = ", words, grammar))
    large = ("n999999", "n16+n999999", "c999999*", "n4097", "n" + "9" * 400)
    said_of_large = ("fixed.layout = ", "too large: at most 4096", "GB per trial")
    return found + [fields(f"fixed={{'layout': {text!r}}}", *said_of_large) for text in large]


def _weights() -> list[Variant]:
    ranges = {
        "mi_weight": "from 0 to 1e+06", "mi_weight_normal": "from 0 to 1e+06", "kl_weight": "from 0 to 1e+06",
        "entropy_weight": "from 0 to 1000", "temperature": "above 0 up to 1000",
        "temperature_final": "above 0 up to 1000", "learning_rate": "above 0 up to 10",
        "likelihood_variance": "above 0 up to 1000", "tc_weight": "from 0 to 1e+06", "view_strength": "from 0 to 5",
    }  # fmt: skip
    found: list[Variant] = []
    for name, allowed in ranges.items():
        bad = ["-1", "-0.5", "nan", "inf", "-inf", "10**400", "'4'", "True", "None", "[1]"]
        bad += ["0", "0.0"] if allowed.startswith("above") else []
        other = "'temperature': choice(1, 2)" if name == "mi_weight" else "'mi_weight': choice(0, 4)"
        for value in bad:
            given = f"space={{{other}}}, fixed={{{name!r}: {value}}}"
            found.append(fields(given, f"fixed.{name} = ", allowed))
            found.append(fields(f"space={{{name!r}: choice(1, {value})}}", f"space.{name}[1] = ", allowed))
    return found


def _counts(name: str, allowed: str) -> list[Variant]:
    bad = ["0", "-1", "-3", "12.5", "nan", "10**30", "'ten'", "None", "True", "10**5000"]
    return [fields(f"fixed={{{name!r}: {value}}}", f"fixed.{name} = ", allowed) for value in bad]


def _names() -> list[Variant]:
    bad = ["../x", "/abs", "a\nb", "a\n", "\n", "", "a" * 300, "a b", ".", "..", "-a", "_a", "A", "ä", "<script>",
           "=cmd()", "\x1b[31mx", "a\x00b", "CON:", "\ud800"]  # fmt: skip
    found: list[Variant] = [fields(f"name={text!r}", "name = ", "1 to 64 characters of the pattern") for text in bad]
    found += [fields(f"name={value}", "name = ", "1 to 64") for value in ("None", "5", "b'a'", "['a']", "nan")]
    for text in ("../x", "/abs", "a" * 300, "", "=cmd()", "<script>", "a\x1b[2J", "a\nb"):
        found.append(Options(("--local", "--name", text), ("name = ", "1 to 64 characters")))
        found.append(Command(("plan", "SMOKE", "--name", text), ("name = ", "1 to 64 characters")))
    return found


ROWS: dict[str, list[Variant]] = {
    "unknown option or field": [
        options("--local --stps 3", "--stps: no such option", "did you mean '--steps'?"),
        options("--local --seds=3", "--seds = '3': no such option", "did you mean '--seeds'?"),
        options("--local --steps", "--steps: a value"),
        options("--local=3", "--local = '3': no value: it is a switch"),
        options("--local surplus", "surplus"),
        options("--local --xyzzy --stps 3 --smkoe", "3 problems", "--xyzzy", "--smoke"),
        command("comapre a b", "command = 'comapre'", "did you mean 'compare'?"),
        command("reprot x", "did you mean 'report'?"),
        command("zzz", "one of calibrate, compact, compare, data, drop, evaluate"),
        command("--vresion", "--vresion: no such option"),
        command("plan SMOKE --setps 3", "did you mean '--steps'?"),
        command("plan SMOKE SMOKE", "extra argument"),
        command("plan", "STUDY_FILE: missing"),
        command("compare x", "SECOND: missing"),
        command("drop x", "--where: missing"),
        command("drop x --wehre y", "did you mean '--where'?"),
        command("report x --ofline", "did you mean '--offline'?"),
        command("status --debgu", "did you mean '--debug'?"),
        command("evaluate x --meber y", "did you mean '--member'?"),
        command("submit cluster SMOKE --dryrun", "did you mean '--dry-run'?"),
        fields("fixed={'learing_rate': 1}", "fixed.learing_rate = 1: no such field", "did you mean 'learning_rate'?"),
        fields("space={'learing_rate': choice(1)}", "space.learing_rate", "did you mean 'learning_rate'?"),
        fields("baseline={'learing_rate': 1}", "baseline.learing_rate", "did you mean 'learning_rate'?"),
        fields("scales={'a': {'learing_rate': 1}}", "scales.a.learing_rate", "did you mean 'learning_rate'?"),
        fields("conditions={'learing_rate': {'mi_weight': (4,)}}", "conditions.learing_rate", "a searched field"),
        fields("fixed={5: 1}", "fixed.5 = 1: no such field"),
        fields("spcae={}", "spcae = {}: no such argument of Study", "did you mean 'space'?"),
        fields("serachers='grid', seads=3", "2 problems", "'searcher'", "'seeds'"),
    ],
    "empty space; the same parameter fixed and searched": [
        fields("space={}", "space = {}: at least one searched field"),
        fields("space=None", "space = None"),
        fields("space=[1]", "space = [1]"),
        fields("space='mi_weight'", "space = 'mi_weight'"),
        fields("fixed={'mi_weight': 1}", "fixed.mi_weight and space.mi_weight = 1", "fixed or searched, not both"),
        fields("fixed=[1]", "fixed = [1]: a mapping"),
        fields("baseline=3", "baseline = 3: a mapping"),
    ],
    "low > high; log range; NaN or infinite bound; step": [
        fields("space={'mi_weight': uniform(3, 1)}", "(low=3, high=1): low must be at most high"),
        fields("space={'batch_size': integers(9, 8)}", "(low=9, high=8)"),
        fields("space={'mi_weight': log_uniform(0, 1)}", "(low=0, high=1): low must be above 0"),
        fields("space={'mi_weight': log_uniform(-1, 1)}", "(low=-1, high=1)", "above 0 in a logarithmic range"),
        fields("space={'batch_size': integers(0, 9, log=True)}", "(low=0, high=9)", "above 0 in a logarithmic"),
        *[
            fields(f"space={{'mi_weight': uniform({a}, {b})}}", f"(low={a}, high={b})", "finite numbers")
            for a, b in (("nan", "1"), ("0", "nan"), ("0", "inf"), ("-inf", "1"), ("None", "1"), ("'a'", "1"))
        ],
        *[
            fields(f"space={{'mi_weight': uniform(0, 1, step={s})}}", f"(low=0, high=1, step={s}): step must be")
            for s in ("0", "-1", "2", "nan", "inf", "'a'", "True")
        ],
        *[
            fields(f"space={{'batch_size': integers(8, 16, {s})}}", f"(low=8, high=16, step={s}): step must be")
            for s in ("0", "-1", "9", "1.5")
        ],
        fields("space={'batch_size': integers(8, 16, None)}", "space.batch_size = ", "step must be a whole number"),
        fields("space={'mi_weight': uniform(0, 10**400)}", "from 0 to 1e+06"),
        fields("space={'layout': uniform(0, 1)}", "choice(...) for this field"),
    ],
    "empty, duplicate or mixed-type choices": [
        fields("space={'mi_weight': choice()}", "space.mi_weight", "1 to 100000 values"),
        fields("space={'mi_weight': choice(0, 4, 0)}", "space.mi_weight[2] = 0", "index 0 is the same"),
        fields("space={'mi_weight': choice(1, 1.0)}", "space.mi_weight[1] = 1.0", "index 0 is the same"),
        fields("space={'mi_weight': choice(0.0, -0.0)}", "space.mi_weight[1]", "index 0 is the same"),
        fields("space={'layout': choice('n16', 'c10*', 'n16')}", "space.layout[2] = 'n16'", "index 0"),
        fields("space={'mi_weight': choice(1, '4')}", "space.mi_weight[1] = '4'", "strings or numbers, not both"),
        fields("space={'mi_weight': choice(1, None)}", "space.mi_weight[1] = None", "a number"),
        fields("space={'mi_weight': choice([0, 1])}", "space.mi_weight[0] = [0, 1]", "a number"),
        fields("space={'mi_weight': [0, 1]}", "space.mi_weight = [0, 1]", "choice(...), uniform(low, high)"),
        fields("space={'mi_weight': choice}", "space.mi_weight = ", "choice(...), uniform(low, high)"),
    ],
    "a continuous range given to the grid": [
        fields("space={'mi_weight': uniform(0, 1)}", "searcher='tpe' and searcher='random' take such a range"),
        fields("space={'mi_weight': log_uniform(1, 8)}", "space.mi_weight", "searcher='tpe'"),
        fields("space={'batch_size': integers(2, 9, log=True)}", "a grid takes values", "searcher='random'"),
    ],
    "a grid of 10^9 points": [
        fields(
            "space={'batch_size': integers(2, 1001), 'steps': integers(1, 1000), "
            "'likelihood_variance': uniform(1, 100, 0.099)}, fixed={}, seeds=[0]",
            "trials = 1001000000: at most 100000", "1001000000 points x 1 seeds",
        ),
        fields("space={'mi_weight': uniform(0, 1e6, 1e-300)}", "at most 100000"),
        fields("space={'steps': integers(1, 10**9)}, fixed={}, seeds=[0]", "trials = 1000000000: at most 100000"),
        fields("space={'steps': integers(1, 10**9)}, fixed={}, seeds=range(10**12)", "at most 100000", "seeds = "),
    ],
    "trials 0, -1, 1.5, ten, 10^12": [
        *[
            fields(f"searcher='tpe', suggestions={value}", "suggestions = ", "a whole number from 1 to 100000")
            for value in ("None", "0", "-1", "1.5", "'ten'", "True", "10**12", "nan", "10**5000")
        ],
        fields("searcher='grid', suggestions=3", "suggestions = 3: absent: a grid takes every combination"),
        fields("searcher='random', suggestions=90_000", "trials = 180000: at most 100000"),
    ],
    "layouts": _layouts(),
    "weights and temperatures": _weights(),
    "batch size and steps": [
        *_counts("batch_size", "from 2 to 1e+06"),
        fields("fixed={'batch_size': 1438}", "batch_size = 1438: at most the 1437 training images of digits"),
        fields("fixed={'dataset': 'mnist', 'batch_size': 60_001}", "batch_size = 60001: at most the 60000"),
        fields("space={'batch_size': choice(128, 2000)}", "batch_size = 2000: at most the 1437"),
        *_counts("steps", "from 1 to 1e+09"),
        *[
            options(f"--local --steps {value}", f"fixed.steps = {shown}: ", "from 1 to 1e+09")
            for value, shown in (("0", "0"), ("-1", "-1"), ("ten", "'ten'"), ("1.5", "'1.5'"), ("1e3", "'1e3'"),
                                 ("nan", "'nan'"), (str(10**30), str(10**30)), ("٣", "'٣'"), ("", "''"))
        ],
        command("plan SMOKE --steps ten", "fixed.steps = 'ten': a whole number from 1 to 1e+09"),
        command("calibrate SMOKE --pack-size ten", "--pack-size = 'ten': auto, or a whole number from 1 to 1024"),
    ],
    "seeds": [
        *[
            fields(f"seeds=[0, {value}]", f"seeds[1] = {shown}", f"a whole number from 0 to {MAX_SEED}")
            for value, shown in (("-1", "-1"), ("2**63", str(2**63)), ("2**64", str(2**64)), ("1.5", "1.5"),
                                 ("None", "None"), ("'1'", "'1'"), ("nan", "nan"), ("True", "True"), ("[1]", "[1]"))
        ],
        fields("seeds=[0, 1, 0]", "seeds[2] = 0: different seeds; index 0 is the same"),
        fields("seeds=[]", "seeds = (): 1 to 10000 of them"),
        fields("seeds=5", "seeds = 5: 1 to 10000 whole numbers"),
        fields("seeds='01'", "seeds = '01'"),
        fields("seeds=None", "seeds = None"),
        fields("seeds=range(10_001)", "1 to 10000 of them"),
        fields("seeds=range(10**30)", "1 to 10000 of them"),
        *[
            Options(("--local", "--seeds", text), (f"--seeds = {text!r}: a count from 1 to 10000",))
            for text in ("-1", "0", "1.5", "ten", "", "0,", ",", "1e3", "10001", str(2**64))
        ],
        options(f"--local --seeds 0,{2**64}", "seeds[1] = 18446744073709551616", f"from 0 to {MAX_SEED}"),
        options("--local --seeds 0,-1", "seeds[1] = -1: a whole number"),
        options("--local --seeds 0,0", "seeds[1] = 0: different seeds"),
        command("plan SMOKE --seeds ten", "--seeds = 'ten': a count from 1 to 10000"),
        fields("confirm=1, confirm_seeds=[0]", "confirm_seeds", "seeds that the search does not use"),
        command("evaluate nothing --seeds ten", "--seeds = 'ten': a whole number from 1 to 64", "model = 'nothing'"),
    ],
    "unknown data set, searcher, metric, direction, estimator, preset": [
        fields("fixed={'dataset': 'mnits'}", "one of digits, fashion_mnist, mnist", "did you mean 'mnist'?"),
        options("--local --data mnits", "one of digits, fashion_mnist, mnist", "did you mean 'mnist'?"),
        Options(("--local", "--data", ""), ("one of digits",)),
        Options(("--local", "--data", "::8x8"), ("dataset = '': a path; '.' is the current folder",)),
        command("evaluate x --data mnits", "--data = 'mnits'", "did you mean 'mnist'?"),
        fields("searcher='gird'", "searcher = 'gird': one of grid, random, tpe", "did you mean 'grid'?"),
        fields("searcher=None", "searcher = None: one of"),
        fields("metric='acuracy_majority'", "one of ", "did you mean 'accuracy_majority'?"),
        fields("metric=['nmi']", "metric = ['nmi']: one of"),
        fields("direction='maximise'", "one of maximize, minimize", "did you mean 'maximize'?"),
        fields("fixed={'tc_estimator': 'stratifed'}", "one of stratified, weighted", "did you mean 'stratified'?"),
        fields("fixed={'preset': 'papper'}", "did you mean 'paper'?"),
        fields("fixed={'network': 'mpl'}", "one of conv, mlp", "did you mean 'mlp'?"),
        fields("fixed={'likelihood': 'gausian'}", "did you mean 'gaussian'?"),
        fields("fixed={'phase_order': 'qfirst'}", "did you mean 'q_first'?"),
        fields("searcher='tpe', suggestions=4, pruner='medain'", "did you mean 'median'?"),
        fields("objectives={'nim': 'maximize', 'ari': 'maximize'}", "did you mean 'nmi'?"),
        fields("constraints={'elbo_nat': at_least(0)}", "did you mean 'elbo_nats'?"),
        options("--local --scale big", "--scale = 'big': absent: this study has no scales"),
        Options(("--local", "--scale", "big", "--seeds", "ten"), ("2 problems", "--scale", "--seeds")),
        command("calibrate SMOKE --device cdua", "--device = 'cdua'", "did you mean 'cuda'?"),
    ],
    "a metric that this layout cannot give": [
        fields("fixed={'layout': 'n2*+n30'}", "'accuracy_majority': one that layout 'n2*+n30' can give", "elbo_nats"),
        fields("fixed={'layout': 'c10*'}, metric='mi_encoder_lower_nats'", "layout 'c10*' can give"),
        fields("space={'layout': choice('n16+c10*', 'n3*')}", "one that layout 'n3*' can give"),
        fields("constraints={'mi_encoder_lower_nats': at_least(0)}, fixed={'layout': 'c10*'}", "'c10*' can give"),
        fields("objectives={'nmi': 'maximize', 'elbo_nats': 'maximize'}, metric='nmi', "
               "fixed={'layout': 'n2*+n30'}", "objectives.nmi", "can give"),
    ],
    "GPU asked for; more than there are": [
        options("--local --gpus-per-pack 2", "--gpus-per-pack = 2.0", "from 0 to 1"),
        options("--local --gpus-per-pack nan", "--gpus-per-pack = nan", "from 0 to 1"),
        options("--local --gpus-per-pack -1", "--gpus-per-pack = -1.0", "from 0 to 1"),
        options("--local --gpus-per-pack one", "--gpus-per-pack = 'one'", "from 0 to 1"),
        command("plan SMOKE --gpus 0", "--gpus = 0: a whole number from 1 to 100000"),
        command("plan SMOKE --gpus two --cpus 1.5", "--gpus = 'two'", "--cpus = '1.5'", "3 problems"),
        command("plan SMOKE --gpu-hour free", "--gpu-hour = 'free': a price"),
        command("plan SMOKE --gpus 1 --gpu-memory 0", "--gpu-memory = 0.0: GB above 0, at most 10000"),
        command("plan SMOKE --gpu-memory large", "--gpu-memory = 'large': GB above 0", "only together with --gpus"),
        command("plan SMOKE --simulate 10,x", "--simulate = '10,x'", "numbers of workers from 1 to 100000"),
        options("--local --keep-models some", "--keep-models = 'some': one of all, best, none"),
        options("--keep-models bets --local", "--keep-models = 'bets'", "did you mean 'best'?"),
        options("--local --pack-size 0", "--pack-size = 0: auto, or a whole number from 1 to 1024"),
        options("--local --pack-size 99999", "--pack-size = 99999: auto, or a whole number from 1 to 1024"),
        options("--local --address auto", "--address = 'auto': not together with --local"),
    ],
    "a budget of no time, of a time that has passed, of no trials": [
        *[
            options(f"--local --hours {hours}", f"--hours = {shown}", "a number above 0, at most 10000")
            for hours, shown in (("0", "0.0"), ("-1", "-1.0"), ("ten", "'ten'"), ("nan", "nan"), ("inf", "inf"),
                                 ("1e9", "1000000000.0"))
        ],
        *[
            options(f"--local --until {time}", f"--until = '{time}'", "such as 18:00, or a date with one")
            for time in ("25:00", "soon", "9", "2026-11-27")
        ],
        options("--local --until 2026-01-01T00:00Z", "--until = '2026-01-01T00:00Z': a time to come: it is 20"),
        *[
            options(f"--local --trials {trials}", f"--trials = {shown}", "a whole number from 1 to 1000000")
            for trials, shown in (("0", "0"), ("-3", "-3"), ("2.5", "'2.5'"))
        ],
        options("--hours 0 --until soon --trials 0", "3 problems", "--hours = 0.0", "--until = 'soon'", "--trials = 0"),
    ],
    "unknown URI scheme": [
        options("--local --results ftp://host/x", "--results = ", "or az://BUCKET/PREFIX", "scheme ftp:// is"),
        options("--local --results=gcs://bucket/x", "--results = ", "no store of scheme gcs:// is known"),
        options("--local --results=az://under_score/x", "--results = ", "a bucket's name is 3 to 63 of a-z, 0-9, '-'"),
        options("--local --results hdfs:///x", "no store of scheme hdfs:// is known"),
        command("plan SMOKE --results ftp://host/x", "--results", "no store of scheme ftp:// is known"),
        command("status ftp://host/x", "FOLDER", "no store of scheme ftp:// is known"),
        command("watch ftp://host/x", "no store of scheme ftp:// is known"),
        command("report ftp://host/x", "no store of scheme ftp:// is known"),
        command("mirror ftp://host/x", "no store of scheme ftp:// is known"),
        command("presets ftp://host/x", "no store of scheme ftp:// is known"),
        command("compare ftp://host/x y", "FIRST", "no store of scheme ftp:// is known"),
        command("evaluate ftp://host/x", "no store of scheme ftp:// is known"),
        command("report x --wandb a/b --offlne", "--offlne"),
    ],
    "study name": _names(),
}  # fmt: skip
