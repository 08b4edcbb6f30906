#include "bench/measure/workload.hpp"
#include "engine/parallel.hpp"
#include "kernels/fill.hpp"

namespace amend::bench {

TrainingCase::TrainingCase(const Workload& workload, int batch)
    : workload_(workload),
      dataset_(tabular_dataset(workload.widths.front(), workload.widths.back(), 2048)),
      trained_(random_editor(workload, dataset_)),
      networks_(random_networks(workload.widths, batch)),
      data_(make_editor_data(dataset_, fixed_, DType::float32)),
      sampler_(dataset_, dataset_.editor_train, {}),
      lambda_(spread_lambda(trained_, batch)),
      grad_({trained_.editor->parameters().count()}, DType::float32) {
  cache_ =
      std::make_unique<ProbeCache>(*trained_.editor, data_, pointers_to(networks_),
                                   sampler_.draw(fixed_, workload.probe_rows, 0, RandomStream(1, 3), DType::float32));
  for (int n = 0; n < batch; ++n) picks_.push_back(n);
  for (int first = 0; first < batch; first += kShardNetworks)
    shards_.push_back(std::make_unique<TrainingStep>(trained_, data_, *cache_));
  loss_weights(lambda_, 1, trained_.config.balance, weight_);
  double sum = 0.0;
  for (const double weight : weight_) sum += weight;
  for (double& weight : weight_) weight /= sum;
}

double TrainingCase::run() {
  const std::size_t count = picks_.size();
  std::vector<double> loss(shards_.size());
  parallel_for(static_cast<std::int64_t>(shards_.size()), [&](std::int64_t s) {
    const auto shard = static_cast<std::size_t>(s);
    const std::size_t first = shard * kShardNetworks, size = std::min<std::size_t>(kShardNetworks, count - first);
    const LossTerms& terms = shards_[shard]->run({.picks = std::span(picks_).subspan(first, size),
                                                  .lambda = std::span(lambda_).subspan(first, size),
                                                  .weight = std::span(weight_).subspan(first, size),
                                                  .probe_sampler = &sampler_,
                                                  .loss_sampler = &sampler_,
                                                  .probe_stream = probe_stream(),
                                                  .loss_stream = loss_stream(),
                                                  .probe_rows = workload_.probe_rows,
                                                  .probe_cell_rows = 0,
                                                  .rows = workload_.probe_rows,
                                                  .cell_rows = 0,
                                                  .training = true,
                                                  .step = 0,
                                                  .shard = static_cast<std::uint32_t>(s)});
    loss[shard] = static_cast<double>(*terms.total.value().as<float>());
  });
  double total = 0.0;
  kernels::fill({.y = grad_, .value = 0.0}, Stream());
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    total += loss[s];
    kernels::accumulate({.x = shards_[s]->grad(), .scale = 1.0, .y = grad_}, Stream());
  }
  return total;
}

}  // namespace amend::bench
