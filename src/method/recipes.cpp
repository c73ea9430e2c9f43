#include <sslmeme/method/recipes.hpp>

#include <sslmeme/core/random.hpp>

namespace sslmeme {
namespace {

/// A head for the i-th node, with initial weights of its own.
Projection head(std::int64_t dim, ProjectionKind kind, std::uint64_t seed, std::uint64_t i) {
  return {.out = dim, .kind = kind, .seed = derive_seed({seed, i})};
}

}  // namespace

ModalityGraph clip(ImageEncoder image, TextEncoder text, const ClipOptions& options) {
  return ModalityGraph{node("image", std::move(image), head(options.dim, options.projection, options.seed, 0)),
                       node("text", std::move(text), head(options.dim, options.projection, options.seed, 1)),
                       edge("image", "text", InfoNce{options.loss})};
}

ModalityGraph cass(ImageEncoder cnn, ImageEncoder vit, const CassOptions& options) {
  auto a = node("cnn", std::move(cnn), head(options.dim, ProjectionKind::mlp, options.seed, 0));
  auto b = node("vit", std::move(vit), head(options.dim, ProjectionKind::mlp, options.seed, 1));
  if (options.contrast == 0) return ModalityGraph{std::move(a), std::move(b), edge("cnn", "vit", CosineLoss{})};
  return ModalityGraph{std::move(a), std::move(b),
                       edge("cnn", "vit", CosineLoss{} + options.contrast * InfoNce{options.loss})};
}

ModalityGraph cass_reference(ImageEncoder cnn, ImageEncoder vit) {
  const Projection none{.kind = ProjectionKind::none};
  return ModalityGraph{node("cnn", std::move(cnn), none), node("vit", std::move(vit), none),
                       edge("cnn", "vit", CosineLoss{})};
}

ModalityGraph cass_mm(ImageEncoder cnn, ImageEncoder vit, TextEncoder text, const CassMmOptions& options) {
  return ModalityGraph{node("cnn", std::move(cnn), head(options.dim, options.projection, options.seed, 0)),
                       node("vit", std::move(vit), head(options.dim, options.projection, options.seed, 1)),
                       node("text", std::move(text), head(options.dim, options.projection, options.seed, 2)),
                       edge("cnn", "vit", CosineLoss{}, options.picture_weight),
                       edge("cnn", "text", InfoNce{options.loss}, options.text_weight),
                       edge("vit", "text", InfoNce{options.loss}, options.text_weight)};
}

ModalityGraph cass_mm_reference(ImageEncoder cnn, ImageEncoder vit, TextEncoder text, const CassMmOptions& options) {
  return ModalityGraph{node("cnn", std::move(cnn), head(options.dim, options.projection, options.seed, 0)),
                       node("vit", std::move(vit), head(options.dim, options.projection, options.seed, 1)),
                       node("text", std::move(text), head(options.dim, options.projection, options.seed, 2)),
                       edge("cnn", "vit", CosineLoss{}, options.picture_weight),
                       edge("cnn", "text", CosineLoss{}, options.text_weight),
                       edge("vit", "text", CosineLoss{}, options.text_weight)};
}

}  // namespace sslmeme
