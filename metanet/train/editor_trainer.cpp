#include "metanet/train/editor_trainer.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>

#include "engine/copy.hpp"
#include "engine/out_of_memory.hpp"
#include "engine/parallel.hpp"
#include "engine/stream_owner.hpp"
#include "kernels/fill.hpp"
#include "metanet/data/sha256.hpp"
#include "metanet/train/budgeted_edit.hpp"
#include "metanet/train/checkpoint.hpp"
#include "metanet/train/editor_optimiser.hpp"
#include "metanet/train/interrupt.hpp"
#include "metanet/train/progress.hpp"
#include "metanet/train/training_data.hpp"
#include "metanet/train/training_error.hpp"
#include "metanet/train/training_step.hpp"

namespace amend {

namespace {

/// What random numbers are drawn for; each a sequence of its own, numbered by step.
enum Draw : std::uint32_t { kNetworks = 11, kLambda, kProbeRows, kLossRows, kFirstProbe, kValidationRows };

/// Validation networks that curves of what is kept are means over.
constexpr std::size_t kCurveNetworks = 32;

/// Tells populations apart: a hash of names and weights.
std::string fingerprint(const std::deque<TrainingData>& data) {
  Sha256 hash;
  for (const TrainingData& on : data)
    for (const SubjectNetwork* network : on.cache.networks()) {
      hash.update(network->name);
      for (const std::vector<float>* values : {&network->weights, &network->biases})
        hash.update({reinterpret_cast<const char*>(values->data()), values->size() * sizeof(float)});
    }
  return hash.hex();
}

std::vector<const Dataset*> datasets_of(std::span<const EditorSource> sources) {
  std::vector<const Dataset*> datasets;
  for (const EditorSource& source : sources) datasets.push_back(source.dataset);
  return datasets;
}

class Trainer {
 public:
  Trainer(const EditorConfig& config, std::span<const EditorSource> sources, RequirementFactory factory,
          const EditorTrainOptions& options)
      : options_(options),
        stream_(options.device),
        shard_networks_(options.device.is_cuda() ? config.batch : kShardNetworks),
        trained_(make_editor(config, datasets_of(sources), factory, DType::float32, options.device)),
        fixed_(options.device),
        data_(gather_data(*this, sources)),
        shards_(make_shards(*this)),
        optimiser_(trained_.editor->parameters(), trained_.config, stream_),
        history_(kLossInterval, stream_) {}

  TrainedEditor run() {
    try {
      return train();
    } catch (const OutOfMemory& error) {
      std::size_t held = 0;
      for (const auto& shard : shards_) held += shard->memory();
      fail_input(trained_.config.file.string() + ": batch", error.what(),
                 "; try batch: ", smaller_batch(trained_.config.batch, held, error));
    }
  }

 private:
  TrainedEditor train() {
    const EditorConfig& config = trained_.config;
    if (options_.resume) resume();
    const std::int64_t last = options_.stop_after > 0 ? std::min(options_.stop_after, config.steps) : config.steps;
    const std::int64_t every = validation_interval();
    Progress progress("editor", config.steps, options_.progress, done_);
    char note[64] = "";
    while (done_ < last && !interrupted()) {
      train_step();
      ++done_;
      const bool validates = done_ % every == 0 || done_ == config.steps;
      if (validates || history_.full()) check_losses();
      if (validates) {
        validate_average();
        if (!options_.checkpoint.empty()) save();
        if (options_.verbose)
          std::fprintf(stderr, "step %lld: loss %.5f, validation %.5f, best %.5f at %lld\n",
                       static_cast<long long>(done_), loss_, score_, best_score_, static_cast<long long>(best_step_));
      }
      std::snprintf(note, sizeof note, "loss %.4f", loss_);
      progress.update(done_, note);
    }
    check_losses();
    if (done_ < config.steps) {
      save();
      trained_.provenance["steps"] = done_;
      return std::move(trained_);
    }
    progress.finish();
    optimiser_.deliver_best();
    synchronise(stream_);
    trained_.provenance["steps"] = config.steps;
    trained_.provenance["best_step"] = best_step_;
    trained_.provenance["validation_score"] = best_score_;
    int networks = 0;
    for (const TrainingData& data : data_) networks += data.train_count;
    trained_.provenance["networks"] = networks;
    return std::move(trained_);
  }

  std::int64_t validation_interval() const {
    return std::max<std::int64_t>(1, trained_.config.steps / trained_.config.validations);
  }

  ParameterSet& parameters() { return trained_.editor->parameters(); }

