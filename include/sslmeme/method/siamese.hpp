// Siamese: two views of a picture through one encoder, compared by any pair loss (SimCLR's wiring).
#pragma once

#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/method/concepts.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/heads.hpp>

#include <memory>
#include <string>
#include <utility>

namespace sslmeme {

/// loss(z₀, z₁), z_v the projection of view v. A handle: copies share the encoder. A loader of a single view recipe is
/// asked for two draws of it.
class Siamese {
 public:
  template <class L>
  Siamese(ImageEncoder encoder, const Projection& head, L loss)
      : Siamese{std::move(encoder), head, as_any(std::move(loss))} {}
  Siamese(ImageEncoder encoder, const Projection& head, AnyPairLoss loss);

  LossOutput step(const Batch& batch, const StepContext& context);
  void after_step(const StepContext& context, const LossOutput& output) { loss_.update(context, output.observed); }
  std::shared_ptr<torch::nn::Module> module() const { return root_; }
  int views_required() const { return 2; }
  std::string describe() const;
  ImageEncoder encoder() const { return encoder_; }

 private:
  template <class L>
  static AnyPairLoss as_any(L loss) {
    detail::require_pair_loss<L>();
    return AnyPairLoss{std::move(loss)};
  }

  std::shared_ptr<torch::nn::Module> root_;
  ImageEncoder encoder_;
  std::shared_ptr<ProjectionHead> head_;
  AnyPairLoss loss_;
};

static_assert(Method<Siamese>);

}  // namespace sslmeme
