#include "method/teacher.hpp"

#include <sslmeme/core/error.hpp>

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <fmt/format.h>

namespace sslmeme::detail {
namespace {

using State = torch::OrderedDict<std::string, Tensor>;

void copy_state(const State& from, const State& to, const char* who) {
  const torch::NoGradGuard no_grad;
  for (const auto& item : from) {
    const auto* const found = to.find(item.key());
    if (found == nullptr || found->sizes() != item.value().sizes() || from.size() != to.size()) {
      throw InvalidArgument(
          fmt::format("{}: the teacher has no \"{}\" of {}: make it by the same name and options as the student", who,
                      item.key(), shape_string(item.value())));
    }
    if (found->is_alias_of(item.value()))
      throw InvalidArgument(fmt::format("{}: student and teacher share their parameters: give it two encoders", who));
    Tensor(*found).copy_(item.value());
  }
}

}  // namespace

MovingAverage::MovingAverage(const torch::nn::Module& student, torch::nn::Module& teacher, const char* who)
    : student_{student.parameters()}, teacher_{teacher.parameters()} {
  copy_state(student.named_parameters(), teacher.named_parameters(), who);
  copy_state(student.named_buffers(), teacher.named_buffers(), who);
  for (auto& parameter : teacher_) parameter.set_requires_grad(false);
}

void MovingAverage::follow(double momentum) {
  if (teacher_.empty()) return;
  const torch::NoGradGuard no_grad;
  at::_foreach_mul_(teacher_, momentum);
  at::_foreach_add_(teacher_, student_, 1 - momentum);
}

}  // namespace sslmeme::detail
