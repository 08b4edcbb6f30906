// The kernels alone, on random tensors. The float64 tensor of a seed holds the values of the float32 one.
#include <algorithm>
#include <cmath>

#include "bench/case.hpp"
#include "bench/measure/workload.hpp"
#include "engine/random.hpp"
#include "kernels/adamw.hpp"
#include "kernels/divergence.hpp"
#include "kernels/edge_update.hpp"
#include "kernels/edit_head.hpp"
#include "kernels/gate.hpp"
#include "kernels/probe.hpp"
#include "kernels/subject_forward.hpp"

namespace amend::bench {

namespace {

/// The tensors of one case.
struct Inputs {
  DType dtype;
  GraphBatch graph;
  std::vector<Tensor> tensors;
  std::vector<std::int64_t> offsets;
  std::uint32_t seed = 0;

  Inputs(DType type, const std::vector<int>& widths, int networks) : dtype(type) {
    const auto subjects = random_networks(widths, networks);
    const auto pointers = pointers_to(subjects);
    graph.assign(pointers);
    weight = zeros({graph.table().edge_count});
    bias = zeros({graph.table().node_count});
    graph.gather(pointers, weight, bias);
  }

  const kernels::BlockTable& table() const { return graph.table(); }

  TensorView zeros(Shape shape) {
    tensors.emplace_back(shape, dtype);
    return tensors.back();
  }
  TensorView normal(Shape shape, double scale = 1.0, double shift = 0.0) {
    const TensorView view = zeros(shape);
    const RandomStream random(29, ++seed);
    for (std::int64_t i = 0; i < view.count(); ++i) {
      const auto value =
          static_cast<float>(scale * static_cast<double>(random.normal(static_cast<std::uint64_t>(i))) + shift);
      if (dtype == DType::float64)
        view.as<double>()[i] = static_cast<double>(value);
      else
        view.as<float>()[i] = value;
    }
    return view;
  }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Tensor& tensor : tensors) sum += tensor.view().bytes();
    return sum;
  }

  TensorView weight, bias;
};

template <class Body>
Case finish(std::shared_ptr<Inputs> inputs, std::vector<TensorView> outputs, Body body) {
  const std::size_t bytes = inputs->bytes();
  return {.keep = std::move(inputs), .run = std::move(body), .outputs = std::move(outputs), .memory = bytes};
}

kernels::EdgeUpdate edge_update(Inputs& in, std::int64_t d) {
  const kernels::BlockTable& table = in.table();
  return {.table = table,
          .edge = in.normal({table.edge_count, d}),
          .projection = in.normal({table.node_count, 4 * d}, 0.5),
          .weight_c = in.normal({d, d}, 1.0 / std::sqrt(static_cast<double>(d))),
          .weight_g = in.normal({d, d}, 1.0 / std::sqrt(static_cast<double>(d))),
          .modulation = in.normal({table.network_count, 3 * d}, 0.1, 1.0),
          .edge_out = in.zeros({table.edge_count, d}),
          .aggregate = in.zeros({table.node_count, 2 * d})};
}

kernels::SubjectForward subject_forward(Inputs& in, std::int64_t rows) {
  const kernels::BlockTable& table = in.table();
  return {.table = table,
          .weight = in.weight,
          .bias = in.bias,
          .x = in.normal({rows, table.network[0].inputs}),
          .activation = in.zeros({table.hidden_count, rows}),
          .slope = in.zeros({table.hidden_count, rows}),
          .logits = in.zeros({table.network_count, rows, table.network[0].outputs})};
}

}  // namespace

double error_of(const Family& family) {
  if (family.error) return family.error();
  if (!family.comparable) return -1.0;
  const Case narrow = family.make(DType::float32, kComparedNetworks),
             wide = family.make(DType::float64, kComparedNetworks);
  narrow.run();
  wide.run();
  double worst = 0.0;
  for (std::size_t k = 0; k < wide.outputs.size(); ++k) {
    double difference = 0.0, size = 1e-30;
    for (std::int64_t i = 0; i < wide.outputs[k].count(); ++i) {
      const double exact = wide.outputs[k].as<double>()[i];
      difference = std::max(difference, std::abs(static_cast<double>(narrow.outputs[k].as<float>()[i]) - exact));
      size = std::max(size, std::abs(exact));
    }
    worst = std::max(worst, difference / size);
  }
  return worst;
}

