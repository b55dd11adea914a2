"""Which layout and weights give an accurate code at little distortion, and does the winner hold on fresh seeds?"""

import vmi

study = vmi.Study(
    name="search",
    fixed={"dataset": "digits"},
    space={
        "layout": vmi.choice("n16+c10*", "n2*+n14+c10*", "n8+c10*+c2*"),
        "mi_weight": vmi.log_uniform(0.5, 32),
        "mi_weight_normal": vmi.log_uniform(0.1, 8),
        "temperature": vmi.uniform(0.2, 2),
        "learning_rate": vmi.log_uniform(3e-4, 1e-2),
    },
    conditions={"mi_weight_normal": {"layout": ("n2*+n14+c10*",)}},
    objectives={"accuracy_majority": "maximize", "distortion_nats": "minimize"},
    constraints={"mi_encoder_nats": vmi.at_least(1.5)},
    metric="accuracy_majority",
    direction="maximize",
    seeds=range(3),
    searcher="tpe",
    suggestions=24,
    baseline={"mi_weight": 0},
    confirm=2,
    confirm_seeds=range(100, 105),
)

if __name__ == "__main__":
    vmi.main(study)
