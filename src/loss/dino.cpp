#include <sslmeme/loss/dino.hpp>

#include <sslmeme/core/error.hpp>

#include "loss/kernels.hpp"

#include <fmt/format.h>
#include <torch/autograd.h>

#include <algorithm>
#include <vector>

namespace sslmeme {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool has_kernel(const Tensor& x) {
  return x.is_cpu() && x.scalar_type() == torch::kFloat && detail::kernel_target() != nullptr;
}

/// The rows of a contiguous tensor.
detail::Rows rows_of(const Tensor& x) {
  return {x.data_ptr<float>(), x.numel() / x.size(-1), x.size(-1)};
}

/// softmax((teacher − center) / τ) over the last dimension.
Tensor teacher_distribution(const Tensor& teacher, const Tensor& center, double temperature) {
  if (has_kernel(teacher)) {
    const auto x = teacher.contiguous(), c = center.contiguous();
    auto q = torch::empty_like(x);
    detail::softmax_rows(rows_of(x), c.data_ptr<float>(), static_cast<float>(1 / temperature), q.data_ptr<float>());
    return q;
  }
  return torch::softmax((teacher - center) / temperature, -1);
}

/// Σ over all views v and samples b of mass_v · logsumexp(x_vb/τ) − target_vb · x_vb/τ, where target_v, of that mass,
/// is the sum of the teacher's distributions over its views other than v.
struct CrossEntropies : torch::autograd::Function<CrossEntropies> {
  static Tensor forward(AutogradContext* context, const Tensor& student_in, const Tensor& q, double temperature) {
    const auto student = student_in.contiguous();
    const auto views = student.size(0), batch = student.size(1);
    auto logsumexp = torch::empty({views, batch}, student.options());
    auto total = torch::zeros({}, student.options().dtype(torch::kDouble));
    for_each_view(q, views, [&](std::int64_t v, const Tensor& target, double mass) {
      const auto x = student[v];
      auto lse = logsumexp[v];
      auto product = torch::empty({batch}, student.options());
      if (has_kernel(student)) {
        detail::cross_entropy_rows(rows_of(x), target.data_ptr<float>(), static_cast<float>(1 / temperature),
                                   lse.data_ptr<float>(), product.data_ptr<float>());
      } else {
        const auto logits = x / temperature;
        lse.copy_(logits.logsumexp(1));
        product = (target * logits).sum(1);
      }
      total += (mass * lse - product).sum(torch::kDouble);
    });
    context->save_for_backward({student, q, logsumexp});
    context->saved_data["temperature"] = temperature;
    return total.to(student.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    detail::require_first_derivative("DinoLoss");
    const auto saved = context->get_saved_variables();
    const auto &student = saved[0], &q = saved[1], &logsumexp = saved[2];
    const auto temperature = context->saved_data["temperature"].toDouble();
    auto gradient = torch::empty_like(student);
    const auto factor = gradients[0].item<double>() / temperature;
    for_each_view(q, student.size(0), [&](std::int64_t v, const Tensor& target, double mass) {
      const auto x = student[v];
      auto out = gradient[v];
      const auto lse = logsumexp[v];
      if (has_kernel(student)) {
        const detail::CrossEntropyGradient of{static_cast<float>(1 / temperature), static_cast<float>(mass),
                                              static_cast<float>(factor)};
        detail::cross_entropy_gradient_rows(rows_of(x), target.data_ptr<float>(), lse.data_ptr<float>(), of,
                                            out.data_ptr<float>());
      } else {
        torch::sub_out(out, x / temperature, lse.unsqueeze(1));
        out.exp_().mul_(mass).sub_(target).mul_(factor);
      }
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
  const auto x = detail::at_least_fp32(student), z = teacher.detach().to(x.scalar_type());
  const auto q = teacher_distribution(z, center.to(z.scalar_type()), teacher_temperature);
  const auto views = x.size(0), teachers = z.size(0), batch = x.size(1);
  const auto pairs = static_cast<double>(teachers * (views - 1));
  const auto total = CrossEntropies::apply(x, q, options_.student_temperature) / (pairs * static_cast<double>(batch));
  return {total, {{name(), total.detach()}}, {}, {{"teacher", z.mean(torch::IntArrayRef{0, 1}).unsqueeze(0)}}};
}

void DinoLoss::update(const StepContext& /*context*/, const NamedTensors& observed) {
  const auto means = detail::find_tensor(observed, "teacher");
  if (!means.defined() || means.dim() != 2 || means.size(0) == 0 || means.size(1) != options_.prototypes) {
    throw InvalidArgument(
        fmt::format("DinoLoss: observed \"teacher\" is {}; it must be that of LossOutput::observed, (R, {})",
                    shape_string(means), options_.prototypes));
  }
  const auto mean = means.mean(0);
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