  static std::deque<TrainingData> gather_data(Trainer& trainer, std::span<const EditorSource> sources) {
    std::deque<TrainingData> data;  // stays where it is: what is captured on a device points into it
    const RandomStream first_probe(trainer.trained_.config.seed, kFirstProbe);
    for (const EditorSource& source : sources)
      data.emplace_back(trainer.trained_, *source.population, *source.dataset, first_probe, trainer.fixed_,
                        trainer.stream_);
    return data;
  }

  void draw_batch() {
    const EditorConfig& config = trained_.config;
    const auto step = static_cast<std::uint32_t>(done_);
    const RandomStream networks(config.seed, kNetworks, step), strengths(config.seed, kLambda, step);
    const std::size_t requirements = config.lambda.size();
    picks_.clear();
    lambda_.clear();
    for (int n = 0; n < config.batch; ++n) {
      const auto index = static_cast<std::uint64_t>(n);
      picks_.push_back(static_cast<int>(networks.below(index, static_cast<std::uint32_t>(current_->train_count))));
      // One requirement is always in force; the others drop out with the configured probability.
      const auto kept = strengths.below(index * (2 * requirements + 1), static_cast<std::uint32_t>(requirements));
      for (std::size_t r = 0; r < requirements; ++r) {
        const std::uint64_t at = index * (2 * requirements + 1) + 1 + 2 * r;
        const bool off = r != kept && static_cast<double>(strengths.uniform(at)) < config.off;
        const double u = static_cast<double>(strengths.uniform(at + 1));
        const LambdaRange& range = config.lambda[r];
        lambda_.push_back(off ? 0.0 : std::exp((1.0 - u) * std::log(range.low) + u * std::log(range.high)));
      }
    }
  }

  void train_step() {
    const EditorConfig& config = trained_.config;
    const auto step = static_cast<std::uint32_t>(done_);
    last_step_ = done_;
    current_ = &data_[static_cast<std::size_t>(done_) % data_.size()];
    draw_batch();
    const bool on_device = options_.device.is_cuda();
    run_shards({.data = &current_->data,
                .cache = &current_->cache,
                .picks = {},
                .lambda = {},
                .weight = {},
                .probe_sampler = &current_->probe_rows,
                .loss_sampler = &current_->loss_rows,
                .probe_stream = RandomStream(config.seed, kProbeRows, step),
                .loss_stream = RandomStream(config.seed, kLossRows, step),
                .probe_rows = config.probe_rows,
                .probe_cell_rows = config.probe_cell_rows,
                .rows = config.rows,
                .cell_rows = config.cell_rows,
                .training = true,
                .step = step,
                .shard = 0,
                .optimiser = on_device ? &optimiser_ : nullptr});
    if (on_device) {
      history_.add(terms_[0]->total.value(), optimiser_.norm());
      return;
    }
    kernels::fill({.y = parameters().grad(), .value = 0.0}, stream_);
    for (std::size_t s = 0; s < terms_.size(); ++s)
      kernels::accumulate({.x = shards_[s]->grad(), .scale = 1.0, .y = parameters().grad()}, stream_);
    loss_ = 0.0;
    for (const LossTerms* terms : terms_) loss_ += static_cast<double>(*terms->total.value().as<float>());
    if (!std::isfinite(loss_)) blame(done_);
    step_.reset();
    optimiser_.step(parameters().grad(), optimiser_.plan(done_, step_));
    if (!std::isfinite(*optimiser_.norm().as<float>())) blame_gradient(done_, loss_);
  }

  /// Looks at what a device kept of the steps since the last time.
  void check_losses() {
    const auto entries = history_.take();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const std::int64_t step = done_ - static_cast<std::int64_t>(entries.size() - i);
      loss_ = entries[i].loss;
      if (!std::isfinite(loss_)) blame(step);
      if (!std::isfinite(entries[i].norm)) blame_gradient(step, loss_);
    }
  }

  [[noreturn]] static void blame_gradient(std::int64_t step, double loss) {
    fail_training("editor training", "step ", step, ": the gradient is not finite though the loss (", loss,
                  ") is; a lower learning rate may help");
  }

  static std::vector<std::unique_ptr<TrainingStep>> make_shards(const Trainer& trainer) {
    std::vector<std::unique_ptr<TrainingStep>> shards;
    for (int first = 0; first < trainer.trained_.config.batch; first += trainer.shard_networks_)
      shards.push_back(std::make_unique<TrainingStep>(trainer.trained_, trainer.stream_));
    return shards;
  }

