#include <sslmeme/nn/activation_checkpoint.hpp>

#include <sslmeme/core/precision.hpp>

#include "nn/buffer_snapshot.hpp"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Generator.h>
#include <torch/autograd.h>
#include <torch/custom_class.h>

#include <mutex>

namespace sslmeme {
namespace {

/// What a forward pass depends on beside its input.
class Surroundings {
 public:
  explicit Surroundings(torch::Device device)
      : device_{device}, precision_{precision_on(device.type())}, random_{random_state()} {}

  /// Calls `body` in these surroundings; the present ones come back.
  void restore_for(const std::function<void()>& body) const {
    const FullPrecision off{device_.type()};
    const Autocast on{precision_, device_.type()};
    const auto present = random_state();
    set_random_state(random_);
    try {
      body();
    } catch (...) {
      set_random_state(present);
      throw;
    }
    set_random_state(present);
  }

 private:
  static Precision precision_on(torch::DeviceType device) {
    if (!at::autocast::is_autocast_enabled(device)) return Precision::fp32;
    return at::autocast::get_autocast_dtype(device) == torch::kHalf ? Precision::fp16 : Precision::bf16;
  }
  Tensor random_state() const {
    auto generator = at::globalContext().defaultGenerator(device_);
    const std::lock_guard lock{generator.mutex()};
    return generator.get_state();
  }
  void set_random_state(const Tensor& state) const {
    auto generator = at::globalContext().defaultGenerator(device_);
    const std::lock_guard lock{generator.mutex()};
    generator.set_state(state);
  }

  torch::Device device_;
  Precision precision_;
  Tensor random_;
};

struct Segment : torch::CustomClassHolder {
  Segment(const torch::nn::Module& module_, std::function<Tensor(const Tensor&)> forward_, torch::Device device)
      : module{&module_}, forward{std::move(forward_)}, surroundings{device} {}

  const torch::nn::Module* module;  ///< lives as long as its parameters are trained
  std::function<Tensor(const Tensor&)> forward;
  Surroundings surroundings;
};

struct Recomputed : torch::autograd::Function<Recomputed> {
  /// anchor: needs a gradient, so that backward() is called for an input that needs none.
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& /*anchor*/,
                        const c10::intrusive_ptr<Segment>& segment) {
    context->save_for_backward({x});
    context->saved_data["segment"] = c10::IValue::make_capsule(segment);
    return segment->forward(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto segment = c10::static_intrusive_pointer_cast<Segment>(context->saved_data["segment"].toCapsule());
    const auto saved = context->get_saved_variables()[0];
    const auto x = saved.detach().requires_grad_(saved.requires_grad());
    Tensor y;
    detail::BufferSnapshot buffers{*segment->module};
    segment->surroundings.restore_for([&] {
      const torch::AutoGradMode with_gradient{true};
      y = segment->forward(x);
    });
    if (y.requires_grad()) torch::autograd::backward({y}, {gradients[0]});
    buffers.restore();  // not before: batch norm's own backward pass looks at them
    return {x.grad(), {}, {}};
  }
};

}  // namespace

Tensor checkpointed(const torch::nn::Module& module, const std::function<Tensor(const Tensor&)>& segment,
                    const Tensor& x) {
  if (!torch::GradMode::is_enabled()) return segment(x);
  const auto anchor = torch::empty({0}, torch::requires_grad());
  return Recomputed::apply(x, anchor, c10::make_intrusive<Segment>(module, segment, x.device()));
}

}  // namespace sslmeme
