#include <sslmeme/core/error.hpp>
#include <sslmeme/data/views.hpp>

#include <algorithm>
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

Views dino_views(const DinoViewOptions& options) {
  if (options.locals < 0)
    throw InvalidArgument(fmt::format("DinoViewOptions::locals is {}; it must not be negative", options.locals));
  const auto colors =
      RandomHorizontalFlip{} |
      RandomApply{.p = 0.8,
                  .transform = ColorJitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.2, .hue = 0.1}} |
      RandomGrayscale{.p = 0.2};
  const auto view = [&](int size, const std::array<double, 2>& scale, double blurred) {
    check_size(size);
    const int taps = std::min(GaussianBlur{}.kernel_size, 2 * size - 1);  // a tiny view has no room for more
    return View{
        .size = size,
        .transform =
            RandomResizedCrop{.size = size, .scale = scale, .interpolation = Interpolation::bicubic} | colors |
            RandomApply{.p = blurred, .transform = GaussianBlur{.kernel_size = taps, .sigma = options.blur_sigma}},
        .normalize = imagenet_mean_std};
  };
  std::vector<View> views{view(options.global_size, options.global_scale, 1.0),
                          view(options.global_size, options.global_scale, 0.1)};
  views[1].transform = views[1].transform | RandomSolarize{.p = 0.2};
  for (int i = 0; i < options.locals; ++i) views.push_back(view(options.local_size, options.local_scale, 0.5));
  return Views{std::move(views)};
}

Views simclr_views(const SimclrViewOptions& options) {
  check_size(options.size);
  const double s = options.strength;
  if (!(s >= 0 && s <= 2.5)) {  // beyond it the hue would turn by more than half of the circle
    throw InvalidArgument(fmt::format("SimclrViewOptions::strength is {}: must be within 0 and 2.5", s));
  }
  const ColorJitter jitter{.brightness = 0.8 * s, .contrast = 0.8 * s, .saturation = 0.8 * s, .hue = 0.2 * s};
  const GaussianBlur blur{.kernel_size = options.size / 10 / 2 * 2 + 1, .sigma = options.blur_sigma};
  return {{.size = options.size,
           .transform = RandomResizedCrop{.size = options.size, .interpolation = Interpolation::bicubic} |
                        RandomHorizontalFlip{} | RandomApply{.p = 0.8, .transform = jitter} |
                        RandomGrayscale{.p = 0.2} | RandomApply{.p = options.blur, .transform = blur},
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