  /// Runs the networks of `picks_`, a shard a thread, or all at once on a device; `terms_` are those of each shard.
  void run_shards(const TrainingStep::Batch& shared) {
    const std::size_t requirements = trained_.config.lambda.size();
    loss_weights(lambda_, requirements, trained_.config.balance, weight_);
    raw_weight_ = weight_;
    double sum = 0.0;
    for (const double weight : weight_) sum += weight;
    for (double& weight : weight_) weight /= sum;
    const auto size = static_cast<std::size_t>(shard_networks_);
    const std::size_t shards = (picks_.size() + size - 1) / size;
    terms_.assign(shards, nullptr);
    parallel_for(static_cast<std::int64_t>(shards), [&](std::int64_t s) {
      const auto shard = static_cast<std::size_t>(s);
      const std::size_t first = shard * size, count = std::min(size, picks_.size() - first);
      TrainingStep::Batch batch = shared;
      batch.picks = std::span(picks_).subspan(first, count);
      batch.lambda = std::span(lambda_).subspan(first * requirements, count * requirements);
      batch.weight = std::span(weight_).subspan(first, count);
      batch.shard = static_cast<std::uint32_t>(s);
      terms_[shard] = &shards_[shard]->run(batch);
    });
  }

  /// Finds the term and the network that made the loss of `step` not finite, and says so; of the last step only: the
  /// terms of the others are gone.
  [[noreturn]] void blame(std::int64_t step) {
    const auto& names = trained_.config.shape.requirements;
    for (std::size_t s = 0; s < terms_.size() && step == last_step_; ++s)
      for (std::size_t pass = 0; pass < terms_[s]->divergence.size(); ++pass) {
        const LossTerms& terms = *terms_[s];
        const auto look = [&](const Variable& term, const std::string& name) {
          if (!term) return;
          const Tensor value = host_copy(term.value(), stream_);
          for (std::int64_t n = 0; n < value.count(); ++n)
            if (!std::isfinite(value.as<float>()[n]))
              fail_training(
                  "editor training", "step ", step, ": ", name, " after pass ", pass + 1,
                  " is not finite for network `",
                  current_->cache
                      .networks()[static_cast<std::size_t>(
                          picks_[s * static_cast<std::size_t>(shard_networks_) + static_cast<std::size_t>(n)])]
                      ->name,
                  "`; a lower learning rate may help");
        };
        look(terms.divergence[pass], "the divergence");
        for (std::size_t r = 0; r < terms.requirement[pass].size(); ++r)
          look(terms.requirement[pass][r], "the requirement `" + names[r] + "`");
      }
    fail_training("editor training", "step ", step, ": the loss is not finite",
                  step == last_step_ ? ", from the barrier on the gate logits" : "",
                  "; a lower learning rate may help");
  }

  /// Measures the moving average and keeps it if it is the best so far.
  void validate_average() {
    optimiser_.swap_in_average();
    score_ = 0.0;
    for (const TrainingData& data : data_) score_ += validation_score(data) / static_cast<double>(data_.size());
    optimiser_.swap_back();
    if (!std::isfinite(score_))
      fail_training("editor training", "step ", done_,
                    ": the validation score is not finite; a lower learning rate may help");
    if (best_step_ < 0 || score_ < best_score_) {
      best_score_ = score_;
      best_step_ = done_;
      optimiser_.keep_average();
    }
  }

  double validation_score(const TrainingData& data) {
    const EditorConfig& config = trained_.config;
    const std::size_t requirements = config.lambda.size();
    constexpr int kStrengths = 4;
    const int total = static_cast<int>(data.cache.networks().size());
    double sum = 0.0, count = 0.0;
    for (int s = 0; s < kStrengths; ++s)
      for (int first = data.train_count; first < total; first += config.batch) {
        picks_.clear();
        lambda_.clear();
        for (int n = first; n < std::min(first + config.batch, total); ++n) {
          picks_.push_back(n);
          for (std::size_t r = 0; r < requirements; ++r) {
            // Several requirements: each network meets another mix of strengths.
            const int turn = r == 0 ? s : (s + (n + static_cast<int>(r)) * 3) % (kStrengths + 1);
            const double strength = (turn % kStrengths + 0.5) / kStrengths;
            lambda_.push_back(turn == kStrengths ? 0.0 : config.lambda[r].at_strength(strength));
          }
        }
        run_shards({.data = &data.data,
                    .cache = &data.cache,
                    .picks = {},
                    .lambda = {},
                    .weight = {},
                    .probe_sampler = &data.probe_rows,
                    .loss_sampler = &data.validation_rows,
                    .probe_stream = RandomStream(config.seed, kFirstProbe),
                    .loss_stream = RandomStream(config.seed, kValidationRows),
                    .probe_rows = config.edit_probe_rows,
                    .probe_cell_rows = config.edit_probe_cell_rows,
                    .rows = config.validation_rows,
                    .cell_rows = config.validation_rows / 4,
                    .training = false,
                    .step = 0,
                    .shard = 0});
        const auto size = static_cast<std::size_t>(shard_networks_);
        for (std::size_t shard = 0; shard < terms_.size(); ++shard) {
          const LossTerms& terms = *terms_[shard];
          const std::size_t last = terms.divergence.size() - 1, begin = shard * size;
          const Tensor divergence = host_copy(terms.divergence[last].value(), stream_);
          std::vector<Tensor> requirement;
          std::vector<double> values(requirements);
          for (const Variable& term : terms.requirement[last]) requirement.push_back(host_copy(term.value(), stream_));
          for (std::size_t k = 0; k < std::min(size, picks_.size() - begin); ++k) {
            for (std::size_t r = 0; r < requirements; ++r)
              values[r] = static_cast<double>(requirement[r].as<float>()[k]);
            const auto lambda = std::span<const double>(lambda_).subspan((begin + k) * requirements, requirements);
            sum += raw_weight_[begin + k] *
                   scalarise(config.scalarisation, static_cast<double>(divergence.as<float>()[k]), lambda, values);
            count += 1.0;
          }
        }
      }
    return sum / count;
  }

