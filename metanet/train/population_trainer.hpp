#pragma once

#include "engine/device.hpp"
#include "metanet/data/dataset.hpp"
#include "metanet/data/population.hpp"
#include "metanet/train/population_config.hpp"

namespace amend {

/// How to train, not what: on one kind of device none of it changes a bit of the networks.
struct TrainOptions {
  bool progress = false;  // a bar on stderr, or a line per 10 % where that is no terminal
  int threads = 0;        // 0: as many as OpenMP gives
  Device device;          // where the networks are trained and measured
  int pool = 0;           // networks trained at a time; 0: 16 a thread, their states fit its cache, or 4096 on a device
};

/// Trains the networks that `config` describes on subject_train of `dataset` and measures their accuracy on its
/// validation rows. Networks are in the order of their runs, snapshots before the final network of a run; each one's
/// attributes hold `training`: its settings and accuracy. The same config and data give the same bits on any number of
/// threads, and a network's bits do not depend on which others are trained. Throws InputError when the data does not
/// suit the config, or a loss stops being finite (the learning rate is too high).
Population train_population(const PopulationConfig& config, const Dataset& dataset, const TrainOptions& options = {});

}  // namespace amend
