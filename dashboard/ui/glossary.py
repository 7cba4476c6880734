"""Every term of art in one sentence, with its formula and unit: the same words wherever it is explained."""

TERMS = {
    "latent": "One unit of a sparse autoencoder: a direction in the model's activations, with how strongly it is there "
    "(activation, 0 or more).",
    "L0": "Mean number of latents that fire on a token: sum of [activation > 0] / tokens. Special tokens are left out.",
    "FVU": "Fraction of variance unexplained: squared error of the reconstruction / squared distance to the mean activation. "
    "0 is perfect, 1 is no better than the mean. Over this prompt's ordinary tokens.",
    "CE recovered": "Share of the model's skill that survives when it runs on the reconstruction: "
    "(ablated - spliced) / (ablated - clean), "
    "next-token cross-entropies in nats; ablated means a reconstruction with every latent off. 1 is lossless.",
    "site": "The place in the model that is read: layer and point. resid_post is the residual stream after a layer.",
    "relative": "The latent of another layer whose decoder row points most nearly the same way (largest cosine).",
    "special token": "A token of the model's format, such as the one that begins every text. Shown, but outside the scale "
    "and every statistic.",
    "dtype": "Number format of the model's arithmetic. bfloat16 keeps about 3 digits and is faster where the device multiplies it "
    "natively; set LATENTS_DTYPE=float32 for 7 digits.",
}
