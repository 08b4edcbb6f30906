"""The same metanetwork the way published ones are written (PyTorch Geometric style): one list of edges with source and
target indices for the whole batch, gathers with index_select, sums with index_add, statistics of a block by scattering
to its number. The subject networks themselves are run with batched products, as anyone would: see dense.probe."""

import torch
import torch.nn.functional as F

from dense import forward, linear, margin_of, network_features, probe


class EdgeList:
    """Indices of a batch of `count` networks of one shape; nothing below knows that they have one."""

    def __init__(self, shape, count):
        self.shape, self.count = shape, count
        source, target = [], []
        for l in range(shape.layers):
            rows, cols = shape.widths[l + 1], shape.widths[l]
            target.append(shape.node_at[l + 1] + torch.arange(rows).repeat_interleave(cols))
            source.append(shape.node_at[l] + torch.arange(cols).repeat(rows))
        device = shape.block_of.device
        source, target = torch.cat(source).to(device), torch.cat(target).to(device)
        first = torch.arange(count, device=device).unsqueeze(1)
        self.source, self.target = ((first * shape.nodes + x).flatten() for x in (source, target))
        self.block = (first * shape.layers + shape.block_of).flatten()
        self.kind = shape.kind_of.repeat(count)
        self.network = first.expand(-1, shape.edges).flatten().contiguous()
        self.network_of_node = first.expand(-1, shape.nodes).flatten().contiguous()
        self.into = (first * shape.layers + shape.into).flatten()
        self.entry = shape.entry.repeat(count)
        self.nodes, self.edges, self.blocks = count * shape.nodes, count * shape.edges, count * shape.layers
        ones = torch.ones(self.edges, device=device)
        self.in_degree = torch.zeros(self.nodes, device=device).index_add(0, self.target, ones).clamp(min=1).unsqueeze(1)
        self.out_degree = torch.zeros(self.nodes, device=device).index_add(0, self.source, ones).clamp(min=1).unsqueeze(1)
        self.block_size = torch.zeros(self.blocks, device=device).index_add(0, self.block, ones)
        self.leads, self.depth = shape.leads.repeat(count), shape.depth.repeat(count)
        self.node_kind, self.fan_in = shape.node_kind.repeat(count, 1), shape.fan_in.repeat(count)
        self.edge_kind = F.one_hot(self.kind, 3).float()

    def block_mean(self, x):
        return x.new_zeros(self.blocks).index_add(0, self.block, x) / self.block_size

    def to_target(self, x):
        return x.new_zeros((self.nodes,) + x.shape[1:]).index_add(0, self.target, x)

    def to_source(self, x):
        return x.new_zeros((self.nodes,) + x.shape[1:]).index_add(0, self.source, x)

    def network_mean(self, x):
        return x.new_zeros(self.count).index_add(0, self.network, x) / self.shape.edges


def edit_features(g, weight, bias, probed, log_lambda):
    fisher, rms, mean, correlation = (probed[k].flatten() for k in ("fisher", "rms", "mean", "correlation"))
    scale = g.block_mean(weight.square()).sqrt() + 1e-6
    saliency = weight.square() * fisher * (g.shape.edges / 8)
    part = weight * rms[g.source]
    share = part / (g.to_target(part.square()).sqrt() + 1e-6)[g.target]
    w = weight / scale[g.block]
    size = w.abs()
    log_saliency = torch.log(saliency + 1e-6)
    prior = (log_saliency - log_lambda[g.network]).clamp(-8, 8)
    zero = torch.zeros_like(w)
    feature = torch.stack(
        [
            w,
            size,
            torch.sign(w) * torch.log(1 + 4 * size),
            3 * share,
            3 * share.abs(),
            torch.log(share.abs() + 1e-4) / 2 + 2,
            torch.log(fisher / (g.block_mean(fisher) + 1e-9)[g.block] + 1e-3) / 2,
            log_saliency / 3 + 1,
            prior / 3,
            torch.log(saliency / (g.block_mean(saliency) + 1e-9)[g.block] + 1e-4) / 3,
            zero,
            zero,
        ],
        1,
    )
    feature = torch.cat([feature, g.edge_kind.to(w.dtype)], 1)
    node_scale, leads = scale[g.into], g.leads
    reads = 1 - g.node_kind[:, 2]
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
            (torch.log(probed["fisher_bias"].flatten() + 1e-4) / 2 + 2) * leads,
            torch.zeros_like(mean),
            g.depth,
            g.node_kind[:, 0],
            g.node_kind[:, 1],
            g.node_kind[:, 2],
            g.fan_in,
        ],
        1,
    )
    return feature, node, prior, scale


