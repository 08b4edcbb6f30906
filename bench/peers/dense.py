"""The metanetwork on dense blocks in PyTorch: networks of one shape are one batch, weights of all blocks lie side by side
so that every per-weight product is one matrix product, node terms are added block by block by broadcasting. Maths as
docs/method.md and metanet/model/editor.cpp; requirement `pruning`, ReLU networks, two classes.

Arrangements that were tried and lost are not here: a tensor per block (more calls), features innermost when they are
stacked (strided writes), one backward pass per seed in the probe (with two classes they are multiples of each other).
"""

import torch
import torch.nn.functional as F


class Shape:
    """Where the layers of one network shape lie in its nodes and its edges."""

    def __init__(self, widths, device="cpu"):
        self.widths = widths
        self.nodes, self.edges = sum(widths), sum(a * b for a, b in zip(widths, widths[1:]))
        self.inputs, self.classes = widths[0], widths[-1]
        self.layers = len(widths) - 1
        self.node_at = [sum(widths[:l]) for l in range(len(widths))]
        self.edge_at = [sum(a * b for a, b in zip(widths[:l], widths[1 : l + 1])) for l in range(self.layers)]
        last = self.layers - 1
        self.kind = [2 if l == last else 0 if l == 0 else 1 for l in range(self.layers)]
        counts = torch.tensor([a * b for a, b in zip(widths, widths[1:])])
        self.block_of = torch.repeat_interleave(torch.arange(self.layers), counts).to(device)
        into = torch.repeat_interleave(torch.arange(self.layers + 1), torch.tensor(widths)) - 1
        self.into = into.clamp(min=0).to(device)  # the block that leads to a node
        self.kind_of = torch.tensor(self.kind, device=device)[self.block_of]
        self.edge_kind = F.one_hot(self.kind_of, 3).T.float().contiguous()  # (3, edges)
        node_kind = torch.tensor([0] * widths[0] + [1] * sum(widths[1:-1]) + [2] * widths[-1])
        self.node_kind = F.one_hot(node_kind, 3).float().to(device)
        self.leads = (into >= 0).float().to(device)
        depth = torch.repeat_interleave(torch.arange(self.layers + 1), torch.tensor(widths))
        self.depth = (depth.float() / self.layers).to(device)
        columns = torch.tensor([float(widths[max(b, 0)]) for b in into.tolist()])
        self.fan_in = (torch.log(columns) / 2 - 1.5).to(device) * self.leads
        hidden = torch.arange(sum(widths[1:-1])) * 0 + widths[0] + widths[-1]
        self.sign = torch.tensor([-1.0, 1.0], device=device).view(1, 2, 1)  # of a class in the margin
        self.entry = torch.cat([torch.arange(widths[0]), hidden, widths[0] + torch.arange(widths[-1])]).to(device)

    def block(self, x, l):
        """(batch, edges, ...) -> (batch, rows, cols, ...) of block l."""
        rows, cols = self.widths[l + 1], self.widths[l]
        return x[:, self.edge_at[l] : self.edge_at[l] + rows * cols].unflatten(1, (rows, cols))

    def layer(self, x, l):
        """(batch, nodes, ...) -> (batch, width, ...) of node layer l."""
        return x[:, self.node_at[l] : self.node_at[l] + self.widths[l]]

    def blocks(self, x):
        return [self.block(x, l) for l in range(self.layers)]

    def pair_sum(self, u, v):
        """u of the target plus v of the source of every edge: (batch, nodes, d) twice -> (batch, edges, d)."""
        return torch.cat(
            [
                (self.layer(u, l + 1).unsqueeze(2) + self.layer(v, l).unsqueeze(1)).flatten(1, 2)
                for l in range(self.layers)
            ],
            1,
        )

    def per_edge(self, x):
        """(batch, blocks) -> (batch, edges)."""
        return x[:, self.block_of]


class Rows:
    """Data rows and what every probe needs of them; the same for all networks."""

    def __init__(self, x):
        self.x, self.t = x, x.T.contiguous()
        self.mean, self.rms = x.mean(0), x.square().mean(0).sqrt()
        centred = x - self.mean
        self.squares, self.centred = centred.square(), centred.contiguous()
        self.deviation = self.squares.mean(0).sqrt()


