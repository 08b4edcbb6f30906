#include "metanet/train/editor_trainer.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/parallel.hpp"
#include "kernels/adamw.hpp"
#include "kernels/fill.hpp"
#include "metanet/data/sha256.hpp"
#include "metanet/train/checkpoint.hpp"
#include "metanet/train/interrupt.hpp"
#include "metanet/train/progress.hpp"
#include "metanet/train/training_error.hpp"
#include "metanet/train/training_step.hpp"

namespace amend {

namespace {

/// What random numbers are drawn for; each a sequence of its own, numbered by step.
enum Draw : std::uint32_t { kNetworks = 11, kLambda, kProbeRows, kLossRows, kFirstProbe, kValidationRows };

std::vector<const SubjectNetwork*> networks_of_split(const Population& population, PopulationSplit split) {
  std::vector<const SubjectNetwork*> networks;
  for (const int index : networks_of(population, split))
    networks.push_back(&population.networks[static_cast<std::size_t>(index)]);
  return networks;
}

/// Tells populations apart: a hash of names and weights.
std::string fingerprint(const std::vector<const SubjectNetwork*>& networks) {
  Sha256 hash;
  for (const SubjectNetwork* network : networks) {
    hash.update(network->name);
    for (const std::vector<float>* values : {&network->weights, &network->biases})
      hash.update({reinterpret_cast<const char*>(values->data()), values->size() * sizeof(float)});
  }
  return hash.hex();
}

class Trainer {
 public:
  Trainer(const EditorConfig& config, const Population& population, const Dataset& dataset, RequirementFactory factory,
          const EditorTrainOptions& options)
      : options_(options),
        trained_(make_editor(config, dataset, factory, DType::float32, options.device)),
        data_(make_editor_data(dataset, fixed_, DType::float32)),
        train_rows_(dataset, dataset.editor_train, attributes()),
        validation_rows_(dataset, dataset.validation, attributes()),
        cache_(*trained_.editor, data_, gather_networks(population, train_count_),
               train_rows_.draw(fixed_, config.edit_probe_rows, config.edit_probe_cell_rows,
                                RandomStream(config.seed, kFirstProbe), DType::float32)),
        shards_(make_shards(*this)) {
    const std::int64_t count = parameters().count();
    for (Tensor* state : {&first_, &second_, &average_, &best_, &backup_}) *state = Tensor({count}, DType::float32);
    norm_ = Tensor({1}, DType::float32);
    const auto tensors = static_cast<std::int64_t>(parameters().entries().size());
    learning_rate_ = Tensor({tensors}, DType::float64);
    decay_ = Tensor({tensors}, DType::float64);
    for (std::int64_t i = 0; i < tensors; ++i)
      decay_.as<double>()[i] = parameters().entries()[static_cast<std::size_t>(i)].decays ? config.weight_decay : 0.0;
    copy(parameters().value(), average_);
  }

  TrainedEditor run() {
    const EditorConfig& config = trained_.config;
    if (options_.resume) resume();
    const std::int64_t last = options_.stop_after > 0 ? std::min(options_.stop_after, config.steps) : config.steps;
    const std::int64_t every = validation_interval();
    Progress progress("editor", config.steps, options_.progress, done_);
    char note[64] = "";
    while (done_ < last && !interrupted()) {
      const double loss = train_step();
      ++done_;
      if (done_ % every == 0 || done_ == config.steps) {
        validate_average();
        if (!options_.checkpoint.empty()) save();
        if (options_.verbose)
          std::fprintf(stderr, "step %lld: loss %.5f, validation %.5f, best %.5f at %lld\n",
                       static_cast<long long>(done_), loss, score_, best_score_, static_cast<long long>(best_step_));
      }
      std::snprintf(note, sizeof note, "loss %.4f", loss);
      progress.update(done_, note);
    }
    if (done_ < config.steps) {
      save();
      trained_.provenance["steps"] = done_;
      return std::move(trained_);
    }
    progress.finish();
    copy(best_, parameters().value());
    trained_.provenance["steps"] = config.steps;
    trained_.provenance["best_step"] = best_step_;
    trained_.provenance["validation_score"] = best_score_;
    trained_.provenance["networks"] = train_count_;
    return std::move(trained_);
  }

 private:
  std::int64_t validation_interval() const {
    return std::max<std::int64_t>(1, trained_.config.steps / trained_.config.validations);
  }

  ParameterSet& parameters() { return trained_.editor->parameters(); }

  std::vector<std::string> attributes() const {
    return trained_.editor->reads_groups() ? trained_.config.sensitive : std::vector<std::string>{};
  }

  /// Train networks first, then validation networks.
  static std::vector<const SubjectNetwork*> gather_networks(const Population& population, int& train_count) {
    auto networks = networks_of_split(population, PopulationSplit::train);
    const auto validation = networks_of_split(population, PopulationSplit::validation);
    if (networks.empty() || validation.empty())
      fail_input("population of `" + population.dataset_name + "`",
                 "expected networks in the splits train and validation, got ", networks.size(), " and ",
                 validation.size());
    train_count = static_cast<int>(networks.size());
    networks.insert(networks.end(), validation.begin(), validation.end());
    return networks;
  }

