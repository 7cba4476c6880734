"""Every term of art in one sentence, with its formula and unit: the same words wherever it is explained."""

from dashboard.analysis.names import Point

TERMS = {
    "latent": "One unit of a sparse autoencoder: a direction in the model's activations, and its strength on each token "
    "(activation, 0 or more).",
    "L0": "Mean number of latents that fire on a token: sum of [activation > 0] / tokens. Special tokens are left out.",
    "FVU": "Fraction of variance unexplained: squared error of the reconstruction / squared distance to the mean activation. "
    "0 is perfect, 1 is no better than the mean. Over this prompt's ordinary tokens.",
    "CE recovered": "Share of the model's next-token performance kept when it runs on the reconstruction: "
    "(ablated - spliced) / (ablated - clean), "
    "next-token cross-entropies in nats; ablated means a reconstruction with every latent off. 1 is lossless.",
    "site": "The place in the model that is read: layer and point. "
    + "; ".join(f"{point} is the {point.row.meaning}" for point in reversed(Point))
    + ".",
    "relative": "The latent of another layer with the most similar decoder row (largest cosine).",
    "special token": "A token of the model's format, such as the one that begins every text. Shown, but outside the scale "
    "and every statistic.",
    "dtype": "Number format of the model's arithmetic. bfloat16 keeps about 3 digits and is faster where the device multiplies it "
    "natively; set LATENTS_DTYPE=float32 for 7 digits.",
    "BOS": "The token that begins every text. An SAE works as trained only if texts begin as they did in training: most were "
    "trained with it, OpenAI's of GPT-2 without.",
    "edit": "add: x + amount d along the direction d. clamp: bring the activation to the amount. cap: bring it down to the amount. "
    "scale: multiply it. ablate: bring it to 0. project out: x - (x.d / |d|^2) d. The SAE's error stays in the stream. An amount of 1 is, "
    "in × max, the latent's largest activation in held-out text; in × norm, what makes |amount d| the mean norm of the site's activations "
    "over a fixed text; raw, the direction as it is. The share is amount |d| / mean |x|. The tokens are those whose logits the "
    "direction raises most on the direct path through the final norm and the unembedding.",
    "vector": "Any direction in the residual stream. Its strength is the coefficient x.v / |v|^2.",
    "where": "Which tokens are edited: those of the prompt, the new ones, all, or a range counted from 0, the BOS token included.",
    "top_p": "Draw from the smallest set of tokens whose probabilities add up to this much.",
    "KL": "KL(steered || plain): how far the next-token distribution of the steered model is from that of the plain model after the same "
    "tokens, nats.",
    "shade": "The activation of any latent (type its name) on either text, as read by the plain model: whether the written text itself "
    "contains it.",
    "factor": "Every amount is multiplied by it; 0 is the plain model.",
    "rule": "What counts as a match: one of some words (whole, any case), a regular expression, or a refusal to answer.",
    "word": "The log-probability of its first token as the first new token, under the steered model.",
    "label": "Automatic labels say on which tokens the latent fires most and which it promotes. A label of your own, saved on this "
    "machine, replaces it.",
    "logit": "What one unit of the latent's direction adds to the logit of each token, on the direct path through the final norm's "
    "weights and the unembedding; later layers, and the norm's division by the residual's size, are left out.",
    "density": "Share of the corpus's ordinary tokens on which the activation is above 0, with its 95 % Wilson interval: "
    "10 of 1 000 tokens are 1 % [0.5, 1.8]. Special tokens and attention sinks are not counted.",
    "quantiles": "Of the activations above 0. The bars count them in 40 equal bins from 0 to the largest.",
    "neighbour": "Most similar decoder rows, by cosine.",
    "cofiring": "Tokens where both fire / tokens where either does (Jaccard), over the corpus.",
    "top band": "The tokens of the corpus with the largest activations. Examples with the same 16 tokens before them, or within 16 tokens "
    "of each other, are one row. Each text is run through the model again, from its document's first token.",
    "interval": "A fifth of 0 to the largest activation, with up to 4 examples drawn at random.",
    "s_R": "Largest cosine of the latent's decoder row with one of the residual dictionary before. High: it is passed on.",
    "s_M": "Largest cosine of the latent's decoder row with one of its layer's MLP dictionary. High: the MLP writes it.",
    "s_A": "Largest cosine of the latent's decoder row with one of its layer's attention dictionary. High: attention writes it.",
    "t_R": "Smallest cosine of a residual link, s_R >= t_R: the span ends where it fails. It also decides which further predecessors are "
    "drawn.",
    "t_module": "Smallest cosine, s_M or s_A >= t_module, at which a latent of the MLP or of attention is drawn.",
    "top-k": "How many predecessors of each latent of the path are considered in each dictionary; the path continues through the best.",
    "span": "The run of layers around the seed in which every residual link is at least t_R. Off: only the span is drawn; on: every layer.",
    "supernode": "Latents whose labels share a fifth of their words or more, directly or through others, drawn on one band.",
    "light": "Each latent's activation on one token as a share of its largest in the index (without one, of its largest on this text).",
    "second graph": "The graph of another latent at the same thresholds, drawn beside the first.",
    "link": "Cosine of two decoder rows, the earlier latent and the later one. Dashed where either has a better match in the other's "
    "dictionary. It shows that the weights are similar, not that one makes the other fire.",
    "steer path": "Add the residual latents of the span on the steer page, with equal shares that add up to two largest activations; of a "
    "long path the eight nearest to the seed.",
    "near miss": "The fastest test of a label: texts that should fit it if it were the whole story, yet the latent does not fire anywhere "
    "in the document.",
    "labels": "What makes an entity known: its file says so (famous, known against obscure, invented; the model is not asked); the model "
    "answers questions about it; or it gives the right one of several choices the highest probability.",
    "preview": "Up to 60 entities of each type, at SAEs of the residual stream: under a minute on two cores. A full study takes all of "
    "them.",
    "knowledge rule": "Of k sampled answers, r right ones make an attribute count; an entity with that many attributes is known, one with "
    "none unknown, and the rest is set aside.",
    "separation": "Share of known entities on which the latent fires - share of unknown ones: -1 to 1. For unknown entities the other way "
    "round. The least over the types says how general it is; MaxMin is the largest of these at one layer.",
    "smallest separation": "With so many test entities, a latent of this separation, chosen beforehand, has p below 5 % by Fisher's exact "
    "test 4 times in 5. Smaller separations are not informative.",
    "splits": "Latents are chosen on train entities (one half) and shown on test entities (40 %), which are not used for the choice.",
    "lens": "The residual stream h after a layer is read as if the model ended there: softmax(W_U norm(J h)), with the model's own final "
    "norm and unembedding. Logit lens: J is the identity. Jacobian lens: J is the mean Jacobian of the last block's output in h over many "
    "texts, so that it counts, to first order, what later layers make of it, at this token and at later ones.",
    "lens direction": "The decoder row d of the latent, read alone: W_U norm(J d), at the latent's own layer and at each later one. The "
    "logit lens has no J, so all layers give the same. The effect of the row's norm is left out, because it depends on the text.",
    "lens agreement": "Share of tokens whose likeliest word through the lens is the model's own, and KL(model || lens), by layer. Dotted: "
    "the lens read at another token of the same document, and one constant guess; a lens that does no better than these is not "
    "informative.",
}