def forward(shape, weight, bias, rows):
    """Activations (batch, width, rows) of the hidden layers and the logits."""
    w = shape.blocks(weight)
    b = [shape.layer(bias, l + 1) for l in range(shape.layers)]
    batch = weight.shape[0]
    z = torch.addmm(b[0].reshape(-1, 1), w[0].reshape(-1, shape.inputs), rows.t).view(batch, -1, rows.x.shape[0])
    hidden = []
    for l in range(1, shape.layers):
        hidden.append(F.relu(z))
        z = torch.baddbmm(b[l].unsqueeze(2), w[l], hidden[-1])
    return hidden, z


def margin_of(logits):
    return logits[:, 1] - logits[:, 0]


def divergence(margin_p, margin_q):
    """Jensen-Shannon divergence of two-class predictions, mean over the rows."""
    tiny = torch.finfo(margin_p.dtype).tiny
    p, q = torch.sigmoid(torch.stack([margin_p, -margin_p])), torch.sigmoid(torch.stack([margin_q, -margin_q]))
    p, q = p.clamp(min=tiny), q.clamp(min=tiny)
    m = (p + q) / 2
    return ((p * torch.log(p / m) + q * torch.log(q / m)) / 2).sum(0).mean(-1)


def probe(shape, weight, bias, rows, original=None):
    """Fisher, statistics and, given the margins of the original networks, divergence and its gradient."""
    count = rows.x.shape[0]
    batch = weight.shape[0]
    w = shape.blocks(weight)
    hidden, z = forward(shape, weight, bias, rows)
    margin = margin_of(z)
    q1 = torch.sigmoid(margin)
    spread = q1 * (1 - q1)  # (batch, rows)
    # J = d margin / d pre-activation; with two classes all seeds are multiples of it.
    jacobian = [None] * shape.layers
    jacobian[-1] = shape.sign.to(weight.dtype).expand(batch, 2, count)
    j = (w[-1][:, 1] - w[-1][:, 0]).unsqueeze(2) * (hidden[-1] > 0)
    jacobian[-2] = j
    for l in range(shape.layers - 2, 0, -1):
        j = torch.bmm(w[l].transpose(1, 2), j) * (hidden[l - 1] > 0)
        jacobian[l - 1] = j
    result = {"margin": margin}
    means, roots, correlations = [rows.mean.expand(batch, -1)], [rows.rms.expand(batch, -1)], []
    centred_margin = margin - margin.mean(1, keepdim=True)
    deviation = centred_margin.square().mean(1, keepdim=True).sqrt()
    tiny = 1e-5 * margin.square().mean(1, keepdim=True).sqrt()

    def correlation(covariance, own, size):
        valid = (own > 1e-5 * size) & (deviation > tiny)
        return torch.where(valid, (covariance / (own * deviation)).clamp(-1, 1), torch.zeros_like(covariance))

    correlations.append(correlation(centred_margin @ rows.centred / count, rows.deviation, rows.rms))
    fisher, fisher_bias, squares = [], [], [rows.squares]
    for h in hidden:
        mean, rms = h.mean(2), h.square().mean(2).sqrt()
        centred = h - mean.unsqueeze(2)
        square = centred.square()
        covariance = torch.bmm(centred, centred_margin.unsqueeze(2)).squeeze(2) / count
        means.append(mean)
        roots.append(rms)
        correlations.append(correlation(covariance, square.mean(2).sqrt(), rms))
        squares.append(square)
    for l in range(shape.layers):
        signal = jacobian[l].square() * spread.unsqueeze(1)  # (batch, neurons, rows)
        fisher_bias.append(signal.mean(2))
        if l == 0:
            fisher.append((signal.reshape(-1, count) @ squares[0]).view(batch, -1) / count)
        else:
            fisher.append(torch.bmm(signal, squares[l].transpose(1, 2)).flatten(1) / count)
    outputs = torch.zeros(batch, shape.classes, dtype=weight.dtype, device=weight.device)
    inputs = torch.zeros(batch, shape.inputs, dtype=weight.dtype, device=weight.device)
    result["fisher"] = torch.cat(fisher, 1)
    result["fisher_bias"] = torch.cat([inputs] + fisher_bias, 1)
    result["mean"] = torch.cat(means + [outputs], 1)
    result["rms"] = torch.cat(roots + [outputs], 1)
    result["correlation"] = torch.cat(correlations + [outputs], 1)
    if original is not None:
        result["divergence"] = divergence(original, margin)
        p1 = torch.sigmoid(original)
        first, second = torch.sigmoid(-margin), q1
        slope = 0.5 * (torch.log(2 * second / (p1 + second)) - torch.log(2 * first / (1 - p1 + first)))
        seed = (spread * slope / count).unsqueeze(1)
        gradient, gradient_bias = [], [inputs]
        for l in range(shape.layers):
            delta = jacobian[l] * seed
            gradient_bias.append(delta.sum(2))
            if l == 0:
                gradient.append((delta.reshape(-1, count) @ rows.x).view(batch, -1))
            else:
                gradient.append(torch.bmm(delta, hidden[l - 1].transpose(1, 2)).flatten(1))
        result["gradient"], result["gradient_bias"] = torch.cat(gradient, 1), torch.cat(gradient_bias, 1)
    return result


