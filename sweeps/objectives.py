"""At equal budget: maximise a lower bound on the MI (VMI), or control an upper bound on it (JointVAE)?"""

import vmi

study = vmi.Study(
    name="objectives",
    fixed={"layout": "n10+c10*"},
    space={
        "dataset": vmi.choice("mnist", "fashion_mnist"),
        "preset": vmi.choice(
            "vae",
            "corrected",
            "paper",
            "joint_vae",
            "beta_vae",
            "beta_tcvae",
            "factor_vae",
            "info_vae",
            "kl_annealing",
            "info_gan",
        ),
    },
    seeds=range(5),
    metric="accuracy_majority",
    direction="maximize",
)

if __name__ == "__main__":
    vmi.main(study)
