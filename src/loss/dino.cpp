#include <sslmeme/loss/dino.hpp>

#include <sslmeme/core/error.hpp>

#include "core/memory_pool.hpp"
#include "loss/kernels.hpp"

#include <fmt/format.h>
#include <torch/autograd.h>
#include <torch/csrc/autograd/graph_task.h>

#include <cstdint>
#include <vector>

namespace sslmeme {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool has_kernel(const Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == torch::kFloat || x.scalar_type() == torch::kBFloat16) &&
         detail::kernel_target() != nullptr;
}

bool is_bf16(const Tensor& x) {
  return x.scalar_type() == torch::kBFloat16;
}
detail::ConstFloats numbers_of(const Tensor& x) {
  if (is_bf16(x)) return {.bf16 = static_cast<const std::uint16_t*>(x.const_data_ptr())};
  return {.fp32 = x.const_data_ptr<float>()};
}
detail::MutableFloats mutable_numbers_of(const Tensor& x) {
  if (!x.defined()) return {};
  if (is_bf16(x)) return {.bf16 = static_cast<std::uint16_t*>(x.mutable_data_ptr())};
  return {.fp32 = x.mutable_data_ptr<float>()};
}

/// The loss on the CPU in fp32, of outputs in fp32 or bf16: value and gradient in one go, since both need the same rows
/// of the cache. Without `pool` no gradient is made.
struct FusedDino : torch::autograd::Function<FusedDino> {
  static variable_list forward(AutogradContext* context, const Tensor& student_in, const Tensor& teacher_in,
                               const Tensor& center_in, double student_temperature, double teacher_temperature,
                               const std::shared_ptr<detail::MemoryPool>& pool) {
    const auto student = student_in.contiguous(), teacher = teacher_in.contiguous(), center = center_in.contiguous();
    const auto views = student.size(0), batch = student.size(1), teachers = teacher.size(0);
    const auto losses = torch::empty({batch}, torch::kDouble), entropies = torch::empty_like(losses),
               mean = torch::empty_like(center);
    const auto gradient = pool ? pool->empty(student.sizes(), student.scalar_type()) : Tensor{};
    const auto weight = 1 / static_cast<double>(teachers * (views - 1) * batch);
    detail::dino_cross_entropies(
        {numbers_of(student), numbers_of(teacher), center.data_ptr<float>(), views, teachers, batch, student.size(2),
         static_cast<float>(1 / student_temperature), static_cast<float>(1 / teacher_temperature)},
        {losses.data_ptr<double>(), entropies.data_ptr<double>(), weight, mutable_numbers_of(gradient),
         mean.data_ptr<float>()});
    if (gradient.defined()) context->saved_data["gradient"] = gradient;
    const auto entropy = (entropies.mean() / teachers).to(torch::kFloat);
    context->mark_non_differentiable({mean, entropy});
    return {(losses.sum() * weight).to(torch::kFloat), mean, entropy};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    detail::require_first_derivative("DinoLoss");
    const auto found = context->saved_data.find("gradient");
    if (found == context->saved_data.end())
      throw Error("DinoLoss: its gradient was given away by the backward pass before: keep the graph in that one");
    auto gradient = found->second.toTensor();
    const auto factor = gradients[0].item<double>();
    // Whoever gets it may write to it, or to a view of it: so it is given away once, and copied for whoever comes
    // before.
    if (torch::autograd::get_current_graph_task_keep_graph()) return {gradient * factor, {}, {}, {}, {}, {}};
    context->saved_data.erase(found);
    return {factor == 1 ? gradient : gradient.mul_(factor), {}, {}, {}, {}, {}};
  }
};

/// softmax((z − center)/τ). Where the logits are far from zero the last bit of a difference is far from nothing in its
/// exponential, so what rounding takes from it is added again (Knuth 1969).
Tensor distributions(const Tensor& z, const Tensor& center, double temperature) {
  const auto shifted = z - center, minus_center = shifted - z;
  const auto rest = (z - (shifted - minus_center)) - (center + minus_center);
  return torch::softmax((shifted - shifted.amax(-1, true) + rest) / temperature, -1);
}