def block_stat(shape, x, of):
    return torch.stack([of(x[:, a : a + r * c]) for a, r, c in zip(shape.edge_at, shape.widths[1:], shape.widths)], 1)


def mean_of(x):
    return x.mean(1)


def root_mean_square(x):
    return x.square().mean(1).sqrt()


def edit_features(shape, weight, bias, probed, log_lambda):
    """Features of weights (15, batch, edges) and of neurons (batch, nodes, 16), prior and scale of the blocks."""
    fisher, rms = probed["fisher"], probed["rms"]
    scale = block_stat(shape, weight, root_mean_square) + 1e-6
    saliency = weight.square() * fisher * (shape.edges / 8)
    mean_fisher = shape.per_edge(block_stat(shape, fisher, mean_of) + 1e-9)
    mean_saliency = shape.per_edge(block_stat(shape, saliency, mean_of) + 1e-9)
    shares = []
    for l in range(shape.layers):
        part = shape.block(weight, l) * shape.layer(rms, l).unsqueeze(1)
        shares.append((part / (part.square().sum(2, keepdim=True).sqrt() + 1e-6)).flatten(1))
    share = torch.cat(shares, 1)
    w = weight / shape.per_edge(scale)
    size = w.abs()
    log_saliency = torch.log(saliency + 1e-6)
    prior = (log_saliency - log_lambda.unsqueeze(1)).clamp(-8, 8)
    zero = torch.zeros_like(w)
    feature = torch.stack(
        [
            w,
            size,
            torch.sign(w) * torch.log(1 + 4 * size),
            3 * share,
            3 * share.abs(),
            torch.log(share.abs() + 1e-4) / 2 + 2,
            torch.log(fisher / mean_fisher + 1e-3) / 2,
            log_saliency / 3 + 1,
            prior / 3,
            torch.log(saliency / mean_saliency + 1e-4) / 3,
            zero,
            zero,
        ]
    )
    kind = shape.edge_kind.to(w.dtype).unsqueeze(1).expand(3, w.shape[0], shape.edges)
    feature = torch.cat([feature, kind])
    mean, correlation = probed["mean"], probed["correlation"]
    node_scale = scale[:, shape.into]
    leads = shape.leads
    reads = 1 - shape.node_kind[:, 2]
    own_bias = bias / node_scale * leads
    node = torch.stack(
        [
            own_bias,
            own_bias.abs(),
            torch.log(node_scale) * leads,
            mean * reads,
            rms * reads,
            torch.log(rms + 1e-3) * reads,
            correlation * reads,
            correlation.abs() * reads,
            torch.log((rms.square() - mean.square()).clamp(min=0) + 1e-3) / 2 * reads,
            (torch.log(probed["fisher_bias"] + 1e-4) / 2 + 2) * leads,
            torch.zeros_like(mean),
            shape.depth.expand_as(mean),
            shape.node_kind[:, 0].expand_as(mean),
            shape.node_kind[:, 1].expand_as(mean),
            shape.node_kind[:, 2].expand_as(mean),
            shape.fan_in.expand_as(mean),
        ],
        2,
    )
    return feature, node, prior, scale


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def message_layer(shape, p, name, edge, node, condition):
    """edge (batch, edges, D), node (batch, nodes, H), condition (batch, H)."""
    batch, edges, d = edge.shape
    gamma, beta, step = linear(p, name + ".modulation", condition).unsqueeze(1).split(d, 2)
    u, v, s, t = linear(p, name + ".projection", node).split(d, 2)
    z = torch.addmm(shape.pair_sum(u, v).view(-1, d), edge.reshape(-1, d), p[name + ".edge.c"].T)
    normal = F.layer_norm(z, (d,)).view(batch, edges, d)
    g = F.silu(torch.addcmul(beta, normal, gamma + 1))
    # The step size goes into the matrix: one product adds to the state.
    mixed = (p[name + ".edge.g"] * (step + 0.5).transpose(1, 2)).transpose(1, 2)
    edge = torch.baddbmm(edge, g, mixed)
    into, out = [], []
    for l in range(shape.layers):
        part = shape.block(g, l)
        into.append((part * shape.layer(s, l).unsqueeze(1)).mean(2))
        out.append((part * shape.layer(t, l + 1).unsqueeze(2)).mean(1))
    f = torch.cat([torch.zeros_like(shape.layer(u, 0))] + into, 1)
    r = torch.cat(out + [torch.zeros_like(shape.layer(u, shape.layers))], 1)
    read = torch.cat([node, f, r, condition.unsqueeze(1).expand(-1, shape.nodes, -1)], 2)
    hidden = F.silu(linear(p, name + ".node.0", F.layer_norm(read, (read.shape[2],))))
    alpha = (linear(p, name + ".alpha", condition) + 0.5).unsqueeze(1)
    return edge, torch.addcmul(node, alpha, linear(p, name + ".node.1", hidden))