Family edge_update_forward_family(const KernelSize& size) {
  return {
      .make =
          [size](DType dtype, int networks) {
            auto in = std::make_shared<Inputs>(dtype, size.widths, networks);
            const kernels::EdgeUpdate args = edge_update(*in, size.d);
            return finish(in, {args.edge_out, args.aggregate},
                          [args] { kernels::edge_update_forward(args, Stream()); });
          },
      .cost =
          [size](int n) { return edge_update_forward_cost(batch_size(size.widths, n), static_cast<double>(size.d)); }};
}

Family edge_update_backward_family(const KernelSize& size) {
  return {
      .make =
          [size](DType dtype, int networks) {
            auto in = std::make_shared<Inputs>(dtype, size.widths, networks);
            kernels::EdgeUpdateGradient args{.forward = edge_update(*in, size.d)};
            args.grad_edge_out = in->normal(args.forward.edge.shape);
            args.grad_aggregate = in->normal(args.forward.aggregate.shape);
            args.grad_edge = in->zeros(args.forward.edge.shape);
            args.grad_projection = in->zeros(args.forward.projection.shape);
            args.grad_weight_c = in->zeros(args.forward.weight_c.shape);
            args.grad_weight_g = in->zeros(args.forward.weight_g.shape);
            args.grad_modulation = in->zeros(args.forward.modulation.shape);
            kernels::edge_update_forward(args.forward, Stream());
            return finish(
                in,
                {args.grad_edge, args.grad_projection, args.grad_weight_c, args.grad_weight_g, args.grad_modulation},
                [args] { kernels::edge_update_backward(args, Stream()); });
          },
      .cost =
          [size](int n) { return edge_update_backward_cost(batch_size(size.widths, n), static_cast<double>(size.d)); }};
}

Family edit_head_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks) {
                auto in = std::make_shared<Inputs>(dtype, size.widths, networks);
                const kernels::BlockTable& table = in->table();
                const std::int64_t h = size.h;
                const kernels::EditHead args{.table = table,
                                             .edge = in->normal({table.edge_count, size.d}),
                                             .weight = in->normal({h, size.d}, 0.1),
                                             .projection = in->normal({table.node_count, 2 * h}),
                                             .kind_bias = in->normal({kernels::kBlockKinds, h}),
                                             .head = in->normal({kernels::kBlockKinds, 2, h}, 0.1),
                                             .head_bias = in->normal({kernels::kBlockKinds, 2}),
                                             .out = in->zeros({table.edge_count, 2})};
                return finish(in, {args.out}, [args] { kernels::edit_head_forward(args, Stream()); });
              },
          .cost =
              [size](int n) {
                return edit_head_forward_cost(batch_size(size.widths, n), static_cast<double>(size.d), 0,
                                              static_cast<double>(size.h), 2, false);
              }};
}

Family probe_family(const KernelSize& size) {
  return {
      .make =
          [size](DType dtype, int networks) {
            auto in = std::make_shared<Inputs>(dtype, size.widths, networks);
            const kernels::BlockTable& table = in->table();
            const kernels::SubjectForward pass = subject_forward(*in, size.rows);
            kernels::subject_forward(pass, Stream());
            const Shape nodes{table.node_count};
            const Shape logits = pass.logits.shape;
            const kernels::Probe args{.table = table,
                                      .weight = in->weight,
                                      .x = pass.x,
                                      .activation = pass.activation,
                                      .slope = pass.slope,
                                      .logits = pass.logits,
                                      .statistic_rows = size.rows,
                                      .grad_logits = in->normal({1, logits[0], logits[1], logits[2]}),
                                      .fisher = in->zeros({table.edge_count}),
                                      .fisher_bias = in->zeros(nodes),
                                      .node_mean = in->zeros(nodes),
                                      .node_rms = in->zeros(nodes),
                                      .node_correlation = in->zeros(nodes),
                                      .gradient = in->zeros({1, table.edge_count}),
                                      .gradient_bias = in->zeros({1, table.node_count})};
            return finish(in, {args.fisher, args.node_rms, args.gradient}, [args] { kernels::probe(args, Stream()); });
          },
      .cost = [size](int n) { return probe_cost(batch_size(size.widths, n), static_cast<double>(size.rows), 1); }};
}

