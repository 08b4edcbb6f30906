#pragma once

// Features of single weights and neurons, shared by both twins of edge_features, edit_features, refine_features and
// feature_gate_features, and by kernels that form features of weights.

#include <cmath>

#include "kernels/edit_features.hpp"
#include "kernels/math.hpp"

namespace amend::kernels {

template <class T>
AMEND_HOST_DEVICE inline T clamp(T value, T bound) {
  return value > bound ? bound : (value < -bound ? -bound : value);
}
template <class T>
AMEND_HOST_DEVICE inline T at_least(T value, T floor) {
  return value < floor ? floor : value;
}
/// log of the weight of a requirement, which may be off.
template <class T>
AMEND_HOST_DEVICE inline T log_of_lambda(T lambda) {
  return logarithm(at_least(lambda, T(1e-8)));
}

/// What the features of a block's weights are held against.
template <class T>
struct EdgeScales {
  T scale, mean_fisher, mean_saliency;
  T gradient_rms, newton_rms;  // when there is a gradient
  T eighth;                    // n / 8, n the weights of the network
  T log_lambda;
  T prior;  // 1, or 0: there is no lambda

  AMEND_HOST_DEVICE static EdgeScales load(const T* row) {
    return {row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]};
  }
  AMEND_HOST_DEVICE void store(T* row) const {
    row[0] = scale;
    row[1] = mean_fisher;
    row[2] = mean_saliency;
    row[3] = gradient_rms;
    row[4] = newton_rms;
    row[5] = eighth;
    row[6] = log_lambda;
    row[7] = prior;
  }
};

/// The diagonal Newton step of a weight, before it is scaled.
template <class T>
AMEND_HOST_DEVICE inline T newton_step(T gradient, T fisher, T mean_fisher) {
  return gradient / (fisher + T(0.1) * mean_fisher);
}

/// What optimal brain damage says of a weight's logit, of the logarithm of its saliency.
template <class T>
AMEND_HOST_DEVICE inline T log_of_saliency(const EdgeScales<T>& s, T weight, T fisher) {
  return logarithm(weight * weight * fisher * s.eighth + T(1e-6));
}
template <class T>
AMEND_HOST_DEVICE inline T edge_prior(const EdgeScales<T>& s, T log_saliency) {
  return clamp(log_saliency - s.log_lambda, T(8));
}

/// The features of a weight but for those of its block's kind. `rms` is its source's, `energy` its target's.
inline constexpr std::int64_t kOwnFeatures = kEdgeFeatures - kBlockKinds;
template <bool kGradient, class T>
AMEND_HOST_DEVICE inline void features_of_edge(const EdgeScales<T>& s, T weight, T fisher, T gradient, T rms, T energy,
                                               T* f) {
  const T w = weight / s.scale, magnitude = std::fabs(w), share = weight * rms / energy;
  const T saliency = weight * weight * fisher * s.eighth, log_saliency = log_of_saliency(s, weight, fisher);
  const T log_magnitude = logarithm(T(1) + T(4) * magnitude);
  f[0] = w;
  f[1] = magnitude;
  f[2] = w < T(0) ? -log_magnitude : log_magnitude;
  f[3] = T(3) * share;
  f[4] = T(3) * std::fabs(share);
  f[5] = logarithm(std::fabs(share) + T(1e-4)) / T(2) + T(2);
  f[6] = logarithm(fisher / s.mean_fisher + T(1e-3)) / T(2);
  f[7] = log_saliency / T(3) + T(1);
  f[8] = s.prior * edge_prior(s, log_saliency) / T(3);
  f[9] = logarithm(saliency / s.mean_saliency + T(1e-4)) / T(3);
  f[10] = kGradient ? signed_logarithm(gradient / s.gradient_rms) : T(0);
  f[11] = kGradient ? signed_logarithm(newton_step(gradient, fisher, s.mean_fisher) / s.newton_rms) : T(0);
}

/// Where a neuron stands.
template <class T>
struct NodePlace {
  int kind;        // input, hidden, output
  T depth;         // 0 .. 1
  bool has_block;  // a block leads here:
  T scale;         // its scale
  T cols;          // its source neurons
};

/// The kNodeFeatures features of a neuron. `gradient_bias` is 0 when there is none.
template <class T>
AMEND_HOST_DEVICE inline void node_features(const NodePlace<T>& at, T bias, T fisher_bias, T gradient_bias, T mean,
                                            T rms, T correlation, T* f) {
  for (int i = 0; i < kNodeFeatures; ++i) f[i] = T(0);
  if (at.has_block) {
    f[0] = bias / at.scale;
    f[1] = std::fabs(f[0]);
    f[2] = logarithm(at.scale);
    f[9] = logarithm(fisher_bias + T(1e-4)) / T(2) + T(2);
    f[10] = signed_logarithm(gradient_bias * T(5));
    f[15] = logarithm(at.cols) / T(2) - T(1.5);
  }
  if (at.kind < 2) {
    f[3] = mean;
    f[4] = rms;
    f[5] = logarithm(rms + T(1e-3));
    f[6] = correlation;
    f[7] = std::fabs(correlation);
    f[8] = logarithm(at_least(rms * rms - mean * mean, T(0)) + T(1e-3)) / T(2);
  }
  f[11] = at.depth;
  f[12 + at.kind] = T(1);
}

/// The prior of a neuron's gate; `saliency` is the sum of w^2 F over its outgoing weights.
template <class T>
AMEND_HOST_DEVICE inline T neuron_prior(T saliency, T hidden_count, T log_lambda) {
  return clamp(logarithm(saliency * (hidden_count / T(8)) + T(1e-6)) - log_lambda, T(8));
}