def messages(shape, p, layers, edge, node, condition):
    for k in range(layers):
        edge, node = message_layer(shape, p, f"message.{k}", edge, node, condition)
    return edge, node


def heads(shape, hidden, weight, bias):
    """Each kind of block has its own output layer."""
    out = [
        F.linear(hidden[:, a : a + r * c], weight[k], bias[k])
        for a, r, c, k in zip(shape.edge_at, shape.widths[1:], shape.widths, shape.kind)
    ]
    return torch.cat(out, 1)


def edge_states(feature):
    """(channels, batch, edges) -> (batch * edges, channels), without a copy."""
    return feature.flatten(1).T


def gate(logit, options, noise=None):
    """Gate, share of open gates and barrier; straight-through while training (noise given)."""
    bound, temperature = options["bound"], options["temperature"]
    if noise is None:
        hard = (logit > 0).to(logit.dtype)
        return hard, hard.mean(1), None
    excess = F.relu(logit.abs() - bound)
    clamped = logit + (logit.clamp(-bound, bound) - logit).detach()
    soft = torch.sigmoid(clamped / temperature)
    hard = (clamped / temperature + noise > 0).to(logit.dtype)
    return hard + soft - soft.detach(), soft.mean(1), excess.square().mean(1)


def apply_edit(shape, weight, bias, mean, scale, gates, residual, bias_residual):
    moved = torch.where(weight == 0, torch.zeros_like(weight), torch.addcmul(weight, shape.per_edge(scale), residual))
    edited = gates * moved
    removed = weight - edited
    fold = [torch.bmm(shape.block(removed, l), shape.layer(mean, l).unsqueeze(2)).squeeze(2) for l in range(shape.layers)]
    folded = torch.cat([torch.zeros_like(shape.layer(bias, 0))] + fold, 1)
    return edited, (bias + folded + scale[:, shape.into] * bias_residual) * shape.leads


