// Dino: a student that predicts, from small parts of a picture, what its own slowly moving average makes of large ones.
#pragma once

#include <sslmeme/core/process_group.hpp>
#include <sslmeme/loss/dino.hpp>
#include <sslmeme/method/concepts.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/nn/heads.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace sslmeme {

namespace detail {
class MovingAverage;
}

struct DinoMethodOptions {
  DinoHeadOptions head = {};
  DinoOptions loss = {};  ///< its prototypes are those of the head, its teacher_temperature is that below
  TeacherTemperature teacher_temperature = {.from = 0.04, .to = 0.04};
  double momentum = 0.996;         ///< of the teacher at the start; rises to 1 along half a cosine
  std::int64_t frozen_epochs = 1;  ///< in which the prototypes do not learn
  int views = 10;                  ///< of a batch: two large ones, then the small ones (dino_views)
  /// In training over several processes: the centre follows the teacher's outputs of all of them.
  std::shared_ptr<const ProcessGroup> group = {};
};

/// DINO (Caron et al. 2021, arXiv:2104.14294): views of one size go through the encoder together; the teacher sees the
/// first two, gets no gradient, starts as a copy of the student and follows it after each optimizer step: parameters
/// only, θ_t ← m·θ_t + (1 − m)·θ_s. Train it with dino_views, AdamW with a final_weight_decay, ClipScope::each. Nodes
/// "student" and "teacher"; the teacher is the better encoder. A handle: copies share modules.
///
/// Reported beside the loss: "teacher_entropy", in nats, and "teacher_entropy_share", the same over ln K (1 means that
/// the teacher says nothing, 0 that it says one thing; at either end the collapse monitor warns), "center_norm", and
/// "agreement", the mean cosine of both encoders' features of the first view.
class Dino {
 public:
  /// teacher: an encoder of the same architecture, whose parameters and buffers are overwritten. It runs in the mode of
  /// the whole method, so what it drops in training it drops here: as published, make it with no dropout and no drop
  /// path, whatever the student has. Throws InvalidArgument when it is another architecture or the very same module,
  /// and for options out of range.
  Dino(ImageEncoder student, ImageEncoder teacher, const DinoMethodOptions& options = {});

  LossOutput step(const Batch& batch, const StepContext& context);
  void after_step(const StepContext& context, const LossOutput& output);
  std::shared_ptr<torch::nn::Module> module() const { return root_; }
  int views_required() const { return options_.views; }
  std::string describe() const;

  ImageEncoder student() const { return student_.encoder; }
  ImageEncoder teacher() const { return teacher_.encoder; }
  /// m of the teacher in an optimizer step, which counts from 0.
  double momentum(std::int64_t step, std::int64_t total_steps) const;

 private:
  struct Node {
    ImageEncoder encoder;
    std::shared_ptr<DinoHead> head;
  };
  struct Encoded {
    Tensor features, logits;  ///< (V·B, D) and (V, B, K)
  };
  Encoded encode(const Node& node, const Batch& batch, int views, bool prototypes_learn) const;

  DinoMethodOptions options_;
  Node student_, teacher_;
  DinoLoss loss_;
  std::shared_ptr<torch::nn::Module> root_;
  std::shared_ptr<detail::MovingAverage> average_;
};

static_assert(Method<Dino>);

/// Dino with a teacher made from the student's description, but for its dropout, drop path and patch drop: as in the
/// published code only the student has them. Throws InvalidArgument for an encoder that has none.
Dino dino(ImageEncoder student, const DinoMethodOptions& options = {},
          const BackboneRegistry& registry = BackboneRegistry::built_in());

}  // namespace sslmeme