/// The same for any device and type, in plain tensor operations. Σ over all views v and samples b of
/// mass_v · logsumexp(x_vb/τ) − target_vb · x_vb/τ, where target_v, of that mass, is the sum of the teacher's
/// distributions over its views other than v. All is relative to the largest x: beside a logsumexp of 750 its
/// exponentials, and the difference of two such numbers, would have four digits in fp32.
struct CrossEntropies : torch::autograd::Function<CrossEntropies> {
  static Tensor forward(AutogradContext* context, const Tensor& student, const Tensor& q, double temperature) {
    const auto views = student.size(0), batch = student.size(1);
    auto tops = torch::empty({views, batch, 1}, student.options()), sums = torch::empty_like(tops);
    auto total = torch::zeros({}, student.options().dtype(torch::kDouble));
    for_each_view(q, views, [&](std::int64_t v, const Tensor& target, double mass) {
      tops[v].copy_(student[v].amax(1, true));
      const auto logits = (student[v] - tops[v]) / temperature;
      sums[v].copy_(logits.exp().sum(1, true));
      total += (mass * sums[v].log() - (target * logits).sum(1, true)).sum(torch::kDouble);
    });
    context->save_for_backward({student, q, tops, sums});
    context->saved_data["temperature"] = temperature;
    return total.to(student.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    detail::require_first_derivative("DinoLoss");
    const auto saved = context->get_saved_variables();
    const auto &student = saved[0], &q = saved[1], &tops = saved[2], &sums = saved[3];
    const auto temperature = context->saved_data["temperature"].toDouble();
    auto gradient = torch::empty_like(student);
    const auto factor = gradients[0] / temperature;
    for_each_view(q, student.size(0), [&](std::int64_t v, const Tensor& target, double mass) {
      auto out = gradient[v];
      torch::sub_out(out, student[v], tops[v]);
      out.div_(temperature).exp_().mul_(mass / sums[v]).sub_(target).mul_(factor);
    });
    return {gradient, {}, {}};
  }

  /// f(view, its target, the target's mass). A view that is one of the teacher's too is not compared with itself.
  template <class F>
  static void for_each_view(const Tensor& q, std::int64_t views, F f) {
    const auto teachers = q.size(0);
    const auto everything = views > teachers ? (teachers == 1 ? q[0] : q.sum(0)) : Tensor{};
    for (std::int64_t v = 0; v < views; ++v) {
      if (v >= teachers) {
        f(v, everything, static_cast<double>(teachers));
      } else if (teachers == 2) {
        f(v, q[1 - v], 1.0);
      } else if (teachers > 2) {
        f(v, torch::cat({q.narrow(0, 0, v), q.narrow(0, v + 1, teachers - v - 1)}).sum(0),
          static_cast<double>(teachers - 1));
      } else {
        f(v, torch::zeros_like(q[0]), 0.0);
      }
    }
  }
};

}  // namespace

struct DinoLoss::State : torch::nn::Module {
  explicit State(std::int64_t prototypes) : center{register_buffer("center", torch::zeros({prototypes}))} {}
  Tensor center;
  std::shared_ptr<detail::MemoryPool> gradients = std::make_shared<detail::MemoryPool>();
};

double TeacherTemperature::at(std::int64_t epoch) const {
  if (epoch >= epochs - 1) return to;
  return from + (to - from) * static_cast<double>(epoch) / static_cast<double>(epochs - 1);
}

DinoLoss::DinoLoss(const DinoOptions& options) : options_{options} {
  detail::check_positive(static_cast<double>(options.prototypes), "DinoLoss: prototypes");
  detail::check_positive(options.student_temperature, "DinoLoss: student_temperature");
  detail::check_positive(options.teacher_temperature, "DinoLoss: teacher_temperature");
  if (!(options.center_momentum >= 0 && options.center_momentum <= 1))
    throw InvalidArgument(
        fmt::format("DinoLoss: center_momentum is {}; it must be in [0, 1]", options.center_momentum));
  state_ = std::make_shared<State>(options.prototypes);
}

