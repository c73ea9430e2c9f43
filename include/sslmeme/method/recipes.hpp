// Recipes: the published methods as modality graphs with good defaults. *_reference() follow the published code.
#pragma once

#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/method/modality_graph.hpp>

namespace sslmeme {

struct ClipOptions {
  std::int64_t dim = 256;                              ///< d of the shared space
  ProjectionKind projection = ProjectionKind::linear;  ///< linear as published; mlp learns faster from fresh encoders
  InfoNceOptions loss = {};
  std::uint64_t seed = 0;  ///< of the projections' initial weights
};

/// CLIP (arXiv:2103.00020): nodes "image" and "text", one InfoNCE edge.
ModalityGraph clip(ImageEncoder image, TextEncoder text, const ClipOptions& options = {});

struct CassOptions {
  std::int64_t dim = 256;
  double contrast = 0.5;  ///< weight of the InfoNCE term that keeps the features from collapsing; 0 leaves cosine alone
  InfoNceOptions loss = {};
  std::uint64_t seed = 0;
};

/// CASS (arXiv:2206.04170): nodes "cnn" and "vit" see the same view; cosine plus contrast · InfoNCE on MLP projections.
ModalityGraph cass(ImageEncoder cnn, ImageEncoder vit, const CassOptions& options = {});

/// CASS as its published code has it: cosine alone, between the encoders' own outputs (made with .num_classes = 1000
/// there). A constant output is a global minimum. The published loop also never zeroes the gradients; ours does.
ModalityGraph cass_reference(ImageEncoder cnn, ImageEncoder vit);

struct CassMmOptions {
  std::int64_t dim = 256;
  ProjectionKind projection = ProjectionKind::mlp;  ///< its BatchNorm takes out what all pictures have in common
  double picture_weight = 0.25;  ///< of the edge cnn–vit; cosine is satisfied within an epoch: more drowns the words
  double text_weight = 1.0;      ///< of each of the two edges to text
  InfoNceOptions loss = {};
  std::uint64_t seed = 0;
};

/// CASS-MM, CASS for several modalities: a triangle of "cnn", "vit" and "text"; cosine between the two picture
/// encoders, which see the same view, and InfoNCE on the edges to text, which cannot collapse.
ModalityGraph cass_mm(ImageEncoder cnn, ImageEncoder vit, TextEncoder text, const CassMmOptions& options = {});

/// CASS-MM with cosine on all three edges, equally weighted, and nothing against collapse.
ModalityGraph cass_mm_reference(ImageEncoder cnn, ImageEncoder vit, TextEncoder text,
                                const CassMmOptions& options = {.picture_weight = 1, .text_weight = 1});

}  // namespace sslmeme
