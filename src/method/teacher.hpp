// What methods with a slowly moving teacher share: it begins as a copy and follows the student.
#pragma once

#include <sslmeme/method/concepts.hpp>

#include <torch/nn/module.h>

#include <vector>

namespace sslmeme::detail {

/// The parameters of a teacher, which follow those of a student: θ_t ← m·θ_t + (1 − m)·θ_s. Buffers stay the teacher's
/// own.
class MovingAverage {
 public:
  /// Copies parameters and buffers of the student into the teacher, whose parameters then need no gradient. Throws
  /// InvalidArgument, beginning with `who`, when they differ in architecture or share a parameter.
  MovingAverage(const torch::nn::Module& student, torch::nn::Module& teacher, const char* who);
  void follow(double momentum);

 private:
  std::vector<Tensor> student_, teacher_;
};

}  // namespace sslmeme::detail
