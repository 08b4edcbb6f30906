#pragma once

#include <span>

#include "metanet/data/dataset.hpp"
#include "metanet/graph/graph_batch.hpp"
#include "metanet/model/editor.hpp"
#include "metanet/train/editor_config.hpp"

namespace amend {

/// What the features of a dataset are to an editor.
struct EditorData {
  TensorView input_feature;   // (inputs) int32
  TensorView feature_offset;  // (features + 1) int32
  TensorView covariance;      // (inputs, inputs) float64: of the editor_train rows
  TensorView unique;          // (inputs, inputs): x -> what the inputs of other features do not predict of it, linearly
  TensorView statistics;      // (inputs, kInputStatistics)
  kernels::Segments statistic_rows;  // all of them, one segment
};

/// `attributes`: the sensitive attributes whose intersection forms the groups that statistics tell of; none: no groups.
/// In memory of `arena`; on a device the copies are queued on `stream`.
EditorData make_editor_data(const Dataset& dataset, const std::vector<std::string>& attributes, Arena& arena,
                            DType dtype, Stream stream = {});

/// Throws InputError that names the first network that has other inputs or outputs.
void expect_fitting(std::span<const SubjectNetwork* const> networks, std::int64_t inputs, std::int64_t outputs);

/// The table and the index tensors of a batch of fitting networks, staged in `arena`, where `graph` is staged too; all
/// else is left to the caller.
EditorInputs make_inputs(const GraphBatch& graph, const Editor& editor, const EditorData& data, Arena& arena);
/// The same with weights and biases; probe, rows, logits and lambda are left to the caller.
EditorInputs make_inputs(const GraphBatch& graph, std::span<const SubjectNetwork* const> networks, const Editor& editor,
                         const EditorData& data, Arena& arena);

/// Stages `lambda` (networks, requirements) and `condition` (networks, 2 requirements): for each requirement in force
/// its weight's place in the range, log-scaled to +-1.5, and 1; for one that is off (weight 0) two zeros.
void encode_condition(EditorInputs& inputs, std::span<const double> lambda, std::span<const LambdaRange> ranges,
                      Arena& arena, DType dtype);

/// Whether a weight of the first layer at one of the feature's columns is not zero.
bool reads_feature(const SubjectNetwork& network, const Feature& feature);

/// What stands for no budget: the gates decide, as lambda has it.
inline constexpr double kNoBudget = -1.0;

/// Stages how many gates the edit may leave open. budget: (networks, requirements) row-major: of `pruning` the share of
/// the weights, of `neurons` the share of the hidden neurons, of `data_minimisation` the number of features; of all
/// others, and where nothing is asked, kNoBudget.
void stage_limits(EditorInputs& inputs, std::span<const SubjectNetwork* const> networks, std::span<const double> budget,
                  const Editor& editor, const std::vector<Feature>& features, Arena& arena);

/// Logits of the networks on `rows`: (networks, rows, classes).
TensorView original_logits(Tape& tape, const EditorInputs& inputs, const RowBatch& rows);

}  // namespace amend
