// Optimizers: AdamW and SGD through LibTorch's fused kernels, LARS and LAMB through its foreach ones; parameter groups
// by name; state that goes into checkpoints.
#pragma once

#include <sslmeme/nn/safetensors.hpp>
#include <sslmeme/train/schedule.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sslmeme {

// Weight decay touches matrices and higher: never biases, norms and other 0-d and 1-d parameters, nor what a Backbone
// within the module keeps from it (no_decay(): a ViT's positions and class token), unless a ParameterRule says so.
// final_weight_decay is reached at the end of the run, along half a cosine (DINO: 0.04 to 0.4).

/// AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101). With weight_decay = 0 this is Adam.
struct AdamW {
  double lr = 1e-3;      ///< peak learning rate
  double beta1 = 0.9;    ///< in [0, 1)
  double beta2 = 0.999;  ///< in [0, 1)
  double eps = 1e-8;
  double weight_decay = 0.01;  ///< decoupled
  std::optional<double> final_weight_decay = {};
};

/// Stochastic gradient descent with momentum, as torch.optim.SGD; the decay is added to the gradient.
struct Sgd {
  double lr = 0.1;
  double momentum = 0.9;  ///< in [0, 1)
  bool nesterov = false;
  double weight_decay = 0;
  std::optional<double> final_weight_decay = {};
};

/// LARS (You et al. 2017, arXiv:1708.03888, equation 6): SGD whose step in each matrix is scaled to the matrix's norm.
/// Equal to lightly's, but for weight_decay = 0, where lightly's scales nothing. What has no decay is not scaled.
struct Lars {
  double lr = 0.3;
  double momentum = 0.9;
  bool nesterov = false;
  double trust = 1e-3;  ///< the coefficient η
  double eps = 1e-8;
  double weight_decay = 1e-6;
  std::optional<double> final_weight_decay = {};
};

/// LAMB (You et al. 2019, arXiv:1904.00962, algorithm 2): Adam whose step in each matrix is scaled to the matrix's
/// norm. Equal to timm's without its own gradient clip (TrainerOptions::clip_norm does that), but for weight_decay = 0,
/// where timm's scales nothing. What has no decay is not scaled.
struct Lamb {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0.01;
  std::optional<double> final_weight_decay = {};
};

using OptimizerOptions = std::variant<AdamW, Sgd, Lars, Lamb>;

/// The peak learning rate of any of them.
double learning_rate_of(const OptimizerOptions& options);
/// The weight decay of an optimizer step.
double weight_decay_at(const OptimizerOptions& options, const TrainingTime& time);

/// How the parameters with certain names are updated.
struct ParameterRule {
  std::string pattern;                             ///< of the whole name, as for files: "nodes.text.*"
  double lr = 1;                                   ///< factor on the learning rate
  std::optional<double> decay = {};                ///< factor on the weight decay; unset: 1 for what decays, else 0
  std::optional<OptimizerOptions> optimizer = {};  ///< another optimizer for them
};

/// Exceptions from "every parameter alike".
struct ParameterGroups {
  std::vector<ParameterRule> rules = {};  ///< the first that matches a name holds
  /// Learning rates fall by this factor from each block of an encoder to the one before (BEiT, arXiv:2106.08254; as
  /// timm's param_groups_layer_decay). 1: they do not.
  double layer_decay = 1;
};

/// The exponent of layer_decay for a parameter of an encoder with timm's, open_clip's or transformers' names: 0 in the
/// last layer and outside encoders, one more in every block towards the input. `names` are those of all parameters.
std::vector<std::int64_t> layers_from_the_end(const std::vector<std::string>& names);

/// Updates the parameters of a module. Parameters that got no gradient in a step are left alone.
class Optimizer {
 public:
  /// Throws InvalidArgument for options out of range, a rule that matches no parameter, and a module without parameters
  /// that need gradients.
  explicit Optimizer(const torch::nn::Module& module, OptimizerOptions options = AdamW{},
                     const ParameterGroups& groups = {});

  void zero_grad();
  /// The L2 norm over all gradients together, in fp32.
  double gradient_norm() const;
  /// Scales all gradients by `factor`.
  void scale_gradients(double factor);
  /// Scales each parameter's gradient that is longer than max_norm down to it by itself, as DINO's code does.
  void clip_each_gradient(double max_norm);
  /// One update, with learning rates of `factor` times the peak.
  void step(double factor = 1, const TrainingTime& time = {});

  /// Moments and step counts by parameter name; load_state() throws InvalidArgument when the names or shapes differ.
  NamedTensors state() const;
  void load_state(const NamedTensors& tensors);

 private:
  struct Slot {
    std::string name;
    Tensor parameter;
    Tensor first, second, steps;  ///< undefined where the optimizer has none
  };
  struct Group {
    OptimizerOptions options;
    double lr = 1, decay = 1;  ///< factors
    std::vector<Slot> slots;
  };
  struct Update;
  std::vector<Tensor> gradients() const;

  std::vector<Group> groups_;
};

/// JSON objects with all fields, for config.json.
std::string describe(const OptimizerOptions& options);
std::string describe(const ParameterGroups& groups);

}  // namespace sslmeme
