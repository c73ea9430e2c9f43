#include <sslmeme/core/error.hpp>
#include <sslmeme/data/views.hpp>

#include <utility>

#include <fmt/format.h>

namespace sslmeme {

namespace {

void check_size(int size) {
  constexpr int smallest = 8, largest = 2048;
  if (size < smallest || size > largest) {
    throw InvalidArgument(fmt::format("a view of .size {}: must be within {} and {} pixels", size, smallest, largest));
  }
}

}  // namespace

Views::Views(std::vector<View> views) : views_{std::move(views)} {
  if (views_.empty()) throw InvalidArgument("Views: no view: give at least one");
  for (const auto& view : views_) {
    check_size(view.size);
    view.normalize.validate();
  }
}

Views Views::repeated(int n) const {
  if (std::cmp_equal(n, size())) return *this;
  if (size() > 1 || n < 1) {
    throw InvalidArgument(fmt::format(
        "{} views are wanted, but the loader makes {}: give it a recipe of one view or of {}", n, size(), n));
  }
  return Views{std::vector<View>(static_cast<std::size_t>(n), views_.front())};
}

Views cass_views(const ViewOptions& options) {
  check_size(options.size);
  constexpr double p = 0.3;
  const ColorJitter jitter{.brightness = 0.2, .contrast = 0.2, .saturation = 0.2};
  return {{.size = options.size,
           .transform = Resize{.width = options.size, .height = options.size} |
                        RandomApply{.p = p, .transform = jitter | RandomPerspective{.distortion_scale = 0.2}} |
                        RandomApply{.p = p, .transform = jitter | RandomAffine{.degrees = 10}} |
                        RandomVerticalFlip{.p = p} | RandomHorizontalFlip{.p = p},
           .normalize = imagenet_mean_std}};
}

Views clip_train(const ViewOptions& options) {
  check_size(options.size);
  return {{.size = options.size,
           .transform =
               RandomResizedCrop{.size = options.size, .scale = {0.9, 1.0}, .interpolation = Interpolation::bicubic},
           .normalize = clip_mean_std}};
}

Views clip_eval(const ViewOptions& options) {
  check_size(options.size);
  return {{.size = options.size,
           .transform =
               Resize{.size = options.size, .interpolation = Interpolation::bicubic} | CenterCrop{.size = options.size},
           .normalize = clip_mean_std}};
}

Views train_views(const ViewOptions& options) {
  check_size(options.size);
  return {{.size = options.size,
           .transform = RandomResizedCrop{.size = options.size, .scale = {0.8, 1.0}, .ratio = {0.9, 1.1}} |
                        RandomHorizontalFlip{} | ColorJitter{.brightness = 0.1, .contrast = 0.1},
           .normalize = imagenet_mean_std}};
}

Views eval_views(const ViewOptions& options) {
  check_size(options.size);
  return {{.size = options.size,
           .transform = Resize{.width = options.size, .height = options.size},
           .normalize = imagenet_mean_std}};
}

}  // namespace sslmeme