def message_layer(g, p, name, edge, node, condition):
    """edge (edges, D), node (nodes, H), condition (networks, H)."""
    d = edge.shape[1]
    gamma, beta, step = linear(p, name + ".modulation", condition).split(d, 1)
    u, v, s, t = linear(p, name + ".projection", node).split(d, 1)
    z = edge @ p[name + ".edge.c"].T + u[g.target] + v[g.source]
    act = F.silu((gamma + 1)[g.network] * F.layer_norm(z, (d,)) + beta[g.network])
    edge = edge + (step + 0.5)[g.network] * (act @ p[name + ".edge.g"].T)
    f = g.to_target(act * s[g.source]) / g.in_degree
    r = g.to_source(act * t[g.target]) / g.out_degree
    read = torch.cat([node, f, r, condition[g.network_of_node]], 1)
    hidden = F.silu(linear(p, name + ".node.0", F.layer_norm(read, (read.shape[1],))))
    alpha = (linear(p, name + ".alpha", condition) + 0.5)[g.network_of_node]
    return edge, node + alpha * linear(p, name + ".node.1", hidden)


def messages(g, p, layers, edge, node, condition):
    for k in range(layers):
        edge, node = message_layer(g, p, f"message.{k}", edge, node, condition)
    return edge, node


def heads(g, hidden, weight, bias):
    """All kinds of heads, then the one that an edge's block asks for."""
    kinds, outputs, width = weight.shape
    out = F.linear(hidden, weight.reshape(-1, width), bias.flatten()).view(-1, kinds, outputs)
    return out[torch.arange(g.edges, device=out.device), g.kind]


def gate(g, logit, options, noise):
    bound, temperature = options["bound"], options["temperature"]
    if noise is None:
        hard = (logit > 0).to(logit.dtype)
        return hard, g.network_mean(hard), None
    excess = F.relu(logit.abs() - bound)
    clamped = logit + (logit.clamp(-bound, bound) - logit).detach()
    soft = torch.sigmoid(clamped / temperature)
    hard = (clamped / temperature + noise > 0).to(logit.dtype)
    return hard + soft - soft.detach(), g.network_mean(soft), g.network_mean(excess.square())


def refine_features(g, weight, edited, edited_bias, state, probed, original, scale, lam):
    logit, residual, bias_residual = state
    fisher, gradient = probed["fisher"].flatten(), probed["gradient"].flatten()
    edges = g.shape.edges
    mean_fisher = (g.block_mean(fisher) + 1e-7)[g.block]
    rms = (g.block_mean(gradient.square()).sqrt() + 1e-9)[g.block]
    own_scale = scale[g.block]
    floor = lam.clamp(min=1e-8)[g.network]
    step = torch.tanh(-4 * gradient / (fisher + 0.3 * mean_fisher) / own_scale)
    feature = torch.stack(
        [
            edited / own_scale,
            logit.clamp(-6, 6) / 3,
            residual * 2,
            torch.log(fisher / mean_fisher + 1e-3) / 2,
            (torch.log(edited.square() * fisher * (edges / 8) + 1e-6) - torch.log(floor)).clamp(-8, 8) / 3,
            torch.asinh(2 * gradient / rms),
            2 * step,
            torch.asinh(gradient * edited * (edges / floor)),
            torch.asinh(gradient * weight * (edges / floor)),
        ],
        1,
    )
    bias_fisher, bias_gradient, leads = probed["fisher_bias"].flatten(), probed["gradient_bias"].flatten(), g.leads
    reads = 1 - g.node_kind[:, 2]
    sums = bias_fisher.new_zeros(g.blocks).index_add(0, g.into, bias_fisher * leads)
    counts = bias_fisher.new_zeros(g.blocks).index_add(0, g.into, leads.to(bias_fisher.dtype))
    layer_fisher, node_scale = (sums / counts)[g.into], scale[g.into]
    node_step = torch.tanh(-4 * bias_gradient / (bias_fisher + 0.3 * layer_fisher + 1e-7) / node_scale) * leads
    node = torch.stack(
        [
            (probed["mean"] - original["mean"]).flatten() * reads,
            (probed["rms"] - original["rms"]).flatten() * reads,
            torch.log(probed["rms"].flatten() + 1e-3) * reads,
            probed["correlation"].flatten() * reads,
            (torch.log(bias_fisher + 1e-4) / 2 + 2) * leads,
            (torch.log(original["fisher_bias"].flatten() + 1e-4) / 2 + 2) * leads,
            bias_residual * 2 * leads,
            edited_bias / node_scale * leads,
            2 * node_step,
            torch.asinh(bias_gradient * 200) * leads,
        ],
        1,
    )
    return feature, step, node, node_step


