// The kernels alone, on random tensors.
#include "bench/measure/kernel_cases.hpp"

#include "bench/measure/case_inputs.hpp"
#include "kernels/adamw.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/divergence.hpp"
#include "kernels/edge_embed.hpp"
#include "kernels/edit_head.hpp"
#include "kernels/gate.hpp"
#include "kernels/probe.hpp"
#include "kernels/subject_forward.hpp"

namespace amend::bench {

namespace {

kernels::SubjectForward subject_forward(CaseInputs& in, std::int64_t rows) {
  const kernels::BlockTable& table = in.table();
  return {.table = table,
          .weight = in.weight,
          .bias = in.bias,
          .x = in.normal({rows, in.inputs()}),
          .activation = in.zeros({table.hidden_count, rows}),
          .slope = in.zeros({table.hidden_count, rows}),
          .logits = in.zeros({table.network_count, rows, in.outputs()})};
}

}  // namespace

Family edge_embed_family(const KernelSize& size) {
  return {
      .make =
          [size](DType dtype, int networks, Stream stream) {
            auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
            const kernels::EdgeEmbed args = edge_embed_of(*in, size.d, in->zeros({in->table().edge_count, size.d}));
            return finish(in, {args.out}, [args, stream] { kernels::edge_embed_forward(args, stream); });
          },
      .cost =
          [size](int n) { return edge_embed_forward_cost(batch_size(size.widths, n), static_cast<double>(size.d)); }};
}

Family edit_head_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
                const kernels::BlockTable& table = in->table();
                const std::int64_t h = size.h;
                const kernels::EditHead args{.table = table,
                                             .edge = {.rows = in->normal({table.edge_count, size.d})},
                                             .weight = in->normal({h, size.d}, 0.1),
                                             .projection = in->normal({table.node_count, 2 * h}),
                                             .kind_bias = in->normal({kernels::kBlockKinds, h}),
                                             .head = in->normal({kernels::kBlockKinds, 2, h}, 0.1),
                                             .head_bias = in->normal({kernels::kBlockKinds, 2}),
                                             .out = in->zeros({table.edge_count, 2})};
                return finish(in, {args.out}, [args, stream] { kernels::edit_head_forward(args, stream); });
              },
          .cost =
              [size](int n) {
                return edit_head_forward_cost(batch_size(size.widths, n), static_cast<double>(size.d), 0,
                                              static_cast<double>(size.h), 2, false);
              }};
}

Family probe_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
                const kernels::BlockTable& table = in->table();
                const kernels::SubjectForward pass = subject_forward(*in, size.rows);
                kernels::subject_forward(pass, stream);
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
                return finish(in, {args.fisher, args.node_rms, args.gradient},
                              [args, stream] { kernels::probe(args, stream); });
              },
          .cost = [size](int n) { return probe_cost(batch_size(size.widths, n), static_cast<double>(size.rows), 1); }};
}

Family subject_forward_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
                const kernels::SubjectForward args = subject_forward(*in, size.rows);
                return finish(in, {args.logits}, [args, stream] { kernels::subject_forward(args, stream); });
              },
          .cost =
              [size](int n) {
                return subject_forward_cost(batch_size(size.widths, n), static_cast<double>(size.rows), true);
              }};
}

Family subject_backward_family(const KernelSize& size) {
  return {
      .make =
          [size](DType dtype, int networks, Stream stream) {
            auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
            kernels::SubjectForwardGradient args{.forward = subject_forward(*in, size.rows)};
            args.grad_logits = in->normal(args.forward.logits.shape);
            args.grad_weight = in->zeros(in->weight.shape);
            args.grad_bias = in->zeros(in->bias.shape);
            kernels::subject_forward(args.forward, stream);
            return finish(in, {args.grad_weight, args.grad_bias},
                          [args, stream] { kernels::subject_backward(args, stream); });
          },
      .cost =
          [size](int n) { return subject_backward_cost(batch_size(size.widths, n), static_cast<double>(size.rows)); }};
}

Family divergence_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
                const Shape logits{networks, size.rows, size.widths.back()};
                const kernels::Divergence args{.logits_p = in->normal(logits),
                                               .logits_q = in->normal(logits),
                                               .row_count = size.rows,
                                               .divergence = in->zeros({networks})};
                return finish(in, {args.divergence}, [args, stream] { kernels::divergence_forward(args, stream); });
              },
          .cost =
              [size](int n) {
                return divergence_forward_cost(batch_size(size.widths, n), static_cast<double>(size.rows));
              }};
}

Family gate_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
                const kernels::BlockTable& table = in->table();
                const kernels::Gate args{.logit = in->normal({table.edge_count}, 2.0),
                                         .segments = table.network_edges,
                                         .gate = in->zeros({table.edge_count}),
                                         .penalty = in->zeros({networks}),
                                         .barrier = in->zeros({networks})};
                return finish(in, {args.gate, args.penalty}, [args, stream] { kernels::gate_forward(args, stream); });
              },
          .cost = [size](int n) { return gate_forward_cost(batch_size(size.widths, n)); }};
}

Family adamw_family(std::int64_t parameters) {
  return {.make =
              [parameters](DType dtype, int, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, std::vector<int>{2, 2}, 1, stream);
                const Tensor host_rates(Shape{2}, DType::float64);
                host_rates.as<double>()[0] = host_rates.as<double>()[1] = 1e-3;
                const Tensor host_schedule(Shape{3}, DType::float64);
                std::ranges::copy(kernels::adamw_schedule(1, 0.9), host_schedule.as<double>());
                const TensorView rates = in->put(host_rates);
                const std::int64_t offsets[] = {0, parameters};
                const kernels::AdamW args{.value = in->normal({parameters}),
                                          .grad = in->normal({parameters}),
                                          .first_moment = in->zeros({parameters}),
                                          .second_moment = in->zeros({parameters}),
                                          .average = in->zeros({parameters}),
                                          .segments = {in->put(offsets), 1},
                                          .learning_rate = slice_rows(rates, 0, 1),
                                          .weight_decay = slice_rows(rates, 1, 1),
                                          .schedule = in->put(host_schedule)};
                return finish(in, {args.value, args.average}, [args, stream] { kernels::adamw(args, stream); });
              },
          .cost = [parameters](int) { return adamw_cost(static_cast<double>(parameters)); }};
}

Family product_family(const ProductSize& size, bool library) {
  constexpr int kTimes = 64;  // one is over too soon to be timed
  return {.make =
              [size, library](DType dtype, int, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, std::vector<int>{2, 2}, 1, stream);
                const TensorView a = in->normal({size.m, size.k}), b = in->normal({size.k, size.n}),
                                 c = in->zeros({size.m, size.n});
                return finish(in, {c}, [=] {
                  using kernels::cpu::Trans;
                  const auto run = library ? kernels::cpu::library_gemm
                                           : static_cast<decltype(&kernels::cpu::library_gemm)>(kernels::cpu::gemm);
                  for (int i = 0; i < kTimes; ++i)
                    run(size.left_transposed ? Trans::yes : Trans::no, size.right_transposed ? Trans::yes : Trans::no,
                        size.m, size.n, size.k, 1.0f, a.as<float>(), size.left_transposed ? size.m : size.k,
                        b.as<float>(), size.right_transposed ? size.k : size.n, 0.0f, c.as<float>(), size.n);
                });
              },
          .cost =
              [size](int) {
                const double m = size.m, n = size.n, k = size.k;
                return Cost{4 * kTimes * (m * k + k * n + m * n), kTimes * 2 * m * n * k, "64 products, 2 m n k"};
              },
          .comparable = false};
}

}  // namespace amend::bench