LossOutput DinoLoss::operator()(const Tensor& student, const Tensor& teacher, double teacher_temperature) const {
  const auto fits = [&](const Tensor& x) {
    return x.defined() && x.dim() == 3 && x.is_floating_point() && x.numel() > 0 && x.size(2) == options_.prototypes;
  };
  if (!fits(student) || !fits(teacher) || student.size(1) != teacher.size(1) || student.size(0) < 2 ||
      teacher.size(0) > student.size(0)) {
    throw InvalidArgument(fmt::format(
        "DinoLoss: student is {}, teacher is {}; they must be floating (V, B, {}) and (T, B, {}) with V ≥ 2 and T ≤ V",
        shape_string(student), shape_string(teacher), options_.prototypes, options_.prototypes));
  }
  detail::check_positive(teacher_temperature, "DinoLoss: teacher_temperature");
  const auto& center = state_->center;
  if (student.device() != teacher.device() || student.device() != center.device()) {
    throw InvalidArgument(
        fmt::format("DinoLoss: student is on {}, teacher on {}, the centre on {}: move them to one device",
                    student.device().str(), teacher.device().str(), center.device().str()));
  }
  const auto batch = student.size(1);
  const auto output = [&](const Tensor& total, const Tensor& teacher_mean, const Tensor& entropy) {
    const auto samples = torch::full({1}, batch, center.options().dtype(torch::kLong));
    return LossOutput{total,
                      {{name(), total.detach()}, {"teacher_entropy", entropy}},
                      {},
                      {{"teacher", teacher_mean.unsqueeze(0)}, {"samples", samples}}};
  };
  if (has_kernel(student) && has_kernel(teacher)) {
    const bool learns = torch::GradMode::is_enabled() && student.requires_grad();
    const auto fused =
        FusedDino::apply(student, teacher.detach(), center.to(torch::kFloat), options_.student_temperature,
                         teacher_temperature, learns ? state_->gradients : nullptr);
    return output(fused[0], fused[1], fused[2]);
  }
  const auto x = detail::at_least_fp32(student), z = teacher.detach().to(x.scalar_type());
  const auto q = distributions(z, center.to(z.scalar_type()), teacher_temperature);
  const auto pairs = static_cast<double>(z.size(0) * (x.size(0) - 1));
  const auto total = CrossEntropies::apply(x, q, options_.student_temperature) / (pairs * static_cast<double>(batch));
  return output(total, z.mean(torch::IntArrayRef{0, 1}), -torch::xlogy(q, q).sum(-1).mean());
}

void DinoLoss::update(const StepContext& /*context*/, const NamedTensors& observed) {
  const auto means = detail::find_tensor(observed, "teacher");
  if (!means.defined() || means.dim() != 2 || means.size(0) == 0 || means.size(1) != options_.prototypes) {
    throw InvalidArgument(
        fmt::format("DinoLoss: observed \"teacher\" is {}; it must be that of LossOutput::observed, (R, {})",
                    shape_string(means), options_.prototypes));
  }
  const auto samples = detail::find_tensor(observed, "samples");
  if (!samples.defined() || samples.dim() != 1 || samples.size(0) != means.size(0)) {
    throw InvalidArgument(
        fmt::format("DinoLoss: observed \"samples\" is {}; it must be that of LossOutput::observed, ({})",
                    shape_string(samples), means.size(0)));
  }
  const auto counts = samples.to(means.scalar_type());
  const auto mean = (means * (counts / counts.sum()).unsqueeze(1)).sum(0);
  if (!torch::isfinite(mean).all().item<bool>())
    throw NonFiniteError("DinoLoss: the teacher's outputs are not finite; the centre stays as it was");
  const torch::NoGradGuard no_grad;
  const auto m = options_.center_momentum;
  state_->center.mul_(m).add_(mean.to(state_->center.scalar_type()), 1 - m);
}

std::shared_ptr<torch::nn::Module> DinoLoss::module() const {
  return state_;
}
Tensor DinoLoss::center() const {
  return state_->center;
}

}  // namespace sslmeme