/// What the features of a block's weights are held against in a refinement pass.
template <class T>
struct RefineScales {
  T scale, mean_fisher, n, lambda, log_lambda;

  AMEND_HOST_DEVICE static RefineScales load(const T* row) { return {row[0], row[1], row[2], row[3], row[4]}; }
  AMEND_HOST_DEVICE void store(T* row) const {
    row[0] = scale;
    row[1] = mean_fisher;
    row[2] = n;
    row[3] = lambda;
    row[4] = log_lambda;
  }
};

/// The features of a weight that do not depend on an objective: f[0 .. 4].
template <class T>
AMEND_HOST_DEVICE inline void refine_features_of_edge(const RefineScales<T>& s, T edited, T logit, T residual, T fisher,
                                                      T* f) {
  f[0] = edited / s.scale;
  f[1] = clamp(logit, T(6)) / T(3);
  f[2] = residual * T(2);
  f[3] = logarithm(fisher / s.mean_fisher + T(1e-3)) / T(2);
  f[4] = clamp(logarithm(edited * edited * fisher * s.n / T(8) + T(1e-6)) - s.log_lambda, T(8)) / T(3);
}

/// The diagonal Newton step of a weight for one objective.
template <class T>
AMEND_HOST_DEVICE inline T refine_step(const RefineScales<T>& s, T fisher, T gradient) {
  return hyperbolic_tangent(T(-4) * gradient / (fisher + T(0.3) * s.mean_fisher) / s.scale);
}

/// The four features of a weight for one objective, of which `step` is the Newton step.
template <class T>
AMEND_HOST_DEVICE inline void refine_features_of_gradient(const RefineScales<T>& s, T weight, T edited, T gradient,
                                                          T gradient_rms, T step, T* f) {
  f[0] = signed_logarithm(T(2) * gradient / gradient_rms);
  f[1] = T(2) * step;
  f[2] = signed_logarithm(gradient * edited * s.n / s.lambda);
  f[3] = signed_logarithm(gradient * weight * s.n / s.lambda);
}

/// f[0 .. 3] of a neuron that a block reads.
template <class T>
AMEND_HOST_DEVICE inline void refine_features_of_source(T mean, T original_mean, T rms, T original_rms, T correlation,
                                                        T* f) {
  f[0] = mean - original_mean;
  f[1] = rms - original_rms;
  f[2] = logarithm(rms + T(1e-3));
  f[3] = correlation;
}

/// f[4 .. 7] of a neuron that a block of this scale leads to.
template <class T>
AMEND_HOST_DEVICE inline void refine_features_of_target(T scale, T bias, T residual, T fisher, T original_fisher,
                                                        T* f) {
  f[4] = logarithm(fisher + T(1e-4)) / T(2) + T(2);
  f[5] = logarithm(original_fisher + T(1e-4)) / T(2) + T(2);
  f[6] = residual * T(2);
  f[7] = bias / scale;
}

/// The two features of such a neuron for one objective; returns the Newton step.
template <class T>
AMEND_HOST_DEVICE inline T refine_features_of_bias(T scale, T fisher, T mean_fisher, T gradient, T* f) {
  const T newton = hyperbolic_tangent(T(-4) * gradient / (fisher + T(0.3) * mean_fisher + T(1e-7)) / scale);
  f[0] = T(2) * newton;
  f[1] = signed_logarithm(gradient * T(200));
  return newton;
}

/// What the gate of a feature reads of the measurements; `refining`: the last three are given.
template <class T>
struct FeatureMeasurement {
  T saliency, unique_saliency, mean_saliency;
  T count, lambda;  // features, and the weight of the requirement
  bool refining;
  T value, logit;
  bool open;
};

/// The kFeatureGateFeatures features of an input feature's gate but for [5] and [6]; returns the prior.
template <class T>
AMEND_HOST_DEVICE inline T gate_features(const FeatureMeasurement<T>& m, T* f) {
  const T log_lambda = logarithm(m.lambda);
  const T log_saliency = logarithm(m.saliency * m.count + T(1e-6));
  const T log_unique = logarithm(m.unique_saliency * m.count + T(1e-6));
  T prior = clamp((log_saliency + log_unique) / T(2) - log_lambda, T(8));
  f[0] = log_saliency / T(3) + T(1);
  f[1] = prior / T(3);
  f[2] = logarithm(m.saliency / m.mean_saliency + T(1e-4)) / T(3);
  f[3] = m.refining ? clamp(m.logit, T(6)) / T(3) : T(0);
  f[4] = T(0);
  f[7] = m.refining ? T(1) : T(0);
  f[8] = log_unique / T(3) + T(1);
  f[9] = clamp(log_unique - log_lambda, T(8)) / T(3);
  f[10] = T(0);
  f[11] = T(0);
  if (!m.refining) return prior;
  const T log_value = logarithm(at_least(m.value, T(0)) * m.count + T(1e-6));
  prior = clamp(log_value - log_lambda, T(8));
  f[4] = log_value / T(3) + T(1);
  f[10] = prior / T(3);
  f[11] = m.open ? T(1) : T(-1);
  return prior;
}

/// [5] and [6]: the gain of closing the feature, -sum of gradient * weight over its inputs, and the number of these.
template <class T>
AMEND_HOST_DEVICE inline void gate_features_of_inputs(T gain, T inputs, T count, T lambda, T* f) {
  f[5] = signed_logarithm(gain * count / lambda);
  f[6] = logarithm(inputs + T(1)) / T(2);
}

}  // namespace amend::kernels
