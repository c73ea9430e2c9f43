// CLIP's towers (Radford et al. 2021, arXiv:2103.00020) with open_clip's parameter names, initialisation and numbers.
#pragma once

#include <sslmeme/nn/backbone.hpp>

#include <array>

namespace sslmeme {

struct ClipVitOptions {
  std::int64_t image_size = 224;  ///< side of the square input; a multiple of patch_size
  std::int64_t patch_size = 32;
  std::int64_t width = 768;  ///< embedding size; a multiple of heads
  std::int64_t depth = 12;
  std::int64_t heads = 12;
  std::int64_t embed_dim = 512;      ///< D of the space that pictures and texts share
  bool quick_gelu = false;           ///< x · sigmoid(1.702 x), as OpenAI's weights need it, instead of the exact GELU
  Pooling pooling = Pooling::first;  ///< first: the class token; mean: the patches, normed first (open_clip's "avg")
  double patch_drop_rate = 0;  ///< share of a picture's patches left out in training; at least one stays (open_clip's
                               ///< PatchDropout; Li et al. 2022, arXiv:2212.00794)
};

/// CLIP's vision transformer: `visual` of open_clip's CLIP, whose parameter names it has. forward() gives projected
/// features that are not normalised, D = embed_dim: encode_image(normalize=False). encode()'s tokens are those after
/// `ln_post`, in training without the patches left out.
/// no_decay() is empty: the published recipe decays everything of two dimensions or more, positions included, and so
/// does open_clip's own training program.
ImageEncoder make_clip_vit(const ClipVitOptions& options);

struct ClipResNetOptions {
  std::int64_t image_size = 224;                      ///< side of the square input; a multiple of 32
  std::array<std::int64_t, 4> blocks = {3, 4, 6, 3};  ///< bottlenecks in each stage
  std::int64_t width = 64;                            ///< channels of the first stage; even
  std::int64_t heads = 32;                            ///< of the attention that pools; 32 · width is a multiple of it
  std::int64_t embed_dim = 1024;                      ///< D of the space that pictures and texts share
};

/// CLIP's ResNet: `visual` of open_clip's CLIP as ModifiedResNet: a stem of three convolutions, average pooling before
/// strided ones, and attention of the mean over the feature map instead of a last average. D = embed_dim, projected,
/// not normalised. encode() gives the feature map as tokens (N, H · W, 32 · width) and refuses attention maps.
ImageEncoder make_clip_resnet(const ClipResNetOptions& options);

struct ClipTextOptions {
  std::int64_t vocabulary_size = 49408;  ///< ids 0 … n − 1; the end of a text has the highest
  std::int64_t max_tokens = 77;          ///< longest text, start and end included
  std::int64_t width = 512;              ///< hidden size; a multiple of heads
  std::int64_t depth = 12;
  std::int64_t heads = 8;
  std::int64_t embed_dim = 512;  ///< D of the space that pictures and texts share
  bool quick_gelu = false;       ///< x · sigmoid(1.702 x), as OpenAI's weights need it, instead of the exact GELU
};

/// CLIP's text transformer: open_clip's CLIP without `visual.` and `logit_scale`. Each token sees itself and those
/// before it, and the text is pooled at its highest id (the first of several), so what follows that changes nothing:
/// forward() computes no column past the last such end of the batch. The mask is checked for its shape alone. D =
/// embed_dim, projected, not normalised: encode_text(normalize=False). encode()'s tokens are those after `ln_final`.
/// no_decay() is empty, as for make_clip_vit().
TextEncoder make_clip_text(const ClipTextOptions& options);

}  // namespace sslmeme