  static void copy(const TensorView& from, const TensorView& to) {
    std::copy_n(from.as<float>(), from.count(), to.as<float>());
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
      picks_.push_back(static_cast<int>(networks.below(index, static_cast<std::uint32_t>(train_count_))));
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

  double train_step() {
    const EditorConfig& config = trained_.config;
    const auto step = static_cast<std::uint32_t>(done_);
    draw_batch();
    run_shards({.picks = {},
                .lambda = {},
                .weight = {},
                .probe_sampler = &train_rows_,
                .loss_sampler = &train_rows_,
                .probe_stream = RandomStream(config.seed, kProbeRows, step),
                .loss_stream = RandomStream(config.seed, kLossRows, step),
                .probe_rows = config.probe_rows,
                .probe_cell_rows = config.probe_cell_rows,
                .rows = config.rows,
                .cell_rows = config.cell_rows,
                .training = true,
                .step = step,
                .shard = 0});
    double loss = 0.0;
    kernels::fill({.y = parameters().grad(), .value = 0.0}, Stream());
    for (std::size_t s = 0; s < terms_.size(); ++s) {
      loss += static_cast<double>(*terms_[s]->total.value().as<float>());
      kernels::accumulate({.x = shards_[s]->grad(), .scale = 1.0, .y = parameters().grad()}, Stream());
    }
    if (!std::isfinite(loss)) blame();
    kernels::gradient_norm({.grad = parameters().grad(), .norm = norm_}, Stream());
    if (!std::isfinite(*norm_.as<float>()))
      fail_training("editor training", "step ", done_, ": the gradient is not finite though the loss (", loss,
                    ") is; a lower learning rate may help");
    const double warm =
        std::min(1.0, static_cast<double>(done_ + 1) / static_cast<double>(std::max<std::int64_t>(config.warmup, 1)));
    const double cosine =
        0.5 * (1.0 + std::cos(3.14159265358979323846 * static_cast<double>(done_) / static_cast<double>(config.steps)));
    const double rate =
        config.learning_rate * warm * (config.final_learning_rate + (1.0 - config.final_learning_rate) * cosine);
    std::fill_n(learning_rate_.as<double>(), learning_rate_.count(), rate);
    // A young average follows the weights closely.
    const double average = std::min(config.average, static_cast<double>(done_ + 1) / static_cast<double>(done_ + 10));
    kernels::adamw({.value = parameters().value(),
                    .grad = parameters().grad(),
                    .first_moment = first_,
                    .second_moment = second_,
                    .average = average_,
                    .average_decay = average,
                    .segments = parameters().segments(),
                    .learning_rate = learning_rate_,
                    .weight_decay = decay_,
                    .step = done_ + 1,
                    .gradient_norm = norm_,
                    .max_norm = config.clip},
                   Stream());
    return loss;
  }

  static std::vector<std::unique_ptr<TrainingStep>> make_shards(const Trainer& trainer) {
    std::vector<std::unique_ptr<TrainingStep>> shards;
    for (int first = 0; first < trainer.trained_.config.batch; first += kShardNetworks)
      shards.push_back(std::make_unique<TrainingStep>(trainer.trained_, trainer.data_, trainer.cache_));
    return shards;
  }

  /// Runs the networks of `picks_`, a shard a thread; `terms_` are those of each shard.
  void run_shards(const TrainingStep::Batch& shared) {
    const std::size_t requirements = trained_.config.lambda.size();
    loss_weights(lambda_, requirements, trained_.config.balance, weight_);
    raw_weight_ = weight_;
    double sum = 0.0;
    for (const double weight : weight_) sum += weight;
    for (double& weight : weight_) weight /= sum;
    const std::size_t shards = (picks_.size() + kShardNetworks - 1) / kShardNetworks;
    terms_.assign(shards, nullptr);
    parallel_for(static_cast<std::int64_t>(shards), [&](std::int64_t s) {
      const auto shard = static_cast<std::size_t>(s);
      const std::size_t first = shard * kShardNetworks,
                        count = std::min<std::size_t>(kShardNetworks, picks_.size() - first);
      TrainingStep::Batch batch = shared;
      batch.picks = std::span(picks_).subspan(first, count);
      batch.lambda = std::span(lambda_).subspan(first * requirements, count * requirements);
      batch.weight = std::span(weight_).subspan(first, count);
      batch.shard = static_cast<std::uint32_t>(s);
      terms_[shard] = &shards_[shard]->run(batch);
    });
  }

  /// Finds the term and the network that made the loss not finite, and says so.
  [[noreturn]] void blame() {
    const auto& names = trained_.config.shape.requirements;
    for (std::size_t s = 0; s < terms_.size(); ++s)
      for (std::size_t pass = 0; pass < terms_[s]->divergence.size(); ++pass) {
        const LossTerms& terms = *terms_[s];
        const auto look = [&](const Variable& term, const std::string& name) {
          if (!term) return;
          for (std::int64_t n = 0; n < term.extent(0); ++n)
            if (!std::isfinite(term.value().as<float>()[n]))
              fail_training(
                  "editor training", "step ", done_, ": ", name, " after pass ", pass + 1,
                  " is not finite for network `",
                  cache_.networks()[static_cast<std::size_t>(picks_[s * kShardNetworks + static_cast<std::size_t>(n)])]
                      ->name,
                  "`; a lower learning rate may help");
        };
        look(terms.divergence[pass], "the divergence");
        for (std::size_t r = 0; r < terms.requirement[pass].size(); ++r)
          look(terms.requirement[pass][r], "the requirement `" + names[r] + "`");
      }
    fail_training("editor training", "step ", done_,
                  ": the loss is not finite, from the barrier on the gate logits; a lower learning rate may help");
  }

  /// Measures the moving average and keeps it if it is the best so far.
  void validate_average() {
    copy(parameters().value(), backup_);
    copy(average_, parameters().value());
    score_ = validation_score();
    copy(backup_, parameters().value());
    if (!std::isfinite(score_))
      fail_training("editor training", "step ", done_,
                    ": the validation score is not finite; a lower learning rate may help");
    if (best_step_ < 0 || score_ < best_score_) {
      best_score_ = score_;
      best_step_ = done_;
      copy(average_, best_);
    }
  }

  double validation_score() {
    const EditorConfig& config = trained_.config;
    const std::size_t requirements = config.lambda.size();
    constexpr int kStrengths = 4;
    const int total = static_cast<int>(cache_.networks().size());
    double sum = 0.0, count = 0.0;
    for (int s = 0; s < kStrengths; ++s)
      for (int first = train_count_; first < total; first += config.batch) {
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
        run_shards({.picks = {},
                    .lambda = {},
                    .weight = {},
                    .probe_sampler = &train_rows_,
                    .loss_sampler = &validation_rows_,
                    .probe_stream = RandomStream(config.seed, kFirstProbe),
                    .loss_stream = RandomStream(config.seed, kValidationRows),
                    .probe_rows = config.edit_probe_rows,
                    .probe_cell_rows = config.edit_probe_cell_rows,
                    .rows = config.validation_rows,
                    .cell_rows = config.validation_rows / 4,
                    .training = false,
                    .step = 0,
                    .shard = 0});
        for (std::size_t n = 0; n < picks_.size(); ++n) {
          const LossTerms& terms = *terms_[n / kShardNetworks];
          const std::size_t last = terms.divergence.size() - 1;
          const auto at = static_cast<std::int64_t>(n % kShardNetworks);
          double value = static_cast<double>(terms.divergence[last].value().as<float>()[at]);
          for (std::size_t r = 0; r < requirements; ++r)
            value +=
                lambda_[n * requirements + r] * static_cast<double>(terms.requirement[last][r].value().as<float>()[at]);
          sum += value * raw_weight_[n];
          count += 1.0;
        }
      }
    return sum / count;
  }

  /// What a checkpoint holds; its tensors are those of this trainer.
  TrainingState state() {
    return {.config = trained_.config.text,
            .dataset = trained_.dataset_fingerprint,
            .networks = fingerprint_,
            .step = done_,
            .best_step = best_step_,
            .best_score = best_score_,
            .tensors = {{"value", parameters().value()},
                        {"first_moment", first_},
                        {"second_moment", second_},
                        {"average", average_},
                        {"best", best_}}};
  }

  void save() {
    check(!options_.checkpoint.empty(), "editor training", "stopping early needs a checkpoint file");
    save_checkpoint(state(), options_.checkpoint);
  }

  void resume() {
    TrainingState read = state();
    load_checkpoint(options_.checkpoint, trained_.config.steps, validation_interval(), read);
    done_ = read.step;
    best_step_ = read.best_step;
    best_score_ = read.best_score;
  }

  EditorTrainOptions options_;
  TrainedEditor trained_;
  Arena fixed_;  // rows and indices that outlive every step
  EditorData data_;
  RowSampler train_rows_, validation_rows_;
  int train_count_ = 0;
  ProbeCache cache_;
  std::vector<std::unique_ptr<TrainingStep>> shards_;
  std::vector<const LossTerms*> terms_;
  std::string fingerprint_ = fingerprint(cache_.networks());
  Tensor first_, second_, average_, best_, backup_, norm_, learning_rate_, decay_;
  std::vector<int> picks_;
  std::vector<double> lambda_, weight_, raw_weight_;
  std::int64_t done_ = 0, best_step_ = -1;
  double best_score_ = 0.0, score_ = 0.0;
};

}  // namespace

TrainedEditor train_editor(const EditorConfig& config, const Population& population, const Dataset& dataset,
                           RequirementFactory factory, const EditorTrainOptions& options) {
  check(!options.device.is_cuda(), "editor training", "the CUDA engine is not part of this build");
  if (population.dataset_fingerprint != dataset.fingerprint)
    fail_input(dataset.source.string(), "expected the dataset the population was trained on, `",
               population.dataset_name, "` (", population.dataset_fingerprint.substr(0, 12), "), got `", dataset.name,
               "` (", dataset.fingerprint.substr(0, 12), ")");
  return Trainer(config, population, dataset, factory, options).run();
}

}  // namespace amend
