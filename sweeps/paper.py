"""Do the two settings of the paper hold up: without the regulariser, as the text has it, and corrected?"""

import vmi

study = vmi.Study(
    name="paper",
    space={
        "dataset": vmi.choice("mnist", "fashion_mnist"),
        "layout": vmi.choice("n16+c10*", "n2*+n30"),
        "preset": vmi.choice("vae", "paper", "corrected"),
    },
    seeds=range(5),
    metric="elbo_nats",
    direction="maximize",
    scales={
        "laptop": {"network": "mlp"},
        # On two cores three hours of MNIST: python sweeps/paper.py --scale workstation --data mnist
        "workstation": {"network": "conv", "steps": 20_000, "precision": "bfloat16"},
        "full": {
            "network": "conv",
            "hidden": "64-128-512",
            "batch_size": 124,
            "learning_rate": 1e-4,
            "steps": 150_000,
        },
    },
)

if __name__ == "__main__":
    vmi.main(study)
