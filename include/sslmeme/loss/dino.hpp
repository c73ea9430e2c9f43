// DinoLoss: the student's views predict what the teacher makes of other views; centering keeps the teacher from
// collapse.
#pragma once

#include <sslmeme/loss/concepts.hpp>

#include <torch/nn/module.h>

#include <memory>
#include <string>

namespace sslmeme {

struct DinoOptions {
  std::int64_t prototypes = 65536;    ///< K, the outputs of the head
  double student_temperature = 0.1;   ///< τ_s
  double teacher_temperature = 0.04;  ///< τ_t where a call gives none
  double center_momentum = 0.9;       ///< m
};

/// The published warm-up of τ_t: `from` in epoch 0, `to` in epoch `epochs` − 1 and after, linear between.
struct TeacherTemperature {
  double from = 0.04, to = 0.07;
  std::int64_t epochs = 30;
  double at(std::int64_t epoch) const;
};

/// DINO (Caron et al. 2021, arXiv:2104.14294, equations 1 to 4 and algorithm 1):
/// mean over pairs (t, s), s ≠ t, and samples of H(softmax((z_t − c)/τ_t), softmax(z_s/τ_s)).
/// Since the teacher's distribution sums to 1, H(q, softmax(x)) = logsumexp(x) − q·x. On a CPU, of outputs in fp32 or
/// bf16, value and gradient are computed together, so each output is read from memory once, whatever the number of
/// teacher views; the memory of the gradient is kept for the next step. It can be differentiated once only. Copies
/// share their state, as torch modules do.
class DinoLoss {
 public:
  /// Throws InvalidArgument for options that are not positive, and a momentum outside [0, 1].
  explicit DinoLoss(const DinoOptions& options = {});

  /// student: (V, B, K), teacher: (T, B, K), float, raw outputs of the heads, halves computed in fp32; the first T
  /// views of the student are those of the teacher, V ≥ 2. No gradient flows to the teacher. A call changes nothing;
  /// what update() takes in is in LossOutput::observed. Throws InvalidArgument on other shapes and a temperature
  /// that is not positive. Parts: "dino", and "teacher_entropy" in nats, the mean entropy of softmax((z_t − c)/τ_t).
  LossOutput operator()(const Tensor& student, const Tensor& teacher) const {
    return (*this)(student, teacher, options_.teacher_temperature);
  }
  LossOutput operator()(const Tensor& student, const Tensor& teacher, double teacher_temperature) const;

  /// Moves the centre once an optimizer step: c ← m·c + (1 − m)·mean of all teacher outputs, from observed "teacher"
  /// (R, K), their mean in each part of the batch, and "samples", i64 (R), how many samples the part has. Throws
  /// InvalidArgument without them, NonFiniteError when the mean is not finite.
  void update(const StepContext& context, const NamedTensors& observed);

  /// Holds the buffer center (K).
  std::shared_ptr<torch::nn::Module> module() const;
  Tensor center() const;
  std::string name() const { return "dino"; }

 private:
  struct State;
  DinoOptions options_;
  std::shared_ptr<State> state_;
};

}  // namespace sslmeme
