// Views: how a loader makes the tensors of a batch from each picture, with the recipes of CASS, DINO, SimCLR and CLIP.
#pragma once

#include <sslmeme/data/transforms.hpp>

#include <array>
#include <cstddef>
#include <initializer_list>
#include <vector>

namespace sslmeme {

/// One view of a picture: f32 (3, size, size).
struct View {
  int size = 0;                   ///< pixels of both edges that `transform` gives
  ImageTransform transform = {};  ///< to size × size
  Normalize normalize = {};       ///< to floats
};

/// The views of a batch, in order. At least one.
class Views {
 public:
  /// Throws InvalidArgument for no view and for a size outside [8, 2048].
  Views(std::initializer_list<View> views) : Views{std::vector<View>(views)} {}
  explicit Views(std::vector<View> views);

  std::size_t size() const { return views_.size(); }
  const View& operator[](std::size_t i) const { return views_[i]; }
  auto begin() const { return views_.begin(); }
  auto end() const { return views_.end(); }

  /// n views: these if there are n of them, or a single one n times, each with dice of its own.
  /// Throws InvalidArgument if there are several and not n.
  Views repeated(int n) const;

 private:
  std::vector<View> views_;
};

struct ViewOptions {
  int size = 224;  ///< pixels of both edges, in [8, 2048]
};

/// CASS's view (Singh et al. 2022, arXiv:2206.04170, and its code): resized to size × size; with probability 0.3 jitter
/// and perspective; with 0.3 jitter and a turn of up to 10°; flipped vertically with 0.3 and horizontally with 0.3;
/// ImageNet's mean and deviation. ONE view: both networks see the same tensor. Throws InvalidArgument for a bad size,
/// as all recipes do.
Views cass_views(const ViewOptions& options = {});

struct DinoViewOptions {
  int global_size = 224, local_size = 96;           ///< pixels of both edges
  int locals = 8;                                   ///< small views beside the two large ones
  std::array<double, 2> global_scale = {0.4, 1.0};  ///< share of the picture's area; (0.14, 1) for ResNet-50
  std::array<double, 2> local_scale = {0.05, 0.4};  ///< (0.05, 0.14) for ResNet-50
  std::array<double, 2> blur_sigma = {0.1, 2.0};    ///< pixels; meant for 224, much less is left of a small picture
};

/// DINO's multi-crop (Caron et al. 2021, arXiv:2104.14294, and its code): two large parts of the picture, then the
/// small ones, bicubic; mirrored with 0.5; jitter (0.4, 0.4, 0.2, 0.1) with 0.8, no colour with 0.2; blurred always,
/// with 0.1, and of the small ones with 0.5; the second solarized with 0.2; ImageNet's mean and deviation.
Views dino_views(const DinoViewOptions& options = {});

struct SimclrViewOptions {
  int size = 224;                               ///< pixels of both edges, in [8, 2048]
  double strength = 1.0;                        ///< of the jitter, in [0, 2.5]; 1/2 for small pictures as CIFAR's
  double blur = 0.5;                            ///< probability; 0 for small pictures
  std::array<double, 2> blur_sigma = {0.1, 2};  ///< pixels
};

/// SimCLR's view (Chen et al. 2020, arXiv:2002.05709, appendix A, and its code): a random part of 8 % to 100 % of the
/// area, bicubic; mirrored with 0.5; with 0.8 jitter of strength × (0.8, 0.8, 0.8, 0.2); no colour with 0.2; blurred by
/// a kernel of a tenth of the size. ONE view, which the loader makes as often as a method wants it, each with dice of
/// its own. Departs from that code in ImageNet's mean and deviation, which it does not subtract.
Views simclr_views(const SimclrViewOptions& options = {});

/// open_clip's training view: a random part of 90 % to 100 % of the area, bicubic; CLIP's mean and deviation.
Views clip_train(const ViewOptions& options = {});
/// open_clip's evaluation view: the shorter edge resized to `size`, bicubic, then the middle; CLIP's mean and
/// deviation.
Views clip_eval(const ViewOptions& options = {});

/// A gentle view for training on labels and for contrast with words, which must not lose what the words speak of: a
/// random part of 80 % to 100 % of the area, bilinear; mirrored with 0.5; brightness and contrast by up to 10 %;
/// ImageNet's mean and deviation. Goes with eval_views.
Views train_views(const ViewOptions& options = {});

/// The plain view for evaluation: resized to size × size, bilinear; ImageNet's mean and deviation. The
/// aspect is not kept and nothing is cut, since the words of a meme stand at its border.
Views eval_views(const ViewOptions& options = {});

}  // namespace sslmeme
