// Recipes: the published methods as modality graphs with good defaults. *_reference() follow the published code.
#pragma once

#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/gather.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/method/modality_graph.hpp>
#include <sslmeme/method/siamese.hpp>

#include <optional>

namespace sslmeme {

struct ClipOptions {
  std::int64_t dim = 256;                              ///< d of the shared space
  ProjectionKind projection = ProjectionKind::linear;  ///< linear as published; mlp learns faster from fresh encoders
  InfoNceOptions loss = {};
  std::uint64_t seed = 0;  ///< of the projections' initial weights
  Gather gather = {};      ///< whose pairs are compared in training over several processes
};

/// CLIP (arXiv:2103.00020): nodes "image" and "text", one InfoNCE edge.
ModalityGraph clip(ImageEncoder image, TextEncoder text, const ClipOptions& options = {});

struct SiameseRecipeOptions {
  std::int64_t dim = 256;      ///< d of the compared vectors
  std::int64_t hidden = 4096;  ///< of the projection (mlp, in all of them) and the predictor; SimCLR has no predictor
  std::uint64_t seed = 0;      ///< of the initial weights
  Gather gather = {};          ///< whose pairs are compared in training over several processes
};

/// SimCLR (Chen et al. 2020, arXiv:2002.05709): NT-Xent with temperature 0.5 between two views.
Siamese simclr(ImageEncoder encoder, const SiameseRecipeOptions& options = {.dim = 128, .hidden = 2048});

/// SimSiam (Chen & He 2020, arXiv:2011.10566): cosine, predictor and stopped gradient, both directions; projection of
/// three layers.
Siamese simsiam(ImageEncoder encoder, const SiameseRecipeOptions& options = {.dim = 2048, .hidden = 512});

/// BYOL (Grill et al. 2020, arXiv:2006.07733): cosine between a prediction and the teacher's projection, both
/// directions; momentum 0.996 to 1; the projection ends without BatchNorm. The published sum of the directions is
/// twice ours.
Siamese byol(ImageEncoder encoder, ImageEncoder teacher, const SiameseRecipeOptions& options = {});

/// MoCo v3 (Chen et al. 2021, arXiv:2104.02057): InfoNCE of temperature 0.2 between a prediction and the teacher's
/// projection, both directions; momentum 0.99 to 1; projection of three layers, predictor of two, all with BatchNorm
/// (as published for ViTs). The published sum of the directions is twice ours.
Siamese moco_v3(ImageEncoder encoder, ImageEncoder teacher, const SiameseRecipeOptions& options = {});

struct CassOptions {
  std::int64_t dim = 256;
  double contrast = 0.5;  ///< weight of the InfoNCE term that keeps the features from collapsing; 0 leaves cosine alone
  InfoNceOptions loss = {};
  std::uint64_t seed = 0;
  Gather gather = {};  ///< whose pairs are compared in training over several processes
};

/// CASS (arXiv:2206.04170): nodes "cnn" and "vit" see the same view; cosine plus contrast · InfoNCE on MLP projections.
ModalityGraph cass(ImageEncoder cnn, ImageEncoder vit, const CassOptions& options = {});

/// CASS as its published code has it: cosine alone, between the encoders' own outputs (made with .num_classes = 1000
/// there). A constant output is a global minimum. The published loop also never zeroes the gradients; ours does.
ModalityGraph cass_reference(ImageEncoder cnn, ImageEncoder vit);

/// What an edge compares with, at each loss's defaults.
enum class EdgeLoss { cosine, info_nce, vicreg, barlow_twins };

/// Which end of an edge learns.
enum class EdgeGradient {
  both,
  first,      ///< the second end is the teacher: no gradient flows to it
  second,     ///< the first end is
  predicted,  ///< each predicts the other, which gets no gradient (SimSiam): two edges, each with half the weight
};

struct CassMmEdge {
  EdgeLoss loss = EdgeLoss::cosine;
  LossWeight weight = 1.0;  ///< a number or a schedule
  EdgeGradient gradient = EdgeGradient::both;
};

struct CassMmOptions {
  std::int64_t dim = 256;
  ProjectionKind projection = ProjectionKind::mlp;  ///< its BatchNorm takes out what all pictures have in common
  /// cnn–vit. Cosine is satisfied within an epoch: more weight drowns the words.
  CassMmEdge picture = {EdgeLoss::cosine, 0.25};
  CassMmEdge text = {EdgeLoss::info_nce, 1.0};  ///< each of cnn–text and vit–text
  std::optional<CassMmEdge> cnn_text = {};      ///< in place of `text`, where that edge is to be another
  std::optional<CassMmEdge> vit_text = {};
  double modality_dropout = 0;  ///< share of samples that miss one of the nodes (ModalityDropout)
  InfoNceOptions loss = {};     ///< of the edges with EdgeLoss::info_nce
  std::uint64_t seed = 0;
  Gather gather = {};  ///< whose pairs are compared in training over several processes

  /// Cosine on all three edges, equally weighted, and nothing against collapse.
  static CassMmOptions reference() { return {.picture = {EdgeLoss::cosine, 1.0}, .text = {EdgeLoss::cosine, 1.0}}; }
};

/// CASS-MM, CASS for several modalities: a triangle of "cnn", "vit" and "text"; by default cosine between the two
/// picture encoders, which see the same view, and InfoNCE on the edges to text, which cannot collapse. What else an
/// edge may be, and what collapses: docs/reference/cass_mm.md.
ModalityGraph cass_mm(ImageEncoder cnn, ImageEncoder vit, TextEncoder text, const CassMmOptions& options = {});

/// CASS-MM with CassMmOptions::reference().
ModalityGraph cass_mm_reference(ImageEncoder cnn, ImageEncoder vit, TextEncoder text);

struct CassMmFusedOptions {
  std::int64_t dim = 256;
  ProjectionKind projection = ProjectionKind::mlp;
  CassMmEdge edge = {EdgeLoss::info_nce, 1.0};
  /// Both ends hold the same words, so that with 0 the words alone tell pairs apart and no picture need be looked at.
  double modality_dropout = 0.5;
  InfoNceOptions loss = {};
  std::uint64_t seed = 0;
  Gather gather = {};  ///< whose pairs are compared in training over several processes
};

/// CASS between whole memes: "cnn_text", the CNN's picture and the words, against "vit_text", the ViT's and the same
/// words. Nodes "cnn", "vit" and "text" hold the encoders.
ModalityGraph cass_mm_fused(ImageEncoder cnn, ImageEncoder vit, TextEncoder text,
                            const CassMmFusedOptions& options = {});

}  // namespace sslmeme