Family subject_forward_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks) {
                auto in = std::make_shared<Inputs>(dtype, size.widths, networks);
                const kernels::SubjectForward args = subject_forward(*in, size.rows);
                return finish(in, {args.logits}, [args] { kernels::subject_forward(args, Stream()); });
              },
          .cost =
              [size](int n) {
                return subject_forward_cost(batch_size(size.widths, n), static_cast<double>(size.rows), true);
              }};
}

Family subject_backward_family(const KernelSize& size) {
  return {
      .make =
          [size](DType dtype, int networks) {
            auto in = std::make_shared<Inputs>(dtype, size.widths, networks);
            kernels::SubjectForwardGradient args{.forward = subject_forward(*in, size.rows)};
            args.grad_logits = in->normal(args.forward.logits.shape);
            args.grad_weight = in->zeros(in->weight.shape);
            args.grad_bias = in->zeros(in->bias.shape);
            kernels::subject_forward(args.forward, Stream());
            return finish(in, {args.grad_weight, args.grad_bias},
                          [args] { kernels::subject_backward(args, Stream()); });
          },
      .cost =
          [size](int n) { return subject_backward_cost(batch_size(size.widths, n), static_cast<double>(size.rows)); }};
}

Family divergence_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks) {
                auto in = std::make_shared<Inputs>(dtype, size.widths, networks);
                const Shape logits{networks, size.rows, size.widths.back()};
                const kernels::Divergence args{.logits_p = in->normal(logits),
                                               .logits_q = in->normal(logits),
                                               .row_count = size.rows,
                                               .divergence = in->zeros({networks})};
                return finish(in, {args.divergence}, [args] { kernels::divergence_forward(args, Stream()); });
              },
          .cost =
              [size](int n) {
                return divergence_forward_cost(batch_size(size.widths, n), static_cast<double>(size.rows));
              }};
}

Family gate_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks) {
                auto in = std::make_shared<Inputs>(dtype, size.widths, networks);
                const kernels::BlockTable& table = in->table();
                const kernels::Gate args{.logit = in->normal({table.edge_count}, 2.0),
                                         .segments = table.network_edges,
                                         .gate = in->zeros({table.edge_count}),
                                         .penalty = in->zeros({networks}),
                                         .barrier = in->zeros({networks})};
                return finish(in, {args.gate, args.penalty}, [args] { kernels::gate_forward(args, Stream()); });
              },
          .cost = [size](int n) { return gate_forward_cost(batch_size(size.widths, n)); }};
}

Family adamw_family(std::int64_t parameters) {
  return {.make =
              [parameters](DType dtype, int) {
                auto in = std::make_shared<Inputs>(dtype, std::vector<int>{2, 2}, 1);
                in->offsets = {0, parameters};
                in->tensors.emplace_back(Shape{2}, DType::float64);
                const TensorView rates = in->tensors.back();
                rates.as<double>()[0] = rates.as<double>()[1] = 1e-3;
                const kernels::AdamW args{.value = in->normal({parameters}),
                                          .grad = in->normal({parameters}),
                                          .first_moment = in->zeros({parameters}),
                                          .second_moment = in->zeros({parameters}),
                                          .average = in->zeros({parameters}),
                                          .average_decay = 0.9,
                                          .segments = {in->offsets.data(), 1},
                                          .learning_rate = slice_rows(rates, 0, 1),
                                          .weight_decay = slice_rows(rates, 1, 1)};
                return finish(in, {args.value, args.average}, [args] { kernels::adamw(args, Stream()); });
              },
          .cost = [parameters](int) { return adamw_cost(static_cast<double>(parameters)); }};
}

}  // namespace amend::bench
