#include <sslmeme/method/recipes.hpp>

#include <sslmeme/core/random.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/loss/vicreg.hpp>

namespace sslmeme {
namespace {

/// A head for the i-th node, with initial weights of its own.
Projection head(std::int64_t dim, ProjectionKind kind, std::uint64_t seed, std::uint64_t i) {
  return {.out = dim, .kind = kind, .seed = derive_seed({seed, i})};
}

AnyPairLoss among_ranks(AnyPairLoss loss, const Gather& gather) {
  if (!gather.group) return loss;
  return Gathered{std::move(loss), gather};
}

Projection siamese_head(const SiameseRecipeOptions& options) {
  auto projection = head(options.dim, ProjectionKind::mlp, options.seed, 0);
  projection.hidden = options.hidden;
  return projection;
}

AnyPairLoss predicted(AnyPairLoss loss, const SiameseRecipeOptions& options, bool last_norm = false) {
  const PredictorOptions predictor{
      .dim = options.dim, .hidden = options.hidden, .last_norm = last_norm, .seed = derive_seed({options.seed, 1})};
  return among_ranks(Predicted{std::move(loss), predictor}, options.gather);
}

/// The edges of CASS-MM.
class Edges {
 public:
  Edges(std::int64_t dim, const InfoNceOptions& info_nce, std::uint64_t seed, const Gather& gather)
      : dim_{dim}, info_nce_{info_nce}, seed_{seed}, gather_{gather} {}

  void join(const char* first, const char* second, const CassMmEdge& of) {
    switch (of.gradient) {
      case EdgeGradient::both:
        add(first, second, loss(of.loss), of.weight);
        return;
      case EdgeGradient::first:
        add(first, second, StopGradient{loss(of.loss)}, of.weight);
        return;
      case EdgeGradient::second:
        add(second, first, StopGradient{loss(of.loss)}, of.weight);
        return;
      case EdgeGradient::predicted:
        add(first, second, predicted(of.loss), of.weight.scaled(0.5));
        add(second, first, predicted(of.loss), of.weight.scaled(0.5));
    }
  }
  std::vector<EdgeSpec> take() { return std::move(all_); }

 private:
  void add(const char* from, const char* to, AnyPairLoss loss, const LossWeight& weight) {
    all_.push_back(edge(from, to, among_ranks(std::move(loss), gather_), weight));
  }
  AnyPairLoss loss(EdgeLoss kind) const {
    switch (kind) {
      case EdgeLoss::info_nce:
        return InfoNce{info_nce_};
      case EdgeLoss::vicreg:
        return VicReg{};
      case EdgeLoss::barlow_twins:
        return BarlowTwins{};
      default:
        return CosineLoss{};
    }
  }
  AnyPairLoss predicted(EdgeLoss kind) const {
    constexpr std::uint64_t beyond_the_heads = 100;
    return Predicted{loss(kind), {.dim = dim_, .seed = derive_seed({seed_, beyond_the_heads + all_.size()})}};
  }

  std::int64_t dim_;
  InfoNceOptions info_nce_;
  std::uint64_t seed_;
  Gather gather_;
  std::vector<EdgeSpec> all_;
};

}  // namespace

ModalityGraph clip(ImageEncoder image, TextEncoder text, const ClipOptions& options) {
  return ModalityGraph{node("image", std::move(image), head(options.dim, options.projection, options.seed, 0)),
                       node("text", std::move(text), head(options.dim, options.projection, options.seed, 1)),
                       edge("image", "text", among_ranks(InfoNce{options.loss}, options.gather))};
}

Siamese simclr(ImageEncoder encoder, const SiameseRecipeOptions& options) {
  return {std::move(encoder), siamese_head(options), among_ranks(NtXent{}, options.gather)};
}

Siamese simsiam(ImageEncoder encoder, const SiameseRecipeOptions& options) {
  auto head = siamese_head(options);
  head.hidden = options.dim;
  head.layers = 3;
  return {std::move(encoder), head, predicted(SimSiamLoss{}, options), {.symmetric = true}};
}

Siamese byol(ImageEncoder encoder, ImageEncoder teacher, const SiameseRecipeOptions& options) {
  auto head = siamese_head(options);
  head.last_norm = false;
  return {std::move(encoder), head, predicted(ByolLoss{}, options), {.symmetric = true, .teacher = std::move(teacher)}};
}

Siamese moco_v3(ImageEncoder encoder, ImageEncoder teacher, const SiameseRecipeOptions& options) {
  auto head = siamese_head(options);
  head.layers = 3;
  return {std::move(encoder),
          head,
          predicted(MocoV3Loss{}, options, /*last_norm=*/true),
          {.symmetric = true, .teacher = std::move(teacher), .momentum = 0.99}};
}

ModalityGraph cass(ImageEncoder cnn, ImageEncoder vit, const CassOptions& options) {
  AnyPairLoss loss = CosineLoss{};
  if (options.contrast != 0) loss = CosineLoss{} + options.contrast * InfoNce{options.loss};
  return ModalityGraph{node("cnn", std::move(cnn), head(options.dim, ProjectionKind::mlp, options.seed, 0)),
                       node("vit", std::move(vit), head(options.dim, ProjectionKind::mlp, options.seed, 1)),
                       edge("cnn", "vit", among_ranks(std::move(loss), options.gather))};
}

ModalityGraph cass_reference(ImageEncoder cnn, ImageEncoder vit) {
  const Projection none{.kind = ProjectionKind::none};
  return ModalityGraph{node("cnn", std::move(cnn), none), node("vit", std::move(vit), none),
                       edge("cnn", "vit", CosineLoss{})};
}

ModalityGraph cass_mm(ImageEncoder cnn, ImageEncoder vit, TextEncoder text, const CassMmOptions& options) {
  Edges edges{options.dim, options.loss, options.seed, options.gather};
  edges.join("cnn", "vit", options.picture);
  edges.join("cnn", "text", options.cnn_text.value_or(options.text));
  edges.join("vit", "text", options.vit_text.value_or(options.text));
  return {{node("cnn", std::move(cnn), head(options.dim, options.projection, options.seed, 0)),
           node("vit", std::move(vit), head(options.dim, options.projection, options.seed, 1)),
           node("text", std::move(text), head(options.dim, options.projection, options.seed, 2))},
          edges.take(),
          {options.modality_dropout, options.seed}};
}

ModalityGraph cass_mm_reference(ImageEncoder cnn, ImageEncoder vit, TextEncoder text) {
  return cass_mm(std::move(cnn), std::move(vit), std::move(text), CassMmOptions::reference());
}

ModalityGraph cass_mm_fused(ImageEncoder cnn, ImageEncoder vit, TextEncoder text, const CassMmFusedOptions& options) {
  Edges edges{options.dim, options.loss, options.seed, options.gather};
  edges.join("cnn_text", "vit_text", options.edge);
  const auto of_node = [&options](std::uint64_t i) { return head(options.dim, options.projection, options.seed, i); };
  return {{node("cnn", std::move(cnn), of_node(0)), node("vit", std::move(vit), of_node(1)),
           node("text", std::move(text), of_node(2)), fused("cnn_text", {"cnn", "text"}, of_node(3)),
           fused("vit_text", {"vit", "text"}, of_node(4))},
          edges.take(),
          {options.modality_dropout, options.seed}};
}

}  // namespace sslmeme
