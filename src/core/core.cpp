#include <sslmeme/core/batch.hpp>
#include <sslmeme/core/image.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/core/tensor.hpp>

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Generator.h>

#include <cmath>
#include <mutex>
#include <utility>

namespace sslmeme {

std::string shape_string(const Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  std::string text = "(";
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(tensor.size(i));
  }
  return text + ")";
}

namespace {
/// Those rows divided by their largest entry, the others as they are.
Tensor divided_by_largest(const Tensor& x, const Tensor& rows) {
  const auto largest = x.detach().abs().amax(-1, true);
  return x / torch::where(rows, largest, torch::ones_like(largest));
}
}  // namespace

Tensor l2_normalize(const Tensor& x) {
  const auto type = x.scalar_type();
  auto wide = type == torch::kHalf || type == torch::kBFloat16 ? x.to(torch::kFloat) : x;
  auto norm = wide.norm(2, -1, true);
  // Squares overflow long before vectors do. On a CPU it is quick to see that none did, and that none is too short;
  // another device would have to be waited for.
  if (const auto overflown = norm.detach().isinf(); !x.is_cpu() || overflown.any().item<bool>()) {
    wide = divided_by_largest(wide, overflown);
    norm = wide.norm(2, -1, true);
  }
  constexpr double smallest = 1e-12;
  const auto unit = wide / norm.clamp_min(smallest);
  if (!torch::GradMode::is_enabled() || !unit.requires_grad()) return unit;
  const auto too_short = norm.detach() < smallest;
  if (x.is_cpu() && !too_short.any().item<bool>()) return unit;
  // Divided by a constant a row would get 10¹² times the incoming gradient.
  return torch::where(too_short, unit.detach(), unit);
}

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

struct TorchSeedScope::State {
  at::Generator generator;
  Tensor state;
};

TorchSeedScope::TorchSeedScope(std::uint64_t seed, c10::Device device)
    : state_{std::make_unique<State>(at::globalContext().defaultGenerator(device), Tensor{})} {
  const std::lock_guard lock{state_->generator.mutex()};
  state_->state = state_->generator.get_state();
  state_->generator.set_current_seed(seed);
}

TorchSeedScope::~TorchSeedScope() {
  const std::lock_guard lock{state_->generator.mutex()};
  state_->generator.set_state(state_->state);
}

Tensor Image::to_tensor() const {
  auto tensor = torch::empty({height, width, 3}, torch::kByte);
  std::copy(pixels.begin(), pixels.end(), tensor.data_ptr<std::uint8_t>());
  return tensor.permute({2, 0, 1});
}

Batch Batch::to(torch::Device device) const {
  Batch moved;
  moved.views.reserve(views.size());
  const auto move = [&](const Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    return tensor.to(device, /*non_blocking=*/device.is_cuda() && tensor.is_pinned());
  };
  for (const auto& view : views) moved.views.push_back(move(view));
  moved.tokens = move(tokens);
  moved.mask = move(mask);
  moved.labels = move(labels);
  moved.ids = ids;
  moved.padding = padding;
  return moved;
}

Autocast::Autocast(Precision precision, torch::DeviceType device)
    : active_{precision != Precision::fp32}, device_{device} {
  if (!active_) return;
  was_enabled_ = at::autocast::is_autocast_enabled(device_);
  was_dtype_ = at::autocast::get_autocast_dtype(device_);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, precision == Precision::fp16 ? torch::kHalf : torch::kBFloat16);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, was_enabled_);
  at::autocast::set_autocast_dtype(device_, was_dtype_);
}

FullPrecision::FullPrecision(torch::DeviceType device)
    : device_{device}, was_enabled_{at::autocast::is_autocast_enabled(device)} {
  at::autocast::set_autocast_enabled(device_, false);
}

FullPrecision::~FullPrecision() {
  at::autocast::set_autocast_enabled(device_, was_enabled_);
}

}  // namespace sslmeme
