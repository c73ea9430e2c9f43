// Siamese: two views of a picture through one encoder, or one of them through its moving average, compared by any pair
// loss: the wiring of SimCLR, SimSiam, BYOL and MoCo.
#pragma once

#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/method/concepts.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/heads.hpp>

#include <memory>
#include <string>
#include <utility>

namespace sslmeme {

namespace detail {
class MovingAverage;
}

struct SiameseOptions {
  bool symmetric = false;  ///< ½ [loss(z₀, t₁) + loss(z₁, t₀)] instead of loss(z₀, t₁)
  /// An encoder of the same architecture, whose parameters and buffers are overwritten: t_v then comes from it and a
  /// projection of its own, without gradient; both begin as copies and follow after each optimizer step. It trains in
  /// the student's mode: make it with no dropout and no drop path, if its targets shall not vary by chance. Without one
  /// t_v is z_v.
  ImageEncoder teacher = nullptr;
  double momentum = 0.996;      ///< of the teacher at the start
  double final_momentum = 1.0;  ///< at the end, along half a cosine
};

/// loss(z₀, t₁), z_v the projection of view v and t_v that of the teacher. Nodes "image" and "teacher". A handle:
/// copies share the encoder. A loader of a single view recipe is asked for two draws of it. With a teacher "agreement",
/// the mean cosine of z₀ and t₁, is reported beside the loss.
class Siamese {
 public:
  template <class L>
  Siamese(ImageEncoder encoder, const Projection& head, L loss, const SiameseOptions& options = {})
      : Siamese{std::move(encoder), head, as_any(std::move(loss)), options} {}
  /// Throws InvalidArgument without encoder, for a teacher of another architecture or the very same encoder, and for a
  /// momentum outside [0, 1].
  Siamese(ImageEncoder encoder, const Projection& head, AnyPairLoss loss, const SiameseOptions& options = {});

  LossOutput step(const Batch& batch, const StepContext& context) {
    return compare(represent(batch, context), context);
  }
  /// "z0", "z1" and, with a teacher, "t0", "t1", as far as they are compared: (N, d); "ids": i64 (N).
  NamedTensors represent(const Batch& batch, const StepContext& context) const;
  LossOutput compare(const NamedTensors& samples, const StepContext& context) const;
  void after_step(const StepContext& context, const LossOutput& output);
  std::shared_ptr<torch::nn::Module> module() const { return root_; }
  int views_required() const { return 2; }
  std::string describe() const;
  ImageEncoder encoder() const { return encoder_; }
  /// Null without one.
  ImageEncoder teacher() const { return options_.teacher; }

 private:
  template <class L>
  static AnyPairLoss as_any(L loss) {
    detail::require_pair_loss<L>();
    return AnyPairLoss{std::move(loss)};
  }

  SiameseOptions options_;
  std::shared_ptr<torch::nn::Module> root_;
  ImageEncoder encoder_;
  std::shared_ptr<ProjectionHead> head_, teacher_head_;
  AnyPairLoss loss_;
  std::shared_ptr<detail::MovingAverage> average_;
};

static_assert(Method<Siamese>);

}  // namespace sslmeme