def refine_features(shape, weight, edited, edited_bias, state, probed, original, scale, lam):
    logit, residual, bias_residual = state
    fisher, gradient = probed["fisher"], probed["gradient"]
    edges = shape.edges
    block_fisher = block_stat(shape, fisher, mean_of)
    mean_fisher = shape.per_edge(block_fisher + 1e-7)
    rms = shape.per_edge(block_stat(shape, gradient, root_mean_square) + 1e-9)
    per_edge_scale = shape.per_edge(scale)
    floor = lam.clamp(min=1e-8).unsqueeze(1)
    step = torch.tanh(-4 * gradient / (fisher + 0.3 * mean_fisher) / per_edge_scale)
    feature = torch.stack(
        [
            edited / per_edge_scale,
            logit.clamp(-6, 6) / 3,
            residual * 2,
            torch.log(fisher / mean_fisher + 1e-3) / 2,
            (torch.log(edited.square() * fisher * (edges / 8) + 1e-6) - torch.log(floor)).clamp(-8, 8) / 3,
            torch.asinh(2 * gradient / rms),
            2 * step,
            torch.asinh(gradient * edited * (edges / floor)),
            torch.asinh(gradient * weight * (edges / floor)),
        ]
    )
    bias_fisher, bias_gradient, leads = probed["fisher_bias"], probed["gradient_bias"], shape.leads
    reads = 1 - shape.node_kind[:, 2]
    layer_fisher = torch.stack([shape.layer(bias_fisher, l + 1).mean(1) for l in range(shape.layers)], 1)[:, shape.into]
    node_scale = scale[:, shape.into]
    node_step = torch.tanh(-4 * bias_gradient / (bias_fisher + 0.3 * layer_fisher + 1e-7) / node_scale) * leads
    node = torch.stack(
        [
            (probed["mean"] - original["mean"]) * reads,
            (probed["rms"] - original["rms"]) * reads,
            torch.log(probed["rms"] + 1e-3) * reads,
            probed["correlation"] * reads,
            (torch.log(bias_fisher + 1e-4) / 2 + 2) * leads,
            (torch.log(original["fisher_bias"] + 1e-4) / 2 + 2) * leads,
            bias_residual * 2 * leads,
            edited_bias / node_scale * leads,
            2 * node_step,
            torch.asinh(bias_gradient * 200) * leads,
        ],
        2,
    )
    return feature, step, node, node_step


def network_features(div, share, lam, number):
    on = (lam > 0).to(div.dtype)
    div = div.clamp(min=0)
    zero, one = torch.zeros_like(div), torch.ones_like(div)
    safe = torch.where(lam > 0, lam, one)
    return torch.stack(
        [
            torch.log(div + 1e-5) / 3 + 2,
            one if number == 1 else zero,
            one if number == 2 else zero,
            3 * share * on,
            torch.log(lam * share / (div + 1e-5) + 1e-3) / 3 * on,
            torch.log(div / safe + 1e-4) / 3 * on,
        ],
        1,
    )