def run_edit(g, p, options, weight, bias, lam, condition, rows, probed=None, noise=None):
    """As dense.run_edit; weight (networks, edges) and bias (networks, nodes) as there."""
    shape, silu = g.shape, F.silu
    matrix, own_bias = weight, bias
    if probed is None:
        probed = probe(shape, matrix, own_bias, rows)
    weight, bias = weight.flatten(), bias.flatten()
    noise = None if noise is None else noise.flatten()
    mean = probed["mean"].flatten()
    feature, node_feature, prior, scale = edit_features(g, weight, bias, probed, torch.log(lam.clamp(min=1e-8)))
    condition = silu(linear(p, "condition.1", silu(linear(p, "condition.0", condition))))
    node = linear(p, "node_embed", node_feature) + p["node_entry"][g.entry]
    edge = feature
    if options["messages"] > 0:
        edge, node = messages(g, p, options["messages"], linear(p, "edge_embed", edge), node, condition)

    def head_input(projection, kind_bias):
        u, v = projection.split(projection.shape[1] // 2, 1)
        return u[g.target] + v[g.source] + kind_bias[g.kind]

    projection = linear(p, "edge_head.node", node) + linear(p, "edge_head.condition", condition)[g.network_of_node]
    hidden = F.relu(edge @ p["edge_head.edge"].T + head_input(projection, p["edge_head.kind"]))
    out = heads(g, hidden, p["edge_head.out.weight"], p["edge_head.out.bias"])
    logit = 3 * out[:, 0] + p["edge_head.prior_gain"] * prior
    residual = 0.3 * out[:, 1]
    own = linear(p, "node_head.node", node) + linear(p, "node_head.condition", condition)[g.network_of_node]
    bias_residual = 0.3 * linear(p, "node_head.out", silu(own))[:, 1]

    def build():
        gates, share, barrier = gate(g, logit, options, noise)
        moved = torch.where(weight == 0, torch.zeros_like(weight), weight + scale[g.block] * residual)
        edited = gates * moved
        fold = g.to_target((weight - edited) * mean[g.source])
        edited_bias = (bias + fold + scale[g.into] * bias_residual) * g.leads
        return edited.view_as(matrix), edited_bias.view_as(own_bias), share, barrier

    passes = [build()]
    original = None
    for number in range(1, options["passes"]):
        with torch.no_grad():
            if original is None:
                original = probed["margin"] if "margin" in probed else margin_of(forward(shape, matrix, own_bias, rows)[1])
            edited, edited_bias, share = (x.detach() for x in passes[-1][:3])
            again = probe(shape, edited, edited_bias, rows, original)
            feature, step, node_feature, node_step = refine_features(
                g, weight, edited.flatten(), edited_bias.flatten(),
                (logit.detach(), residual.detach(), bias_residual.detach()), again, probed, scale, lam)
            network = network_features(again["divergence"], share, lam, number)
        moved = condition + linear(p, "refine.network", network)
        projection = (
            linear(p, "refine.node", node)
            + linear(p, "refine.node_features", node_feature)
            + linear(p, "refine.condition", moved)[g.network_of_node]
        )
        hidden = edge @ p["refine.edge"].T + feature @ p["refine.edge_features"].T
        hidden = F.relu(hidden + head_input(projection, p["refine.kind"]))
        hidden = F.relu(hidden @ p["refine.mix"].T)
        out = heads(g, hidden, p["refine.out.weight"], p["refine.out.bias"])
        logit = logit + 3 * out[:, 0]
        residual = residual + 0.3 * out[:, 1] + out[:, 2] * step
        own = (
            linear(p, "refine.node_head.node", node)
            + linear(p, "refine.node_head.features", node_feature)
            + linear(p, "refine.node_head.condition", moved)[g.network_of_node]
        )
        out = linear(p, "refine.node_head.out", silu(own))
        bias_residual = bias_residual + 0.3 * out[:, 1] + out[:, 2] * node_step
        passes.append(build())
    return passes