  std::string dataset_fingerprints() const {
    std::string all;
    for (const EditorDataset& dataset : trained_.datasets) all += (all.empty() ? "" : " ") + dataset.fingerprint;
    return all;
  }

  /// What a checkpoint holds, with the optimiser's tensors in host memory.
  TrainingState state(const std::vector<std::pair<std::string, Tensor>>& tensors) const {
    return {.config = trained_.config.text,
            .dataset = dataset_fingerprints(),
            .networks = fingerprint_,
            .step = done_,
            .best_step = best_step_,
            .best_score = best_score_,
            .tensors = {tensors.begin(), tensors.end()}};
  }

  void save() {
    check(!options_.checkpoint.empty(), "editor training", "stopping early needs a checkpoint file");
    save_checkpoint(state(optimiser_.state()), options_.checkpoint);
  }

  void resume() {
    const auto tensors = optimiser_.state();
    TrainingState read = state(tensors);
    load_checkpoint(options_.checkpoint, trained_.config.steps, validation_interval(), read);
    optimiser_.set_state(tensors);
    done_ = read.step;
    best_step_ = read.best_step;
    best_score_ = read.best_score;
  }

  /// Steps whose losses a device keeps before the host looks at them.
  static constexpr std::int64_t kLossInterval = 64;

  EditorTrainOptions options_;
  StreamOwner stream_;  // outlives all that works on it
  int shard_networks_;
  TrainedEditor trained_;
  Arena fixed_;                                      // rows and indices that outlive every step
  Arena step_{Device::cpu(), std::size_t{1} << 16};  // rates of a step, where the optimiser is not part of it
  std::deque<TrainingData> data_;
  const TrainingData* current_ = nullptr;  // of the last step
  std::vector<std::unique_ptr<TrainingStep>> shards_;
  std::vector<const LossTerms*> terms_;
  std::string fingerprint_ = fingerprint(data_);
  EditorOptimiser optimiser_;
  LossHistory history_;
  std::vector<int> picks_;
  std::vector<double> lambda_, weight_, raw_weight_;
  std::int64_t done_ = 0, best_step_ = -1, last_step_ = -1;
  double best_score_ = 0.0, score_ = 0.0, loss_ = 0.0;
};

}  // namespace

TrainedEditor train_editor(const EditorConfig& config, std::span<const EditorSource> sources,
                           RequirementFactory factory, const EditorTrainOptions& options) {
  for (const auto& [population, dataset] : sources)
    if (population->dataset_fingerprint != dataset->fingerprint)
      fail_input(dataset->source.string(), "expected the dataset the population was trained on, `",
                 population->dataset_name, "` (", population->dataset_fingerprint.substr(0, 12), "), got `",
                 dataset->name, "` (", dataset->fingerprint.substr(0, 12), ")");
  TrainedEditor trained = Trainer(config, sources, factory, options).run();
  if (trained.provenance.at("steps") == config.steps && !trained.transfers()) {
    const auto& [population, dataset] = sources.front();
    std::vector<const SubjectNetwork*> networks;
    for (const int index : networks_of(*population, PopulationSplit::validation))
      if (networks.size() < kCurveNetworks) networks.push_back(&population->networks[static_cast<std::size_t>(index)]);
    trained.kept = measure_kept(trained, *dataset, networks);
  }
  return trained;
}

TrainedEditor train_editor(const EditorConfig& config, const Population& population, const Dataset& dataset,
                           RequirementFactory factory, const EditorTrainOptions& options) {
  const EditorSource source{&population, &dataset};
  return train_editor(config, {&source, 1}, factory, options);
}

}  // namespace amend