def run_edit(shape, p, options, weight, bias, lam, condition, rows, probed=None, noise=None):
    """Every pass of an edit: a list of (edited weight, edited bias, share, barrier). `bias` (batch, nodes). `probed`: the
    first probe, if it is known; `noise` makes gates stochastic, as in training."""
    silu = F.silu
    batch = weight.shape[0]
    width = p["edge_head.edge"].shape[0]
    if probed is None:
        probed = probe(shape, weight, bias, rows)
    log_lambda = torch.log(lam.clamp(min=1e-8))
    feature, node_feature, prior, scale = edit_features(shape, weight, bias, probed, log_lambda)
    condition = silu(linear(p, "condition.1", silu(linear(p, "condition.0", condition))))
    node = linear(p, "node_embed", node_feature) + p["node_entry"][shape.entry]
    edge = edge_states(feature)
    if options["messages"] > 0:
        edge = linear(p, "edge_embed", edge).view(batch, shape.edges, -1)
        edge, node = messages(shape, p, options["messages"], edge, node, condition)
        edge = edge.reshape(batch * shape.edges, -1)

    projection = linear(p, "edge_head.node", node) + linear(p, "edge_head.condition", condition).unsqueeze(1)
    kind_bias = p["edge_head.kind"][shape.kind_of]
    base = shape.pair_sum(*projection.split(width, 2)) + kind_bias
    hidden = F.relu(torch.addmm(base.view(-1, width), edge, p["edge_head.edge"].T))
    out = heads(shape, hidden.view(batch, shape.edges, -1), p["edge_head.out.weight"], p["edge_head.out.bias"])
    logit = 3 * out[..., 0] + p["edge_head.prior_gain"] * prior
    residual = 0.3 * out[..., 1]
    own = linear(p, "node_head.node", node) + linear(p, "node_head.condition", condition).unsqueeze(1)
    bias_residual = 0.3 * linear(p, "node_head.out", silu(own))[..., 1]

    def build():
        gates, share, barrier = gate(logit, options, noise)
        edited, edited_bias = apply_edit(shape, weight, bias, probed["mean"], scale, gates, residual, bias_residual)
        return edited, edited_bias, share, barrier

    passes = [build()]
    small = p["refine.mix"].shape[0] if options["passes"] > 1 else 0
    original = None
    for number in range(1, options["passes"]):
        with torch.no_grad():
            if original is None:
                original = probed["margin"] if "margin" in probed else margin_of(forward(shape, weight, bias, rows)[1])
            edited, edited_bias, share = (x.detach() for x in passes[-1][:3])
            again = probe(shape, edited, edited_bias, rows, original)
            feature, step, node_feature, node_step = refine_features(
                shape, weight, edited, edited_bias, (logit.detach(), residual.detach(), bias_residual.detach()), again,
                probed, scale, lam)
            network = network_features(again["divergence"], share, lam, number)
        moved = condition + linear(p, "refine.network", network)
        projection = (
            linear(p, "refine.node", node)
            + linear(p, "refine.node_features", node_feature)
            + linear(p, "refine.condition", moved).unsqueeze(1)
        )
        base = shape.pair_sum(*projection.split(small, 2)) + p["refine.kind"][shape.kind_of]
        hidden = torch.addmm(base.view(-1, small), edge, p["refine.edge"].T)
        hidden = F.relu(torch.addmm(hidden, edge_states(feature), p["refine.edge_features"].T))
        hidden = F.relu(hidden @ p["refine.mix"].T).view(batch, shape.edges, -1)
        out = heads(shape, hidden, p["refine.out.weight"], p["refine.out.bias"])
        logit = logit + 3 * out[..., 0]
        residual = residual + 0.3 * out[..., 1] + out[..., 2] * step
        own = (
            linear(p, "refine.node_head.node", node)
            + linear(p, "refine.node_head.features", node_feature)
            + linear(p, "refine.node_head.condition", moved).unsqueeze(1)
        )
        out = linear(p, "refine.node_head.out", silu(own))
        bias_residual = bias_residual + 0.3 * out[..., 1] + out[..., 2] * node_step
        passes.append(build())
    return passes


def loss_of(shape, p, options, case, rows, loss_rows, run=run_edit, graph=None):
    """The editor's loss on a batch, as metanet/train/training_step.cpp; `run` with `graph` makes the edit."""
    passes = run(graph or shape, p, options, case["weight"], case["bias"], case["lambda"], case["condition"], rows,
                 case["probe"], case["noise"])
    with torch.no_grad():
        original = margin_of(forward(shape, case["weight"], case["bias"], loss_rows)[1])
    total = 0.0
    for index, (weight, bias, share, barrier) in enumerate(passes):
        last = index + 1 == len(passes)
        margin = margin_of(forward(shape, weight, bias, loss_rows)[1])
        terms = divergence(original, margin) + case["lambda"] * share
        total = total + (1.0 if last else options["deep_loss"]) * (case["loss_weight"] * terms).sum()
        if last:
            total = total + options["barrier"] * (case["loss_weight"] * case["lambda"] * barrier).sum()
    return total
