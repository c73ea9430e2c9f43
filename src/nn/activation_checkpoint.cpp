#include <sslmeme/nn/activation_checkpoint.hpp>

#include "nn/buffer_snapshot.hpp"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Generator.h>
#include <torch/autograd.h>
#include <torch/custom_class.h>

#include <mutex>

namespace sslmeme {
namespace {

/// While alive, autocast keeps the casts of weights that it makes; after that none is left, for the optimizer will move
/// the weights and their casts would be of the old ones.
class CastCache {
 public:
  CastCache() { at::autocast::increment_nesting(); }
  ~CastCache() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  }
  CastCache(const CastCache&) = delete;
  CastCache& operator=(const CastCache&) = delete;
};

/// What a forward pass depends on beside its input.
class Surroundings {
 public:
  explicit Surroundings(torch::Device device)
      : device_{device},
        autocast_{at::autocast::is_autocast_enabled(device.type())},
        type_{at::autocast::get_autocast_dtype(device.type())} {
    auto generator = at::globalContext().defaultGenerator(device_);
    const std::lock_guard lock{generator.mutex()};
    random_ = generator.get_state();
  }

  /// Calls `body` in these surroundings; the present ones come back.
  void restore_for(const std::function<void()>& body) const {
    const Surroundings present{device_};
    const CastCache casts;
    apply();
    try {
      body();
    } catch (...) {
      present.apply();
      throw;
    }
    present.apply();
  }

 private:
  void apply() const {
    auto generator = at::globalContext().defaultGenerator(device_);
    {
      const std::lock_guard lock{generator.mutex()};
      generator.set_state(random_);
    }
    at::autocast::set_autocast_enabled(device_.type(), autocast_);
    at::autocast::set_autocast_dtype(device_.type(), type_);
  }

  torch::Device device_;
  bool autocast_;
  torch::ScalarType type_;
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
