#include "bench/measure/workload.hpp"
#include "engine/copy.hpp"
#include "engine/parallel.hpp"
#include "kernels/fill.hpp"

namespace amend::bench {

TrainingCase::TrainingCase(const Workload& workload, int batch, Device device)
    : workload_(workload),
      shard_networks_(device.is_cuda() ? batch : kShardNetworks),
      stream_(device),
      dataset_(tabular_dataset(workload.widths.front(), workload.widths.back(), 2048)),
      trained_(random_editor(workload, dataset_, DType::float32, device)),
      networks_(random_networks(workload.widths, batch)),
      fixed_(device),
      data_(make_editor_data(dataset_, {}, fixed_, DType::float32, stream_)),
      sampler_(dataset_, dataset_.editor_train, {}, stream_),
      lambda_(spread_lambda(trained_, batch)),
      grad_({trained_.editor->parameters().count()}, DType::float32, device) {
  cache_ = std::make_unique<ProbeCache>(
      *trained_.editor, data_, pointers_to(networks_),
      sampler_.draw(fixed_, workload.probe_rows, 0, RandomStream(1, 3), DType::float32, stream_), stream_);
  for (int n = 0; n < batch; ++n) picks_.push_back(n);
  for (int first = 0; first < batch; first += shard_networks_)
    shards_.push_back(std::make_unique<TrainingStep>(trained_, stream_));
  terms_.resize(shards_.size());
  loss_weights(lambda_, 1, trained_.config.balance, weight_);
  double sum = 0.0;
  for (const double weight : weight_) sum += weight;
  for (double& weight : weight_) weight /= sum;
}

void TrainingCase::run() {
  stream_.make_current();
  const std::size_t count = picks_.size(), shard_networks = static_cast<std::size_t>(shard_networks_);
  parallel_for(static_cast<std::int64_t>(shards_.size()), [&](std::int64_t s) {
    const auto shard = static_cast<std::size_t>(s);
    const std::size_t first = shard * shard_networks, size = std::min(shard_networks, count - first);
    terms_[shard] = &shards_[shard]->run({.data = &data_,
                                          .cache = cache_.get(),
                                          .picks = std::span(picks_).subspan(first, size),
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
  });
  kernels::fill({.y = grad_, .value = 0.0}, stream_);
  for (const auto& shard : shards_) kernels::accumulate({.x = shard->grad(), .scale = 1.0, .y = grad_}, stream_);
}

double TrainingCase::loss() const {
  double total = 0.0;
  for (const LossTerms* terms : terms_)
    total += static_cast<double>(*host_copy(terms->total.value(), stream_).as<float>());
  return total;
}

}  // namespace amend::bench
